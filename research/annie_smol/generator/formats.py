"""Lists, tables, bold, emoji, code and links are asked for; plain sentences are given."""
# ruff: noqa: E501, SIM905 - a phrase is read best on one line, and a list of words as words

from random import Random

from research.annie_smol.generator import topics
from research.annie_smol.generator.grammar import pick, sentence
from research.annie_smol.generator.request import AnsweredRequest

# what is listed -> (its things, ways to begin a sentence that names some)
LISTS: dict[str, tuple[list[str], list[str]]] = {
    "fruits": ("apples pears plums cherries bananas oranges grapes strawberries peaches lemons kiwis raspberries melons".split(), ["Some good fruits are {x}.", "You could have {x}.", "Fruits that many like are {x}."]),
    "vegetables": ("carrots potatoes tomatoes peas beans onions leeks cabbage spinach peppers cucumbers pumpkins".split(), ["Some vegetables are {x}.", "There are {x}, for example.", "You could cook {x}."]),
    "animals": ("dogs cats horses cows sheep pigs bears elephants lions giraffes rabbits foxes camels".split(), ["Some animals are {x}.", "There are {x}, and many more.", "I like {x}."]),
    "pets": ("dogs cats rabbits hamsters goldfish canaries guinea-pigs tortoises parrots".split(), ["Good pets are {x}.", "Many people keep {x}.", "You could have {x}."]),
    "birds": ("robins sparrows blackbirds swans ducks owls eagles swallows gulls storks crows".split(), ["Some birds are {x}.", "You may see {x}.", "There are {x}, for example."]),
    "flowers": ("roses tulips daisies lilies sunflowers violets daffodils poppies bluebells".split(), ["Some lovely flowers are {x}.", "You could plant {x}.", "There are {x}."]),
    "colours": ("red blue green yellow orange purple pink brown white black grey".split(), ["Some colours are {x}.", "There are {x}.", "You could use {x}."]),
    "days of the week": ([], ["The days are Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday.", "The week goes Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday."]),
    "months": ([], ["The months run from January and February through the summer to November and December.", "The year goes January, February, March, April, May, June, July, August, September, October, November and December."]),
    "seasons": ([], ["The seasons are spring, summer, autumn and winter.", "There are four, namely spring, summer, autumn and winter."]),
    "planets": ([], ["The planets are Mercury, Venus, Earth, Mars, Jupiter, Saturn, Uranus and Neptune.", "From the sun they are Mercury, Venus, Earth, Mars, Jupiter, Saturn, Uranus and Neptune."]),
    "sports": ("football tennis cricket rugby hockey basketball swimming running skiing cycling".split(), ["Some sports are {x}.", "You could try {x}.", "Popular sports are {x}."]),
    "games": ("chess cards dominoes draughts charades hide-and-seek bingo puzzles marbles".split(), ["Some good games are {x}.", "You could play {x}.", "Nice games are {x}."]),
    "instruments": ("piano guitar violin drums flute trumpet cello harp clarinet".split(), ["Some instruments are {x}.", "You could learn {x}.", "There are {x}, for example."]),
    "drinks": ("water tea coffee milk lemonade cocoa apple-juice orange-juice".split(), ["You could have {x}.", "Some drinks are {x}.", "I'd offer {x}."]),
    "things for breakfast": ("toast eggs porridge fruit yoghurt pancakes jam cheese muesli".split(), ["For breakfast you could have {x}.", "Breakfast could be {x}.", "Try {x}."]),
    "things for the lunch box": ("sandwiches apples carrots cheese grapes crackers nuts yoghurt a-banana".split(), ["You could pack {x}.", "In the lunch box go {x}.", "Try {x}."]),
    "things for the school bag": ("books pencils a-ruler paper a-rubber lunch a-water-bottle scissors".split(), ["You need {x}.", "In the school bag go {x}.", "Pack {x}."]),
    "things for the beach bag": ("towels sun-cream a-hat water a-book sunglasses snacks a-ball".split(), ["You should pack {x}.", "Take {x}.", "In the beach bag go {x}."]),
    "things for the suitcase": ("shirts socks trousers pyjamas a-toothbrush a-jumper shoes a-raincoat".split(), ["You should pack {x}.", "Take {x}.", "In the suitcase go {x}."]),
    "things for a picnic": ("sandwiches fruit lemonade cake a-blanket cheese salad biscuits".split(), ["For a picnic take {x}.", "You could pack {x}.", "Bring {x}."]),
    "tools": ("a-hammer a-saw a-drill pliers a-screwdriver a-spanner nails a-ladder".split(), ["Some useful tools are {x}.", "You may need {x}.", "There are {x}."]),
    "rooms": ("the-kitchen the-bathroom the-bedroom the-hall the-living-room the-study the-cellar".split(), ["The rooms are {x}.", "A house has {x}.", "There are {x}."]),
    "clothes": ("shirts trousers skirts socks jumpers coats dresses scarves hats".split(), ["Some clothes are {x}.", "You could wear {x}.", "There are {x}."]),
    "jobs": ("teachers bakers doctors drivers farmers cooks builders nurses painters".split(), ["Some people work as {x}.", "There are {x}, for example.", "Useful jobs are those of {x}."]),
    "countries": ("France Italy Spain Norway Japan Canada Egypt Peru India Poland Greece".split(), ["Some countries are {x}.", "There are {x}, for example.", "You could visit {x}."]),
}  # fmt: skip

