"""Tables of simple facts: the calendar, animals, colours, the body, the earth and the sky, opposites."""

from research.annie_smol.generator.phrases import table

_FACTS = table("facts")
#: wordings of a question -> wordings of its answer
TABLE: list[tuple[list[str], list[str]]] = [(fact["questions"], fact["answers"]) for fact in _FACTS["facts"]]
YOUNG: dict[str, str] = _FACTS["young"]
#: thing -> "is" or "are", and its colour
COLOURS: dict[str, tuple[str, str]] = {thing: (verb, colour) for thing, (verb, colour) in _FACTS["colours"].items()}
OPPOSITES: dict[str, str] = _FACTS["opposites"]
BOTH_WAYS: dict[str, str] = _FACTS["both_ways"]
