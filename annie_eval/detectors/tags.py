"""Finds markup of the model's own protocol in a text: thinking tags, tool-call tags, special tokens, and HTML.

Every tag has one kind, so that a leak is reported by one detector: `thinking` and `special` by thinking,
`tool` by tool_calls and restraint, `html` by markdown. Families seen in the templates of Qwen, DeepSeek, Kimi, GLM,
Seed, Hunyuan, Gemma, Cohere, Mistral, Llama, gpt-oss (harmony), Sky-T1 and LongCat are recognised by the words in a
tag's name rather than by a list of names, so that new spellings are recognised too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Literal

from annie_eval.detectors.tag_remnants import remnants
from annie_eval.text import original_span, unveil, word_set

Kind = Literal["thinking", "tool", "special", "html"]


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag, or the remnant of one. `start` and `end` are indices into the scanned text."""

    kind: Kind
    name: str
    closing: bool
    start: int
    end: int


# A tag of these kinds has one of these words in its name: `<|START_THINKING|>`, `<seed:think>`, `<tool_call>`.
_THINKING_WORDS = word_set(
    "think thinks thinking thinker thought thoughts reason reasoning reflect reflection scratchpad scratch cot"
    " rationale analysis monologue deliberation deliberate introspection planning internal"
)
_TOOL_WORDS = word_set("tool tools toolcall toolcalls function functions functioncall invoke parameter plugin")
# Names that must match completely, compared without spaces, `_` and `-`.
_THINKING_NAMES = word_set(
    "chainofthought innermonologue internalmonologue innerthoughts thoughtprocess thinkingprocess antthinking"
    " answer finalanswer beginofanswer endofanswer solution beginofsolution endofsolution"
)
_TOOL_NAMES = word_set(
    "pythontag argkey argvalue toolcalls toolcall functioncall functioncalls toolresponse tooluse toolcode call"
    " availabletools toolresults callingtool"
)
_SPECIAL_NAMES = word_set(
    "s bos eos pad unk mask gmask sop eop cls sep sys system user assistant human bot startofturn endofturn"
    " startofimage endofimage imstart imend endoftext endofutterance eotid eomid eot beginoftext startheaderid"
    " endheaderid turn message imagesoft end start response systemreminder channel"
)
_SPECIAL_PATTERN = re.compile(r"(?:unused|extra_?id|reserved|ctrl|control|dummy)[_a-z]*\d+|0x[0-9a-f]{2}")
_HTML_NAMES = word_set(
    "a abbr address article aside audio b big blockquote body br button canvas center cite code col dd del details"
    " div dl dt em embed figcaption figure font footer form h1 h2 h3 h4 h5 h6 head header hr html i iframe img input"
    " ins kbd label legend li link main mark meta nav ol option p picture pre q samp script section select small"
    " source span strike strong style sub summary sup svg table tbody td textarea tfoot th thead time title tr tt u"
    " ul var video wbr"
)
_THINKING_BRACKETS = word_set(
    "think thinking thought thoughts reasoning reflection scratchpad analysis chainofthought innermonologue"
    " internalmonologue thoughtprocess thinkingprocess endthink endthinking beginthink beginthinking startthinking"
)
_SPECIAL_BRACKETS = word_set("INST SYS SYSTEM_PROMPT UNK PAD CLS SEP MASK BOS EOS gMASK EOT IMG IMG_END")
_TOOL_BRACKETS = word_set("toolcall toolcalls functioncall functioncalls availabletools toolresults toolresult")

_MOST = 5_000  # remnants; a text with more of them is not searched further
_ANGLE = re.compile(r"<([^<>]{1,100})>")
_SQUARE = re.compile(r"\[\s{0,4}(/?)\s{0,4}([A-Za-z][A-Za-z_ -]{0,30})\](?!\()")
_DIAMOND = re.compile(r"◁\s*(/?)\s*([^◁▷\n]{1,40}?)\s*▷|◁\s*(/?)\s*(think\w*)")
_FIRST = re.compile(r"[\w:.|-]+")
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
# A special token that lost one of its ends, anywhere.
_HALF_TOKEN = re.compile(r"<?\|?(?P<name>im_(?:start|end)|eot_id|endoftext)\|?>?(?!\w)")
_MAY_HOLD_TAG = re.compile(
    r"[<>◁▷]|\[/?\s{0,4}[A-Za-z]|[A-Z]\]|im_|&(?:amp;|lt|gt|#)|u003|[＜＞〈]|eot_id|endoftext"
    r"|\A\s{0,9}(?:analysis|final|commentary|thought|thinking)|assistant(?:final|analysis|commentary)"
)