_LIST = [
    "(give|make|write) me a (bulleted|bullet|numbered|ticked|long|short|dashed|) list of {number} {x}",
    "(make|write|give me) a {number_of}(bulleted|bullet point|numbered) list of {x}",
    "(list|name) {number} {x}, (one per line|each on its own line|one on every line|with a dash in front|with a dash in front of each|with bullet points|numbered|as bullets|with numbers)",
    "(list|name|tell me) {number} {x} (as a list|in a list|as a numbered list|as bullet points|in bullet points|with a tick box each)",
    "{number} {x} (with bullet points|as bullets|one per line|in a numbered list|in a list), please",
    "I('d like| want| need) a (checklist|bulleted list|numbered list|tick list|to-do list) of {x}",
    "(put|write) {number} {x} in (a list|a table|two columns|a numbered list|bullet points)",
    "(can|could) you (list|write|name) {number} {x} (in bold|in capital letters|in big letters|with an emoji each|with emojis|under a heading)",
    "(show|give) me {number} {x} (in a table|as a table|in two columns|with a heading|with headings|with emoji)",
    "(make|draw) (a table|two columns) (with|of) {x}",
    "{x} please, (in bold|each with a star in front|with headings|numbered from one|in markdown|as markdown)",
    "(use|with) bullet points, (list|name) {number} {x}",
    "write (down|out) {x} (with a heading|as headings|line by line|in bold letters|with a number in front of each)",
    "I need {x} (one per line|in a numbered list|as bullets|with dashes) for (school|my notes|the fridge)",
    "what {x} do you know, (one per line|as a list|in bullet points|numbered)",
]

