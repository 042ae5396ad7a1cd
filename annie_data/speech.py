"""What may not stand in a reply that is read aloud: markdown, tags, emoji, too many words, an end in the middle."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

_TAG = re.compile(
    r"</?\s*(?:think(?:ing)?|thought|reasoning|tool_call|tool_response|tools?|function|answer|system-reminder)\b[^>]*>"
    r"|<\|[^|>]{1,40}\|>|<[a-zA-Z][\w-]*(?:\s[^<>]*)?/?>|</[a-zA-Z][\w-]*>|\[/?INST\]|\[TOOL_CALLS\]|<<SYS>>",
    re.IGNORECASE,
)
#: Marks of chat templates, which no text of a conversation may hold: they would end the turn.
TEMPLATE_MARK = re.compile(r"<\|[a-z_]{2,30}\|>|\[/?INST\]|<<SYS>>|<(?:start|end)_of_turn>", re.IGNORECASE)
#: What command lines of assistants mix into their answers: notes of hooks, reminders of the harness.
HOOK_TEXT = re.compile(
    r"system-reminder|\b(?:SessionStart|SessionEnd|UserPromptSubmit|PreToolUse|PostToolUse)\b|\bStop hook\b"
)
_EMOJI = re.compile("[\U0001f000-\U0001faff☀-➿⬀-⯿️⃣‍]")
_MARKS = (
    (re.compile(r"\*\*|__(?=\w)|(?<!\w)[*_](?=\w)[^*_\n]{1,80}(?<=\w)[*_](?!\w)|~~"), "emphasis"),
    (re.compile(r"(?:^|\n)\s{0,3}#{1,6}\s"), "a heading"),
    (re.compile(r"(?:^|\n)\s*(?:[-*+•·▪►✓✔☐]|[-*] ?\[[ x]\]|\(?\d{1,2}[.)]|[a-hA-H][.)])\s+\S"), "a list"),
    (re.compile(r"`"), "code"),
    (re.compile(r"\[[^\]\n]+\]\([^)\n]*\)|https?://|www\."), "a link"),
    (re.compile(r"(?:^|\n)[^\n|]*\|[^\n|]*\|"), "a table"),
    (re.compile(r"(?:^|\n)\s{0,3}(?:>|---+\s*$|===+\s*$)", re.MULTILINE), "a quotation or a rule"),
    (re.compile(r"\\[a-zA-Z(\[]|\$[^$\n]+\$|&[a-z]{2,6};"), "markup"),
)
_SENTENCE = re.compile(r"[.!?…]+[\"'”’)]*(?=\s|\Z)")
_ABBREVIATION = re.compile(r"(?:\b(?:Dr|Mr|Mrs|Ms|St|No|vs|etc|e\.g|i\.e|approx)|\b[A-Z])\.\Z")


@lru_cache(maxsize=1)
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def markdown(text: str) -> str | None:
    """What mark a text holds that a voice would read aloud; None where there is none."""
    for pattern, name in _MARKS:
        if match := pattern.search(text):
            return f"{name} ({match.group().strip()[:20]!r})"
    if match := _EMOJI.search(text):
        return f"emoji ({match.group()!r})"
    for token in _parser().parse(text):
        kinds = [token.type, *(child.type for child in token.children or [])]
        for kind in kinds:
            if kind not in {"paragraph_open", "paragraph_close", "inline", "text", "softbreak"}:
                return f"markdown ({kind.removesuffix('_open')})"
    return None


def tag(text: str) -> str | None:
    """The first tag in a text; None where there is none."""
    match = _TAG.search(text)
    return match.group() if match else None


def count_sentences(text: str) -> int:
    """Sentences, as a listener counts them; a text without an end mark is one."""
    ends = [
        m
        for m in _SENTENCE.finditer(text)
        if m.end() == len(text.rstrip()) or not _ABBREVIATION.search(text[: m.start() + 1])
    ]
    rest = text[ends[-1].end() :] if ends else text
    return len(ends) + bool(re.search(r"\w", rest))


def is_finished(text: str) -> bool:
    """Whether a text ends where a sentence does."""
    return text.rstrip().rstrip("\"'”’)").endswith((".", "!", "?", "…"))
