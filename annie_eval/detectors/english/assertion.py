"""Finds whether a text asserts what it mentions: not negated, not asked, not doubted, not taken back.

The scope of a negation is a clause: it ends at punctuation, a spaced hyphen, a line break and at words such as "but"
and "until". What is hedged ("maybe", "it might be"), said by some or thought once is not asserted. So "Not Lyon, it is
Paris" asserts Paris, "it is not Lyon but Paris" too, and "Paris is not the capital" does not. A heuristic over words,
with negations of the languages that the scenarios speak; it is told to be strict, since a mention is not an answer.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property

from annie_eval.detectors.english.relations import NONE_MORE
from annie_eval.text import CJK, WORD, fold, word_set

Span = tuple[int, int]

_TOKEN = re.compile(rf"[{WORD}]+n['’]t\b|\d+(?:[.,:]\d+)*|(?:[^\W\d_]\.){{2,}}|[{WORD}]+|\.{{2,}}|[^\s{WORD}]")
_CLAUSE_END = word_set(", . ; : — – … ! ? ( ) 。 、 ！ ？ । ؟ ， ； ： « » “ ”") | {"..", "...", "...."}
_SENTENCE_END = word_set(". ! ? … 。 ！ ？ । ؟")
# Words at which the reach of a negation ends. "than" ends it but for "rather than" and "other than".
_TURNS = word_set(
    "but until till because since although though instead sondern aber mais sino pero ma bensi weil porque perche"
)
_NEGATIONS = word_set(
    "not never no neither cannot without nicht kein keine keinen keinem keiner niemals nie weder pas jamais ni"
    " nunca tampoco non mai ne नहीं नही न nao nem"
)
_IS_NOT = word_set("isn't wasn't aren't weren't isnt wasnt arent can't couldn't wouldn't")
_FINAL_NEGATIONS = word_set("नहीं नही")
# Each of these and each negation turns what follows into its contrary; two of them in one clause do not.
_DENIALS = word_set(
    "doubt doubts doubtful wrong incorrect false mistaken mistake error myth lie joke rumour rumor stretch"
    " nonsense rubbish deny"
    " denies denied lying forget unlikely hardly bezweifle doute dudo dubito"
)
_OPEN = word_set(
    "suppose supposing imagine pretend unsure uncertain whether wonder unlike except excluding unclear ob soit"
)
_CONDITIONS = word_set("if unless falls wenn si se")
_PAIRS = {("rather", "than"), ("other", "than"), ("instead", "of"), ("apart", "from"), ("anstatt", "von")}
_ALL_BUT = word_set("anything everything all everywhere anyone")
_HEDGES = word_set("maybe perhaps possibly potentially conceivably vielleicht eventuell quizas forse talvez peutetre")
_MODALS = word_set("might may could konnte podria potrebbe pourrait")
_HEDGED_BEHIND = re.compile(
    r"\s*,?\s*(?:maybe|perhaps|possibly|vielleicht|peut-être|quizás|forse|or so)\s*(?:[.?!,;…—–]|\Z)", re.IGNORECASE
)
# "... is what I heard, but I wouldn't bet on it": who says so does not stand by it.
_NOT_STOOD_BY = re.compile(
    r"[^.;!?\n]{0,40}[,.;–—]? (?:but|though|although|and|so|please)? ?(?:I |you |please )*"
    r"(?:(?:would not|wouldn['’]t|do not|don['’]t|not) (?:bet|swear|put (?:any |my )?money|stake|count|rely|bank"
    r"|quote|vouch|take my word|hold me))\b",
    re.IGNORECASE,
)
_GUESSED = re.compile(
    r"\b(?:if I (?:had|have|were|was) to (?:guess|bet|pick|choose|say)|(?:at|as) a (?:wild |rough )?guess"
    r"|(?:less|least) likely|mix(?:ed|ing)? up|torn between"
    r"|no(?:body|[- ]one) (?:would|will|should) (?:say|answer|guess)"
    r"|my (?:best |first |only |wild )?guess|(?:hazard|venture|take|make|have) a (?:wild |rough )?(?:guess|stab))\b"
    r"[^.;!?\n]{0,30}\Z",
    re.IGNORECASE,
)
# "It was Paris once, but now it's Lyon": a statement about the past alone.
_WAS = re.compile(r"\b(?:was|were)(?: the| an?)? \Z", re.IGNORECASE)
_ONCE_BEHIND = re.compile(
    r"(?: [^\W\d]+){0,2},? (?:once|originally|at first|at one (?:time|point)|in the past|back then|until \w+)\b"
    r"[^.!?\n]{0,20}\b(?:now|today|nowadays|these days|since then)\b",
    re.IGNORECASE,
)
_NEXT_TO_IT = re.compile(
    r"\bnothing (?:to do|in common) with (?:the |an? )?\Z",
    re.IGNORECASE,
)
# Another place is named, and this one lies beside it: "Toronto, near Ottawa".
# Somebody or something else, told by its likeness to it: "a friend of Picasso", "a suburb of Paris".
_OF_IT = re.compile(
    r"\b(?:some(?:one|body|thing)|an? [^\W\d]+) like \Z"
    r"|\bsome(?:one|body|thing|where) (?:who|that|else|other)\b[^.,;!?\n]{0,40}\Z"
    r"|(?<!not )\b(?:far|away|off by \w+|different) from (?:the |an? )?\Z"
    r"|(?:^|\b(?:it['’]?s|it is|is|lies) )(?:(?:north|south|east|west) of|after|before) \Z"
    r"|\b(?:(?:right|just|straight|immediately|shortly"
    r"|minutes?|hours?|days?|weeks?|months?|years?) (?:after|before)"
    r"|(?:that|which) (?:follow|precede)s?|beaten by|los(?:es|t) to|second to"
    r"|(?:nearly|almost|not quite|not) as \w+ as) (?:the |an? )?\Z"
    r"|(?:^|[.!?]\s*)(?:an?|some|no|nobody|anyone)\b[^.,;!?\n]{0,40} would (?:say|answer|guess|write|put|reply)"
    r"(?: down)? (?:the |an? )?\Z"
    r"|\b(?:replac(?:e|es|ed|ing)|took over from|overtook|succeeded|beats?"
    r"|out(?:runs?|ran|does|did|ranks?|weighs?|grows?|grew|sells?)) (?:even |only )?(?:the |an? )?\Z"
    r"|\byou(?:['’]d| would| might) (?:think|expect|guess|imagine|assume)\b[^.,;:!?\n]{0,30} \Z"
    r"|\b(?:small|slight|slim|outside) chance (?:that )?(?:it['’]s|it is|it was) (?:the |an? )?\Z"
    r"|\b(?:going to|about to|nearly|almost) (?:say|said|guess|guessed) (?:it was |it['’]s )?(?:the |an? )?\Z",
    re.IGNORECASE,
)
# The same behind it: "Picasso's friend", "Lyon was my other idea".
_OF_IT_BEHIND = re.compile(
    r"['’]s (?:\w+ )?(?:friend|rival|student|teacher|neighbou?r|successor|predecessor)\b"
    r"| used to be\b"
    r"| (?:was|were|has been|have been) (?:\w+ )?(?:thought|believed|considered|supposed|said|rumou?red|assumed)\b"
    r"|[^.,;!?\n]{0,60} is (?:just |only |exactly )?what (?:they|people|some|many|others)\b"
    r"| (?:is|was|would be) (?:just |only |also )?an? (?:\w+ )?(?:guess|mistake|misconception|slip|myth)\b"
    r"|[^.,;:!?\n]{0,30}[.,;]? (?:but )?(?:do not|don['’]t) (?:believe|listen to|fall for) (?:them|it|that|him|her)\b"
    r"| comes close(?=\s*[.,;!—–]|\s*\Z)"
    r"| (?:(?:can|could|must|should) be|is|was) (?:ruled out|out of the question)\b"
    r"| is what (?:I|you|we|they|people)(?:['’]d|['’]ve| would)?(?: have| was| were)? "
    r"(?:say|said|think|thought|guess|guessed|hear|heard|read|told)\b"
    r"| (?:springs?|sprang|comes?|came|leaps?) to mind\b"
    r"|[^.,;!?\n]{0,30},? (?:wrongly|mistakenly|by mistake|in error)(?=\s*[.,;!]|\s*\Z)",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(r"\s*(?:\.{2,}|…|[,?—–])\s*(?:no|nope|nein|non)\b\s*[.!]?\s*\Z", re.IGNORECASE)
_DID_NOT = re.compile(r" did(?: not|n['’]?t)(?: \w+ (?:it|that|this|them))?(?=\s*[.,;:!—–]|\s*\Z)", re.IGNORECASE)
_IF_NOT_ANOTHER = re.compile(
    r"\bif (?:it['’]?s not|it is not|it isn['’]?t|that['’]?s not|not)\b[^,.!?\n]{0,30}, (?:then )?(?:it['’]?s"
    r"|it is|it must be|that['’]?s) \Z",
    re.IGNORECASE,
)
_CLAUSE_MARKS = re.compile(r"(?<=\s)-(?=\s)|\n\s*")
# "not only Paris" and their kind state what follows; so do these idioms.
_ONLY = word_set("only just merely simply solely nur seulement solo solamente soltanto")
_IDIOM = re.compile(
    r"\b(?:no doubt|no question|no wonder|no problem|no worries|without (?:a )?doubt"
    r"|can(?:no|['’])t (?:go wrong|miss|beat)|none other than|no other than|no one but|nothing but|not far|not until"
    r"|why not|not (?:surprisingly|bad)|no one else|never mind|sans doute|sin duda|senza dubbio|ohne zweifel"
    r"|no less than)\b",
    re.IGNORECASE,
)
_BE = word_set(
    "is was are were be been ist war sind est etait sont es era fue esta son e sia sono erano would could can should"
    " must may might will"
)
_ASKING = word_set(
    "is are was were am do does did can could would will shall should may might has have had what who whom whose which"
    " where when why how ist sind war hat kann soll was wer wo wann warum wie welche est qui que quoi ou quand comment"
    " quel quelle es son cual quien donde cuando como puedo e chi che cosa dove quando come quale"
)
_YES = word_set("yes yep yeah right correct exactly indeed ja oui si")
_BELIEFS = word_set(
    "think thinks thought say says said believe believes assume assumes claim claims guess guessed mean expect"
)
_WOULD = word_set("would might will often")
_EARLIER = word_set("before earlier first ago")
_OTHERS = word_set("some people folks many most others everyone everybody")
_CONTRAST = word_set("but however actually though instead")
# "It's Lima you can't miss": what follows has a subject of its own.
_OTHER_SUBJECTS = word_set("i you we he she they")
_REACH = 16
_CONDITION_REACH = 7
_SENTENCE = 100  # tokens; a longer sentence is no speech

_CUE = re.compile(
    r"(?:^|[.,;:!?…—–-])[\s\"'”’]*(?:(?:oh|uh|um|ah|er|hmm|well|and|but|so|sorry|ach)[,.…]? )*"
    r"(?:wrong(?=\s*[,.!:…—–-])"
    r"|(?:no|nope|nein|non)(?=\s*[,.!:…—–-]| (?:wait|sorry|it|that|i|actually|the)\b)|wait(?=\s*[,.!…—–-]| no\b)"
    r"|sorry,? (?=it['’]?s|it is|i meant?|that['’]?s|the |make |no\b|[\d(]|(?-i:[A-ZÀ-Þ])[\w'’-]+[.!]?\s*\Z)"
    r"|scratch that|strike that|correction\b"
    r"|make that|let me correct|i meant?\b|i was wrong|i misspoke|i take that back|my mistake|on second thoughts?\b"
    r"|i got (?:that|it) wrong|i(?:['’]ve)? made a (?:mistake|slip)"
    r"|or rather|that['’]s (?:wrong|not right|incorrect)|pardon\b|perdon\b|perdón\b|anzi\b|ou plutôt|besser gesagt"
    r"|just kidding\b|only joking\b|oops\b|hold on(?=[,.!…—–-]| no\b)"
    r"|actually,? (?:no\b|it['’]?s|it is|that['’]?s|the (?:answer|capital|correct \w+|right \w+) is)"
    r"(?! (?:also|still|a|an|the|one|not|only|quite|very|really|true|right|correct)\b)"
    r"|(?<=[.!…]\s)actually, (?!not\b)(?=[\w$£€'’-]+(?: [\w'’-]+)?[.!]?\s*\Z))"
    r"|いや|やっぱり|訂正|不对|不是，",
    re.IGNORECASE | re.MULTILINE,
)
_REJECTION = re.compile(
    r"(?:(?:is|was|would be|are) (?:not|never)|(?:is|was|are)n't) (?:quite |actually |really )?"
    r"(?:correct|right|true|it\b|accurate|the (?:answer|right|correct|one|capital))|(?:is|was|would be) (?:wrong"
    r"|incorrect|false)"
)
_FORMER = re.compile(
    r"\b(?:used to (?:be|mean|say|think|believe|call it)(?: that)?(?: (?:it|that)(?:['’]s| is| was))?|formerly"
    r"|previously|no longer)(?: the| an?| called)? \Z",
    re.IGNORECASE,
)
_AND_RIGHTLY = re.compile(
    r"[^,.!?\n]{0,20}, you(?:['’](?:re|ll be|d be)| are| were| will be|['’]ll get)(?: (?!no\b)\w+)? (?:right|correct"
    r"|marks)\b",
    re.IGNORECASE,
)
# "It would be 81 only if ...": under a condition that does not hold.
_WOULD_BE = re.compile(r"(?:['’]d|\bwould)(?: be| have|['’]ve) (?:\w+ )?\Z", re.IGNORECASE)
_IF_BEHIND = re.compile(r"(?: [^\W\d]+){0,2} if\b", re.IGNORECASE)
# "Whoever told you Paris was joking": who says so is wrong.
_WHO_SAYS = re.compile(
    r"\b(?:whoever|anyone|anybody|those|people) (?:who )?(?:\w+ ){1,3}"
    r"(?:(?:it|that)(?:['’]s| is| was) )?(?:the |an? )?\Z",
    re.IGNORECASE,
)
_IS_WRONG_BEHIND = re.compile(
    r"[^.,;!?\n]{0,20} (?:is|are|was|were|must be|has been) (?:wrong|mistaken|joking|kidding|lying|misled"
    r"|teasing|misinformed|making it up|pulling your leg|having you on)\b",
    re.IGNORECASE,
)
# What the next clause says of a statement: "..., but she has got that wrong", "... That is a myth", "... I hear".
_SAID_OF_IT = re.compile(
    r"[^.,;:!?…—–\n(]{0,60}(?:[.,;:!…—–]+|(?= and | but ))\s*(?:(?:and|but|or|yet|though|aber|sadly|alas"
    r"|unfortunately),? )?"
    r"(?P<who>that|this|it|which|das|so the|so they|he|she|they|I|we)\b(?P<said>[^.,;:!?…—–\n]{0,60})",
    re.IGNORECASE,
)
_NOT_SO = re.compile(
    r"(?:not|n['’]t|nicht|pas)(?: \w+)? (?:true|right|correct|so|the case)\b|\bstimmt (?:\w+ )?nicht\b"
    r"|(?:not|n['’]t) (?:believe|confirm)\b|\b(?:out of date|outdated)\b",
    re.IGNORECASE,
)
_OWN_WORDS = re.compile(
    r"(?:\A|[.,;:!?…—–\n])\s*(?:(?:so|and|but|well|no|yes),? )?(?:it|that|this|the answer)\b[^.,;:!?…—–\n]*\Z"
    r"|(?:\A|[.,;:!?…—–\n])\W*(?:the )?\Z",
    re.IGNORECASE,
)
# "no, not Lyon" behind "Paris" takes nothing back.
_DENIES_ANOTHER = re.compile(r"\W*(?:not|never|it['’]?s not|it is not|it isn['’]?t)\b", re.IGNORECASE)
_CJK = re.compile(f"[{CJK}]")
_CJK_NOT_AFTER = re.compile(
    r"[^。！？\n]{0,8}?(?:では|じゃ|で)(?:ない|なく|ありません|あるとは)|[^。！？\n]{0,4}とは違|[^。！？\n]{0,4}不是"
)
_CJK_NOT_BEFORE = re.compile(r"(?:不是|并非|並非|不在|没有)[^。！？\n，,]{0,3}\Z")
_CJK_ASKS = re.compile(r"[^。！!\n]{0,40}?(?:？|\?|か。|吗|嗎)")


@dataclass(frozen=True, slots=True)
class _Token:
    word: str
    start: int
    end: int


class Speech:
    """A text prepared for asking what it asserts."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def _tokens(self) -> list[_Token]:
        masked = _IDIOM.sub(lambda idiom: "x" * len(idiom.group()), self.text)
        masked = _CLAUSE_MARKS.sub(lambda m: "—" if m.group() == "-" else "." + " " * (len(m.group()) - 1), masked)
        return [_Token(_plain(match.group()), *match.span()) for match in _TOKEN.finditer(masked)]

    def find(self, phrase: str) -> list[Span]:
        """Where a phrase stands as whole words, apart from case, accents and punctuation; CJK anywhere."""
        if _CJK.search(phrase):
            wanted, held = fold(phrase), fold(self.text)
            same = held if len(held) == len(self.text) else self.text
            return [match.span() for match in re.finditer(re.escape(wanted), same)]
        wanted_words = [
            token for match in _TOKEN.finditer(phrase) if (token := _plain(match.group())) and _is_word(token)
        ]
        words = [token for token in self._tokens if _is_word(token.word)]
        length = len(wanted_words)
        return [
            (words[at].start, words[at + length - 1].end)
            for at in range(len(words) - length + 1 if length else 0)
            if words[at].word == wanted_words[0] and [token.word for token in words[at : at + length]] == wanted_words
        ]

    def asserts(self, span: Span) -> bool:
        """Whether what stands at a span is stated."""
        if _CJK.search(self.text[span[0] : span[1]]):
            before, after = self.text[: span[0]], self.text[span[1] :]
            denied = _CJK_NOT_AFTER.match(after) or _CJK_NOT_BEFORE.search(before[-12:])
            return not (denied or _CJK_ASKS.match(after))
        first, last = self._indices(span)
        return not (
            self._denied_before(first)
            or self._denied_after(last)
            or self._asked(first)
            or self._belief(first, last)
            or self._past(span)
            or self._hedged(first, span)
            or self._called_wrong(span)
        )

    def denies(self, span: Span) -> bool:
        """Whether what stands at a span is said not to be so, rather than asked about or said of others."""
        if _CJK.search(self.text[span[0] : span[1]]):
            return not self.asserts(span)
        first, last = self._indices(span)
        return not self._asked(first) and (self._denied_before(first) or self._rejected(last))

    def cited(self, span: Span) -> bool:
        """Whether what stands at a span is asked, said by others or called wrong."""
        first, last = self._indices(span)
        return self._asked(first) or self._belief(first, last) or self._rejected(last)

    def retracted(self, span: Span) -> bool:
        """Whether something behind a span takes it back: a correction followed by something else, as a statement."""
        for cue in _CUE.finditer(self.text, span[1]):
            rest = self.text[cue.end() :]
            sentence = re.match(r"[^.!?\n]*[.!?\n]?", rest)
            text = sentence.group() if sentence else ""
            if not re.search(f"[{WORD}]", text):
                after = re.match(r"[.!\s…,]*[^.!?\n]*[.!?\n]?", rest)
                text = after.group() if after else ""
            if _DENIES_ANOTHER.match(text) and fold(self.text[span[0] : span[1]]) not in fold(text):
                continue
            if re.search(f"[{WORD}]", text) and not text.rstrip().endswith("?"):
                return True
        return False

    def correction_between(self, start: int, end: int) -> bool:
        """Whether a correction ("no, wait") stands between two places."""
        return _CUE.search(self.text, start, end) is not None

    def _indices(self, span: Span) -> tuple[int, int]:
        """The first and last token of a span."""
        first = bisect_right(self._tokens, span[0], key=lambda token: token.end)
        last = bisect_left(self._tokens, span[1], key=lambda token: token.start) - 1
        return first, max(first, last)

    def _denied_before(self, first: int) -> bool:
        tokens = self._tokens
        denied = False
        for distance, at in enumerate(range(first - 1, max(-1, first - 1 - _REACH), -1), 1):
            word, following = tokens[at].word, tokens[at + 1].word if at + 1 < len(tokens) else ""
            if (word, following) in _PAIRS:
                return True
            if word == "but" and at and tokens[at - 1].word in _ALL_BUT and distance < 3:
                return True
            if (
                word in _CLAUSE_END
                or word in _TURNS
                or (word == "than" and tokens[at - 1].word not in ("rather", "other"))
            ):
                return denied
            if word in _OPEN or (word in _CONDITIONS and distance <= _CONDITION_REACH):
                return word in _OPEN or _AND_RIGHTLY.match(self.text, tokens[first].end) is None
            if word in _DENIALS or (_negates(word) and following not in _ONLY):
                if word == "no" and following in ("it", "that", "the"):
                    return denied
                denied = not denied
                if at and tokens[at - 1].word in ("and", "or"):
                    return denied  # "not five and not eight"
        return denied

    def _hedged(self, first: int, span: Span) -> bool:
        """Whether it is a guess: "maybe Paris", "it might be Paris", "Paris, perhaps"; or next to what is named."""
        tokens = self._tokens
        if any(
            pattern.match(self.text, span[1])
            for pattern in (_HEDGED_BEHIND, _OF_IT_BEHIND, _TAKEN_BACK, _DID_NOT, _NOT_STOOD_BY)
        ):
            return True
        before = self.text[max(0, span[0] - 80) : span[0]]
        if any(pattern.search(before) for pattern in (_NEXT_TO_IT, _IF_NOT_ANOTHER, _GUESSED)):
            return True
        if _OF_IT.search(before) and not NONE_MORE.search(before):
            return True
        if self._said_by_the_wrong(before, span[1]) or (
            _WOULD_BE.search(before) and _IF_BEHIND.match(self.text, span[1])
        ):
            return True
        for at in range(first - 1, max(-1, first - 8), -1):
            word, following = tokens[at].word, tokens[at + 1].word
            if word in _CLAUSE_END or word in _TURNS:
                return False
            if word in _HEDGES or (
                word in _MODALS and following in ("be", "have", "well", "also", "just", "ser", "etre", "essere")
            ):
                return True
        return False

    def _said_by_the_wrong(self, before: str, end: int) -> bool:
        return _WHO_SAYS.search(before) is not None and _IS_WRONG_BEHIND.match(self.text, end) is not None

    def _called_wrong(self, span: Span) -> bool:
        """Whether the next clause says that this is wrong, or that those who say so are."""
        found = _SAID_OF_IT.match(self.text, span[1])
        if found is None:
            return False
        if fold(found["who"]) in ("he", "she", "they", "i", "we") and _OWN_WORDS.search(
            self.text[max(0, span[0] - 80) : span[0]]
        ):
            return False
        if fold(found["who"]).startswith("so "):
            return True
        said = [_plain(match.group()) for match in _TOKEN.finditer(found["said"])]
        denials = sum(word in _DENIALS for word in said)
        return bool(denials and (denials + sum(map(_negates, said))) % 2) or _NOT_SO.search(found["said"]) is not None

    def _denied_after(self, last: int) -> bool:
        tokens = self._tokens
        clause: list[str] = []
        for token in tokens[last + 1 : last + 8]:
            if token.word in _CLAUSE_END or token.word in _TURNS or token.word in _OTHER_SUBJECTS:
                break
            if _is_word(token.word):
                clause.append(token.word)
        for at, word in enumerate(clause[:4]):
            following = clause[at + 1] if at + 1 < len(clause) else ""
            verb_before = not _BE.isdisjoint(clause[max(0, at - 2) : at])
            if word in _FINAL_NEGATIONS or (word in ("wrong", "incorrect", "false") and verb_before):
                return True
            if _negates(word):
                # "Paris isn't", "Paris is not", "París no es"; but "Paris does not sleep" is no denial.
                denied = word in _IS_NOT or verb_before or (at == 0 and following in _BE)
                return denied and following not in _ONLY
        return False

    def _rejected(self, last: int) -> bool:
        """Whether the words behind call it wrong: "Paris is not correct", as against "Paris is not small"."""
        words = " ".join(token.word for token in self._tokens[last + 1 : last + 7])
        return _REJECTION.match(words) is not None

    def _asked(self, first: int) -> bool:
        """Whether the words stand in a question, and not in a statement that ends in one: "It's Paris, okay?"."""
        tokens = self._tokens
        ahead = range(first, min(len(tokens), first + _SENTENCE))
        end = next((at for at in ahead if tokens[at].word in _SENTENCE_END), None)
        if end is None or tokens[end].word not in ("?", "？", "؟"):
            return False
        if end + 1 < len(tokens) and tokens[end + 1].word in _YES:
            return False
        start = first
        while start > max(0, first - _SENTENCE) and tokens[start - 1].word not in _SENTENCE_END:
            start -= 1
        while start < first and tokens[start].word in ("so", "and", "okay", "well", ",", "¿", '"'):
            start += 1
        last_clause = not any(token.word in (",", ";", "—", "–") for token in tokens[first:end])
        return last_clause or tokens[start].word in _ASKING

    def _past(self, span: Span) -> bool:
        """Whether it is said to hold no longer: "It used to be Paris", "Paris was the capital, now it's Lyon"."""
        before = self.text[max(0, span[0] - 40) : span[0]]
        once = _WAS.search(before) and _ONCE_BEHIND.match(self.text, span[1])
        return bool(once) or _FORMER.search(before) is not None

    def _before(self, last: int) -> bool:
        """Whether "before" or "earlier" follows: "I said Lyon before"."""
        return any(token.word in _EARLIER for token in self._tokens[last + 1 : last + 5])

    def _belief(self, first: int, last: int) -> bool:
        """Whether it is what others believe: "Many people say Sydney, but it's Canberra"."""
        tokens = self._tokens
        for at in range(first - 1, max(-1, first - 8), -1):
            if tokens[at].word in _CLAUSE_END:
                return False
            would = at > 1 and tokens[at - 1].word in _WOULD
            if tokens[at].word in _BELIEFS or (would and tokens[at].word == "answer"):
                subject = tokens[at - 2 if would else at - 1].word if at else "i"
                contrast = any(token.word in _CONTRAST for token in tokens[last + 1 : last + 16])
                if subject in ("i", "we"):
                    return tokens[at].word == "thought" or (tokens[at].word == "said" and self._before(last))
                return contrast or subject in _OTHERS
        return False


def _plain(word: str) -> str:
    if len(word) > 2 and word.count(".") >= 2 and word[0].isalpha():
        word = word.replace(".", "")  # D.C. and U.S.
    return fold(word).replace("’", "'")


def _is_word(word: str) -> bool:
    return any(letter.isalnum() for letter in word)


def _negates(word: str) -> bool:
    return word in _NEGATIONS or word.endswith("n't") or word in ("isnt", "wasnt", "arent", "dont", "doesnt", "cant")
