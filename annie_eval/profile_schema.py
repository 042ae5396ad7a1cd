"""The structure of profile files: the shipped JSON Schemas, applied so that one line says what to mend.

jsonschema judges the same files the same way (tests/unit/profile holds the two together), but its messages name
neither the mend nor the nearest known key, and it needs 0.2 ms a scenario: with several hundred scenarios in every
pytest process that is a tenth of the time a whole run may take.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from annie_eval.errors import UsageError

SCHEMAS = Path(__file__).parent / "profiles"

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int, float),
    "number": (int, float),
    "null": (type(None),),
}
_SPOKEN = {
    "object": "a table",
    "array": "a list",
    "string": "a string",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "null": "null",
}


class Fault(NamedTuple):
    """One breach of a schema: the dotted path of the field ("" for the whole) and what is wrong with it."""

    path: str
    problem: str


@cache
def schema(name: str) -> dict[str, Any]:
    """A shipped schema by file name, such as `scenario.schema.json`."""
    loaded: dict[str, Any] = json.loads((SCHEMAS / name).read_bytes())
    return loaded


def check_structure(value: Any, name: str, where: str) -> None:
    """Hold a parsed file or line against a shipped schema.

    Args:
        where: how messages begin, such as `profile annie.toml`.

    Raises:
        UsageError: for the first fault, with the dotted path of the field.
    """
    root = schema(name)
    for fault in faults(value, root, root, ""):
        raise UsageError(f"{where}: {fault.path or 'it'} {fault.problem}")


def faults(value: Any, rules: Mapping[str, Any], root: Mapping[str, Any], path: str) -> Iterator[Fault]:
    """The breaches of `rules` (a part of the schema `root`), the most telling first."""
    if "$ref" in rules:
        rules = root["$defs"][rules["$ref"].removeprefix("#/$defs/")]
    types = rules.get("type", ())
    types = [types] if isinstance(types, str) else types
    if types and not any(_is(value, name) for name in types):
        spoken = [_SPOKEN[name] for name in types]
        yield Fault(path, f"is {quoted(value)}, but must be {either(spoken)}{_about(rules)}")
        return
    if "enum" in rules and not any(value == known and type(value) is type(known) for known in rules["enum"]):
        wrong = f"is {quoted(value)}, but must be {either(quoted(known) for known in rules['enum'])}"
        yield Fault(path, wrong + did_you_mean(value, rules["enum"]))
    elif isinstance(value, str):
        yield from _string_faults(value, rules, path)
    elif isinstance(value, dict):
        yield from _object_faults(value, rules, root, path)
    elif isinstance(value, list):
        yield from _array_faults(value, rules, root, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number_faults(value, rules, path)


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool) and name != "boolean":
        return False
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[name])


def _string_faults(value: str, rules: Mapping[str, Any], path: str) -> Iterator[Fault]:
    if len(value) < rules.get("minLength", 0):
        yield Fault(path, f"is empty{_about(rules)}")
    elif "pattern" in rules and not re.search(rules["pattern"], value):
        yield Fault(path, f"is {quoted(value)}, but must be {rules['x-form']}")


def _number_faults(value: float, rules: Mapping[str, Any], path: str) -> Iterator[Fault]:
    for keyword, holds, spoken in (
        ("minimum", value >= rules.get("minimum", value), "at least"),
        ("maximum", value <= rules.get("maximum", value), "at most"),
        ("exclusiveMinimum", value > rules.get("exclusiveMinimum", value - 1), "more than"),
        ("exclusiveMaximum", value < rules.get("exclusiveMaximum", value + 1), "less than"),
    ):
        if not holds:
            yield Fault(path, f"is {quoted(value)}, but must be {spoken} {rules[keyword]}")


def _array_faults(value: list[Any], rules: Mapping[str, Any], root: Mapping[str, Any], path: str) -> Iterator[Fault]:
    if len(value) < rules.get("minItems", 0):
        yield Fault(path, f"is an empty list{_about(rules)}")
    items = rules.get("items")
    if items is not None:
        for position, item in enumerate(value):
            yield from faults(item, items, root, f"{path}[{position}]")
    if rules.get("uniqueItems"):
        for position, item in enumerate(value):
            if any(item == other and type(item) is type(other) for other in value[:position]):
                yield Fault(f"{path}[{position}]", f"repeats {quoted(item)}; remove it")


def _object_faults(
    value: dict[str, Any], rules: Mapping[str, Any], root: Mapping[str, Any], path: str
) -> Iterator[Fault]:
    known = rules.get("properties", {})
    others = rules.get("additionalProperties", True)
    names = rules.get("propertyNames")
    for key in value:
        if key in known:
            continue
        if others is False:
            mend = did_you_mean(key, known) or f"; known here: {', '.join(known)}"
            yield Fault(joined(path, key), f"is an unknown key{mend}")
        elif names is not None and not re.search(names["pattern"], key):
            yield Fault(joined(path, key), f"is named {quoted(key)}, but the name must be {names['x-form']}")
    for key in rules.get("required", ()):
        if key not in value:
            yield Fault(joined(path, key), f"is missing{_about(_resolved(known.get(key, {}), root))}")
    if len(value) < rules.get("minProperties", 0):
        options = f"; known here: {', '.join(known)}" if known else _about(rules)
        yield Fault(path, f"is empty{options}")
    for key, item in value.items():
        if key in known:
            yield from faults(item, known[key], root, joined(path, key))
        elif isinstance(others, dict):
            yield from faults(item, others, root, joined(path, key))


def _resolved(rules: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    return root["$defs"][rules["$ref"].removeprefix("#/$defs/")] if "$ref" in rules else rules


def _about(rules: Mapping[str, Any]) -> str:
    """` (what the field is)`, from the schema's own description."""
    return f" ({rules['description']})" if "description" in rules else ""


def joined(path: str, key: str) -> str:
    """The dotted path of a key, quoted as TOML does where it is not a bare key."""
    shown = key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else quoted(key)
    return f"{path}.{shown}" if path else shown


def quoted(value: Any) -> str:
    """A value as JSON on one line, cut at 60 characters; quoted in whole it could drown the message."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:59] + "…"


def either(options: Iterable[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *most, last = options
    return f"{', '.join(most)} or {last}" if most else last


def did_you_mean(word: Any, known: Iterable[Any]) -> str:
    """`; did you mean "markdown"?`, or "" when nothing known is near."""
    # Only a mistake pays for the import.
    from difflib import get_close_matches

    near = get_close_matches(str(word), [k for k in known if isinstance(k, str)], n=1, cutoff=0.6)
    return f"; did you mean {quoted(near[0])}?" if near else ""
