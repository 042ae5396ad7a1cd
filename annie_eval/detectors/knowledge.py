"""Checks that the spoken answer states the right fact or number, and no wrong one.

Phrases are found as whole words, apart from case, accents and punctuation, and must be asserted
(`english.assertion`): a negated, asked, doubted or corrected mention is none. A phrase that is itself a
denial ("couldn't find it") only has to be there. Phrases that are one number ("12", "twelve") are judged as a number.
A phrase answers where its clause does: if it is all of the clause, if a pronoun is the subject ("it's Paris"), if the
clause has a word of the question, or if no other clause does so (`english.answering`). Of yes and no, the last that
stands by itself decides (`english.polar`).

Numbers are judged by `numeric_answer`, opposite properties are found by `opposites`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from annie_eval.detectors.context import user_text
from annie_eval.detectors.english import polar
from annie_eval.detectors.english.alternatives import in_a_row, offered
from annie_eval.detectors.english.answering import Clauses
from annie_eval.detectors.english.assertion import Speech
from annie_eval.detectors.english.matter import Matter
from annie_eval.detectors.english.names import namesake, whole_name
from annie_eval.detectors.english.relations import compared, opposite
from annie_eval.detectors.english.spoken_numbers import numbers
from annie_eval.detectors.finding import Finding, excerpt
from annie_eval.detectors.numeric_answer import Judge
from annie_eval.detectors.tags import without_thoughts
from annie_eval.text import fold, is_blank, tool_name, words
from annie_eval.wire.sample import Answer, Sample

if TYPE_CHECKING:
    from annie_eval.profile.types import AnswerExpectation

_DENIAL = re.compile(
    r"n['’]t\b|\b(?:no|not|nothing|none|never|cannot|unable|without|nicht|kein\w*|pas|sorry)\b", re.IGNORECASE
)

# A longer answer is not read: nobody hears it out, and the rules take 1 to 3 s for a million characters.
_LONGEST = 100_000
# A phrase that is said more often is a loop, and only its last mentions are judged.
_MENTIONS = 50


def find(sample: Sample) -> tuple[Finding, ...]:
    """What is missing, forbidden or wrong in the answer of each exchange that expects one."""
    findings: list[Finding] = []
    english = sample.scenario.language.split("-")[0] == "en"
    for index, exchange in enumerate(sample.exchanges):
        expected = exchange.expect.answer
        if expected is None:
            continue
        content = exchange.answer.content or ""
        if is_blank(content):
            came, text = _instead(exchange.answer)
            findings.append(Finding("knowledge", f"no answer: {came}", excerpt(text, 0), None, index))
            continue
        if len(content) > _LONGEST:
            reason = f"{len(content)} characters, more than the {_LONGEST} that are read for an answer"
            findings.append(Finding("knowledge", reason, excerpt(content, 0), "content", index, (0, len(content))))
            continue
        answer = without_thoughts(content)
        for reason, start, end in _misses(
            answer if not is_blank(answer) else content, expected, user_text(exchange), english
        ):
            findings.append(Finding("knowledge", reason, excerpt(content, start), "content", index, (start, end)))
    return tuple(findings)


# A reply that says it does not answer; what else it mentions is no answer, unless "but" follows.
_DECLINES = re.compile(
    r"\b(?:(?:can['’]?t|cannot|can not|couldn['’]t|could not|unable to|not able to)"
    r" (?:help (?:you )?with|answer|open it|look (?:it|that|this) up|find (?:it|that|an answer|the answer))"
    r"|(?:have|has)(?:n['’]t| not)(?: got)? (?:an|the|any) answer|(?:don['’]t|do not) have (?:an|the|any) answer"
    r"|none of (?:them|these|those) answers?|I(?:['’]m| am) not (?:really |quite )?sure(?=\s*(?:[.!]|\Z))"
    r"|I(?:['’]ll| will) (?:try to )?look (?:it|that) up)\b"
    r"(?![^.!?]{0,60}[.,;]?\s*(?:but|however|still|though)\b)",
    re.IGNORECASE,
)


def _instead(answer: Answer) -> tuple[str, str]:
    """What came in place of an answer, and its text."""
    if answer.tool_calls:
        call = answer.tool_calls[0]
        return f"calls {tool_name(call.name)} instead", call.arguments or ""
    if not is_blank(answer.reasoning):
        return "only reasoning", answer.reasoning or ""
    return "an empty reply", ""


def _misses(content: str, expected: AnswerExpectation, question: str, english: bool) -> Iterator[tuple[str, int, int]]:
    speech = Speech(content)
    whole = (0, len(content))
    right = (*expected.any_of, *expected.all_of)
    number = () if expected.number is None else (f"{expected.number:g}",)
    if (expected.any_of or number) and opposite(
        content, {w for one in (*right, *number) for w in words(one)}, question
    ):
        yield "says it of the opposite of what was asked", *whole
    said_no = any(fold(phrase) in polar.YES | polar.NO or _DENIAL.search(phrase) for phrase in right)
    if (right or number) and not said_no and (declined := _DECLINES.search(content)):
        yield "says that it does not answer", *declined.span()
        return
    value = _only_number(expected.any_of, english)
    for wanted, tolerance in ((value, 0.0), (expected.number, expected.tolerance)):
        if wanted is not None and (miss := Judge(speech, wanted, tolerance, question, english).miss()):
            yield miss
    any_of = expected.any_of if value is None else ()
    clauses = Clauses(content, Matter(question, right))
    stated = [phrase for phrase in any_of if _stated(speech, phrase, english, right, clauses)]
    if any_of and not stated:
        yield f"does not state {_quoted(expected.any_of)}", *whole
    elif said := _other_of_yes_and_no(speech, any_of, stated):
        yield said
    for phrase in expected.all_of:
        if _stated(speech, phrase, english, right, clauses) is None:
            yield f"does not state {_quoted([phrase])}", *whole
    for phrase in expected.none_of:
        if span := _stated(speech, phrase, english):
            yield f"states {_quoted([phrase])}", *span


def _only_number(accepted: Sequence[str], english: bool) -> float | None:
    """The number that each accepted phrase is; None where one is another or has other words."""
    read = [numbers(phrase, english=english) for phrase in accepted]
    if not read or any(len(one) != 1 for one in read):
        return None
    if any(re.search(r"[^\W\d]", p[: n.start] + p[n.end :]) for p, (n,) in zip(accepted, read, strict=True)):
        return None
    value = read[0][0].readings[0]
    return value if all(one.near(value) for (one,) in read) else None


def _quoted(phrases: Sequence[str]) -> str:
    shown = ", ".join(f'"{phrase}"' for phrase in phrases[:4])
    return f"any of {shown}{' …' if len(phrases) > 4 else ''}" if len(phrases) > 1 else shown


def _other_of_yes_and_no(
    speech: Speech, accepted: Sequence[str], stated: Sequence[str]
) -> tuple[str, int, int] | None:
    """Where yes is said last and only no is accepted, or the other way round, and no other phrase is stated."""
    wanted = {fold(phrase) for phrase in accepted}
    yes, no = not wanted.isdisjoint(polar.YES), not wanted.isdisjoint(polar.NO)
    others = [phrase for phrase in stated if fold(phrase) not in polar.YES and fold(phrase) not in polar.NO]
    if yes == no or others or (said := polar.last_said(speech)) is None:
        return None
    which, start, end = said
    return None if which is yes else ("says neither yes nor no" if which is None else "says the other", start, end)


def _stated(
    speech: Speech, phrase: str, english: bool, right: Sequence[str] = (), clauses: Clauses | None = None
) -> tuple[int, int] | None:
    """Where a phrase is last asserted and not taken back; None if it is not.

    Args:
        right: the accepted phrases; beside any other it is no answer (`annie_eval.detectors.english.alternatives`).
        clauses: where another clause answers, a phrase in one that does not is no answer.
    """
    spans = speech.find(phrase)
    alone = numbers(phrase, english=english)
    if (
        len(alone) == 1
        and not alone[0].weak
        and not re.search(r"[^\W\d]", phrase[: alone[0].start] + phrase[alone[0].end :])
    ):
        same = (number for number in numbers(speech.text, english=english) if number.near(alone[0].readings[0]))
        spans += [(number.start, number.end) for number in same]
    if fold(phrase) in polar.YES or fold(phrase) in polar.NO:
        spans = [span for span in polar.said_like(speech, phrase) if not speech.cited(span)]
    if _DENIAL.search(phrase):
        return spans[-1] if spans else None
    last: tuple[int, int] | None = None
    for part in sorted(spans)[-_MENTIONS:]:
        span = whole_name(speech.text, part)
        if clauses is not None and (
            offered(speech.text, span, right)
            or (not clauses.open and in_a_row(speech.text, span, right))
            or namesake(speech.text, part, right, clauses.matter.question)
            or compared(speech.text, span, clauses.matter.question)
        ):
            continue
        if speech.asserts(span):
            last = span if clauses is None or clauses.answers(span) else last
        elif speech.denies(span):
            last = None
    return None if last is None or speech.retracted(last) else last
