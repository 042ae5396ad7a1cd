"""Generates small talk: greetings, thanks, moods, events, jokes, stories, wishes, advice, questions about Annie."""
# ruff: noqa: E501 - a phrase is read best on one line, and a list of words as words

from random import Random

from research.annie_smol.generator import lexicon as lex
from research.annie_smol.generator import talk_phrases as phrases
from research.annie_smol.generator.grammar import pick
from research.annie_smol.generator.request import AnsweredRequest


def _from(rng: Random, family: str, table: list[phrases.Phrases]) -> AnsweredRequest:
    patterns, question, answers = rng.choice(table)
    name, thing = rng.choice(lex.NAMES), rng.choice(sorted(lex.THINGS))
    if any("{thing} (has|have)" in p or "new {thing}" in p for p in patterns):
        thing = rng.choice(
            [t for t, plural in sorted(lex.THINGS.items()) if not plural and t not in {"medicine", "cat food", "tape"}]
        )
    user = pick(rng, patterns, name=name, thing=thing, day=rng.choice(lex.DAYS)).replace("the has", "the")
    user = user.replace(f"{thing} have turned", f"{thing} has turned")
    reply = pick(rng, answers, name=name)
    if user.startswith(("how", "did", "are", "what", "who", "do ", "can", "is ", "where")):
        question = True
    elif question:
        question = not user.startswith(("tell", "say", "please", "I ", "come"))
    return AnsweredRequest(family, user, reply, rng.choice(phrases.THOUGHT), question=question)


def greeting(rng: Random) -> AnsweredRequest:
    """Hello, goodbye, and how are you."""
    return _from(rng, "talk.greeting", phrases.GREETINGS)


def manners(rng: Random) -> AnsweredRequest:
    """Thanks, praise, sorry, forget it."""
    return _from(rng, "talk.manners", phrases.MANNERS)


def about_annie(rng: Random) -> AnsweredRequest:
    """Who are you, what can you do."""
    return _from(rng, "talk.annie", phrases.ABOUT_ANNIE)


def mood(rng: Random) -> AnsweredRequest:
    """I'm tired, bored, sad …"""
    return _from(rng, "talk.mood", phrases.MOODS)


def event(rng: Random) -> AnsweredRequest:
    """Small events, often about subjects of the tools, without a question."""
    return _from(rng, "talk.event", phrases.EVENTS)


def joke(rng: Random) -> AnsweredRequest:
    """A joke."""
    user = pick(rng, ["tell (me|us) a [good|short|funny|silly] joke [about an animal|about animals|about food|please]", "(do you know|have you got) a [good|short] joke",
                      "make me laugh", "(can|could) you (tell|give) me a joke", "I want to hear a joke", "say something funny", "another joke [please]",
                      "I need a (joke|laugh)", "got any jokes", "cheer me up with a joke"])  # fmt: skip
    return AnsweredRequest(
        "talk.joke",
        user,
        rng.choice(phrases.JOKES),
        "A joke is wanted. I pick a short one.",
        question=user.startswith(("do", "have", "can", "could", "got")),
    )


def story(rng: Random) -> AnsweredRequest:
    """A short story about one or two animals, even if a long one is requested."""
    a, b = rng.sample(phrases.ANIMALS, 2)
    two = rng.random() < 0.5
    subject = f"a {a} and a {b}" if two else f"a {a}"
    user = pick(
        rng,
        ["(tell|read) (me|us) a [short|little|long|very long|bedtime] story about {subject}", "(can|could) you tell (me|us) a story about {subject}",
         "I('d like| want) a [long|bedtime|short] story about {subject}", "make up a story (about|with) {subject}", "a story about {subject}, please",
         "once upon a time there was {subject}, (how does it go on|go on|tell me more)", "do you know a story about {subject}",
         "tell me a (long|really long|bedtime) story (about|with) {subject} and all the details"],
        subject=subject,
    ).replace("I 'd", "I'd")  # fmt: skip
    did, end = rng.choice(phrases.STORY_DO)
    opening = pick(rng, ["Once, {hero} {did}, {end}", "One day {hero} {did}, {end}", "There was {hero} that {did}, {end}"],
                   hero=rng.choice(phrases.STORY_A).format(a=a), did=did, end=end.format(b=b))  # fmt: skip
    return AnsweredRequest(
        "talk.story",
        user,
        opening,
        f"A story about {subject}. Two or three sentences are enough.",
        question=user.startswith(("can", "could", "do", "once")),
    )


