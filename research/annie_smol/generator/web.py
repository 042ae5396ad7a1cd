"""Generates questions about current information (news, results, opening hours, prices, traffic), with web_search."""
# ruff: noqa: E501 - a phrase is read best on one line, and a list of words as words

from random import Random

from research.annie_smol.generator import lexicon as lex
from research.annie_smol.generator.grammar import pick, sentence
from research.annie_smol.generator.phrases import table
from research.annie_smol.generator.request import AnsweredRequest
from research.annie_smol.generator.weather import a_place, join, search, weather


def news(rng: Random) -> AnsweredRequest:
    """News, with or without a place."""
    where, place = a_place(rng, none=0.35)
    if place == "near here":
        where, place = "", ""
    when = rng.choice(["today", "today", "tonight", "this morning", ""])
    user = pick(
        rng,
        [
            "(what's|what is) (in|on) the news {where} {when}",
            "(what's|what is) the [latest] news {where} {when}",
            "(any|is there any) news {from} {when}",
            "(tell me|give me|read me|look up|check) the news {where} {when}",
            "what (happened|is happening|is going on|'s going on) {where} {when}",
            "(can|could) you (check|look up|tell me) the news {from} {when}",
            "what are the headlines {where} {when}",
        ],
        where=where,
        when=when,
        **{"from": f"from {place}" if place and place != "in town" else where},
    )
    user = user.replace("what 's going", "what's going")
    query = join("news", place, "today" if when in {"", "today", "this morning"} else when)
    event = rng.choice(
        [
            "the old bridge opens again after two years", "a new park opens by the river", "the buses are on strike",
            "the mayor plants a hundred trees", "a big concert fills the main square", "schools close early because of snow",
            "the museum shows a lost painting", "the bakers hold their yearly bread fair", "a whale was seen near the coast",
            "the new tram line is ready", "a kitten was saved from a chimney", "the river is high after the rain",
            "thousands run the spring marathon", "the library stays open at night", "a famous singer comes to town",
        ]
    )  # fmt: skip
    label = place if place and place != "in town" else "Today"
    result = rng.choice([f"{label}: {event}.", sentence(event)])
    there = f" in {place}" if place and place != "in town" else ""
    replies = [
        f"The news{there} today is that {event}.",
        f"Today{there}, {event}.",
        f"{sentence(event, '')}, says the news{there}.",
    ]
    return search(rng, "web.news", user, query, join("the news", f"from {place}" if there else ""), result, replies)


def score(rng: Random) -> AnsweredRequest:
    """Who won, and the score."""
    where, place = a_place(rng, none=0.3)
    if place in {"near here", "in town"}:
        where, place = "", ""
    sport = rng.choice(lex.SPORTS)
    when = rng.choice(["today", "tonight", "yesterday", "last night", "", ""])
    match = rng.choice(["match", "game"])
    user = pick(
        rng,
        [
            "who won the {sport} [match|game|final] {where} {when}",
            "(what's|what is|what was) the {sport} score {where} {when}",
            "(what's|what is|what was) the score (in|of) the {sport} [match|game] {where} {when}",
            "(what's|what was) the result of the {sport} [match|game] {where} {when}",
            "how did the {sport} [match|game] (end|go|finish) {where} {when}",
            "did anyone win the {sport} {where} {when}",
            "(can|could) you (check|look up|find|tell me) the {sport} (score|result|results) {where} {when}",
            "who (is winning|'s winning|is ahead in) the {sport} {where} {when}",
            "did (our team|the home team|my team) win the {sport} {where} {when}",
            "(any|are there any) {sport} results {where} {when}",
            "how is the {sport} going {where} {when}",
            "{sport} results {where} {when}",
        ],
        sport=sport,
        where=where,
        when=when,
    ).replace("who 's", "who's")
    word = "score" if "score" in user else "result"
    query = join(sport, word, place, when)
    a, b = rng.sample(
        [
            "the home team",
            "the visitors",
            "the red team",
            "the blue team",
            "the city club",
            "the guests",
            "the young team",
            "the reds",
            "the greens",
        ],
        2,
    )
    n, m = sorted(rng.sample(range(7), 2), reverse=True)
    numbers = f"{lex.in_words(n)} to {lex.in_words(m)}" if m else f"{lex.in_words(n)} to nil"
    if sport == "tennis":
        a, numbers = (
            rng.choice(["Petrova", "Lindqvist", "Okafor", "Marchetti", "Nakamura", "Castellanos"]),
            rng.choice(["in two sets", "in three sets", "in straight sets", "after a long tie-break"]),
        )
    elif sport == "basketball":
        numbers = f"{rng.randint(80, 110)} to {rng.randint(60, 79)}"
    elif sport in {"rugby", "cricket"}:
        numbers = rng.choice(
            [
                f"by {lex.in_words(rng.randint(3, 20))} points"
                if sport == "rugby"
                else f"by {lex.in_words(rng.randint(2, 9))} wickets"
            ]
        )
    there = f" in {place}" if place else ""
    label = place or sentence(sport, "")
    result = rng.choice([f"{label}: {a} won {numbers}.", f"{sentence(a, '')} won the {sport} {numbers}."])
    replies = [f"{sentence(a, '')} won the {sport}{there} {numbers}.", f"{sentence(a, '')} won {numbers}."]
    _ = (b, match)
    return search(rng, "web.score", user, query, f"the {sport} {word}", result, replies)


