"""Reads calibration data (conversations or texts in JSON Lines, or plain text) and makes batches of tokens.

A line is `{"messages": […], "tools": […]}`, rendered with the model's own chat template, or `{"text": "…"}`. A `.txt`
file is cut into pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quant.errors import UsageError
from quant.quantize.data_files import Format, as_messages, read_text, rows

if TYPE_CHECKING:
    from torch import Tensor

    from quant.recipe import Calibration


LEAST_SHARED = 32  # length in tokens of a common beginning from which a KV cache saves time


def read_samples(path: Path, limit: int | None, shape: Format = "messages") -> list[dict[str, Any]]:
    """The first `limit` samples of a data file (None: all), each with `messages` (and perhaps `tools`) or `text`.

    `shape` "auto" also reads the other formats of `data_files`. Raises UsageError with the line and what is wrong.
    """
    if path.suffix == ".txt" and not path.is_dir():
        text = read_text(path)
        samples: list[dict[str, Any]] = [{"text": text, "line": 1}] if text.strip() else []
    else:
        samples = [_checked(path, number, row, shape) for number, row in islice(rows(path, shape), limit)]
    if not samples:
        raise UsageError(f"{path}: holds no sample; write one JSON object a line, with messages or text")
    return samples


def _checked(path: Path, number: int, row: Any, shape: Format) -> dict[str, Any]:
    sample = as_messages(row, f"{path}:{number}", shape)
    if not isinstance(sample, dict):
        raise UsageError(f"{path}:{number}: is a {type(sample).__name__}; write an object with messages or text")
    if isinstance(sample.get("text"), str):
        return {"text": sample["text"], "line": number}
    messages = sample.get("messages")
    if not isinstance(messages, list) or not messages:
        raise UsageError(f"{path}:{number}: has neither text nor messages; write one of them")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise UsageError(f"{path}:{number}: messages.{index} has no role; write user, assistant, system or tool")
    tools = sample.get("tools")
    if tools is not None and not isinstance(tools, list):
        raise UsageError(f"{path}:{number}: tools is no list; write a list of function definitions")
    options = sample.get("chat_template_kwargs")
    if options is not None and not isinstance(options, dict):
        raise UsageError(f'{path}:{number}: chat_template_kwargs is no object; write {{"enable_thinking": false}}')
    return {"messages": messages, "tools": tools or None, "chat_template_kwargs": options, "line": number}


def tokenize(
    tokenizer: Any, samples: list[dict[str, Any]], path: Path, max_length: int, limit: int
) -> list[list[int]]:
    """Token ids of up to `limit` samples, each cut to `max_length` tokens.

    Raises UsageError if the chat template refuses a conversation.
    """
    sequences: list[list[int]] = []
    for sample in samples:
        if "text" in sample:
            ids = _ids(tokenizer, sample["text"], path, sample["line"])
            sequences += [ids[start : start + max_length] for start in range(0, len(ids), max_length)]
        else:
            if tokenizer.chat_template is None:
                raise UsageError(f"{path}: has messages, but the model has no chat template; use text instead")
            try:
                text = tokenizer.apply_chat_template(
                    sample["messages"], tools=sample["tools"], tokenize=False, **sample["chat_template_kwargs"] or {}
                )
            except Exception as error:  # templates can raise anything
                message = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise UsageError(f"{path}:{sample['line']}: the chat template refuses it: {message}") from error
            sequences.append(_ids(tokenizer, text, path, sample["line"])[:max_length])
    sequences = [ids for ids in sequences if len(ids) > 1][:limit]
    if not sequences:
        raise UsageError(f"{path}: no sample is longer than one token")
    return sequences


def warnings(
    samples: list[dict[str, Any]], sequences: list[list[int]], template: object, limits: Calibration
) -> list[str]:
    """What the data lack, one line each: tokens, as against what the recipe takes, and tools if no sample has any.

    Args:
        sequences: the samples as tokens.
        template: the model's chat template, None if it has none.
    """
    found = []
    tokens, most = sum(map(len, sequences)), limits.samples * limits.max_length
    if 2 * tokens < most:
        found.append(
            f"{len(sequences)} samples with {tokens:,} tokens are few: the recipe takes {limits.samples} samples of up"
            f" to {limits.max_length} tokens, and was measured with data that have nearly that many"
        )
    talks = [sample for sample in samples if "messages" in sample]
    if talks and "tools" in str(template) and not any(sample["tools"] for sample in talks):
        found.append(
            "no sample has `tools`, and the model's chat template can show tools: if the model will be given tools,"
            " give them here too"
        )
    return found


def _ids(tokenizer: Any, text: str, path: Path, line: int) -> list[int]:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{path}:{line}: contains half a surrogate pair, which is not a character; correct it"
        ) from None
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def batches(sequences: list[list[int]], batch_size: int, pad: int) -> Iterator[dict[str, Tensor]]:
    """Right-padded batches of similar length: `input_ids` and `attention_mask`, int64 `(batch, length)`."""
    import torch

    ordered = sorted(sequences, key=len)
    for start in range(0, len(ordered), batch_size):
        chosen = ordered[start : start + batch_size]
        length = len(chosen[-1])
        ids = torch.full((len(chosen), length), pad)
        mask = torch.zeros((len(chosen), length), dtype=torch.long)
        for row, sequence in enumerate(chosen):
            ids[row, : len(sequence)] = torch.tensor(sequence)
            mask[row, : len(sequence)] = 1
        yield {"input_ids": ids, "attention_mask": mask}


def shared_start(sequences: list[list[int]]) -> int:
    """Length of the common beginning of all sequences, at most the shortest length - 1; 0 for a single sequence.

    Conversations with one assistant share system prompt and tools, which are most of their length.
    """
    if len(sequences) < 2:
        return 0
    first, last = min(sequences), max(sequences)  # in sorted order, the first and the last differ earliest
    shared = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return min(shared, min(map(len, sequences)) - 1)


def attends_alone(model: Any) -> bool:
    """Whether activations depend on earlier tokens only through attention, so that a KV cache holds all that is
    needed.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    recurrent = any(name.endswith((".linear_attn", ".mamba")) for name, _ in model.named_modules())
    rope = str(getattr(config, "rope_parameters", None) or "")  # here the rotation of keys depends on the total length
    scaled = any(kind in rope for kind in ("dynamic", "longrope"))
    windowed = bool(getattr(config, "sliding_window", None))
    return kinds == {"full_attention"} and not (recurrent or scaled or windowed)