# A wish for things, and a wish for a form, freely combined.
_WISH = [
    "(name|tell me|give me|suggest|think of) {number} {x}",
    "what are {number} (good|nice|typical|common) {x}",
    "which {x} (are there|do you know|do you like)",
    "(what|which) {x} (would you|should I|can I) (choose|take|pick)",
    "I need {number} {x}",
    "I'd like {number} {x}",
    "let me have {number} {x}",
    "help me with {number} {x}",
    "(can|could) you (name|give me|think of) {number} {x}",
    "I'm looking for {number} {x}",
    "{number} {x}, please",
    "say {number} {x}",
]
_PACK = [
    "what (should|do|must) I (pack|put|take|need) (in|for) {bag}",
    "(help me|I have to|I want to) pack {bag}",
    "what goes (in|into) {bag}",
    "what (belongs|fits) in {bag}",
    "I'm packing {bag}, what do I need",
    "(don't let me forget anything for|get me ready for) {bag}",
]
_BAGS = {
    "things for the lunch box": ["the lunch box", "my lunch box", "my son's lunch box"], "things for the school bag": ["the school bag", "my school bag", "my daughter's school bag"],
    "things for the beach bag": ["the beach bag", "my beach bag", "the beach"], "things for the suitcase": ["my suitcase", "the suitcase", "a small suitcase"],
    "things for a picnic": ["a picnic", "the picnic basket", "our picnic"], "things for breakfast": ["breakfast", "a big breakfast", "our breakfast"],
}  # fmt: skip
FORM = [
    "as a [bulleted|numbered|ticked|tick|bullet] list", "in a list", "in bullet points", "with bullet points", "as bullets", "(numbered|with numbers|with a number each)", "one per line", "one on each line",
    "line by line", "each on a new line", "with a dash in front [of each]", "with a star in front of each", "with a tick box [each|in front]", "as a checklist", "in a table", "as a table", "in two columns",
    "with a heading [on top]", "with headings", "under a big heading", "in bold [letters|type]", "all in bold", "in big letters", "in capital letters", "with an emoji [each|for each]", "with emojis", "with lots of emoji",
    "in markdown", "as markdown", "in a code block", "as code", "nicely formatted", "with the important words in bold", "first the heading, then the list", "neatly in rows", "with little pictures",
]  # fmt: skip
_WITH = [
    "{wish}, {form}",
    "{wish} {form}",
    "{form}, {wish}",
    "{wish}, and (put|write) (it|them) {form}",
    "{wish}. (Write|Put|Do) (it|them|that) {form}",
    "{wish}, {form} [if you can|please]",
]

# what is explained in steps -> answers
STEPS: dict[str, list[str]] = {
    "tea": ["Boil water, pour it over the tea and wait a few minutes.", "Put the tea in a cup, add boiling water and let it stand. Milk comes last."],
    "a sandwich": ["Butter the bread, add cheese or ham, and put the other slice on top.", "Take two slices of bread and put what you like between them."],
    "a salad": ["Wash and cut the vegetables, then mix them with oil, lemon and salt.", "Tear the lettuce, add tomatoes and cucumber, and stir in a little oil."],
    "pancakes": ["Mix flour, eggs and milk, then fry thin rounds in butter on both sides.", "Stir eggs, milk and flour to a smooth batter and fry it in a hot pan."],
    "soup": ["Cook chopped vegetables in salted water until they are soft, then add herbs.", "Fry an onion, add vegetables and water, and let it all simmer."],
    "washing hands": ["Wet your hands, rub them with soap for twenty seconds, rinse and dry them.", "Use water and soap, rub well between the fingers, then rinse and dry."],
    "brushing teeth": ["Put a little paste on the brush, brush all sides for two minutes, and rinse.", "Brush gently in small circles for two minutes, inside and outside, then rinse."],
}  # fmt: skip
_DOING = {
    "tea": ["make tea", "make a cup of tea"], "a sandwich": ["make a sandwich"], "a salad": ["make a salad"], "pancakes": ["make pancakes"],
    "soup": ["make soup", "cook soup"], "washing hands": ["wash my hands", "wash hands"], "brushing teeth": ["brush my teeth", "brush teeth"],
}  # fmt: skip
_STEP = [
    "(explain|tell me|show me) (step by step|in numbered steps|in steps) how to {do}",
    "(give|write|tell) me (numbered steps|the steps|step by step instructions|five steps|three steps) to {do}",
    "how do I {do}, (step by step|in numbered steps|with numbers|as a list|one step per line|in bullet points)",
    "(list|number|write) the steps (to|for how to) {do}",
    "step one, step two and so on, how do I {do}",
    "(write|give me) (the recipe|instructions) to {do} (as a numbered list|with headings|in bold|in bullet points|in a table)",
    "I need (numbered steps|a checklist|a step by step list) to {do}",
    "(can|could) you (number|list) the steps to {do}",
    "how to {do}, (steps one to five|with bullet points|in a table|with bold headings)",
]

