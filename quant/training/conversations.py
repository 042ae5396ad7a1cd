"""Reads conversations for training and turns them into token sequences, with a mark on every token that has a loss.

A line is `{"messages": [...], "tools": [...], "chat_template_kwargs": {...}}` in OpenAI's format; tool arguments may
be a JSON string or an object; reasoning is in `reasoning_content`. Each assistant turn is rendered with the model's
own template twice: up to the generation prompt, and with the turn. The difference is what the model would have to
generate. It is learnt, up to and including the stop token, and nothing else. Prompt and answer are tokenised
separately, as on a server. A turn with `"weight": 0` (OpenAI's fine-tuning format) is context and is not learnt. If
`chat_template_kwargs` does not set thinking, it is on for turns with reasoning and off for the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quant.checkpoint.templates import turn_end
from quant.errors import UsageError
from quant.quantize.calibration import read_samples
from quant.quantize.data_files import Format

ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids, and for each whether it is learnt (has a loss). `line` is its line in the data file."""

    ids: tuple[int, ...]
    learnt: tuple[bool, ...]
    line: int


def read_conversations(path: Path, shape: Format = "messages") -> list[dict[str, Any]]:
    """Read and check the conversations of a data file: roles, and every tool call against the schema of its tool.

    Raises:
        UsageError: names the line, the field and the fix.
    """
    samples = read_samples(path, None, shape)
    for sample in samples:
        if "messages" not in sample:
            raise UsageError(
                f"{path}:{sample['line']}: has text; training needs messages, to know which part is the answer"
            )
        _check(sample, f"{path}:{sample['line']}")
    return samples


def _check(sample: dict[str, Any], where: str) -> None:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    functions: dict[str, Any] = {}
    for index, tool in enumerate(sample["tools"] or []):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise UsageError(
                f"{where}: tools.{index}: is not a function; write {{type: function, function: {{name, …}}}}"
            )
        functions[function["name"]] = function.get("parameters") or {"type": "object"}
    if not any(message["role"] == "assistant" and message.get("weight") != 0 for message in sample["messages"]):
        raise UsageError(f"{where}: messages: no assistant message is to be learnt; remove the line")
    for index, message in enumerate(sample["messages"]):
        at = f"{where}: messages.{index}"
        if message["role"] not in ROLES:
            raise UsageError(f"{at}: role {message['role']!r}; write one of {', '.join(ROLES)}")
        if not isinstance(message.get("content"), str | None):
            raise UsageError(f"{at}: content is no string")
        learnt = message["role"] == "assistant" and message.get("weight") != 0
        if learnt and not (message.get("content") or "").strip() and not message.get("tool_calls"):
            raise UsageError(
                f"{at}: says nothing and calls nothing, so that silence would be learnt; remove the line, or give the "
                'turn "weight": 0'
            )
        for number, call in enumerate(message.get("tool_calls") or []):
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict) or function.get("name") not in functions:
                name = function.get("name") if isinstance(function, dict) else None
                raise UsageError(
                    f"{at}: tool_calls.{number}: calls {name!r}, which is not among tools; add it, or remove the line"
                )
            arguments = _arguments(function, f"{at}: tool_calls.{number}")
            try:
                wrong = next(iter(Draft202012Validator(functions[function["name"]]).iter_errors(arguments)), None)
            except SchemaError as error:
                raise UsageError(f"{where}: tools: {function['name']}: no JSON schema: {error.message}") from None
            if wrong is not None:
                raise UsageError(
                    f"{at}: tool_calls.{number}: arguments of {function['name']} fail its schema: {wrong.message}; "
                    "fix or remove the line"
                )


def _arguments(function: dict[str, Any], where: str) -> Any:
    arguments = function.get("arguments", {})
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except ValueError:
        raise UsageError(f"{where}: arguments are no JSON: {arguments[:60]!r}; fix or remove the line") from None


def _with_objects(message: dict[str, Any]) -> dict[str, Any]:
    """The message with its tool arguments as objects, because templates iterate over them."""
    if not message.get("tool_calls"):
        return message
    calls = []
    for call in message["tool_calls"]:
        function = call["function"]
        calls.append({**call, "function": {**function, "arguments": _arguments(function, "")}})
    return {**message, "tool_calls": calls}


_KEPT_TURNS = 64
"""Size of the cache of tokenised beginnings; most data sets have few different ones."""


