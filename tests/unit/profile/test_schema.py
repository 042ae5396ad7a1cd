"""The shipped schemas refuse invalid files, and every refusal names the place and the fix."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annie_eval.errors import UsageError
from annie_eval.profile.load import builtin_names
from annie_eval.profile.schema import SCHEMAS, check_structure

NAMES = ("profile.schema.json", "scenario.schema.json")
LINES = [
    json.loads(line)
    for file in sorted((SCHEMAS.parent / "scenarios").glob("*.jsonl"))
    for line in file.read_text().splitlines()
]
PROFILES = [tomllib.loads((SCHEMAS / f"{name}.toml").read_text()) for name in builtin_names()]
JUNK = st.sampled_from([None, True, 0, -1, 1, 1.5, "", "on", "x y", [], ["x"], [1, 1], {}, {"x": 1}, {"role": "user"}])
KEYS = st.sampled_from(["tools", "turns", "expect", "stream", "unheard_of", "required", "calls", "any_of", "a b"])


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_schema_is_a_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads((SCHEMAS / name).read_text()))


@pytest.mark.parametrize("name", NAMES)
def test_every_pattern_says_its_form(name: str) -> None:
    def visit(value: Any) -> None:
        if isinstance(value, dict):
            assert ("pattern" in value) <= ("x-form" in value)
            for item in value.values():
                visit(item)

    visit(json.loads((SCHEMAS / name).read_text()))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, item in below for deeper in places(item, (*path, key)))]


def spoil(data: st.DataObject, value: Any) -> None:
    """Replace, remove or add one member anywhere."""
    *way, last = data.draw(st.sampled_from([path for path in places(value) if path]))
    for key in way:
        value = value[key]
    change = data.draw(st.sampled_from(["replace", "remove", "add"]))
    if change == "replace":
        value[last] = data.draw(JUNK)
    elif change == "remove":
        del value[last]
    elif isinstance(value, dict):
        value[data.draw(KEYS)] = data.draw(JUNK)
    else:
        value.append(data.draw(JUNK))


@given(st.data())
def test_a_refusal_is_one_worded_line(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    value = copy.deepcopy(data.draw(st.sampled_from(LINES if name == NAMES[1] else PROFILES)))
    spoil(data, value)
    if jsonschema.Draft202012Validator(json.loads((SCHEMAS / name).read_text())).is_valid(value):
        check_structure(value, name, "here")
        return
    with pytest.raises(UsageError, match=r"^here: ") as caught:
        check_structure(value, name, "here")
    message = str(caught.value).removeprefix("here: ")
    assert "\n" not in message
    # "FIELD: ..." would be jsonschema's own wording, which names no fix.
    assert re.match(r'("[^"]*"|[^ ":])+ (is|repeats) ', message), message
