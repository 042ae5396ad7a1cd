"""Degeneration: loops are found, normal repetitions are not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annie_eval.detectors.degeneration import find, find_circle
from annie_eval.detectors.finding import Finding
from tests.support.growth import LINEAR, growth, growth_by_text
from tests.support.make_sample import reply, sample

POOR = " ".join(random.Random(1).choices([chr(97 + i) * 2 for i in range(26)], k=300))


@pytest.mark.parametrize(
    "text",
    [
        "!!!!",
        "!!!!!!!!!!!!!!!!",
        "Hooray!!!!!!!!!!!!",
        "." * 30,
        "Well" + "l" * 25,
        "\n" * 30 + "Hi.",
        "0" * 50,
        "yes\n" * 5,
        "yes\n\nyes\n\nyes\n\nyes\n\nyes",
        "I see.\nyes\nyes\nyes\nyes\nyes\nYou see?",
        "I see a cat.\nOk.\n" * 5,
        "word " * 8,
        "ha " * 12,
        "ha, " * 12,
        "knock knock who " * 5,
        "Hello. " + "I do not know. " * 5,
        "The cat sat on it. " * 4,
        "I am here and I stay. " * 3,
        "I am here and I stay. " * 3 + "I am",
        "hahahahahahahahahahahaha",
        "abc" * 12,
        "hello-world-" * 5,
        "はは" * 12,
        "我是一个人。" * 4,
        "?!" * 15,
        "- " * 12,
        "He orders a tea and " + ". " * 21,
        "So . . . . . . . . . . . . he said - - - - - - - - - - - - ",
        POOR,
    ],
)
def test_text_in_circles_is_found_in_both_channels(text: str) -> None:
    (spoken,) = find(sample(reply(text)))
    assert (spoken.detector, spoken.channel) == ("degeneration", "content")
    assert spoken.excerpt
    assert spoken.span is not None
    assert 0 <= spoken.span[0] < spoken.span[1] <= len(text)
    (thought,) = find(sample(reply("Fine.", reasoning=text), thinking="on"))
    assert thought.channel == "reasoning"


@pytest.mark.parametrize(
    "text",
    [
        "Sure thing! Sure thing!",
        "The capital is Rome. The capital is Rome.",
        "The capital is Rome.The capital is Rome.",
        "It's Rome. Shall I go on? It's Rome. Shall I go on?",
        "いい天気です。いい天気です。",
        "罗马是首都。罗马是首都。",
        "วันนี้อากาศดีวันนี้อากาศดี",
        "ThatThat isThat is RomeThat is Rome.",
        "I don't know that. I don't know that. Sorry.",
    ],
)
def test_an_answer_that_is_said_twice_is_found(text: str) -> None:
    (finding,) = find(sample(reply(text)))
    assert finding.channel == "content"
    assert finding.span is not None
    assert 0 <= finding.span[0] < finding.span[1] <= len(text)


@pytest.mark.parametrize(
    "text",
    [
        "Na na na na na na na na na na na na, Batman!",
        "A snail walks in, orders a tea and . . . . . . . . . . . . . a biscuit.",
        "Bye! Bye!",
        "Thank you, thank you!",
        "It's fine. It's really fine.",
        "Knock knock. Who's there?",
        "さくら、さくら",
        "Paris, Paris!",
        "That is very, very good.",
        "No, no, no, no, no!",
        "Ha ha ha ha!",
        "Hahahahahaha!",
        "Wow!!!",
        "Well... so...",
        "Happy birthday to you, happy birthday to you, happy birthday dear Ann, happy birthday to you.",
        "We wish you a merry Christmas, we wish you a merry Christmas, we wish you a merry Christmas and a good year.",
        "Row, row, row your boat, gently down the stream, merrily, merrily, merrily, merrily, life is but a dream.",
        "Let it be.\nLet it be.\nLet it be.\nLet it be.",
        "La la la la la la.",
        "milk, eggs, bread, butter, milk, eggs",
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10",
        "yes\nno\nyes\nno\nyes\nno\nyes\nno",
        "yes\nyes\nyes\nyes\nno",
        "One\nyes\nTwo\nyes\nThree\nyes\nFour\nyes\nFive\nyes",
        "One third is 0.3333333333333333333333333333.",
        "A million is 1000000.",
        "|---|---|---|---|---|",
        "とてもとても美しい。",
        "我爱你，我爱你。",
        "Monday, Tuesday, Wednesday, Thursday, Friday.",
        "",
    ],
)
def test_ordinary_repetition_is_not(text: str) -> None:
    assert find(sample(reply(text, reasoning=text), thinking="on")) == ()


def test_four_equal_lines_are_still_a_refrain_and_five_are_a_circle() -> None:
    verse = "".join(f"Verse {number} is new.\nAnd so it goes.\n" for number in range(4))
    assert find(sample(reply(verse))) == ()
    assert find(sample(reply(verse + "And so it goes.")))


def varied(different: int, length: int) -> str:
    """`length` words, `different` ones in turn but never twice in the same order."""
    names = [f"{chr(97 + i // 26)}{chr(97 + i % 26)}q" for i in range(different)]
    order = random.Random(3)
    drawn = names + [order.choice(names) for _ in range(length - different)]
    order.shuffle(drawn)
    return " ".join(drawn)


def test_fewer_than_sixty_different_words_in_two_hundred_are_too_few() -> None:
    assert find(sample(reply(varied(60, 200)))) == ()
    (finding,) = find(sample(reply(varied(59, 200))))
    assert finding.reason == "fewer than 30% different words"
    assert find(sample(reply(varied(30, 199)))) == ()
    fresh = " ".join(f"w{number}" for number in range(200))
    text = f"{fresh} {varied(40, 200)}"
    (finding,) = find(sample(reply(text)))
    assert finding.span is not None
    assert finding.span[0] > 0
    assert find(sample(reply(f"{varied(40, 200)} {fresh}")))
    assert find(sample(reply(f"{fresh} {varied(80, 150)}"))) == ()


def test_the_circle_is_pointed_at() -> None:
    text = "It starts well. " + "then it turns " * 6
    (finding,) = find(sample(reply("Fine."), reply(text)))
    assert finding.exchange == 1
    assert finding.span is not None
    assert finding.span[0] == len("It starts well. ")


def poor(unique: int, length: int) -> str:
    """`unique` words that come once, then 50 words, and these 50 again in no order."""
    names = [f"{chr(97 + i // 26)}{chr(97 + i % 26)}q" for i in range(50)]
    order = random.Random(5)
    once = [f"w{number}" for number in range(unique)]
    return " ".join([*once, *names, *(order.choice(names) for _ in range(length - unique - 50))])


# A circle stands in 〔brackets〕, which are no part of the text; a text without them has none.
CHARACTER, LINE, WORDS, FEW = (
    "one character repeated: {!r}",
    "the same line 5 times",
    "the same words over and over",
    "fewer than 30% different words",
)
SIGNS, CHARACTERS = "signs in a circle", "characters in a circle"
TWICE, SENTENCE, LONGER = (
    "the answer is said twice",
    "the same sentence twice in a row",
    "the answer begins again, each time a piece longer",
)
CIRCLES = [
    (CHARACTER.format("!"), "〔!!!!〕"),
    (None, "!!!"),
    (CHARACTER.format("-"), "〔-  - - -\n〕"),
    (CHARACTER.format("!"), f"Hey〔{11 * '!'}〕 You."),
    (SIGNS, f"Hey〔{10 * '!'}〕 You."),
    (None, f"Hey{9 * '!'} You."),
    (CHARACTER.format("o"), f"G〔{21 * 'o'}〕d."),
    (None, f"G{20 * 'o'}d."),
    (CHARACTER.format("0"), f"It is 〔{41 * '0'}〕."),
    (None, f"It is {40 * '0'}."),
    (CHARACTER.format(" "), f"It is〔{100 * ' '}〕so."),
    (None, f"It is{99 * ' '}so."),
    (LINE, "I see.\nyes\nyes\nyes\nyes\n〔yes〕\nYou see?"),
    (LINE, "I see.\nyes\n \n yes\nyes\n\nyes\n〔yes 〕\nYou see?"),
    (None, "I see.\nyes\nyes\nyes\nyes\nYou see?\nyes"),
    (LINE, "go on\na\ngo on\nb\ngo on\nc\ngo on\nd\n〔go on〕\ne"),
    (None, "go on\na\ngo on\nb\ngo on\nc\ngo on\nd"),
    (None, "go\na\ngo\nb\ngo\nc\ngo\nd\ngo"),
    (WORDS, f"So 〔{7 * 'word, '}Word〕, then."),
    (None, f"So {7 * 'word, '}then."),
    (WORDS, f"So 〔{5 * 'and then '}and then〕 it was."),
    (None, f"So {5 * 'and then '}it was."),
    (WORDS, f"So 〔{4 * 'he goes out '}he goes out〕, who knows."),
    (None, f"So {4 * 'he goes out '}who knows."),
    (WORDS, f"So 〔{4 * 'he goes out now '}he goes out now〕, who knows."),
    (WORDS, f"So 〔{3 * 'he goes out of it '}he goes out of it〕, who knows."),
    (None, f"So {3 * 'he goes out of it '}who knows."),
    (WORDS, "〔He goes out of it, he goes out of it, he goes out of it〕."),
    (WORDS, "〔He goes out of it, he goes out of it, he goes out of it〕, he goes."),
    (None, "He goes out of it, he goes out of it, he goes out of it, he went."),
    (None, f"Well, {20 * 'na '}Batman!"),
    (WORDS, f"Well, 〔{20 * 'na '}na〕 Batman!"),
    (WORDS, f"〔{19 * 'na '}na〕!"),
    (WORDS, f"Well, 〔{5 * 'na la '}na la〕 Batman!"),
    (SIGNS, f"So 〔{10 * '- '}〕he said."),
    (None, f"So {9 * '- '}he said."),
    (None, f"So {20 * '. '}he said."),
    (SIGNS, f"So 〔{21 * '. '}〕he said."),
    (SIGNS, f"So {10 * '. '}he said 〔{10 * '?!'}〕."),
    (CHARACTERS, f"Oh, b〔{10 * 'ha'}〕! So."),
    (None, f"Oh, bb{9 * 'ha'}! So."),
    (CHARACTERS, f"Oh, b〔{4 * 'abcde'}〕! So."),
    (None, f"Oh, {3 * 'abcde'}fghijk! So."),
    (None, f"Oh, {20 * 'ab '}! It is {10 * '12'}.".replace("ab ", "")),
    (CHARACTERS, f"It is {10 * '12'}, b〔{10 * 'ha'}〕!"),
    (TWICE, "It is Rome. 〔It is Rome〕."),
    (TWICE, "It is Rome.\n〔It is Rome〕."),
    (None, "It is Rome.\nIt is Rome.\nIt is Rome."),  # a refrain
    (TWICE, "It is Rome.\n\n〔It is Rome.\n\nIt is Rome〕."),
    (TWICE, "Hip hip hooray! 〔Hip hip hooray〕!"),
    (None, "Hip hip hooray! Hip hip hooray! Hip hip hooray!"),  # a chant
    (None, "Na na na na na hey! Nana na na na hey! Na nana na na hey!"),  # so is one of six words
    (TWICE, "Na na na na na na hey! 〔Nana na na na na hey! Na nana na na na hey〕!"),
    (TWICE, "It's Bob. 〔It's Bob〕."),
    (None, "It's ok. It's ok."),
    (TWICE, "Is it 5? 〔Is it 5〕?"),
    (None, "Absolutely! Absolutely!"),
    (TWICE, "The city Milan 〔the city Milan〕."),
    (None, "The city Rome the city Rome."),
    (None, "The city Milan, the city Milan."),
    (None, "MilanMilanMilan"),
    (None, "Straßenbahn kommt heute. Straßenbahn kommt heute."),  # folded, it has other letters
    (TWICE, "这是好的。〔这是好的〕。"),
    (None, "这是好。这是好。"),
    (TWICE, "好的。〔好的。好的〕。"),
    (TWICE, "好。〔好。好。好。好。好〕。"),
    (None, "好。好。好。好。"),
    (TWICE, "今天的天气非常好〔今天的天气非常好〕"),
    (None, "今天天气非常好今天天气非常好"),
    (SENTENCE, "I do not know that.〔 I do NOT know that.〕 Sorry."),
    (None, "I never know that, right? I never know it. Sorry."),
    (None, "I don't know. I don't know. Sorry."),
    (SENTENCE, "Hi. I do know it.〔 I do know it.〕 Sorry."),
    (SENTENCE, "你好。今天天气非常好。〔今天天气非常好。〕再见。"),
    (None, "你好。今天天气很好。今天天气很好。再见。"),
    (LONGER, "〔ThatThat isThat is〕 Rome."),
    (LONGER, "〔aabcdabcd〕"),
    (None, "aabcabc"),
    (None, "11234123456"),
]


def unmarked(text: str) -> tuple[str, tuple[int, int] | None]:
    """The text without its brackets, and the span that they enclose."""
    start, end = text.find("〔"), text.find("〕")
    return text.replace("〔", "").replace("〕", ""), (start, end - 1) if start >= 0 else None


@pytest.mark.parametrize(("reason", "marked"), CIRCLES)
def test_the_first_circle_is_told_by_its_reason_and_place(reason: str | None, marked: str) -> None:
    text, span = unmarked(marked)
    assert find_circle(text) == (None if reason is None or span is None else (reason, *span))


def test_a_stretch_of_few_different_words_begins_where_they_are_fewer_than_sixty() -> None:
    """Of 200 words from word 141 on, 9 come once and 50 often; from word 140 on, 10 come once: 60 are enough."""
    text = poor(150, 360)
    words = text.split(" ")
    start = len(" ".join(words[:141])) + 1
    assert find_circle(text) == (FEW, start, start + len(" ".join(words[141:341])))
    assert find_circle(" ".join(words[:341])) == (FEW, start, len(" ".join(words[:341])))
    assert find_circle(" ".join(words[:340])) is None
    late = poor(450, 660)
    start = len(" ".join(late.split(" ")[:441])) + 1
    found = find_circle(late)
    assert found is not None
    assert found[:2] == (FEW, start)


def test_both_channels_of_each_exchange_are_judged_but_for_a_thought_that_was_to_be_cut() -> None:
    loop = "Well then: " + "one two " * 6
    spans = ((11, 58), f"{loop[:160]}")
    judged = find(
        sample(
            reply("It is Rome. It is Rome.", reasoning="It is Rome. It is Rome."),
            reply(loop, reasoning=loop),
            reply(loop, reasoning=loop, truncated=True),
            reply(None, reasoning=loop),
            thinking="on",
        )
    )
    assert judged == (
        Finding("degeneration", TWICE, "It is Rome. It is Rome.", "content", 0, (12, 22)),
        Finding("degeneration", WORDS, spans[1], "content", 1, spans[0]),
        Finding("degeneration", WORDS, spans[1], "reasoning", 1, spans[0]),
        Finding("degeneration", WORDS, spans[1], "content", 2, spans[0]),
        Finding("degeneration", WORDS, spans[1], "reasoning", 3, spans[0]),
    )


@given(
    st.lists(st.from_regex(r"[a-z]{1,6}", fullmatch=True), min_size=1, max_size=6, unique=True), st.integers(10, 40)
)
def test_every_phrase_that_goes_round_often_is_found(words: list[str], times: int) -> None:
    assert find(sample(reply((" ".join(words) + " ") * times)))


@given(st.lists(st.from_regex(r"[a-z]{3,9}", fullmatch=True), max_size=60, unique=True))
def test_different_words_never_are(words: list[str]) -> None:
    assert find(sample(reply(" ".join(word for word in words if len(set(word)) > 1)))) == ()


@given(st.none() | st.text(max_size=200), st.none() | st.text(max_size=200))
def test_no_text_raises(content: str | None, reasoning: str | None) -> None:
    find(sample(reply(content, reasoning=reasoning)))


@pytest.mark.parametrize("piece", ["a ", "a", "\n", "one two three ", "我", "- "])
def test_the_time_is_linear_in_the_text(piece: str) -> None:
    assert growth_by_text(lambda text: find(sample(reply(text))), piece) < LINEAR


@pytest.mark.parametrize("letters", ["abcdefgh ", "abcd", "ab"])
def test_the_time_is_linear_without_a_circle(letters: str) -> None:
    text = "".join(random.Random(0).choices(letters, k=16_000))
    assert growth(lambda size: lambda: find(sample(reply(text[:size]))), 4_000) < LINEAR
