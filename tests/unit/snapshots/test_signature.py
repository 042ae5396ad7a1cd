"""A signature is the same for other words, and different for another structure."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

from annie_eval.snapshots.identity import identity
from annie_eval.snapshots.language import language
from annie_eval.snapshots.signature import dumps, shape, signature
from tests.support.make_sample import call, reply, sample


def one(*exchanges: Any) -> dict[str, Any]:
    return signature(sample(*exchanges))[-1]


def test_other_words_of_the_same_kind_are_alike() -> None:
    assert one(reply("The capital is Paris. It is lovely.")) == one(reply("That is Lima, I think. It is on the sea."))


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("channels", reply("The answer is four.", reasoning="Two and two.")),
        ("channels", reply("", reasoning="The answer is four.")),
        ("calls", reply(None, calls=[call("get_weather", {"city": "Paris"})])),
        ("finish_reason", reply("The answer is four.", finish_reason="length")),
        ("sentences", reply("The answer is four. You knew that.")),
        ("language", reply("Die Antwort ist vier.")),
        ("markdown", reply("The answer is **four**.")),
        ("leaks", reply("<think>\nHm.\n</think>\n\nThe answer is four.")),
    ],
)
def test_another_kind_of_answer_is_told(field: str, changed: Any) -> None:
    assert one(reply("The answer is four."))[field] != one(changed)[field]


def test_kinds_do_not_hold_what_was_said() -> None:
    found = one(reply("<think>\nOkay, the user wants it.\n</think>\n\n**Four** and \U0001f600"))
    assert "thinking tag" in found["leaks"]
    assert found["markdown"] == ["emoji", "emphasis"]
    assert "Four" not in dumps({"stream.off": [found]})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"b": 1, "a": "x"}', {"a": "string", "b": "integer"}),
        ('{"a": [1, 2, "x"], "b": {"c": null}}', {"a": ["integer", "string"], "b": {"c": "null"}}),
        ('{"d": true, "e": 1.5}', {"d": "boolean", "e": "number"}),
        ("{}", {}),
        ("[]", []),
        ('{"a": ', "not JSON"),
        ("", "not JSON"),
        (None, "not JSON"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_shape_has_types_in_place_of_values(arguments: str | None, expected: Any) -> None:
    assert shape(call("f", arguments)) == expected


def test_the_file_is_readable_json() -> None:
    text = dumps({"stream.off": signature(sample(reply("Grüß dich, das ist alles.")))})
    assert json.loads(text)["stream.off"][0]["language"] == "de"
    assert text.endswith("}\n")
    assert len(text.splitlines()) > 10


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The capital of France is Paris.", "en"),
        ("It's raining, so take an umbrella.", "en"),
        ("Die Hauptstadt von Frankreich ist Paris.", "de"),
        ("La capitale de la France est Paris.", "fr"),
        ("La capital de Francia es París, y no está lejos.", "es"),
        ("La capitale della Francia è Parigi, che è una bella città.", "it"),
        ("De hoofdstad van Frankrijk is Parijs.", "nl"),
        ("A capital da França é Paris, e não é uma cidade pequena.", "pt"),
        ("Столица Франции — Париж.", "ru"),
        ("フランスの首都はパリです。", "ja"),
        ("法国的首都是巴黎。", "zh"),
        ("프랑스의 수도는 파리입니다.", "ko"),
        ("عاصمة فرنسا هي باريس.", "ar"),
        ("Admiral Dumpling.", "und"),
        ("42", "und"),
        ("", "und"),
        ("\U0001f600", "und"),
    ],
)
def test_language_is_told_by_script_and_small_words(text: str, code: str) -> None:
    assert language(text) == code


FILES = {"weights": "w", "config": "c", "tokenizer": "t", "chat_template": "j", "quantization": None}


def test_identity_is_of_the_model_and_not_of_the_server() -> None:
    name = identity(FILES | {"server_version": "0.32.0"}, "annie-nvfp4-0123abcd")
    assert name == identity(FILES | {"server_version": "0.33.0"}, "annie-nvfp4-fedc9876")
    assert name.startswith("annie-nvfp4-")
    for key in FILES:
        assert identity(FILES | {key: "other"}, "annie-nvfp4-0123abcd") != name


def test_a_server_at_a_url_is_told_by_the_name_of_its_model() -> None:
    facts = {"served_model": "org/Annie 9B", "root": "/models/annie"}
    name = identity(facts, "org/Annie 9B")
    assert name.startswith("Annie-9B-")
    assert identity(facts | {"root": "/models/other"}, "org/Annie 9B") != name
    assert identity({}, "../../etc").count("/") == 0
    assert identity({}, "..").startswith("model-")


def test_syrupy_is_what_the_tests_want() -> None:
    assert importlib.util.find_spec("syrupy") is not None