VERSUS: dict[tuple[str, str], list[str]] = {
    ("cats", "dogs"): ["Cats are quiet and like to be alone, while dogs are loyal and need long walks.", "Dogs want company and walks, and cats look after themselves."],
    ("summer", "winter"): ["Summer is warm with long days, and winter is cold with short ones.", "In summer you can swim, and in winter you may have snow."],
    ("town", "country"): ["Town has shops and people close by, while the country is green and quiet.", "In town everything is near, and in the country there is space and fresh air."],
    ("bike", "bus"): ["A bike is free and healthy, while a bus is dry and carries many.", "The bus takes you further, and the bike keeps you fit."],
    ("tea", "coffee"): ["Tea is mild and calming, while coffee is strong and wakes you up.", "Coffee gives more energy, and tea is gentler."],
}  # fmt: skip
_VERSUS = [
    "(make|draw|give me|show me) a table (of|with|about|comparing) {a} and {b}",
    "compare {a} and {b} in (a table|two columns|bullet points|a list|a numbered list)",
    "{a} (against|versus|or) {b}, (in a table|as a table|in two columns|with bullet points|with headings)",
    "(put|write) {a} and {b} in (two columns|a table)",
    "(list|write) the (good and bad sides|pros and cons) of {a} and {b} (in a table|as bullets|in two columns|with headings)",
    "two columns, one for {a} and one for {b}",
    "what is better about {a} and {b}, (make a table|use bullet points|with a heading for each|in bold)",
    "a (table|list) with the differences between {a} and {b}, please",
]

CARDS: dict[str, list[str]] = {
    "birthday": ["Happy birthday! May your day be full of joy and cake.", "All the best on your birthday, and a wonderful year."],
    "thank you": ["Thank you so much, that was very kind of you.", "Many thanks from the bottom of my heart."],
    "greeting": ["Hello and warm wishes to you.", "Greetings to you, and have a lovely day."],
}  # fmt: skip
_CARD = [
    "(write|say|give me) a {card} (message|card|note|wish) (with|full of|using) (emojis|emoji|lots of emojis|hearts and emojis)",
    "(write|say) (a|) {card} (message|greeting|note) in (bold|big letters|capital letters|big bold letters|fancy letters)",
    "a {card} message (with smileys|with a heading|in bold|in stars|in capitals), please",
    "(can|could) you (write|make|say) a {card} (card|note) (with emojis|in bold letters|with a big heading)",
    "{card} wishes with (emojis|hearts|a heading|stars), please",
    "(put|add) (emojis|hearts|stars) in a {card} message",
]

CODE: list[tuple[list[str], list[str]]] = [
    (["(write|show|give) me (the code|code|a program|a script|some code) (for|that prints|that says) hello world [in Python|in Java]", "hello world in (Python|code|a code block|Java)",
      "(can|could) you (code|program|write) hello world [in Python|for me]", "how do I (print|write) hello world in (Python|code)", "(a|one) hello world program, please",
      "(put|write) hello world in a code block"],
     ["You tell the computer to print the words hello world, and that's the whole program.", "It's one line that prints hello world, but I can't read code aloud well.", "In Python you call print with the words hello world in quotes."]),
    (["(write|show|give) me (the code|code|a program|a function|a script) (to add|that adds|for adding) two numbers", "(how do I|how can I) add two numbers in (Python|code|a program)",
      "(can|could) you (code|write|program) (a function that adds two numbers|adding two numbers)", "code for adding two numbers, (please|in a code block)", "(put|write) the sum of two numbers in a code block"],
     ["You take the two numbers, put a plus between them and print the result.", "A small function takes both numbers and gives back their sum.", "In words, ask for two numbers, add them and show the sum."]),
    (["(give|send|show) me (a|the) link (to|for) (the weather|a recipe|the news|a map|the library|a page about {x}|the zoo)", "(what's|what is) the (link|web address|URL) (of|for) (the zoo|the museum|the library|a good recipe|the cinema)",
      "(can|could) you (send|write|paste|post) (a|the) link [to a page about {x}]", "(link|URL) to (a page|something) about {x}, please", "where('s| is) the link (to|for) {x}"],
     ["I can't give links, but I can tell you about it in words.", "I'm sorry, I can't read out a link. Shall I tell you what I know?", "Links don't work in speech, but you can find it by its name."]),
]  # fmt: skip
_EXTRA = [
    "(write|say|answer) (everything|that|it) in (bold|big letters|capital letters|markdown|italics)",
    "(use|answer with) (markdown|headings|bullet points|emojis|bold text) (from now on|please|for everything)",
    "can you (use|write) (bold|emojis|headings|markdown|tables|lists)",
    "(answer|reply) only (in emojis|with emojis|in bullet points|in a table)",
]
_EXTRA_REPLY = [
    "I speak in plain words only, but I'm happy to tell you anything.",
    "I can only speak, so I'll say it in plain words.",
    "That would not sound good aloud, so I'll use plain words. What would you like to hear?",
]

