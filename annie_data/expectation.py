"""What a good answer to a training prompt is, read off the reply that stands in the data, as a scenario's `expect`.

A reply without a call: none is wanted. A call: the same tool, with the same numbers, and of each text the names in it,
or else one of its longer words: the model may word a query otherwise, but not look for something else.
"""

import json
from collections.abc import Sequence
from typing import Any

from annie_data.conversation import Message
from annie_data.words import STOPWORDS, words


def expectation(replies: Sequence[Message]) -> dict[str, Any]:
    """`expect` of a scenario for the first of some replies to the last request."""
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
