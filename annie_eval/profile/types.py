"""The types of profiles and scenarios: frozen dataclasses.

`profile.load` reads them from files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

Thinking = Literal["on", "off", "unset"]
_OLD_KEY = re.compile(r"\.whole(\.(?:on|off|unset)(?:\.\d+)?)$")

# The detectors that a gate may use; each is a module of annie_eval.detectors.
DETECTORS: tuple[str, ...] = (
    "thinking",
    "tool_calls",
    "restraint",
    "markdown",
    "brevity",
    "silence",
    "degeneration",
    "knowledge",
    "speakable",
    "wire",
    "dropped_calls",
)

# The gate that tests the server and not the model, and its probes.
STATE_GATE = "server_state"
PROBES: tuple[str, ...] = ("warm_cold", "poison", "load", "greedy", "stream")
TRAFFIC: tuple[str, ...] = ("cancelled", "too_long", "parallel")


@dataclass(frozen=True, slots=True)
class Variant:
    """How a scenario is sent. With `unset` thinking no switch is sent, so the template's default applies."""

    stream: bool = True
    thinking: Thinking = "off"
    repeat: int = 1

    @property
    def label(self) -> str:
        """`stream.off`, or `unstreamed.on.2` for the second repeat."""
        label = f"{'stream' if self.stream else 'unstreamed'}.{self.thinking}"
        return label if self.repeat == 1 else f"{label}.{self.repeat}"


def sample_key(scenario_id: str, variant: Variant) -> str:
    """The name of a sample in a run, for example `markdown-shopping.stream.off`."""
    return f"{scenario_id}.{variant.label}"


def current_key(key: str) -> str:
    """A sample's name in this version: runs of format 1 have `whole` instead of `unstreamed`."""
    return _OLD_KEY.sub(r".unstreamed\1", key)


@dataclass(frozen=True, slots=True)
class CallExpectation:
    """One expected tool call. `arguments` maps a parameter to its check (docs/profiles.md); others are not checked."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    optional: bool = False


@dataclass(frozen=True, slots=True)
class AnswerExpectation:
    """What the spoken answer must state.

    Attributes:
        any_of: at least one of these must be stated (normalised words; a negated mention does not count).
        all_of: every one of these must be stated.
        none_of: none of these may be stated.
        number: the number that must be stated, in digits or words, within `tolerance`.
    """

    any_of: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()
    number: float | None = None
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class Expect:
    """What a good reply to one request is.

    Attributes:
        calls: the expected tool calls; `()` allows no call; None: calls are not judged.
        answer: what the spoken answer must state; None if it is not judged.
        topic: subjects that the user asked about, so that the answer may mention them: `tags`, `thinking`,
            `markdown`.
        max_sentences: overrides the profile's limit.
        truncated: the answer is cut by max_tokens on purpose, so it may be unfinished.
    """

    calls: tuple[CallExpectation, ...] | None = None
    answer: AnswerExpectation | None = None
    topic: tuple[str, ...] = ()
    max_sentences: int | None = None
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One user turn of a scenario.

    Attributes:
        user: what the user says.
        expect: what a good first reply is.
        tool_results: the result of each tool, by tool name. If the reply calls it, the result is sent back and the
            next reply is judged by `then`.
        then: what a good reply to the tool results is.
        example: a good first reply, as an OpenAI assistant message; the test server sends it.
        then_example: a good reply to the tool results.
    """

    user: str
    expect: Expect = Expect()
    tool_results: Mapping[str, Any] = field(default_factory=dict)
    then: Expect = Expect(calls=())
    example: Mapping[str, Any] | None = None
    then_example: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One prompt, or a conversation of several turns.

    Attributes:
        id: unique in the profile; lower-case words joined by hyphens.
        category: what it tests; gates choose scenarios by category.
        turns: the user turns; most scenarios have one.
        history: messages before the first turn, in OpenAI's format (may have tool calls and tool results).
        tools: names of the tools offered; None offers all tools of the profile.
        variants: the ways it is sent, at least one; each makes one sample.
        max_tokens: overrides the profile's.
        language: BCP 47 tag of the expected answer's language.
        source: file and line, for messages.
    """

    id: str
    category: str
    turns: tuple[Turn, ...]
    history: tuple[Mapping[str, Any], ...] = ()
    tools: tuple[str, ...] | None = None
    variants: tuple[Variant, ...] = (Variant(),)
    max_tokens: int | None = None
    language: str = "en"
    source: str = ""

    def sample_keys(self) -> tuple[str, ...]:
        """The keys of its samples, one for each variant."""
        return tuple(sample_key(self.id, variant) for variant in self.variants)


@dataclass(frozen=True, slots=True)
class Gate:
    """A rule: at least k of n samples of some categories must pass.

    Attributes:
        detectors: names from `annie_eval.detectors`; a sample passes when none of them finds anything.
        categories: scenario categories; `("*",)` means every sample of the run.
        required: how many samples must pass; None means all of them.
        lower_bound: if set, the one-sided exact (Clopper-Pearson) lower confidence bound on the pass rate must
            reach it, else the gate is INCONCLUSIVE (or FAIL when the upper bound is below it).
        confidence: level of intervals and bounds.
        elsewhere: further detectors, each with the categories whose samples another gate judges with it; these
            samples are not judged here.
        baseline: results measured elsewhere, by model; shown beside the result.
        margin: acceptable loss of pass rate against a blessed baseline; None takes 10 %, or the smallest loss that
            the gate's samples can detect, if that is more.
    """

    name: str
    detectors: tuple[str, ...]
    categories: tuple[str, ...]
    required: int | None = None
    lower_bound: float | None = None
    confidence: float = 0.95
    elsewhere: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    baseline: Mapping[str, str] = field(default_factory=dict)
    margin: float | None = None

    @property
    def every_sample(self) -> bool:
        return self.categories == ("*",)

    def detectors_for(self, category: str) -> tuple[str, ...]:
        """The detectors that judge a sample of this category."""
        more = (name for name, others in self.elsewhere.items() if category not in others and "*" not in others)
        return (*self.detectors, *more)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a spoken answer."""

    min_sentences: int = 1
    max_sentences: int = 3
    max_words: int = 80
    max_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Speech:
    """What the assistant's speech engine can pronounce, and how fast it speaks.

    Attributes:
        allow: kinds of text that the detector `speakable` does not report (listed in docs/detectors.md).
        words_per_minute: speed of speech, for `limits.max_seconds`.
    """

    allow: tuple[str, ...] = ("clock", "currency", "phone")
    words_per_minute: int = 150


