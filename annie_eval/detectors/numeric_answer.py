"""Decides which number an answer comes to.

A number is read in digits or words (`english.spoken_numbers`). The answer is the first of these that there is:

1. the last number that is called the answer ("the answer is 7", "so it's 7", "it's 7" as the last words), or that is
   left where that is asked; in a sum the result in a later sentence takes its place;
2. the result of a worked sum ("... = 7"), if it is the last number that is asserted;
3. the number that the answer opens with ("Seven, ..."), unless a correction, a restatement or a "so" follows;
4. the last conclusion ("so 7", "7 in all"), or where the question gives two numbers what "and" joins to it;
   without one, where the question gives two numbers, the last number;
5. the number with most words of the question beside it; of several, that of the first sentence.

It must be the expected one. A number does not count that is negated, hedged, asked, compared, a difference, an
operand, a reason, an aside or given by the question. One of several ("7 or 8") is no answer. One in another unit than
was asked for is converted: an hour and a half is 90 minutes.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import pairwise

from annie_eval.detectors.english.assertion import Speech
from annie_eval.detectors.english.matter import COMMON, Matter
from annie_eval.detectors.english.quantities import bounded, is_difference, saved, somebody_would, too_many
from annie_eval.detectors.english.relations import compared
from annie_eval.detectors.english.sentences import split_sentences
from annie_eval.detectors.english.spoken_numbers import SCALES, Number, numbers
from annie_eval.detectors.english.units import rate, singular
from annie_eval.text import words

_OPERATOR_BEFORE = re.compile(
    r"(?:\b(?:plus|minus|times|divided by|multiplied by|over|of)|[+×÷/=]?(?:[+×÷/]|(?<!\*)\*)|[\d)] [-−])\s*[$€£]?\Z",
    re.IGNORECASE,
)
_DIVIDED_BY = re.compile(r"\b(?:divid|multipl)\w* [^.;!?\n]{0,40}\bby \Z", re.IGNORECASE)
# An hour or a chapter is no count of what was asked.
_HANDLED = re.compile(
    r"\b(?:halve|double|triple|divide|subtract|share|split|take)(?: away)?(?: the| that)? \Z", re.IGNORECASE
)
_LABEL = re.compile(
    r"\b(?:chapter|page|question|channel|room|platform|episode|season|line|bus)(?: number)? \Z", re.IGNORECASE
)
_ASKS_AT = re.compile(r"\b(?:at|when|time|temperature|degrees|year)\b", re.IGNORECASE)
_AN_HOUR = re.compile(
    r"\s*(?:[.,!?]|o['’]clock|today|tonight|tomorrow|this (?:morning|afternoon|evening)|sharp|[ap]\.?m\b|\Z)",
    re.IGNORECASE,
)
_OPERATOR_AFTER = re.compile(
    r",?\s*(?:[+×÷]|\*(?!\*)|[-−] ?\d|(?:plus|minus|times|divided by|multiplied by)\b)", re.IGNORECASE
)
_REASON = re.compile(
    r"\b(?:because|since|given that|for example|for instance|as in|e\.g\.|compared (?:to|with))\b",
    re.IGNORECASE,
)
_TURN = re.compile(r"\b(?:but|so|which means)\b", re.IGNORECASE)
_CHOICE = re.compile(
    r"\s*[^\W\d]{0,12}\s*(?:,?\s*\b(?:or|bis|oder|ou|maybe|perhaps)\b|/|[-–—]|\bto\b)\s*(?:maybe |perhaps |even "
    r"|about |in )?[$€£]?\Z",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"\b(?:between|zwischen|entre)\s+[$€£]?\Z", re.IGNORECASE)
_JOINED = re.compile(r"\band\b", re.IGNORECASE)
_SO_FIRST = re.compile(r"\W*so\b", re.IGNORECASE)
_AND = re.compile(r"\b(?:and|und|et)\s+[$€£]?\Z", re.IGNORECASE)
_CONCLUSION = re.compile(
    r"\b(?:so|therefore|thus|hence|altogether|in total|in all|all told|total|overall|final|finally"
    r"|that makes|makes it"
    r"|(?:which|that) means|which makes|which leaves|end up|left with|in the end|leaving|comes to|adds up)\b",
    re.IGNORECASE,
)
_LEFT_BEHIND = re.compile(
    r"(?: [^\W\d]+){0,2} (?:(?:is|are|were|was) )?(?:left|remain(?:s|ing)?|altogether|all told|in (?:total|all))\b",
    re.IGNORECASE,
)
_STEP = re.compile(
    r"\W*(?:just )?(?:first|then|next|after that|now|adding|add|step|let's|let us|start|starting|subtract|multiply"
    r"|when)\b",
    re.IGNORECASE,
)
_RESTATEMENT = re.compile(
    r"\W*(?:it|that|this|there|they|you|he|she|we|the answer)(?:['’]\w{1,2})?\b(?:\W+\w+){0,2}\W*[$€£]?\Z",
    re.IGNORECASE,
)
_AT = re.compile(r"\b(?:at|by|since|after|before|until) \Z", re.IGNORECASE)
_OPENS = re.compile(
    r"\W*(?:it|that|this|there|you|we|he|she|they|each|everybody|everyone)(?:['’]\w{1,2})?\b(?:\W+\w+){0,2}\W*[$€£]?",
    re.IGNORECASE,
)
_EXPLAINS = re.compile(
    r"(?:[.!:]|,? and)\s+(?:here(?:['’]s| is) (?:how|why|my (?:working|reasoning))|this is (?:how|why)|you see,"
    r"|step one\b|let me (?:explain|show you)|I (?:worked|got) (?:it|there))\b",
    re.IGNORECASE,
)
_DIRECT = re.compile(r"\W*(?:it|that|this|there|you|we)(?:['’]\w{1,2})?\b(?:\W+\w+){0,2}\W*[$€£]?\Z", re.IGNORECASE)
# An answer that opens with the number alone, "206." or "Fifty pounds exactly, ...", has said it.
_BARE_BEFORE = re.compile(
    r"\W*(?:(?:in|at|about|around|exactly|roughly|only|just|still|probably|well|yes|no|sure|okay|oh|ah|hmm|easy"
    r"|(?:the )?short answer)\b\W*){0,2}[$€£]?",
    re.IGNORECASE,
)
_BARE_BEHIND = re.compile(r"(?!\s+(?:is|are|was|were)\b)(?:\s+[^\W\d]+){0,2}\s*(?:[.!,;:—–](?!\d)|- |\Z)")
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
# A stated answer: "the answer is 7", "= 7", "a total of 7".
_STATED = re.compile(
    r"\b(?<!long )(?:answer|result|solution)(?: (?:to|of) [^.!?\n]{1,40})?(?:\s?[:=]|['’]s| is| was| would be"
    r"| will be| must be"
    r"| comes (?:out )?(?:to|as|at))\s(?:\w+ ){0,2}\**[$€£]?\Z",
    re.IGNORECASE,
)
# Where the question asks what is left, a number that is said to be left is stated as the answer.
_ASKS_WHAT_IS_LEFT = re.compile(r"\bhow (?:many|much)\b[^.?!]*\b(?:left|remain(?:s|ing)?)\b", re.IGNORECASE)
_ASKS_WHEN = re.compile(r"\b(?:when|year|wann|jahr)\b", re.IGNORECASE)
_IN_UNITS = re.compile(r"\b(?:in|to|into) ([^\W\d]+)\W*\Z", re.IGNORECASE)
_HOW_OLD = re.compile(r"\bhow old\b", re.IGNORECASE)
_HOW_MANY = re.compile(r"\bhow many ([^\W\d]+)(?: ([^\W\d]+))?", re.IGNORECASE)

_IT_IS = re.compile(r"\b(?:it|that|they|you)(?:['’]s|['’]re| is| are| have)(?: \w+)? \Z", re.IGNORECASE)
_EQUALS = re.compile(r"=\s*[$€£]?\Z")
_STATED_BEHIND = re.compile(
    r"(?: [^\W\d]+)?,? (?:(?:and )?that(?:['’]s| is)|is) (?:the|your|my) (?:right |correct |final "
    r"|whole )?(?:answer|result|solution)\b(?! to\b)",
    re.IGNORECASE,
)
_SO_IT_IS = re.compile(
    r"\b(?:so|hence|thus|therefore|in the end),? (?:it|that|you|there|we|each|everybody|everyone)\b"
    r"[^.,;:!?\d]{0,20}[$€£]?\Z",
    re.IGNORECASE,
)
_REMAINS = re.compile(
    r"(?: (?!of\b)[^\W\d]+){0,2} (?:(?:is|are|were|was) )?(?:left|remain(?:s|ing)?)\b", re.IGNORECASE
)
_UNIT = re.compile(r"[ -]?\w+")
_MAKES = re.compile(r"\b(?:makes?|making|leaves|gives) (?:it |you |us )?[$€£]?\Z", re.IGNORECASE)
# The result in a later sentence of a worked sum: "20 minus 11 is 9", "each gets 4".
_RESULT = re.compile(
    r"\b(?:is|are|['’]s|makes?|leaves?|gives?|pays?|gets?|needs?|costs?|ha(?:ve|s)|takes?)(?: \w+)? [$€£]?\Z",
    re.IGNORECASE,
)
_OTHER_CASE = re.compile(r"\b(?:whereas|in case)\b[^.;!?]*\Z", re.IGNORECASE)
_IT_IS_THEN = re.compile(
    r"(?:\A|[.!?;:…—–]|\bbut\b[^.!?:]*?,?)\s*(?:it|that)(?:['’]s| is| was)(?: \w+)? [$€£]?\Z", re.IGNORECASE
)
_PART = re.compile(r"[,;:—–](?!\d)|\b(?:and|but|while|whereas|though|which)\b", re.IGNORECASE)
_NEAR = 120  # characters
# An answer with more numbers than this is a table, not speech.
_MOST = 50


class Judge:
    """Decides whether the number that a text comes to is the expected one."""

    def __init__(self, speech: Speech, value: float, tolerance: float, question: str, english: bool) -> None:
        self.speech, self.text = speech, speech.text
        self.value, self.tolerance, self.question = value, tolerance, question
        self.wanted = f"{value:g}"
        # "How many dozens": 7 dozen is 84 and 7.
        self.scales = [1.0, *(SCALES[word] for word in map(singular, words(question)) if word in SCALES)]
        # "In '45" and "forty-five", asked for a year.
        self.century = 1000 < value < 2100 and value % 100 > 9 and _ASKS_WHEN.search(question) is not None
        self.matter = Matter(question)
        self.given = numbers(question, english=english)
        self.is_sum = sum(not one.weak for one in self.given) > 1
        self.asked_units = {singular(word) for word in words(question)}
        nouns = {word for found in _HOW_MANY.findall(question) for word in found} - COMMON - {""}
        self.asked_noun = set(map(singular, nouns))
        into = {singular(found) for found in _IN_UNITS.findall(question)}
        self.wanted_units = self.asked_noun or into or ({"year"} if _HOW_OLD.search(question) else set())
        every = numbers(self.text, english=english, most=4 * _MOST)
        self.every = [one for one in every if not one.weak or self.hits(one)][: _MOST + 1]
        self.sentences = split_sentences(self.text)
        asserted = [one for one in self.every if speech.asserts((one.start, one.end))]
        asserted = [one for one in asserted if not (too_many(self.text, one.end) or self.of_no_count(one))]
        asserted = [one for one in asserted if not compared(self.text, (one.start, one.end), "")]
        asserted = [one for one in asserted if tolerance or not bounded(self.before(one), question)]
        free = [
            one for one in asserted if self.hits(one) or not any(one.near(other.readings[0]) for other in self.given)
        ]
        free = [one for one in free if not self.supposed(one)]
        self.asserted = asserted
        self.pool = [one for one in free if not self.operand(one) and not self.aside(one, free)] or free
        if any(one.unit in self.asked_noun for one in self.pool):
            self.pool = [one for one in self.pool if one.unit is None or one.unit in self.asked_noun]

    def hits(self, one: Number) -> bool:
        if (factor := rate(one.unit, self.wanted_units)) is not None:
            given = any(one.near(other.readings[0]) for other in self.given)
            return not given and one.near(self.value / factor, self.tolerance / factor)
        in_century = self.century and one.unit is None and one.near(self.value % 100)
        return in_century or any(one.near(self.value * scale, self.tolerance) for scale in self.scales)

    def miss(self) -> tuple[str, int, int] | None:
        """What is wrong with the number, and where; None if it is the expected one."""
        if self.explained_after():
            return None
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
        """The last number that is called the answer; else one that is so, or is left if that is asked; else a sum."""
        called = [one for one in self.asserted if self.called_the_answer(one)]
        if called:
            over = [one for one in self.asserted if one.start > called[-1].end and self.corrects(one, called[-1])]
            return [*called, *over][-1]
        remains = _ASKS_WHAT_IS_LEFT.search(self.question) is not None
        told = [
            one
            for one in self.asserted
            if (one in self.pool and (self.is_so(one) or self.closes(one)))
            or (self.back_to_the_question(one) and self.is_so(one))
            or (remains and _REMAINS.match(self.text, one.end))
        ]
        if told:
            left = remains and _REMAINS.match(self.text, told[-1].end)
            return (None if left else self.later_result(told[-1], self.pool)) or told[-1]
        sums = [one for one in self.asserted if _EQUALS.search(self.before(one)) and not self.operand_of_next(one)]
        return sums[-1] if sums and sums[-1] is self.asserted[-1] else None

    def corrects(self, one: Number, first: Number) -> bool:
        """Whether a later number corrects what was called the answer: "I was wrong at first, it's 7"."""
        return self.speech.correction_between(first.end, one.start) and _IT_IS.search(self.before(one)) is not None

    def closes(self, one: Number) -> bool:
        """Whether the text ends with "it's 7", behind other numbers."""
        if one.unit is not None and one.unit not in self.asked_noun | self.asked_units:
            return False  # "7 days. That's 168 hours."
        if one is not self.pool[-1] or one is self.every[0] or not _IT_IS_THEN.search(self.before(one)):
            return False
        unit = _UNIT.match(self.text, one.end) if one.unit else None
        return not self.text[unit.end() if unit else one.end :].strip(" .!")

    def operand_of_next(self, one: Number) -> bool:
        return _OPERATOR_AFTER.match(self.text, one.end) is not None

    def called_the_answer(self, one: Number) -> bool:
        """Whether a number is called the answer, before or behind it."""
        said = _STATED.search(self.before(one)) is not None and not self.operand(one)
        return said or _STATED_BEHIND.match(self.text, one.end) is not None

    def is_so(self, one: Number) -> bool:
        """Whether "so it is ..." stands before a number."""
        before = self.before(one)
        return _SO_IT_IS.search(before) is not None and not self.operand(one) and not saved(before, self.question)

    def back_to_the_question(self, one: Number) -> bool:
        """Whether the last sentence counts a number of the question: "Half of eight is 4. So you ate 8 biscuits"."""
        start, end = self.sentence(one)
        last = end >= self.sentences[-1][1] and one.unit is not None and one.unit in self.asked_noun
        return last and not any(self.hits(other) and other.start >= start for other in self.every)

    def of_another_thing(self, hits: list[Number]) -> Number | None:
        """A number with a unit that the question names, where the expected one is said of another thing alone."""
        among = self.pool if self.is_sum else self.asserted
        for asked in (self.asked_noun, self.asked_units):
            if any(one.unit is None or one.unit in asked for one in hits):
                return None
            if other := next((one for one in among if one.unit in asked and not self.hits(one)), None):
                return other
        return None

    def supposed(self, one: Number) -> bool:
        """Whether a number is what somebody would say: "a careless pupil would put down 36"."""
        start, _ = self.sentence(one)
        before = self.text[max(start, one.start - _NEAR) : one.start]
        return somebody_would(before) and not self.matter.shared(before)

    def of_no_count(self, one: Number) -> bool:
        """Whether a number is an hour or that of a chapter, and the question asks for none."""
        before = self.before(one)
        if _LABEL.search(before):
            return True
        start, end = self.sentence(one)
        told = self.matter.shared(self.text[start:end])
        if told or not before.lower().endswith(" at ") or _ASKS_AT.search(self.question):
            return False
        return one.readings[0] <= 12 and _AN_HOUR.match(self.text, one.end) is not None

    def operand(self, one: Number) -> bool:
        before, after = self.text[max(0, one.start - 20) : one.start], self.text[one.end : one.end + 20]
        if _DIVIDED_BY.search(self.before(one)) or _HANDLED.search(self.before(one)):
            return True
        return bool(_OPERATOR_BEFORE.search(before) or _OPERATOR_AFTER.match(after))

    def aside(self, one: Number, among: list[Number]) -> bool:
        """Whether a number stands in a reason or in brackets, behind another number of its sentence."""
        start, _ = self.sentence(one)
        before = self.text[start : one.start]
        off = is_difference(self.text, one.end)
        if len(among) > 1 and (off or (not self.hits(one) and saved(before[-120:], self.question))):
            return True
        bracketed = before.rfind("(") > before.rfind(")") or _OTHER_CASE.search(before) is not None
        reason = bracketed or (_REASON.search(_TURN.split(before)[-1]) and not _IT_IS.search(before))
        return bool(reason) and any(start <= other.start < one.start for other in among)

    def sentence(self, one: Number) -> tuple[int, int]:
        after = bisect_right(self.sentences, one.start, key=lambda span: span[0])
        return self.sentences[after - 1] if after else (0, len(self.text))

    def candidates(self) -> tuple[int, int] | None:
        """Where the expected number is one of several that are offered."""
        for one, two in pairwise(self.every):
            between = self.text[one.end : two.start]
            if (
                self.hits(one) == self.hits(two)
                or len(between) > 40
                or one.weak
                or two.weak
                or _other(one, two)
                or self.explained(one, two)
            ):
                continue
            if self.speech.denies((one.start, one.end)) or (self.hits(two) and self.left_over(two)):
                continue  # "Not 36 - 42"
            if any(other.start > two.end for other in self.pool):
                continue  # "between 5 and 6, but I'm certain now: 6"
            if _CHOICE.match(between) or (_AND.search(between) and _BETWEEN.search(self.text[: one.start][-20:])):
                return one.start, two.end
        for one in self.every:
            guessed = one not in self.asserted and not self.hits(one) and one.start > self.pool[0].start
            if guessed and _INSTEAD.search(self.before(one)):
                return self.pool[0].start, one.end
        return None

    def explained(self, one: Number, two: Number) -> bool:
        """Whether "or" says the same in another unit: "five thousand, or twelve laps"."""
        between = self.text[one.end : two.start]
        return between.startswith(",") and two.unit is not None and two.unit not in {one.unit, *self.asked_units}

    def decisive(self) -> Number:
        """The number that a listener takes for the answer."""
        hit = next(one for one in reversed(self.pool) if self.hits(one))
        rivals = [one for one in self.pool if self.hits(one) or self.comparable(one, hit)]
        concluding = [one for one in rivals if self.left_over(one) or self.concludes(one, rivals) or self.makes(one)]
        if self.opens(rivals):
            over = [
                one for one in rivals[1:] if self.overrides(one, rivals[0], bare=True) or self.concludes(one, rivals)
            ]
            return [*rivals[:1], *over][-1]
        if self.ends(rivals):
            return rivals[-1]
        if self.bare(rivals[0]):
            over = [one for one in rivals[1:] if self.overrides(one, rivals[0], bare=True)]
            return next(
                (one for one in reversed(concluding) if over and one.start > over[-1].start), [*rivals[:1], *over][-1]
            )
        if concluding and self.is_sum:
            return self.later_result(concluding[-1], rivals) or self.last_joined(concluding[-1], rivals)
        if concluding:
            return concluding[-1]
        first = self.sentence(rivals[0])
        if _STEP.match(self.text, first[0]) or (self.is_sum and not self.direct(rivals[0])):
            return rivals[-1]
        weights = self.weights(rivals)
        if not self.is_sum:
            rivals = [one for one, weight in zip(rivals, weights, strict=True) if weight == max(weights)]
        first = self.sentence(rivals[0])
        opening = [one for one in rivals if self.sentence(one) == first]
        if self.is_sum:  # "You pay 5 and get 6 back", asked what is got back
            best = max(weights[: len(opening)])
            opening = [one for one, weight in zip(opening, weights, strict=False) if weight == best]
        headline = [one for one in opening if hit.weak or one.unit == hit.unit or hit not in opening][-1]
        over = [one for one in rivals if one.start > headline.start and self.overrides(one, headline)]
        return over[-1] if over else headline

    def later_result(self, one: Number, among: list[Number]) -> Number | None:
        """The last result of a sum in a later sentence: "so that is 60. Less the voucher that is 50."."""
        end = self.sentence(one)[1]
        later = [other for other in among if other.start > end and _RESULT.search(self.before(other))]
        return later[-1] if later and self.is_sum else None

    def last_joined(self, one: Number, among: list[Number]) -> Number:
        """The last number that "and" joins to one: "so that is two each and one for you"."""
        end = self.sentence(one)[1]
        behind = [other for other in among if one.end < other.start < end]
        return behind[-1] if behind and _JOINED.search(self.text, one.end, behind[-1].start) else one

    def concludes(self, one: Number, among: list[Number]) -> bool:
        """Whether a word of conclusion stands before a number in its sentence, and no other number between."""
        start, _ = self.sentence(one)
        start = max([start, *(other.end for other in among if other.end <= one.start)])
        return _CONCLUSION.search(self.text, start, one.start) is not None

    def makes(self, one: Number) -> bool:
        return _MAKES.search(self.text[max(0, one.start - 30) : one.start]) is not None

    def weights(self, among: list[Number]) -> list[int]:
        """How many words of the question stand with each number: in its sentence, as far as it has no other number."""
        found: list[int] = []
        for at, one in enumerate(among):
            start, end = self.sentence(one)
            before, after = among[at - 1] if at else None, among[at + 1] if at + 1 < len(among) else None
            if before and before.end > start:
                cut = _PART.search(self.text, before.end, one.start)
                if cut is None:  # "half of eighteen is nine"
                    found.append(found[-1])
                    continue
                start = cut.end()
            if after and after.start < end:
                cut = _PART.search(self.text, one.end, after.start)
                end = cut.start() if cut else after.start
            unit = _UNIT.match(self.text, one.end) if one.unit else None
            behind = self.text[unit.end() if unit else one.end : min(end, one.end + _NEAR)]
            told = f"{self.text[max(start, one.start - _NEAR) : one.start]} {behind}"
            noun = not self.asked_noun.isdisjoint(map(singular, words(told)))
            found.append(self.matter.shared(told) + noun)
        return found

    def left_over(self, one: Number) -> bool:
        """Whether the last sentence says that so many are left, or so many in all."""
        end = self.sentence(one)[1]
        return end >= self.sentences[-1][1] and _LEFT_BEHIND.match(self.text, one.end, end) is not None

    def comparable(self, one: Number, hit: Number) -> bool:
        """Whether a number could be meant for the same as the expected one, by its unit."""
        if hit.weak or one.unit == hit.unit or self.speech.correction_between(hit.start, one.start):
            return True
        if hit.unit is None and one.unit in self.asked_units:
            return True
        if one.unit is None and self.concludes(one, [hit]):
            return True
        weight, other = self.weights(sorted((hit, one), key=lambda number: number.start))
        return (weight > other) == (one.start < hit.start) and weight != other

    def listed(self, one: Number) -> bool:
        """Whether two more numbers follow at once: "7, 14, 21"."""
        at = self.every.index(one)
        three = self.every[at : at + 3]
        return len(three) == 3 and all(self.text[a.end : b.start].strip() == "," for a, b in pairwise(three))

    def direct(self, one: Number) -> bool:
        """Whether the answer opens with a pronoun and this number: "You'd pay 50", "That comes to 18"."""
        start = self.sentences[0][0] if self.sentences else 0
        return _DIRECT.fullmatch(self.text, start, one.start) is not None

    def bare(self, one: Number) -> bool:
        """Whether the answer opens with this number and nothing else: "27." or "Fifty pounds, ..."."""
        return bool(
            (
                _BARE_BEFORE.fullmatch(self.text, 0, one.start)
                and _BARE_BEHIND.match(self.text, one.end)
                and not self.listed(one)
            )
            or (_SAID_BEFORE.fullmatch(self.text, 0, one.start) and _REASON_BEHIND.match(self.text, one.end))
        )

    def opens(self, rivals: list[Number]) -> bool:
        """Whether the expected number is the only one of the first sentence, which others only explain."""
        first = self.sentence(rivals[0])
        alone = [one for one in self.every if one.start < first[1]] == rivals[:1]
        if first != self.sentences[0] or not alone or not self.hits(rivals[0]):
            return False
        weights = self.weights(rivals)
        return _OPENS.fullmatch(self.text, first[0], rivals[0].start) is not None or weights[0] == max(weights)

    def explained_after(self) -> bool:
        """Whether the first sentence says the expected number alone, and the rest says that it explains it."""
        if not self.pool or not self.sentences:
            return False
        one, end = self.pool[0], self.sentences[0][1]
        alone = [other for other in self.every if other.start < end] == [one]
        said = _EXPLAINS.search(self.text, one.end, end + 20) is not None
        return alone and said and self.hits(one) and not self.speech.correction_between(end, len(self.text))

    def ends(self, rivals: list[Number]) -> bool:
        """Whether the last sentence with a number of a sum says the expected one alone: "You've got five pieces."."""
        first = self.sentence(rivals[-1])[0]
        alone = [one for one in self.every if one.start >= first] == rivals[-1:]
        said = _DIRECT.fullmatch(self.text, first, rivals[-1].start) is not None
        return len(rivals) > 1 and alone and said and self.hits(rivals[-1])

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
        if start == sentence and _SO_FIRST.match(self.text, start):
            return True
        step = _STEP.match(self.text, start) if start == sentence else None
        again = _RESTATEMENT.fullmatch(self.text, start, one.start)
        return bool(step or (again and not _AT.search(again[0])))  # "It's 32. It boils at 212."


def _other(one: Number, two: Number) -> bool:
    """Whether two numbers count different things: "8,849 metres or 29,032 feet"."""
    return one.unit is not None and two.unit is not None and one.unit != two.unit
