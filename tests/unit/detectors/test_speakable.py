"""Speakable: text that a speech engine cannot pronounce is found by kind; the profile can allow kinds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from annie_eval.detectors.speakable import KINDS, find
from annie_eval.profile.types import Speech
from tests.support.growth import LINEAR, growth_by_text
from tests.support.make_sample import reply, sample

ALL = Speech(allow=())

TWINS = [
    ("percent", "It rains with 40 %.", "It rains with forty percent, or 40 percent."),
    ("degrees", "It's 21°C.", "It's 21 degrees."),
    ("currency", "It costs $5.", "It costs 5 dollars."),
    ("clock", "At 7:30 pm.", "At half past seven, at 8 in the evening."),
    ("clock24", "At 19:30.", "At seven in the evening."),
    ("dates", "On 2026-03-10.", "On the 10th of March 2026."),
    ("units", "It does 50 km/h.", "It does 50 kilometres an hour."),
    ("units", "It's 12 m² big.", "It's 12 square metres big."),
    ("units", "Take 200 g of it.", "Take 200 grams of it."),
    ("symbols", "Salt & pepper.", "Salt and pepper."),
    ("symbols", "Turn left → the church.", "Turn left to the church."),
    ("symbols", "Take ½ of it.", "Take half of it."),
    ("symbols", "Tea w/ milk.", "Tea with milk."),
    ("symbols", "He and/or she.", "He or she, or both."),
    ("abbreviations", "Ask Dr. Jones.", "Ask Doctor Jones."),
    ("abbreviations", "Fruit, e.g. pears.", "Fruit, for example pears."),
    ("abbreviations", "Obst, z. B. Birnen.", "Obst, zum Beispiel Birnen."),
    ("identifiers", "Turn on light.living_room_lamp.", "Turn on the lamp in the living room."),
    ("identifiers", "It's 3f2504e0-4f89-11d3-9a0c-0305e82c3301.", "It's yours."),
    ("paths", "It's in /home/ann/notes.", "It's in the notes."),
    ("addresses", "Write to ann@example.org.", "Write to Ann."),
    ("addresses", "See example.com for it.", "See their page for it."),
    ("phone", "Call 020 7946 0018.", "Call them."),
    ("digits", "The order is 4417993021.", "The order is 4417."),
    ("stage_directions", "(smiles) Hello.", "Hello (again)."),
    ("stage_directions", "[laughs] Sure.", "Sure, ha ha."),
    ("capitals", "THIS IS VERY IMPORTANT.", "NASA and the BBC say so."),
    ("markup", "Wait <break time='1s'/> now.", "Wait a second, now."),
    ("placeholders", "Hello {{ user.name }}.", "Hello Ann."),
    ("language", "That's fine，这个很重要.", "That's fine, this matters."),
    ("language", "Das ist nicht mein Tag, und ich bin müde.", "That is not my day, and I am tired."),
]


def kinds(text: str, user: str = "Tell me.", language: str = "en", allow: Speech = ALL) -> list[str]:
    found = find(replace(sample(reply(text, user=user), language=language), speech=allow))
    return [finding.reason.removesuffix(" in speech").replace(" ", "_") for finding in found]


@pytest.mark.parametrize(("kind", "text", "twin"), TWINS)
def test_what_cannot_be_spoken_is_found_and_its_twin_is_not(kind: str, text: str, twin: str) -> None:
    language = "de" if kind == "abbreviations" and "Obst" in text else "en"
    assert kind in kinds(text, language=language)
    assert kinds(twin, language=language) == []


def test_every_kind_has_a_twin() -> None:
    assert {kind for kind, _, _ in TWINS} == {*KINDS, "placeholders", "language"}


def test_the_profile_allows_what_its_engine_can_say() -> None:
    assert kinds("It's 21°C at 7:30 pm.", allow=Speech(allow=("degrees", "clock"))) == []
    assert kinds("It's 21°C at 7:30 pm.", allow=Speech()) == ["degrees"]


@pytest.mark.parametrize(
    ("text", "user", "language"),
    [
        ("Es ist nicht mein Tag, und ich bin müde.", "Wie geht es dir denn heute?", "de"),
        ("Es ist nicht mein Tag, und ich bin müde.", "Was ist los mit dir, bist du nicht wach?", "en"),
        ("It's buenas noches, que es lo que se dice por la noche.", "How do I greet in Spanish?", "en"),
        ("こんにちは。", "How do you say hello in Japanese?", "en"),
        ("今日は晴れです。", "天気は?", "ja"),
        ("It's called déjà vu, c'est la vie.", "What's that feeling?", "en"),
        ("Bonne nuit, et à demain.", "Bonne nuit, je vais au lit.", "fr"),
    ],
)  # fmt: skip
def test_the_users_language_and_one_that_he_asks_for_are_fine(text: str, user: str, language: str) -> None:
    assert "language" not in kinds(text, user, language)


@pytest.mark.parametrize("piece", ["a_", "1", "A ", "(", "a.", "/a", "de la ", "中", "a@", "Dr. ", "-1"])
def test_the_time_is_linear_in_the_text(piece: str) -> None:
    # What comes after half an hour of speech, 20,000 characters, is not judged.
    assert growth_by_text(lambda text: find(replace(sample(reply(text)), speech=ALL)), piece, size=5_000) < LINEAR
