"""Tool calls: what counts as the wanted call, and every way to miss it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annie_eval.detectors.argument_text import find_garbled
from annie_eval.detectors.call_text import CallText, find_call_text
from annie_eval.detectors.matching import match
from annie_eval.detectors.tool_calls import find
from annie_eval.wire.sample import Exchange, ToolCall
from tests.support.growth import LINEAR, growth_by_text
from tests.support.make_sample import TOOLS, call, reply, sample, wants

MEMORY = wants("search_memory", query={"contains": "recipe"})
GOOD = call("search_memory", {"query": "mother's recipe"})


def reasons(*calls: ToolCall, wanted: Any = (MEMORY,), **more: Any) -> list[str]:
    return [finding.reason for finding in find(sample(reply(calls=calls, wanted=wanted, **more)))]


def test_the_wanted_call_passes() -> None:
    assert reasons(GOOD) == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("", "are empty"),
        (None, "are empty"),
        ('{"query": "recipe"', "are not JSON"),
        ('{"query": "recipe"} and more', "are not JSON"),
        ('{"query": "recipe"}{"query": "recipe"}', "are not JSON"),
        ("{'query': 'recipe'}", "are not JSON"),
        ('{"query": "recipe",}', "are not JSON"),
        ('{"query": "recipe", "query": "recipe"}', "give 'query' twice"),
        ('{"query": "recipe", "limit": NaN}', "hold NaN"),
        ('{"query": "recipe", "limit": Infinity}', "hold Infinity"),
        ('{"query": "recipe", "limit": 1e999}', "hold 1e999"),
        ('{"query": {"a": 1, "a": 2}}', "give 'a' twice"),
        ('["recipe"]', "are a JSON list"),
        ('"recipe"', "are a JSON str"),
        ("null", "are a JSON NoneType"),
        ("[" * 100_000, "nested too deeply"),
        ({}, "'query' is a required property"),
        ({"query": 7}, "7 is not of type 'string'"),
        ({"query": "recipe", "limit": 0}, "0 is less than the minimum"),
        ({"query": "recipe", "limit": "three"}, "'three' is not of type 'integer'"),
        ({"query": "recipe", "limit": True}, "True is not of type 'integer'"),
        ({"query": "recipe", "depth": 2}, "('depth' was unexpected)"),
        ({"query": "weather"}, 'argument query of search_memory is "weather", wanted it to contain'),
    ],
)
def test_bad_arguments_are_a_miss_with_a_reason(arguments: Any, reason: str) -> None:
    found = reasons(call("search_memory", arguments))
    assert len(found) == 1
    assert reason in found[0]


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("get_weather", {"city": "Paris", "unit": "kelvin"}, "'kelvin' is not one of"),
        ("get_weather", {"city": "Paris", "day": "Monday"}, "'day' was unexpected"),
        ("add_event", {"title": "Lunch", "when": {"date": "x", "zone": "y"}}, "'zone' was unexpected"),
        ("add_event", {"title": "Lunch", "guests": ["Ann", 7]}, "guests.1"),
        ("stop", {"now": True}, "'now' was unexpected"),
    ],
)
def test_the_schema_is_closed_and_applies_all_the_way_down(name: str, arguments: Any, reason: str) -> None:
    found = reasons(call(name, arguments), wanted=[wants(name)])
    assert len(found) == 1
    assert reason in found[0]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("get_weather", {"city": "Paris", "unit": "celsius"}),
        ("add_event", {"title": "Lunch", "when": {"date": "2026-11-23"}, "guests": []}),
        ("stop", {}),
        ("search_memory", {"query": "x", "limit": 3.0}),
    ],
)
def test_valid_arguments_pass(name: str, arguments: Any) -> None:
    assert reasons(call(name, arguments), wanted=[wants(name)]) == []


def test_a_schema_that_says_so_leaves_unknown_parameters_alone() -> None:
    tools = {"note": {"type": "object", "properties": {}, "additionalProperties": True}}
    given = reply(calls=[call("note", {"anything": 1})], wanted=[wants("note")])
    assert find(sample(given, tools=tools)) == ()


OPTIONS = {"type": "object", "properties": {"mode": {"type": "string"}}}
NESTED: dict[str, dict[str, Any]] = {
    "free": {"properties": {"options": {"type": "object"}}},
    "empty": {"properties": {"options": {"type": "object", "properties": {}}}},
    "plain": {"properties": {"options": OPTIONS}},
    "ref": {"properties": {"options": {"$ref": "#/$defs/options"}}, "$defs": {"options": OPTIONS}},
    "any": {"properties": {"options": {"anyOf": [OPTIONS, {"type": "null"}]}}},
    "all": {"properties": {"options": {"allOf": [OPTIONS, {"properties": {"speed": {"type": "integer"}}}]}}},
    "said": {"properties": {"options": OPTIONS | {"additionalProperties": True}}},
    "none": {},
}


@pytest.mark.parametrize(
    ("tool", "options", "fits"),
    [
        *[(tool, {"mode": "dry"}, True) for tool in NESTED if tool != "none"],
        ("all", {"mode": "dry", "speed": 2}, True),
        ("free", {"anything": 1}, True),
        ("empty", {"anything": 1}, True),
        ("said", {"anything": 1}, True),
        *[(tool, {"anything": 1}, False) for tool in ("plain", "ref", "any", "all")],
        ("none", {}, False),
        ("free", {}, True),
    ],
)
def test_an_object_that_lists_properties_is_closed_however_it_lists_them(tool: str, options: Any, fits: bool) -> None:
    made = reply(calls=[call(tool, {"options": options})], wanted=[wants(tool)])
    found = find(replace(sample(made), tools=NESTED))
    assert [("break the schema" in finding.reason) for finding in found] == ([] if fits else [True])
    # The arguments as a whole are closed always.
    extra = reply(calls=[call(tool, {"more": 1})], wanted=[wants(tool)])
    assert find(replace(sample(extra), tools=NESTED))


OBJECT = {"type": "object"}
DEFINED = {"options": OPTIONS, "deep": {"properties": {"inner": OPTIONS}}}
CHOICE = {"if": {"required": ["mode"]}, "then": OPTIONS, "else": {"properties": {"speed": {}}}}
DEPENDENT = OPTIONS | {"dependentSchemas": {"mode": {"properties": {"speed": {}}}}}
KNOWN, OTHER = {"mode": "dry"}, {"anything": 1}
LISTED_OBJECT: dict[str, Any] = {"items": {"properties": {"a": {"properties": {"b": {}}}}}}


@pytest.mark.parametrize(
    ("schema", "fit", "misfits"),
    [
        ({"items": OPTIONS}, [[], [KNOWN], [KNOWN, KNOWN]], [[OTHER], [KNOWN, OTHER]]),
        ({"items": OBJECT}, [[OTHER]], [[1]]),
        ({"prefixItems": [OPTIONS, OPTIONS]}, [[KNOWN, KNOWN], [KNOWN, KNOWN, OTHER]], [[OTHER], [KNOWN, OTHER]]),
        ({"prefixItems": [OBJECT]}, [[OTHER]], [[1]]),
        ({"contains": OPTIONS}, [[KNOWN], [1, KNOWN]], [[OTHER]]),
        ({"contains": OBJECT}, [[OTHER]], [[1]]),
        ({"additionalProperties": OPTIONS}, [{"a": KNOWN}], [{"a": OTHER}]),
        ({"additionalProperties": OBJECT}, [{"a": OTHER}], [{"a": 1}]),
        ({"patternProperties": {"^a": OPTIONS}}, [{"a": KNOWN}, {"b": OTHER}], [{"a": OTHER}]),
        (OPTIONS | {"unevaluatedProperties": True}, [KNOWN, OTHER], [{"mode": 1}]),
        ({"oneOf": [OPTIONS, {"type": "null"}]}, [KNOWN, None], [OTHER]),
        ({"anyOf": [{"properties": {"inner": OPTIONS}}]}, [{"inner": KNOWN}], [{"inner": OTHER}, OTHER]),
        ({"anyOf": [{"properties": {"inner": OBJECT}}]}, [{"inner": OTHER}], [OTHER]),
        ({"allOf": [{"allOf": [OPTIONS]}]}, [KNOWN], [OTHER]),
        (CHOICE, [KNOWN, {"speed": 2}], [OTHER, {"mode": "dry", "speed": 2}]),
        ({"if": OPTIONS}, [KNOWN], [OTHER]),
        (DEPENDENT, [KNOWN, {"mode": "dry", "speed": 2}], [{"speed": 2}, KNOWN | OTHER]),
        ({"$ref": "#/$defs/deep"}, [{"inner": KNOWN}], [{"inner": OTHER}, OTHER]),
        ({"$ref": "#/definitions/options"}, [KNOWN], [OTHER]),
        ({"$dynamicRef": "#/$defs/options"}, [KNOWN], [OTHER]),
        ({"enum": [LISTED_OBJECT]}, [LISTED_OBJECT], [OTHER]),
        ({"properties": {"inner": {"properties": {"a": {}}}}}, [{"inner": {"a": 1}}], [{"inner": OTHER}]),
        (True, [OTHER, 1], []),
    ],
)
def test_objects_that_list_properties_are_closed_wherever_a_schema_has_them(
    schema: Any, fit: list[Any], misfits: list[Any]
) -> None:
    tools = {"note": {"properties": {"options": schema}, "$defs": DEFINED, "definitions": DEFINED}}
    for value, fits in [*((value, True) for value in fit), *((value, False) for value in misfits)]:
        made = reply(calls=[call("note", {"options": value})], wanted=[wants("note")])
        found = [each.reason for each in find(sample(made, tools=tools))]
        assert ["break the schema" in reason for reason in found] == ([] if fits else [True]), (value, found)


ANY = wants("search_memory")
GARBLED = [
    ("spare key</arg_value>", "markup of the call"),
    ("spare key\n</parameter>", "markup of the call"),
    ("spare key</parameter></function></tool_call><tool_call><function=stop>", "markup of the call"),
    ("[ARGS]spare key", "markup of the call"),
    ("spare key<|im_end|>", "markup"),
    ("&quot;spare key&quot;", "an HTML entity"),
    ("spare&nbsp;key", "an HTML entity"),
    ("caf\\u00e9 key", "escapes"),
    ("cafÃ© key", "mojibake"),
    ("spare\0key", "a control character"),
    ("\nspare key\n", "a line break"),
    ('"spare key"', "in quotes once more"),
    ("<person>", "a placeholder"),
    ("null", "a null"),
    ('{"query": "spare key"}', "JSON"),
    ('spare key"}', "JSON"),
    ("query: spare key", "its own name"),
    ("spare key " * 9, "in circles"),
]


@pytest.mark.parametrize(("value", "what"), GARBLED)
def test_a_garbled_argument_is_a_miss_and_its_clean_twin_is_none(value: str, what: str) -> None:
    assert [what in reason for reason in reasons(call("search_memory", {"query": value}), wanted=[ANY])] == [True]


@pytest.mark.parametrize(
    "value",
    [
        "the café's spare key, <3, 5 > 3",
        "none",
        "<b>bold</b> &amp; plain",
        "import re\nprint(re.sub('\\n', '', x))\n",
        '{"mood": "happy"}',
        "Tom & Jerry",
        '"To be" or "not to be"',
        "C:\\temp",
    ],
)
def test_an_argument_that_only_looks_garbled_is_none(value: str) -> None:
    assert reasons(call("search_memory", {"query": value}), wanted=[ANY]) == []


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"query": "spare&nbsp;key"}, "query"),
        ({"que&nbsp;ry": "spare key"}, "que&nbsp;ry"),
        ({"where": {"room": "spare&nbsp;key"}}, "where.room"),
        ({"where": {"ro&nbsp;om": 1}}, "where.ro&nbsp;om"),
        ({"rooms": ["hall", {"ro&nbsp;om": 1}]}, "rooms.ro&nbsp;om"),
        ({"rooms": ["hall", "spare&nbsp;key"]}, "rooms"),
        ({"where": {"room": "hall"}, "rooms": ["hall"]}, None),
    ],
)
def test_names_and_values_at_any_depth_of_the_arguments_are_looked_at(arguments: Any, path: str | None) -> None:
    assert find_garbled(arguments, "", {}) == (path and (path, "holds an HTML entity, '&nbsp;'"))


LISTED = {"properties": {"unit": {"enum": ["null"]}, "query": {"type": "string"}}}


@pytest.mark.parametrize(
    ("arguments", "asked", "found"),
    [
        ({"unit": "null"}, "", None),
        ({"query": "null"}, "", ("query", "is a null that became a word")),
        ({"query": "null"}, "Search for null.", None),
        ({"unit": "null", "query": "null"}, "", ("query", "is a null that became a word")),
        ({"query": "<person>", "unit": "None"}, "Who is <person>?", ("unit", "is a null that became a word")),
        ({"query": " "}, "Say a word.", ("query", "is blank")),
        ({"where": {"query": "[query]"}}, "", ("where.query", "is a placeholder that was not filled")),
        ({"query": f"key</x>{56 * ' '}"}, "", ("query", "ends in a closing tag, '</x>'")),
        ({"query": f"key</x>{57 * ' '}"}, "", None),  # the last 60 characters are looked at
    ],
)
def test_what_the_schema_lists_or_the_user_said_is_passed_over_and_the_rest_is_looked_at(
    arguments: Any, asked: str, found: tuple[str, str] | None
) -> None:
    assert find_garbled(arguments, asked, LISTED) == found


def test_half_of_a_surrogate_pair_in_an_argument_is_a_miss() -> None:
    half = call("search_memory", '{"query": "key \\ud83d"}')
    assert ["surrogate" in reason for reason in reasons(half, wanted=[ANY])] == [True]
    assert reasons(call("search_memory", '{"query": "key \\ud83d\\ude00"}'), wanted=[ANY]) == []


def test_what_the_user_said_himself_is_not_garbled() -> None:
    quoted = reply(calls=[call("search_memory", {"query": "null"})], wanted=[ANY], user="Search for null, please.")
    assert find(sample(quoted)) == ()


def test_the_order_of_keys_in_a_schema_changes_no_reason() -> None:
    keys: list[tuple[str, Any]] = [("maxProperties", 0), ("required", ["title"]), ("minProperties", 2)]
    found = set()
    for order in itertools.permutations(keys):
        exchange = reply(calls=[call("stop", {"a": 1})], wanted=(wants("stop"),))
        one = sample(exchange, tools={"stop": {"properties": {"a": {}}, **dict(order)}})
        found.add(tuple(finding.reason for finding in find(one)))
    assert len(found) == 1


def test_a_broken_schema_in_the_profile_is_an_error_not_a_miss() -> None:
    made = sample(reply(calls=[call("note", {"a": 1})], wanted=[wants("note")]), tools={"note": {"type": "thing"}})
    with pytest.raises(Exception, match="thing"):
        find(made)


@pytest.mark.parametrize("id", [None, "", " ", "\u200b"])
def test_a_call_needs_an_id(id: str | None) -> None:
    assert reasons(call("search_memory", {"query": "recipe"}, id=id)) == ["call of search_memory has no id"]


def test_ids_are_unique() -> None:
    twice = [call("search_memory", {"query": "recipe"}, id="a"), call("stop", {}, id="a")]
    assert reasons(*twice, wanted=[MEMORY, wants("stop")]) == ["id 'a' is used twice"]


@pytest.mark.parametrize("name", [None, "", "search", "Search_Memory", "search_memory "])
def test_a_call_needs_a_declared_name(name: str | None) -> None:
    assert len(reasons(call(name, {"query": "recipe"}))) == 2  # the call itself, and the wanted one that is missing


@pytest.mark.parametrize(
    ("exchange", "reason", "text"),
    [
        (reply("It is\nbooked.", wanted=[MEMORY]), "text instead", "It is\\nbooked."),
        (reply(None, reasoning="I search.", wanted=[MEMORY]), "only reasoning", "I search."),
        (reply(" ", wanted=[MEMORY]), "an empty reply", ""),
        (reply(calls=[call("stop", {})], wanted=[MEMORY]), "only of stop", ""),
        (reply(calls=[call("stop, \n", {})], wanted=[MEMORY]), r"only of 'stop, \n'", ""),
        (reply(calls=[call(" ", {})], wanted=[MEMORY]), "only of a nameless tool", ""),
    ],
)
def test_what_came_in_place_of_a_call_is_told(exchange: Exchange, reason: str, text: str) -> None:
    missing = next(one for one in find(sample(exchange)) if one.reason.startswith("no call of"))
    assert (missing.reason, missing.excerpt) == (f"no call of search_memory: {reason}", text)


def test_counts() -> None:
    assert reasons() == ["no call of search_memory: text instead"]
    assert reasons(GOOD, call("stop", {})) == ["call of stop that is not wanted"]
    again = call("search_memory", {"query": "recipe"}, id="b")
    assert reasons(GOOD, again) == ["call of search_memory that is not wanted"]
    assert reasons(GOOD, wanted=[MEMORY, wants("stop")]) == ["no call of stop: only of search_memory"]
    assert reasons(GOOD, wanted=[MEMORY, wants("stop", optional=True)]) == []
    assert reasons(GOOD, call("stop", {}), wanted=[MEMORY, wants("stop", optional=True)]) == []


def test_no_call_may_be_made_where_none_is_wanted() -> None:
    assert reasons(GOOD, wanted=()) == ["call of search_memory where no call is wanted"]
    assert reasons(wanted=()) == []
    assert reasons(GOOD, wanted=None) == []


def test_parallel_calls_come_in_any_order_and_are_matched_optimally() -> None:
    # First fit gives the broad want the only call that the narrow one can take.
    broad = wants("get_weather")
    narrow = wants("get_weather", city="Rome")
    rome, oslo = call("get_weather", {"city": "Rome"}), call("get_weather", {"city": "Oslo"})
    for calls in ([rome, oslo], [oslo, rome]):
        assert reasons(*calls, wanted=[broad, narrow]) == []
        assert reasons(*calls, wanted=[narrow, broad]) == []
    assert reasons(oslo, wanted=[wants("get_weather", optional=True), wants("get_weather", city="Oslo")]) == []


@given(
    st.integers(0, 4).flatmap(
        lambda calls: st.lists(
            st.tuples(st.lists(st.booleans(), min_size=calls, max_size=calls), st.booleans()), max_size=4
        ).map(lambda rows: (calls, rows))
    )
)
def test_the_matching_leaves_over_as_little_as_brute_force(case: tuple[int, list[tuple[list[bool], bool]]]) -> None:
    calls, rows = case
    fits, required = [row for row, _ in rows], [needed for _, needed in rows]

    def quality(pairs: dict[int, int]) -> tuple[int, int]:
        return sum(required[want] for want in pairs), len(pairs)

    # Every way to give each want one of the calls, or none (-1).
    ways = itertools.product(range(-1, calls), repeat=len(rows))
    legal = (
        {want: got for want, got in enumerate(way) if got >= 0}
        for way in ways
        if all(got < 0 or (fits[want][got] and way.count(got) == 1) for want, got in enumerate(way))
    )
    found = match(fits, required, calls)
    assert len(set(found.values())) == len(found)
    assert all(fits[want][got] for want, got in found.items())
    assert quality(found) == max(map(quality, legal))


@pytest.mark.parametrize("choice", [None, "auto"])
@pytest.mark.parametrize("finish", ["stop", "function_call", "content_filter"])
def test_finish_reason_must_fit_the_calls(finish: str, choice: str | None) -> None:
    exchange = reply(calls=[GOOD], wanted=[MEMORY], request={"tool_choice": choice})
    object.__setattr__(exchange.answer, "finish_reason", finish)
    assert [f.reason for f in find(sample(exchange))] == [
        f"finish_reason is {finish}, but calls came: it must be tool_calls"
    ]


@pytest.mark.parametrize("finish", [None, "", "eos"])
def test_a_finish_reason_that_is_absent_or_unknown_is_left_to_the_wire(finish: str | None) -> None:
    exchange = reply(calls=[GOOD], wanted=[MEMORY])
    object.__setattr__(exchange.answer, "finish_reason", finish)
    assert find(sample(exchange)) == ()


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "search_memory"}}])
def test_finish_reason_may_be_stop_where_the_request_demanded_the_call(choice: Any) -> None:
    assert reasons(GOOD, finish_reason="stop", request={"tool_choice": choice}) == []


def test_finish_reason_tool_calls_without_a_call_is_a_miss() -> None:
    assert reasons(wanted=(), finish_reason="tool_calls") == ["finish_reason is tool_calls, but no call came"]


@pytest.mark.parametrize(
    "more",
    [
        {"finish_reason": "length"},
        {"tokens": 256},
        {"tokens": 64, "request": {"max_completion_tokens": 64}},
    ],
)
def test_a_call_that_the_token_limit_cut_never_counts(more: dict[str, Any]) -> None:
    (reason,) = reasons(GOOD, **more)
    assert "cut off by max_tokens" in reason


def test_a_cut_call_is_a_miss_even_if_it_was_optional_and_shows_where_it_ended() -> None:
    optional = wants("search_memory", optional=True)
    (finding,) = find(sample(reply(calls=[GOOD], wanted=[optional], finish_reason="length")))
    assert (finding.channel, finding.excerpt) == ("tool_calls", '{"query": "mother\'s recipe"}')
    (finding,) = find(sample(reply("Let me", wanted=[MEMORY], finish_reason="length")))
    assert (finding.channel, finding.excerpt) == ("content", "Let me")
    (finding,) = find(sample(reply(None, reasoning="Well", wanted=[MEMORY], finish_reason="length"), thinking="on"))
    assert (finding.channel, finding.excerpt) == ("reasoning", "Well")


def test_the_finding_shows_the_call() -> None:
    (finding,) = find(sample(reply(calls=[call("stop", {}, id="")], wanted=[wants("stop")])))
    assert finding.excerpt == "stop({})"
    (finding,) = find(sample(reply("Fine.", wanted=(), finish_reason="tool_calls")))
    assert finding.excerpt == "tool_calls"


def test_a_cut_answer_without_a_call_is_no_miss_where_the_call_is_optional() -> None:
    optional = wants("search_memory", optional=True)
    assert reasons(finish_reason="length", wanted=[optional]) == []


CALL_TEXTS = [
    '<tool_call>\n{"name": "search_memory", "arguments": {"query": "recipe"}}\n</tool_call>',
    "<tool_call>\n<function=search_memory>\n<parameter=query>\nrecipe\n</parameter>\n</function>\n</tool_call>",
    "<function=search_memory>",
    "<parameter=query>recipe",
    "Let me look.</tool_call>",
    "&lt;tool_call&gt;",
    "[TOOL_CALLS][{}]",
    '<|python_tag|>{"name": "search_memory"}',
    "<｜tool▁calls▁begin｜>",
    "<|tool_calls_section_begin|>",
    "<function_call>",
    '<invoke name="search_memory">',
    '{"name": "search_memory", "arguments": {"query": "recipe"}}',
    '{"name": "search_memory", "parameters": {"query": "recipe"}}',
    '```json\n{"name": "search_memory", "arguments": {"query": "recipe"}}\n```',
    'Sure. {"name": "search_memory", "arguments": {"query": "rec',
    '{"function": {"name": "search_memory", "arguments": "{}"}}',
    "{'name': 'search_memory', 'arguments': {'query': 'recipe'}}",
    '{"query": "recipe"}',
    '{"search_memory": {"query": "recipe"}}',
    'search_memory(query="recipe")',
    "I will call search_memory(query='recipe').",
    'functions.search_memory({"query": "recipe"})',
    'search_memory {"query": "recipe"}',
    "[search_memory(query='recipe')]",
    "[search_memory: recipe]",
    "search_memory()",
    "Action: search_memory\nAction Input: recipe",
    "to=functions.search_memory",
    "```tool_code\nprint(1)\n```",
]


@pytest.mark.parametrize("text", CALL_TEXTS)
def test_a_call_written_into_content_is_a_dropped_call(text: str) -> None:
    findings = find(sample(reply(text, wanted=[MEMORY])))
    dropped = [finding for finding in findings if finding.reason.startswith("dropped call")]
    assert len(dropped) == 1
    assert dropped[0].channel == "content"
    assert dropped[0].excerpt
    assert find(sample(reply(text, wanted=())))


@pytest.mark.parametrize(
    "text",
    [
        "I could look in the memory (if you like).",
        "The weather (in Paris) is fine.",
        "I can use get_weather for that.",
        'He said: "My name is Ann, and these are my arguments."',
        "Please stop (now).",
        "Stop: that is the rule.",
        "Set notation is {1, 2, 3}.",
        "Action films are fun.",
        "The function of the tool is plain.",
        "f(x) = 3, and sin(0) = 0.",
    ],
)
def test_speech_is_no_call(text: str) -> None:
    assert find(sample(reply(text, wanted=()))) == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"query": "recipe"}', "a call or its arguments as JSON"),
        ('{"get_weather": {"town": "Rome"}}', "call of get_weather as JSON"),
        ('{"name": "get_weather", "city": "Rome"}', "call of get_weather as JSON"),
        ("get_weather(city='Rome')", "call of get_weather as code"),
        ("open_door(side='left')", "a call or its arguments as code"),
        ("<get_weather>Rome</get_weather>", "tag named after a tool, '<get_weather>',"),
        ("get_weather\ncity\nRome", "name of a tool"),
        ("get_weathercityRome", "call of get_weather"),
        ("[Calling tool: get_weather] It's fine.", "tool call announced in brackets"),
    ],
)
def test_a_dropped_call_is_named(text: str, reason: str) -> None:
    (finding,) = find(sample(reply(text, wanted=())))
    assert finding.reason == f"dropped call: {reason}" + ("" if "announced" in reason else " in text")


@pytest.mark.parametrize(
    "text",
    [
        # Families of tool parsers: whole, with their tokens skipped, with the first tag eaten, cut, or unoffered.
        "[get_weather(city='Rome', unit='celsius')]",
        "[open_door(steps=[])]",
        'tools.call("open_door", {"side": "left"})',
        "openDoor(side",
        '[{"open_door": {"side": "left"}}]',
        ', "parameters": {"side": "left"}}',
        '"arguments": {"side": "le',
        '{"side": {"x": 1',
        "{'side",
        "It's in the tin. open_door\nside\nleft",
        "Fine.get_weather",
        "toolname_no_args",
        'bash[ARGS]{"command": "ls"}',
        "call:search{query:all",
        "<city>Rome</city>",
        # The rest of a call whose beginning was eaten.
        'ther", "arguments": ',
        'ther","arguments"',
        'er_mode", "units": "metric',
        't_weather">',
        'ame="town">Rome',
        'parameter name="town">Rome',
        'city:<|"|>Rome',
        ", unit=None, days=3",
        ", unit='C'",
        " unit='C', days=3)",
        "(days=[",
        "me, days=3)]",
        "me')]",
        "log.txt')",
        'Rome", ',
        'ome"}It is warm.',
        "}} It is warm.",
        # What no template asks for.
        "[used: get_weather] It's fine.",
        "Calling get_weather with Rome.",
        "get_weather => Rome.",
        "/get_weather Rome.",
        "tool: get_weather\ncity: Rome.",
        "get_weather city: Rome",
        '["get_weather", {"city": "Rome"}]',
        'I would call {"city": "Rome"}.',
    ],
)
def test_a_call_of_any_family_is_found_in_text(text: str) -> None:
    assert any(finding.reason.startswith("dropped call") for finding in find(sample(reply(text, wanted=()))))


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '"name": "Ann" and "arguments": none',
        '["query"]',
        "I've got add_event (for the calendar), get_weather and search_memory.",
        "I'd use get_weather, or search_memory.",
        "Set notation is {a, b}.",
        "Bring egg(s) and the form(s).",
        'The word is "arguments"',
        'Two words, "yes", "no": both are short.',
        "The note says (and I quote 'back at nine')",
        "It's funny :')",
        'Say "Rome", "Oslo" or "Bern".',
        "The rule is x = 3, y = 4, z = 5.",
        'It is 5 feet 10",',
    ],
)
def test_what_calls_nothing_is_no_call(text: str) -> None:
    assert find(sample(reply(text, wanted=()))) == ()


@pytest.mark.parametrize(
    "content", ["<tool_call> { and } go there", "Write <tool_call> and the name, say search_memory, behind it."]
)
def test_talk_about_tool_tags_is_no_call_even_with_a_brace_or_a_name(content: str) -> None:
    assert find(sample(reply(content, wanted=(), topic=["tags"]))) == ()


def test_a_tag_that_the_user_asked_about_is_no_call_but_a_call_is() -> None:
    content = "<tool_call> opens a call."
    assert find(sample(reply(content, wanted=(), topic=["tags"]))) == ()
    assert find(sample(reply(content, wanted=(), user="What is <tool_call>?"))) == ()
    assert find(sample(reply(CALL_TEXTS[0], wanted=(), topic=["tags"])))
    assert find(sample(reply(CALL_TEXTS[1], wanted=(), topic=["tags"])))


def test_a_call_inside_the_reasoning_channel_is_a_dropped_call() -> None:
    for text in CALL_TEXTS[:1] + CALL_TEXTS[12:13]:
        findings = find(sample(reply(None, reasoning=text, wanted=[MEMORY]), thinking="on"))
        assert any(f.reason.startswith("dropped call") and f.channel == "reasoning" for f in findings)
    planned = 'I call search_memory(query="recipe").'
    assert find(sample(reply(None, reasoning=planned, calls=[GOOD], wanted=[MEMORY]), thinking="on")) == ()
    assert find(sample(reply("Hello.", reasoning="Maybe search_memory()? No.", wanted=()), thinking="on")) == ()


def test_each_exchange_is_judged_by_its_own_expectation() -> None:
    findings = find(sample(reply(calls=[GOOD], wanted=[MEMORY]), reply("Here.", round=1, wanted=[wants("stop")])))
    assert [(finding.exchange, finding.reason) for finding in findings] == [(1, "no call of stop: text instead")]


TEXT = st.none() | st.text(max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = TEXT | st.sampled_from([*TOOLS])


@settings(max_examples=150)
@given(st.lists(st.tuples(NAMES, TEXT | JSON, TEXT), max_size=4), TEXT, TEXT, TEXT, st.sampled_from([(), (MEMORY,)]))
def test_nothing_that_a_server_sends_raises(
    calls: list[tuple[str | None, Any, str | None]],
    content: str | None,
    thought: str | None,
    finish: str | None,
    wanted: Any,
) -> None:
    made = [call(name, arguments, id=id) for name, arguments, id in calls]
    exchange = reply(content, reasoning=thought, calls=made, finish_reason=finish, wanted=wanted)
    findings = find(sample(exchange))
    assert findings or not wanted or made


@given(st.permutations([call("get_weather", {"city": city}) for city in ("Rome", "Oslo", "Bonn")]))
def test_the_order_of_calls_never_matters(calls: list[ToolCall]) -> None:
    wanted = [
        wants("get_weather"),
        wants("get_weather", city={"any_of": ["Rome", "Oslo"]}),
        wants("get_weather", city="Rome"),
    ]
    assert reasons(*calls, wanted=wanted) == []


@pytest.mark.parametrize(
    "piece", ['{"name": "', '"arguments":', "search_memory ", "[search_memory", "<", '{"a":', "("]
)
def test_the_time_is_linear_in_the_text(piece: str) -> None:
    def judge(text: str) -> None:
        find(sample(reply(text, reasoning=text, wanted=[MEMORY])))
        find(sample(reply(None, calls=[call("search_memory", text)], wanted=[MEMORY])))

    assert growth_by_text(judge, piece) < LINEAR


# Whole findings: reason, excerpt, channel and span.
Told = tuple[str, str, str | None, tuple[int, int] | None]
WEATHER = wants("get_weather", city="Rome")
ROME, OSLO = call("get_weather", {"city": "Rome"}), call("get_weather", {"city": "Oslo"})
STOP = call("stop", {})


def of(made: ToolCall, reason: str) -> Told:
    """A finding that shows a call."""
    return reason, f"{made.name or ''}({made.arguments or ''})", "tool_calls", (0, len(made.arguments or ""))


def told(*exchanges: Exchange) -> list[Told]:
    return [(each.reason, each.excerpt, each.channel, each.span) for each in find(sample(*exchanges, thinking="on"))]


CITY = 'argument city of get_weather is "Oslo", wanted "Rome"'
UNWANTED = "call of {} that is not wanted"
BARE = ToolCall("a", "stop", None)
NAMELESS, FOREIGN = call(None, "{}"), call("look\nup", "{}")
MISFITS: list[tuple[list[ToolCall], list[Any], list[Told]]] = [
    ([ROME], [WEATHER], []),
    ([OSLO], [WEATHER], [of(OSLO, CITY)]),
    ([OSLO], [wants("get_weather", optional=True, city="Rome")], [of(OSLO, CITY)]),
    ([ROME, OSLO], [WEATHER], [of(OSLO, UNWANTED.format("get_weather"))]),
    ([OSLO, ROME], [WEATHER], [of(OSLO, UNWANTED.format("get_weather"))]),
    ([OSLO, ROME], [WEATHER, WEATHER], [of(OSLO, CITY)]),
    ([STOP], [WEATHER], [("no call of get_weather: only of stop", "", None, None), of(STOP, UNWANTED.format("stop"))]),
    ([STOP], [wants("get_weather", optional=True)], [of(STOP, UNWANTED.format("stop"))]),
    ([STOP, OSLO], [WEATHER], [of(OSLO, CITY), of(STOP, UNWANTED.format("stop"))]),
    ([OSLO], [WEATHER, WEATHER],
     [of(OSLO, CITY), ("no call of get_weather: only of get_weather", "", None, None)]),
    ([STOP, *(replace(STOP, id=str(at)) for at in range(3))], [WEATHER],
     [("no call of get_weather: only of stop, stop, stop", "", None, None)]
     + 4 * [of(STOP, UNWANTED.format("stop"))]),
    ([BARE], [wants("stop")], [of(BARE, "arguments of stop are empty, not a JSON object")]),
    ([BARE], [wants("stop", optional=True)], [of(BARE, "arguments of stop are empty, not a JSON object")]),
    ([NAMELESS], [wants("stop")],
     [of(NAMELESS, "call without a name"), ("no call of stop: only of a nameless tool", "", None, None)]),
    ([FOREIGN], [wants("stop")],
     [("'look\\nup' is not among the tools that were offered", "look\\nup({})", "tool_calls", (0, 2)),
      ("no call of stop: only of 'look\\nup'", "", None, None)]),
    ([replace(STOP, id=""), replace(ROME, id="x"), replace(ROME, id="x")], [wants("stop"), WEATHER, WEATHER],
     [of(STOP, "call of stop has no id"), of(ROME, "id 'x' is used twice")]),
    ([STOP, NAMELESS], [],
     [of(STOP, "call of stop where no call is wanted"),
      of(NAMELESS, "call of a nameless tool where no call is wanted")]),
]  # fmt: skip


@pytest.mark.parametrize(("calls", "wanted", "expected"), MISFITS)
def test_each_miss_is_told_once_and_whole(calls: list[ToolCall], wanted: list[Any], expected: list[Told]) -> None:
    assert told(reply(calls=calls, wanted=wanted)) == expected


CUT = "cut off by max_tokens, so that no call counts"


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        (reply("Let me", wanted=[WEATHER], finish_reason="length"), [(CUT, "Let me", "content", (0, 6))]),
        (reply("", reasoning="Hm.", wanted=[WEATHER], finish_reason="length"), [(CUT, "Hm.", "reasoning", (0, 3))]),
        (reply(None, wanted=[WEATHER], finish_reason="length"), [(CUT, "", "reasoning", (0, 0))]),
        (
            reply("Let me", calls=[ROME, STOP], wanted=[WEATHER], finish_reason="length"),
            [(CUT, "{}", "tool_calls", (0, 2))],
        ),
        (
            reply(calls=[ROME], wanted=[wants("get_weather", optional=True)], tokens=256),
            [(CUT, '{"city": "Rome"}', "tool_calls", (0, 16))],
        ),
        (reply(calls=[ROME], wanted=[WEATHER], tokens=255), []),
        (reply("Hi.", wanted=[wants("stop", optional=True)], finish_reason="length"), []),
        (
            reply("Hi.", wanted=[wants("stop", optional=True), WEATHER], finish_reason="length"),
            [(CUT, "Hi.", "content", (0, 3))],
        ),
        (reply("Hi.", wanted=(), finish_reason="length"), []),
        (
            reply("Hi.", wanted=(), finish_reason="function_call"),
            [("finish_reason is tool_calls, but no call came", "function_call", None, None)],
        ),
        (
            reply(calls=[ROME], wanted=[WEATHER], finish_reason="stop"),
            [("finish_reason is stop, but calls came: it must be tool_calls", "stop", None, None)],
        ),
        (
            reply(calls=[ROME], wanted=[WEATHER], finish_reason="function_call", request={"tool_choice": "required"}),
            [("finish_reason is function_call, but calls came: it must be tool_calls", "function_call", None, None)],
        ),
        (
            reply(calls=[ROME], wanted=(), finish_reason="stop"),
            [
                of(ROME, "call of get_weather where no call is wanted"),
                ("finish_reason is stop, but calls came: it must be tool_calls", "stop", None, None),
            ],
        ),
    ],
)
def test_how_an_answer_ended_is_judged_with_its_calls(exchange: Exchange, expected: list[Told]) -> None:
    assert told(exchange) == expected
    earlier = [("no call of stop: text instead", "Hm.", None, None)]
    assert told(reply("Hm.", wanted=[wants("stop")]), reply("Hi."), exchange) == earlier + expected


PLAN = "Then I use get_weather(city='Rome') for it."
TAGGED = "So: <tool_call>{}</tool_call>"
CODE = "dropped call: call of get_weather as code in text"
TAG = "dropped call: tool tag '<tool_call>' in text"


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        (reply(PLAN, wanted=()), [(CODE, PLAN, "content", (11, 28))]),
        (reply("Hi.", reasoning=PLAN, wanted=()), []),
        (
            reply("Hi.", reasoning=PLAN, wanted=[wants("stop", optional=True)]),
            [(CODE, PLAN, "reasoning", (11, 28))],
        ),
        (reply("Hi.", reasoning=TAGGED, wanted=()), [(TAG, TAGGED, "reasoning", (4, 15))]),
        (reply(None, reasoning=TAGGED, calls=[ROME], wanted=[WEATHER]), []),
        (
            reply(TAGGED, reasoning=TAGGED, wanted=()),
            [(TAG, TAGGED, "content", (4, 15)), (TAG, TAGGED, "reasoning", (4, 15))],
        ),
        (reply("It is <tool_call>.", reasoning="It is <tool_call>.", wanted=(), topic=["tags"]), []),
        (reply("It is <tool_call>.", reasoning="It is <tool_call>.", wanted=(), topic=["tools"]), []),
        (reply("It is <tool_call>.", wanted=(), user="What is <tool_call>?"), []),
        (
            reply("It is <tool_call>.", wanted=(), user="What is <think>?", topic=["markdown"]),
            [(TAG, "It is <tool_call>.", "content", (6, 17))],
        ),
    ],
)
def test_a_dropped_call_is_told_whole(exchange: Exchange, expected: list[Told]) -> None:
    assert told(exchange) == expected


BREAK = "break the schema"
NO_NAME = "Expecting property name enclosed in double quotes"


@pytest.mark.parametrize(
    ("tool", "arguments", "why"),
    [
        ("stop", "{", f"arguments of stop are not JSON ({NO_NAME} at character 1)"),
        ("stop", f'{{"a": 1{400 * "0"}.0}}', f"arguments of stop hold 1{19 * '0'}, which no number can represent"),
        ("stop", '{"a": -1e999}', "arguments of stop hold -1e999, which no number can represent"),
        (
            "add_event",
            '{"title": 7, "when": {"date": 8}}',
            f"arguments.title of add_event {BREAK}: 7 is not of type 'string'",
        ),
        (
            "add_event",
            '{"title": "x", "when": {"date": 8}}',
            f"arguments.when.date of add_event {BREAK}: 8 is not of type 'string'",
        ),
        ("add_event", '{"when": {"date": 8}}', f"arguments of add_event {BREAK}: 'title' is a required property"),
        (
            "get_weather",
            f'{{"city": "Rome", "unit": "{78 * "x"}"}}',
            f"arguments.unit of get_weather break the schema: '{78 * 'x'}' is not one of ['celsius', 'fahrenheit']",
        ),
        (
            "get_weather",
            f'{{"city": "Rome", "unit": "{79 * "x"}"}}',
            f"arguments.unit of get_weather break the schema: '{79 * 'x'}' is not one of ['celsius', 'fahrenheit…",
        ),
        ("note", '{"a": "  "}', "argument a of note is blank"),
        ("note", f'{{"{90 * "k"}&nbsp;": 1}}', f"argument {80 * 'k'} of note holds an HTML entity, '&nbsp;'"),
        (
            "note",
            '{"a  b": "spare\\nkey</parameter>"}',
            "argument a b of note holds markup of the call, '</parameter'",
        ),
    ],
)
def test_what_is_wrong_with_arguments_is_told_in_one_line(tool: str, arguments: str, why: str) -> None:
    made = call(tool, arguments)
    tools = {**TOOLS, "note": {"type": "object", "additionalProperties": True}}
    found = find(sample(reply(calls=[made], wanted=[wants(tool)]), tools=tools))
    assert [each.reason for each in found] == [why]


# The text of a call: reason, place (in 〔brackets〕, which are no part of the text) and whether it has a tag.
STOPPED = f"{{{395 * ' '}stop"  # 400 characters
TAG_OF_CALL = "tool tag '<tool_call>' in text"


@pytest.mark.parametrize(
    ("reason", "marked", "about_tags", "tagged"),
    [
        (TAG_OF_CALL, "So: 〔<tool_call>〕 it is.", False, True),
        (None, "So: <tool_call> it is.", True, False),
        (TAG_OF_CALL, "So: 〔<tool_call>〕 [stop].", True, True),
        (TAG_OF_CALL, "So: <tool_call> it is. 〔<tool_call>〕\n<stop", True, True),
        (TAG_OF_CALL, f"〔<tool_call>〕{STOPPED}", True, True),
        (None, f"<tool_call>{STOPPED[0]} {STOPPED[1:]}", True, False),
        (None, "So: <tool_call> {walk", True, False),
        ("tag named after a tool, '<get_weather>', in text", "<b>So</b>: 〔<get_weather>〕", False, True),
        ("tag named after a tool, '<get_weather>', in text", "So: 〔<get_weather>〕", True, True),
        ("tag named after a tool, '</city>', in text", "Rome〔</city>〕", False, True),
        ("a call or its arguments as JSON in text", 'So 〔{"a":〕 1', False, False),
        ("call of stop as JSON in text", 'So stop 〔{"a":〕 1', False, False),
        ("call of stop as JSON in text", 'So stop 〔{"a":〕 1', True, False),
        ("a call or its arguments as code in text", "So: 〔walk(to=〕1)", False, False),
        ("call of get_weather as code in text", "So: 〔get_weather(c〕ity)", False, False),
        ("rest of a call in text", 'look〔", "arguments"〕', False, False),
        ("end of a call in text", "in Rome〔')〕", False, False),
        ("end of a call in text", 'in Rome〔",  〕', False, False),
        ("end of a call in text", 'He said "so" in Rome〔",〕', False, False),
        (None, 'He said "so in Rome",', False, False),
        (None, "He said (the word 'Rome')", False, False),
        ("tool call announced in brackets", "So: 〔[Calling tool: look]〕", False, True),
        (None, "So: [Calling tool: look]", True, False),
        ("name of a tool in text", "So.\n〔look_up〕", False, False),
        ("call of get_weather in text", "I was 〔using get_weather: Rome.〕", False, False),
        ("call of stop in text", "〔stop {〕 it", False, False),
        (None, "I can use get_weather for that.", False, False),
        (None, "", False, False),
    ],
)
def test_the_text_of_a_call_is_told_with_its_place(
    reason: str | None, marked: str, about_tags: bool, tagged: bool
) -> None:
    start, end = marked.find("〔"), marked.find("〕") - 1
    text = marked.replace("〔", "").replace("〕", "")
    found = find_call_text(text, TOOLS, about_tags=about_tags)
    assert found == (CallText(reason, start, end, tagged) if reason else None)


def test_without_tools_no_name_is_one_of_a_tool() -> None:
    assert find_call_text("<get_weather> stop { get_weather: Rome", {}) is None
    assert find_call_text("So: <city>", {"look": {"properties": ["city"]}}) is None
