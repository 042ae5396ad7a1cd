"""Generates questions about what the household told before (favourites, sizes, names, codes), with search_memory."""
# ruff: noqa: E501 - a phrase is read best on one line, and a list of words as words

from random import Random

from research.annie_smol.generator import lexicon as lex
from research.annie_smol.generator.grammar import pick
from research.annie_smol.generator.household import Person, recall
from research.annie_smol.generator.memory_recipes import recipe
from research.annie_smol.generator.memory_where import where
from research.annie_smol.generator.memory_who import who_is
from research.annie_smol.generator.phrases import table
from research.annie_smol.generator.request import AnsweredRequest
from research.annie_smol.generator.titles import title

_TABLES = table("memory")
_FAVOURITE: list[str] = _TABLES["favourite"]
_LIKES: list[str] = _TABLES["likes"]


_VERBS: dict[str, str] = _TABLES["verbs"]


def favourite(rng: Random) -> AnsweredRequest:
    """A question about a favourite thing."""
    x = rng.choice(sorted(lex.FAVOURITES))
    value = title(rng) if x in {"song", "film", "book"} and rng.random() < 0.6 else rng.choice(lex.FAVOURITES[x])
    person = Person(rng, us=0.1)
    spelled = "favourite"
    if person.who == "I" or rng.random() < 0.6:
        user = pick(rng, _FAVOURITE, of=person.of, x=x)
        spelled = "favorite" if "favorite" in user else "favourite"
        query = f"{person.mine}{spelled} {x}"
    else:
        patterns = [
            *_LIKES,
            *(
                f"{head} {{x}} does {{who}} {tail} {_VERBS[x]}"
                for head in ("what", "which")
                for tail in ("like to", "usually", "always", "love to")
            ),
        ]
        user = pick(rng, patterns, who=person.who, x=x)
        query = f"{person.query} favourite {x}"
    if x == "ice cream" and rng.random() < 0.5:
        value += " ice cream"
    plural_ok = x in {"flower"}
    copula = "are" if plural_ok and value.endswith("s") and rng.random() < 0.2 else "is"
    result = f"{person.theirs} favourite {x} {copula} {value}."
    like = "like" if person.they == "You" else "likes"
    if rng.random() < 0.2:
        result = f"{person.they} {like} {value} best."
        replies = [result]
    else:
        replies = [f"{person.theirs} favourite {x} {copula} {value}."] * 3 + [
            f"It's {value}.",
            f"{person.they} {like} {value} best.",
        ]
    question = not user.startswith(("I ", "I'"))
    noun = f"{person.theirs.replace('Your', 'your')} favourite {x}"
    return recall(rng, "memory.favourite", user, query, noun, result, replies, question=question)


def _fact(
    rng: Random,
    family: str,
    person: Person,
    patterns: list[str],
    noun: str,
    value: str,
    query: str = "",
    verb: str = "is",
) -> AnsweredRequest:
    """`noun` is what a person has: a shoe size, a doctor."""
    user = pick(rng, patterns, of=person.of, who=person.who, does=person.does, noun=noun)
    query = query or f"{person.mine}{noun}"
    result = f"{person.theirs} {noun} {verb} {value}."
    full = f"{person.theirs} {noun} {verb} {value}."
    replies = [full, full, full, f"It's {value}."] if verb == "is" else [full]
    question = not user.startswith(("I ", "I'"))
    return recall(
        rng, family, user, query, f"{person.theirs.replace('Your', 'your')} {noun}", result, replies, question=question
    )


_WHAT: list[str] = _TABLES["what"]


def date_of(rng: Random) -> AnsweredRequest:
    """When somebody's birthday or anniversary is."""
    person = Person(rng, us=0.06)
    noun = rng.choice(["birthday", "birthday", "birthday", "anniversary"])
    if noun == "anniversary" and rng.random() < 0.5:
        person.who, person.of, person.query, person.mine, person.theirs = "we", "our", "", "", "Your"
    value = f"on the {rng.choice(lex.ORDINALS)} of {rng.choice(lex.MONTHS)}"
    patterns = [
        "(when is|when's|when was) {of} {noun} [again]",
        "(when is|when's) {of} {noun} [this year]",
        "(what|which) (day|date) is {of} {noun} [on]",
        "(do you know|do you remember|tell me|can you tell me|remind me) when {of} {noun} is",
        "(which|what) month is {of} {noun} in",
        "did I tell you when {of} {noun} is",
        "is {of} {noun} (soon|this month|in May|in summer|next week)",
        "what did I say about {of} {noun}",
        "I (forgot|can't remember) when {of} {noun} is",
    ]
    return _fact(rng, "memory.date", person, patterns, noun, value)


