"""Facts that are answered without a tool, in one short sentence that holds the answer."""

from random import Random

from quant.data.builtin import lexicon as lex
from quant.data.builtin.exchange import Exchange
from quant.data.builtin.grammar import pick, sentence

_CAPITAL = [
    "(what is|what's|what was) the capital [city] of {country} [again]",
    "(which|what) (city|town) is the capital of {country}",
    "(what is|what's) {countrys} capital [city]",
    "(tell me|name|give me) the capital [city] of {country}",
    "(do you know|can you tell me|could you tell me) the capital of {country}",
    "the capital of {country} (is|was) (what|which city) [again]",
    "(my son|my daughter|Mum|my brother|Dad) (asks|wants to know) what the capital of {country} is",
    "I (forgot|can't remember|need) the capital of {country} [for a quiz|for homework]",
    "{country}'s capital is (what|which city)",
    "does {country} have a capital, and what is it called",
    "what('s| is) the name of {countrys} capital",
    "capital of {country}",
    "what do they call the capital of {country}",
    "if I go to the capital of {country}, which city is that",
    "{country}, what's the capital [there]",
]
_CAPITAL_REPLY = [
    "The capital of {country} is {city}.",
    "The capital of {country} is {city}.",
    "It's {city}.",
    "{city} is the capital of {country}.",
    "{countrys} capital is {city}.",
]
_COUNTRY_OF = [
    "{city} is the capital of which country",
    "(which|what) country has {city} as its capital",
    "(what|which) country is {city} the capital of",
]


def capital(rng: Random) -> Exchange:
    """Capitals, mostly asked by country."""
    country = rng.choice(sorted(lex.CAPITALS))
    city = lex.CAPITALS[country]
    said = country
    if rng.random() < 0.2:
        said = {"the Netherlands": "Holland", "the United States": rng.choice(["the US", "America", "the USA"])}.get(
            country, country
        )
    countrys = f"{said}'" if said.endswith("s") else f"{said}'s"
    backwards = rng.random() < 0.06 and city not in {"London", "Washington"}
    user = pick(rng, _COUNTRY_OF if backwards else _CAPITAL, country=said, countrys=countrys, city=city)
    user = user.replace("s's capital", "s' capital")
    reply = (
        f"{city} is the capital of {country}."
        if backwards
        else pick(
            rng,
            _CAPITAL_REPLY,
            country=country,
            countrys=f"{country}'" if country.endswith("s") else f"{country}'s",
            city=city,
        )
    )
    if country == "the United States" and rng.random() < 0.5 and not backwards:
        reply = reply.replace(city, "Washington, D.C")
        reply = reply.replace("D.C.", "D.C.") if reply.endswith(".") else reply
    thought = pick(
        rng,
        [
            "The capital of {country}. I know that one.",
            "A capital: that needs no tool.",
            "This asks for the capital of {country}.",
            "{country} and its capital. That I know.",
        ],
        country=country,
    )
    asks = not user.startswith(("I ", "tell", "name", "give", "capital", "my ", "Mum asks", "Mum wants", "Dad "))
    again = (
        ("which country did I ask about", sentence(f"you asked about {country}")),
        ("what did you say the capital was", f"I said it's {city}."),
    )
    return Exchange("facts.capital", user, sentence(reply), sentence(thought), question=asks, again=again)