def _is_apart(tokenizer: Any, stop: str) -> bool:
    """Whether text before and after `stop` is tokenised separately: it is one added token that strips no spaces."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return any(token.content == stop and not token.lstrip and not token.rstrip for token in added.values())


LEAST_SHARE = 0.5
"""At least this share of the tokens in assistant messages must be learnt."""
_PROBE = "An answer of no importance"
#: Keys for reasoning in data of different origin; only those that the template renders can be learnt.
_THOUGHTS = (
    "reasoning_content", "reasoning", "thinking", "thought", "thoughts", "thinking_content", "reasoning_text",
    "analysis", "chain_of_thought", "scratchpad",
)  # fmt: skip


def _special_texts(tokenizer: Any) -> list[str]:
    """Texts of the tokens that mark turns: one inside an answer would end it or begin another turn."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    special = {token.content for token in added.values() if token.special}
    return sorted({*special, *(getattr(tokenizer, "all_special_tokens", None) or [])})


def _shown(text: str, answer: str) -> bool:
    """Whether a rendered turn contains `text`; the template may change its white space."""
    return text.strip() in answer or "".join(text.split()) in "".join(answer.split())


class Renderer:
    """Turns conversations into examples with one tokenizer.

    Args:
        tokenizer: a tokenizer with a chat template.
        stop: text of the token that ends a turn; None takes the tokenizer's `eos_token`.
    """

    def __init__(self, tokenizer: Any, stop: str | None = None) -> None:
        if tokenizer.chat_template is None:
            raise UsageError("the model has no chat template, so its turns cannot be rendered; add one")
        self._tokenizer = tokenizer
        self._specials = _special_texts(tokenizer)
        self._stop = stop or self._found_stop() or tokenizer.eos_token
        if not self._stop:
            raise UsageError("the tokenizer has no eos_token, so no turn would end; set it in tokenizer_config.json")
        self.name = f"the chat template of {getattr(tokenizer, 'name_or_path', '') or 'the model'}"
        self._turns: dict[str, list[int]] = {}
        self._parts = _is_apart(tokenizer, self._stop)

    def examples(self, sample: dict[str, Any], path: Path, max_length: int) -> Iterator[Example]:
        """Sequences of one conversation: one, or more if the template changes earlier turns (drops their reasoning).

        Raises:
            UsageError: the template refuses the conversation, a rendered turn does not begin with its generation
                prompt, or the sequence is longer than `max_length`.
        """
        line = sample["line"]
        where = f"{path}:{line}"
        messages = [_with_objects(message) for message in sample["messages"]]
        held: _Sequence | None = None
        for index, message in enumerate(messages):
            self._check_specials(message, f"{where}: messages.{index}")
            if message["role"] != "assistant" or message.get("weight") == 0:
                continue
            options = sample.get("chat_template_kwargs")
            if options is None:
                options = {"enable_thinking": bool(message.get("reasoning_content") or message.get("reasoning"))}
            prompt = self._render(messages[:index], sample["tools"], options, where, generate=True)
            rendered = self._render(messages[: index + 1], sample["tools"], options, where, generate=False)
            if not rendered.startswith(prompt):
                raise UsageError(
                    f"{where}: messages.{index}: the template asks for this turn with "
                    f"{prompt[-40:]!r} and renders it otherwise; check reasoning_content and chat_template_kwargs"
                )
            answer = rendered[len(prompt) :]
            # the first one, because a server stops there, whatever the template writes after it
            end = answer.find(self._stop)
            if end < 0:
                raise UsageError(f"{where}: messages.{index}: the template does not end the turn with {self._stop!r}")
            self._check_shown(messages[index], answer[:end], f"{where}: messages.{index}")
            answer = answer[: end + len(self._stop)]
            if held is None or not prompt.startswith(held.text):
                if held is not None:
                    yield held.example(line)
                held = _Sequence()
            held.add(prompt[len(held.text) :], self._ids(prompt[len(held.text) :]), learnt=False)
            held.add(answer, self._ids(answer), learnt=True)
            if len(held.ids) > max_length:
                raise UsageError(
                    f"{where}: {len(held.ids)} tokens, but max_length is {max_length}; raise it in the recipe, or "
                    "shorten the conversation"
                )
        assert held is not None
        yield held.example(line)

    def _found_stop(self) -> str | None:
        """The special token that the template writes after an answer; None if it writes none or refuses."""
        messages = [{"role": "user", "content": "Question"}, {"role": "assistant", "content": _PROBE}]
        try:
            text = self._tokenizer.apply_chat_template(messages, tokenize=False)
        except Exception:  # templates can raise anything
            text = ""
        if _PROBE not in text:
            return turn_end(str(self._tokenizer.chat_template))
        behind = text.rpartition(_PROBE)[2]
        found = [(behind.find(token), token) for token in self._specials if token in behind]
        return min(found)[1] if found else None

    def _check_shown(self, message: dict[str, Any], answer: str, at: str) -> None:
        """Raise UsageError if the template leaves out a part of the turn: the model would learn to leave it out."""
        for key in ("content", *_THOUGHTS):
            text = message.get(key)
            if isinstance(text, str) and text.strip() and not _shown(text, answer):
                fix = "take it out, or take a template that shows it"
                if key not in {"content", "reasoning_content"}:
                    fix = f"call it reasoning_content, or {fix}"
                raise UsageError(f"{at}: {self.name} leaves out its {key}, so that its absence is learnt; {fix}")
        calls = [call["function"]["name"] for call in message.get("tool_calls") or []]
        if gone := next((name for name in calls if name not in answer), None):
            raise UsageError(f"{at}: {self.name} leaves out its call of {gone}; take a template with tools")

    def _check_specials(self, message: dict[str, Any], at: str) -> None:
        """Raise UsageError if the text contains a token that marks turns: it would end the turn or begin another."""
        for key in ("content", *_THOUGHTS):
            text = message.get(key)
            if isinstance(text, str) and (token := next((t for t in self._specials if t in text), None)):
                raise UsageError(f"{at}: {key} holds {token!r}, a special token of the tokenizer; take it out")

    def share(self, samples: Sequence[dict[str, Any]], examples: Sequence[Example]) -> float:
        """Learnt tokens per token of the assistants' texts; more than 1 because of the tokens around the texts."""
        texts = [
            str(message[key])
            for sample in samples
            for message in sample["messages"]
            if message["role"] == "assistant" and message.get("weight") != 0
            for key in ("content", *_THOUGHTS)
            if isinstance(message.get(key), str)
        ]
        wanted = sum(len(self._tokenized(text)) for text in texts)
        return sum(sum(example.learnt) for example in examples) / max(wanted, 1)

    def _ids(self, text: str) -> list[int]:
        """Token ids; common beginnings, such as system prompt and tools, are tokenised once."""
        first, stop, rest = text.partition(self._stop) if self._parts else ("", "", text)
        if not stop:
            return self._tokenized(text)
        opening = first + stop
        if opening not in self._turns:
            all_ids, ids = self._tokenized(text), self._tokenized(opening)
            self._parts = all_ids == ids + self._tokenized(rest)  # not if the tokenizer puts a space before each part
            if self._parts and len(self._turns) < _KEPT_TURNS:
                self._turns[opening] = ids
            return all_ids
        return self._turns[opening] + self._tokenized(rest)

    def _tokenized(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _render(self, messages: list[Any], tools: Any, options: dict[str, Any], where: str, *, generate: bool) -> str:
        try:
            text: str = self._tokenizer.apply_chat_template(
                messages, tools=tools, tokenize=False, add_generation_prompt=generate, **options
            )
        except Exception as error:  # templates can raise anything
            message = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UsageError(f"{where}: the chat template refuses it: {message}") from error
        return text


class _Sequence:
    def __init__(self) -> None:
        self.text = ""
        self.ids: list[int] = []
        self.learnt: list[bool] = []

    def add(self, text: str, ids: list[int], *, learnt: bool) -> None:
        self.text += text
        self.ids += ids
        self.learnt += [learnt] * len(ids)

    def example(self, line: int) -> Example:
        return Example(tuple(self.ids), tuple(self.learnt), line)


def render_all(tokenizer: Any, samples: Sequence[dict[str, Any]], path: Path, max_length: int) -> list[Example]:
    """Examples of all conversations, in the file's order. Raises what `Renderer.examples` raises."""
    renderer = Renderer(tokenizer)
    found = [example for sample in samples for example in renderer.examples(sample, path, max_length)]
    if (share := renderer.share(samples, found)) < LEAST_SHARE:
        raise UsageError(
            f"{path}: only {share:.0%} of what assistants say is learnt: {renderer.name} leaves out the rest; "
            "see `preview`, and take another template"
        )
    return found
