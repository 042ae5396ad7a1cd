"""Describes how the answers of two runs differ, for servers whose files and flags are not visible. Pure.

The same requests were answered before and now. Each cause has its own symptom: another template renders another
prompt, a missing parser leaves markup in the text, a renamed tool is called by another name, a higher temperature
gives two different answers to one question.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from annie_eval.detectors.call_text import find_call_text
from annie_eval.detectors.tags import scan
from annie_eval.regression.run_data import AnsweredSample, RecordedReply, scenario_of, twin_of
from annie_eval.stats.binomial import mcnemar
from annie_eval.stats.paired import fisher
from annie_eval.text import tool_name
from annie_eval.wire import model_text

PROMPTS = "the chat template or the tokenizer changed"
_FEW = 2  # minimum number of samples that show a change; one alone may be chance, unless there are no others
_SURE = 0.001  # two shares differ if p is below this
_JSON = re.compile(r'\{\s*"')


@dataclass(frozen=True, slots=True)
class Trace:
    """A change, described in words.

    Attributes:
        refuses: requests are not the same, so that runs are not comparable.
        fails: it affects all samples, which chance cannot explain: no more calls in their channel, a tool that is only
            called by another name. Then the server is configured differently, whatever the gates' counts are.
    """

    description: str
    refuses: bool = False
    fails: bool = False


def diagnose(
    before: Mapping[str, AnsweredSample],
    now: Mapping[str, AnsweredSample],
    *,
    tool_parser: str | None = None,
    reasoning_parser: str | None = None,
) -> list[Trace]:
    """Changes that the answers show, most important first; [] if only words differ.

    Args:
        tool_parser, reasoning_parser: the parsers that both servers are known to have. None if that is not known.
    """
    pairs = [(before[key], now[key]) for key in before if key in now]
    told = [(old, new) for old, new in pairs if old.error is None and new.error is None]
    found = [*_prompts(told), *_broken(pairs), *_tool_text(told, tool_parser), *_thinking(told, reasoning_parser)]
    return [*found, *_renamed(told), *_endings(told), *_repeatability(told)]


def _prompts(pairs: list[tuple[AnsweredSample, AnsweredSample]]) -> Iterable[Trace]:
    """The same request gives another prompt."""
    same = [(old, new) for old, new in pairs if old.asked == new.asked]
    known = [(o, n) for o, n in same if o.prompt_tokens is not None and n.prompt_tokens is not None]
    other = [
        (o, n)
        for o, n in known
        if o.prompt_tokens != n.prompt_tokens or (o.prompt and n.prompt and o.prompt != n.prompt)
    ]
    if not other:
        return
    longer = [(o, n) for o, n in other if o.prompt_tokens != n.prompt_tokens]
    if longer:
        old, new = longer[0]
        yield Trace(
            f"{PROMPTS}: {len(other)} of {len(known)} requests make another prompt, such as {old.prompt_tokens} ->"
            f" {new.prompt_tokens} tokens in {old.key}",
            refuses=True,
        )
    else:
        # A template that contains today's date gives another prompt every day.
        yield Trace(
            f"{len(other)} of {len(known)} requests make another prompt of the same length: a date in the chat"
            " template, or other words in it"
        )


def _broken(pairs: list[tuple[AnsweredSample, AnsweredSample]]) -> Iterable[Trace]:
    """Answered before, refused now; the server usually gives the reason."""
    broken = [new for old, new in pairs if old.error is None and new.error is not None]
    if not broken:
        return
    cause, count = Counter(str(each.error) for each in broken).most_common(1)[0]
    lost = ""
    if "tool" in cause and ("tool-call-parser" in cause or "auto-tool-choice" in cause or "tool_choice" in cause):
        lost = "the tool parser was lost: "
    more = "" if count == len(broken) else f", {count} of them so"
    first = cause.strip().partition("\n")[0]
    yield Trace(f"{lost}{len(broken)} of {len(pairs)} samples broke{more}: {first[:200]}")


def _tool_text(pairs: list[tuple[AnsweredSample, AnsweredSample]], parser: str | None) -> Iterable[Trace]:
    """Calls that had their channel before and are text now: readable ones, and those that the model wrote wrong."""
    called = [(old, new) for old, new in pairs if any(reply.calls for reply in old.replies)]
    lost = [(o, n) for o, n in called if not any(r.calls for r in n.replies) and _call_texts(n) and not _call_texts(o)]
    broken = [(o, n) for o, n in lost if all(_unreadable(text, n.tools) for text in _call_texts(n))]
    readable = [pair for pair in lost if pair not in broken]
    if _enough(readable, called):
        cause = (
            f"tool calls come as text under the same tool parser ({parser})"
            if parser
            else "the tool parser was lost or is another"
        )
        yield Trace(
            f"{cause}: {len(readable)} of {len(called)} samples with a tool call have it as text",
            fails=len(readable) >= _FEW and not any(_names(new) for _, new in pairs),
        )
    if _enough(broken, called):
        yield Trace(
            f"tool calls are written with broken JSON or tags, which no parser reads: {len(broken)} of {len(called)}"
            " samples with a tool call have it as such text"
        )


def _call_texts(heard: AnsweredSample) -> list[str]:
    """The texts of a sample that hold a tool call, from replies without a call in its channel."""
    tools: dict[str, Mapping[str, object]] = {name: {} for name in heard.tools}
    return [
        text
        for reply in heard.replies
        if not reply.calls
        for text in (reply.content, reply.reasoning)
        if text and find_call_text(text, tools) is not None
    ]


def _unreadable(text: str, tools: Sequence[str]) -> bool:
    """Whether the call in a text is not well-formed; False for formats that are neither JSON nor in `<tool_call>`."""
    if "<tool_call>" in text:
        return not model_text.calls(text, {name: {} for name in tools})
    begins = _JSON.search(text)
    if begins is None:
        return False
    try:
        json.JSONDecoder().raw_decode(text, begins.start())
    except (ValueError, RecursionError):
        return True
    return False


def _thinking(pairs: list[tuple[AnsweredSample, AnsweredSample]], parser: str | None) -> Iterable[Trace]:
    """Thinking that had its own channel and is spoken text now; or answers that are now in the reasoning channel."""

    def tagged(reply: RecordedReply) -> bool:
        return any(tag.kind == "thinking" for tag in scan(reply.content or ""))

    def thought(heard: AnsweredSample) -> bool:
        return any(reply.reasoning for reply in heard.replies)

    thinking = [(o, n) for o, n in pairs if thought(o)]
    spilt = [
        (o, n) for o, n in pairs if any(map(tagged, n.replies)) and not any(map(tagged, o.replies)) and not thought(n)
    ]
    if _enough(spilt, thinking or pairs):
        cause = (
            f"thinking is spoken under the same reasoning parser ({parser})"
            if parser
            else "the reasoning parser was lost or is another"
        )
        yield Trace(
            f"{cause}: in {len(spilt)} of {len(pairs)} samples thinking tags come in the spoken text",
            fails=len(spilt) >= _FEW and bool(thinking) and not any(thought(new) for _, new in pairs),
        )
    else:
        silent = [(o, n) for o, n in thinking if not thought(n)]
        if _enough(silent, thinking) and len(silent) * 2 > len(thinking):
            why = "it thinks no more" if parser else "the reasoning parser was lost, or it thinks no more"
            all_of_it = "" if len(silent) < len(thinking) else f": {why}"
            yield Trace(
                f"the reasoning channel is empty in {len(silent)} of {len(thinking)} samples that had one{all_of_it}",
                fails=_beyond_chance(pairs, lambda heard: not thought(heard)),
            )
    trapped = [
        (o, n)
        for o, n in pairs
        if _speech(o) and not _speech(n) and thought(n) and not any(r.calls for r in n.replies)
    ]
    if _enough(trapped, pairs):
        yield Trace(f"the answer is trapped in the reasoning channel in {len(trapped)} of {len(pairs)} samples")


def _speech(heard: AnsweredSample) -> bool:
    return any((reply.content or "").strip() for reply in heard.replies)


def _renamed(pairs: list[tuple[AnsweredSample, AnsweredSample]]) -> Iterable[Trace]:
    """A tool that is called by another name, which it did not have before."""
    before = Counter(name for old, _ in pairs for name in _names(old))
    now = Counter(name for _, new in pairs for name in _names(new))
    swaps: Counter[tuple[str, str]] = Counter()
    for old, new in pairs:
        for first, second in zip_longest(old.replies, new.replies):
            if first is None or second is None or len(first.calls) != len(second.calls):
                continue
            for (was, _), (is_, _) in zip(first.calls, second.calls, strict=True):
                if was and is_ and was != is_:
                    swaps[was, is_] += 1
    renamed = [
        (was, is_, count)
        for (was, is_), count in swaps.most_common()
        if is_ not in before and count * 2 >= before[was] - now[was]
    ]
    if renamed:
        offered = {name for _, new in pairs for name in new.tools}
        told = [
            f"{tool_name(was)} is called {tool_name(is_)} now"
            f" ({count} of {before[was]} calls{'' if is_ in offered else ', not offered'})"
            for was, is_, count in renamed
        ]
        # Only by a name that was not offered, and never by its own.
        gone = any(now[was] == 0 and count >= _FEW and is_ not in offered for was, is_, count in renamed)
        yield Trace(f"tool {', '.join(told)}", fails=gone)


def _names(heard: AnsweredSample) -> list[str]:
    return [name for reply in heard.replies for name, _ in reply.calls if name]


def _endings(pairs: list[tuple[AnsweredSample, AnsweredSample]]) -> Iterable[Trace]:
    """Answers with another finish reason than before."""

    def cut(heard: AnsweredSample) -> bool:
        return bool(heard.replies) and heard.replies[-1].finish_reason == "length"

    for has, ending in ((cut, "cut off by their token limit"), (_silent, "empty")):
        newly = sum(1 for old, new in pairs if has(new) and not has(old))
        if _beyond_chance(pairs, has):
            yield Trace(f"{newly} of {len(pairs)} answers are {ending}, which were not before", fails=True)


def _beyond_chance(pairs: list[tuple[AnsweredSample, AnsweredSample]], has: Callable[[AnsweredSample], bool]) -> bool:
    """Whether significantly more scenarios have a property now, by the balance of their samples (McNemar)."""
    change: Counter[str] = Counter()
    for old, new in pairs:
        change[scenario_of(new.key)] += has(new) - has(old)
    more, fewer = sum(net > 0 for net in change.values()), sum(net < 0 for net in change.values())
    return mcnemar(more, fewer) < _SURE


def _silent(heard: AnsweredSample) -> bool:
    return not any(reply.content or reply.reasoning or reply.calls for reply in heard.replies)


def _repeatability(pairs: list[tuple[AnsweredSample, AnsweredSample]]) -> Iterable[Trace]:
    """Different answers to a question sent streamed and unstreamed in one run: a sign of sampling."""
    before = {old.key: old for old, _ in pairs}
    now = {new.key: new for _, new in pairs}

    def apart(heard: Mapping[str, AnsweredSample]) -> tuple[int, int]:
        twins = [(h, heard[t]) for k, h in heard.items() if ".stream." in k and (t := twin_of(k)) in heard and t]
        return sum(words(a.replies) != words(b.replies) for a, b in twins), len(twins)

    (old, n), (new, _) = apart(before), apart(now)
    if n and new > old and fisher(new, n, old, n) < _SURE:
        yield Trace(
            f"the temperature was raised, or sampling changed: {new} of {n} questions that are sent twice are answered"
            f" in two ways (before: {old})"
        )


def words(replies: Sequence[RecordedReply]) -> list[tuple[str | None, tuple[tuple[str | None, str | None], ...]]]:
    """Text and calls of replies: two samples have the same answer if this is equal."""
    return [(reply.content, reply.calls) for reply in replies]


def alike(before: Mapping[str, AnsweredSample], now: Mapping[str, AnsweredSample]) -> tuple[int, int]:
    """(samples with exactly the same words and calls, samples answered in both runs)."""
    told = [(before[k], now[k]) for k in before if k in now and before[k].error is None and now[k].error is None]
    return sum(words(old.replies) == words(new.replies) for old, new in told), len(told)


def _enough(
    found: list[tuple[AnsweredSample, AnsweredSample]], of: list[tuple[AnsweredSample, AnsweredSample]]
) -> bool:
    return len(found) >= _FEW or bool(found and len(found) == len(of))