# question patterns -> answers; several wordings of both
TABLE: list[tuple[list[str], list[str]]] = [
    (["how many days (are there in|are in|does) a week [have]", "how many days make a week", "a week has how many days",
      "(do you know|tell me) how many days [there] are in a week", "number of days in a week"],
     ["A week has seven days.", "There are seven days in a week."]),
    (["how many hours (are there in|are in|does) a day [have]", "how many hours make a day", "a day has how many hours",
      "how many hours are in one day", "how many hours does one day have"],
     ["A day has twenty-four hours.", "There are twenty-four hours in a day."]),
    (["how many minutes (are there in|are in|does) an hour [have]", "how many minutes make an hour",
      "an hour has how many minutes", "how many minutes are (in|there in) one hour", "how long is an hour in minutes"],
     ["An hour has sixty minutes.", "There are sixty minutes in an hour."]),
    (["how many seconds (are there in|are in|does) a minute [have]", "how many seconds make a minute",
      "a minute has how many seconds", "how many seconds are (in|there in) one minute", "how long is a minute in seconds"],
     ["A minute has sixty seconds.", "There are sixty seconds in a minute."]),
    (["how many months (are there in|are in|does) a year [have]", "how many months make a year",
      "a year has how many months", "(do you know|tell me) how many months [there] are in a year"],
     ["A year has twelve months.", "There are twelve months in a year."]),
    (["how many days (are there in|are in|does) a year [have]", "how many days make a year", "a year has how many days",
      "how long is a year in days", "how many days has a normal year"],
     ["A year has three hundred and sixty-five days.", "There are 365 days in a year.", "A year has 365 days."]),
    (["(what is|what's|which is) the first month [of the year]", "which month (comes first|is first|starts the year)",
      "the year (starts|begins) with which month", "what month does the year (start|begin) with",
      "name the first month of the year"],
     ["The first month of the year is January.", "It's January.", "The year starts with January."]),
    (["(what is|what's|which is) the last month [of the year]", "which month (comes last|is last|ends the year)",
      "the year ends with which month", "what month does the year end with", "name the last month of the year"],
     ["The last month of the year is December.", "It's December.", "The year ends with December."]),
    (["(what is|what's|which is) the first day of the week", "which day (starts|begins) the week",
      "the week (starts|begins) on which day", "what day does the week start (on|with)", "which day of the week comes first"],
     ["The first day of the week is Monday.", "The week starts on Monday."]),
    (["(what is|what's|which is) the last day of the week", "which day ends the week", "the week ends on which day",
      "what day does the week end (on|with)", "which day of the week comes last"],
     ["The last day of the week is Sunday.", "The week ends on Sunday."]),
    (["(what are|which are|name) the [four] seasons", "what seasons (are there|does a year have)",
      "(tell me|can you tell me|do you know) the four seasons", "what are the seasons of the year"],
     ["The four seasons are spring, summer, autumn and winter.", "They are spring, summer, autumn and winter."]),
    (["how many seasons (are there|does a year have|are in a year)", "a year has how many seasons"],
     ["A year has four seasons.", "There are four seasons."]),
    (["(what is|what's|which is) the (coldest|snowy) season", "which season is the coldest", "which season brings snow"],
     ["The coldest season is winter.", "It's winter."]),
    (["(what is|what's|which is) the (hottest|warmest) season", "which season is the (hottest|warmest)"],
     ["The warmest season is summer.", "It's summer."]),
    (["(which|what) season comes after winter", "what follows winter", "when winter is over, what season comes"],
     ["After winter comes spring.", "Spring comes after winter."]),
    (["(which|what) season comes after summer", "what follows summer", "when do the leaves fall"],
     ["After summer comes autumn.", "Autumn comes after summer."]),
    # sounds
    (["what sound does a (dog|puppy) make", "what does a dog say", "what noise does a dog make", "how does a dog sound"],
     ["A dog barks.", "A dog says woof.", "Dogs bark, and they say woof."]),
    (["what sound does a (cat|kitten) make", "what does a cat say", "what noise does a cat make", "how does a cat sound"],
     ["A cat says meow.", "Cats meow, and they purr when they are happy."]),
    (["what sound does a cow make", "what does a cow say", "what noise does a cow make", "how does a cow sound"],
     ["A cow says moo.", "Cows moo."]),
    (["what sound does a horse make", "what does a horse say", "what noise does a horse make"],
     ["A horse neighs.", "Horses neigh."]),
    (["what sound does a (sheep|lamb) make", "what does a sheep say", "what noise does a sheep make"],
     ["A sheep says baa.", "Sheep say baa."]),
    (["what sound does a pig make", "what does a pig say", "what noise does a pig make"],
     ["A pig says oink.", "Pigs oink, and they grunt."]),
    (["what sound does a duck make", "what does a duck say", "what noise does a duck make"],
     ["A duck says quack.", "Ducks quack."]),
    (["what sound does a hen make", "what does a (hen|chicken) say", "what noise does a (hen|chicken) make"],
     ["A hen clucks.", "Hens cluck."]),
    (["what sound does a (lion|bear) make", "what does a (bear|lion) say"], ["It roars.", "It growls and roars."]),
    (["what sound does a bee make", "what noise do bees make"], ["A bee buzzes.", "Bees buzz."]),
    (["what sound does a bird make", "what noise do birds make"], ["A bird sings and tweets.", "Birds sing."]),
    (["(which|what) animal (barks|says woof)"], ["A dog barks.", "It's the dog."]),
    (["(which|what) animal (says moo|moos)"], ["A cow says moo.", "It's the cow."]),
    (["(which|what) animal says (meow|miaow)"], ["A cat says meow.", "It's the cat."]),
    # legs
    (["how many legs (does a spider have|has a spider|do spiders have)", "a spider has how many legs",
      "how many legs are there on a spider"],
     ["A spider has eight legs.", "Spiders have eight legs."]),
    (["how many legs (does an insect have|has an insect|do insects have|does a bee have|does an ant have)",
      "an insect has how many legs"],
     ["An insect has six legs.", "It has six legs, as all insects do."]),
    (["how many legs (does a dog have|has a dog|do dogs have)", "a dog has how many legs", "how many legs has a cat"],
     ["It has four legs.", "A dog has four legs, and so does a cat."]),
    (["how many legs (does a bird have|has a bird|do birds have|does a hen have|does a duck have)",
      "a bird has how many legs"],
     ["A bird has two legs.", "Birds have two legs."]),
    (["how many wings (does a bird have|do birds have)"], ["A bird has two wings.", "Birds have two wings."]),
    # food and produce
    (["what do cows eat", "what does a cow eat", "what (is|are) cows fed [with]"],
     ["Cows eat grass.", "A cow eats grass and hay."]),
    (["what do horses eat", "what does a horse eat"], ["Horses eat grass and hay.", "A horse eats grass, hay and oats."]),
    (["what do cats eat", "what does a cat eat", "what do cats like to (eat|hunt)"],
     ["Cats eat meat and fish.", "Cats eat fish, meat and mice."]),
    (["what do rabbits eat", "what does a rabbit eat"],
     ["Rabbits eat grass, hay and carrots.", "Rabbits eat grass and carrots."]),
    (["what do pandas eat", "what does a panda eat", "what('s| is) a panda's favourite food"],
     ["Pandas eat bamboo.", "A panda eats bamboo."]),
    (["what do bees (make|produce)", "what does a bee make", "what do we get from bees"],
     ["Bees make honey.", "Bees make honey and wax."]),
    (["(who|which animal|what) makes honey", "which insect makes honey", "where does honey come from"],
     ["Bees make honey.", "Honey is made by bees."]),
    (["what do cows (give us|make|produce)", "what do we get from cows", "what does a cow give [us]"],
     ["Cows give us milk.", "We get milk from cows."]),
    (["(which|what) animal gives us milk", "where does milk come from"],
     ["Milk comes from cows.", "Cows give us milk."]),
    (["(which|what) animal gives us wool", "where does wool come from", "what do sheep give us"],
     ["Wool comes from sheep.", "Sheep give us wool."]),
    (["what do hens (lay|make|give us)", "what does a hen lay", "where do eggs come from"],
     ["Hens lay eggs.", "Eggs come from hens."]),
    (["what do dogs eat"], ["Dogs eat meat and dog food."]),
    (["(which|what) animal eats bamboo"], ["The panda eats bamboo.", "Pandas eat bamboo."]),
    # homes
    (["where do fish live", "where does a fish live", "what do fish live in", "where can fish be found"],
     ["Fish live in water.", "Fish live in the water of rivers, lakes and seas."]),
    (["where do birds live", "where does a bird live", "what do birds live in", "what does a bird build"],
     ["Birds live in nests in the trees.", "Birds live in trees, and they build nests."]),
    (["where do bears live", "where does a bear live", "what do bears live in"],
     ["Bears live in the forest.", "Bears live in forests and sleep in caves."]),
    (["where do camels live", "where does a camel live", "which animal lives in the desert"],
     ["Camels live in the desert.", "A camel lives in the desert."]),
    (["where do bees live"], ["Bees live in a hive.", "Bees live together in a hive."]),
    (["where does a dog sleep", "where do dogs live"], ["Dogs live with people, and some sleep in a kennel."]),
    (["(which|what) is the (largest|biggest) animal [in the world|on earth|of all]",
      "what('s| is) the (largest|biggest) animal [in the world|on earth]", "which animal is the (largest|biggest)"],
     ["The largest animal is the blue whale.", "It's the blue whale."]),
    (["(which|what) is the tallest animal [in the world|on earth|of all]",
      "what('s| is) the tallest animal [in the world|on earth]", "which animal is the tallest",
      "which animal has the longest neck"],
     ["The tallest animal is the giraffe.", "It's the giraffe."]),
    (["(which|what) animal is the king of the animals"], ["The lion is called the king of the animals."]),
    # body
    (["how many fingers (do we|do I|does a person|do people) have", "how many fingers are there on two hands",
      "how many fingers has a person"],
     ["A person has ten fingers.", "We have ten fingers."]),
    (["how many fingers are on (one|a) hand", "how many fingers does one hand have"],
     ["One hand has five fingers.", "There are five fingers on a hand."]),
    (["how many toes (do we|do I|does a person|do people) have", "how many toes has a person",
      "how many toes are there on two feet"],
     ["A person has ten toes.", "We have ten toes."]),
    (["how many eyes (do we|do I|does a person|do people|does a cat) have", "how many eyes has a person"],
     ["Two eyes.", "We have two eyes.", "A person has two eyes."]),
    (["how many ears (do we|do I|does a person|do people|does a dog) have", "how many ears has a person"],
     ["Two ears.", "We have two ears.", "A person has two ears."]),
    (["how many (hands|feet|arms|legs) does a person have", "how many (hands|arms|legs) do we have"],
     ["A person has two.", "We have two of them."]),
    (["how many noses do we have", "how many noses does a person have"], ["We have one nose.", "A person has one nose."]),
    (["what do we see with", "what do (you|people) see with", "which part of the body do we see with",
      "what part of us can see", "what are eyes for"],
     ["We see with our eyes.", "People see with their eyes."]),
    (["what do we hear with", "what do people hear with", "which part of the body do we hear with",
      "what part of us can hear", "what are ears for"],
     ["We hear with our ears.", "People hear with their ears."]),
    (["what do we smell with", "what do people smell with", "which part of the body do we smell with",
      "what part of us can smell", "what is the nose for"],
     ["We smell with our nose.", "People smell with the nose."]),
    (["what do we taste with"], ["We taste with our tongue."]),
    (["what does the heart do", "what is the heart for", "what does my heart do [all day]", "what('s| is) the heart's job",
      "why do we (need|have) a heart", "which part of the body pumps blood"],
     ["The heart pumps blood through the body.", "The heart pumps the blood around our body."]),
    (["what do we (breathe|breathe in) with", "what are lungs for"], ["We breathe with our lungs."]),
    # earth and sky
    (["(which|what) planet do we live on", "what('s| is) (our|the name of our) planet [called]", "what planet are we on",
      "what('s| is) the name of the planet we live on", "on which planet do people live"],
     ["We live on the planet Earth.", "Our planet is called Earth.", "It's Earth."]),
    (["(which|what) (planet is|is) the red planet", "which planet is red", "(which|what) planet is called the red planet",
      "what do we call the red planet", "what('s| is) the name of the red planet"],
     ["The red planet is Mars.", "Mars is called the red planet.", "It's Mars."]),
    (["(which|what) is the (largest|biggest) planet", "what('s| is) the (largest|biggest) planet [of all|of our sun]",
      "which planet is the (largest|biggest)", "name the (largest|biggest) planet"],
     ["The largest planet is Jupiter.", "Jupiter is the largest planet.", "It's Jupiter."]),
    (["(which|what) star is (nearest|closest) [to us|to the earth]", "what('s| is) the (nearest|closest) star [to us]",
      "what star is the nearest to us", "which star shines in the daytime", "name the star nearest to us"],
     ["The star nearest to us is the sun.", "It's the sun.", "The sun is the nearest star."]),
    (["what does ice turn into", "what does ice (become|melt into)", "what happens to ice when it (melts|gets warm)",
      "when ice melts, what (do you get|is it)", "what is melted ice"],
     ["Ice turns into water.", "When ice melts, it becomes water."]),
    (["what does water turn into when it freezes", "what is frozen water"], ["Frozen water is ice.", "Water turns into ice."]),
    (["where does the sun rise", "(in which|which) direction does the sun (rise|come up) [in]",
      "where does the sun come up", "on which side does the sun rise"],
     ["The sun rises in the east.", "It rises in the east."]),
    (["where does the sun set", "(in which|which) direction does the sun (set|go down) [in]",
      "where does the sun go down", "on which side does the sun set"],
     ["The sun sets in the west.", "It sets in the west."]),
    (["what goes around the earth", "what shines at night", "what do we see in the sky at night"],
     ["At night we see the moon and the stars.", "The moon and the stars shine at night."]),
]  # fmt: skip

