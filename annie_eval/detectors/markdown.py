"""Finds Markdown and other marks that a voice cannot speak: emphasis, headings, lists, tables, code, links, emoji.

It searches in two ways, because each misses some marks: markdown-it-py parses the text (CommonMark with tables and
strikethrough), and patterns (`annie_eval.detectors.markdown_patterns`) find what is no markdown to a parser because it
stands in the middle of a line, is never closed, or uses other signs (`•`, `（1）`, emoji, LaTeX, HTML entities). Data
in place of speech (JSON, a traceback, `{name}`) is read aloud as signs, too (`annie_eval.detectors.data_text`).

Plain speech stays: "minus 5 degrees" and "-5 degrees", "2 * 3 * 4", snake_case and `__init__`, "No. 5", "1. May", "a
hyphenated aside - like this -", "C# and F#", "#1", "M*A*S*H", "f**k", "~5 minutes", "$5 and $10". Tags of thinking,
tools and chat templates belong to other detectors. Where the user asked about markdown (`expect.topic`), signs that
stand alone, quoted or not ("an asterisk, *, on each side"), are words. Dashes that open the turns of a dialogue are
none of a list where each turn is a finished sentence and somebody answers a question or an exclamation; a number with
a full stop is an ordinal before a month or a rank ("1. Bundesliga"), before "und", and twice before the same noun.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from annie_eval.detectors.context import user_text
from annie_eval.detectors.data_text import find_data
from annie_eval.detectors.finding import Finding, excerpt
from annie_eval.detectors.languages import writes_ordinals_with_a_stop
from annie_eval.detectors.markdown_patterns import COUNTED, INLINE_NUMBERS, NUMBERED_LINE, ORDINAL_NOUNS, marks
from annie_eval.detectors.tags import scan, without_thoughts
from annie_eval.text import blanked, characters, is_blank
from annie_eval.wire.sample import Sample

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

# The parser is quadratic on hostile input; speech is a hundredth of this. Patterns see the whole text.
_PARSED = 8_000

_TOKENS = {
    "em": "emphasis",
    "strong": "emphasis",
    "s": "emphasis",
    "code_inline": "code",
    "fence": "code fence",
    "link": "link",
    "image": "link",
    "heading": "heading",
    "hr": "rule",
    "table": "table",
}

# Speech that only looks like markdown: products, powers, M*A*S*H, censored words, Python's names, ‘okina as backtick.
_NO_PRODUCT = re.compile(r"(?<![\w*])(?:\d[\d.,]*|[A-Za-z])(?:\*{1,2}(?:\d[\d.,]*|[A-Za-z]))+(?![\w*])")
_CENSORED = re.compile(r"(?<![\w*])[A-Za-z]{1,3}(?:\*{1,6}[A-Za-z]{1,3}|\*{3,6})(?![\w*])")
_DUNDER = re.compile(
    r"(?<!\w)__(?:[a-z]+_[a-z_]*[a-z]|init|main|name|file|str|repr|len|call|dict|doc|all|new|del|eq|ne|lt|le|gt|ge|hash"
    r"|bool|enter|exit|iter|next|add|sub|mul|contains|getitem|setitem|getattr|setattr|class|slots|version|author|path"
    r"|package|module|future|import|bytes|format|index|int|float|post)__(?!\w)"
)
_OKINA = re.compile(r"(?<=[A-Za-z])`(?=[a-z])")
_ACCENT = re.compile(r"(?<=[^\W\d_])`{1,3}")
_OPENS_CODE = re.compile(r"(?<![^\W\d_])(?<!`)`+(?=[^\s`])")
_WIDE = str.maketrans("＃＊＿｀｜＞＝［］", "#*_`|>=[]")
_DIALOGUE_DASH = re.compile(r"(?:^|(?<=[.!?…:»”\"])[ \t])[ \t]*(?P<dash>[-–—])[ \t]?(?=[^\s\d-])", re.MULTILINE)
_FINISHED = frozenset(".!?…。！？")
_ENTITY = re.compile(r"&(#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_ALONE = re.compile(r"(?<![^\s\"'“”‘’(«「『`])[*_#`~>|=+-]{1,6}(?=[\s\"'“”‘’).,;:!?»」』]|\Z)")


def find(sample: Sample) -> tuple[Finding, ...]:
    """Return the first mark of each kind in each exchange's content."""
    findings: list[Finding] = []
    for index, exchange in enumerate(sample.exchanges):
        content = exchange.answer.content
        if content is None or is_blank(content):
            continue
        seen: set[str] = set()
        about = "markdown" in exchange.expect.topic
        for kind, start, end in _marks(content, user_text(exchange), about_markdown=about):
            if kind not in seen:
                seen.add(kind)
                shown = excerpt(content, start)
                findings.append(Finding("markdown", f"{kind} in speech", shown, "content", index, (start, end)))
    return tuple(findings)


