"""Computes the signature of a sample: the structure of the answer, without its words. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from annie_eval.detectors import detect
from annie_eval.detectors.english.sentences import count_sentences
from annie_eval.snapshots.language import language
from annie_eval.text import is_blank
from annie_eval.wire.sample import Sample, ToolCall

_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def signature(sample: Sample) -> list[dict[str, Any]]:
    """For each exchange: channels used, calls with the shape of their arguments, finish_reason, sentences, language,

    kinds of markdown and of thinking leaks. Exceptions of detectors are bugs and are not caught here.
    """
    marks, leaks = _kinds(sample, "markdown"), _kinds(sample, "thinking")
    out = []
    for index, exchange in enumerate(sample.exchanges):
        answer = exchange.answer
        content = answer.content or ""
        used = [("content", content), ("reasoning", answer.reasoning or "")]
        channels = [name for name, text in used if not is_blank(text)]
        out.append(
            {
                "answers": f"turn {exchange.turn + 1}" + (", after tool results" if exchange.round else ""),
                "channels": [*channels, "tool_calls"] if answer.tool_calls else channels,
                "calls": [{"name": call.name, "arguments": shape(call)} for call in answer.tool_calls],
                "finish_reason": answer.finish_reason,
                "sentences": count_sentences(content),
                "language": language(content),
                "markdown": marks.get(index, []),
                "leaks": leaks.get(index, []),
            }
        )
    return out


def _kinds(sample: Sample, detector: str) -> dict[int, list[str]]:
    """Kinds of findings by exchange: reasons without quoted text."""
    found: dict[int, set[str]] = {}
    for finding in detect(detector, sample):
        kind = re.split(r"[:'\"]", finding.reason)[0].strip().removesuffix(" in speech")
        kind = "special token" if kind.startswith("special token") else kind
        found.setdefault(finding.exchange, set()).add(kind)
    return {index: sorted(kinds) for index, kinds in found.items()}


def shape(call: ToolCall) -> Any:
    """Types instead of values: `{"query": "string", "tags": ["string"]}`; "not JSON" if arguments cannot be parsed."""
    try:
        return _shape(json.loads(call.arguments or ""))
    except (ValueError, RecursionError):
        return "not JSON"


def _shape(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _shape(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        shapes: list[Any] = []
        for item in value:
            if (its := _shape(item)) not in shapes:
                shapes.append(its)
        return shapes
    return _TYPES[type(value)]


def dumps(signatures: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A scenario's signatures by variant as indented JSON, for the snapshot file."""
    return json.dumps(signatures, indent=2, ensure_ascii=False) + "\n"