_YOUNG = {
    "dog": "puppy", "cat": "kitten", "cow": "calf", "horse": "foal", "sheep": "lamb", "hen": "chick", "goat": "kid",
    "duck": "duckling", "pig": "piglet", "bear": "cub",
}  # fmt: skip
_COLOURS = {
    "grass": ("is", "green"), "the sky": ("is", "blue"), "snow": ("is", "white"), "coal": ("is", "black"),
    "blood": ("is", "red"), "a banana": ("is", "yellow"), "a tomato": ("is", "red"), "an orange": ("is", "orange"),
    "a carrot": ("is", "orange"), "milk": ("is", "white"), "the sun": ("is", "yellow"),
    "leaves in autumn": ("are", "red, yellow and brown"),
}  # fmt: skip
_OPPOSITES = {
    "hot": "cold", "big": "small", "up": "down", "fast": "slow", "light": "dark", "happy": "sad", "old": "young",
    "open": "closed", "full": "empty", "wet": "dry", "loud": "quiet", "early": "late", "hard": "soft", "near": "far",
    "day": "night",
}  # fmt: skip
_BOTH_WAYS = {"cold": "hot", "small": "big", "down": "up", "slow": "fast", "dark": "light", "sad": "happy",
              "closed": "open", "empty": "full", "dry": "wet", "late": "early", "soft": "hard", "far": "near",
              "night": "day", "young": "old", "quiet": "loud"}  # fmt: skip
