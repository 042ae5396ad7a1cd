"""Lists the changes that a search may try, such as other weights or a setting, and applies them to the target."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from annie_eval.serving import checkpoint as checkpoints
from annie_eval.serving.native import argument_groups, flag_name

if TYPE_CHECKING:
    from annie_eval.profile.types import Profile
    from annie_eval.serving.checkpoint import Checkpoint
    from annie_eval.serving.native import Installation
    from annie_eval.serving.spec import TargetSpec

Kind = Literal["weights", "template", "server"]
OWN_TEMPLATE = "template-own.jinja"
REFERENCE_TEMPLATE = "template-reference.jinja"
# Other ways to compute a quantised layer, the most independent one first.
_BACKENDS = ("emulation", "marlin", "cutlass")


@dataclass(frozen=True, slots=True)
class Factor:
    """One change.

    Attributes:
        name: name of its run's directory and of its row.
        what: the cause if the change makes the gate pass, as the subject of a sentence.
        how: the change, in words or as arguments.
        topic: topic in known_defects.toml. Changes of one topic are not made together.
        kind: what is changed. `server` means how the server computes the same weights and the same prompt.
        model_dir: another checkpoint to serve.
        add: additional arguments for vLLM.
        drop: names of the flags to leave out.
    """

    name: str
    what: str
    how: str
    topic: str
    kind: Kind
    model_dir: Path | None = None
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


def changed(spec: TargetSpec, profile: Profile, factors: Iterable[Factor]) -> tuple[TargetSpec, Profile]:
    """The target and the profile with these changes. If two conflict, the later one counts."""
    for factor in factors:
        serving = dataclasses.replace(profile.serving, args=_without(profile.serving.args, factor.drop))
        profile = dataclasses.replace(profile, serving=serving)
        spec = dataclasses.replace(
            spec,
            model_dir=factor.model_dir or spec.model_dir,
            vllm_args=(*_without(spec.vllm_args, (*factor.drop, *map(flag_name, factor.add[:1]))), *factor.add),
        )
    return spec, profile


def _without(arguments: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(part for group in argument_groups(arguments) if flag_name(group[0]) not in names for part in group)


def find(
    spec: TargetSpec, profile: Profile, reference: Path | None, vllm: Installation | None, directory: Path
) -> list[Factor]:
    """The changes that apply to this target, the most likely cause first.

    Args:
        reference: the BF16 checkpoint that the model was made from.
        vllm: the installed vLLM; None for a container image.
        directory: directory for the template files of `--chat-template`.
    """
    assert spec.model_dir is not None
    arguments = (*profile.serving.args, *spec.vllm_args)
    own = checkpoints.read(spec.model_dir, arguments)
    found: list[Factor] = []
    given = _value(arguments, "chat-template")
    text = checkpoints.template(spec.model_dir)
    if given is not None and text is not None:
        found.append(
            Factor(
                "template=own",
                f"the chat template {given}",
                "the directory's own chat template",
                "template",
                "template",
                drop=("chat-template",),
            )
        )
    if reference is not None:
        other = checkpoints.template(reference)
        what = "the weights"
        keep: tuple[str, ...] = ()
        if other != text and spec.serve == "docker":
            what = "the weights or the chat template"  # only the model's files are mounted in a container
        elif other != text:
            if other is not None:
                file = _written(directory / REFERENCE_TEMPLATE, other)
                found.append(
                    Factor(
                        "template=reference",
                        "the chat template",
                        f"the chat template of {reference}",
                        "template",
                        "template",
                        add=("--chat-template", str(file)),
                    )
                )
            if text is not None and given is None:  # keep the prompt unchanged
                keep = ("--chat-template", str(_written(directory / OWN_TEMPLATE, text)))
        drop = ("quantization", "linear-backend", "moe-backend")
        how = f"{what.replace(' or ', ' and ')} of {reference}"
        found.append(Factor("weights", what, how, "weights", "weights", model_dir=reference, add=keep, drop=drop))
    return found + _of_server(arguments, own, vllm)


def _of_server(arguments: Sequence[str], own: Checkpoint, vllm: Installation | None) -> list[Factor]:
    """Changes of the server's settings."""
    found: list[Factor] = []
    cpu = vllm is not None and vllm.cpu

    def add(name: str, topic: str, what: str, *change: str, drop: tuple[str, ...] = ()) -> None:
        how = " ".join(change) or f"no --{drop[0]}"
        found.append(Factor(name, what, how, topic, "server", add=change, drop=drop))

    if _value(arguments, "speculative-config") is not None:
        add("no_speculation", "speculation", "speculative decoding", drop=("speculative-config",))
    if not any(each.startswith("--no-enable-prefix-caching") for each in arguments):
        add("no_prefix_cache", "prefix_cache", "the prefix cache", "--no-enable-prefix-caching")
    if own.quantized:
        given = (_value(arguments, "linear-backend") or "auto").replace("-", "_")
        known = [] if vllm is None else [each for each in _BACKENDS if each in vllm.linear_backends]
        # A CPU has one of them. On a GPU a second one, which packs the same weights differently, is tried as well.
        for backend in [each for each in known if each != given][: 1 if cpu else 2]:
            add(f"linear_backend={backend}", "kernel", "the kernel of quantised layers", "--linear-backend", backend)
    if (_value(arguments, "kv-cache-dtype") or "auto") != "auto" or any(
        own.quantization.get(key) for key in ("kv_cache_quant_algo", "kv_cache_scheme")
    ):
        add(
            "kv_bfloat16",
            "kv_cache",
            "the KV cache's type",
            "--kv-cache-dtype",
            "bfloat16",
            drop=("calculate-kv-scales",),
        )
    if not cpu and not any(flag_name(each) == "enforce-eager" for each in arguments if each.startswith("-")):
        add("eager", "compilation", "compilation and CUDA graphs", "--enforce-eager")
    if not cpu and _value(arguments, "attention-backend") is not None:
        add("attention=default", "attention", "the attention backend", drop=("attention-backend",))
    elif not cpu:
        add("attention=triton", "attention", "the attention backend", "--attention-backend", "TRITON_ATTN")
    add("batch=1", "batching", "batching", "--max-num-seqs", "1")
    return found


def _value(arguments: Sequence[str], name: str) -> str | None:
    """The value of an argument; "" for a flag without a value, None if it is not given."""
    for group in reversed(argument_groups(arguments)):
        if flag_name(group[0]) == name:
            return group[0].partition("=")[2] or " ".join(group[1:])
    return None


def _written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path.resolve()