def size(rng: Random) -> AnsweredRequest:
    """Shoe, shirt and ring sizes."""
    person = Person(rng, us=0.08)
    noun = rng.choice(sorted(lex.SIZES))
    value = rng.choice(lex.SIZES[noun])
    worn = {"shoe size": "shoes", "shirt size": "shirt", "ring size": "ring"}[noun]
    wears = "do I" if person.who == "I" else f"does {person.who}"
    patterns = [
        *_WHAT,
        f"what size (of |){worn} {wears} (wear|take|need|have)",
        f"(which|what) {noun} {wears} (have|need|take)",
        f"what size are {{of}} {worn}" if worn == "shoes" else f"what size is {{of}} {worn}",
    ]
    return _fact(rng, "memory.size", person, patterns, noun, value)


def allergy(rng: Random) -> AnsweredRequest:
    """What somebody must not eat or touch."""
    person = Person(rng, us=0.05)
    value = rng.choice(lex.ALLERGIES)
    am = "am I" if person.who == "I" else f"is {person.who}"
    patterns = [
        f"what {am} allergic to [again]",
        f"{am} allergic to (anything|nuts|something|cats|eggs)",
        "what('s| is) {of} allergy",
        "(does {who} have|has {who} got) (an allergy|any allergies|allergies)".replace(
            "does {who} have", "{does} {who} have"
        )
        if person.who != "I"
        else "do I have (an allergy|any allergies)",
        "do you remember {of} allergy",
        "what did I (say|tell you) about {of} allergy",
        f"what can {person.who} not eat because of {'an' if person.who != 'I' else 'my'} allergy",
    ]
    user = pick(rng, patterns, of=person.of, who=person.who, does=person.does)
    be = "are" if person.they == "You" else "is"
    result = f"{person.they} {be} allergic to {value}."
    query = f"{person.mine}allergy" if person.mine and "'s" in user else f"{person.query} allergy".strip()
    noun = "allergies" if person.who == "I" else f"{person.theirs.replace('Your', 'your')} allergies"
    return recall(rng, "memory.allergy", user, query, noun, result, [result], about=f"{person.mine or 'an '}allergy")


def contact(rng: Random) -> AnsweredRequest:
    """Phone numbers and addresses."""
    person = Person(rng)
    if rng.random() < 0.5:
        value = " ".join(lex.in_words(rng.randrange(10)) for _ in range(6))
        return _fact(
            rng,
            "memory.contact",
            person,
            [*_WHAT, "what number do I (call|ring) to reach {who}"],
            "phone number",
            value,
        )
    value = f"{rng.randint(2, 98)} {rng.choice(lex.STREETS)} {rng.choice(['Street', 'Road', 'Lane', 'Avenue'])}"
    return _fact(
        rng,
        "memory.contact",
        person,
        [*_WHAT, "(where|in which street) does {who} live", "what address does {who} have"],
        "address",
        value,
    )


_CALLED: dict[str, str] = _TABLES["called"]


def called(rng: Random) -> AnsweredRequest:
    """What the doctor, the teacher or the puppy is called."""
    if rng.random() < 0.4:
        pet = rng.choice(["puppy", "kitten"])
        name = rng.choice(lex.PETS)
        person = Person(rng)
        household = rng.random() < 0.45
        of = rng.choice(["our", "the", "my"]) if household else person.of
        mine = "" if household else person.mine
        user = pick(
            rng,
            [
                "(what's|what is|what was) {of} {pet} called [again]",
                "what('s| is) the name of {of} {pet}",
                "(what's|what is) {of} {pet}'s name",
                "do you (know|remember) {of} {pet}'s name",
                "what did (we|I) (call|name) {of} {pet}" if household else "what did {who} (call|name) the {pet}",
                "what did I (say|tell you) about {of} {pet}",
                "I (forgot|can't remember) the name of {of} {pet}",
                "can you tell me what {of} {pet} is called",
            ],
            of=of,
            pet=pet,
            who=person.who,
        )
        if not household and person.of not in user:
            query = f"{person.query} {pet} name"
        else:
            query = f"{mine}{pet} name" if "about" not in user else f"{mine}{pet}"
        owner = "The" if household else person.theirs
        result = rng.choice([f"{owner} {pet} is called {name}.", f"{owner} {pet}'s name is {name}."])
        replies = [f"{owner} {pet} is called {name}."] * 2 + [f"{owner} {pet}'s name is {name}."]
        question = not user.startswith("I ")
        noun = f"{owner.lower() if owner in {'The'} else owner.replace('Your', 'your')} {pet}"
        return recall(rng, "memory.called", user, query, noun, result, replies, question=question)
    job = rng.choice(sorted(_CALLED))
    person = Person(rng, us=0.35)
    of = rng.choice(["my", "our", "the"]) if person.who == "I" else person.of
    title = rng.choice(["Mr", "Ms", "Mrs"]) if job in {"teacher", "hairdresser"} else "Dr"
    value = f"{title} {rng.choice(lex.SURNAMES)}"
    user = pick(
        rng,
        [
            "(what's|what is|what was) the name of {of} {job} [again]",
            "(who is|who's|who was) {of} {job} [again]",
            "(what's|what is) {of} {job} called",
            "what('s| is) {of} {job}'s name",
            "(do you know|do you remember|tell me|can you find) (the name of {of} {job}|{of} {job}'s name)",
            "which {job} (do we|do I) (use|go to|see|have)"
            if person.who == "I"
            else "which {job} does {who} (use|go to|see|have)",
            "what did I (say|tell you) about {of} {job}",
            "I (forgot|need|can't remember|told you) (the name of {of} {job}|{of} {job}'s name)",
        ],
        of=of,
        job=job,
        who=person.who,
    )
    query = f"{person.mine}{job}"
    if person.query and person.of not in user:
        query = f"{person.query} {job}"
    if " name" in user:
        query += " name"
    owner = rng.choice(["Your", "The"]) if person.who == "I" else person.theirs
    result = rng.choice([f"{owner} {job} is {value}.", f"{owner} {job} is called {value}."])
    replies = [f"{owner} {job} is {value}."] * 2 + [f"{owner} {job} is called {value}."]
    noun = f"{owner.lower() if owner in {'The', 'Your'} else owner.replace('Your', 'your')} {job}"
    return recall(rng, "memory.called", user, query, noun, result, replies, question=not user.startswith("I "))