def _marks(content: str, asked: str, *, about_markdown: bool) -> Iterator[tuple[str, int, int]]:
    """(kind, start, end) of every mark found, a kind possibly more than once."""
    tags = scan(content)
    for tag in tags:
        if tag.kind == "html":
            yield "HTML", tag.start, tag.end
    text = blanked(without_thoughts(content), ((tag.start, tag.end) for tag in tags))
    for entity in _ENTITY.finditer(text):
        if entity.group(1)[0] == "#" or f"{entity.group(1)};" in _entities():
            yield "HTML", *entity.span()
            break
    if data := find_data(text, asked):
        yield "data", *data
    text = _spoken_signs(text, about_markdown)
    yield from marks(text)
    yield from _numbered(text)
    yield from _parsed(text[:_PARSED])


@lru_cache(maxsize=1)
def _entities() -> Mapping[str, str]:
    from html.entities import html5

    return html5


def _spoken_signs(text: str, about_markdown: bool) -> str:
    """The text with signs that are speech replaced by others of the same length, which mean nothing in markdown."""
    if not text.isascii():
        text = text.translate(_WIDE)
    if about_markdown:
        text = _ALONE.sub(lambda sign: sign.group() if _leads_line(sign) else "×" * len(sign.group()), text)
    if "*" in text:
        text = _NO_PRODUCT.sub(lambda found: found.group().replace("*", "×"), text)
        text = _CENSORED.sub(lambda found: found.group().replace("*", "×"), text)
    if "__" in text:
        text = _DUNDER.sub(lambda found: found.group().replace("_", "x"), text)
    if not characters(text).isdisjoint("-–—") and _DIALOGUE_DASH.search(text):
        text = _without_dialogue(text)
    if "`" in text:
        # An accent or an ʻokina typed as a backtick, "perche`", unless another backtick opens code.
        text = _OKINA.sub("'", text) if _OPENS_CODE.search(text) else _ACCENT.sub("'", text)
    return text


def _without_dialogue(text: str) -> str:
    """The text without the dashes that open the turns of a dialogue."""
    dashes = list(_DIALOGUE_DASH.finditer(text))
    ends = [*(dash.start() for dash in dashes[1:]), len(text)]
    turns = [text[dash.end() : end].strip() for dash, end in zip(dashes, ends, strict=True)]
    finished = [turn.rstrip("\"'”’»)")[-1:] in _FINISHED for turn in turns]
    # Dashes that all open lines look like a list. It is a dialogue where somebody answers a question: one in the last
    # line alone ends a list ("- Anything else?") unless the dashes are long, and hyphens behind a line of other text
    # begin one.
    lines = all(text[: dash.start("dash")].rpartition("\n")[2].strip() == "" for dash in dashes)
    asking = turns[:-1] if lines and any(dash["dash"] != "—" for dash in dashes) else turns
    asks = any(mark in turn for turn in asking for mark in "?!？！")
    bullets = lines and dashes[0]["dash"] == "-" and text[: dashes[0].start()].strip()
    if len(turns) < 2 or not asks or bullets or not all(finished[:-1]):
        return text
    return _DIALOGUE_DASH.sub(lambda dash: dash.group().replace(dash.group("dash"), "“"), text)


