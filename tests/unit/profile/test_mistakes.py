"""Every mistake in a profile is reported in one line with the file, the place and the fix."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from annie_eval.errors import UsageError
from annie_eval.profile.load import load

if TYPE_CHECKING:
    from conftest import Desk

Lines = list[dict[str, Any]]


def message_of(path: Path | str) -> str:
    with pytest.raises(UsageError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def gate(text: str) -> str:
    return f"\n[gates.more]\n{text}\n"


TOML_MISTAKES = {
    # unknown keys, with the nearest known one
    ('system_prompt = "You', 'sytem_prompt = "You'): 'sytem_prompt is an unknown key; did you mean "system_prompt"?',
    ("required = 1", "requird = 1"): 'gates.taxi.requird is an unknown key; did you mean "required"?',
    ("required = 1", "needs = 1"): 'gates.taxi.needs is an unknown key; did you mean "required"?',
    ("[gates.facts]", "[limits]\nmax_word = 5\n[gates.facts]"): 'limits.max_word is an unknown key; .*"max_words"',
    ("[gates.facts]", "[sampling]\ntop_k = 5\n[gates.facts]"): "sampling.top_k is an unknown key; .*top_p",
    ("[gates.facts]", "[serving]\nparser = 'x'\n[gates.facts]"): "serving.parser is an unknown key",
    ("[gates.facts]", "[zzz]\n[gates.facts]"): "zzz is an unknown key; known here: name, system_prompt",
    # missing keys
    ('scenarios = "desk.jsonl"', ""): r"scenarios is missing \(JSON Lines file or files",
    ('system_prompt = "You are a concierge."', ""): r"system_prompt is missing \(the system message",
    ('detectors = ["knowledge"]', ""): r"gates.facts.detectors is missing \(names of detectors",
    ('description = "Order a taxi."', ""): "tools.book_taxi.description is missing",
    # wrong types and values
    ("required = 1", 'required = "six"'): 'gates.taxi.required is "six", but must be a whole number',
    ("required = 1", "required = 1.5"): "gates.taxi.required is 1.5, but must be a whole number",
    ("required = 1", "required = true"): "gates.taxi.required is true, but must be a whole number",
    ("required = 1", "required = 0"): "gates.taxi.required is 0, but must be at least 1",
    ('system_prompt = "You are a concierge."', "system_prompt = 5"): "system_prompt is 5, but must be a string",
    ('scenarios = "desk.jsonl"', "scenarios = []"): "scenarios is empty",
    ("[gates.facts]", "[limits]\nmax_words = -1\n[gates.facts]"): "limits.max_words is -1, but must be at least 1",
    ("[gates.facts]", "[limits]\nmin_sentences = 5\n[gates.facts]"): "min_sentences is 5, but max_sentences only 3",
    ("[gates.facts]", "[sampling]\nmax_tokens = 0\n[gates.facts]"): "sampling.max_tokens is 0, but must be at least 1",
    ("[gates.facts]", "[sampling]\ntemperature = nan\n[gates.facts]"): "temperature is nan, but must be a finite",
    ("[gates.facts]", "[sampling]\ntop_p = 0\n[gates.facts]"): "sampling.top_p is 0, but must be more than 0",
    ("[gates.facts]", "[traffic]\nconcurrency = 0\n[gates.facts]"): "traffic.concurrency is 0, but must be at least",
    ("[gates.facts]", "[traffic]\ndeadline = 5\n[gates.facts]"): "traffic.deadline is 5 s, shorter than one request",
    ("[gates.facts]", '[defaults]\nthinking = "maybe"\n[gates.facts]'): 'thinking is "maybe", but must be "on", "off"',
    ("[gates.facts]", "[defaults]\nrepeats = 0\n[gates.facts]"): "defaults.repeats is 0, but must be at least 1",
    ("[gates.facts]", "[defaults]\nstream = [true, true]\n[gates.facts]"): r"defaults.stream\[1\] repeats true",
    ("[gates.facts]", "[hardware.box]\nsince = 2026-01-01\n[gates.facts]"): "hardware.box.since is a date or time",
    ("[gates.facts]", "[gates.No-Caps]\ndetectors = ['wire']\n[gates.facts]"): "gates.No-Caps is named .*lower-case",
    # settings that belong to the gate, or would harm
    ("[gates.facts]", "[sampling.extra]\nmessages = []\n[gates.facts]"): "sampling.extra.messages is set by the gate",
    ("[gates.facts]", '[serving]\nargs = ["--port=9"]\n[gates.facts]'): r"serving.args\[0\] is .*remove it",
    ("[gates.facts]", '[serving]\nargs = ["--trust-remote-code"]\n[gates.facts]'): "code in a checkpoint is never run",
    ("[gates.facts]", '[serving]\nargs = ["--api-key", "k"]\n[gates.facts]'): "a profile must not contain an API key",
    ("[gates.facts]", '[serving]\nargs = ["--trust_remote"]\n[gates.facts]'): "code in a checkpoint is never run",
    (
        "[gates.facts]",
        '[serving]\nargs = ["--tool-parser-plugin=x.py"]\n[gates.facts]',
    ): "may name no code, file or host",
    ("[gates.facts]", '[serving]\nargs = ["--middleware", "a.b"]\n[gates.facts]'): "may not set",
    ("[gates.facts]", '[serving]\nargs = ["--max-num-seq=8"]\n[gates.facts]'): 'did you mean "--max-num-seqs"',
    ("[gates.facts]", '[serving]\nargs = ["x", "--seed=1"]\n[gates.facts]'): "a value without a flag",
    ("[gates.facts]", '[serving]\nargs = ["--quantization=/a/b"]\n[gates.facts]'): "a plain value only",
    ("[gates.facts]", '[serving]\nargs = ["--seed.x=1"]\n[gates.facts]'): "a plain value only",
    (
        "[gates.facts]",
        '[serving]\nargs = [\'--speculative-config={"model": "m"}\']\n[gates.facts]',
    ): '"model" is none of',
    # tools
    ('parameters.type = "object"', 'parameters.type = "objet"'): "tools.book_taxi.parameters.*no valid JSON Schema",
    ('parameters.type = "object"', 'parameters.type = "array"'): 'parameters.type is "array", but must be "object"',
    ('{ type = "string" }', '{ pattern = "(" }'): "time.pattern is no valid JSON Schema",
    ('{ type = "string" }', '{ "$ref" = "https://example.org/s" }'): r"time.\$ref is .*must point into this schema",
    ('{ type = "string" }', '{ "$ref" = "#/$defs/no" }'): r"time.\$ref is .*must point into this schema",
    ('{ type = "string" }', '{ type = "integer" }'): r'arguments.time wants "17:00", which the tool.s own schema does',
    ("[tools.book_taxi]", '[tools."book taxi"]'): r'tools."book taxi" is named .*letters, digits',
    # gates that cannot be passed, or cannot fail
    ("required = 1", "required = 2"): 'gates.taxi.required is 2, but only 1 sample has category "taxi"; lower it',
    ("required = 1", "samples = 9"): "gates.taxi.samples is 9, but 1 sample",
    ("required = 1", "lower_bound = 0.9"): "gates.taxi.lower_bound is 0.9, but 1 sample.*; 29 samples are needed",
    ("required = 1", "lower_bound = 1.0"): "gates.taxi.lower_bound is 1.0, but must be less than 1",
    ('["tool_calls"]', '["tool_cals"]'): r'gates.taxi.detectors\[0\] is "tool_cals".*did you mean "tool_calls"',
    ('["knowledge"]', '["knowledge", "tool_calls"]'): "gates.facts asks the detector tool_calls, but none of its",
    ('["tool_calls"]', "[]"): "gates.taxi.detectors is empty",
    ('["tool_calls"]', '["restraint"]'): r"desk.jsonl:3: expects a call, but gates.taxi \(restraint\) forbids",
    ("required = 1", 'categories = ["txi"]'): 'gates.taxi has no samples: .*"txi"; did you mean "taxi"',
    ("required = 1", 'categories = ["*", "taxi"]'): r'categories mixes "\*" with others',
    ("[gates.taxi]", "[gates.facts2]\ndetectors=['wire']\n[gates.taxi]"): "gates.facts2 has no samples",
}


@pytest.mark.parametrize(("change", "expected"), TOML_MISTAKES.items(), ids=lambda value: str(value)[:50])
def test_a_mistake_in_the_profile(desk: Desk, change: tuple[str, str], expected: str) -> None:
    assert change[0] in desk.path.read_text()
    message = message_of(desk.toml(lambda text: text.replace(*change)))
    assert re.search(expected, message), message
    assert re.match(r"(profile|scenarios) \S*desk\.(toml|jsonl)", message), message


def test_a_bound_counts_prompts_and_not_how_often_each_is_sent(desk: Desk) -> None:
    """Three prompts, twenty times each, are three prompts."""
    desk.toml(lambda text: text + "lower_bound = 0.9\n[defaults]\nrepeats = 60\n")
    expected = "gates.taxi.lower_bound is 0.9, but 60 samples of 1 prompt that all pass reach 0.0500"
    assert expected in message_of(desk.path)
    assert "29 prompts are needed" in message_of(desk.path)


def first(**fields: Any) -> Any:
    return lambda lines: lines[0].update(fields)


def taxi(**fields: Any) -> Any:
    return lambda lines: lines[2].update(fields)


def call(**fields: Any) -> Any:
    return taxi(expect={"calls": [{"name": "book_taxi", **fields}]})


LINE_MISTAKES: dict[str, tuple[Any, str]] = {
    "unknown key": (first(promt="x"), r'desk.jsonl:1: promt is an unknown key; did you mean "prompt"'),
    "unknown key within": (first(expect={"anser": {}}), r':1: expect.anser is an unknown key; did you mean "answer"'),
    "no id": (lambda lines: lines[0].pop("id"), r":1: id is missing \(unique in the profile\)"),
    "no prompt": (lambda lines: lines[1].pop("prompt"), r":2: prompt is missing"),
    "empty prompt": (first(prompt=""), r":1: prompt is empty"),
    "id with a space": (first(id="fact 1"), r':1: id is "fact 1", but must be lower-case words'),
    "id in capitals": (first(id="Fact-1"), r':1: id is "Fact-1"'),
    "id with a path": (first(id="../x"), r':1: id is "../x"'),
    "id twice": (first(id="taxi-1"), r':3: id "taxi-1" is taken by \S*desk.jsonl:1'),
    "prompt beside turns": (first(turns=[{"user": "x"}]), r":1: (prompt|expect) stands beside turns"),
    "no turns": (lambda lines: lines[0].update(turns=[]) or lines[0].pop("prompt"), r":1: turns is empty"),
    "thinking misspelt": (first(thinking="of"), r':1: thinking is "of", but must be "on", "off" or "unset"'),
    "stream as text": (first(stream="yes"), r':1: stream is "yes", but must be true or false or a list'),
    "negative max_tokens": (first(max_tokens=-1), r":1: max_tokens is -1, but must be at least 1"),
    "language": (first(language="English!"), r":1: language is .*BCP 47"),
    "topic": (first(expect={"topic": ["tag"]}), r':1: expect.topic\[0\] is "tag", .*did you mean "tags"'),
    "empty answer": (first(expect={"answer": {}}), r":1: expect.answer is empty; known here: any_of"),
    "tolerance alone": (first(expect={"answer": {"tolerance": 1}}), r":1: expect.answer.tolerance stands without"),
    "wants and forbids": (
        first(expect={"answer": {"any_of": ["a"], "none_of": ["a"]}}),
        r':1: expect.answer both wants and forbids "a"',
    ),
    "unknown tool": (
        call(name="book_taxy"),
        r':3: expect.calls\[0\].name names "book_taxy".*did you mean "book_taxi"',
    ),
    "unknown tool offered": (taxi(tools=["fly"]), r':3: tools\[0\] names "fly", which is no tool of this profile; '),
    "tool not offered": (taxi(tools=[]), r':3: .*"book_taxi", which is no tool offered here; there are none'),
    "result of an unknown tool": (taxi(tool_results={"fly": 1}), r':3: tool_results names "fly"'),
    "unknown argument": (
        call(arguments={"tme": "17:00"}),
        r':3: .*arguments.tme is no parameter of book_taxi.*"time"',
    ),
    "unknown check": (call(arguments={"time": {"is": 1}}), r':3: .*arguments.time has the unknown check "is"'),
    "two checks": (
        call(arguments={"time": {"equals": 1, "contains": "a"}}),
        r":3: .*arguments.time has more than one",
    ),
    "wrong enum": (call(arguments={"size": "huge"}), r':3: .*size wants "huge", which the tool.s own schema does not'),
    "wrong enum within": (
        call(arguments={"size": {"any_of": ["small", "huge"]}}),
        r':3: .*size.any_of\[1\] wants "huge", which',
    ),
    "unknown member": (
        call(arguments={"guest": {"fields": {"rom": 1}}}),
        r':3: .*guest.fields.rom is no member of that parameter; did you mean "room"',
    ),
    "wrong member": (
        call(arguments={"guest": {"fields": {"room": "x"}}}),
        r':3: .*guest.fields.room wants "x", which',
    ),
    "then without results": (
        lambda lines: lines[2].pop("tool_results"),
        r":3: then is never asked, because there are no tool_results",
    ),
    "example of nobody": (first(example={"role": "user", "content": "x"}), r':1: example.role is "user", but must be'),
    "history from the system": (
        first(history=[{"role": "system", "content": "x"}]),
        r':1: history\[0\].role is "syst',
    ),
    "history with a lost result": (
        first(history=[{"role": "tool", "tool_call_id": "c9", "content": "x"}]),
        r":1: history\[0\].tool_call_id is \"c9\", which no call before has",
    ),
    "history of silence": (first(history=[{"role": "user", "content": None}]), r":1: history\[0\].content is missing"),
    "category of no gate": (first(category="fact"), r'desk.jsonl:1: category "fact" is judged by no gate .*"facts"'),
    "nothing to judge": (
        lambda lines: lines[0].pop("expect"),
        r"desk.jsonl:1: has no expect.answer, so gates.facts cannot judge it",
    ),
}


@pytest.mark.parametrize(("change", "expected"), LINE_MISTAKES.values(), ids=LINE_MISTAKES)
def test_a_mistake_in_a_scenario(desk: Desk, change: Any, expected: str) -> None:
    message = message_of(desk.lines(change))
    assert re.search(expected, message), message


RAW_MISTAKES: dict[str, tuple[bytes, str]] = {
    "broken JSON": (
        b'{"id": "a",\n',
        r"desk.jsonl:1:\d+: is broken JSON: .*each line must be one complete JSON object",
    ),
    "broken later": (
        b'{"id": "a", "category": "facts", "prompt": "x"}\n\n{"id": "b" "c"}\n',
        r"desk.jsonl:3:12: is br",
    ),
    "key twice": (b'{"id": "a", "id": "b"}\n', r'desk.jsonl:1: key "id" is given twice'),
    "no object": (b'["a"]\n', r'desk.jsonl:1: is \["a"\], but each line must be one JSON object'),
    "empty": (b"", r"desk.jsonl: is empty; write one scenario per line"),
    "blank": (b"\n  \n", r"desk.jsonl: is empty"),
    "not UTF-8": (b'{"id": "a"}\n{"id": "\xff"}\n', r"desk.jsonl:2: is not UTF-8 \(byte 0xff\)"),
    "NaN": (b'{"id": NaN}\n', r"desk.jsonl:1: holds NaN"),
    "too large": (b'{"id": 1e999}\n', r"desk.jsonl:1: holds 1e999"),
    "half a pair": (b'{"id": "\\ud800"}\n', r"desk.jsonl:1: holds half of a surrogate pair"),
    "endless nesting": (b"[" * 100_000 + b"\n", r"desk.jsonl:1: is nested too deeply"),
    "huge number": (b'{"id": ' + b"9" * 5_000 + b"}\n", r"desk.jsonl:1: holds a number that cannot be read"),
}


@pytest.mark.parametrize(("raw", "expected"), RAW_MISTAKES.values(), ids=RAW_MISTAKES)
def test_a_scenario_file_that_cannot_be_read(desk: Desk, raw: bytes, expected: str) -> None:
    message = message_of(desk.raw_lines(raw))
    assert re.search(expected, message), message


def test_windows_line_ends_and_a_byte_order_mark_are_read(desk: Desk) -> None:
    text = (desk.directory / "desk.jsonl").read_text()
    desk.raw_lines(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert len(load(desk.path).scenarios) == 3


def test_a_line_separator_inside_a_string_ends_no_line(desk: Desk) -> None:
    text = (desk.directory / "desk.jsonl").read_text()
    desk.raw_lines(text.replace("Who are you?", "Who\u2028are you?"))
    assert load(desk.path).scenarios[1].turns[0].user == "Who\u2028are you?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty; it needs system_prompt"),
        ("a = \n", r"is not valid TOML: .*line 1"),
        ("a = 1\na = 2\n", "is not valid TOML"),
    ],
)
def test_a_profile_that_cannot_be_read(desk: Desk, text: str, expected: str) -> None:
    assert re.search(rf"desk.toml: {expected}", message_of(desk.toml(lambda _: text)))


def test_a_profile_that_is_not_there(tmp_path: Path, desk: Desk) -> None:
    assert "none.toml: no such file" in message_of(tmp_path / "none.toml")
    assert "is a directory; name a file in it" in message_of(tmp_path)
    assert 'profile "anie": no such built-in profile (annie' in message_of("anie")
    for name in ("a" * 5000, "~nobody-of-this-name/x"):
        assert "cannot be a file (" in message_of(name)
    assert 'did you mean "annie"?' in message_of("anie")
    desk.toml(lambda text: text.replace("desk.jsonl", "dsk.jsonl"))
    assert re.search(r'desk.toml: scenarios names "dsk.jsonl", but there is no file', message_of(desk.path))
    desk.toml(lambda text: text.replace('"desk.jsonl"', '["desk.jsonl", "x.jsonl"]'))
    assert re.search(r"desk.toml: scenarios\[1\] names", message_of(desk.path))


def test_a_profile_that_is_not_utf_8(desk: Desk) -> None:
    desk.path.write_bytes(b'system_prompt = "\xe9"\n')
    assert "desk.toml:1: is not UTF-8" in message_of(desk.path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", "must be a list of OpenAI tool objects"),
        ("[]", "must be a list of OpenAI tool objects"),
        ('[{"type": "function"}]', r"\[0\] must be"),
        (
            '[{"type": "function", "function": {"name": "a", "description": "b"}}]',
            r"\[0\].function.parameters is missing",
        ),
        ("[", r"tools.json:1:\d+: is broken JSON"),
    ],
)
def test_a_mistake_in_a_tools_file(desk: Desk, text: str, expected: str) -> None:
    (desk.directory / "tools.json").write_text(text)
    bare = re.sub(r"\[tools.*?(?=\[gates)", "", desk.path.read_text(), flags=re.S)
    desk.path.write_text(bare.replace("scenarios", 'tools = "tools.json"\nscenarios', 1))
    assert re.search(rf"tools \S*tools.json:? ?.*{expected}|{expected}", message_of(desk.path))


@pytest.mark.parametrize("category", ["fcts", "fatcs", "chta", "small_talk"])
def test_a_gate_over_every_sample_excuses_no_category_that_no_other_gate_names(desk: Desk, category: str) -> None:
    """A misspelt category would leave its own gate, and that would be easier."""
    desk.toml(lambda text: text + gate('detectors = ["wire"]\ncategories = ["*"]'))
    assert len(load(desk.path).scenarios) == 3
    desk.lines(first(category=category))
    assert f'desk.jsonl:1: category "{category}" is judged by no gate' in message_of(desk.path)


def test_where_every_gate_is_over_every_sample_categories_are_free(desk: Desk) -> None:
    desk.lines(first(category="small_talk"))
    desk.toml(lambda text: text[: text.index("[gates.facts]")] + gate('detectors = ["wire"]\ncategories = ["*"]'))
    assert len(load(desk.path).scenarios) == 3


def no_answer(lines: Lines) -> None:
    lines[1]["expect"] = {}


def only_after_a_call(lines: Lines) -> None:
    """What must be said is said after a call that nobody sees to."""
    lines[1].update(expect={}, tool_results={"book_taxi": {}}, then={"answer": {"any_of": ["yes"]}})


def only_optional_calls(lines: Lines) -> None:
    lines[2]["expect"]["calls"][0]["optional"] = True


def no_calls(lines: Lines) -> None:
    lines[2].update(expect={"calls": []})


# (change of the profile, change of the scenarios, message)
JUDGES_NOTHING: dict[str, tuple[tuple[str, str] | None, Any, str]] = {
    "knowledge beside speech, one scenario without an answer": (
        ('["knowledge"]', '["knowledge", "markdown"]'),
        no_answer,
        "desk.jsonl:2: has no expect.answer, so gates.facts cannot judge it",
    ),
    "an answer that is asked for only if the model calls": (
        None,
        only_after_a_call,
        "desk.jsonl:2: has no expect.answer, so gates.facts cannot judge it",
    ),
    "a gate of calls where every call is optional": (
        None,
        only_optional_calls,
        "gates.taxi asks the detector tool_calls, but none of its scenarios expects a call",
    ),
    "a gate of calls where none is wanted": (
        None,
        no_calls,
        "gates.taxi asks the detector tool_calls, but none of its scenarios expects a call",
    ),
    "restraint where there is no tool to call": (
        ('["knowledge"]', '["restraint"]'),
        lambda lines: [line.update(expect={"calls": []}, tools=[]) for line in lines[:2]],
        "gates.facts asks the detector restraint, but none of its scenarios offers a tool",
    ),
    "an answer without a word": (
        None,
        lambda lines: lines[0].update(expect={"answer": {"any_of": ["?!"]}}),
        r'desk.jsonl:1: expect.answer.any_of\[0\] is "\?!", which has no word',
    ),
    "a pattern that nothing misses": (
        None,
        lambda lines: lines[2]["expect"]["calls"][0].update(arguments={"time": {"regex": ".*"}}),
        "desk.jsonl:3: .*arguments.time has regex .* found in any text",
    ),
    "conversations of one turn": (
        ("[gates.facts]", "[gates.multi_turn]\ncategories = ['facts']"),
        None,
        "desk.jsonl:1: has one turn, no history and no tool_results, so gates.multi_turn cannot judge a conversation",
    ),
    "a detector twice": (
        ('["knowledge"]', '["knowledge", "markdown"]\nelsewhere = ["markdown"]'),
        None,
        'gates.facts.elsewhere names "markdown", which detectors names for every sample',
    ),
    "an unknown detector elsewhere": (
        ('["knowledge"]', '["knowledge"]\nelsewhere = ["markdwn"]'),
        None,
        r'gates.facts.elsewhere\[0\] is "markdwn".*did you mean "markdown"',
    ),
}


@pytest.mark.parametrize(("change", "lines", "expected"), JUDGES_NOTHING.values(), ids=list(JUDGES_NOTHING))
def test_a_gate_that_would_judge_nothing_is_refused(
    desk: Desk, change: tuple[str, str] | None, lines: Any, expected: str
) -> None:
    if change is not None:
        assert change[0] in desk.path.read_text()
        desk.toml(lambda text: text.replace(*change))
    if lines is not None:
        desk.lines(lines)
    message = message_of(desk.path)
    assert re.search(expected, message), message


def test_a_long_value_does_not_drown_the_message(desk: Desk) -> None:
    desk.lines(first(id="x y" * 10_000))
    assert len(message_of(desk.path)) < 300
