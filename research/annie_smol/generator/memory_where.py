"""Where a thing was put: asked in many ways, answered from memory."""

from random import Random

from research.annie_smol.generator import lexicon as lex
from research.annie_smol.generator.grammar import pick
from research.annie_smol.generator.household import Person, recall
from research.annie_smol.generator.request import AnsweredRequest


def _spot(rng: Random) -> str:
    if rng.random() < 0.4:
        return rng.choice(lex.SPOTS)
    room = rng.choice(lex.ROOMS)
    furniture = rng.choice(lex.FURNITURE)
    look = rng.choice(lex.LOOKS)
    inside = (
        "on" if furniture in {"shelf", "desk", "sideboard"} else rng.choice(["in", "in", "in", "behind", "on top of"])
    )
    return f"{inside} the {look} {furniture} in the {room}"


_WHERE = [
    "where did (I|we) (put|leave|last put|last leave|store|hide) (my|the|our) {thing}",
    "where have (I|we) put (my|the|our) {thing}",
    "(where are|where're) (my|the|our) {things}",
    "(where is|where's) (my|the|our) {single}",
    "do you know where (my|the|our) {thing} (might be|went|could be)",
    "do you know where {isare_the}",
    "(do you remember|can you remember|can you tell me|could you tell me|tell me) where I (put|left) (my|the) {thing}",
    "(can|could) you [help me] find (my|the|our) {thing} [for me]",
    "where do (we|I) keep the {thing}",
    "(any idea|have you any idea|any clue) where (my|the|our) {thing} (went|could be|might be)",
    "in which (room|drawer|box|cupboard|place) did (I|we) (put|leave) the {thing}",
    "which (drawer|box|cupboard|room) did I put (my|the) {thing} in",
    "what did I do with (my|the) {thing}",
    "where (on earth|in the world|in this house) did I (put|leave) (my|the) {thing}",
    "where did (I|we) say the {thing} (would be|went)",
    "where (was it|did you say) that I left (my|the) {thing}",
    "what did I (say|tell you) about (my|the) {thing}",
    "have I told you where the {thing} ({verb}|went)",
    "where (should|would|might|could|can) (my|the) {thing} be",
    "where can I find (my|the|our) {thing}",
]
_IS_IT = [
    "(is|are) (my|the|our) {thing} [still] {somewhere}",
    "did (I|we) (leave|put|forget) (my|the) {thing} {somewhere}",
    "are you sure (my|the) {thing} {verb} {somewhere}",
    "(wasn't|weren't) the {thing} {somewhere}",
]
_WHO_HAS = [
    "who (has|took|borrowed|used|had) (my|the|our) {thing} [last|again]",
    "who (needs|wants|asked for) the {thing}",
    "whose {thing} (is it|is that|are they)",
    "(did|has) (somebody|anybody|someone) (take|taken|borrow|borrowed) my {thing}",
    "who (did I lend|did I give) (my|the) {thing} to",
]
_WHERE_SAID = [
    "I (can't find|cannot find|can't see) (my|the|our) {thing} [again|anywhere|any more]",
    "I (have lost|lost|misplaced|'ve lost) (my|the|our) {thing} [again]",
    "I('m| am) looking for (my|the|our) {thing}",
    "I told you where I (put|left) (my|the) {thing}",
    "I need (my|the) {thing} [but I don't know where|and I can't remember where]",
    "find (my|the|our) {thing} [for me]",
    "(please|) look up where I (put|left) (my|the) {thing}",
    "check where (we|I) (keep|put|left) the {thing}",
    "my {thing} (has|have) gone missing [again]",
]
_WHERE_WHO = [
    "where did {who} (put|leave|hide) (the|our) {thing}",
    "where has {who} put the {thing}",
    "do you know where {who} (left|put) the {thing}",
    "where does {who} keep the {thing}",
    "where (did you say|was it that) {who} (put|left) the {thing}",
    "where might {of} {thing} be",
    "where (can|could) I find {of} {thing}",
    "(can|could) you find {of} {thing}",
    "do you remember where {who} (put|left) (the|that) {thing}",
]


def where(rng: Random) -> AnsweredRequest:
    """Where a thing was put."""
    thing = rng.choice(sorted(lex.THINGS))
    plural = lex.THINGS[thing]
    verb = "are" if plural else "is"
    spot = _spot(rng)
    if rng.random() < 0.25:
        person = Person(rng)
        user = pick(rng, _WHERE_WHO, who=person.who, of=person.of, thing=thing)
        query = f"{person.mine}{thing}" if f"{person.of} {thing}" in user else f"{person.query} {thing}"
        result = rng.choice(
            [
                f"{person.they} put the {thing} {spot}.",
                f"The {thing} {verb} {spot}.",
                f"{person.theirs} {thing} {verb} {spot}.",
            ]
        )
        replies = (
            [f"{person.they} put the {thing} {spot}."] * 2 if " put " in result else [f"The {thing} {verb} {spot}."]
        )
        if result.startswith(person.theirs):
            replies = [result]
        return recall(rng, "memory.where", user, query, f"the {thing}", result, replies, about=f"the {thing}")
    if rng.random() < 0.1:
        user = pick(
            rng,
            _IS_IT,
            thing=thing,
            verb=verb,
            somewhere=rng.choice(lex.SPOTS + [f"in the {room}" for room in lex.ROOMS]),
        )
        user = (
            user.replace("are my", f"{verb} my")
            .replace("is my", f"{verb} my")
            .replace("are the", f"{verb} the")
            .replace("is the", f"{verb} the")
        )
        result = f"The {thing} {verb} {spot}."
        return recall(
            rng,
            "memory.where",
            user,
            thing,
            f"your {thing}",
            result,
            [result, f"Your {thing} {verb} {spot}."],
            about=f"the {thing}",
        )
    if rng.random() < 0.06:
        user = pick(rng, _WHO_HAS, thing=thing)
        who = Person(rng)
        result = rng.choice(
            [f"{who.they} has the {thing}.", f"{who.they} borrowed the {thing}.", f"{who.they} needs the {thing}."]
        )
        return recall(rng, "memory.who", user, thing, f"your {thing}", result, [result], about=f"the {thing}")
    said = rng.random() < 0.22
    patterns = _WHERE_SAID if said else _WHERE
    if not said:
        unfit = "{single}" if plural else "{things}"
        patterns = [pattern for pattern in patterns if unfit not in pattern]
    article = rng.choice(["my", "the"])
    user = pick(
        rng, patterns, thing=thing, things=thing, single=thing, isare_the=f"{article} {thing} {verb}", verb=verb
    )
    user = user.replace("have gone missing", f"{'have' if plural else 'has'} gone missing")
    user = user.replace("has gone missing", f"{'have' if plural else 'has'} gone missing")
    the = rng.choice(["The", "Your"])
    result = rng.choice(
        [f"The {thing} {verb} {spot}."] * 4 + [f"The {thing}: {spot}.", f"You put the {thing} {spot}."]
    )
    replies = [f"{the} {thing} {verb} {spot}."] * 4 + [f"You (left) the {thing} {spot}.".replace("(left)", "put")]
    return recall(
        rng, "memory.where", user, thing, f"your {thing}", result, replies, question=not said, about=f"the {thing}"
    )
