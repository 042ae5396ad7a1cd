"""Composes conversations of exchanges: history, interruptions, follow-ups, thinking. A pure function of kind and seed."""
# ruff: noqa: E501 - a phrase is read best on one line, and a list of words as words

import json
from dataclasses import replace
from random import Random
from typing import Any

from research.annie_smol.generator import (
    facts,
    formats,
    lexicon,
    memory,
    memory_where,
    quiz,
    reasoning,
    sums,
    talk,
    timers,
    topics,
    weather,
    web,
    wording,
)
from research.annie_smol.generator.grammar import pick, sentence
from research.annie_smol.generator.request import AnsweredRequest, Family

KINDS: dict[str, Family] = {
    "greetings": talk.greeting,
    "factual": facts.fact,
    "reasoning": reasoning.reasoning,
    "search_memory": memory.memory,
    "web_search": web.web,
    "set_timer": timers.timer,
    "small_talk": talk.small_talk,
    "topics": topics.topic,
    "formats": formats.formats,
}
MULTI_TURN = "multi_turn"
QUIZ = "quiz"
NAMES = (*KINDS, MULTI_TURN, QUIZ)

_ANY: dict[Family, int] = {
    talk.greeting: 2, facts.fact: 4, reasoning.reasoning: 3, memory.memory: 4, web.web: 4, timers.timer: 3,
    talk.small_talk: 4, topics.topic: 3, formats.formats: 3,
}  # fmt: skip
_NO_TOOL = {family: weight for family, weight in _ANY.items() if family not in {memory.memory, web.web, timers.timer}}


def draw(rng: Random, *, tools: bool | None = None) -> AnsweredRequest:
    """An exchange of any family; `tools` says whether it must or must not call a tool."""
    while True:
        pool = _NO_TOOL if tools is False else _ANY
        made = rng.choices(list(pool), weights=list(pool.values()))[0](rng)
        if tools is None or tools == (made.call is not None):
            return made


def _spoken(rng: Random, exchange: AnsweredRequest) -> AnsweredRequest:
    """The exchange with its request in spoken style."""
    if rng.random() < 0.08:
        exchange = wording.american(exchange)
    return exchange.worded(wording.spoken(rng, exchange.user, exchange.family, question=exchange.question))


_AGAIN = [
    "(what did you say|what was that|say that again|could you say that again|sorry, what was that|can you repeat that|once more)",
    "(I didn't hear you|I missed that), (what did you say|say it again)",
    "(what was your answer|tell me that again|what did you just say)",
]


def _follow_up(rng: Random, tools: bool | None) -> list[AnsweredRequest]:
    """Two exchanges, of which the second refers to the first."""
    while True:
        shape = rng.choice(
            ["again", "asked", "asked", "capital", "weather", "where", "timer", "thanks", "double", "format", "format"]
        )
        if shape == "asked":
            first = rng.choice([timers.timer, facts.capital, formats.a_list, formats.a_list, sums.bare])(rng)
            if not first.again:
                continue
            question, answer = rng.choice(first.again)
            second = AnsweredRequest(
                "follow_up.asked",
                pick(rng, [question, f"[and] {question} [again]"]),
                sentence(answer),
                "It was said a moment ago. No tool is needed.",
            )
        elif shape == "again":
            first = draw(rng)
            second = AnsweredRequest(
                "follow_up.again", pick(rng, _AGAIN), first.reply, "I say my last words once more."
            )
        elif shape == "capital":
            first = facts.capital(rng)
            country = rng.choice(sorted(lexicon.CAPITALS))
            user = pick(
                rng,
                [
                    "and of {x}",
                    "and what about {x}",
                    "what about {x}",
                    "and {x}",
                    "and the one of {x}",
                    "how about {x}",
                ],
                x=country,
            )
            second = AnsweredRequest(
                "follow_up.capital",
                user,
                f"The capital of {country} is {lexicon.CAPITALS[country]}.",
                f"Now the capital of {country}.",
            )
            if (
                country in first.user
                or "is the capital of which" in first.user
                or "which country" in first.user
                or "what country" in first.user
            ):
                continue
        elif shape == "weather":
            first = weather.weather(rng)
            there = next((place for place in lexicon.PLACES if place in first.user), "")
            again = weather.weather(rng)
            place = next((place for place in lexicon.PLACES if place in again.user), "")
            if not there or not place or place == there or again.call is None:
                continue
            day = next((when for when in ("tonight", "tomorrow", "weekend") if when in str(again.call[1])), "today")
            when_asked = {"weekend": "at the weekend", "today": ""}.get(day, day)
            user = pick(
                rng,
                [
                    "and in {place} {day}",
                    "what about {place} {day}",
                    "and {place} {day}",
                    "how about in {place} {day}",
                ],
                place=place,
                day=when_asked,
            )
            second = replace(
                again,
                user=user,
                family="follow_up.weather",
                call=("web_search", f"weather {place} {day}"),
                question=True,
            )
        elif shape == "where":
            first = memory_where.where(rng)
            if first.result.startswith("No"):
                continue
            user = pick(
                rng,
                [
                    "where did you say (it was|they were)",
                    "sorry, where (was it|were they)",
                    "where was that again",
                    "where again",
                ],
            )
            reply = first.reply
            for lead in ("I found it. ", "Here it is. ", "Yes. ", "Found it. ", "You told me before. "):
                reply = reply.removeprefix(lead)
            second = AnsweredRequest("follow_up.where", user, reply, "I just found that. I say it again.")
        elif shape == "timer":
            first = timers.timer(rng)
            minutes = rng.randint(1, 60)
            unit = "minute" if minutes == 1 else "minutes"
            number = rng.choice([str(minutes), lexicon.in_words(minutes)])
            user = pick(rng, ["and another [one] for {n} {unit}", "and one for {n} {unit}", "no, make it {n} {unit}", "{n} {unit}, sorry", "actually, {n} {unit}", "and {n} {unit} more for the {thing}"],
                        n=number, unit=unit, thing=rng.choice(lexicon.TIMED))  # fmt: skip
            second = AnsweredRequest(
                "follow_up.timer",
                user,
                f"The timer is set for {minutes} {unit}.",
                f"Another timer, {minutes} {unit}.",
                ("set_timer", minutes),
                f"The timer is set for {minutes} {unit}.",
                "It is set.",
                question=False,
            )
        elif shape == "format":
            first = rng.choice([formats.a_list, topics.about, topics.how_to, talk.advice])(rng)
            form = pick(rng, formats.FORM)
            user = pick(
                rng,
                [
                    "(now|and) (again|that) {form}",
                    "(can|could) you (write|say|put|do) that {form}",
                    "say it {form}",
                    "(put|write) (it|that) {form}",
                    "the same {form}",
                    "I'd like that {form}",
                ],
                form=form,
            )
            lead = rng.choice(["", "", "In plain words: ", "I'll say it plainly. "])
            second = AnsweredRequest(
                "follow_up.format", user, lead + first.reply, "I keep to plain words, and say it once more."
            )
        elif shape == "double":
            first = formats.a_list(rng)
            second = draw(rng, tools=False)
        else:
            first = draw(rng, tools=True)
            second = talk.manners(rng)
        if tools is None or tools == (second.call is not None):
            return [first, second]


