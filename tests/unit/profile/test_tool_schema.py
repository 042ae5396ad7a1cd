"""Tool schemas: violations are reported correctly, and validation always ends soon."""

from __future__ import annotations

import time
from typing import Any

import pytest

from annie_eval.profile.tool_schema import Endless, errors, problem, validator

SLOW = "^(([a-z])+.)+[A-Z]([a-z])+$"  # https://owasp.org/www-community/attacks/Regular_expression_Denial_of_Service_-_ReDoS


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def messages(rules: dict[str, Any], value: Any) -> list[str]:
    assert problem(rules) is None
    return [error.message for error in errors(validator(rules), value)]


@pytest.mark.parametrize(
    ("rules", "value"),
    [
        (schema(x={"type": "string", "pattern": SLOW}), {"x": "a" * 100_000}),
        (schema(x={"type": "string", "pattern": "(a*)*b"}), {"x": "a" * 100_000}),
        (schema(x={"items": {"pattern": "a*" * 20 + "b"}}), {"x": ["a" * 5_000]}),
        ({"type": "object", "patternProperties": {"^(a+)+$": {"type": "string"}}}, {"a" * 5_000 + "!": 1}),
        (
            {"type": "object", "patternProperties": {"^(a+)+$": {}}, "additionalProperties": False},
            {"a" * 5_000 + "!": 1},
        ),
        ({"type": "object", "propertyNames": {"pattern": "^(a+)+$"}}, {"a" * 5_000 + "!": 1}),
    ],
    ids=["owasp", "stars", "items", "names", "other names", "property names"],
)
def test_no_pattern_takes_for_ever(rules: dict[str, Any], value: Any) -> None:
    began = time.process_time()
    messages(rules, value)
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    ("rules", "value", "problems"),
    [
        (schema(x={"pattern": "^\\d{2}:\\d{2}$"}), {"x": "07:30"}, []),
        (schema(x={"pattern": "^\\d{2}:\\d{2}$"}), {"x": "7:30"}, ["'7:30' does not match '^\\\\d{2}:\\\\d{2}$'"]),
        (schema(x={"pattern": "^\\d$"}), {"x": 5}, []),
        ({"type": "object", "patternProperties": {"^n_": {"type": "integer"}}}, {"n_a": 1, "m": "x"}, []),
        (
            {"type": "object", "patternProperties": {"^n_": {"type": "integer"}}},
            {"n_a": "x"},
            ["'x' is not of type 'integer'"],
        ),
        (
            {"type": "object", "patternProperties": {"^n_": {}}, "additionalProperties": False},
            {"n_a": 1, "b": 2, "c": 3},
            ["Additional properties are not allowed ('b', 'c' were unexpected)"],
        ),
        ({"type": "object", "additionalProperties": {"type": "string"}}, {"a": 1}, ["1 is not of type 'string'"]),
        (schema(a={}), {"a": 1, "b": 2}, ["Additional properties are not allowed ('b' was unexpected)"]),
    ],
)
def test_keywords_say_what_they_always_said(rules: dict[str, Any], value: Any, problems: list[str]) -> None:
    assert messages(rules, value) == problems


REFUSED = [
    (schema(x={"pattern": "(?!a)b"}), ".properties.x.pattern is no valid JSON Schema here: it is a pattern that RE2"),
    (schema(x={"pattern": "("}), ".properties.x.pattern is no valid JSON Schema"),
    (schema(default={"pattern": "("}), ".properties.default.pattern is no valid JSON Schema"),
    ({"type": "object", "patternProperties": {"(?=a)": {}}}, ".patternProperties has the name '(?=a)'"),
    ({"type": "object", "$ref": "#"}, " refers to itself"),
    (schema(x={"$ref": "#/$defs/a"}) | {"$defs": {"a": {"$ref": "#/$defs/a"}}}, ".$defs.a refers to itself"),
    (
        schema(x={"$ref": "#/$defs/a"})
        | {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}},
        ".$defs.a refers to itself",
    ),
    (schema(x={"$ref": "https://example.org/s"}), ".properties.x.$ref is"),
    (
        {"type": "object", "patternProperties": {"a": {}}, "unevaluatedProperties": False},
        " has patternProperties beside unevaluatedProperties",
    ),
]


@pytest.mark.parametrize(("rules", "message"), REFUSED)
def test_a_schema_that_cannot_be_held_against_arguments_is_refused(rules: dict[str, Any], message: str) -> None:
    found = problem(rules)
    assert found is not None
    assert found.startswith(message)


def doubling(depth: int) -> dict[str, Any]:
    """Each definition asks the next one twice of the same value."""
    each = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(depth)}
    return {"type": "object", "$ref": "#/$defs/d0", "$defs": {**each, f"d{depth}": {}}}


def test_references_that_double_at_each_step_are_refused() -> None:
    assert problem(doubling(8)) is None
    began = time.process_time()
    found = problem(doubling(40))
    assert found is not None
    assert "follows more than" in found
    assert time.process_time() - began < 5.0


TWICE = {"anyOf": [{"$ref": "#/$defs/t"}, {"$ref": "#/$defs/t"}]}
TREE = {
    "type": "object",
    "properties": {"t": {"$ref": "#/$defs/t"}},
    "$defs": {"t": {"type": "object", "properties": {"t": TWICE, "n": {"type": "integer"}}}},
}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"n": "no integer"}
    for _ in range(depth):
        value = {"t": value}
    return value


def test_arguments_nested_so_that_the_work_doubles_are_given_up() -> None:
    assert problem(TREE) is None
    assert list(errors(validator(TREE), nested(4)))
    began = time.process_time()
    with pytest.raises((Endless, RecursionError)):
        list(errors(validator(TREE), nested(60)))
    assert time.process_time() - began < 5.0


def test_a_tree_may_be_described_by_itself() -> None:
    rules = schema(tree={"$ref": "#/$defs/node"}) | {
        "$defs": {"node": {"type": "object", "properties": {"left": {"$ref": "#/$defs/node"}}}}
    }
    assert messages(rules, {"tree": {"left": {"left": {}}}}) == []
    assert messages(rules, {"tree": {"left": 3}}) == ["3 is not of type 'object'"]
