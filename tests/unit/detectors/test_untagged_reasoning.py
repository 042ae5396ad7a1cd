"""Untagged reasoning: found by weighted cues, and not in speech with the same words."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annie_eval.detectors.untagged_reasoning import find, weights
from annie_eval.detectors.untagged_reasoning.cues import Cue, Where
from annie_eval.detectors.untagged_reasoning.find import (
    ASKED,
    CUES,
    Hit,
    Prose,
    asked_cues,
    best_stretch,
    find_prose,
    hits,
)
from annie_eval.detectors.untagged_reasoning.weights import OTHER, THRESHOLD, Counts, log_odds
from tests.support.growth import LINEAR, growth_by_text

PROBES = Path(__file__).parents[3] / "benchmarks" / "detector_sets" / "reasoning_probes.jsonl"
STORED = tomllib.loads(Path(weights.__file__).with_name("counts.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "text",
    [
        "User asks if the hall light is on. Need to call get_state.",
        'User: "Is the hall light on?" That is a question about a state, so call get_state.',
        "We need the current state of the light. Must call GetLiveState.",
        "Need live data. Use the state tool with the hall light.",
        "Looking at the available functions, there is a get_state function that fits.",
        "The user is asking about the hall light, so I should check its state first.",
        "Reflection: keep it to one sentence. The light is on.",
        "[Reasoning: hall light, state is on.] The light is on.",
        "(internal: be brief) The light is on.",
        "{thinking} hall light {/thinking} The light is on.",
        "The light is on. /no_think",
        "Goal: a short answer without markdown. The light is on.",
        "Plan: one spoken sentence. The light is on.",
        "Thought for 4 seconds. The light is on.",
        "She wants the state of the light. One sentence will do. The light is on.",
        "I'll keep this short, one sentence and no formatting. The light is on.",
        "Let's respond briefly. The light is on.",
        "Simple question, no tool call. It is Paris.",
        "Der Nutzer möchte wissen, ob das Licht an ist. Es ist an.",
        "Überlegung: nur ein Satz. Das Licht ist an.",
        "L'utilisateur veut savoir si la lampe est allumée. Elle est allumée.",
        "El usuario quiere saber si la luz está encendida. Está encendida.",
        "L'utente chiede se la luce è accesa. È accesa.",
        "O usuário quer saber se a luz está acesa. Está acesa.",
        "De gebruiker vraagt of het licht aan is. Het is aan.",
        "Użytkownik pyta, czy światło jest włączone. Jest włączone.",
        "Пользователь спрашивает, горит ли свет. Свет горит.",
        "用户想知道灯是否开着。灯开着。",
        "ユーザーは電気がついているか尋ねています。ついています。",
        "사용자가 불이 켜져 있는지 묻고 있습니다. 켜져 있어요.",
        "उपयोगकर्ता पूछ रहा है कि बत्ती जली है या नहीं। जली है।",
        "المستخدم يسأل هل الضوء مضاء. نعم، هو مضاء.",
        "Uživatel se ptá, jestli svítí světlo. Svítí.",
        "Користувач питає, чи горить світло. Горить.",
        "המשתמש שואל אם האור דולק. הוא דולק.",
        "ผู้ใช้ถามว่าไฟเปิดอยู่ไหม ไฟเปิดอยู่",
    ],
)
def test_reasoning_is_found(text: str) -> None:
    assert find_prose(text)


@pytest.mark.parametrize(
    "text",
    [
        "The answer has to be a sponge.",
        "The answer should be Lake Baikal.",
        "They want the reply slip back by Tuesday.",
        "They need an answer before lunch about the curtains.",
        "I'd say the user comes first in any design.",
        "The user types a code and then gets a second one by post.",
        "The customer wants to know whether you deliver on Sundays.",
        "The caller is asking for a refund on two tickets.",
        "The question is simple, it only asks for your birthday.",
        "It's a simple request for a meter reading.",
        "The task is to name three rivers in Asia.",
        "Possible reply: how kind, we'd love to come.",
        "We need to reply by Monday, the card is in the hall.",
        "No tools are needed for that, it screws off by hand.",
        "Let's work it out step by step. Half of ninety is 45.",
        "It says: I must reply to Sam, then buy milk.",
        "The response must come within ten minutes in town.",
        "Analysis: all is well, only the iron is a bit low.",
        "Let me think. Was it in June?",
        "Hmm, I remember that song.",
        "Which list? You have one for the garden, too.",
        "I need to know which Anna you mean.",
        "Ich muss auf Englisch antworten.",
        "Ja, ich antworte gern auf Deutsch.",
        "Il faut répondre avant mardi.",
        "Tengo que contestar la carta.",
        "Hay que responder antes del lunes.",
        "Мне нужно ответить до вторника, пишет Оля.",
        "我需要回答。",
        "用户可能要在周一前换密码，银行这么写的。",
        "ユーザーの質問に答えたり、予定を読んだりできますよ。",
    ],
)
def test_speech_with_the_same_words_is_left_alone(text: str) -> None:
    assert find_prose(text) is None


def test_each_weight_follows_from_the_counts_beside_it() -> None:
    of = {other: Counts(**STORED["of"]["other" if other else "english"]) for other in (False, True)}
    for name, row in STORED["cues"].items():
        counts = Counts(**{field: row[field] for field in ("thoughts", "speech", "answers", "leaks", "plain")})
        other = name.startswith(OTHER)
        assert row["weight"] == pytest.approx(log_odds(counts, of[other], other=other), abs=0.006), name


def test_every_cue_is_measured_and_seen_in_a_thought_or_a_leak() -> None:
    assert set(STORED["cues"]) == {*(cue.name for cue in CUES), *ASKED}
    unseen = [name for name, row in STORED["cues"].items() if not row["thoughts"] + row["leaks"]]
    assert unseen == []


def test_hints_hide_no_match(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [json.loads(line)["text"] for line in PROBES.read_bytes().splitlines()]
    quick = [hits(text) for text in texts]
    monkeypatch.setattr(find, "_hinted_cues", lambda lowered: list(CUES))
    for text, found in zip(texts, quick, strict=True):
        assert {hit.cue.name for hit in found} == {hit.cue.name for hit in hits(text)}, text


def test_the_cues_of_a_text_are_those_with_one_of_their_hints_in_it() -> None:
    texts = [json.loads(line)["text"].lower() for line in PROBES.read_bytes().splitlines()]
    for text in ["", *texts, " ".join(texts)]:
        hinted = [
            cue
            for cue in CUES
            if all(not hints or any(hint in text for hint in hints) for hints in (cue.hints, cue.also))
        ]
        assert find._hinted_cues(text) == hinted, text


def test_the_question_in_quotation_marks_is_a_cue() -> None:
    text = 'It says "is it going to rain tomorrow?", so no search. It may rain.'
    alone, asked = find_prose(text), find_prose(text, question="Is it going to rain tomorrow?")
    assert asked
    assert "repeats what the user said" in asked.reason
    assert alone is None or alone.score < asked.score


def test_the_name_of_an_offered_tool_is_a_cue_even_where_it_looks_like_no_function() -> None:
    text = "Must check with homeStatus. It is on."
    assert find_prose(text) is None
    assert find_prose(text, tools=("homeStatus", "weather"))
    assert find_prose("The weather is fine.", tools=("homeStatus", "weather")) is None


def test_cues_that_show_the_same_count_once() -> None:
    once = find_prose("The user wants the time.")
    twice = find_prose("The user wants the time. The user asks for the time.")
    assert once
    assert twice
    assert once.score == twice.score


def test_cues_far_apart_are_not_added_up() -> None:
    # "One short sentence" and "no markdown" are enough together and too little alone.
    near = "One short sentence. It is warm. No markdown."
    far = "One short sentence. It is warm. It is dry. It is late. No markdown."
    assert find_prose(near)
    assert find_prose(far) is None


def test_the_finding_names_its_cues_and_its_score() -> None:
    prose = find_prose("It is warm. The user wants the forecast, so call get_forecast.")
    assert prose
    assert "speaks of the user" in prose.reason
    assert "plans a call" in prose.reason
    assert f"of {THRESHOLD:.1f}" in prose.reason
    assert prose.start >= len("It is warm. ")


@pytest.mark.parametrize("unit", ["a", "I ", ". ", "\n", "用", "用户", "[", "_", "<", "think"])
def test_the_time_is_linear_in_the_text(unit: str) -> None:
    assert growth_by_text(find_prose, unit, size=25_000) < LINEAR


@pytest.mark.parametrize(
    ("read_out", "leak"),
    [
        ("O usuário pediu uma senha nova, diz a nota.", "O usuário pediu uma senha nova."),
        ("El usuario pidió una llave, dice el cartel.", "El usuario pidió una llave."),
        ("L'utilisateur a demandé une clé, dit la lettre.", "L'utilisateur a demandé une clé."),
        (
            "Der Nutzer hat um einen Schlüssel gebeten, steht auf dem Schild.",
            "Der Nutzer hat um einen Schlüssel gebeten.",
        ),
    ],
)
def test_a_letter_about_a_user_is_read_out(read_out: str, leak: str) -> None:
    assert find_prose(read_out) is None
    assert find_prose(leak) is not None


# The search by itself, with cues made for the test.


def cue(name: str, shows: str = "", where: Where = "inside", pattern: str = "goal") -> Cue:
    return Cue(name, shows or name, where, (), pattern)


def only(*cues: Cue) -> Callable[[str], tuple[Cue, ...]]:
    """In place of the cues of which a text holds hints."""
    return lambda _: cues


def hit(name: str, sentence: int, shows: str = "") -> Hit:
    return Hit(cue(name, shows), 10 * sentence, 10 * sentence + 4, sentence)


WEIGHT = {"one": 1.0, "two": 2.0, "four": 4.0, "less": -3.0}


@pytest.mark.parametrize(
    ("found", "score", "kept"),
    [
        ([hit("one", 0)], 1.0, [0]),
        ([hit("one", 0), hit("two", 0)], 3.0, [0, 1]),
        ([hit("one", 0), hit("two", 2)], 3.0, [0, 1]),
        ([hit("one", 0), hit("two", 3)], 2.0, [1]),
        ([hit("two", 0), hit("one", 3)], 2.0, [0]),
        ([hit("two", 0), hit("two", 5)], 2.0, [0]),  # as good as the second: the first
        ([hit("two", 1), hit("two", 2), hit("one", 2)], 3.0, [2, 0]),
        ([hit("one", 0, "a"), hit("four", 1, "a"), hit("two", 2)], 6.0, [1, 2]),
        ([hit("four", 0), hit("one", 3), hit("two", 5), hit("two", 2)], 6.0, [0, 3]),
        ([hit("one", 7), hit("two", 4), hit("four", 6)], 6.0, [1, 2]),
        ([hit("less", 0), hit("four", 0)], 1.0, [0, 1]),
        ([hit("less", 0), hit("four", 1)], 4.0, [1]),
        ([hit("four", 0), hit("less", 1)], 1.0, [1, 0]),
        ([hit("less", 2)], -3.0, [0]),
    ],
)
def test_the_best_stretch_is_of_three_sentences(found: list[Hit], score: float, kept: list[int]) -> None:
    best = best_stretch(found, WEIGHT)
    assert best is not None
    assert best[0] == score
    assert {(each.cue.name, each.sentence) for each in best[1]} == {
        (found[at].cue.name, found[at].sentence) for at in kept
    }
    assert len(best[1]) == len(kept)


def test_no_hits_have_no_best_stretch() -> None:
    assert best_stretch([], WEIGHT) is None


@pytest.mark.parametrize(
    ("text", "opens", "starts"),
    [
        ("goal", True, True),
        ("** goal", True, True),
        ("1. goal", True, True),
        ("Okay, so goal", True, True),
        ("The goal", False, False),
        ("It is. goal", False, True),
        ("It is.goal", False, False),
        ("It is.) So, goal", False, True),
        ("It is。goal", False, True),
        ("It is\ngoal", False, True),
        ("It is so goal", False, False),
        (f"{12 * 'ok '}goal", True, True),
        (f"{13 * 'ok '}goal", False, False),
        (f"{10 * 'okay, '}goal", True, True),  # 60 characters before it
        (f"{10 * 'okay, '} goal", False, False),
        (f"It. {9 * 'okay, '} goal", False, True),
        (f"It. {9 * 'okay, '}  goal", False, True),
        (f"It is.{10 * 'okay, '} goal", False, False),
    ],
)
def test_a_beginning_has_only_ornaments_and_lead_ins_before_it(
    monkeypatch: pytest.MonkeyPatch, text: str, opens: bool, starts: bool
) -> None:
    for where, expected in (("opening", opens), ("start", starts), ("inside", True)):
        monkeypatch.setattr(find, "_hinted_cues", only(cue("x", where=where)))
        assert [each.start for each in hits(text)] == ([text.index("goal")] if expected else []), where


def test_hits_know_their_place_and_their_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = cue("one"), cue("two", pattern="plan")
    monkeypatch.setattr(find, "_hinted_cues", only(one, two))
    assert hits("goal. Goal plan\ngoal。goal") == [
        Hit(one, 0, 4, 0),
        Hit(one, 6, 10, 1),
        Hit(one, 16, 20, 2),
        Hit(one, 21, 25, 3),
        Hit(two, 11, 15, 1),
    ]
    assert hits("nothing") == []
    assert len(hits(200 * "goal ")) == len(hits(201 * "goal ")) == 200


@pytest.mark.parametrize(("before", "found"), [(4999, 1), (5000, 0)])
def test_so_many_places_of_a_cue_are_tried(monkeypatch: pytest.MonkeyPatch, before: int, found: int) -> None:
    monkeypatch.setattr(find, "_hinted_cues", only(cue("x", where="start")))
    assert len(hits(f"x{before * ' goal'}. goal")) == found


def test_what_was_asked_makes_cues() -> None:
    quoted = r"[\"“”'«„「]\s?"
    assert asked_cues("", ()) == ()
    assert asked_cues(" Nine char?!\n", ("weather", "Weather")) == ()
    assert asked_cues("What is it.?", ()) == (
        Cue(ASKED[0], "repeats what the user said", "inside", ("what is it",), rf"{quoted}What\ is\ it"),
    )
    assert asked_cues("", ("homeStatus", "weather", "get_time", "a.b")) == (
        Cue(
            ASKED[1],
            "plans a call",
            "inside",
            ("homestatus", "get_time", "a.b"),
            r"(?<![\w./])(?:homeStatus|get_time|a\.b)(?!\w)",
        ),
    )
    assert [each.name for each in asked_cues("What is the time?", ("get_time",))] == list(ASKED)


@pytest.mark.parametrize(
    ("weight", "text", "more", "found"),
    [
        (5.5, "A goal.", {}, True),
        (5.4, "A goal.", {}, False),
        (7.5, "A goal.", {"about_thinking": True}, True),
        (7.4, "A goal.", {"about_thinking": True}, False),
        (7.5, "A goal.", {"question": "Which tools?"}, True),
        (7.4, "A goal.", {"question": "Which tools?"}, False),
        (7.4, "A goal.", {"question": "Which stools?"}, True),
        (7.5, "A goal, says the letter.", {}, True),
        (7.4, "A goal, says the letter.", {}, False),
        (7.4, "A goal, says the cat.", {}, True),
        (9.0, "A goal.", {"question": "What are my Goals?"}, False),  # the question names the matter
        (9.0, "A goal.", {"question": "What is my plan?"}, True),
        (9.0, "get_goal is it.", {"question": "Do you know get_goal?"}, True),
    ],
)
def test_the_threshold_is_higher_where_the_topic_is_near(
    monkeypatch: pytest.MonkeyPatch, weight: float, text: str, more: dict[str, Any], found: bool
) -> None:
    monkeypatch.setattr(find, "_hinted_cues", only(cue("x")))
    monkeypatch.setattr(find, "weights", lambda: dict.fromkeys(("x", *ASKED), 0.0) | {"x": weight})
    prose = find_prose(text, **more)
    start = text.index("goal")
    assert prose == (Prose(f"x ({weight:.1f} of 5.5)", start, start + 4, weight) if found else None)


def test_a_cue_that_holds_a_tool_of_the_question_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "_hinted_cues", only(cue("x", pattern=r"\w+ is"), cue("y", pattern="hear")))
    monkeypatch.setattr(find, "weights", lambda: {"x": 9.0, "y": 6.0})
    asked = "Do you hear get_bread or SendMail?"
    assert find_prose("get_bread is it.") is not None
    assert find_prose("get_bread is it.", question=asked) is None
    assert find_prose("SendMail is it. I hear it.", question=asked) == Prose("y (6.0 of 5.5)", 18, 22, 6.0)
    assert find_prose("get_butter is it.", question=asked) == Prose("x (9.0 of 5.5)", 0, 13, 9.0)


def test_a_matter_of_the_question_leaves_the_cues_that_quote_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cues = (cue(ASKED[0], pattern="the plan"), cue("x", pattern="plans?"))
    monkeypatch.setattr(find, "_hinted_cues", only(*cues))
    monkeypatch.setattr(find, "weights", lambda: {"x": 9.0, **dict.fromkeys(ASKED, 6.0)})
    assert find_prose("Well, the plan.") == Prose(f"x, {ASKED[0]} (15.0 of 5.5)", 6, 14, 15.0)
    assert find_prose("Well, the plan.", question="A plan?") == Prose(f"{ASKED[0]} (6.0 of 5.5)", 6, 14, 6.0)


def test_the_finding_spans_the_cues_that_tell_and_names_the_heaviest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    cues = (
        cue("light", "b", pattern="two"),
        cue("heavy", "a", pattern="three"),
        cue("none", "c", pattern="one"),
        cue("against", "d", pattern="four"),
    )
    monkeypatch.setattr(find, "_hinted_cues", only(*cues))
    monkeypatch.setattr(find, "weights", lambda: {"light": 3.0, "heavy": 4.0, "none": 0.0, "against": -1.0})
    assert find_prose("one two three four") == Prose("a, b (6.0 of 5.5)", 4, 13, 6.0)
    monkeypatch.setattr(find, "weights", lambda: {"light": 0.5, "heavy": 6.0, "none": 0.0, "against": 0.0})
    assert find_prose("one two three four") == Prose("a, b (6.5 of 5.5)", 4, 13, 6.5)
