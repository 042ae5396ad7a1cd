"""Generates questions about whom something belongs to (birthday, allergy, pet, doctor, street), with search_memory.

The request has a name or a rare word, which the query must copy exactly.
"""
# ruff: noqa: E501 - a phrase is read best on one line, and a list of words as words

from random import Random

from research.annie_smol.generator import lexicon as lex
from research.annie_smol.generator.grammar import pick
from research.annie_smol.generator.household import Person, recall
from research.annie_smol.generator.request import AnsweredRequest
from research.annie_smol.generator.titles import title


def _birthday(rng: Random, person: Person) -> tuple[str, str, str, str]:
    month = rng.choice(lex.MONTHS)
    patterns = ["whose birthday is in {m}", "who has [a] birthday in {m}", "(who|which of us) was born in {m}",
                "is there a birthday in {m}"]  # fmt: skip
    return (
        pick(rng, patterns, m=month),
        f"birthday {month}",
        f"birthdays in {month}",
        f"{person.theirs} birthday is in {month}.",
    )


def _allergy(rng: Random, person: Person) -> tuple[str, str, str, str]:
    what = rng.choice(lex.ALLERGIES)
    patterns = ["who is allergic to {w}", "(is anybody|is anyone|is somebody) allergic to {w}", "who (can't|must not) have {w}",
                "which of us is allergic to {w}"]  # fmt: skip
    user = pick(rng, patterns, w=what)
    return user, f"{what} allergy", f"an allergy to {what}", f"{person.they} is allergic to {what}."


def _favourite(rng: Random, person: Person) -> tuple[str, str, str, str]:
    x = rng.choice(sorted(lex.FAVOURITES))
    value = rng.choice(lex.FAVOURITES[x])
    patterns = ["who likes {v} (best|most|so much)", "whose favourite {x} is {v}", "who (loves|likes|asked for) {v}"]
    return (
        pick(rng, patterns, v=value, x=x),
        " ".join(value.split()[:5]),
        value,
        f"{person.they} likes {value} best.",
    )


def _titled(rng: Random, person: Person) -> tuple[str, str, str, str]:
    x, value = rng.choice(["song", "film", "book"]), title(rng)
    patterns = ["who likes [the {x}] {v} (best|most|so much)", "whose favourite {x} is {v}", "who (loves|likes|asked for|wanted) {v}",
                "what did (I|we) (say|tell you) about [the {x}] {v}", "(do you remember|can you find) who likes {v}",
                "I told you about [the {x}] {v}, who (likes|loves|wanted) it"]  # fmt: skip
    return pick(rng, patterns, v=value, x=x), value, value, f"{person.they} likes {value} best."


def _pet(rng: Random, person: Person) -> tuple[str, str, str, str]:
    pet, name = rng.choice(["puppy", "kitten"]), rng.choice(lex.PETS)
    patterns = ["whose {p} is [called] {n}", "who has (the|a) {p} [that is] called {n}", "who called (their|the) {p} {n}",
                "(do you remember|can you find) whose {p} is called {n}", "what did I (say|tell you) about {n}, the {p}"]  # fmt: skip
    user = pick(rng, patterns, p=pet, n=name)
    return user, f"{pet} {name}", f"{name} the {pet}", f"{person.theirs} {pet} is called {name}."


def _professional(rng: Random, person: Person) -> tuple[str, str, str, str]:
    job = rng.choice(["dentist", "doctor", "vet", "teacher", "hairdresser"])
    mark = rng.choice(["Mr", "Ms", "Mrs"]) if job in {"teacher", "hairdresser"} else "Dr"
    name = f"{mark} {rng.choice(lex.SURNAMES)}"
    patterns = ["whose {j} is {n}", "who (goes to|sees|has) {n}, the {j}", "who is {n}", "what did (I|we) (say|tell you) about {n}",
                "(do you remember|can you find|tell me) who {n} is", "I told you about {n}, (whose {j} is it|who goes there)"]  # fmt: skip
    user = pick(rng, patterns, j=job, n=name)
    query = f"{job} {name}" if job in user else name
    return user, query, name, f"{name} is {person.theirs.replace('Your', 'your')} {job}."


def _street(rng: Random, person: Person) -> tuple[str, str, str, str]:
    street = f"{rng.choice(lex.STREETS)} {rng.choice(['Street', 'Road', 'Lane', 'Avenue'])}"
    patterns = ["who lives in {s}", "who do (we|I) know in {s}", "whose address is in {s}", "what did I (say|tell you) about {s}",
                "(do you remember|can you find) who lives in {s}"]  # fmt: skip
    return pick(rng, patterns, s=street), street, street, f"{person.they} lives in {street}."


def _brand(rng: Random, person: Person) -> tuple[str, str, str, str]:
    noun = rng.choice(sorted(lex.BRANDS))
    value = rng.choice(lex.BRANDS[noun])
    patterns = ["who (uses|likes|buys|asked for) {v}", "what did I (say|tell you) about {v}", "(do you remember|can you find) who (likes|uses) {v}",
                "I told you about {v}, who (likes|uses|wants) it"]  # fmt: skip
    return pick(rng, patterns, v=value), value, value, f"{person.they} likes {value}."


_ASKED = {_birthday: 2, _allergy: 2, _favourite: 3, _titled: 5, _pet: 2, _professional: 3, _street: 2, _brand: 2}


def who_is(rng: Random) -> AnsweredRequest:
    """Whose it is."""
    make = rng.choices(list(_ASKED), weights=list(_ASKED.values()))[0]
    user, query, noun, result = make(rng, Person(rng))
    asks = not user.startswith("I ")
    return recall(rng, "memory.who", user, query, noun, result, [result], question=asks, about=noun)