def _leads_line(sign: re.Match[str]) -> bool:
    """Whether a lone sign opens a line that goes on, as the sign of a heading or a list does."""
    text = sign.string
    line = text[text.rfind("\n", 0, sign.start()) + 1 : sign.start()]
    return not line.strip() and re.match(r"[ \t]+\S", text[sign.end() : sign.end() + 20]) is not None


def _numbered(text: str) -> Iterator[tuple[str, int, int]]:
    """Numbered lists: two lines in sequence, "1) ... 2) ..." in one, or a first line alone. "1. May" is a date."""
    lines = list(NUMBERED_LINE.finditer(text))
    for one, two in pairwise(lines):
        if _follows(one, two) and not (_ordinal(one) and _ordinal(two)):
            yield "list", one.start(), two.end()
            return
    for line in lines:
        after = text[line.end() : line.end() + 1]
        alone = line["number"] == "1" and line["gap"] and not line["open"] and line["close"] in ".)"
        if (
            alone
            and not _ordinal(line)
            and not writes_ordinals_with_a_stop(text)
            and (after.isupper() or after in "*_" or after > "\u2e7f")
        ):
            yield "list", *line.span()
            return
    for match in () if characters(text).isdisjoint("1１一") else INLINE_NUMBERS.finditer(text):
        first, second = match["one"], match["two"]
        joined = first and first.islower() and match.group().split(first, 1)[1].lstrip().startswith("2.")
        if not first or not (first == second or joined or ORDINAL_NOUNS.fullmatch(first)):
            yield "list", *match.span()
            return


def _follows(one: re.Match[str], two: re.Match[str]) -> bool:
    """Whether a marker is the next one: 2. after 1., b) after a), 二、 after 一、; or 1. once more."""
    if one["number"] and two["number"]:
        first, second = int(one["number"]), int(two["number"])
        return second == first + 1 or first == second == 1
    if not one["letter"] or not two["letter"] or one["close"] != two["close"]:
        return False
    if one["close"] == "." and one["letter"].isascii():  # initials: "J. R. Smith" over two lines
        return False
    first_letter, second_letter = one["letter"], two["letter"]
    return ord(second_letter) == ord(first_letter) + 1 or any(first_letter + second_letter in row for row in COUNTED)


def _ordinal(line: re.Match[str]) -> bool:
    """Whether a number with a full stop is an ordinal, by the word behind it."""
    if line["close"] != "." or not line["gap"]:
        return False
    return ORDINAL_NOUNS.fullmatch(line["next"]) is not None


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    # Imported here: start-up is measured. Indented code and link definitions are off: indented speech is still
    # speech, and a definition would vanish instead of being found.
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).disable(["code", "reference"])


def _parsed(text: str) -> Iterator[tuple[str, int, int]]:
    lines = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text)), len(text)]
    within = (0, 1)
    for token in _parser().parse(text):
        if token.map:
            within = (token.map[0], token.map[1])
        start, end = lines[min(within[0], len(lines) - 1)], lines[min(within[1], len(lines) - 1)]
        for part in (token, *(token.children or ())):
            kind = _TOKENS.get(part.type.removesuffix("_open"))
            if kind:
                yield kind, *_place(text, part, start, max(start, end))
        if token.type == "bullet_list_open" and re.search(r"\n[ \t]*[-*+](?:[ \t]|\n|\Z)", text[start:end]):
            yield "list", start, end


def _place(text: str, token: Token, start: int, end: int) -> tuple[int, int]:
    """Where a token's marks are; the parser knows only the lines of a block."""
    first = text.find(token.markup, start, end) if token.markup else start
    if first < 0:
        return start, end
    last = text.find(token.markup, first + len(token.markup), end) if token.markup else -1
    return first, end if last < 0 else last + len(token.markup)