_THOUGHT = [
    "A list is asked for, but this is speech. I say it in one plain sentence.",
    "My words are read aloud, so I use plain sentences.",
    "No list and no marks. I put it into plain words.",
    "I answer in a sentence, without any format.",
    "This will be heard, not seen. Plain words it is.",
]
_NUMBERS = ["", "", "three", "four", "five", "some", "a few", "six", "ten", "3", "5", "two"]


def _join(rng: Random, things: list[str], count: int) -> str:
    chosen = [
        thing.replace("-", " ") if thing != "hide-and-seek" else "hide and seek" for thing in rng.sample(things, count)
    ]
    return ", ".join(chosen[:-1]) + " and " + chosen[-1]


def a_list(rng: Random) -> AnsweredRequest:
    """A list of something."""
    x = rng.choice(sorted(LISTS))
    things, starts = LISTS[x]
    free = rng.random() < 0.5
    number = rng.choice(_NUMBERS)
    if x in {"days of the week", "months", "seasons", "planets"}:
        number = rng.choice(["", "the", "all the", "all"])
    user = pick(rng, _LIST, x=x, number=number, number_of="").replace("I 'd", "I'd").replace("want need", "need")
    user = " ".join(user.split()).replace(" ,", ",")
    if free:
        wish = (
            pick(rng, _PACK, bag=rng.choice(_BAGS[x]))
            if x in _BAGS and rng.random() < 0.6
            else pick(rng, _WISH, x=x, number=number)
        )
        user = " ".join(pick(rng, _WITH, wish=wish, form=pick(rng, FORM)).split())
    count = {"two": 2, "three": 3, "3": 3, "four": 4, "five": 5, "5": 5, "six": 6, "ten": 6}.get(
        number, rng.choice([2, 3, 3, 4])
    )
    start = rng.choice(starts)
    if things:
        chosen = _join(rng, things, min(count, len(things)))
        reply = start.format(x=chosen)
        if rng.random() < 0.15:
            reply = sentence(f"{chosen} come to mind") if x not in {"colours", "sports", "drinks"} else reply
        second: tuple[tuple[str, str], ...] = ()
        names = chosen.replace(" and ", ", ").split(", ")
        if "hide and seek" not in chosen and len(names) >= 2:
            second = (
                (
                    "what was the (first|first one) again".split(" again")[0].replace(
                        "(first|first one)", "first one"
                    ),
                    f"The first one was {names[0]}.",
                ),
                ("so what was the second one", f"The second one was {names[1]}."),
                ("and the last one was what", f"The last one was {names[-1]}."),
            )
        return AnsweredRequest("formats.list", user, reply, rng.choice(_THOUGHT), question=_asks(user), again=second)
    return AnsweredRequest("formats.list", user, start, rng.choice(_THOUGHT), question=_asks(user))


def _asks(user: str) -> bool:
    return user.startswith(("can", "could", "what", "how", "where"))


