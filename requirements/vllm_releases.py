"""Reads from vLLM's wheels what each release supports, and writes quant/releases.json.

    python requirements/vllm_releases.py 0.32.0 0.33.0      # download these wheels with pip (300 MB each), read them
    python requirements/vllm_releases.py --wheels DIR       # read downloaded wheels

Entries of other releases are kept. No code of a wheel is run: its sources are parsed.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from email.parser import Parser
from pathlib import Path
from typing import Any

OUT = Path(__file__).parents[1] / "quant" / "releases.json"
PLATFORMS = [f"manylinux_2_{glibc}" for glibc in (28, 31, 34, 35)]
MACHINES = ("x86_64", "aarch64")
QUANT = "vllm/model_executor/layers/quantization"
_SERVED = ("_TEXT_GENERATION_MODELS", "_MULTIMODAL_MODELS", "_TRANSFORMERS_SUPPORTED_MODELS")


def assigned(tree: ast.Module, name: str) -> ast.expr:
    """The value that a module gives to `name`. Raises KeyError if there is none."""
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == name for target in targets) and node.value is not None:  # type: ignore[union-attr]
            return node.value  # type: ignore[union-attr,return-value]
    raise KeyError(name)


def keys(expression: ast.expr) -> list[str]:
    """The keys of a dict display."""
    assert isinstance(expression, ast.Dict)
    return [key.value for key in expression.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]


def strings(node: ast.AST) -> Iterator[str]:
    """All string constants in a piece of source."""
    for child in ast.walk(node):
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child.value


def algorithms(tree: ast.Module) -> list[str]:
    """QUANT_ALGOS of modelopt.py: a list, or the keys of LINEAR_ALGOS and others."""
    value = assigned(tree, "QUANT_ALGOS")
    assert isinstance(value, ast.List)
    found: list[str] = []
    for element in value.elts:
        if isinstance(element, ast.Starred):
            assert isinstance(element.value, ast.Name)
            found += keys(assigned(tree, element.value.id))
        else:
            found += list(strings(element))
    return found


def mixed(tree: ast.Module) -> list[str]:
    """Algorithms that MIXED_PRECISION supports for linear layers."""
    owner = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "ModelOptMixedPrecisionConfig")
    method = next(n for n in owner.body if isinstance(n, ast.FunctionDef) and n.name == "get_quant_method")
    branch = next(
        node
        for node in ast.walk(method)
        if isinstance(node, ast.If)
        and "LinearBase" in ast.unparse(node.test)
        and "quant_algo" in ast.unparse(node.body)  # type: ignore[arg-type]
    )
    body = ast.Module(branch.body, [])
    if "LINEAR_ALGOS" in ast.unparse(body):
        return keys(assigned(tree, "LINEAR_ALGOS"))
    known = set(algorithms(tree))
    return [text for text in dict.fromkeys(strings(body)) if text in known]


def facts(read: Callable[[str], str]) -> dict[str, Any]:
    """What a release supports; `read` returns the text of a file in the wheel."""
    modelopt = read(f"{QUANT}/modelopt.py")
    tree = ast.parse(modelopt)
    registry = ast.parse(read("vllm/model_executor/models/registry.py"))
    methods = assigned(ast.parse(read(f"{QUANT}/__init__.py")), "QuantizationMethods")
    base = ast.parse(read(f"{QUANT}/base_config.py"))
    ties = [n for n in ast.walk(base) if isinstance(n, ast.FunctionDef) and n.name == "tie_weights"]
    cache = assigned(ast.parse(read("vllm/utils/torch_utils.py")), "MODELOPT_TO_VLLM_KV_CACHE_DTYPE_MAP")
    return {
        "algorithms": algorithms(tree),
        "mixed": mixed(tree),
        "methods": sorted(strings(methods)),
        "kv_cache": [name.upper() for name in keys(cache)],
        # lm_head: ModelOpt's configs have a method for it; without the method it is read as BF16
        "quantized_lm_head": "ParallelLMHead" in modelopt,
        # tied embeddings: 0.24 passes them to the quantisation method, which does not support them
        "tied_modelopt": not any("NotImplementedError" in ast.unparse(n) for n in ties),
        # NVFP4 whose config_groups quantise no activations is read as W4A16_NVFP4
        "weight_only_nvfp4": "input_activations" in modelopt,
        "own_configs": own_configs(ast.parse(read("vllm/transformers_utils/config.py"))),
        "weights_track": "enable_weights_track" in read("vllm/model_executor/model_loader/default_loader.py"),
        "tool_parsers": sorted(
            keys(assigned(ast.parse(read("vllm/tool_parsers/__init__.py")), "_TOOL_PARSERS_TO_REGISTER"))
        ),
        "reasoning_parsers": sorted(
            keys(assigned(ast.parse(read("vllm/reasoning/__init__.py")), "_REASONING_PARSERS_TO_REGISTER"))
        ),
        "architectures": sorted({name for table in _SERVED for name in keys(assigned(registry, table))}),
    }  # fmt: skip


def own_configs(tree: ast.Module) -> list[str]:
    """Model types whose config class is vLLM's own, not transformers'."""
    value = assigned(tree, "_CONFIG_REGISTRY")
    assert isinstance(value, ast.Call)
    return sorted(keyword.arg for keyword in value.keywords if keyword.arg is not None)


def of_wheel(wheel: Path) -> tuple[str, dict[str, Any]]:
    """The version and the facts of one wheel."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if re.fullmatch(r"vllm-[^/]*\.dist-info/METADATA", name))
        metadata = Parser().parsestr(archive.read(name).decode())
        found = facts(lambda path: archive.read(path).decode())
    wanted = [line for line in metadata.get_all("Requires-Dist") or [] if re.match(r"transformers\b", line)]
    found = {"transformers": wanted[0].removeprefix("transformers").strip(), **found}
    return metadata["Version"], found