def multi_turn(rng: Random, tools: bool | None = None) -> list[AnsweredRequest]:
    """Two to six exchanges; the last one is the request, and with `tools` False none calls a tool."""
    before = False if tools is False else None
    if rng.random() < 0.4:
        exchanges = _follow_up(rng, tools)
        exchanges = [draw(rng, tools=before) for _ in range(rng.choice([0, 0, 1, 2]))] + exchanges
    else:
        exchanges = [draw(rng, tools=before) for _ in range(rng.choice([1, 1, 2, 2, 3, 4, 5]))]
        exchanges.append(draw(rng, tools=tools))
    return exchanges


def _interrupted(rng: Random, text: str) -> str:
    """A reply that stops in the middle."""
    words = text.split(" ")
    return " ".join(words[: max(1, rng.randint(len(words) // 3, len(words) - 1))]).rstrip(".!?")


def conversation(
    kind: str, rng: Random, *, tools: bool | None = None, think: float = 0.3, number: int | None = None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The messages of one conversation without the system message, and its metadata: kind, family and thinking.

    An interrupted reply has `weight` 0, as in OpenAI's fine-tuning format: the model is not trained on it.

    Args:
        kind: one of NAMES.
        tools: for `multi_turn`: whether the last request must call a tool, or no request may.
        think: share of conversations with thinking on.
        number: for a quiz: its index, which decides the questions; None for random questions.

    Raises:
        KeyError: there is no such kind.
    """
    if kind == MULTI_TURN:
        exchanges = multi_turn(rng, tools)
        while tools is False and any(one.call for one in exchanges):
            exchanges = multi_turn(rng, tools)
    elif kind == QUIZ:
        exchanges = quiz.quiz(rng, rng.randrange(10_000) if number is None else number)
    else:
        exchanges = [KINDS[kind](rng)]
    spoken = [_spoken(rng, exchange) for exchange in exchanges]
    thinking = "on" if rng.random() < think else rng.choices(["off", "unset"], weights=[5, 2])[0]
    thinks = thinking == "on"
    messages: list[dict[str, Any]] = []
    calls = 0
    for index, exchange in enumerate(spoken):
        messages.append({"role": "user", "content": exchange.user})
        if exchange.call is not None:
            calls += 1
            messages += _call(exchange, f"call_{calls}", think=thinks)
        thought = exchange.thought if exchange.call is None else exchange.thought_after
        messages.append(_assistant(exchange.reply, thought if thinks else ""))
        if kind != QUIZ and index == len(spoken) - 2 and _may_break(exchange, spoken[-1]) and rng.random() < 0.12:
            messages[-1]["content"] = _interrupted(rng, exchange.reply)
            messages[-1]["weight"] = 0  # context, not trained on
    what: dict[str, Any] = {"kind": kind, "family": spoken[-1].family, "thinking": thinking}
    expect = spoken[-1].expect or {}
    if spoken[-1].family == "talk.thinking":
        expect = {"topic": ["tags", "thinking"]}  # that a reply may mention
    if expect:
        what["expect"] = expect
    return messages, what


def _may_break(before: AnsweredRequest, last: AnsweredRequest) -> bool:
    return len(before.reply.split()) > 3 and not last.family.startswith("follow_up")


_ARGUMENT = {"search_memory": "query", "web_search": "query", "set_timer": "minutes"}


def _call(exchange: AnsweredRequest, call_id: str, *, think: bool) -> list[dict[str, Any]]:
    assert exchange.call is not None
    name, value = exchange.call
    arguments = json.dumps({_ARGUMENT[name]: value}, ensure_ascii=False)
    message = _assistant("", exchange.thought if think else "")
    message["tool_calls"] = [{"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}]
    return [message, {"role": "tool", "tool_call_id": call_id, "content": exchange.result}]


def _assistant(content: str, thought: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if thought:
        message["reasoning_content"] = thought
    return message
