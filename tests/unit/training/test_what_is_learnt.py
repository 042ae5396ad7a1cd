"""Data that would train the wrong thing are refused with their line; `preview` shows the trained tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quant.checkpoint import loading
from quant.cli import main
from quant.errors import UsageError
from quant.training import divergence
from quant.training.conversations import Renderer, read_conversations, render_all
from tests.support import hub, made_up

START, END = "<|im_start|>", "<|im_end|>"


def turns(assistant: str) -> str:
    """A ChatML template whose assistant turn is rendered by `assistant`, a piece of Jinja."""
    return (
        "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' }}"
        "{%- if m.role == 'assistant' %}" + assistant + "{%- else %}{{- m.content }}{%- endif %}"
        "{{- '<|im_end|>\\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
    )


def example(tokenizer: Any, *messages: dict[str, Any]) -> list[str]:
    """What is learnt of one conversation, as text."""
    sample = {"messages": list(messages), "tools": None, "chat_template_kwargs": None, "line": 1}
    found = []
    for made in Renderer(tokenizer).examples(sample, Path("d.jsonl"), 10_000):
        ids = [token for token, learnt in zip(made.ids, made.learnt, strict=True) if learnt]
        found.append(tokenizer.decode(ids))
    return found


def says(role: str, content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


@pytest.fixture
def tokenizer(tiny_llama: Path) -> Any:
    return loading.load_tokenizer(tiny_llama)


FAMILIES = [("llama-3.2-1b", "<|eot_id|>"), ("mistral-7b-v0.3", "</s>"), ("gemma-3-270m", "<end_of_turn>"),
            ("qwen3-0.6b", "<|im_end|>")]  # fmt: skip


@pytest.mark.parametrize(("family", "stop"), FAMILIES)
def test_the_stop_token_that_the_template_writes_is_learnt(family: str, stop: str, tmp_path: Path) -> None:
    """Not the tokenizer's eos_token, which is another one in Gemma."""
    tokenizer = loading.load_tokenizer(hub.make(family, tmp_path / "model", 4))
    (learnt,) = example(tokenizer, says("user", "2+2?"), says("assistant", "Four."))
    assert learnt.strip() == f"Four.{stop}"


def test_nothing_behind_the_first_stop_token_is_learnt(tokenizer: Any) -> None:
    """A template that opens the user's next turn behind every answer."""
    tokenizer.chat_template = turns("{{- m.content + '<|im_end|>\\n<|im_start|>user\\nAnd then?' }}")
    assert example(tokenizer, says("user", "2+2?"), says("assistant", "Four.")) == [f"Four.{END}"]


@pytest.mark.parametrize(
    ("template", "message", "names"),
    [
        (turns(""), says("assistant", "Four."), "content"),
        (turns("{{- m.content[:3] }}"), says("assistant", "Four and no more."), "content"),
        (turns("{{- m.content }}"), says("assistant", "Four.", thinking="Two and two."), "thinking"),
        (turns("{{- m.content }}"), says("assistant", "Four.", reasoning_content="Two."), "reasoning_content"),
        (turns("{{- m.content or '' }}"), says("assistant", None, tool_calls=[made_up.call(a=1)]), "add"),
        (turns("{{- m.content }}"), says("assistant", f"Four.{END}\n{START}user\nAnd?"), END),
        (turns("{{- m.content }}"), says("assistant", f"{START}Four."), START),
    ],
)
def test_a_turn_that_the_template_does_not_show_whole_is_refused(
    tokenizer: Any, template: str, message: dict[str, Any], names: str
) -> None:
    tokenizer.chat_template = template
    with pytest.raises(UsageError, match=r"d\.jsonl:1: messages\.1") as caught:
        example(tokenizer, says("user", "2+2?"), message)
    assert names in str(caught.value)
    assert "\n" not in str(caught.value)


def test_white_space_may_be_laid_out_anew(tokenizer: Any) -> None:
    tokenizer.chat_template = turns("{{- m.content | trim }}")
    assert example(tokenizer, says("user", "2+2?"), says("assistant", "  Four.\n\n")) == [f"Four.{END}"]


def test_an_answer_of_nothing_is_refused(tmp_path: Path) -> None:
    silent = {"messages": [says("user", "Hi"), says("assistant", "")]}
    path = made_up.write(tmp_path / "d.jsonl", [silent])
    with pytest.raises(UsageError, match=r"d.jsonl:1: messages.1: says nothing"):
        read_conversations(path)


def test_a_data_set_of_which_less_than_half_is_learnt_is_refused_with_the_template(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Renderer, "_check_shown", lambda *_: None)  # of which this is the second line of defence
    tokenizer.chat_template = turns("{{- m.content[:2] }}")
    long = {"messages": [says("user", "Tell me."), says("assistant", "It is a long story. " * 5)]}
    path = made_up.write(tmp_path / "d.jsonl", [long])
    with pytest.raises(UsageError, match=r"only \d+% of what assistants say is learnt: the chat template of"):
        render_all(tokenizer, read_conversations(path), path, 2048)


