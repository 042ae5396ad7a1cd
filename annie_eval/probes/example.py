"""What a probe sends: one frozen example, its JSON in the example database, and the sample that a run makes of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from annie_eval.probes.noise import Edit
from annie_eval.sample import Thinking
from annie_eval.store import dump

FORMAT = 1


@dataclass(frozen=True)
class Example:
    """One prompt and the way it is sent.

    Attributes:
        history: messages before it, OpenAI form.
        scenario: the id of the scenario whose script goes on after the prompt; None for a prompt by itself.
        edits: what noise made of the scenario's own prompt, for the report and for shrinking.
        tools: OpenAI tool objects offered in place of the profile's; () offers the profile's.
    """

    prompt: str
    history: tuple[Mapping[str, Any], ...] = ()
    stream: bool = True
    thinking: Thinking = "off"
    scenario: str | None = None
    edits: tuple[Edit, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()

    def ask(self, detectors: tuple[str, ...], repeat: int = 1) -> dict[str, Any]:
        """The ad-hoc sample that `annie_eval.judge.Catalogue.add` reads; equal where the same bytes are sent."""
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
        """Raises ValueError for what `to_bytes` of this version did not write."""
        try:
            raw = json.loads(data)
            if raw.pop("format") != FORMAT or raw["thinking"] not in get_args(Thinking):
                raise ValueError
            if not isinstance(raw["prompt"], str) or not isinstance(raw["scenario"], str | None):
                raise ValueError
            raw["edits"] = tuple(Edit(str(edit["kind"]), int(edit["at"])) for edit in raw["edits"])
            raw["history"], raw["tools"] = tuple(map(dict, raw["history"])), tuple(map(dict, raw["tools"]))
            return cls(**raw)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ValueError("no example of this version") from None
