"""Generates questions about recipes of the household, with search_memory."""

from random import Random

from research.annie_smol.generator import lexicon as lex
from research.annie_smol.generator.grammar import pick
from research.annie_smol.generator.household import Person, recall
from research.annie_smol.generator.request import AnsweredRequest


def recipe(rng: Random) -> AnsweredRequest:
    """How somebody makes a dish."""
    dish = rng.choice(sorted(lex.RECIPES))
    how = rng.choice(lex.RECIPES[dish])
    person = Person(rng)
    user = pick(
        rng,
        [
            "(what's|what is|what was) {of} recipe for {dish}",
            "(what's|what is|what was) {of} {dish} recipe",
            "(can|could) you (find|look up|tell me|get) {of} (recipe for {dish}|{dish} recipe)",
            "how (does|did) {who} make (the|that) {dish}",
            "how does {who} (usually|always) make {dish}",
            "what makes {of} {dish} so good",
            "which (things|ingredients) does {who} use for (the|that) {dish}",
            "what (does|did) {who} put (in|into) the {dish}",
            "what (is|goes|was) in {of} {dish}",
            "do you (remember|know|have) {of} (recipe for {dish}|{dish} recipe)",
            "I('d like| want| need) {of} (recipe for {dish}|{dish} recipe)",
            "what did I (say|tell you) about {of} (recipe for {dish}|{dish})",
            "I told you how {who} makes {dish}",
        ],
        of=person.of,
        who=person.who,
        dish=dish,
    )
    if rng.random() < 0.15:
        user = pick(
            rng,
            [
                "how did (we|I) make (the|our) {dish} [last time|last year|at Christmas]",
                "what (did we|did I|do we) put in (the|our) {dish}",
                "do you remember (our|the family) recipe for {dish}",
                "what('s| is) our recipe for {dish}",
                "find (our|the) {dish} recipe",
                "can you find the recipe for (the|our) {dish}",
            ],
            dish=dish,
        )
        query = f"{dish} recipe" if "recipe" in user else dish
        result = f"The {dish} {'are' if dish == 'pancakes' else 'is'} made {how}."
        return recall(
            rng,
            "memory.recipe",
            user,
            query,
            f"the {dish}",
            result,
            [result],
            question=not user.startswith("find"),
            about=f"the {dish}",
        )
    if "recipe" in user:
        query = f"{person.mine}{dish} recipe" if len(f"{person.mine}{dish}".split()) < 5 else f"{person.mine}{dish}"
        if f"recipe for {dish}" in user and rng.random() < 0.5 and len(dish.split()) == 1:
            query = f"{person.mine}recipe for {dish}"
    elif person.of in user:
        query = f"{person.mine}{dish}"
    else:
        query = f"{person.query} {dish}"
    result = f"{person.they} makes the {dish} {how}."
    replies = [f"{person.they} makes the {dish} {how}."] * 2 + [f"{person.theirs} {dish} is made {how}."]
    if dish == "pancakes":
        replies = replies[:2]
    question = not user.startswith("I")
    noun = f"{person.theirs.replace('Your', 'your')} recipe"
    return recall(
        rng, "memory.recipe", user, query, noun, result, replies, question=question, about=f"{person.mine}{dish}"
    )