def uses(rng: Random) -> AnsweredRequest:
    """Which guitar strings, coffee, perfume or shoes somebody uses."""
    noun = rng.choice(sorted(lex.BRANDS))
    person = Person(rng, us=0.15)
    value = rng.choice(lex.BRANDS[noun])
    does = "do I" if person.who == "I" else f"does {person.who}"
    verb = {"guitar strings": "use", "coffee": "drink", "perfume": "wear", "running shoes": "wear"}[noun]
    user = pick(
        rng,
        [
            f"(which|what) {{noun}} {does} ({verb}|use|like|buy|need|want)",
            f"what (kind|brand|sort|type|make) of {{noun}} {does} ({verb}|use|like|buy|need)",
            "do you (know|remember) {of} {noun}",
            f"which {{noun}} (should|can) I (buy|get|order) for {'me' if person.who == 'I' else person.who}"
            if person.who != "I"
            else "which {noun} (should|did) I (buy|get|order) [last time]",
            "what did I (say|tell you) about {of} {noun}",
            "(what's|what is) the name of {of} {noun}"
            if noun in {"coffee", "perfume"}
            else "what are {of} {noun} called",
            "can you find the {noun} that {who} (uses|likes|needs)"
            if person.who != "I"
            else "can you find the {noun} that I (use|like|need)",
        ],
        noun=noun,
        of=person.of,
        who=person.who,
    )
    query = f"{person.mine}{noun}" if person.mine and person.of in user else f"{person.query} {noun}".strip()
    s = "" if person.they == "You" else "s"
    result = rng.choice(
        [f"{person.they} use{s} {value}.", f"{person.they} like{s} {value}.", f"{person.they} buy{s} {value}."]
    )
    copula = "are" if noun in {"guitar strings", "running shoes"} else "is"
    replies = [result, result, f"{person.theirs} {noun} {copula} {value}."]
    noun_said = f"{person.theirs.replace('Your', 'your')} {noun}"
    return recall(rng, "memory.uses", user, query, noun_said, result, replies)


_HOUSE: dict[str, list[str]] = _TABLES["house"]
_HOUSE_MORE: list[str] = _TABLES["house_more"]


def house(rng: Random) -> AnsweredRequest:
    """Codes, passwords, the parking space and bin day."""
    noun = rng.choice(sorted(_HOUSE))
    user = pick(rng, [*_HOUSE[noun] * 2, *_HOUSE_MORE], noun=noun)
    if noun == "wifi password":
        value = f"{rng.choice(lex.PETS).lower()} {rng.choice(lex.STREETS).lower()} {lex.in_words(rng.randint(1, 99))}"
    elif noun in {"door code", "locker code"}:
        value = " ".join(lex.in_words(rng.randrange(10)) for _ in range(4))
    elif noun == "parking space":
        value = f"number {lex.in_words(rng.randint(2, 99))}"
    else:
        value = rng.choice(lex.DAYS)
    the = "The" if noun not in {"parking space"} else "Your"
    name = noun if noun != "bin day" else "Bin day"
    result = f"Bin day is {value}." if noun == "bin day" else f"{the} {noun} is {value}."
    replies = [result, result, f"It's {value}."] if noun != "bin day" else [result, f"Bin day is on {value}."]
    question = not user.startswith("I ")
    return recall(
        rng, "memory.house", user, noun, f"the {noun}", result, replies, question=question, about=f"the {name.lower()}"
    )


FAMILIES = {
    where: 10, favourite: 5, date_of: 3, size: 2, allergy: 2, contact: 2, called: 4, uses: 3, house: 4, recipe: 4, who_is: 6,
}  # fmt: skip


def memory(rng: Random) -> AnsweredRequest:
    """One request that search_memory answers."""
    family = rng.choices(list(FAMILIES), weights=list(FAMILIES.values()))[0]
    return family(rng)