_TABLES = table("web")
_HOURS: list[str] = _TABLES["hours"]


def hours(rng: Random) -> AnsweredRequest:
    """Opening hours."""
    where, place = a_place(rng, none=0.35)
    shop = rng.choice(lex.SHOPS)
    day = rng.choice(["today", "tomorrow", "tonight", "on Sunday", "on Saturday", "now", "", ""])
    user = pick(rng, _HOURS, shop=shop, where=where, day=day).replace("will it be open at", "can I go at")
    user = user.replace("can I go at", "can I go to").replace("at the library at", "at the library")
    query = join(shop, "opening hours", place)
    opens, closes = rng.randint(7, 11), rng.randint(4, 10)
    o, c = lex.in_words(opens), lex.in_words(closes)
    there = where if where and where != "here" else ""
    label = join(f"The {shop}", there)
    result, replies = rng.choice(
        [
            (
                f"{label} is open from {o} to {c}.",
                [f"{label} is open from {o} to {c}.", f"It's open from {o} to {c}."],
            ),
            (f"{label} opens at {o} and closes at {c}.", [f"{label} opens at {o} and closes at {c}."]),
            (
                f"{label} is closed {day or 'today'}.",
                [
                    f"{label} is closed {day or 'today'}.",
                    f"I'm sorry, {label[:1].lower() + label[1:]} is closed {day or 'today'}.",
                ],
            ),
        ]
    )
    return search(rng, "web.hours", user, query, f"the opening hours of the {shop}", result, replies)


def price(rng: Random) -> AnsweredRequest:
    """What things cost."""
    where, place = a_place(rng, none=0.4)
    if place == "near here" and rng.random() < 0.5:
        where, place = "", ""
    good = rng.choice(sorted(lex.GOODS))
    item = rng.choice(lex.GOODS[good])
    journey = ""
    if good == "train ticket":
        other = rng.choice(lex.PLACES)
        item, where, place, journey = f"a train ticket to {other}", "", other, f" to {other}"
    user = pick(
        rng,
        [
            "how much (is|does it cost for) {item} {where} [today|now|at the moment]".replace(
                "does it cost for", "is"
            ),
            "how much does {item} cost {where} [today|now|these days]",
            "(what's|what is) the price of {item} {where} [today|now]",
            "what does {item} cost {where} [today|now]",
            "(can|could) you (check|look up|find|tell me) the price of {item} {where}",
            "(look up|check) (what {item} costs|the price of {item}) {where}",
            "has {item} become (cheaper|dearer) {where}",
            "what do I pay for {item} {where}",
            "is {item} (expensive|cheap) {where} [now|today]",
            "how expensive is {item} {where}",
            "{item} {where}, what does it cost [now|today]",
        ],
        item=item,
        where=where,
    )
    bare = {"stamp": "stamp", "train ticket": "train ticket"}.get(good, good)
    query = join(bare, "price", place) if not journey else f"train ticket price {place}"
    unit = rng.choice(["pounds", "euros", "dollars"])
    n = rng.randint(2, 9) if good not in {"gold", "train ticket"} else rng.randint(20, 98)
    cents = rng.choice(["", "", " fifty", " twenty", " eighty"])
    amount = f"{lex.in_words(n)} {unit}{cents}" if good != "gold" else f"{rng.randint(19, 29)} hundred {unit}"
    there = f" {where}" if where and where != "here" else ""
    thing = sentence(item, "")
    result = f"{thing}{there} costs {amount}."
    replies = [result, result, f"It costs {amount}{there}."]
    return search(rng, "web.price", user, query, f"the price of {item}", result, replies)


