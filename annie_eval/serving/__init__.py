"""Starts or finds the server to judge: a checkpoint served here, natively or in Docker, or a running server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from annie_eval.serving.spec import TargetSpec, check

if TYPE_CHECKING:
    from annie_eval.serving.target import Greeting, Target, open_target

__all__ = ["Greeting", "Target", "TargetSpec", "check", "open_target"]


def __getattr__(name: str) -> Any:
    # `check` must start fast; asyncio and the HTTP client are imported when a target is opened.
    if name in ("Greeting", "Target", "open_target"):
        from annie_eval.serving import target

        return getattr(target, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
