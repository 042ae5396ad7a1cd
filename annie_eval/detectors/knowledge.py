"""Checks that the spoken answer states the right fact or number, and no wrong one.

Phrases are found as whole words, apart from case, accents and punctuation, and must be asserted
(`english.assertion`): a negated, asked, doubted or corrected mention is none. A phrase that is itself a
denial ("couldn't find it") only has to be there. A phrase that is a number is also met by that number in words.
A phrase answers where its clause does: if it is all of the clause, if a pronoun is the subject ("it's Paris"), if the
clause has a word of the question, or if no other clause does so (`english.answering`). Of yes and no, the last that
stands by itself decides (`english.polar`).

A number is read in digits or words (`english.spoken_numbers`). The answer is the first of these that there is:

1. the last number that is stated as the answer ("the answer is 7", "result: 7"), wherever it stands;
2. the last result of a worked sum ("... = 7"), where the text ends with it;
3. the number of the last conclusion ("so that makes 7", "7 are left"), correction ("no, 8") or restatement;
4. the number of the first sentence that has one.

It must be the expected one. A number does not count that is negated, hedged, asked, bounded ("more than 7"), an
operand, a reason, an aside or given by the question. One of several ("7 or 8") is no answer, and nor is one that is
said of another thing than the unit in the question ("eight eyes and six legs").
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from annie_eval.detectors.context import user_text
from annie_eval.detectors.english import polar
from annie_eval.detectors.english.alternatives import offered
from annie_eval.detectors.english.answering import Clauses
from annie_eval.detectors.english.assertion import Speech
from annie_eval.detectors.english.sentences import split_sentences
from annie_eval.detectors.english.spoken_numbers import Number, numbers
from annie_eval.detectors.english.units import singular
from annie_eval.detectors.finding import Finding, excerpt
from annie_eval.detectors.tags import without_thoughts
from annie_eval.text import fold, is_blank, word_set, words
from annie_eval.wire.sample import Sample

if TYPE_CHECKING:
    from annie_eval.profile.types import AnswerExpectation

_DENIAL = re.compile(
    r"n['’]t\b|\b(?:no|not|nothing|none|never|cannot|unable|without|nicht|kein\w*|pas|sorry)\b", re.IGNORECASE
)
_OPERATOR_BEFORE = re.compile(
    r"(?:\b(?:plus|minus|times|divided by|multiplied by|over|of)|[+×*÷/=]?[+×*÷/]|[\d)] [-−])\s*[$€£]?\Z",
    re.IGNORECASE,
)
_OPERATOR_AFTER = re.compile(r"\s*(?:[+×*÷]|[-−] ?\d|(?:plus|minus|times|divided by|multiplied by)\b)", re.IGNORECASE)
_REASON = re.compile(
    r"\b(?:because|since|given that|for example|for instance|as in|e\.g\.|compared (?:to|with)|whereas|while)\b",
    re.IGNORECASE,
)
_CHOICE = re.compile(
    r"\s*[^\W\d]{0,12}\s*(?:,?\s*\b(?:or|bis|oder|ou|maybe|perhaps)\b|/|[-–—]|\bto\b)\s*(?:maybe |perhaps |even "
    r"|about )?[$€£]?\Z",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"\b(?:between|zwischen|entre)\s+[$€£]?\Z", re.IGNORECASE)
_CONCLUSION = re.compile(
    r"\b(?:so|therefore|thus|hence|altogether|in total|in all|all told|total|overall|final|finally|answer|result"
    r"|that makes|makes it"
    r"|which means|which makes|which leaves|end up|left with|in the end|leaving|comes to|adds up)\b",
    re.IGNORECASE,
)
_LEFT_BEHIND = re.compile(
    r"(?: [^\W\d]+){0,2} (?:(?:is|are|were|was) )?(?:left|remain(?:s|ing)?|altogether|all told|in (?:total|all))\b",
    re.IGNORECASE,
)
_STEP = re.compile(
    r"\W*(?:first|then|next|after that|now|adding|add|step|let's|let us|start|starting|subtract|multiply|when)\b",
    re.IGNORECASE,
)
_RESTATEMENT = re.compile(
    r"\W*(?:it|that|this|there|they|you|he|she|we|the answer)(?:['’]\w{1,2})?\b(?:\W+\w+){0,2}\W*[$€£]?\Z",
    re.IGNORECASE,
)
_LATER = re.compile(r"\W*in [\w ]{1,30}?,? (?=(?:it|that|they|you|he|she|we)\b)", re.IGNORECASE)
# An answer that opens with the number alone, "206." or "Fifty pounds exactly, ...", has said it.
_BARE_BEFORE = re.compile(
    r"\W*(?:(?:about|around|exactly|roughly|only|just|still|probably|well|yes|no|sure|okay|oh|hmm|easy)\b\W*){0,2}[$€£]?",
    re.IGNORECASE,
)
_BARE_BEHIND = re.compile(r"(?:\s+[^\W\d]+){0,2}\s*(?:[.!,;:—–](?!\d)|- |\Z)")
# So has one that opens with "It has to be 29: ...", before the reason.
_SAID_BEFORE = re.compile(
    r"\W*(?:it|that|this)(?:['’]s| is| was| has to be| must be| has| makes| gives| comes to)(?: got| exactly)? [$€£]?",
    re.IGNORECASE,
)
_REASON_BEHIND = re.compile(r"(?:\s+[^\W\d]+){0,2}\s*[:;—–]", re.IGNORECASE)
_SOMETHING_ELSE = re.compile(r"\W*(?:they|he|she|there)\b", re.IGNORECASE)
_INSTEAD = re.compile(
    r"(?:[,…–—]\s*(?:maybe|perhaps|possibly|or)|[.!…]\s*(?:actually|well|oops|sorry),?)\s+(?:about )?[$€£]?\Z",
    re.IGNORECASE,
)
# What is saved, taken off or compared is another quantity, and what is "too many" is no answer.
_SAVED = re.compile(
    r"\b(?:sav(?:e|es|ed|ing)|spared?|spares|discount|knocks?|knocked|takes? off|uses up|used up)\b", re.IGNORECASE
)
_OFF_BEHIND = re.compile(r"(?:\s+[^\W\d]+)?\s+(?:off|less than|fewer than|more than|short)\b", re.IGNORECASE)
_TOO_MANY = re.compile(
    r"(?:\s+[^\W\d]+)?\s+(?:(?:is|are|would be|was|were|will be) )?(?:too (?:few|many|much|little|short|long"
    r"|low|high|far|small|big|large)|not enough|(?:is|are)n['’]t enough)\b",
    re.IGNORECASE,
)
_OTHER_SUBJECT = re.compile(
    r",\s*(?:and |but |while |whereas )?(?:an?|most|some|other|the other) (?!answer|total|result)\w+(?: \w+)?"
    r" (?:ha[sd]|have|is|are|costs?|gets?|count|counts|teach|teaches)\s+(?:about |only )?[$€£]?\Z",
    re.IGNORECASE,
)
_BOUND = re.compile(
    r"\b(?:more|less|fewer|greater|higher|lower|smaller|bigger|larger|longer|shorter) than (?:about )?[$€£]?\Z",
    re.IGNORECASE,
)
# Where the number must be exact, these say that it is another.
_NOT_QUITE = re.compile(
    r"\b(?:at least|at most|up to|under|over|above|below|almost|nearly|close to|just short of|not quite|approaching)"
    r" (?:about )?[$€£]?\Z",
    re.IGNORECASE,
)
# A stated answer: "the answer is 7", "= 7", "a total of 7".
_STATED = re.compile(
    r"\b(?:answer|result|solution)(?: (?:to|of) [^.!?\n]{1,40})?(?:\s?[:=]|['’]s| is| was| would be| will be| must be"
    r"| comes (?:out )?(?:to|as|at))\s(?:\w+ ){0,2}[$€£]?\Z",
    re.IGNORECASE,
)
# Where the question asks what is left, a number that is said to be left is stated as the answer.
_ASKS_WHAT_IS_LEFT = re.compile(r"\b(?:left|remain(?:s|ing)?)\b", re.IGNORECASE)
_EQUALS = re.compile(r"=\s*[$€£]?\Z")
_HOW_MANY = re.compile(r"\bhow many ([^\W\d]+)(?: ([^\W\d]+))?", re.IGNORECASE)

_NAME = (
    r"(?!(?:It|He|She|They|We|You|I|That|This|There|Who|Actually|Nobody|Someone|The|A|An|In|On|At|Not)\b)"
    r"[A-ZÀ-Þ][\w'’-]+(?: [A-ZÀ-Þ][\w'’-]+)?"
)
# "What is the capital of ...", "Who wrote ..."
_ASKED_FOR = re.compile(
    r"\b[Ww]h(?:at|o|ich)(?:['’]s| is| was| are) the (?P<noun>[a-z]{3,20})\b"
    r"|\b[Ww]ho (?P<verb>wrote|[a-z]{2,15}ed|made|built|won|sang|led)\b"
)

_PARTS_OF_TIME = re.compile(r"[.,;:!?\n—–]+(?!\d)|\b(?:and|but|while|when|after|before)\b", re.IGNORECASE)
# What is sought: "the capital", "the fastest", "the composer" of "who composed".
_SOUGHT = re.compile(r"\b(?:is|was|['’]s) the ([a-z]{3,20})\b|\b(?!west|east|rest|test)([a-z]{3,12}est)\b")
_ABOUT_OPPOSITES = word_set("opposite opposites contrary reverse antonym")
_OPPOSITES = tuple(
    (word_set(one), word_set(other))
    for one, other in (
        ("end ends ended finish finished over", "begin begins began begun start starts started"),
        ("born birth", "died death dead"),
        ("biggest largest highest tallest longest oldest most", "smallest lowest shortest youngest fewest least"),
        ("arrive arrives arrived arrival", "leave leaves left depart departs departure"),
    )
)

# An answer with more numbers than this is a table, not speech.
_MOST = 50


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
            findings.append(Finding("knowledge", "no answer", "", None, index))
            continue
        answer = without_thoughts(content)
        for reason, start, end in _misses(
            answer if not is_blank(answer) else content, expected, user_text(exchange), english
        ):
            findings.append(Finding("knowledge", reason, excerpt(content, start), "content", index, (start, end)))
    return tuple(findings)


def _misses(content: str, expected: AnswerExpectation, question: str, english: bool) -> Iterator[tuple[str, int, int]]:
    speech = Speech(content)
    whole = (0, len(content))
    if span := _opposite(content, expected, question):
        yield "says it of the opposite of what was asked", *span
    right = (*expected.any_of, *expected.all_of)
    if span := _another_named(speech, expected, question):
        yield "states another answer", *span
    clauses = Clauses(content, question, right)
    stated = [phrase for phrase in expected.any_of if _stated(speech, phrase, english, right, clauses)]
    if expected.any_of and not stated:
        yield f"does not state {_quoted(expected.any_of)}", *whole
    elif said := _other_of_yes_and_no(speech, expected.any_of, stated):
        yield said
    for phrase in expected.all_of:
        if _stated(speech, phrase, english, right, clauses) is None:
            yield f"does not state {_quoted([phrase])}", *whole
    for phrase in expected.none_of:
        if span := _stated(speech, phrase, english):
            yield f"states {_quoted([phrase])}", *span
    if expected.number is not None:
        judge = _Judge(speech, expected.number, expected.tolerance, question, english)
        if miss := judge.miss():
            yield miss


def _opposite(content: str, expected: AnswerExpectation, question: str) -> tuple[int, int] | None:
    """Where an answer speaks of the opposite of what was asked: "It began in 1945", asked when it ended."""
    if not expected.any_of and expected.number is None:
        return None
    asked = set(words(question))
    right = {word for phrase in (*expected.any_of, *expected.all_of) for word in words(phrase)}
    if asked & _ABOUT_OPPOSITES:
        return None
    for one, other in _OPPOSITES:
        for wanted, opposite in ((one, other), (other, one)):
            if not asked & wanted or asked & opposite:
                continue
            parts = [set(words(part)) for part in _PARTS_OF_TIME.split(content)]
            said = [part for part in parts if right & part] or [set(words(content))]
            if all(part & opposite - right and not part & wanted for part in said):
                return 0, len(content)
    return None


def _another_named(speech: Speech, expected: AnswerExpectation, question: str) -> tuple[int, int] | None:
    """Where another name is stated in the words of the question: "the capital is Lyon", "Marlowe wrote it"."""
    if not expected.any_of:
        return None
    accepted = [set(words(phrase)) for phrase in (*expected.any_of, *expected.all_of)]
    if span := _appositive(speech, accepted, question):
        return span
    if not (asked := _ASKED_FOR.search(question)):
        return None
    if asked["noun"]:
        noun = rf"\b(?i:the {re.escape(asked['noun'])})(?: (?!is|was)\w{{2,20}})?"
        told = re.compile(rf"{noun}(?: of [\w ]{{1,30}})? (?:is|was) (?P<name>{_NAME})")
    else:
        verb = re.escape(asked["verb"])
        told = re.compile(
            rf"(?<![\w'’-])(?P<name>{_NAME})(?:, who)? {verb}"
            rf" (?:it|that|this|them|{'|'.join(map(re.escape, words(question)))})\b"
        )
    for match in told.finditer(speech.text):
        named = set(words(match["name"]))
        if not any(named & phrase for phrase in accepted) and speech.asserts(match.span("name")):
            return match.span()
    return None


def _appositive(speech: Speech, accepted: list[set[str]], question: str) -> tuple[int, int] | None:
    """Where another is put beside what was asked for: "the capital, Lyon, ...", "Saturn, the biggest of all"."""
    sought = [word for found in _SOUGHT.finditer(question) for word in found.groups() if word]
    if not sought:
        return None
    what = rf"(?:the|its) (?:{'|'.join(map(re.escape, sought))})(?: (?!is|was)[a-z]+){{0,3}}"
    name = rf"(?<![\w'’-]){_NAME}(?: (?:de|da|del|di|von|van|of) {_NAME})?"
    beside = re.compile(
        rf"(?<!\bis )(?<!\bwas )(?<!['’]s )\b{what}, (?:the )?(?P<behind>{name})(?=[.,;!]|\Z)"
        rf"|(?P<name>{name}|\b(?:the|an?) [a-z]+), {what}(?=[.,;!]|\Z)"
        rf"|(?P<subject>{name}) (?:is|was) the (?:{'|'.join(map(re.escape, sought))})(?=[.,;!]|\Z)"
    )
    given = set(words(question))
    for match in beside.finditer(speech.text):
        role = match.lastgroup or "name"
        named = set(words(match[role])) - {"the", "a", "an"}
        foreign = not named <= given or role == "subject"
        if foreign and not any(named & phrase for phrase in accepted) and speech.asserts(match.span(role)):
            return match.span()
    return None


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
    for span in sorted(spans):
        if clauses is not None and offered(speech.text, span, right):
            continue
        if speech.asserts(span):
            last = span if clauses is None or clauses.answers(span) else last
        elif speech.denies(span):
            last = None
    return None if last is None or speech.retracted(last) else last


class _Judge:
    """Decides whether the number that a text comes to is the expected one."""

    def __init__(self, speech: Speech, value: float, tolerance: float, question: str, english: bool) -> None:
        self.speech, self.text = speech, speech.text
        self.value, self.tolerance, self.question = value, tolerance, question
        self.wanted = f"{value:g}"
        given = numbers(question, english=english)
        self.asked_units = {singular(word) for word in words(question)}
        every = numbers(self.text, english=english)
        self.every = [one for one in every if not one.weak or self.hits(one)][: _MOST + 1]
        self.sentences = split_sentences(self.text)
        self.asked_noun = {singular(word) for found in _HOW_MANY.findall(question) for word in found if word}
        asserted = [one for one in self.every if speech.asserts((one.start, one.end))]
        asserted = [one for one in asserted if not _TOO_MANY.match(self.text, one.end)]
        bound = (_BOUND,) if tolerance else (_BOUND, _NOT_QUITE)
        asserted = [one for one in asserted if not any(pattern.search(self.before(one)) for pattern in bound)]
        free = [one for one in asserted if self.hits(one) or not any(one.near(other.readings[0]) for other in given)]
        self.asserted = asserted
        self.pool = [one for one in free if not self.operand(one) and not self.aside(one, free)] or free
        if any(one.unit in self.asked_noun for one in self.pool):
            self.pool = [one for one in self.pool if one.unit is None or one.unit in self.asked_noun]

    def hits(self, one: Number) -> bool:
        return one.near(self.value, self.tolerance)

    def miss(self) -> tuple[str, int, int] | None:
        """What is wrong with the number, and where; None if it is the expected one."""
        if (stated := self.stated()) is not None:
            return None if self.hits(stated) else self.wrong(stated)
        hits = [one for one in self.pool if self.hits(one)]
        if hits and (other := self.of_another_thing(hits)):
            return self.wrong(other)
        if hits and self.speech.retracted((hits[-1].start, hits[-1].end)):
            return f"takes {self.wanted} back", hits[-1].start, len(self.text)
        if not hits:
            found = ", ".join(self.text[one.start : one.end] for one in self.asserted[:4]) or "no number"
            return f"does not state {self.wanted}, but {found}", 0, len(self.text)
        if len(self.every) > _MOST:
            return f"states more than {_MOST} numbers", 0, len(self.text)
        if span := self.candidates():
            return f"states several numbers, {self.wanted} among them", *span
        decisive = self.decisive()
        return None if self.hits(decisive) else self.wrong(decisive)

    def wrong(self, one: Number) -> tuple[str, int, int]:
        return f"comes to {self.text[one.start : one.end]}, not to {self.wanted}", one.start, one.end

    def before(self, one: Number) -> str:
        """The text before a number, as far as a rule looks."""
        return self.text[max(0, one.start - 80) : one.start]

    def stated(self) -> Number | None:
        """The number that is stated as the answer, wherever it stands; else the last result of a worked sum."""
        remains = _ASKS_WHAT_IS_LEFT.search(self.question) is not None
        signalled = [
            one for one in self.asserted if _STATED.search(self.before(one)) or (remains and self.left_over(one))
        ]
        if signalled:
            return signalled[-1]
        sums = [one for one in self.asserted if _EQUALS.search(self.before(one)) and not self.operand_of_next(one)]
        return sums[-1] if sums and self.sentence(sums[-1])[1] >= self.sentence(self.asserted[-1])[1] else None

    def operand_of_next(self, one: Number) -> bool:
        return _OPERATOR_AFTER.match(self.text, one.end) is not None

    def of_another_thing(self, hits: list[Number]) -> Number | None:
        """A number with a unit that the question names, where the expected one is said of another thing alone."""
        if any(one.unit is None or one.unit in self.asked_units for one in hits):
            return None
        return next((one for one in self.asserted if one.unit in self.asked_units and not self.hits(one)), None)

    def operand(self, one: Number) -> bool:
        before, after = self.text[max(0, one.start - 20) : one.start], self.text[one.end : one.end + 20]
        return bool(_OPERATOR_BEFORE.search(before) or _OPERATOR_AFTER.match(after))

    def aside(self, one: Number, among: list[Number]) -> bool:
        """Whether a number stands in a reason or in brackets, behind another number of its sentence."""
        start, _ = self.sentence(one)
        before = self.text[start : one.start]
        off = _OFF_BEHIND.match(self.text, one.end) is not None
        if len(among) > 1 and (off or (not self.hits(one) and self.other_quantity(one, before[-120:]))):
            return True
        bracketed = before.rfind("(") > before.rfind(")")
        reason = bracketed or _REASON.search(before)
        return bool(reason) and any(start <= other.start < one.start for other in among)

    def other_quantity(self, one: Number, before: str) -> bool:
        """Whether a number says what is saved or what is true of another thing, and nobody asked for that."""
        clause = re.split(r"[,;:—–]", before)[-1]
        found = _SAVED.search(clause)
        if found and not set(words(found.group())) & set(words(self.question)):
            return True
        return _OTHER_SUBJECT.search(before) is not None and not _CONCLUSION.search(before)

    def sentence(self, one: Number) -> tuple[int, int]:
        after = bisect_right(self.sentences, one.start, key=lambda span: span[0])
        return self.sentences[after - 1] if after else (0, len(self.text))

    def candidates(self) -> tuple[int, int] | None:
        """Where the expected number is one of several that are offered."""
        for one, two in pairwise(self.every):
            between = self.text[one.end : two.start]
            if self.hits(one) == self.hits(two) or len(between) > 40 or one.weak or two.weak or _other(one, two):
                continue
            if self.speech.denies((one.start, one.end)) or (self.hits(two) and self.left_over(two)):
                continue  # "Not 36 - 42"
            if _CHOICE.match(between) or _BETWEEN.search(self.text[: one.start][-20:]):
                return one.start, two.end
        for one in self.every:
            guessed = one not in self.asserted and not self.hits(one) and one.start > self.pool[0].start
            if guessed and _INSTEAD.search(self.before(one)):
                return self.pool[0].start, one.end
        return None

    def decisive(self) -> Number:
        """The number that a listener takes for the answer."""
        hit = next(one for one in reversed(self.pool) if self.hits(one))
        rivals = [one for one in self.pool if self.hits(one) or self.comparable(one, hit)]
        left = [one for one in rivals if self.left_over(one)]
        if left and not self.bare(rivals[0]):
            return left[-1]
        concluding = [one for one in rivals if _CONCLUSION.search(self.text, self.sentence(one)[0], one.start)]
        if concluding:
            return concluding[-1]
        if self.bare(rivals[0]):
            over = [one for one in rivals[1:] if self.overrides(one, rivals[0], bare=True)]
            return over[-1] if over else rivals[0]
        first = self.sentence(rivals[0])
        if _STEP.match(self.text, first[0]):
            return rivals[-1]
        opening = [one for one in rivals if self.sentence(one) == first]
        headline = [one for one in opening if hit.weak or one.unit == hit.unit or hit not in opening][-1]
        over = [one for one in rivals if one.start > headline.start and self.overrides(one, headline)]
        return over[-1] if over else headline

    def left_over(self, one: Number) -> bool:
        """Whether the last sentence says that so many are left, or so many in all."""
        end = self.sentence(one)[1]
        return end >= self.sentences[-1][1] and _LEFT_BEHIND.match(self.text, one.end, end) is not None

    def comparable(self, one: Number, hit: Number) -> bool:
        """Whether a number could be meant for the same as the expected one, by its unit."""
        if hit.weak or one.unit == hit.unit or self.speech.correction_between(hit.start, one.start):
            return True
        if hit.unit is None:
            return one.unit in self.asked_units
        return one.unit is None and _CONCLUSION.search(self.text, self.sentence(one)[0], one.start) is not None

    def bare(self, one: Number) -> bool:
        """Whether the answer opens with this number and nothing else: "27." or "Fifty pounds, ..."."""
        return bool(
            (_BARE_BEFORE.fullmatch(self.text, 0, one.start) and _BARE_BEHIND.match(self.text, one.end))
            or (_SAID_BEFORE.fullmatch(self.text, 0, one.start) and _REASON_BEHIND.match(self.text, one.end))
        )

    def overrides(self, one: Number, headline: Number, *, bare: bool = False) -> bool:
        """Whether a later number takes the place of the first statement.

        Behind a bare number "he" and "they" speak of somebody, not of the answer: "24. He's 6 now."
        """
        if self.speech.correction_between(headline.end, one.start):
            return True
        sentence, _ = self.sentence(one)
        start = max(sentence, headline.end)  # "It's 81; 72 would be ..." says nothing again
        if _INSTEAD.search(self.text[max(0, one.start - 30) : one.start]):
            return True
        if bare and _SOMETHING_ELSE.match(self.text, start):
            return False
        later = _LATER.match(self.text, start, one.start)
        start = later.end() if later else start
        step = _STEP.match(self.text, start) if start == sentence or later else None
        return bool(step or _RESTATEMENT.fullmatch(self.text, start, one.start))


def _other(one: Number, two: Number) -> bool:
    """Whether two numbers count different things: "8,849 metres or 29,032 feet"."""
    return one.unit is not None and two.unit is not None and one.unit != two.unit
