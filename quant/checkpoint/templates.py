"""Finds the chat template of a checkpoint and the token that ends a turn in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quant.checkpoint.safetensors_file import BadFile
from quant.checkpoint.untrusted import read_bytes, read_json

#: Largest size in bytes of a template that is read; the longest have 30,000.
LARGEST = 1 << 20
#: Tokens that end an assistant's turn and may differ from the tokenizer's eos_token, most certain first.
TURN_ENDS = (
    "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<turn|>", "<|eot|>", "<|end_of_turn|>", "<|END_OF_TURN_TOKEN|>",
    "<|end|>",
)  # fmt: skip
_NOT_ENDS = {"<|end|>": "<|return|>"}  # if the second is in the template, it is the end


def template_text(directory: Path) -> str:
    """The chat template from chat_template.jinja, else chat_template.json, else tokenizer_config.json; else ""."""
    path = directory / "chat_template.jinja"
    if path.is_file():
        try:
            return read_bytes(path, LARGEST).decode(errors="replace")
        except BadFile:
            return ""
    for name in ("chat_template.json", "tokenizer_config.json"):
        if text := in_settings(_settings(directory / name)):
            return text
    return ""


def in_settings(settings: dict[str, Any]) -> str:
    """The template in tokenizer_config.json: a string, or of several the one named "default"; else ""."""
    found = settings.get("chat_template")
    if isinstance(found, list):
        named = {entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)}
        found = named.get("default", next(iter(named.values()), None))
    return found if isinstance(found, str) else ""


def _settings(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except BadFile:
        return {}
    return content if isinstance(content, dict) else {}


def turn_end(template: str) -> str | None:
    """The token that ends a turn, found by its text in the template; None if the template has no known one."""
    for token in TURN_ENDS:
        if token in template and not (token in _NOT_ENDS and _NOT_ENDS[token] in template):
            return token
    return None
