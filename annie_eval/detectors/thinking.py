"""Finds thinking leaked into speech: tags, special tokens, untagged reasoning, repeated reasoning, trapped answers.

Rules:

- A thinking tag of any family, or what is left of one, in content or in a tool call.
- A special token or undecoded text (`annie_eval.detectors.undecoded`) in any channel.
- A role label of the chat template, or turns written for the user (`annie_eval.detectors.roles`).
- Reasoning without tags in content, or at the start of a string in a tool call (`untagged_reasoning.find`).
- 40 or more characters of reasoning repeated in content. A draft is no leak: reasoning may hold the answer that is
  then given, so the repeated text must be the beginning of the reasoning, or reason about the user itself.
- Reasoning at all though thinking was switched off.
- An answer trapped in reasoning: text there, nothing said, nothing called. A thought that max_tokens cut is legal
  unless thinking was off.

Where the user asked about tags (`expect.topic`, or the last user message holds one), naming a tag is no leak. A tag
that works as one still is: it opens the answer and a thought follows, or it closes one that nothing opened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from annie_eval.detectors.context import user_text
from annie_eval.detectors.finding import Finding, excerpt
from annie_eval.detectors.roles import find_role
from annie_eval.detectors.tags import Tag, scan
from annie_eval.detectors.undecoded import REPLACEMENT, find_undecoded
from annie_eval.detectors.untagged_reasoning.find import find_prose
from annie_eval.text import INVISIBLE, blanked, is_blank
from annie_eval.wire.sample import FINISH_REASONS, Channel, Exchange, Sample

_REPEATED = 40
_SPACE = re.compile(rf"[\s{INVISIBLE}]+")
_FIELD = re.compile(r"""["'](?:thoughts?|thinking|reasoning|chain_of_thought|scratchpad)["']\s{0,4}:""", re.IGNORECASE)
_SENTENCE_END = ".!?…。！？:"
# What follows the name of a tag in scripts that write no spaces: talk about it.
_PARTICLES = "はがをとのもで是은는이가를"
# A stored memory may well be about "the user", so that only thinking aloud counts here.
_ARGUMENT_REASONING = re.compile(
    r"\s*(?:(?:o?kay|alright|hmm+|so|well|let me think)\b.{0,60}\bthe user\b|(?:thinking|thought) process\s?:"
    r"|let me think (?:about|step))",
    re.IGNORECASE,
)


def find(sample: Sample) -> tuple[Finding, ...]:
    """Every sign of a thinking leak, at most one of a rule in each channel of an exchange."""
    findings: list[Finding] = []
    for index, exchange in enumerate(sample.exchanges):
        findings += _judge(sample, index, exchange)
    return tuple(findings)


def _judge(sample: Sample, index: int, exchange: Exchange) -> Iterator[Finding]:
    answer = exchange.answer
    content, reasoning = answer.content or "", answer.reasoning or ""
    about_tags = bool({"tags", "thinking"} & set(exchange.expect.topic)) or _names_tags(user_text(exchange))

    yield from _marks(content, "content", index, about_tags)
    if not about_tags and (role := find_role(content, exchange.request)):
        yield _at(role[0], content, role[1], role[2], "content", index)
    if field := _FIELD.search(content):
        yield _at("reasoning as a JSON field", content, *field.span(), "content", index)
    # An answer that begins as a call is one that was dropped: its names of parameters are no talk about a call.
    prose = (
        None
        if _begins_as_call(content)
        else find_prose(content, question=user_text(exchange), tools=tuple(sample.tools), about_thinking=about_tags)
    )
    if prose:
        yield _at(f"untagged reasoning: {prose.reason}", content, prose.start, prose.end, "content", index)
    if span := _repetition(reasoning, content):
        yield _at("reasoning repeated in content", content, *span, "content", index)

    tokens = [tag for tag in scan(reasoning) if tag.kind == "special" and not about_tags]
    if tokens:
        reason = f"special token {tokens[0].name} in reasoning"
        yield _at(reason, reasoning, tokens[0].start, tokens[0].end, "reasoning", index)
    yield from _undecoded(reasoning, "reasoning", index)
    thinks = not is_blank(reasoning)
    if thinks and sample.variant.thinking == "off":
        yield _at("reasoning although thinking is off", reasoning, 0, len(reasoning), "reasoning", index)
    # Where no finish_reason came, which is a finding of the wire detector, the scenario tells that it was cut.
    unsaid = exchange.expect.truncated and answer.finish_reason not in FINISH_REASONS
    cut_thought = (answer.finish_reason == "length" or unsaid) and sample.variant.thinking != "off"
    if thinks and is_blank(content) and not answer.tool_calls and not cut_thought:
        yield _at("answer trapped in reasoning, content is empty", reasoning, 0, len(reasoning), "reasoning", index)

    for call in answer.tool_calls:
        yield from _marks(call.name or "", "tool_calls", index, about_tags=False)
        yield from _in_arguments(call.arguments or "", index, about_tags)


def _begins_as_call(content: str) -> bool:
    first = next(iter(scan(content)), None)
    tagged = first is not None and first.kind == "tool" and not content[: first.start].strip()
    return tagged or re.match(r"\s*[\[{]+\s*[\"']", content) is not None


def _names_tags(text: str) -> bool:
    return any(tag.kind in ("thinking", "special", "tool") for tag in scan(text))


def _at(reason: str, text: str, start: int, end: int, channel: Channel, index: int) -> Finding:
    return Finding("thinking", reason, excerpt(text, start), channel, index, (start, end))


def _marks(text: str, channel: Channel, index: int, about_tags: bool, *, escapes: bool = False) -> Iterator[Finding]:
    """Tags, special tokens and undecoded bytes in one text."""
    every = scan(text, escapes=escapes)
    tags = [tag for tag in every if tag.kind in ("thinking", "special")]
    leaks = [tag for tag in tags if not about_tags or _works_as_tag(text, tag, tags)]
    for kind, what in (("thinking", "thinking tag"), ("special", "special token")):
        if tag := next((tag for tag in leaks if tag.kind == kind), None):
            yield _at(f"{what} {text[tag.start : tag.end].strip()!r}", text, tag.start, tag.end, channel, index)
    yield from _undecoded(text, channel, index, every)


def _undecoded(text: str, channel: Channel, index: int, tags: tuple[Tag, ...] = ()) -> Iterator[Finding]:
    # Names of tags have such marks, too: `<｜tool▁calls▁begin｜>` is for the detector of tags of its kind.
    rest = blanked(text, ((tag.start, tag.end) for tag in tags))
    if found := find_undecoded(rest, escapes=channel == "content"):
        yield _at(found[0], text, found[1], found[2], channel, index)


def _works_as_tag(text: str, tag: Tag, tags: list[Tag]) -> bool:
    """Whether a tag in an answer about tags does what it says, rather than being talked about.

    Talk keeps tags in a sentence: "<think> opens a thought, </think> closes it." A leak opens the answer with a
    thought, or closes one after a finished sentence.
    """
    before, after = text[: tag.start], text[tag.end :]
    if tag.kind == "special":
        glued = bool(before) and (before[-1].isalnum() or before[-1] in _SENTENCE_END)
        return (not after.strip() and glued) or (not before.strip() and after[:1].isalpha())
    if not tag.closing:
        return not before.strip() and _opens_thought(text, tag, tags)
    if any(not other.closing and other.start < tag.start for other in tags):
        return False
    return _closes_thought(before, after)


def _opens_thought(text: str, tag: Tag, tags: list[Tag]) -> bool:
    body = text[tag.end :].lstrip(" \t")
    if not body.strip() or body[0] == "\n" or body[0].isupper() or find_prose(body):
        return True
    closing = (other for other in tags if other.closing and other.start > tag.end)
    return any(text[: other.start].rstrip(" \t").endswith(tuple(_SENTENCE_END + "\n")) for other in closing)


def _closes_thought(before: str, after: str) -> bool:
    stripped = before.rstrip(" \t")
    line_ends = not after.strip() or after.lstrip(" \t")[:1] == "\n"
    if stripped.endswith("\n") and line_ends:
        return not stripped.rstrip().endswith((":", "："))  # "The tag looks like this:" introduces a mention
    if not stripped.strip() or stripped[-1] in _SENTENCE_END[:-1]:
        letter = after.lstrip()[:1]
        return (
            line_ends or letter.isupper() or (letter.isalpha() and not letter.islower() and letter not in _PARTICLES)
        )
    return find_prose(before) is not None


def _in_arguments(arguments: str, index: int, about_tags: bool) -> Iterator[Finding]:
    if not about_tags:
        yield from _marks(arguments, "tool_calls", index, about_tags, escapes=True)
    for value in _strings(arguments):
        found = list(_marks(value, "tool_calls", index, about_tags)) if about_tags else []
        if REPLACEMENT in value and not found and REPLACEMENT not in arguments:  # written as an escape
            found += _undecoded(value, "tool_calls", index)
        if match := _ARGUMENT_REASONING.match(value):
            found.append(_at("untagged reasoning in an argument", value, *match.span(), "tool_calls", index))
        for finding in found:
            place = arguments.find(value[:20])
            span = (max(place, 0), max(place, 0) + len(value)) if place >= 0 else (0, len(arguments))
            yield Finding("thinking", finding.reason, finding.excerpt, "tool_calls", index, span)


def _strings(arguments: str) -> list[str]:
    """Every string in the arguments of a call, keys included; none if they are not JSON."""
    try:
        stack: list[object] = [json.loads(arguments)]
    except (ValueError, RecursionError):
        return []
    found: list[str] = []
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            stack += [*value.values(), *value]
        elif isinstance(value, list):
            stack += value
    return found


def _repetition(reasoning: str, content: str) -> tuple[int, int] | None:
    """The span of content that repeats the beginning of the reasoning, white space apart; None if none does."""
    thought = _SPACE.sub(" ", reasoning).strip()
    if len(thought) < _REPEATED or len(content) < _REPEATED:
        return None
    squeezed, origin = _squeezed(content)
    if squeezed.strip() in thought[1:]:
        return None  # all that is said was drafted first
    for offset in range(min(_REPEATED, len(thought) - _REPEATED) + 1):
        place = squeezed.find(thought[offset : offset + _REPEATED])
        if place >= 0:
            end = place + _REPEATED
            rest = thought[offset + _REPEATED :]
            same = next((i for i, (a, b) in enumerate(zip(rest, squeezed[end:], strict=False)) if a != b), None)
            end += min(len(rest), len(squeezed) - end) if same is None else same
            return origin[place], origin[end - 1] + 1
    return None


def _squeezed(text: str) -> tuple[str, list[int]]:
    """The text with each run of white space as one space, and where each of its characters came from."""
    pieces: list[str] = []
    origin: list[int] = []
    done = 0
    for space in _SPACE.finditer(text):
        pieces += [text[done : space.start()], " "]
        origin += [*range(done, space.start()), space.start()]
        done = space.end()
    return "".join([*pieces, text[done:]]), [*origin, *range(done, len(text))]
