"""The people of the household, and the common part of all search_memory exchanges."""

from random import Random

from research.annie_smol.generator import lexicon as lex
from research.annie_smol.generator.grammar import pick, sentence
from research.annie_smol.generator.phrases import table
from research.annie_smol.generator.request import AnsweredRequest

_TABLES = table("household")
_FOUND: list[str] = _TABLES["found"]
_AFTER: list[str] = _TABLES["after"]
_AFTER_NOTHING: list[str] = _TABLES["after_nothing"]
_SORRY: list[str] = _TABLES["sorry"]


class Person:
    """A person of the household: `who` is the subject, `of` the possessive, and both in the form used in queries."""

    def __init__(self, rng: Random, *, us: float = 0.0) -> None:
        draw = rng.random()
        if draw < us:
            self.who, self.of, self.query, self.theirs, self.does = "I", "my", "", "Your", "do"
        elif draw < us + 0.5:
            name = rng.choice(lex.NAMES)
            self.who, self.of, self.query, self.theirs, self.does = name, f"{name}'s", name, f"{name}'s", "does"
        elif draw < us + 0.62:
            name = rng.choice(lex.PARENTS)
            self.who, self.of, self.query, self.theirs, self.does = name, f"{name}'s", name, f"{name}'s", "does"
        else:
            kin = rng.choice(lex.RELATIONS)
            article = rng.choice(["my", "my", "my", "our"])
            self.who, self.of, self.query = f"{article} {kin}", f"{article} {kin}'s", kin
            self.theirs, self.does = f"Your {kin}'s", "does"
        #: the possessive in a query; empty for oneself
        self.mine = f"{self.query}'s " if self.query else ""
        #: subject of an answer
        self.they = "You" if self.who == "I" else self.theirs[:-2]


def recall(
    rng: Random,
    family: str,
    user: str,
    query: str,
    noun: str,
    result: str,
    replies: list[str],
    *,
    question: bool = True,
    about: str = "",
) -> AnsweredRequest:
    """An exchange whose answer is in memory; in one of twelve cases nothing is found."""
    nothing = rng.random() < 0.085
    about = about or noun
    thought = pick(
        rng,
        [
            "This is about {about}. [The family may have told me, so] I (search|look in) memory.",
            "{about}: something the family told me. I search my memory.",
            "A question about {about}. I (look|check) what I was told.",
            "Only the family knows this. I search for {about}.",
            "I need to look up {about} in memory.",
            "Where things are and who likes what is in memory. I look there for {about}.",
        ],
        about=about,
    )
    if nothing:
        result = rng.choice(["Nothing found."] * 3 + ["No results.", "Nothing found about this."])
        reply = pick(rng, _SORRY, noun=noun)
        after = rng.choice(_AFTER_NOTHING)
    else:
        reply = rng.choice(replies)
        if rng.random() < 0.15:
            reply = rng.choice(_FOUND) + reply
        after = rng.choice(_AFTER)
    return AnsweredRequest(
        family,
        user,
        reply,
        sentence(thought),
        ("search_memory", query),
        result,
        after,
        question,
    )