def test_preview_shows_what_is_learnt(tiny_llama: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = ["--model", str(tiny_llama), "--data", str(data)]
    assert main(["preview", *paths, "--row", "3"]) == 0
    plain = capsys.readouterr().out
    assert "⟦That is 4.<|im_end|>⟧" in plain
    assert "tokens are learnt" in plain.splitlines()[-1]
    assert main(["preview", *paths, "--row", "3", "--color", "always"]) == 0
    assert "\x1b[1;32mThat is 4.<|im_end|>\x1b[0m" in capsys.readouterr().out
    assert main(["preview", *paths, "--row", "99"]) == 2


# --- data in other shapes -------------------------------------------------------------------------------------------

WANTED = [says("user", "2+2?"), says("assistant", "Four.")]
SHAREGPT = {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "Four."}]}
SHAPES: dict[str, tuple[dict[str, Any], str]] = {
    "sharegpt": (SHAREGPT, "conversations"),
    "prompt": ({"prompt": "2+2?", "completion": "Four."}, "prompt"),
    "prompt_of_messages": ({"prompt": WANTED[:1], "completion": WANTED[1:]}, "prompt"),
    "alpaca": ({"instruction": "2+2?", "input": "", "output": "Four."}, "instruction"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_that_people_publish_is_named_and_read_where_it_is_asked_for(shape: str, tmp_path: Path) -> None:
    row, name = SHAPES[shape]
    path = made_up.write(tmp_path / "d.jsonl", [row])
    with pytest.raises(UsageError, match="--format auto") as caught:
        read_conversations(path)
    assert f"d.jsonl:1: has neither text nor messages, but {name}" in str(caught.value)
    (sample,) = read_conversations(path, "auto")
    assert sample["messages"] == WANTED


def containers(root: Path) -> dict[str, Path]:
    """The same row in every container."""
    import datasets
    import pyarrow
    from pyarrow import parquet

    rows = [{"messages": WANTED}, {"messages": [*WANTED, says("user", "And?"), says("assistant", "Five.")]}]
    (root / "array.json").write_text(json.dumps(rows, indent=1))
    (root / "line.json").write_text(json.dumps(rows))
    parquet.write_table(pyarrow.Table.from_pylist(rows), root / "d.parquet")
    made = datasets.Dataset.from_list(rows)
    made.save_to_disk(str(root / "saved"))
    datasets.DatasetDict({"test": made.select([0]), "train": made}).save_to_disk(str(root / "splits"))
    (root / "hub" / "data").mkdir(parents=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), root / "hub" / "data" / "train-00000-of-00001.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(rows[:1]), root / "hub" / "data" / "test-00000-of-00001.parquet")
    names = ("array.json", "line.json", "d.parquet", "saved", "splits", "hub")
    return {name: root / name for name in names}


def test_every_container_is_named_and_read_where_it_is_asked_for(tmp_path: Path) -> None:
    for name, path in containers(tmp_path).items():
        with pytest.raises(UsageError, match="--format auto"):
            read_conversations(path)
        found = read_conversations(path, "auto")
        assert [len(sample["messages"]) for sample in found] == [2, 4], name
        assert found[0]["messages"] == WANTED


def test_sharegpt_with_a_tool_loop(tmp_path: Path) -> None:
    call = {"name": "add", "arguments": {"a": 2}}
    row = {
        "system": "Be brief.", "tools": json.dumps([made_up.ADD]),
        "conversations": [
            {"from": "human", "value": "2+2?"}, {"from": "function_call", "value": json.dumps(call)},
            {"from": "observation", "value": "4"}, {"from": "gpt", "value": "Four."},
        ],
    }  # fmt: skip
    (sample,) = read_conversations(made_up.write(tmp_path / "d.jsonl", [row]), "auto")
    assert [message["role"] for message in sample["messages"]] == ["system", "user", "assistant", "tool", "assistant"]
    assert sample["messages"][2]["tool_calls"][0]["function"] == call
    assert sample["tools"] == [made_up.ADD]


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"from": "martian", "value": "x"}]},
        {"conversations": "none"},
        {"prompt": "x"},
        {"prompt": 3, "completion": "x"},
        {"instruction": "x"},
        {"instruction": "x", "output": "y", "history": [["one"]]},
    ],
)
def test_a_broken_row_of_another_shape_is_named(row: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"d\.jsonl:1: "):
        read_conversations(made_up.write(tmp_path / "d.jsonl", [row]), "auto")


# --- what is given for a model --------------------------------------------------------------------------------------


def test_what_is_no_checkpoint_is_named_with_what_to_do(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/base"}')
    (tmp_path / "gguf").mkdir()
    (tmp_path / "gguf" / "model-q4_k_m.gguf").write_bytes(b"GGUF")
    for given, names in (
        ("lora", ("adapter_config.json", "someone/base", "merge")),
        ("gguf", ("GGUF",)),
        ("gguf/model-q4_k_m.gguf", ("GGUF",)),
        ("Qwen/Qwen3-0.6B", ("hf download Qwen/Qwen3-0.6B",)),
    ):
        arguments = ["--model", given, "--recipe", "nvfp4-default", "--calib", str(data), "--out", "out"]
        assert main(["ptq", *arguments]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert all(name in lines[0] for name in names)
    assert main(["preflight", "lora"]) == 1
    assert "adapter_config.json" in capsys.readouterr().out


# --- divergence -----------------------------------------------------------------------------------------------------


def test_a_loss_that_rises_tenfold_stops_training_and_noise_does_not() -> None:
    falling = [2.0, 1.5, 1.0, 0.6, 0.4, 0.3, 0.25]
    for step in range(1, len(falling) + 1):
        divergence.check(step, falling[:step], 1.0)
    divergence.check(8, [*falling, 5.0], 1.0)  # one odd batch
    with pytest.raises(divergence.Diverged, match=r"step 10: the loss is .* it diverged"):
        divergence.check(10, [*falling, 7.0, 8.0, 9.0], 1.0)
    near_its_end = [0.02, 0.001, 0.001, 0.001, 0.015, 0.015, 0.015]  # below where it began
    divergence.check(7, near_its_end, 1.0)
    for loss, norm in ((float("nan"), 1.0), (1.0, float("inf"))):
        with pytest.raises(divergence.Diverged, match="step 1: "):
            divergence.check(1, [loss], norm)