_AN = {"hen": "a", "dog": "a"}


def table(rng: Random) -> Exchange:
    """The calendar, animals, the body, the earth and the sky."""
    questions, answers = rng.choice(TABLE)
    user = pick(rng, questions)
    if "does a week have" not in user:
        user = user.replace(" are there in a week have", " are there in a week")
    for mark in ("are there in", "are in"):
        if mark in user:
            user = user.removesuffix(" have")
    asks = not user.startswith(("name ", "tell me", "number of"))
    return Exchange("facts.table", user, rng.choice(answers), _thought(rng), question=asks)


def _thought(rng: Random) -> str:
    return pick(
        rng,
        [
            "A simple fact. [No tool is needed.]",
            "I know this one. [It needs no search.]",
            "This is common knowledge. A short answer will do.",
            "An easy question, answered in one sentence.",
            "A little knowledge question.",
        ],
    )


def young(rng: Random) -> Exchange:
    """What a young animal is called."""
    animal = rng.choice(sorted(_YOUNG))
    child = _YOUNG[animal]
    if rng.random() < 0.15:
        user = pick(rng, ["what does a {child} grow into", "a {child} is a young what", "what animal is a {child}",
                          "whose (baby|young) is a {child}"], child=child)  # fmt: skip
        reply = f"A {child} is a young {animal}."
    else:
        user = pick(
            rng,
            [
                "(what is|what's) a (baby|young) {animal} called",
                "what do you call a (baby|young) {animal}",
                "(what is|what's) the (name|word) for a (baby|young) {animal}",
                "what do we call the (young|baby|babies) of a {animal}",
                "a (baby|young) {animal} is called (a what|what)",
                "(tell me|do you know) what a (baby|young) {animal} is called",
                "how do you call a {animal}'s (baby|young)",
            ],
            animal=animal,
        )
        reply = rng.choice(
            [f"A young {animal} is called a {child}.", f"A baby {animal} is a {child}.", f"It's called a {child}."]
        )
    return Exchange("facts.young", user, reply, _thought(rng))