@lru_cache(maxsize=16)  # cached, because several detectors read the same answer
def scan(text: str, *, escapes: bool = False) -> tuple[Tag, ...]:
    """Return every tag in a text, in order, without overlaps.

    Tags are also found when written with HTML entities, zero-width characters, white space or full-width letters; with
    `escapes` also with JSON's escapes, for the arguments of tool calls.
    """
    if not _MAY_HOLD_TAG.search(text):
        return ()
    view, origin = unveil(text, escapes=escapes)
    tags: list[Tag] = []
    for match in _ANGLE.finditer(view):
        tags += _angle(match)
    for match in _SQUARE.finditer(view):
        tags += _square(match)
    for match in _DIAMOND.finditer(view) if "▷" in view or "think" in view else ():
        closing, name = (match.group(1), match.group(2)) if match.group(2) else (match.group(3), match.group(4))
        tags.append(Tag("thinking", name, bool(closing), *match.span()))
    for match in _HALF_TOKEN.finditer(view):
        tags.append(Tag(_piped(match.group("name")), match.group("name"), False, *match.span()))
    tags += [Tag(*remnant) for remnant in islice(remnants(view), _MOST)]
    return _disjoint([Tag(t.kind, t.name, t.closing, *original_span(t.start, t.end, origin)) for t in tags])


def without_thoughts(text: str) -> str:
    """Return the text with spaces in place of thinking, tool and template tags and of the text between thinking tags.

    The thinking detector reports leaked thoughts; the other detectors judge the rest of the answer. As in a parser,
    all text before a closing tag without an opening one is the thought; after an opening tag without a closing one,
    the text is the answer. Indices stay the same.
    """
    tags = [tag for tag in scan(text) if tag.kind != "html"]
    spans = [(tag.start, tag.end) for tag in tags]
    opened: int | None = 0
    for tag in tags:
        if tag.kind != "thinking":
            continue
        if not tag.closing:
            opened = tag.start if opened in (0, None) else opened
        elif opened is not None:
            spans.append((opened, tag.end))
            opened = None
    shown: list[str] = []
    done = 0
    for start, end in sorted(spans):
        if end > done:
            shown += [text[done:start], " " * (end - max(start, done))]
            done = end
    return "".join([*shown, text[done:]])


def _angle(match: re.Match[str]) -> list[Tag]:
    body = match.group(1).strip()
    closing = body.lstrip("|").lstrip().startswith("/")
    body = body.strip("/ \t\n")
    first = _FIRST.match(body)
    if first is None:
        return []
    name = first.group().strip("|")
    kind = _kind(name, body)
    if kind == "html" and match.group(1)[0].isspace():  # a comparison such as `a < b`: HTML allows no space here
        return []
    return [Tag(kind, name, closing, *match.span())] if kind else []


def _kind(name: str, body: str) -> Kind | None:
    """The kind of `<body>`, whose first word is `name`; None if it is not a tag, such as `<y and z>`."""
    parts = _words(name)
    whole = re.sub(r"[\s_|-]", "", body).casefold()
    plain = re.sub(r"[_|-]", "", name).casefold()
    if parts & _TOOL_WORDS or plain in _TOOL_NAMES or whole in _TOOL_NAMES:
        return "tool"
    if parts & _THINKING_WORDS or plain in _THINKING_NAMES or whole in _THINKING_NAMES or whole in _THINKING_WORDS:
        return "thinking"
    if body[0] == "|" or body[-1] == "|":
        return "special"
    if plain in _SPECIAL_NAMES or whole in _SPECIAL_NAMES or _SPECIAL_PATTERN.fullmatch(name.casefold()):
        return "special"
    if name.casefold() in _HTML_NAMES and (len(body) == len(name) or "=" in body):
        return "html"
    return None


def _words(name: str) -> set[str]:
    return {part.casefold() for part in _PART.findall(name)}


def _piped(name: str) -> Kind:
    if _words(name) & _TOOL_WORDS or re.sub("[_-]", "", name).casefold() in _TOOL_NAMES:
        return "tool"
    return "thinking" if _words(name) & _THINKING_WORDS else "special"


def _square(match: re.Match[str]) -> list[Tag]:
    raw = match.group(2).strip()
    name = re.sub(r"[\s_-]", "", raw).casefold()
    kind: Kind | None = None
    if name in _TOOL_BRACKETS:
        kind = "tool"
    elif name in _THINKING_BRACKETS:
        kind = "thinking"
    elif raw in _SPECIAL_BRACKETS:
        kind = "special"
    return [Tag(kind, raw, bool(match.group(1)), *match.span())] if kind else []


def _disjoint(tags: list[Tag]) -> tuple[Tag, ...]:
    kept: list[Tag] = []
    for tag in sorted(tags, key=lambda tag: (tag.start, -tag.end)):
        if not kept or tag.start >= kept[-1].end:
            kept.append(tag)
    return tuple(kept)
