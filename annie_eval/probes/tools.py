"""Generates tools with JSON Schema parameters, built from parts of the profile's own tools.

A generated schema uses only types, keywords and depths of the profile's tools: features that the profile does not use
are not probed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from annie_eval.probes.example import Example
from annie_eval.profile.types import Profile

_NAMES = (
    *(
        "query",
        "name",
        "when",
        "place",
        "count",
        "items",
        "note",
        "unit",
        "mode",
        "person",
        "options",
        "level",
        "title",
    ),
    *("date", "city", "limit", "tags", "is_urgent", "maxItems", "from", "value", "id", "type", "list", "x"),
)
_VERBS = ("get", "set", "find", "add", "send", "cancel", "lookUp", "convert", "list")
_NOUNS = ("note", "parcel", "blind", "route", "price", "guest", "menu_item", "alarm2", "Song", "recipe")


@dataclass(frozen=True, slots=True)
class Allowed:
    """The parts of the profile's tools.

    Attributes:
        leaves: JSON Schemas of its parameters that contain no other schema, each once.
        depth: nesting depth of objects and lists; 1 if every parameter is a leaf.
        arrays, objects: whether there are lists, and objects within the arguments.
        most: maximum number of parameters of an object.
        optional: whether a parameter may be left out.
    """

    leaves: tuple[Mapping[str, Any], ...]
    depth: int
    arrays: bool
    objects: bool
    most: int
    optional: bool


def _schemas(value: Any, depth: int) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Every schema inside a schema, with its depth; the arguments object has depth 0."""
    if not isinstance(value, Mapping):
        return
    yield value, depth
    for inner in dict(value.get("properties") or {}).values():
        yield from _schemas(inner, depth + 1)
    if isinstance(value.get("items"), Mapping):
        yield from _schemas(value["items"], depth + 1)


def allowed(profile: Profile) -> Allowed | None:
    """What may be generated for this profile; None if no tool has a parameter that can be reused."""
    found = [
        each
        for tool in profile.tools.values()
        for each in _schemas(tool["function"].get("parameters", {}), 0)
        if "$ref" not in each[0]
    ]
    leaves: list[Mapping[str, Any]] = []
    for schema, depth in found:
        kind = schema.get("type")
        plain = ("enum" in schema or kind in ("string", "integer", "number", "boolean")) and depth > 0
        if plain and schema not in leaves:
            leaves.append(schema)
    if not leaves:
        return None
    whole = [schema for schema, _ in found if schema.get("properties")]
    return Allowed(
        leaves=tuple(leaves),
        depth=max(depth for _, depth in found),
        arrays=any(schema.get("type") == "array" for schema, _ in found),
        objects=any(schema.get("type") == "object" for schema, depth in found if depth > 0),
        most=max(len(schema["properties"]) for schema in whole),
        optional=any(set(schema["properties"]) - set(schema.get("required", ())) for schema in whole),
    )


@st.composite
def _schema(draw: st.DrawFn, may: Allowed, depth: int) -> Mapping[str, Any]:
    kinds = ["leaf", "leaf"]
    if depth < may.depth:
        kinds += ["array"] * may.arrays + ["object"] * may.objects
    kind = draw(st.sampled_from(kinds))
    if kind == "array":
        return {"type": "array", "items": draw(_schema(may, depth + 1))}
    if kind == "object":
        return draw(_object(may, depth + 1))
    return dict(draw(st.sampled_from(may.leaves)))


@st.composite
def _object(draw: st.DrawFn, may: Allowed, depth: int) -> Mapping[str, Any]:
    names = draw(st.lists(st.sampled_from(_NAMES), min_size=depth and 1, max_size=may.most, unique=True))
    required = [name for name in names if not may.optional or draw(st.booleans())]
    return {
        "type": "object",
        "properties": {name: draw(_schema(may, depth + 1)) for name in names},
        "required": required,
        "additionalProperties": False,
    }


@st.composite
def _tool(draw: st.DrawFn, may: Allowed) -> Mapping[str, Any]:
    verb, noun = draw(st.sampled_from(_VERBS)), draw(st.sampled_from(_NOUNS))
    return {
        "type": "function",
        "function": {
            "name": f"{verb}_{noun}",
            "description": f"Use it to {verb} the {noun.replace('_', ' ')}, when the user asks for it.",
            "parameters": draw(_object(may, 0)),
        },
    }


def offers(profile: Profile) -> st.SearchStrategy[Example]:
    """One to three tools, and a request that the first of them be called."""
    may = allowed(profile)
    assert may is not None, "the caller has looked"
    some = st.lists(_tool(may), min_size=1, max_size=3, unique_by=lambda tool: str(tool["function"]["name"]))
    return st.builds(offer, some, st.booleans())


def offer(tools: Sequence[Mapping[str, Any]], stream: bool) -> Example:
    """These tools, and a request for the first of them."""
    name = tools[0]["function"]["name"]
    wanted = " and ".join(f"a {key}" for key in tools[0]["function"]["parameters"]["properties"])
    prompt = f"Please use {name}{f' with {wanted} of your choice' if wanted else ''}."
    return Example(prompt, stream=stream, tools=tuple(tools))


def without_parameters(tool: Mapping[str, Any], kept: Sequence[str]) -> Mapping[str, Any]:
    """The tool with only some of its parameters."""
    parameters = tool["function"]["parameters"]
    smaller = {
        **parameters,
        "properties": {name: parameters["properties"][name] for name in kept},
        "required": [name for name in parameters["required"] if name in kept],
    }
    return {**tool, "function": {**tool["function"], "parameters": smaller}}