def machines(version: str) -> list[str]:
    """The CPU architectures for which PyPI has a wheel of this version."""
    found = []
    for machine in MACHINES:
        with tempfile.TemporaryDirectory() as scratch:
            wanted = [argument for p in PLATFORMS for argument in ("--platform", f"{p}_{machine}")]
            command = [
                sys.executable,
                "-m",
                "pip",
                "install",
                "-q",
                "--dry-run",
                "--no-deps",
                "--only-binary",
                ":all:",
            ]
            command += ["--python-version", "3.12", *wanted, "--target", scratch, f"vllm=={version}"]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                found.append(machine)
    return found


def download(version: str, into: Path) -> Path:
    """Fetch the wheel of a version with pip."""
    wanted = [argument for p in PLATFORMS for argument in ("--platform", f"{p}_x86_64")]
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--python-version", "3.12", *wanted, "-d", str(into), f"vllm=={version}"], check=True)
    return next(into.glob(f"vllm-{version}-*.whl"))


def main() -> None:
    """Read the given wheels and write all releases, oldest first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="*", metavar="VERSION")
    parser.add_argument("--wheels", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    releases: dict[str, Any] = json.loads(OUT.read_text()) if OUT.exists() else {}
    for wheel in sorted(arguments.wheels.glob("vllm-*.whl")) if arguments.wheels else []:
        version, found = of_wheel(wheel)
        releases[version] = {"machines": machines(version), **found}
    for version in arguments.versions:
        with tempfile.TemporaryDirectory() as scratch:
            _, found = of_wheel(download(version, Path(scratch)))
        releases[version] = {"machines": machines(version), **found}
        print(version, found["transformers"], ", ".join(found["algorithms"]))
    ordered = sorted(releases, key=lambda version: [int(part) for part in re.findall(r"\d+", version)])
    lines = [f" {json.dumps(version)}: {json.dumps(releases[version])}" for version in ordered]
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
