"""JSON Schema of a tool's parameters (draft 2020-12): checks schemas of a profile, and validates calls.

Arguments are untrusted, so validation must always end soon: patterns run in linear time
(`annie_eval.profile.patterns`), and the number of followed references is limited. `format` is an annotation and is not
enforced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

from annie_eval.profile import patterns

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_REFERENCES = 5_000  # maximum number of references for one value; takes a tenth of a second
# Keywords whose subschemas apply to the same value.
_IN_PLACE_LISTS = ("allOf", "anyOf", "oneOf")
_IN_PLACE = ("not", "if", "then", "else")
_BY_NAME = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")


class Endless(Exception):
    """Validation would follow references endlessly or too often."""


_left: ContextVar[int] = ContextVar("_left", default=_REFERENCES)


def errors(validator: Validator, value: Any) -> Iterator[Any]:
    """jsonschema's errors for a value. Raises Endless, or RecursionError for a value that is nested too deeply."""
    _left.set(_REFERENCES)
    yield from validator.iter_errors(value)


def validator(schema: Mapping[str, Any], rules: Any = None) -> Validator:
    """A validator for a schema, or for `rules` inside it. It never fetches anything."""
    from referencing import Registry

    made: Validator = _class()(schema, registry=Registry())
    return made if rules is None else made.evolve(schema=rules)


def problem(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a schema: `.PATH is ...`, as the rest of a message; None if it is valid."""
    import jsonschema

    try:
        # Patterns are checked below.
        jsonschema.Draft202012Validator.check_schema(schema, format_checker=jsonschema.FormatChecker(formats=()))
    except jsonschema.SchemaError as error:
        path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path)
        return f"{path} is no valid JSON Schema: {' '.join(error.message.split())[:200]}; fix it"
    for path, part in _parts(schema, ""):
        if isinstance(part.get("pattern"), str) and (found := patterns.problem(part["pattern"])):
            return f"{path}.pattern is no valid JSON Schema here: it {found}"
        for pattern in part.get("patternProperties", ()):
            if found := patterns.problem(pattern):
                return f"{path}.patternProperties has the name {pattern!r}, which {found}"
        if "patternProperties" in part and "unevaluatedProperties" in part:
            return f"{path} has patternProperties beside unevaluatedProperties; use additionalProperties"
        for key in ("$ref", "$dynamicRef"):
            if isinstance(part.get(key), str) and resolved(part[key], schema) is None:
                # A reference to another document would be fetched over the network during validation.
                return f"{path}.{key} is {part[key]!r}, but must point into this schema (#/$defs/...)"
    for path, part in _parts(schema, ""):
        if _refers_to_itself(part, schema):
            return f"{path} refers to itself without going into the value, so that nothing could end it; fix it"
    try:
        list(errors(validator(schema), {}))
    except (Endless, RecursionError):
        return f" follows more than {_REFERENCES} references for an empty object; write it flat"
    return None


def resolved(pointer: str, schema: Any) -> Any:
    """The part of a schema that `#/a/b` points to; None if there is none."""
    if not pointer.startswith("#"):
        return None
    at = schema
    for part in pointer[1:].split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(at, list) and key.isdecimal() and int(key) < len(at):
            at = at[int(key)]
            continue
        if not isinstance(at, dict) or key not in at:
            return None
        at = at[key]
    return at if isinstance(at, dict | bool) else None


def _parts(value: Any, path: str, *, names: bool = False) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every schema inside a schema, with its path. `names`: the keys of `value` are property names, not keywords."""
    if isinstance(value, dict):
        if not names:
            yield path, value
        for key, item in value.items():
            if names or key not in ("const", "enum", "default", "examples"):
                yield from _parts(item, f"{path}.{key}", names=not names and key in _BY_NAME)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _parts(item, f"{path}[{position}]")


def _refers_to_itself(part: Mapping[str, Any], root: Any) -> bool:
    seen: set[int] = set()
    waiting: list[Any] = list(_in_place(part, root))
    while waiting:
        schema = waiting.pop()
        if schema is part:
            return True
        if isinstance(schema, dict) and id(schema) not in seen:
            seen.add(id(schema))
            waiting += _in_place(schema, root)
    return False


def _in_place(schema: Mapping[str, Any], root: Any) -> Iterator[Any]:
    for key in ("$ref", "$dynamicRef"):
        if isinstance(schema.get(key), str):
            yield resolved(schema[key], root)
    for key in _IN_PLACE_LISTS:
        if isinstance(schema.get(key), list):
            yield from schema[key]
    for key in _IN_PLACE:
        yield schema.get(key)
    if isinstance(schema.get("dependentSchemas"), dict):
        yield from schema["dependentSchemas"].values()


@cache
def _class() -> Any:
    """jsonschema's validator of draft 2020-12, with safe versions of keywords that could take very long."""
    # Imported here for a fast start, because most samples make no call.
    from jsonschema import Draft202012Validator, ValidationError
    from jsonschema.validators import extend

    follow = {key: Draft202012Validator.VALIDATORS[key] for key in ("$ref", "$dynamicRef")}

    def limited(key: str) -> Any:
        def keyword(validator: Any, reference: str, value: Any, schema: Any) -> Iterator[Any]:
            _left.set(_left.get() - 1)
            if _left.get() < 0:
                raise Endless
            yield from follow[key](validator, reference, value, schema)

        return keyword

    def pattern(validator: Any, wanted: str, value: Any, schema: Any) -> Iterator[Any]:
        if validator.is_type(value, "string") and not patterns.found_in(wanted, value):
            yield ValidationError(f"{value!r} does not match {wanted!r}")

    def pattern_properties(validator: Any, wanted: Mapping[str, Any], value: Any, schema: Any) -> Iterator[Any]:
        if validator.is_type(value, "object"):
            for name, rules in wanted.items():
                for key, member in value.items():
                    if patterns.found_in(name, key):
                        yield from validator.descend(member, rules, path=key, schema_path=name)

    def additional_properties(validator: Any, rules: Any, value: Any, schema: Any) -> Iterator[Any]:
        if not validator.is_type(value, "object"):
            return
        names = schema.get("patternProperties", ())
        more = [
            key
            for key in value
            if key not in schema.get("properties", {}) and not any(patterns.found_in(name, key) for name in names)
        ]
        if validator.is_type(rules, "object"):
            for key in more:
                yield from validator.descend(value[key], rules, path=key)
        elif not rules and more:
            shown = ", ".join(map(repr, sorted(more, key=str)))
            verb = "was" if len(more) == 1 else "were"
            yield ValidationError(f"Additional properties are not allowed ({shown} {verb} unexpected)")

    return extend(  # type: ignore[no-untyped-call]
        Draft202012Validator,
        {
            "pattern": pattern,
            "patternProperties": pattern_properties,
            "additionalProperties": additional_properties,
            **{key: limited(key) for key in follow},
        },
    )
