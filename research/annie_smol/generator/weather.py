"""Generates questions about the weather, and the common part of all web_search exchanges."""

from random import Random

from research.annie_smol.generator import lexicon as lex
from research.annie_smol.generator.grammar import pick, sentence
from research.annie_smol.generator.phrases import table
from research.annie_smol.generator.request import AnsweredRequest

_TABLES = table("weather")
_AFTER: list[str] = _TABLES["after"]
_AFTER_NOTHING: list[str] = _TABLES["after_nothing"]
_SORRY: list[str] = _TABLES["sorry"]
_SKY: list[str] = _TABLES["sky"]


def search(
    rng: Random,
    family: str,
    user: str,
    query: str,
    noun: str,
    result: str,
    replies: list[str],
    *,
    question: bool = True,
) -> AnsweredRequest:
    nothing = rng.random() < 0.085
    thought = pick(
        rng,
        [
            "{noun}: that changes from day to day. I look it up.",
            "This asks about {noun}. I (search the web|need the web for it).",
            "I don't know {noun} by heart. A web search will say.",
            "Only the web knows {noun} today.",
            "I (should|will) search the web for {noun}.",
            "A question about {noun}. That is current, so I search.",
        ],
        noun=noun,
    )
    if nothing:
        result, after = "Nothing found.", rng.choice(_AFTER_NOTHING)
        reply = pick(rng, _SORRY, noun=noun)
    else:
        reply, after = rng.choice(replies), rng.choice(_AFTER)
    return AnsweredRequest(family, user, reply, sentence(thought), ("web_search", query), result, after, question)


def a_place(rng: Random, none: float = 0.2) -> tuple[str, str]:
    """The place for a question (`in Oslo`, `near here` or nothing), and for the query."""
    if rng.random() < none:
        return rng.choice([("near here", "near here"), ("in town", "in town"), ("", ""), ("here", "")])
    place = rng.choice(lex.PLACES)
    return f"in {place}", place


def join(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def weather(rng: Random) -> AnsweredRequest:
    """Weather today, tonight, tomorrow or at the weekend."""
    where, place = a_place(rng)
    if place in {"near here", "in town"}:
        where, place = rng.choice([("here", ""), ("", ""), ("in town", "in town")])
    when = rng.choice([*lex.WHEN, ""])
    kind = rng.choice(["weather", "weather", "weather", "rain", "rain", "snow", "sun", "wind", "cold"])
    patterns = {
        "weather": [
            "(what's|what is) the weather [like] {where} {when}",
            "how('s| is) the weather {where} {when}",
            "(what will|what'll) the weather be like {where} {when}",
            "(tell me|give me|look up|check|can you check|could you look up) the weather {where} {when}",
            "(what's|what is) the (forecast|weather forecast) for {city} {when}",
            "(any idea|do you know) what the weather is doing {where} {when}",
            "weather {where} {when}",
            "is the weather (nice|good|bad) {where} {when}",
            "what should I wear {where} {when}, how is the weather",
            "what does the sky look like {where} {when}",
            "(tell me about|what about) the weather {where} {when}",
            "how will the weather (be|turn out) {where} {when}",
        ],
        "rain": [
            "(will it|is it going to|does it look like it will) rain {where} {when}",
            "is it raining {where} {when}",
            "(will there be|is there going to be|is there) [any] rain {where} {when}",
            "do I need an umbrella {where} {when}",
        ],
        "snow": [
            "(will it|is it going to) snow {where} {when}",
            "is it snowing {where} {when}",
            "is there [any|a lot of] snow {where} {when}",
        ],
        "sun": [
            "(will it be|is it|is it going to be) (sunny|warm|hot|dry|nice) {where} {when}",
            "is the sun (out|shining) {where} {when}",
        ],
        "wind": ["(will it be|is it|is it going to be) windy {where} {when}", "how windy is it {where} {when}"],
        "cold": [
            "(how cold|how warm|how hot) (is it|will it be|does it get) {where} {when}",
            "(what's|what is) the temperature {where} {when}",
            "(will it be|is it) (cold|freezing|icy) {where} {when}",
        ],
    }[kind]
    city = place if place and place != "in town" else "today"
    if city == "today":
        patterns = [pattern for pattern in patterns if "{city}" not in pattern]
    user = pick(rng, patterns, where=where, when=when, city=city)
    topic = {"rain": "rain", "snow": "snow", "cold": "temperature"}.get(kind, "weather")
    if kind in {"rain", "snow"} and "umbrella" not in user:
        query = join(topic, place, when or "today")
        if rng.random() < 0.5:
            query = join(f"{topic} weather", place, when or "today")
    else:
        query = join("weather", place, when or "today")
    query = query.replace("at the weekend", "weekend")
    sky = rng.choice(_SKY)
    if kind == "rain":
        sky = rng.choice(["dry all day", "rain in the afternoon", "heavy rain", "no rain", "a few showers", "dry"])
    if kind == "snow":
        sky = rng.choice(["no snow", "light snow", "heavy snow in the morning", "snow until noon", "dry and cold"])
    cold = kind == "snow" or any(word in sky for word in ("snow", "sleet", "frost", "cold"))
    degrees = rng.randint(2, 5) if cold else rng.randint(6, 30)
    told = rng.choice([lex.in_words(degrees), str(degrees)])
    day = when or "today"
    label = (place if place and place != "in town" else "Town" if place else "Here") + f" {day}"
    result = f"{label}: {sky}, {told} degrees."
    there = f"in {place}" if place and place != "in town" else place or "here"
    replies = [
        f"{sentence(day, '')} {there}: {sky}, {told} degrees.",
        f"{sentence(there, '')} {day} it's {sky}, with {told} degrees."
        if " " not in sky or sky.startswith(("dry", "windy"))
        else f"{sentence(there, '')} {day} there's {sky}, with {told} degrees.",
        f"Expect {sky} {there} {day}, and {told} degrees.",
    ]
    if sky.split()[0] in {"sunny", "cloudy", "windy", "dry", "foggy", "bright", "warm", "grey", "clear", "calm"}:
        replies = [
            f"It's {sky} {there} {day}, {told} degrees.",
            f"{sentence(there, '')} {day} it's {sky}, with {told} degrees.",
            f"{sentence(day, '')} it's {sky} {there}, about {told} degrees.",
        ]
    elif sky.startswith(("no ", "light", "heavy", "a few", "rain", "snow", "sleet", "thunder", "sunshine")):
        replies = [
            f"There's {sky} {there} {day}, and it's {told} degrees.",
            f"{sentence(there, '')} {day} there's {sky}, with {told} degrees.",
            f"Expect {sky} {there} {day}, at {told} degrees.",
        ]
    return search(
        rng, "web.weather", user, query, join("the weather", where if where != "here" else ""), result, replies
    )