def _holds_all(cache: Any) -> bool:
    """Whether a cache keeps keys and values of every token and no other state."""
    from transformers.cache_utils import DynamicCache, DynamicLayer

    return isinstance(cache, DynamicCache) and all(type(layer) is DynamicLayer for layer in cache.layers)


def run_through(body: Any, sequences: list[list[int]], batch_size: int, pad: int, device: str, *, share: bool) -> None:
    """Run the sequences through a causal model, with a progress bar.

    Args:
        share: run the common beginning of all sequences once and keep it in a KV cache, if the model allows it. Its
            activations are the same in each sequence, so a maximum over tokens does not change, but a mean would.
    """
    import copy

    import torch

    from quant.quantize.progress import ProgressBar

    start = shared_start(sequences) if share and attends_alone(body) else 0
    if start < LEAST_SHARED:
        start = 0
    cache = None
    if start:
        ids = torch.tensor([sequences[0][:start]], device=device)
        cache = getattr(body(input_ids=ids, use_cache=True), "past_key_values", None)
        if not _holds_all(cache):
            start, cache = 0, None
    rest = [sequence[start:] for sequence in sequences]
    with ProgressBar("calibrate", start + sum(map(len, rest)), "tok") as progress:
        progress.add(start)
        for batch in batches(rest, batch_size, pad):
            ids, mask = batch["input_ids"].to(device), batch["attention_mask"].to(device)
            if cache is None:
                body(input_ids=ids, attention_mask=mask, use_cache=False)
            else:
                own = copy.deepcopy(cache)
                own.batch_repeat_interleave(len(ids))
                seen = torch.cat([mask.new_ones((len(ids), start)), mask], 1)
                body(input_ids=ids, attention_mask=seen, past_key_values=own, use_cache=True)
            progress.add(int(mask.sum()))