def compliment(rng: Random) -> AnsweredRequest:
    """A compliment."""
    user = pick(rng, ["(give|pay|make) me a compliment", "say something (nice|kind|sweet) [to me]", "(can|could) you (say something nice|pay me a compliment|give me a compliment)",
                      "I need a (compliment|kind word)", "tell me something nice about me", "say something nice (to|about) {name}"], name=rng.choice(lex.NAMES))  # fmt: skip
    return AnsweredRequest(
        "talk.compliment",
        user,
        rng.choice(phrases.COMPLIMENTS),
        "A kind word is wanted.",
        question=user.startswith(("can", "could")),
    )


def wish(rng: Random) -> AnsweredRequest:
    """A good wish for a named person."""
    kind, name = rng.choice(sorted(phrases.WISHES)), rng.choice(lex.NAMES)
    patterns = {
        "birthday": ["(wish|say) (a|) happy birthday to {name}", "it's {name}'s birthday, (say something|wish {name} well)", "a birthday wish for {name}[, please]"],
        "luck": ["wish {name} [good] luck", "{name} has a test (today|tomorrow), wish {name} luck", "(can you|please) wish {name} luck for (school|the match|the race)"],
        "health": ["{name} is ill, (say something nice|wish {name} well)", "a get well wish for {name}", "(can you|please) tell {name} to get well"],
        "journey": ["{name} is leaving (today|tomorrow), wish {name} a good trip", "a good wish for {name}'s (journey|holiday|trip)"],
        "wedding": ["{name} is getting married, (say something nice|wish {name} well)", "a wish for {name}'s wedding"],
    }[kind]  # fmt: skip
    user = pick(rng, patterns, name=name).replace("wish a happy birthday to", "wish a happy birthday to")
    return AnsweredRequest(
        "talk.wish",
        user,
        rng.choice(phrases.WISHES[kind]).format(name=name),
        f"A good wish for {name}.",
        question=user.startswith("can"),
    )


def advice(rng: Random) -> AnsweredRequest:
    """Which of two, what to cook, what to do."""
    questions, answers = rng.choice(
        [*phrases.ADVICE, phrases.COOK, phrases.COOK, phrases.COOK, phrases.DO, phrases.DO]
    )
    user = pick(rng, questions, name=rng.choice(lex.NAMES))
    thought = rng.choice(
        [
            "A little advice is wanted. One idea is enough.",
            "I give one good idea.",
            "Two things to choose from. I pick one.",
        ]
        if questions not in (phrases.COOK[0], phrases.DO[0])
        else ["I give one good idea.", "An idea is wanted. I name one or two."]
    )
    return AnsweredRequest(
        "talk.advice", user, rng.choice(answers), thought, question=not user.startswith(("I ", "give"))
    )


def thinking(rng: Random) -> AnsweredRequest:
    """Questions about thinking, think tags or prompts."""
    made = _from(rng, "talk.thinking", phrases.THINKING)
    thought = rng.choice(
        [
            "A question about thinking itself. I explain it in plain words.",
            "This is about how I work. One plain sentence will do.",
            "I explain it simply, without any tag.",
        ]
    )
    return AnsweredRequest(made.family, made.user, made.reply, thought, question=made.question)


def broken_off(rng: Random) -> AnsweredRequest:
    """A sentence that stops before anything is asked."""
    user = pick(rng, ["{part}", "{part} um", "{part} uh", "{part}, hmm", "{part}…"], part=pick(rng, phrases.BROKEN))
    reply = pick(rng, ["I'm sorry, I didn't catch the end. (What would you like to know|What can I do for you)?", "Sorry, I missed the rest. (Could you say it again|What did you want to ask)?",
                       "Go on, I'm listening. What would you like?", "I heard only half of that. What do you need?"])  # fmt: skip
    return AnsweredRequest("talk.broken", user, reply, "The sentence breaks off. I ask for the rest.", question=False)


SMALL = {
    manners: 4,
    about_annie: 3,
    mood: 4,
    event: 6,
    joke: 2,
    story: 3,
    compliment: 1,
    wish: 2,
    advice: 4,
    thinking: 3,
    broken_off: 1,
}


def small_talk(rng: Random) -> AnsweredRequest:
    """Any of these except greetings."""
    return rng.choices(list(SMALL), weights=list(SMALL.values()))[0](rng)