def colour(rng: Random) -> Exchange:
    """What colour a thing has."""
    thing = rng.choice(sorted(_COLOURS))
    verb, value = _COLOURS[thing]
    word = rng.choice(["colour", "colour", "color"])
    user = pick(
        rng,
        [
            "what {word} {verb} {thing}",
            "which {word} {verb} {thing}",
            "(what's|what is) the {word} of {thing}",
            "what {word} does {thing} have" if verb == "is" else "what {word} do {thing} have",
            "tell me what {word} {thing} {verb}",
            "{thing}, what {word} {verb} (it|that)" if verb == "is" else "what {word} do {thing} turn",
            "do you know what {word} {thing} {verb}",
        ],
        word=word,
        thing=thing,
        verb=verb,
    )
    reply = rng.choice(
        [
            f"{sentence(thing, '')} {verb} {value}.",
            f"{sentence(thing, '')} {verb} {value}.",
            f"{'It is' if verb == 'is' else 'They are'} {value}.",
        ]
    )
    return Exchange("facts.colour", user, reply, _thought(rng), question=not user.startswith("tell"))


def opposite(rng: Random) -> Exchange:
    """Opposites."""
    pairs = _OPPOSITES if rng.random() < 0.75 else _BOTH_WAYS
    word = rng.choice(sorted(pairs))
    other = pairs[word]
    user = pick(
        rng,
        [
            "(what's|what is) the opposite of {word}",
            "(which|what) word is the opposite of {word}",
            "(tell me|name|give me|do you know) the opposite of {word}",
            "the opposite of {word} is (what|which word)",
            "what('s| is) the opposite (word|) for {word}",
            "if something is not {word}, (what is it|it is what)"
            if word not in {"up", "down", "day", "night"}
            else "what is the opposite of {word}",
            "{word} and its opposite, what (is it|is that)",
            "what do you call the opposite of {word}",
        ],
        word=word,
    )
    reply = rng.choice(
        [f"The opposite of {word} is {other}.", f"The opposite of {word} is {other}.", f"It's {other}."]
    )
    return Exchange(
        "facts.opposite", user, reply, _thought(rng), question=not user.startswith(("tell", "name", "give"))
    )


FAMILIES = {capital: 8, table: 12, young: 3, colour: 3, opposite: 4}


def fact(rng: Random) -> Exchange:
    """One question of fact."""
    return rng.choices(list(FAMILIES), weights=list(FAMILIES.values()))[0](rng)
