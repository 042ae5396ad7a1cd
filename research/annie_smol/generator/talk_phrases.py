"""Phrases of small talk with a voice assistant, and their answers."""

from typing import Any

from research.annie_smol.generator.phrases import table

#: the user's phrases, whether they are questions, the answers
Phrases = tuple[list[str], bool, list[str]]

_TALK = table("talk")


def _phrases(name: str) -> list[Phrases]:
    return [(one["user"], one.get("question", False), one["answers"]) for one in _TALK[name]]


def _pair(one: dict[str, Any]) -> tuple[list[str], list[str]]:
    return one["user"], one["answers"]


GREETINGS, MANNERS, ABOUT_ANNIE = _phrases("greetings"), _phrases("manners"), _phrases("about_annie")
MOODS, EVENTS, THINKING = _phrases("moods"), _phrases("events"), _phrases("thinking")
ANIMALS: list[str] = _TALK["animals"]
JOKES: list[str] = _TALK["jokes"]
STORY_A: list[str] = _TALK["story_a"]
STORY_DO: list[tuple[str, str]] = [(one["trouble"], one["end"]) for one in _TALK["story_do"]]
COMPLIMENTS: list[str] = _TALK["compliments"]
WISHES: dict[str, list[str]] = _TALK["wishes"]
ADVICE = [_pair(one) for one in _TALK["advice"]]
COOK, DO = _pair(_TALK["cook"]), _pair(_TALK["do"])
BROKEN: list[str] = _TALK["broken"]
THOUGHT: list[str] = _TALK["thought"]