def moving(rng: Random) -> AnsweredRequest:
    """Traffic and trains."""
    where, place = a_place(rng, none=0.3)
    if rng.random() < 0.5:
        if place == "near here":
            where, place = "near here", "near here"
        user = pick(
            rng,
            [
                "is there a lot of traffic {where} [today|now|right now|tonight]",
                "how('s| is) the traffic {where} [today|now|this morning]",
                "(are there|is there|are there any) (traffic jams|jams|traffic) {where} [now|today]",
                "(what's|what is) the traffic like {where} [today|now]",
                "(check|look up|can you check|could you look up) the traffic {where}",
                "are the roads (busy|full|clear) {where} [now|today]",
                "(any|is there) traffic {where} [now|today|this evening]",
                "(should I|can I) drive {where} now or is there too much traffic",
                "how bad is the traffic {where} [now|today]",
            ],
            where=where,
        )
        topic = "traffic" if "traffic" in user or "jam" in user else "traffic roads"
        query = join(topic, place, "now" if not place or rng.random() < 0.3 else "")
        state = rng.choice(
            [
                "light traffic everywhere",
                "a long jam on the ring road",
                "heavy traffic in the centre",
                "an accident near the station",
                "roads are clear",
                "slow traffic by the river",
                "a lane closed on the main bridge",
            ]
        )
        label = place if place and place not in {"near here", "in town"} else "Traffic"
        result = f"{label}: {state}."
        there = f" {where}" if where and where != "here" else ""
        replies = [f"There's {state}{there}."] if not state.startswith("roads") else [f"The roads are clear{there}."]
        return search(rng, "web.traffic", user, query, join("the traffic", there.strip()), result, replies)
    to = rng.choice(lex.PLACES)
    day = rng.choice(["", "", "today", "tonight", "tomorrow"])
    user = pick(
        rng,
        [
            "when is the next train to {to} {day}",
            "(what time|when) does the [next] train to {to} (leave|go) {day}",
            "(is|are) there (a train|any trains) to {to} {day}".replace("(is|are)", "are").replace(
                "(a train|any trains)", "any trains"
            ),
            "when('s| is) the (last|first|next) train to {to} {day}",
            "(are the trains|do the trains run) to {to} [on time] {day}",
            "(can|could) you (check|look up|find) the (next train|trains) to {to} {day}",
            "how late is the train to {to} {day}",
            "I want to go to {to} by train, when does (it|one|the next one) leave {day}",
            "(which|what) trains go to {to} {day}",
            "is the train to {to} late {day}",
            "(is there|do you see) a train to {to} {day}",
        ],
        to=to,
        day=day,
    )
    which = next((word for word in ("next", "last", "first") if f"{word} train" in user), "")
    query = join(which, "trains" if "trains" in user else "train", to, day)
    hour = rng.randint(1, 11)
    clock = rng.choice(
        [
            f"at {lex.in_words(hour)}",
            f"at half past {lex.in_words(hour)}",
            f"at ten past {lex.in_words(hour)}",
            f"at a quarter to {lex.in_words(hour)}",
            f"at {rng.randint(13, 22)}:{rng.randint(10, 58)}",
        ]
    )
    word = which or "next"
    result = rng.choice([f"The {word} train to {to} leaves {clock}.", f"{word.capitalize()} train to {to}: {clock}."])
    replies = [f"The {word} train to {to} leaves {clock}."] * 2 + [f"The {word} train to {to} goes {clock}."]
    return search(rng, "web.train", user, query, f"the {word} train to {to}", result, replies)


def other(rng: Random) -> AnsweredRequest:
    """The exchange rate, and films on now."""
    if rng.random() < 0.5:
        a, b = rng.sample(["pound", "euro", "dollar", "yen", "krone", "franc"], 2)
        user = pick(
            rng,
            [
                "(what's|what is) the exchange rate [today|now|for the {a}|for {a}s and {b}s]",
                "how many {b}s do I get for a {a} [today]",
                "how much is (a|one) {a} in {b}s [today|now]",
                "(look up|check|can you check) the exchange rate [for the {a}|of the {a} and the {b}]",
                "(what's|what is) the {a} worth in {b}s [today]",
            ],
            a=a,
            b=b,
        )
        query = join("exchange rate", a if a in user else "", b if b in user else "")
        if query == "exchange rate":
            query = "exchange rate today"
        n = rng.choice(
            ["one point two", "eighty-five cents", "one point one", "ninety", "a hundred and sixty", "eleven"]
        )
        result = f"One {a} is worth {n} {b}s." if "cents" not in n else "One dollar is worth eighty-five cents."
        return search(rng, "web.rate", user, query, "the exchange rate", result, [result])
    where, place = a_place(rng, none=0.4)
    when = rng.choice(["tonight", "today", "now", "at the weekend", ""])
    user = pick(
        rng,
        [
            "(which|what) films are (on|showing|playing) {where} {when}",
            "(what's|what is) (on|showing|playing) at the cinema {where} {when}",
            "(any|are there any) good films on {where} {when}",
            "(look up|check|find|can you check) (the films|which films are on) {where} {when}",
            "what film can I see at the cinema {where} {when}",
        ],
        where=where,
        when=when,
    )
    query = join(
        "films" if "film" in user else "cinema films", place, when.replace("at the weekend", "weekend") or "now"
    )
    one, two = rng.sample(lex.FAVOURITES["film"], 2)
    there = f" {where}" if where and where != "here" else ""
    result = rng.choice([f"{one} and {two} are on{there}.", f"On{there} now: {one} and {two}."])
    replies = [f"{one} and {two} are on{there}.", f"You can see {one} or {two}{there}."]
    return search(rng, "web.films", user, query, "the films", result, replies)


FAMILIES = {weather: 8, news: 3, score: 4, hours: 5, price: 4, moving: 5, other: 3}


def web(rng: Random) -> AnsweredRequest:
    """One request that web_search answers."""
    return rng.choices(list(FAMILIES), weights=list(FAMILIES.values()))[0](rng)
