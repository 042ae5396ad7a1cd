"""Whether `annie-eval blame` names a cause that is planted in a real vLLM, and how long it takes.

    python -m benchmarks.blame_vllm --model-dir models/annie-smol-nvfp4-qat --reference models/annie-smol-bf16
        --vllm-python .venv-vllm/bin/python [--only NAME ...] [--gate tool_calling]

Plants one fault at a time:

    template        the checkpoint's chat template leaves out the tools
    scale           one weight scale is 40 times too large
    parser          a plugin hands tool calls over as text
    prefix_cache    a plugin of vLLM hands out the first cached block of a prompt in place of each

Prints a row a plant: what was named, the seconds, the sentence. Status 0 where each is named.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

LOSSY_PARSER = """
from vllm.entrypoints.generate.base.protocol import DeltaMessage, ExtractedToolCallInformation
from vllm.tool_parsers import ToolParserManager
from vllm.tool_parsers.hermes_tool_parser import Hermes2ProToolParser


@ToolParserManager.register_module("lossy")
class Lossy(Hermes2ProToolParser):
    def extract_tool_calls(self, model_output, request):
        return ExtractedToolCallInformation(tools_called=False, tool_calls=[], content=model_output)

    def extract_tool_calls_streaming(self, previous_text, current_text, delta_text, *ids, request):
        return DeltaMessage(content=delta_text)
"""

WRONG_CACHE = """
def register():
    from vllm.v1.core.kv_cache_manager import KVCacheBlocks, KVCacheManager

    right = KVCacheManager.get_computed_blocks

    def wrong(self, request):
        found, *rest = right(self, request)
        return KVCacheBlocks(tuple([blocks[0]] * len(blocks) if blocks else [] for blocks in found.blocks)), *rest

    KVCacheManager.get_computed_blocks = wrong
"""

Plant = Callable[[argparse.Namespace, Path], list[str]]


def copied(options: argparse.Namespace, work: Path) -> Path:
    """The checkpoint with files of its own."""
    copy: Path = work / options.model_dir.name
    shutil.copytree(options.model_dir, copy)
    return copy


def template(options: argparse.Namespace, work: Path) -> list[str]:
    """A chat template without tools."""
    model = copied(options, work)
    path = model / "chat_template.jinja"
    path.write_text("{%- set tools = none -%}\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    return [f"--model-dir={model}", f"--vllm-python={options.vllm_python}"]


def scale(options: argparse.Namespace, work: Path) -> list[str]:
    """A weight scale that is 40 times too large."""
    from safetensors.torch import load_file, save_file

    model = copied(options, work)
    path = model / "model.safetensors"
    tensors = load_file(path)
    name = sorted(each for each in tensors if each.endswith("down_proj.weight_scale_2"))[0]
    tensors[name] = tensors[name] * 40
    path.unlink()
    save_file(tensors, path, {"format": "pt"})
    return [f"--model-dir={model}", f"--vllm-python={options.vllm_python}"]


def parser(options: argparse.Namespace, work: Path) -> list[str]:
    """A tool parser that finds no call."""
    plugin = work / "lossy.py"
    plugin.write_text(LOSSY_PARSER, encoding="utf-8")
    arguments = [f"--vllm-arg=--tool-parser-plugin={plugin}", "--vllm-arg=--tool-call-parser=lossy"]
    return [f"--model-dir={options.model_dir}", f"--vllm-python={options.vllm_python}", *arguments]


def prefix_cache(options: argparse.Namespace, work: Path) -> list[str]:
    """A prefix cache that takes the first block of a prompt for each."""
    (work / "wrong_cache.py").write_text(WRONG_CACHE, encoding="utf-8")
    metadata = work / "wrong_cache-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: wrong-cache\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(
        "[vllm.general_plugins]\nwrong_cache = wrong_cache:register\n", encoding="utf-8"
    )
    python = work / "python"
    script = f'#!/bin/sh\nPYTHONPATH="{work}:$PYTHONPATH" exec "{options.vllm_python.absolute()}" "$@"\n'
    python.write_text(script, encoding="utf-8")
    python.chmod(0o755)
    return [f"--model-dir={options.model_dir}", f"--vllm-python={python}"]


PLANTS: dict[str, tuple[Plant, str]] = {
    "template": (template, "template=reference"),
    "scale": (scale, "weights"),
    "parser": (parser, "parser"),
    "prefix_cache": (prefix_cache, "no_prefix_cache"),
}


def main() -> int:
    """Plant, blame, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model-dir", type=Path, required=True)
    arguments.add_argument("--reference", type=Path, required=True)
    arguments.add_argument("--vllm-python", type=Path, required=True)
    arguments.add_argument("--profile", default="annie-smol")
    arguments.add_argument("--gate", default="tool_calling")
    arguments.add_argument("--only", action="append", choices=list(PLANTS), default=None)
    arguments.add_argument("--referee", action="store_true")
    options = arguments.parse_args()
    missed = 0
    for name in options.only or PLANTS:
        plant, expected = PLANTS[name]
        with tempfile.TemporaryDirectory() as directory:
            work = Path(directory)
            command = [sys.executable, "-m", "annie_eval.cli", "blame", *plant(options, work), "--json"]
            command += [f"--reference={options.reference}", f"--profile={options.profile}", f"--gate={options.gate}"]
            command += ["--run-dir", str(work / "runs"), *(["--referee"] if options.referee else [])]
            began = time.monotonic()
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=dict(os.environ))
            seconds = time.monotonic() - began
            answer: dict[str, object] = {}
            with contextlib.suppress(ValueError):
                answer = json.loads(done.stdout)
            causes = answer.get("finding", answer).get("causes", ())  # type: ignore[attr-defined]
            named = list(causes) == [expected]
            missed += not named
            print(f"{name:14} {'named' if named else 'MISSED'}  {seconds:4.0f} s  status {done.returncode}  {causes}")
            print(json.dumps(answer.get("finding", answer), indent=1)[:4000], flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
