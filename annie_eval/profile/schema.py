"""Checks the structure of profile files against the shipped JSON Schemas, and explains mistakes in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annie_eval.errors import UsageError

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

SCHEMAS = Path(__file__).parents[1] / "profiles"

#: What the tables call a key, and other tools.
_OTHER_WORDS = {"needs": "required", "min_pass": "required", "threshold": "required", "model": "served-model"}
_SPOKEN = {
    "object": "a table",
    "array": "a list",
    "string": "a string",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "null": "null",
}
_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
}


def structure_mistakes(value: Any, name: str, where: str) -> list[str]:
    """All mistakes that `check_structure` can raise, most important first. Unknown keys are removed from `value`."""
    validator = _validator(name)
    errors = sorted(validator.iter_errors(value), key=_telling)
    found = []
    for error in errors:
        while True:  # one message for each unknown key of a table
            found.append(f"{where}: {_explain(error, validator.schema)}")
            if error.validator != "additionalProperties":
                break
            table: Any = error.instance
            rules: Any = error.schema
            unknown = [key for key in table if key not in rules.get("properties", ())]
            del table[unknown[0]]
            if not unknown[1:]:
                break
    return list(dict.fromkeys(found))


def _telling(error: ValidationError) -> tuple[bool, int]:
    """An unknown key is mostly a slip, and the reason why another one is missing."""
    return error.validator != "additionalProperties", len(error.path)


def check_structure(value: Any, name: str, where: str) -> None:
    """Check a parsed file or line against a shipped schema.

    Args:
        name: file name of the schema, such as `scenario.schema.json`.
        where: beginning of messages, such as `profile annie.toml`.

    Raises:
        UsageError: for the most important mistake, with the dotted path of the field.
    """
    validator = _validator(name)
    if validator.is_valid(value):
        return
    error = min(validator.iter_errors(value), key=_telling)
    raise UsageError(f"{where}: {_explain(error, validator.schema)}")


@cache
def _validator(name: str) -> Draft202012Validator:
    # imported here, because it takes 50 ms
    import jsonschema

    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / name).read_bytes()))


def _explain(error: ValidationError, root: Any) -> str:
    """A mistake as a message: `FIELD is X, but must be Y`."""
    field = path_of(error.absolute_path)
    value: Any = error.instance
    rules: Any = error.schema
    limit: Any = error.validator_value
    match error.validator:
        case "additionalProperties":
            known = list(rules.get("properties", ()))
            unknown = next(key for key in value if key not in known)
            fix = did_you_mean(unknown, known) or f"; known here: {', '.join(known)}"
            return f"{joined(field, unknown)} is an unknown key{fix}"
        case "required":
            missing = next(key for key in limit if key not in value)
            about = rules["properties"].get(missing, {})
            return f"{joined(field, missing)} is missing{_about(_resolved(about, root))}"
        case "pattern" if "propertyNames" in error.absolute_schema_path:
            return f"{joined(field, value)} is named {quoted(value)}, but the name must be {rules['x-form']}"
        case "pattern":
            return f"{field} is {quoted(value)}, but must be {rules['x-form']}"
        case "type":
            types = [limit] if isinstance(limit, str) else limit
            spoken = either(_SPOKEN[name] for name in types)
            return f"{field or 'it'} is {quoted(value)}, but must be {spoken}{_about(rules)}"
        case "enum":
            return f"{field} is {quoted(value)}, but must be {either(map(quoted, limit))}{did_you_mean(value, limit)}"
        case "uniqueItems":
            repeated = next(place for place, item in enumerate(value) if item in value[:place])
            return f"{field}[{repeated}] repeats {quoted(value[repeated])}; remove it"
        case "minLength" | "minItems" | "minProperties":
            known = list(rules.get("properties", ()))
            return f"{field} is empty" + (f"; known here: {', '.join(known)}" if known else _about(rules))
        case bound if bound in _BOUNDS:
            return f"{field} is {quoted(value)}, but must be {_BOUNDS[str(bound)]} {limit}"
    return f"{field}: {' '.join(error.message.split())[:200]}"


def _resolved(rules: Mapping[str, Any], root: Any) -> Mapping[str, Any]:
    return root["$defs"][rules["$ref"].removeprefix("#/$defs/")] if "$ref" in rules else rules


def _about(rules: Mapping[str, Any]) -> str:
    """` (what the field is)`, from the schema's own description."""
    return f" ({rules['description']})" if "description" in rules else ""


def path_of(parts: Iterable[str | int]) -> str:
    """`gates.taxi.detectors[0]` for the path of a member."""
    path = ""
    for part in parts:
        path = f"{path}[{part}]" if isinstance(part, int) else joined(path, part)
    return path


def joined(path: str, key: str) -> str:
    """The dotted path of a key, quoted like in TOML if it is not a bare key."""
    shown = key if re.fullmatch(r"[A-Za-z0-9_$-]+", key) else quoted(key)
    return f"{path}.{shown}" if path else shown


def quoted(value: Any) -> str:
    """A value as JSON on one line, at most 60 characters, to keep messages short."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:59] + "…"


def either(options: Iterable[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *most, last = options
    return f"{', '.join(most)} or {last}" if most else last


def did_you_mean(word: Any, known: Iterable[Any]) -> str:
    """`; did you mean "markdown"?`, or "" if no known word is similar."""
    # imported only for a mistake
    from difflib import get_close_matches

    words = [each for each in known if isinstance(each, str)]
    if (other := _OTHER_WORDS.get(str(word))) in words:
        return f"; did you mean {quoted(str(other))}?"
    near = get_close_matches(str(word), words, n=1, cutoff=0.6)
    return f"; did you mean {quoted(near[0])}?" if near else ""