def steps(rng: Random) -> AnsweredRequest:
    """Numbered steps."""
    task = rng.choice(sorted(STEPS))
    if rng.random() < 0.3:
        wish = pick(
            rng,
            [
                "how do I {do}",
                "(tell|show) me how to {do}",
                "explain how to {do}",
                "what are the steps to {do}",
                "I want to {do}, how",
            ],
            do=rng.choice(_DOING[task]),
        )
        form = pick(
            rng,
            [
                *FORM,
                "step by step",
                "in numbered steps",
                "in five steps",
                "one step per line",
                "step one, step two and so on",
            ],
        )
        user = pick(rng, _WITH, wish=wish, form=form)
        reply = rng.choice(STEPS[task])
    elif rng.random() < 0.3:
        task_words = rng.choice(sorted(topics.HOW_TO))
        user = pick(rng, _STEP, do=pick(rng, [task_words]))
        reply = rng.choice(topics.HOW_TO[task_words])
    else:
        user = pick(rng, _STEP, do=rng.choice(_DOING[task]))
        reply = rng.choice(STEPS[task])
    return AnsweredRequest("formats.steps", user, reply, rng.choice(_THOUGHT), question=_asks(user))


def versus(rng: Random) -> AnsweredRequest:
    """A table of two things."""
    pair = rng.choice(sorted(VERSUS))
    a, b = pair if rng.random() < 0.6 else pair[::-1]
    user = pick(rng, _VERSUS, a=a, b=b)
    if rng.random() < 0.4:
        wish = pick(
            rng,
            [
                "compare {a} and {b}",
                "what's the difference between {a} and {b}",
                "{a} or {b}, which is better",
                "tell me about {a} and {b}",
                "how are {a} and {b} different",
            ],
            a=a,
            b=b,
        )
        user = pick(rng, _WITH, wish=wish, form=pick(rng, FORM))
    return AnsweredRequest(
        "formats.versus", user, rng.choice(VERSUS[pair]), rng.choice(_THOUGHT), question=_asks(user)
    )


def card(rng: Random) -> AnsweredRequest:
    """Greetings with emoji."""
    kind = rng.choice(sorted(CARDS))
    user = pick(rng, _CARD, card=kind)
    return AnsweredRequest("formats.card", user, rng.choice(CARDS[kind]), rng.choice(_THOUGHT), question=_asks(user))


def code(rng: Random) -> AnsweredRequest:
    """Code and links."""
    questions, answers = rng.choice(CODE)
    user = pick(rng, questions, x=rng.choice(sorted(topics.TOPICS)))
    return AnsweredRequest("formats.code", user, rng.choice(answers), rng.choice(_THOUGHT), question=_asks(user))


def about(rng: Random) -> AnsweredRequest:
    """Everyday topics in a format."""
    topic = rng.choice(sorted(topics.TOPICS))
    user = pick(
        rng,
        ["(tell me|write) (everything|all|something|three things) about {topic} (in bullet points|in a list|with headings|in bold|in a table|as a numbered list|with emojis)",
         "(list|write|give me) (three|five|some|ten) facts about {topic}[, one per line|, numbered| as bullets| in a table]", "explain {topic} (step by step|with headings|in bullet points|in markdown|in a table)",
         "(make|write) a (bulleted list|table|numbered list|page with headings) about {topic}"],
        topic=topic,
    )  # fmt: skip
    facts = topics.TOPICS[topic]
    reply = " ".join(facts[: rng.choice([1, 2, 2, 3])])
    return AnsweredRequest("formats.about", user, reply, rng.choice(_THOUGHT), question=False)


def extra(rng: Random) -> AnsweredRequest:
    """A format without a subject."""
    user = pick(rng, _EXTRA)
    return AnsweredRequest("formats.extra", user, rng.choice(_EXTRA_REPLY), rng.choice(_THOUGHT), question=_asks(user))


FAMILIES = {a_list: 10, steps: 5, versus: 3, card: 3, code: 3, about: 3, extra: 1}


def formats(rng: Random) -> AnsweredRequest:
    """One request for a format that is never given."""
    return rng.choices(list(FAMILIES), weights=list(FAMILIES.values()))[0](rng)
