"""Finds role labels of a chat template in an answer, and further turns that the model wrote for the user."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from annie_eval.text import characters

_ROLES = (
    r"assistant|user|system|human|model|chatbot|bot|ai|tool|assistent(?:in)?|benutzer|nutzer|mensch|utilisateur|assistant\(e\)|usuario|usuária?|usuário|asistente"
    r"|assistente|utente|gebruiker|użytkownik|asystent|пользователь|ассистент|помощник|用户|用戶|助手|ユーザー|アシスタント|사용자"
    r"|어시스턴트|المستخدم|المساعد|उपयोगकर्ता|सहायक|customer|agent"
    r"|(?:voice|ai|virtual|home)[ -]assistant|speaker ?\d"
)
_MARKS = r"[ \t*_#>`\[(]{0,6}"
# A line of its own, or one glued to the end of a sentence by a template whose tokens were dropped.
_LINE = re.compile(
    r"^[ \t]{0,4}(?:(?i:assistant|user|system)|Human|Model|Chatbot|Bot|AI|Tool)[ \t]{0,4}(?:\n|\Z)"
    r"|\Amodel[ \t]{0,4}\n|\A\s?[\[(](?i:assistant|user|system)[\])]",
    re.MULTILINE,
)
_GLUED = re.compile(
    r"(?<=[.!?…。！？\"”’)a-z])(?<![\s:])(?:(?<=[.!?…。！？\"”’)])(?:assistant|user|system|model|human)(?:\s*\n|\Z|(?=[A-Z:]))"
    r"|(?:assistant|user)\n\n)|(?<=[.!?…。！？])\s?assistant(?:final|analysis|commentary)"
)
_GLUED_ROLES = ("assistant", "user", "system", "model", "human")
_LABEL = re.compile(
    rf"^{_MARKS}(?:{_ROLES})[*_\])]{{0,3}}\s?[:：]|(?<=[.!?…]\s)(?-i:User|Human|Assistant|AI|USER|ASSISTANT): (?=\S)",
    re.IGNORECASE | re.MULTILINE,
)
_ASKED_AND_ANSWERED = re.compile(r"^[ \t]*(?:Q[.:]|Question:) ?\S.*\n+[ \t]*(?:A[.:]|Answer:) ?\S", re.MULTILINE)
_SELF = re.compile(r"\bYou are (?:called |named )?([A-Z][a-z]+)\b|\b[Yy]our name is ([A-Z][a-z]+)\b")


def find_role(text: str, request: Mapping[str, Any]) -> tuple[str, int, int] | None:
    """(what it is, start, end) of the first role label or further turn in an answer; None if there is none."""
    if line := _LINE.search(text):
        return "role of the chat template in content", *line.span()
    if any(role in text for role in _GLUED_ROLES) and (glued := _GLUED.search(text)):
        return "role of the chat template glued to the answer", *glued.span()
    if not characters(text).isdisjoint(":：") and (label := _LABEL.search(text)):
        return "label of a role in content", *label.span()
    if turns := _ASKED_AND_ANSWERED.search(text):
        return "further turns in the answer", *turns.span()
    if (name := _own_name(request)) and (label := re.match(rf"{_MARKS}{re.escape(name)}[*_\])]{{0,3}}\s?[:：]", text)):
        return "the assistant's own name as a label", *label.span()
    return None


def _own_name(request: Mapping[str, Any]) -> str | None:
    """What the system prompt calls the assistant: `You are Annie, ...`."""
    messages = request.get("messages") or ()
    system = next(
        (one.get("content") for one in messages if isinstance(one, Mapping) and one.get("role") == "system"), None
    )
    found = _SELF.search(system) if isinstance(system, str) else None
    return (found[1] or found[2]) if found else None
