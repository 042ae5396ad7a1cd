"""Markdown and other marks that a voice reads aloud or drops: emphasis, headings, lists, tables, code, links, emoji.

Two ways of looking, since each misses what the other sees: markdown-it-py parses the text (CommonMark with tables and
strikethrough), and patterns find what is no markdown to a parser because it stands in the middle of a line, is never
closed, or uses other signs (`•`, emoji, LaTeX, HTML entities).

Plain speech stays: "minus 5 degrees" and "-5 degrees", "2 * 3 * 4", snake_case and `__init__`, "No. 5", "1. May", "a
hyphenated aside - like this -", "C# and F#", "#1", "M*A*S*H", "f**k", "~5 minutes", "$5 and $10". Tags of thinking,
tools and chat templates belong to other detectors. Where the user asked about markdown (`expect.topic`), signs that
stand alone, quoted or not ("an asterisk, *, on each side"), are words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from annie_eval.detectors.tags import scan, without_thoughts
from annie_eval.text import is_blank
from annie_eval.wire.sample import Finding, Sample, excerpt

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

# The parser is quadratic on hostile input; speech is a hundredth of this. Patterns see the whole text.
_PARSED = 8_000

# Emoji=Yes of Unicode 17 without digits, ©, ® and ™; those that are text by default outside of the dingbats need
# the variation selector that makes them emoji.
_EMOJI = (
    "[\\U0001f000-\\U0001faff\u231a\u231b\u2328\u23cf\u23e9-\u23f3\u23f8-\u23fa\u25fd\u25fe\u2600-\u2604\u260e\u2611"
    "\u2614\u2615\u2618\u261d\u2620\u2622\u2623\u2626\u262a\u262e\u262f\u2638-\u263a\u2640\u2642\u2648-\u2653\u265f"
    "\u2660\u2663\u2665\u2666\u2668\u267b\u267e\u267f\u2692-\u2697\u2699\u269b\u269c\u26a0\u26a1\u26a7\u26aa\u26ab"
    "\u26b0\u26b1\u26bd\u26be\u26c4\u26c5\u26c8\u26ce\u26cf\u26d1\u26d3\u26d4\u26e9\u26ea\u26f0-\u26f5\u26f7-\u26fa"
    "\u26fd\u2702\u2705\u2708-\u270d\u270f\u2712\u2714\u2716\u271d\u2721\u2728\u2733\u2734\u2744\u2747\u274c\u274e"
    "\u2753-\u2755\u2757\u2763\u2764\u2795-\u2797\u27a1\u27b0\u27bf\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55]"
    "|[\u203c\u2049\u2139\u2194-\u2199\u21a9\u21aa\u24c2\u25aa\u25ab\u25b6\u25c0\u25fb\u25fc\u2934\u2935\u3030\u303d"
    "\u3297\u3299]\ufe0f|[0-9#*]\ufe0f?\u20e3"
)
_LATEX = (
    r"\$\$|\\\(|\\\[|\\(?:frac|d?frac|sqrt|times|cdot|text(?:bf|it)?|boxed|left|right|sum|int|prod|begin|end|pm|leq|geq|neq"
    r"|approx|infty|alpha|beta|pi|theta|mathrm|mathbf)(?![A-Za-z])"
    r"|(?<![\w$])\$(?=[^\s$\d])[^$\n]{0,80}[\\^_={}+][^$\n]{0,80}(?<=\S)\$(?!\d)"
)
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.MULTILINE))
    for kind, pattern in (
        ("emoji", _EMOJI),
        ("code fence", r"```|^[ \t]*~~~"),
        ("heading", r"^[ \t]*#{1,6}[ \t]+\S|^[ \t]*#{2,6}[^\s#]|(?<=[ \t])#{2,6}[ \t]+\S"),
        ("rule", r"^[ \t]*([-*_])(?:[ \t]{0,3}\1){2,}[ \t]*$|^[ \t]*={3,}[ \t]*$"),
        ("list", r"^[ \t]*[-*+][ \t]+(?![\d\s])(?=\S)|^[ \t]*\*[ \t]+\d|^[ \t]*(?:[-*+][ \t]+)?\[[ xX]\][ \t]"),
        ("list", r"[•‣⁃◦]|^[ \t]*[▪▫●○■□►▶➤➔∙·※✓✔✗✘☐☑①-⑳][ \t]*\S"),
        ("list", r"^[ \t]*[→⇒➜➡➔][ \t]*\S"),
        ("list", r"^[ \t]*\(?[iI][.)][ \t]+\S.*\n(?:[ \t]*\n)?[ \t]*\(?[iI]{2}[.)][ \t]"),
        (
            "list",
            r"^[ \t]*(?P<label>[Ss]tep|[Tt]ip|[Oo]ption|[Dd]ay|[Ii]tem|[Ss]chritt|[Éé]tape|[Pp]aso) 1[ \t]*[:.)–-].*\n"
            r"(?:[ \t]*\n)?[ \t]*(?P=label) 2[ \t]*[:.)–-]",
        ),
        ("list", r"(?:^[ \t]*[^\W\d_]\w*(?: \w+){0,2}:[ \t]+\S.*(?:\n(?:[ \t]*\n)?|\Z)){3}"),
        # A lone number that opens a line; "1. May" is a date, "1. FC" a club, and "12. That's all" an answer.
        (
            "list",
            r"^[ \t]*1[.)][ \t]+(?!(?:Jan|Feb|Mar|Mär|Apr|Ma[iy]|Jun|Jul|Aug|Sep|O[ck]t|Nov|De[cz]|FC|Stock|Etage"
            r"|Platz|Klasse|Liga|Weltkrieg|Preis|Advent|Geburtstag)\w*\b)(?=[*_]{0,3}[^\W\d_a-z])",
        ),
        ("list", r"^[ \t]*[-+–—][ \t]+\S.*\n(?:[ \t]*\n)?[ \t]*[-+–—][ \t]+\S"),
        ("list", r"^[ \t]*-[^\W\d].*\n(?:[ \t]*\n)?[ \t]*-[^\W\d]"),
        ("list", r":[ \t]+([-*])[ \t]+(?!\d)\S[^\n]{0,200}[ \t]\1[ \t]+(?!\d)\S"),
        (
            "table",
            r"^[ \t]*\|.*\|[ \t]*$|^[ \t|:]*-{2,}[ \t]*\|[ \t|:-]*$|[^\s|][ \t]+\|[ \t]+[^|\n]{1,80}[ \t]+\|[ \t]",
        ),
        (
            "link",
            r"\b(?:https?|ftp)://|\bwww\.\w|\bmailto:|\]\(|!\[|\[[^\]\n]{1,80}\]\[[^\]\n]{0,40}\]"
            r"|^\[[^\]\n]{1,40}\]:[ \t]"
            r"|(?<![\w.@-])(?:[\w-]{1,40}\.){1,4}(?:com|org|net|edu|gov|uk|de|fr|es|it|io|eu)/\w",
        ),
        ("footnote", r"\[\^\w{1,20}\]"),
        ("quote", r"^[ \t]*>+[ \t]*(?!=?[ \t]*\d)[^\s>]"),
        ("LaTeX", _LATEX),
        ("HTML", r"<!--|&(?:nbsp|amp|quot|apos|mdash|ndash|hellip|bull|copy|deg|times);"),
        ("styled letters", "[\U0001d400-\U0001d7ff]"),
        ("escape", r"\\[*_#`~\[\]|>]"),
        (
            "emphasis",
            r"\*\*(?=\S)[^*\n]{1,80}(?<=\S)\*\*|\*\*(?=[^\s*])|(?<=[^\s*])\*\*|(?<![\w*\\])\*(?=[A-Za-z])|(?<![\w_])__(?=[A-Za-z])",
        ),
        ("emphasis", r"(?<!\S)~~(?=\w)|(?<![=\w])==(?=\w)[^=\n]{1,80}(?<=\w)=="),
    )
)
_NUMBERED_LINE = re.compile(
    r"^[ \t>]*\(?(?:(?P<number>\d{1,3})[.)]|(?P<letter>[a-zA-Z])\))(?:[ \t]+\S|[^\W\d])", re.MULTILINE
)
_INLINE_NUMBERS = re.compile(
    r"(?:^|:)[ \t]*\(?1[.)][ \t]+\S[^\n]{0,300}?[ \t]\(?2[.)][ \t]+\S"
    r"|(?<!\S)\(?1\)[ \t]+\S[^\n]{0,300}?[ \t]\(?2\)[ \t]+\S",
    re.MULTILINE,
)
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
_ALONE = re.compile(r"(?<![^\s\"'“”‘’(«「『`])[*_#`~>|=+-]{1,6}(?=[\s\"'“”‘’).,;:!?»」』]|\Z)")


def find(sample: Sample) -> tuple[Finding, ...]:
    """The first mark of each kind in what is spoken, exchange by exchange."""
    findings: list[Finding] = []
    for index, exchange in enumerate(sample.exchanges):
        content = exchange.answer.content
        if content is None or is_blank(content):
            continue
        seen: set[str] = set()
        for kind, start, end in _marks(content, about_markdown="markdown" in exchange.expect.topic):
            if kind not in seen:
                seen.add(kind)
                shown = excerpt(content, start, end)
                findings.append(Finding("markdown", f"{kind} in speech", shown, "content", index, (start, end)))
    return tuple(findings)


def _marks(content: str, *, about_markdown: bool) -> Iterator[tuple[str, int, int]]:
    """(kind, start, end) of every mark found, a kind possibly more than once."""
    tags = scan(content)
    for tag in tags:
        if tag.kind == "html":
            yield "HTML", tag.start, tag.end
    text = without_thoughts(content)
    for tag in tags:
        text = text[: tag.start] + " " * (tag.end - tag.start) + text[tag.end :]
    text = _spoken_signs(text, about_markdown)
    for kind, pattern in _PATTERNS:
        if match := pattern.search(text):
            yield kind, *match.span()
    yield from _numbered(text)
    yield from _parsed(text[:_PARSED])


def _spoken_signs(text: str, about_markdown: bool) -> str:
    """The text with signs that are speech replaced by others of the same length, which mean nothing in markdown."""
    if about_markdown:
        text = _ALONE.sub(lambda sign: sign.group() if _leads_line(sign) else "×" * len(sign.group()), text)
    if "*" in text:
        text = _NO_PRODUCT.sub(lambda found: found.group().replace("*", "×"), text)
        text = _CENSORED.sub(lambda found: found.group().replace("*", "×"), text)
    if "__" in text:
        text = _DUNDER.sub(lambda found: found.group().replace("_", "x"), text)
    return _OKINA.sub("'", text) if "`" in text else text


def _leads_line(sign: re.Match[str]) -> bool:
    """Whether a lone sign opens a line that goes on, as the sign of a heading or a list does."""
    text = sign.string
    line = text[text.rfind("\n", 0, sign.start()) + 1 : sign.start()]
    return not line.strip() and re.match(r"[ \t]+\S", text[sign.end() : sign.end() + 20]) is not None


def _numbered(text: str) -> Iterator[tuple[str, int, int]]:
    """Numbered lists: two lines in sequence, or "1) ... 2) ..." in one. "1. May" alone is a date."""
    lines = list(_NUMBERED_LINE.finditer(text))
    for one, two in pairwise(lines):
        if one.group("number") and two.group("number"):
            first, second = int(one.group("number")), int(two.group("number"))
            follows = second == first + 1 or first == second == 1
        else:
            follows = ord((two.group("letter") or "a")[0]) == ord((one.group("letter") or "z")[0]) + 1
        if follows:
            yield "list", one.start(), two.end()
            return
    if match := _INLINE_NUMBERS.search(text):
        yield "list", *match.span()


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
