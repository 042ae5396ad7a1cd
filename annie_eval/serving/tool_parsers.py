"""Finds the tool call parser that vLLM needs for a checkpoint, by the chat template."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from annie_eval.errors import UsageError
from annie_eval.profile.serving_args import means
from annie_eval.serving import checkpoint
from annie_eval.untrusted.regular_files import is_file, read_bytes

if TYPE_CHECKING:
    from annie_eval.profile.types import Profile

#: Text in a chat template that identifies its format of tool calls -> vLLM's parser; the first match counts.
MARKS = (
    ("<｜tool▁calls▁begin｜>", "deepseek_v3"), ("<|tool_calls_section_begin|>", "kimi_k2"),
    ("<minimax:tool_call>", "minimax_m2"),
    ("<arg_key>", "glm45"), ("<function=", "qwen3_coder"), ("<|tool_call>", "gemma4"), ("[TOOL_CALLS]", "mistral"),
    ("<|channel|>", "openai"), ("<|python_tag|>", "llama3_json"), ("Environment: ipython", "llama3_json"),
    ("<tool_call>", "hermes"),
)  # fmt: skip
LIST = "`annie-eval docs profiles` lists the usual ones"


def check(profile: Profile, model: Path, arguments: Sequence[str]) -> None:
    """Refuse a profile with tools for a server without a tool parser, which would answer every request with HTTP 400.

    Args:
        arguments: further arguments of the server, which may name the parser.

    Raises:
        UsageError: in one line the profile, its field, and the parser that fits the checkpoint.
    """
    named = any(means(each, "--tool-call-parser") for each in arguments)
    enabled = any(means(each, "--enable-auto-tool-choice") for each in arguments)
    if not profile.tools or profile.serving.tool_parser or (named and enabled):
        return
    found = _of_template(_template(model, arguments))
    fix = (
        f"no parser is known for this checkpoint's chat template: {LIST}"
        if found is None
        else f'under [serving], write tool_parser = "{found[1]}", which reads the {found[0]} of this chat template'
    )
    raise UsageError(f"{profile.path}: has tools, and no serving.tool_parser, without which vLLM refuses them; {fix}")


def _of_template(template: str | None) -> tuple[str, str] | None:
    """The mark that was found, and its parser."""
    return next((pair for pair in MARKS if template is not None and pair[0] in template), None)


def _template(model: Path, arguments: Sequence[str]) -> str | None:
    """The chat template that the server will use: that of the arguments, which is a file or the text itself."""
    for argument, following in itertools.pairwise((*arguments, "")):
        if means(argument, "--chat-template"):
            given = argument.partition("=")[2] or following
            return read_bytes(Path(given)).decode("utf-8", "replace") if is_file(Path(given)) else given
    return checkpoint.template(model)
