"""Patterns of marks that a Markdown parser does not see: in the middle of a line, never closed, or of other notations.

`PATTERNS` are searched in the text as `annie_eval.detectors.markdown` prepares it. Each is linear in its length. A
match has at least one of the pattern's signs: a text without them is not searched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from annie_eval.text import characters

# Emoji=Yes of Unicode 17 without digits, ©, ® and ™; those that are text by default outside of the dingbats need
# the variation selector that makes them emoji. Stars are spoken by no engine either.
_EMOJI = (
    "[\\U0001f000-\\U0001faff\u231a\u231b\u2328\u23cf\u23e9-\u23f3\u23f8-\u23fa\u25fd\u25fe\u2600-\u2606\u260e\u2611"
    "\u2614\u2615\u2618\u261d\u2620\u2622\u2623\u2626\u262a\u262e\u262f\u2638-\u263a\u2640\u2642\u2648-\u2653\u265f"
    "\u2660\u2663\u2665\u2666\u2668\u267b\u267e\u267f\u2692-\u2697\u2699\u269b\u269c\u26a0\u26a1\u26a7\u26aa\u26ab"
    "\u26b0\u26b1\u26bd\u26be\u26c4\u26c5\u26c8\u26ce\u26cf\u26d1\u26d3\u26d4\u26e9\u26ea\u26f0-\u26f5\u26f7-\u26fa"
    "\u26fd\u2702\u2705\u2708-\u270d\u270f\u2712\u2714\u2716\u271d\u2721\u2728\u2733\u2734\u2744\u2747\u274c\u274e"
    "\u2753-\u2755\u2757\u2763\u2764\u2795-\u2797\u27a1\u27b0\u27bf\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55]"
    "|[\u203c\u2049\u2139\u2194-\u2199\u21a9\u21aa\u24c2\u25aa\u25ab\u25b6\u25c0\u25fb\u25fc\u2934\u2935\u3030\u303d"
    "\u3297\u3299]\ufe0f|[0-9#*]\ufe0f?\u20e3"
)
_EMOTICON = r"(?<![\w(:])(?:[:;]['’]?[-^o]?[()DPp|/]|:['’]?-?\()(?![\w/])|\^_+\^"
_LATEX = (
    r"\$\$[^$\n]{1,200}\$\$|\\\(|\\\[|(?<![\w:\\])\\[A-Za-z]{2,}(?!\\)|(?<=[\d$}])\\[A-Za-z]{2,}|[\w)}][\^_]\{|\^\\|(?<=[\w)])\^\d"
    r"|(?<![\w$])\$(?=[^\s$\d])[^$\n]{0,80}[\\^_={}+][^$\n]{0,80}(?<=\S)\$(?!\d)|(?<![\w$])\$[A-Za-z]\$(?![\w$])"
)
_BULLET = "▪▫●○■□►▶▷▸▹➤➢➣➥➔∙·･・※✓✔✗✘☐☑①-⑳◆◇◈◉◎❖❑❒✦✧"

# As signs: any character beyond ASCII.
_FOREIGN = "beyond ASCII"
PATTERNS: tuple[tuple[str, str, re.Pattern[str]], ...] = tuple(
    (kind, signs, re.compile(pattern, re.MULTILINE))
    for kind, signs, pattern in (
        ("emoji", _FOREIGN, _EMOJI),
        ("emoji", ":;^", _EMOTICON),
        ("code fence", "`~", r"```|^[ \t]*~~~"),
        ("heading", "#", r"^[ \t]*#{1,6}[ \t]+\S|^[ \t]*#{2,6}[^\s#]|(?<=[ \t])#{2,6}[ \t]+\S"),
        ("rule", "-*_=─━═—–⸻", r"^[ \t]*([-*_])(?:[ \t]{0,3}\1){2,}[ \t]*$|^[ \t]*(?:={3,}|[─━═—–⸻]{2,}|⸻)[ \t]*$"),
        ("list", "-*+", r"^[ \t]*[-*+][ \t]+(?![\d\s])(?=\S)|^[ \t]*\*[ \t]+\d"),
        ("list", "[", r"^[ \t]*(?:[-*+][ \t]+)?\[[ xX]\][ \t]"),
        ("list", _FOREIGN, rf"[•‣⁃◦]|^[ \t]*[{_BULLET}][ \t]*\S"),
        ("list", "→⇒➜➡➔»", r"^[ \t]*[→⇒➜➡➔»][ \t]*\S.*\n(?:[ \t]*\n)?[ \t]*[→⇒➜➡➔»][ \t]*\S|^[ \t]*[→⇒➜➡➔][ \t]*\S"),
        ("list", ".)", r"^[ \t]*\(?[iI][.)][ \t]+\S.*\n(?:[ \t]*\n)?[ \t]*\(?[iI]{2}[.)][ \t]"),
        # A label that is counted, line by line: "Step 1: ...", "Passo 1: ...", "第1步：…".
        (
            "list",
            "1１一",
            r"^[ \t]*(?P<label>[^\W\d_]{2,12}) ?1[ \t]*[:：.)–-].*\n(?:[ \t]*\n)?[ \t]*(?P=label) ?2[ \t]*[:：.)–-]"
            r"|^[ \t]*第[1１一][^\W\d_]?[：:、].*\n(?:[ \t]*\n)?[ \t]*第[2２二]",
        ),
        ("list", ".)", r"^[ \t]*A[.)][ \t]+\S.*\n(?:[ \t]*\n)?[ \t]*B[.)][ \t]+\S"),
        ("list", ":：", r"^[ \t]*1[:：][ \t]+\S.*\n(?:[ \t]*\n)?[ \t]*2[:：][ \t]+\S"),
        ("list", ":", r"(?:^[ \t]*[^\W\d_]\w*(?: \w+){0,2}:[ \t]+\S.*(?:\n(?:[ \t]*\n)?|\Z)){3}"),
        # Lines of one or two words below one that ends in a colon, and letters in brackets within a line.
        ("list", ":：", r"[:：][ \t]*(?:\n[ \t]*[^\s.!?,;:。，]{1,30}(?: [^\s.!?,;:。，]{1,30})?[ \t]*(?=\n|\Z)){3}"),
        ("list", ")", r"(?<!\S)\(?[aA]\)[ \t]+\S[^\n]{0,200}?[ \t,;]\(?[bB]\)[ \t]+\S"),
        ("list", "-+–—", r"^[ \t]*[-+–—][ \t]+\S.*\n(?:[ \t]*\n)?[ \t]*[-+–—][ \t]+\S"),
        ("list", "-", r"^[ \t]*-[^\W\d].*\n(?:[ \t]*\n)?[ \t]*-[^\W\d]"),
        ("list", ":", r":[ \t]+([-*])[ \t]+(?!\d)\S[^\n]{0,200}[ \t]\1[ \t]+(?!\d)\S"),
        (
            "table",
            "|",
            r"^[ \t]*\|.*\|[ \t]*$|^[ \t|:]*-{2,}[ \t]*\|[ \t|:-]*$|[^\s|][ \t]+\|[ \t]+[^|\n]{1,80}[ \t]+\|[ \t]"
            r"|^[^|\n]{1,80}[ \t]\|[ \t][^|\n]{1,80}\n[^|\n]{1,80}[ \t]\|[ \t]",
        ),
        # Lines with the same bare commas, semicolons or tabs: a table as CSV.
        ("table", ",", r"^(?:[^,\n]{1,40},(?=\S)){2,}[^,\n]*\n(?:[^,\n]{1,40},(?=\S)){2,}"),
        ("table", ";", r"^(?:[^;\n]{1,40};(?=\S)){2,}[^;\n]*\n(?:[^;\n]{1,40};(?=\S)){2,}"),
        ("table", "\t", r"^[^\t\n]+\t.*\n[^\t\n]+\t"),
        ("link", ":", r"\b(?:https?|ftp)://|\bmailto:"),
        ("link", ".", r"\bwww\.\w"),
        ("link", "[]", r"\]\(|!\[|\[[^\[\]\n]{1,80}\]\[[^\]\n]{0,40}\]|^\[[^\]\n]{1,40}\]:[ \t]"),
        ("link", "/", r"(?<![\w.@-])(?:(?!\d+\.)[\w-]{1,40}\.){1,4}[a-z]{2,12}/[\w~]"),
        ("footnote", "]", r"\[\^\w{1,20}\]|(?<=[^\W\d_.])[.,]?\[\d{1,3}\]|(?<=[^\W\d_]) \[\d{1,3}\](?=[.,;!?]|\s*\Z)"),
        ("footnote", _FOREIGN, r"(?<=[.,!?])[¹²³⁴-⁹]{1,3}|(?<=[^\W\d]) [¹²³⁴-⁹](?=[.,;!?]|\s*\Z)"),
        ("footnote", "^", r"\^\d{1,3}\^|\(\^\d{1,3}\)"),
        ("footnote", "]", r"[:：] ?\[\d{1,3}\](?=\s)"),
        ("footnote", "]})", r"(?i:[\[({]\s?(?:cite|citation|sources?|ref|quelle)\s?[:：][^\]})\n]{1,60}[\]})])"),
        ("footnote", "】", r"【\d{1,3}】"),
        ("footnote", "†", r"[【\[(][^】\])\n]{0,40}†[^】\])\n]{0,40}[】\])]"),
        ("footnote", "t", r"turn\d+(?:search|news|view|fetch)\d+"),
        ("quote", ">", r"^[ \t]*>+[ \t]*(?!=?[ \t]*\d)[^\s>]"),
        ("LaTeX", "$\\^{", _LATEX),
        ("HTML", "<", r"<!--|</[A-Za-z][\w:-]{0,40}[ \t]*>"),
        ("HTML", "<", r"<[A-Za-z][\w:-]{0,40}(?:[ \t]+[\w:-]{1,40}=[^<>\n]{1,200})?[ \t]*/>"),
        ("HTML", "<", r"<[A-Za-z][\w:-]{0,40}[ \t]+[\w:-]{1,40}=[\"'][^<>\n]{0,200}>"),
        ("styled letters", _FOREIGN, "[\U0001d400-\U0001d7ff]|[\u2460-\u24ff\uff21-\uff3a\uff41-\uff5a]{2}"),
        ("escape", "\\", r"\\[*_#`~\[\]|>$%&\"!./]|(?<=[^\W\d_])\\'(?=[^\W\d_])"),
        ("code", "`", r"(?<![\w`])`(?=[A-Za-z_./])(?![^`\n]{0,200}`)"),
        (
            "emphasis",
            "*_",
            r"\*\*(?=\S)[^*\n]{1,80}(?<=\S)\*\*|\*\*(?=[^\s*])|(?<=[^\s*])\*\*|(?<![\w*\\])\*(?=[A-Za-z])|(?<![\w_])__(?=[A-Za-z])",
        ),
        ("emphasis", "~=", r"(?<!\S)~~(?=\w)|(?<![=\w])==(?=\w)[^=\n]{1,80}(?<=\w)=="),
        ("emphasis", "+", r"(?<![+\w])\+\+(?=\w)[^+\n]{1,80}(?<=\w)\+\+"),
        ("emphasis", "[", r"(?<!\w)\[/?(?:[bius]|url|img|quote|code|list|size|color)(?:=[^\]\n]{0,60})?\]"),
    )
)  # fmt: skip


def marks(text: str) -> Iterator[tuple[str, int, int]]:
    """(kind, start, end) of the first match of each pattern."""
    here = characters(text)
    for kind, signs, pattern in PATTERNS:
        passed_over = text.isascii() if signs is _FOREIGN else here.isdisjoint(signs)
        if not passed_over and (match := pattern.search(text)):
            yield kind, *match.span()


# A marker that opens a line and counts: "1.", "(2)", "３、", "一、", "b)", "б)", "나.".
NUMBERED_LINE = re.compile(
    r"^[ \t>]*(?P<open>[(\[（〔]?)(?:(?P<number>\d{1,3})|(?P<letter>[^\W\d_]))(?P<close>[.)\]）〕、．])"
    r"(?P<gap>[ \t]*)(?=[^\s\d])(?=(?P<next>[^\W\d_]*))",
    re.MULTILINE,
)
INLINE_NUMBERS = re.compile(
    r"(?:^|[:：])[ \t]*[(（]?1[.)）][ \t]+(?P<one>\w*)\S?[^\n]{0,300}?[ \t;,][(（]?2[.)）][ \t]+(?P<two>\w*)\S?"
    r"|(?<!\S)\(?1\)[ \t]+\S[^\n]{0,300}?[ \t]\(?2\)[ \t]+\S"
    r"|(?:^|[:：。\s])[(（]?[1１一][)）]?、[^\n]{1,200}?[；;。，,\s][(（]?[2２二][)）]?、"
    r"|[(（][1１][)）][^\n\d]{1,200}?[(（][2２][)）]|(?<!\w)[1１][)）][^\n\d]{1,200}?[；;][ \t]?[2２][)）]",
    re.MULTILINE,
)
# Letters that are counted with, beside alphabets in the order of their code points.
COUNTED = (
    *("一二三四五六七八九十", "甲乙丙丁戊己", "アイウエオカ", "イロハニホヘ", "가나다라마바사아자차"),
    *("אבגדהוזחטי", "ابجدهوز", "กขคงจฉช", "абвгдежзик", "αβγδεζ"),
)  # fmt: skip

# What follows an ordinal's full stop at the beginning of a line, folded: months and what is numbered by ordinals.
ORDINAL_NOUNS = re.compile(
    r"(?:jan|feb|mar|mär|mars|apr|ma[ijy]|jun|jul|aug|sep|sept|o[ck]t|nov|de[cz]|led|únor|břez|dub|květ|červ|srp|září"
    r"|říj|list|pros|stycz|lut|kwie|czerw|lip|sierp|wrze|paźdz|grud|tammi|helmi|maalis|huhti|touko|kesä|heinä|elo|syys"
    r"|loka|marras|joulu|siječ|velj|ožuj|trav|svib|lip|srp|ruj|stud|szept|ápr|jún|júl|fc|stock|etage|platz|klasse|liga"
    r"|bundesliga|weltkrieg|preis|advent|geburtstag|weihnacht|feiertag|jahrhundert|stelle|person|mal|fußball|halbzeit)"
    r"\w*",
    re.IGNORECASE,
)
