"""hypothesis strategies for prompts that no scenario file has: unusual words, symbols, scripts and lengths.

A prompt consists of words with other elements between them, so that all marks, scripts and styles are combined; some
prompts are scenarios of the profile with noise. Templates and parsers fail because of the form of a prompt, so the
prompts vary in form, not in subject.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hypothesis import strategies as st

from annie_eval.probes import noise
from annie_eval.probes.example import Example
from annie_eval.probes.noise import Edit
from annie_eval.profile.types import Profile, Scenario, Thinking

_THINKING: Sequence[Thinking] = ("off", "on", "unset")
# Earlier messages: mostly none.
_TALKS: Sequence[tuple[Edit, ...]] = (
    *((), (), ()),
    (Edit(noise.HISTORY, 0),),
    (Edit(noise.HISTORY, 1), Edit(noise.HISTORY, 3)),
)
LONGEST = 2_000  # characters; about 600 tokens of English, which fit into any context together with tools

_WORDS = (
    *("yes", "no", "stop", "again", "hello", "thanks", "why", "tea", "later", "nothing", "music", "kitchen", "not"),
    *("really", "sorry", "dinner", "the", "who", "maybe", "help", "I", "me", "now", "time", "louder", "don't"),
)
_SENTENCES = (
    *("What time is it", "Tell me a joke", "How are you", "Who wrote Hamlet", "I'm bored", "What is a quark"),
    *("Is it going to rain", "Why is the sky blue", "Say that again", "What's two and two", "Good night"),
    *("Remind me what I said", "Can you hear me", "Never mind", "How far is the moon", "And you", "Do you dream"),
)
_FOREIGN = (
    *(
        "Wie spät ist es",
        "Größe",
        "Où est la gare",
        "¿Qué hora es",
        "¡Hola!",
        "Che ore sono",
        "Não sei",
        "Hoe laat is het",
    ),
    *("Která je hodina", "Zażółć gęślą jaźń", "Saat kaç", "Который час", "Πόσο κάνει", "כמה זה עולה", "كم الساعة"),
    *(
        "現在几点",
        "今何時ですか",
        "コーヒー",
        "지금 몇 시예요",
        "अभी क्या समय है",
        "กี่โมงแล้ว",
        "Mấy giờ rồi",
        "რომელი საათია",
    ),
)
_MARKS = "?!.,;:-…\"'()"
_SIGNS = "/*_#@&%$€£+=<>|\\^~[]{}`°§¿¡«»“”‘’–—•·×"
_EMOJI = ("🙂", "👍", "❤️", "😂", "👩‍👩‍👧", "🇬🇧", "👋🏽", "☕", "✅", "\u2122")
_SPACES = ("  ", "\n", "\n\n", "\t", "\u00a0", "\u3000", "\r\n", " \n ")
_INVISIBLE = ("\u200b", "\u200d", "\ufeff", "\u00ad", "\u202e", "\u2066", "e\u0301", "\u2028")
_WRITTEN = (
    *("https://example.org/a?b=c&d=e", "anna@example.org", "C:\\temp\\x.txt", "/etc/hosts", "print('hi')", "a == b"),
    *('{"a": [1, null]}', "SELECT * FROM t;", "x = y[0]", "#party", "@anna", "&amp;", "%20", "$HOME", "\\n", "1=1 --"),
    *(
        "**really**",
        "# Hello",
        "- milk\n- tea",
        "1. eggs\n2. ham",
        "| a | b |",
        "`ls`",
        "<b>hi</b>",
        "[a](b)",
        "TODO:",
        "N/A",
    ),
)
_NUMBERS = (
    "0",
    "7",
    "42",
    "1999",
    "3.14",
    "-5",
    "1,000,000",
    "10:30",
    "24/7",
    "½",
    "III",
    "07700 900123",
    "£9.99",
    "5%",
    "1e9",
)
_PAIRS = ('""', "''", "()", "[]", "“”")
_HABITS = (
    "pleeeease",
    "nooooo",
    "hahaha",
    "LOL",
    "u r gr8",
    "gonna",
    "y'all",
    "ain't",
    "brb",
    "w8",
    "hmm",
    "uh",
    "er",
)


# Elements that must occur: each is used once before any is used again.
_ATOMS = (
    *(mark * times for mark in "?!." for times in (1, 2, 3)),
    *(
        "?!",
        "!?",
        ",",
        ",,",
        ";",
        ":",
        "-",
        "--",
        "…",
        '"',
        "'",
        "What? Why?",
        "Who's there? And when?",
        "Is it? Is it?",
    ),
    *_SIGNS,
    *_EMOJI,
    *_SPACES,
    *_INVISIBLE,
    *_WRITTEN,
    *_NUMBERS,
    *_HABITS,
    *_FOREIGN,
    *("Please", "thank you", "why", "not", "don't", "maybe", "sorry", "the the", "no no no", "camelCase", "iPhone"),
)
_CASES = (str, str, str.upper, str.lower, str.title, str.swapcase, str.capitalize)
_SIZES = (130, 260, 520, 1040, LONGEST)


def _sentence() -> st.SearchStrategy[str]:
    """A sentence with a punctuation mark at its end, mostly the right one."""
    ends = st.sampled_from(("?", "?", ".", "!", "", "...", "?!"))
    return st.builds(lambda sentence, end: sentence + end, st.sampled_from(_SENTENCES), ends)


def _filling(vocabulary: Sequence[str]) -> st.SearchStrategy[str]:
    """The text between the atoms."""
    words = st.sampled_from([*_WORDS, *vocabulary])
    return st.one_of(
        st.builds(lambda word, case: case(word), words, st.sampled_from(_CASES)),
        _sentence(),
        st.builds(lambda word, signs: f"{signs[0]}{word}{signs[-1]}", words, st.sampled_from(_PAIRS)),
        st.builds(lambda word, times: " ".join([word] * times), words, st.integers(2, 4)),
        st.text(min_size=1, max_size=5),
        st.text(_MARKS + _SIGNS, min_size=1, max_size=4),
        st.integers(0, 10**6).map(str),
    )


@st.composite
def _composed(draw: st.DrawFn, atoms: Sequence[str], filling: st.SearchStrategy[str], most: int = 4) -> str:
    """These atoms in any order, with up to `most` other elements between them."""
    parts = draw(st.permutations([*atoms, *draw(st.lists(filling, max_size=most))]))
    return draw(st.sampled_from((" ", " ", ""))).join(parts)


@st.composite
def texts(draw: st.DrawFn, count: int, vocabulary: Sequence[str] = ()) -> list[str]:
    """`count` prompts of one to `LONGEST` characters, none blank, in which every atom occurs."""
    filling = _filling(vocabulary)
    deck: list[str] = []

    def deal(atoms: int) -> list[str]:
        while len(deck) < atoms:
            deck[:0] = draw(st.permutations(_ATOMS))
        return [deck.pop() for _ in range(atoms)]

    prompts: list[str] = []
    for place in range(count):
        match place % 10:
            case 0:  # as short as possible
                prompt = deal(1)[0]
            case 1:
                prompt = " ".join(draw(st.lists(_sentence(), min_size=1, max_size=3)))
            case 2:
                prompt = draw(_composed(deal(2), filling, 2)).upper()
            case 3:
                prompt = draw(_composed(deal(2), filling, 2)).lower()
            case 4:  # a very long prompt
                parts = draw(st.lists(filling, min_size=4, max_size=8))
                again = " ".join([*parts, *deal(1)])
                size = _SIZES[place // 10 % len(_SIZES)]
                prompt = " ".join([again] * (size // len(again) + 1))[:size]
            case 5:
                prompt = draw(st.sampled_from(_WORDS)) + draw(st.sampled_from(("", "?", "??", "!", "...")))
            case 6 | 7:  # for failures that need two elements together
                prompt = draw(_composed(deal(7), filling))
            case _:
                prompt = draw(_composed(deal(3), filling))
        prompts.append(prompt if prompt.strip() else f"a{prompt}")
    return prompts


def vocabulary(profile: Profile, most: int = 300) -> list[str]:
    """The words of the profile's own scenarios, each once, in order."""
    words: dict[str, None] = {}
    for scenario in profile.scenarios:
        for turn in scenario.turns:
            words.update(dict.fromkeys(re.findall(r"[^\W\d_]{3,14}", turn.user)))
    step = max(1, len(words) // most)
    return list(words)[::step][:most]


@st.composite
def edits(draw: st.DrawFn, scenario: Scenario, most: int = 4) -> tuple[Edit, ...]:
    """One to `most` changes of a scenario's prompt."""
    kind = st.sampled_from(noise.kinds(scenario.language))
    changes = st.lists(st.builds(Edit, kind, st.integers(0, 40)), min_size=1, max_size=most)
    return tuple(draw(changes))


@st.composite
def noised(draw: st.DrawFn, scenarios: Sequence[Scenario]) -> Example:
    """A scenario with a noisy prompt; its further turns are unchanged."""
    scenario = draw(st.sampled_from(scenarios))
    made = draw(edits(scenario))
    return noisy(scenario, made)


def noisy(scenario: Scenario, made: tuple[Edit, ...]) -> Example:
    """A scenario with these edits, sent as its first variant is."""
    variant = scenario.variants[0]
    return Example(
        prompt=noise.apply(made, scenario.turns[0].user, noise.protected(scenario)),
        history=(*noise.history(made), *scenario.history),
        stream=variant.stream,
        thinking=variant.thinking,
        scenario=scenario.id,
        edits=made,
    )


@st.composite
def spoken(draw: st.DrawFn, profile: Profile, count: int) -> list[Example]:
    """`count` prompts, each with a way of sending it, for properties that every answer must have."""
    plain = [one for one in profile.scenarios if not one.history and not any(turn.expect.topic for turn in one.turns)]
    text = draw(texts(count, vocabulary(profile)))
    examples = []
    for place, prompt in enumerate(text):
        history = noise.history(draw(st.sampled_from(_TALKS)))
        if plain and place % 10 == 1 and draw(st.booleans()):
            heard = draw(noised(plain))
            prompt, history = heard.prompt, heard.history
        examples.append(Example(prompt, history, draw(st.booleans()), draw(st.sampled_from(_THINKING))))
    return examples
