"""Faults in spoken text: answers that cannot be spoken, are too long, are cut off, or are wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace

from tests.servers.faults.fault import Fault, gates
from tests.servers.faults.reply import Ask, Reply

_LECTURE = (
    "There is a lot to say about this.",
    "People have asked the same thing for many years.",
    "First of all, it helps to know how it began.",
    "Then there are the reasons that experts usually give.",
    "Some of them disagree with each other in interesting ways.",
    "It also matters where you live and what time of year it is.",
    "Many books have been written about it, and some are worth reading.",
    "In the end, everyone has to decide alone what to make of it.",
    "I could go on for quite a while, because the subject is rich.",
    "Let me know whether you would like to hear the rest of it.",
)


def _text(change: Callable[[str], str | None], finish: str = "stop") -> Callable[[Reply, Ask], Reply]:
    """Change the content."""
    return lambda reply, ask: replace(reply, content=change(reply.content or "All right."), finish=finish)


def _spoken(ask: Ask) -> bool:
    return not ask.expect.calls and not ask.expect.truncated


def _markdown(name: str, about: str, change: Callable[[str], str]) -> Fault:
    return Fault(name, about, gates("no_markdown"), "no_markdown", _spoken, reply=_text(change))


def _brevity(
    name: str, about: str, change: Callable[[str], str | None], finish: str = "stop", also: tuple[str, ...] = ()
) -> Fault:
    return Fault(name, about, gates("brevity", *also), "brevity", _spoken, reply=_text(change, finish))


def _bold(text: str) -> str:
    first, _, rest = text.partition(" ")
    return f"**{first}** {rest}" if rest else f"**{text}**"


def _half(text: str) -> str:
    words = text.split()
    return " ".join(words[: max(1, len(words) // 2)]).rstrip(".!?,") + " and the"


def _negated(reply: Reply, ask: Ask) -> Reply:
    wanted = ask.expect.answer
    fact = None if wanted is None else next(iter((*wanted.any_of, *wanted.all_of)), wanted.number)
    return replace(
        reply, content=f"It is certainly not {fact:g}." if isinstance(fact, float) else f"It is not {fact}."
    )


def _wrong(answer: str) -> Callable[[Reply, Ask], Reply]:
    return lambda reply, ask: replace(reply, content=answer)


def _tossed(ask: Ask) -> bool:
    """A coin toss from prompt and seed: different for every repeat, equal in every run."""
    seed = json.dumps([ask.body.get("messages"), ask.body.get("seed")])
    return hashlib.sha256(seed.encode()).digest()[0] % 2 == 0


FAULTS = [
    _markdown("markdown-bold", "a word in bold", _bold),
    _markdown("markdown-italic", "a sentence in italics", lambda t: f"*{t.rstrip('.')}*."),
    _markdown("markdown-list", "a bulleted list", lambda t: f"Here you go:\n\n- {t}\n- Anything else?"),
    _markdown("markdown-numbered", "a numbered list", lambda t: f"1. {t}\n2. Anything else?"),
    _markdown("markdown-heading", "a heading", lambda t: f"## Answer\n\n{t}"),
    _markdown("markdown-table", "a table", lambda t: f"| What | How |\n|---|---|\n| It | {t} |"),
    _markdown("markdown-code", "a fenced code block", lambda t: f"```\n{t}\n```"),
    _markdown("markdown-inline-code", "a span of code", lambda t: f"Try `help`. {t}"),
    _markdown("markdown-link", "a link", lambda t: f"{t} See [here](https://example.com/more)."),
    _markdown("markdown-emoji", "an emoji", lambda t: f"{t} \U0001f600"),
    _markdown("markdown-strikethrough", "words struck out", lambda t: f"~~No.~~ {t}"),
    _markdown("markdown-rule", "a horizontal rule", lambda t: f"{t}\n\n---\n\nAnything else?"),
    _brevity("long-answer", "a lecture of ten sentences", lambda t: " ".join(_LECTURE)),
    _brevity("long-sentence", "one endless sentence", lambda t: ", and ".join(s[:-1] for s in _LECTURE * 2) + "."),
    _brevity("cut-answer", "an answer that the token limit cut", _half, "length"),
    _brevity("unfinished-answer", "an answer that stops in the middle by itself", _half),
    _brevity("empty-answer", "content that is an empty string", lambda t: ""),
    _brevity("null-answer", "content that is null", lambda t: None),
    _brevity("blank-answer", "content of white space alone", lambda t: " \n\n "),
    _brevity(
        "loop",
        "one sentence over and over",
        lambda t: " ".join(["I can help you with that."] * 20),
        also=("every_answer",),
    ),
    _brevity("word-loop", "one word over and over", lambda t: "Sure " + "the " * 60, also=("every_answer",)),
    Fault(
        "markdown-coin",
        "a word in bold in every other answer, by chance",
        "REPEATS",
        "no_markdown",
        lambda ask: _spoken(ask) and _tossed(ask),
        reply=_text(_bold),
    ),
    Fault(
        "other-language",
        "a Chinese clause in every answer",
        gates("speakable"),
        only=_spoken,
        reply=_text(lambda t: t.rstrip(".!?") + "，这个很重要."),
    ),
    Fault(
        "unspeakable-units",
        "degrees, a unit and a symbol in every answer",
        gates("speakable"),
        only=lambda ask: _spoken(ask) and not ask.expect.answer,
        reply=_text(lambda t: t.rstrip(".!?") + ", at 21°C & 5 km/h."),
    ),
    Fault("wrong-fact", "another fact", gates("factual"), "factual", reply=_wrong("That would be Atlantis.")),
    Fault("negated-fact", "the fact, denied", gates("factual"), "factual", reply=_negated),
    Fault("wrong-number", "another result", gates("reasoning"), "reasoning", reply=_wrong("That makes 41,999.")),
    Fault("no-result", "words instead of a result", gates("reasoning"), "reasoning", reply=_wrong("That is easy.")),
]
