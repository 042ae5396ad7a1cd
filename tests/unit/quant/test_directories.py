"""Preflight's findings about files and tokenizers, and the meaning of a config: whole, on a few bytes.

The expected results are in directories.json: `tests/support/stored_table.py` says how it is written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quant import images
from quant.checkpoint.atomic import INCOMPLETE, REFUSED
from quant.checkpoint.view import View
from quant.preflight.config_meaning import is_bounded, meanings
from quant.preflight.files import directory_findings, tokenizer_findings, unreadable_findings
from tests.support.small_checkpoints import told
from tests.support.stored_table import expect

TABLE = Path(__file__).with_name("directories.json")


def stored(case: str, lines: list[str], place: Path) -> None:
    expect(TABLE, case, [line.replace(str(place), "DIR") for line in lines])


def link(name: str, target: str) -> Callable[[Path], None]:
    return lambda directory: (directory / name).symlink_to(target)


def named(name: str, text: str = "x") -> Callable[[Path], None]:
    def make(directory: Path) -> None:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)

    return make


DIRECTORIES: dict[str, Callable[[Path], Any]] = {
    "nothing wrong": lambda _: None,
    "no directory": lambda d: [*map(Path.unlink, d.iterdir()), d.rmdir()],
    "empty": lambda d: [*map(Path.unlink, d.iterdir())],
    "an empty file alone": lambda d: [*map(Path.unlink, d.iterdir()), (d / "config.json").touch()],
    "an adapter": lambda d: [(d / "config.json").unlink(), named("adapter_config.json", "{}")(d)],
    "unfinished": named(INCOMPLETE),
    "refused": named(REFUSED, "it is broken\nmore"),
    "refused at length": named(REFUSED, "x" * 400),
    **{
        f"a file {name}": named(name)
        for name in (
            "a.bin",
            "a.PT",
            "a.npz",
            "a.partial",
            "a.lock",
            ".model.safetensors.Xa91Bc",
            ".config.json.abcdef",
            ".notes.abcdef",
            ".safetensors.abcdef",
            "a.py",
            "a.SO",
            "notes.txt",
            "deep/down/a.pkl",
            ".cache/huggingface/a.lock",
            ".cache/a.lock",
            ".huggingface/a.lock",
            "sub/.huggingface/a.lock",
        )
    },
    "an empty file": named("notes.txt", ""),
    "a link inside": link("a.json", "config.json"),
    "a link out": link("a.json", "../other/file"),
    "a link to a blob": link("a.json", "../../blobs/abc"),
    "a link to nothing": link("a.json", "nothing"),
    "a link to itself": link("a.json", "a.json"),
    "a link in the hub's folder": lambda d: [
        (d / ".cache/huggingface").mkdir(parents=True),
        link(".cache/huggingface/a", "no")(d),
    ],
    "a pipe": lambda d: os.mkfifo(d / "pipe"),
    "a directory named like a file": lambda d: (d / "a.json").mkdir(),
    "a directory named like a file, deep": lambda d: (d / "b" / "a.json").mkdir(parents=True),
    "a directory": lambda d: (d / "a.txt").mkdir(),
}


@pytest.mark.parametrize("case", DIRECTORIES)
def test_what_is_wrong_with_a_directory(tmp_path: Path, case: str) -> None:
    hub = tmp_path / "hub"
    directory = hub / "snapshots" / "checkpoint"
    directory.mkdir(parents=True)
    for outside in (hub / "blobs" / "abc", hub / "snapshots" / "other" / "file"):
        outside.parent.mkdir(parents=True)
        outside.write_text("x")
    (directory / "config.json").write_text("{}")
    DIRECTORIES[case](directory)
    stored(f"directory: {case}", told(directory_findings(directory, being_built=False)), hub)
    stored(f"directory being built: {case}", told(directory_findings(directory, being_built=True)), hub)
    stored(f"unreadable: {case}", told(unreadable_findings(directory)), hub)


def test_an_unfinished_directory_is_known_by_its_name(tmp_path: Path) -> None:
    directory = tmp_path / ".out.partial-12"
    directory.mkdir()
    (directory / "config.json").write_text("{}")
    stored("directory: unfinished by its name", told(directory_findings(directory, being_built=False)), tmp_path)


TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
VOCABULARY = {"a": 0, "b": 1, "<|im_end|>": 2}
LEVEL = {"pre_tokenizer": {"type": "ByteLevel"}}
PIECES = {"pre_tokenizer": {"type": "Metaspace"}}
Files = dict[str, Any]


def tokenizer(**more: Any) -> dict[str, Any]:
    return {"model": {"vocab": VOCABULARY}, **more}


SOUND: Files = {
    "tokenizer.json": tokenizer(),
    "tokenizer_config.json": {},
    "generation_config.json": {"eos_token_id": 2},
    "chat_template.jinja": TEMPLATE,
}
TOKENIZERS: dict[str, tuple[dict[str, Any], Files]] = {
    "nothing wrong": ({"vocab_size": 3}, {}),
    "no tokenizer": ({"vocab_size": 3}, {"tokenizer.json": None}),
    "another tokenizer": ({"vocab_size": 3}, {"tokenizer.json": None, "tokenizer.model": "x"}),
    "a third tokenizer": ({"vocab_size": 3}, {"tokenizer.json": None, "vocab.json": {}}),
    "no settings": ({"vocab_size": 3}, {"tokenizer_config.json": None}),
    "settings in a list": ({"vocab_size": 3}, {"tokenizer_config.json": []}),
    "settings that are no JSON": ({"vocab_size": 3}, {"tokenizer_config.json": "{"}),
    "no vocabulary": ({"vocab_size": 3}, {"tokenizer.json": {}}),
    "a vocabulary in a list": ({"vocab_size": 3}, {"tokenizer.json": {"model": {"vocab": [["a", 0]]}}}),
    "no model": ({"vocab_size": 3}, {"tokenizer.json": {"model": 3}}),
    "a token too many": ({"vocab_size": 2}, {}),
    "no size": ({}, {}),
    "added tokens": (
        {"vocab_size": 9},
        {"tokenizer.json": tokenizer(added_tokens=[{"id": 9, "content": "x"}, {"id": "y"}, 7, {"content": "z"}])},
    ),
    "remote code": ({"vocab_size": 3, "auto_map": {"a": "b"}}, {"tokenizer_config.json": {"auto_map": {"a": "b"}}}),
    "Qwen's class": (
        {"vocab_size": 3, "model_type": "qwen3_5_text"},
        {"tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer"}},
    ),
    "Qwen's class of another": (
        {"vocab_size": 3, "model_type": "qwen3"},
        {"tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer"}},
    ),
    "Qwen's other class": (
        {"vocab_size": 3, "model_type": "qwen3_5_text"},
        {"tokenizer_config.json": {"tokenizer_class": "X"}},
    ),
    **{
        f"{kind} over {name}": (
            {"vocab_size": 3},
            {"tokenizer.json": tokenizer(**parts), "tokenizer_config.json": {"tokenizer_class": kind}},
        )
        for kind in ("GPT2Tokenizer", "GPT2TokenizerFast", "LlamaTokenizerFast", "TokenizersBackend", 7)
        for name, parts in (
            ("bytes", LEVEL),
            ("pieces", PIECES),
            ("both", {**LEVEL, "decoder": {"type": "Metaspace"}}),
        )
    },
    "pieces by their sign": (
        {"vocab_size": 3},
        {
            "tokenizer.json": tokenizer(normalizer={"type": "Prepend", "prepend": "▁"}),
            "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer"},
        },
    ),
    "a list of special tokens": ({"vocab_size": 3}, {"tokenizer_config.json": {"extra_special_tokens": ["a"]}}),
    "special tokens by name": ({"vocab_size": 3}, {"tokenizer_config.json": {"extra_special_tokens": {"a": "b"}}}),
    **{
        f"{key} {value}": ({"vocab_size": 3, key: value}, {})
        for key, value in (
            ("bos_token_id", 2),
            ("bos_token_id", 3),
            ("image_token_index", 3),
            ("bad_token_ids", [1, 3, 4]),
            ("pad_token_id", True),
            ("pad_token_id", None),
            ("pad_token_id", "3"),
            ("eos_token_id", 3),
            ("eos_token_id", [0, -1]),
            ("eos_token_id", "2"),
            ("eos_token_id", 0),
            ("bos_token", 3),
        )
    },
    "an id in the text config": (
        {"text_config": {"vocab_size": 3, "bos_token_id": 3, "eos_token_id": 4}, "eos_token_id": 5},
        {},
    ),
    "an id in the generation config": (
        {"vocab_size": 3},
        {"generation_config.json": {"bos_token_id": 3, "eos_token_id": 2}},
    ),
    "a decoder of tokens": (
        {"vocab_size": 3},
        {
            "tokenizer_config.json": {
                "added_tokens_decoder": {"2": {"content": "a"}, "3": {"content": "b"}, "x": 1, "4": "c"}
            }
        },
    ),
    "a stop beyond": ({"vocab_size": 3}, {"generation_config.json": {"eos_token_id": [2, 3]}}),
    "a stop below": ({"vocab_size": 3}, {"generation_config.json": {"eos_token_id": [2, -1]}}),
    "a stop at 0": ({"vocab_size": 3}, {"generation_config.json": {"eos_token_id": [0, 2]}}),
    "a stop that is text": ({"vocab_size": 3}, {"generation_config.json": {"eos_token_id": [2, "x"]}}),
    "another stop": ({"vocab_size": 3}, {"generation_config.json": {"eos_token_id": 1}}),
    "no stop": ({"vocab_size": 3}, {"generation_config.json": {}}),
    "a stop of the config": ({"vocab_size": 3, "eos_token_id": 2}, {"generation_config.json": {}}),
    "a stop of the outer config": (
        {"text_config": {"vocab_size": 3}, "eos_token_id": 2},
        {"generation_config.json": {}},
    ),
    "no generation config": ({"vocab_size": 3, "eos_token_id": 2}, {"generation_config.json": None}),
    "a generation config that is no JSON": ({"vocab_size": 3}, {"generation_config.json": "{"}),
    "a template with an unknown end": ({"vocab_size": 3}, {"tokenizer.json": {"model": {"vocab": {"a": 0}}}}),
    "a template of another kind": ({"vocab_size": 3}, {"chat_template.jinja": "{{ messages }}"}),
    "a template with an error": ({"vocab_size": 3}, {"chat_template.jinja": "{% for %}"}),
    "a template that generates": ({"vocab_size": 3}, {"chat_template.jinja": "{% generation %}a{% endgeneration %}"}),
    "a template that is no text": ({"vocab_size": 3}, {"chat_template.jinja": b"\xff\xfe"}),
    "a template with a replacement": ({"vocab_size": 3}, {"chat_template.jinja": "\ufffd"}),
    "a template that is deep": ({"vocab_size": 3}, {"chat_template.jinja": "{{" + "(" * 5000 + ")" * 5000 + "}}"}),
    "no template": ({"vocab_size": 3}, {"chat_template.jinja": None}),
}


@pytest.mark.parametrize("case", TOKENIZERS)
def test_what_is_wrong_with_a_tokenizer(tmp_path: Path, case: str) -> None:
    config, changes = TOKENIZERS[case]
    for name, content in {**SOUND, **changes}.items():
        if isinstance(content, bytes):
            (tmp_path / name).write_bytes(content)
        elif content is not None:
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / name).write_text(text, encoding="utf-8")
    stored(f"tokenizer: {case}", told(tokenizer_findings(View(tmp_path, config))), tmp_path)
    for image in ("vllm-0.19", "vllm-0.32"):
        found = told(tokenizer_findings(View(tmp_path, config), images.find(image)))
        stored(f"tokenizer: {case}, {image}", found, tmp_path)


# --- configs by meaning ---------------------------------------------------------------------------------------------

NEW = {"rope_parameters": {"rope_type": "default", "rope_theta": 5.0}}
MEANINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a theta outside and inside": ({"rope_theta": 5.0}, NEW),
    "another theta": ({"rope_theta": 6.0}, NEW),
    "no theta": ({"a": 1}, NEW),
    "a scaling": (
        {"rope_theta": 5.0, "rope_scaling": {"type": "yarn", "factor": 2.0}},
        {"rope_parameters": {"rope_type": "yarn", "factor": 2.0, "rope_theta": 5.0}},
    ),
    "a scaling without a theta": ({"rope_scaling": {"rope_type": "yarn"}}, {"rope_scaling": {"type": "yarn"}}),
    "a scaling that is a list": ({"rope_scaling": []}, {"rope_scaling": None}),
    "one set for each kind of layer": (
        {"rope_parameters": {"full_attention": {"rope_theta": 5.0}, "type": "x"}},
        {"rope_parameters": {"type": "x"}},
    ),
    "a window that is off": ({"use_sliding_window": False, "sliding_window": 9}, {"sliding_window": None}),
    "a window that is on": ({"use_sliding_window": True, "sliding_window": 9}, {"sliding_window": 9}),
    "a window": ({"sliding_window": 9}, {"sliding_window": 9}),
    "types": ({"torch_dtype": "bfloat16"}, {"dtype": "float16"}),
    "both types": ({"torch_dtype": "bfloat16", "dtype": "float16"}, {"dtype": "float16"}),
    "a list of one": (
        {"eos_token_id": [1], "bos_token_id": [2], "pad_token_id": [3]},
        {"eos_token_id": 1, "bos_token_id": 2, "pad_token_id": 3},
    ),
    "a list of two": ({"eos_token_id": [1, 2]}, {"eos_token_id": [1, 2]}),
    "a text config": ({"dtype": "a", "x": 1, "text_config": {"y": 2}}, {"dtype": "a", "y": 2}),
    "a text config with a type": ({"torch_dtype": "a", "text_config": {"torch_dtype": "b"}}, {"dtype": "b"}),
    "a key of one": ({"x": 1}, {"y": 1}),
    "known to transformers": (
        {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2},
        {"model_type": "zork", "hidden_size": 8},
    ),
}


@pytest.mark.parametrize("case", MEANINGS)
def test_configs_mean_what_is_stored(case: str) -> None:
    one, other = (json.loads(json.dumps(config)) for config in MEANINGS[case])
    found = meanings(one, other)
    expect(TABLE, f"meaning: {case}", [dict(sorted(each.items())) for each in found])


def test_transformers_fills_in_defaults_and_both_spellings_mean_the_same() -> None:
    old = {
        "model_type": "llama",
        "hidden_size": 8,
        "num_attention_heads": 2,
        "rope_theta": 5.0,
        "torch_dtype": "float16",
    }
    new = {
        "model_type": "llama",
        "hidden_size": 8,
        "num_attention_heads": 2,
        **NEW,
        "dtype": "float16",
        "auto_map": {},
    }
    first, second = meanings(old, new)
    assert first["num_hidden_layers"] == second["num_hidden_layers"] == 32
    assert first["rope_parameters"]["rope_theta"] == second["rope_parameters"]["rope_theta"] == 5.0
    assert first["dtype"] == second["dtype"]
    assert "float16" in first["dtype"]


@pytest.mark.parametrize(
    ("config", "bounded"),
    [
        ({"num_hidden_layers": 10_000}, True),
        ({"num_hidden_layers": 10_001}, False),
        ({"hidden_size": 1 << 31}, True),
        ({"hidden_size": (1 << 31) + 1}, False),
        ({"x": -(1 << 31)}, True),
        ({"x": -(1 << 31) - 1}, False),
        ({"x": [1, {"depth": 10_001}]}, False),
        ({"x": [1, {"depth": 9}]}, True),
        ({"x": "text", "y": None, "z": True, "layers": 1e9}, True),
    ],
)
def test_an_integer_that_would_cost_time_or_memory_is_out_of_bounds(config: Any, bounded: bool) -> None:
    assert is_bounded(config) is bounded
