"""Compares two fingerprints: what differs, and whether the runs can still be compared. Pure.

Comparisons are meant for other weights, another vLLM or another kernel. Another chat template, other sampling or other
parsers change the request or the parsing of the answer: then a difference says nothing about the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annie_eval.profile import diff

MEANINGLESS = {
    "chat_template": "the chat template",
    "sampling": "the sampling",
    "tool_parser": "the tool parser",
    "reasoning_parser": "the reasoning parser",
    "chat_template_kwargs": "the template's switches",
}
# Server flags with the same meaning.
_MEANINGLESS_FLAGS = {
    "chat-template": "the chat template",
    "chat-template-content-format": "the chat template",
    "default-chat-template-kwargs": "the template's switches",
    "tool-call-parser": "the tool parser",
    "enable-auto-tool-choice": "the tool parser",
    "tool-parser-plugin": "the tool parser",
    "reasoning-parser": "the reasoning parser",
    "reasoning-parser-plugin": "the reasoning parser",
    "override-generation-config": "the sampling",
    "generation-config": "the sampling",
    "logits-processors": "the sampling",
}
_HASHES = frozenset({"weights", "config", "tokenizer", "chat_template", "generation_config"})
_SPOKEN = {
    "weights": "the weights",
    "config": "config.json",
    "tokenizer": "the tokenizer's files",
    "generation_config": "generation_config.json",
    "server_version": "the server's version",
    "served_model": "the served name",
    "gpus": "the GPU",
    "image": "the image",
    "kernels": "the kernels",
    "attention_backend": "the attention backend",
    "quantization": "the quantisation",
    "quantized_layers": "the quantised layers",
    "root": "the served path",
    "max_model_len": "the context length",
}
# Most important first, because a headline names only a few.
_FIRST = ("quantization", "weights", "server", "server_version", "kernels", "gpus", "image", "root", "served_model")
# The profile is compared by its snapshot, and flags are compared one by one.
_ELSEWHERE = frozenset({"profile", "profile_digest", "arguments"})
# Fields that vary for the same machine and model.
_OF_THE_MOMENT = frozenset({"machine", "load"})


@dataclass(frozen=True, slots=True)
class Differences:
    """Differences in words: `compared` are reported, with `refused` a comparison is not possible."""

    compared: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(slots=True)
class _Found:
    compared: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def between(before: Mapping[str, Any], now: Mapping[str, Any]) -> Differences:
    """The differences of two fingerprints. A field that only one has is not a difference, except for lost parsers."""
    found = _Found()
    local = "arguments" in before and "arguments" in now
    names = dict.fromkeys((*_FIRST, *before, *now))
    for name in names:
        old, new = before.get(name), now.get(name)
        if name in _ELSEWHERE or old == new or (local and name == "root"):
            continue  # of local runs the files are compared, wherever they are
        if not local and (name not in before or name not in now or (name in MEANINGLESS and None in (old, new))):
            continue  # a server at a URL does not show its files and parsers
        if name in MEANINGLESS:
            found.refused += _values(MEANINGLESS[name], name, old, new)
        else:
            found.compared += _values(_SPOKEN.get(name, name.replace("_", " ")), name, old, new)
    if local:
        _arguments(before["arguments"], now["arguments"], found)
    return Differences(tuple(dict.fromkeys(found.compared)), tuple(dict.fromkeys(found.refused)))


def identity(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """All differences of two fingerprints of one run, including fields that only one has; in words."""
    found = _Found()
    for name in dict.fromkeys((*_FIRST, *before, *now)):
        if name not in (*_OF_THE_MOMENT, "arguments") and before.get(name) != now.get(name):
            found.compared += _values(
                MEANINGLESS.get(name) or _SPOKEN.get(name, name.replace("_", " ")),
                name,
                before.get(name),
                now.get(name),
            )
    _arguments(before.get("arguments") or (), now.get("arguments") or (), found)
    return list(dict.fromkeys((*found.refused, *found.compared)))


def _values(what: str, name: str, old: Any, new: Any) -> list[str]:
    if name in _HASHES:
        return [f"{what} changed ({_short(old)} -> {_short(new)})"]
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [*old, *(key for key in new if key not in old)]
        parts = [
            f"{key} {_value(old.get(key))} -> {_value(new.get(key))}" for key in keys if old.get(key) != new.get(key)
        ]
        return [f"{what} changed ({', '.join(parts[:4])}{' ...' if len(parts) > 4 else ''})"]
    return [f"{what} changed ({_value(old)} -> {_value(new)})"]


def _arguments(before: Sequence[str], now: Sequence[str], found: _Found) -> None:
    old, new = _flags(before), _flags(now)
    for name in [*old, *(flag for flag in new if flag not in old)]:
        if old.get(name) == new.get(name):
            continue
        if name not in new:
            change = (
                f"server flag --{name} was lost (it was {_value(old[name])})"
                if old[name]
                else f"server flag --{name} was lost"
            )
        elif name not in old:
            change = f"server flag --{name} {_value(new[name]) if new[name] else ''}".rstrip() + " is new"
        else:
            change = f"server flag --{name} changed ({_value(old[name])} -> {_value(new[name])})"
        if name in _MEANINGLESS_FLAGS:
            found.refused.append(f"{_MEANINGLESS_FLAGS[name]} changed: {change}")
        else:
            found.compared.append(change)


def _flags(arguments: Sequence[str]) -> dict[str, str]:
    """Value by flag name, "" for a switch; of a repeated flag the last value counts, like in the server."""
    flags: dict[str, str] = {}
    name: str | None = None
    for argument in arguments:
        if argument.startswith("--"):
            flag, equals, value = argument[2:].partition("=")
            name = flag.replace("_", "-")
            flags[name] = value
            name = None if equals else name
        elif argument.startswith("-") and not argument[1:2].isdigit():
            name, flags[argument[1:]] = argument[1:], ""
        elif name is not None:
            flags[name] = f"{flags[name]} {argument}".strip()
    return flags


def of_profiles(before: Mapping[str, Any], now: Mapping[str, Any], digests: tuple[Any, Any]) -> list[str]:
    """Differences of two profiles in requests or rules; [] if there are none.

    Args:
        before, now: their snapshots; {} for runs of versions without snapshots.
        digests: the digests of both profiles.
    """
    if before and now:
        return diff.differences(before, now)
    if digests[0] == digests[1]:
        return []
    return [f"the profile changed ({_short(digests[0])} -> {_short(digests[1])})"]


def _short(value: Any) -> str:
    """The first digits of a hash; some servers report the text itself, which is hashed first."""
    text = "none" if value is None else str(value)
    return text[:8] if len(text) <= 64 else hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]


def _value(value: Any) -> str:
    text = "none" if value is None else ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return (text if len(text) <= 80 else text[:79] + "…") or "none"
