"""Time spans to wait, started with set_timer."""

from random import Random

from research.annie_smol.generator import lexicon as lex
from research.annie_smol.generator.grammar import pick, sentence
from research.annie_smol.generator.request import AnsweredRequest

_SPANS = {15: ["a quarter of an hour", "15 minutes"], 30: ["half an hour", "30 minutes"], 60: ["an hour", "one hour"]}


def _minutes(rng: Random) -> int:
    return rng.choice([rng.randint(1, 60), rng.choice([5, 10, 15, 20, 30, 45, 60, 3, 8, 12, 25, 40])])


def _span(rng: Random, minutes: int) -> str:
    if minutes in _SPANS and rng.random() < 0.5:
        return rng.choice(_SPANS[minutes])
    number = rng.choice([str(minutes), lex.in_words(minutes)])
    return f"{number} minute{'s' if minutes > 1 else ''}"


_FOR_THING = [
    "(set|start|put on) a timer for {span} for (the|my) {thing}",
    "(set|start|make) a {flat} timer for (the|my) {thing}",
    "(set|start) (the|a) {thing} timer for {span}",
    "{span} for the {thing}",
    "{span} on the timer for the {thing}",
    "time {span} for (the|my) {thing}",
    "give (me|it|us) {span} for the {thing}",
    "the {thing} (needs|need|takes|take) {span}",
    "the {thing} (needs|need) {span}, (can you time it|please time it|set a timer|start a timer)",
    "(can|could|would) you (time|set a timer for|start) {span} for the {thing}",
    "tell me when the {thing} (has|have) had {span}",
    "I (need|want|'d like) a timer for the {thing}, {span}",
    "remind me about the {thing} in {span}",
    "let me know when {span} are up for the {thing}",
    "I'm (starting|making|doing) the {thing} now, {span}",
    "(let|leave) the {thing} (in|on|alone) for {span}",
    "the {thing} (has to|must|should) (wait|stay in|rest) {span}",
    "the {thing} (is|are) (in|on) now, {span} [please]",
    "I'd like {span} for the {thing}",
    "{thing} timer, {span}",
    "a timer for the {thing}, {span}",
    "{thing}, {span}",
    "check the {thing} in {span}",
    "the {thing} should be (ready|done) in {span}",
    "wake me after {span}, it's time for (my|a) {thing}",
]
_PLAIN = [
    "(set|start|put) a timer for {span}",
    "(set|start|make) a {flat} timer",
    "(set|start) the timer to {span}",
    "timer for {span}",
    "timer, {span}",
    "time {span} [for me]",
    "give me {span}",
    "wake me [up] in {span}",
    "wake me [up] after {span}",
    "tell me when {span} are (up|over|gone)",
    "let me know when {span} (are up|have passed|are over)",
    "(can|could|would) you (set a timer for|time|start a timer for) {span}",
    "I (need|want|'d like) a timer for {span}",
    "count [down] {span} for me",
    "remind me in {span}",
    "(ping|buzz|poke) me in {span}",
    "(stop|warn|tell) me after {span}",
    "start counting {span}",
    "let {span} run",
    "I have {span} [left]",
    "I (want|have|need) to wait {span}",
    "in {span} I have to go, tell me then",
    "say when {span} are (over|up|done)",
    "(begin|start) {span} now",
    "a timer, {span}",
    "timer on for {span}",
    "{span} timer",
    "{span} from now, please",
    "call me in {span}",
    "ring in {span}",
    "{span} on the clock",
]


def timer(rng: Random) -> AnsweredRequest:
    """A request for a timer."""
    minutes = _minutes(rng)
    span = _span(rng, minutes)
    flat = f"{rng.choice([str(minutes), lex.in_words(minutes)])} minute"
    thing = rng.choice(lex.TIMED)
    named = rng.random() < 0.55
    user = pick(rng, _FOR_THING if named else _PLAIN, span=span, thing=thing, flat=flat)
    user = user.replace("I 'd", "I'd")
    if "hour" in span or minutes == 1:
        user = user.replace(f"{span} are ", f"{span} is ").replace(f"{span} have ", f"{span} has ")
    user = user.replace("for the homework", "for homework") if rng.random() < 0.3 else user
    asks = user.startswith(("can", "could", "would"))
    unit = "minute" if minutes == 1 else "minutes"
    said = rng.choice([str(minutes), str(minutes), lex.in_words(minutes)])
    result = f"The timer is set for {minutes} {unit}."
    if rng.random() < 0.3:
        result = rng.choice([f"Timer started: {minutes} {unit}.", f"The timer is running for {minutes} {unit}."])
    for_thing = f" for the {thing}" if named and thing in user else ""
    replies = [
        f"The timer is set for {said} {unit}.",
        f"Your timer{for_thing} is set for {said} {unit}.",
        f"Okay, {said} {unit}{for_thing}.",
        f"Done, the timer runs for {said} {unit}.",
        f"I'll let you know in {said} {unit}.",
        f"{sentence(said, '')} {unit}{for_thing}, starting now.",
    ]
    thought = pick(
        rng,
        [
            "{span} to wait{for_thing}. That needs a timer.",
            "A timer for {span}{for_thing}.",
            "This is a time span of {span}. I start a timer.",
            "I set the timer to {number} minutes.",
            "{span}: I use the timer.",
        ],
        span=span,
        for_thing=for_thing,
        number=str(minutes),
    )
    after = rng.choice(["The timer runs.", "It is set. I say so.", "Done, so I confirm it.", "The timer has started."])
    return AnsweredRequest(
        "timer",
        user,
        rng.choice(replies),
        sentence(thought),
        ("set_timer", minutes),
        result,
        after,
        asks,
        again=(
            ("how many minutes did I say", f"You said {said} {unit}."),
            ("how long did I say", f"You said {said} {unit}."),
        ),
    )
