"""Generates questions about everyday things ("tell me about", "what is", "why", "how do I") with short answers."""
# ruff: noqa: E501 - a phrase is read best on one line, and a list of words as words

from random import Random

from research.annie_smol.generator.grammar import pick, sentence
from research.annie_smol.generator.phrases import table
from research.annie_smol.generator.request import AnsweredRequest

_TABLES = table("topics")
# topic -> facts, each one finished sentence; any one to three of them make an answer
TOPICS: dict[str, list[str]] = _TABLES["topics"]

_WHY: dict[str, list[tuple[str, str]]] = {
    topic: [(why, because) for why, because in of] for topic, of in _TABLES["why"].items()
}

_ABOUT: list[str] = _TABLES["about"]
_WHAT_IS: list[str] = _TABLES["what_is"]
_WHAT_ARE: list[str] = _TABLES["what_are"]

HOW_TO: dict[str, list[str]] = _TABLES["how_to"]
_HOW: list[str] = _TABLES["how"]


def about(rng: Random) -> AnsweredRequest:
    """Tell me about, and what is."""
    topic = rng.choice(sorted(TOPICS))
    patterns = _ABOUT
    if rng.random() < 0.3:
        plural = topic.endswith("s")
        patterns = _WHAT_ARE if plural else _WHAT_IS
    user = pick(rng, patterns, topic=topic)
    asks = user.split()[0] in {"what", "what's", "do", "can", "could", "why"}
    facts = TOPICS[topic]
    count = rng.choice([1, 1, 2, 2, 2, 3])
    chosen = [facts[0], *rng.sample(facts[1:], count - 1)] if rng.random() < 0.7 else rng.sample(facts, count)
    reply = " ".join(sorted(chosen, key=facts.index))
    thought = pick(
        rng,
        [
            "A question about {topic}. A few plain sentences will do.",
            "I say something short about {topic}.",
            "{topic}: I know enough about that.",
            "No tool is needed. I tell a little about {topic}.",
        ],
        topic=topic,
    )
    return AnsweredRequest("topics.about", user, _lead(reply, topic), sentence(thought), question=asks)


def _lead(reply: str, topic: str) -> str:
    """Replace a pronoun at the start of an answer, where it would have no reference."""
    first = reply.split()[0]
    if first in {"They", "It", "It's", "Its"}:
        name = sentence(topic, "")
        if first == "They":
            return name + reply[4:]
        if first == "It's":
            return f"{name} is{reply[4:]}"
        if first == "It":
            return name + reply[2:]
        return f"About {topic}: {reply[:1].lower() + reply[1:]}"
    return reply


def why(rng: Random) -> AnsweredRequest:
    """A "why" question, such as why cats purr."""
    topic = rng.choice(sorted(_WHY))
    clause, answer = rng.choice(_WHY[topic])
    clause = pick(rng, [clause])
    subject_first = pick(
        rng,
        ["why is it that {clause}", "do you know why {clause}", "(can you|could you) (tell me|explain) why {clause}", "(tell me|explain|I wonder) why {clause}",
         "my (son|daughter|brother) asks why {clause}", "what is the reason that {clause}", "how come {clause}"],
        clause=clause,
    )  # fmt: skip
    user = subject_first
    words = clause.split()
    if rng.random() < 0.4 and topic.endswith("s") and words[0] == topic and words[1] not in {"don't", "hide"}:
        user = f"why do {clause}"
    elif " is " in clause and rng.random() < 0.5:
        subject, rest = clause.split(" is ", 1)
        user = f"why is {subject} {rest}"
    asks = not user.startswith(("tell", "explain", "I ", "my "))
    thought = pick(
        rng,
        [
            "A why question about {topic}. One reason is enough.",
            "I know why. I say it simply.",
            "The reason is short.",
        ],
        topic=topic,
    )
    return AnsweredRequest("topics.why", user, answer, sentence(thought), question=asks)


def how_to(rng: Random) -> AnsweredRequest:
    """A "how do I" question, answered in one to three sentences without numbered steps."""
    task = rng.choice(sorted(HOW_TO))
    user = pick(rng, _HOW, do=pick(rng, [task]))
    asks = user.split()[0] in {"how", "what", "what's", "can", "could", "any", "is"} or "how does" in user
    thought = rng.choice(
        [
            "I explain it in one or two plain sentences.",
            "A how question. No list, only a sentence or two.",
            "I know how that is done. I keep it short.",
        ]
    )
    return AnsweredRequest("topics.how", user, rng.choice(HOW_TO[task]), thought, question=asks)


FAMILIES = {about: 5, why: 3, how_to: 4}


def topic(rng: Random) -> AnsweredRequest:
    """One question about everyday things."""
    return rng.choices(list(FAMILIES), weights=list(FAMILIES.values()))[0](rng)
