"""Derives from a reply in the data what a good answer to the same prompt is, as a scenario's `expect`.

If the reply has no call, none is allowed. If it has a call, the same tool is required, with the same numbers, and for
each text argument the names in it, or else one of its longer words: the model may word a query differently, but must
not search for something else.
"""

import json
from collections.abc import Sequence
from typing import Any

from annie_data.conversation import Message
from annie_data.words import STOPWORDS, words


def expectation(replies: Sequence[Message]) -> dict[str, Any]:
    """`expect` of a scenario for the first of the replies to the last request."""
    calls = replies[0].get("tool_calls") or []
    wanted = []
    for call in calls:
        arguments = json.loads(call["function"]["arguments"])
        checks = {name: check for name, value in arguments.items() if (check := _check(value)) is not None}
        wanted.append({"name": call["function"]["name"], **({"arguments": checks} if checks else {})})
    return {"calls": wanted}


def _check(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, list | dict):
        return None
    if isinstance(value, int | float):
        return {"number": value}
    names = [word.removesuffix("'s") for word in value.split() if word[:1].isupper() and words(word)]
    names = [name for name in names if name.lower() not in STOPWORDS]
    if names:
        return {"contains": names}
    longer = [word for word in words(value) if len(word) > 3 and word not in STOPWORDS] or words(value)
    return {"contains_any": longer} if longer else None
