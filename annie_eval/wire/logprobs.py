"""Reads the tokens of one unstreamed reply with their log-probabilities (`top_logprobs`). Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annie_eval.errors import ExchangeError


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer.

    Attributes:
        text: the token's text from the server.
        logprob: log-probability of the token, in nats.
        top: the most likely tokens at this position with their log-probabilities; may lack the token itself.
    """

    text: str
    logprob: float
    top: Mapping[str, float]


def read(body: bytes) -> tuple[Token, ...] | None:
    """The tokens of a chat completion that `parse` has read, in order; None if it has no log-probabilities.

    Raises:
        ExchangeError: the body is not JSON, or its log-probabilities do not have OpenAI's format.
    """
    try:
        choice = json.loads(body)["choices"][0]
        rows = (choice.get("logprobs") or {}).get("content")
        return None if rows is None else tuple(map(_token, rows))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ExchangeError(f"logprobs cannot be read ({type(error).__name__}: {error})") from None


def _token(row: Mapping[str, Any]) -> Token:
    top = {str(each["token"]): _number(each["logprob"]) for each in row["top_logprobs"]}
    return Token(str(row["token"]), _number(row["logprob"]), top)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value > 1e-3:
        raise ValueError(f"{value!r} is no log-probability")
    return float(value)