@dataclass(frozen=True, slots=True)
class Sampling:
    """Request fields of all samples; `extra` is sent unchanged."""

    temperature: float = 0.0
    max_tokens: int = 256
    top_p: float | None = None
    seed: int | None = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Concurrency and time limits, in seconds."""

    concurrency: int = 32
    request_timeout: float = 120.0
    deadline: float = 3600.0
    transport_retries: int = 2


@dataclass(frozen=True, slots=True)
class Serving:
    """Server flags that belong to the assistant.

    Attributes:
        tool_parser: vLLM's `--tool-call-parser`; None only without tools, or for a server that runs already.
        reasoning_parser: vLLM's `--reasoning-parser`.
        chat_template_kwargs: defaults for the template.
        thinking_kwarg: the template's variable that switches thinking; sent in `chat_template_kwargs`.
        args: more vLLM arguments.
        max_model_len: context length to serve, in tokens.
    """

    tool_parser: str | None = None
    reasoning_parser: str | None = None
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    thinking_kwarg: str = "enable_thinking"
    args: tuple[str, ...] = ()
    max_model_len: int | None = None


@dataclass(frozen=True, slots=True)
class StateProbes:
    """How the gate `server_state` asks; see docs/blame.md.

    Attributes:
        probes: names of `PROBES`.
        traffic: what the probe `poison` sends: names of `TRAFFIC`.
        prefix_tokens: lengths of the shared prefix, about; those that the server's context cannot hold are left out.
        tools: how many tools are offered, beside the profile's own number.
        questions: how many questions follow each of two prefixes of a length; at least three.
        greedy_tokens: how many tokens the probe `greedy` looks at, about.
        calls: how many streamed calls the probe `stream` looks at.
        seconds: how long one probe may take; a longer one is not checked.
    """

    probes: tuple[str, ...] = PROBES
    traffic: tuple[str, ...] = TRAFFIC
    prefix_tokens: tuple[int, ...] = (600, 2200, 8000, 30000)
    tools: tuple[int, ...] = (5, 20, 50)
    questions: int = 4
    greedy_tokens: int = 8000
    calls: int = 80
    seconds: int = 600


@dataclass(frozen=True)  # without slots, for cached_property
class Profile:
    """One assistant's release criteria. `tools` are OpenAI tool objects by name."""

    name: str
    path: Path
    system_prompt: str
    tools: Mapping[str, Mapping[str, Any]]
    scenarios: tuple[Scenario, ...]
    gates: Mapping[str, Gate]
    limits: Limits = Limits()
    speech: Speech = Speech()
    sampling: Sampling = Sampling()
    traffic: Traffic = Traffic()
    serving: Serving = Serving()
    state: StateProbes | None = None
    hardware: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    digest: str = ""

    @cached_property
    def prompts(self) -> dict[str, str]:
        """For each scenario's id, the id of the first scenario with the same prompt."""
        first: dict[tuple[object, ...], str] = {}
        return {
            one.id: first.setdefault(
                (tuple(turn.user for turn in one.turns), repr(one.history), one.tools, one.max_tokens), one.id
            )
            for one in self.scenarios
        }

    def gate_scenarios(self, gate: Gate) -> tuple[Scenario, ...]:
        """The scenarios that a gate judges, in file order."""
        if gate.every_sample:
            return self.scenarios
        return tuple(s for s in self.scenarios if s.category in gate.categories)


Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE", "ERROR"]
