"""A generated prompt: its JSON for the example database, and its sample in a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from annie_eval.probes.noise import Edit, kinds
from annie_eval.profile.types import Thinking
from annie_eval.run.store import dump

FORMAT = 1


@dataclass(frozen=True)
class Example:
    """One prompt and how it is sent.

    Attributes:
        history: messages before it, in OpenAI's format.
        scenario: the id of the scenario whose turns follow the prompt; None for a single prompt.
        edits: the changes to the scenario's own prompt, for the report and for shrinking.
        tools: OpenAI tool objects that are offered instead of the profile's; () offers the profile's.
    """

    prompt: str
    history: tuple[Mapping[str, Any], ...] = ()
    stream: bool = True
    thinking: Thinking = "off"
    scenario: str | None = None
    edits: tuple[Edit, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()

    def ask(self, detectors: tuple[str, ...], repeat: int = 1) -> dict[str, Any]:
        """The sample for `annie_eval.run.judge.Catalogue.add`; equal if the same bytes are sent."""
        return {
            "prompt": self.prompt,
            "history": [dict(message) for message in self.history],
            "tools": None,
            "stream": self.stream,
            "thinking": self.thinking,
            "max_tokens": None,
            "detectors": list(detectors),
            "repeat": repeat,
            "scenario": self.scenario,
            "tool_objects": [dict(tool) for tool in self.tools],
        }

    def key(self, detectors: tuple[str, ...], repeat: int = 1) -> str:
        """The sample's key in the run."""
        return f"probe-{hashlib.sha256(dump(self.ask(detectors, repeat)).encode()).hexdigest()[:12]}"

    def to_bytes(self) -> bytes:
        """Readable JSON for the example database."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Example:
        """Read an example. Raises ValueError if `to_bytes` of this version did not write it."""
        try:
            raw = json.loads(data)
            if raw.pop("format") != FORMAT:
                raise ValueError
            raw["edits"] = tuple(Edit(edit["kind"], edit["at"]) for edit in raw["edits"])
            raw["history"], raw["tools"] = tuple(raw["history"]), tuple(raw["tools"])
            example = cls(**raw)
            if not _sound(example):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ValueError("no example of this version") from None
        return example


def _sound(example: Example) -> bool:
    """Whether all values have the declared types, so that the example can be sent."""
    known = {*kinds("en")}
    return (
        isinstance(example.prompt, str)
        and bool(example.prompt)
        and isinstance(example.stream, bool)
        and example.thinking in get_args(Thinking)
        and isinstance(example.scenario, str | None)
        and all(edit.kind in known and isinstance(edit.at, int) for edit in example.edits)
        and all(isinstance(message["role"], str) and "content" in message for message in example.history)
        and all(isinstance(tool["function"]["name"], str) for tool in example.tools)
        and all(isinstance(tool["function"]["parameters"]["properties"], dict) for tool in example.tools)
        and all(isinstance(tool["function"]["parameters"]["required"], list) for tool in example.tools)
    )
