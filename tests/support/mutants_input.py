"""More broken checkpoints: input that would block, crash or mislead a reader, and files that servers read differently.

Importing this module adds them to `mutants.ALL`.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import torch

from tests.support.mutants import MLP, WEIGHTS, Tensors, _simple, change, change_json, in_both, mutant

TEMPLATE, TOKENIZER, GENERATION = "chat_template.jinja", "tokenizer.json", "generation_config.json"


def _instead(directory: Path, name: str, what: str) -> None:
    path = directory / name
    path.unlink(missing_ok=True)
    os.mkfifo(path) if what == "pipe" else path.mkdir()


@mutant("config.json: is no regular file")
def config_is_a_pipe(directory: Path) -> None:
    _instead(directory, "config.json", "pipe")


@mutant("chat_template.jinja: is no regular file")
def template_is_a_pipe(directory: Path) -> None:
    _instead(directory, TEMPLATE, "pipe")


@mutant("chat_template.jinja: is a directory")
def template_is_a_directory(directory: Path) -> None:
    _instead(directory, TEMPLATE, "directory")


@mutant("loop: is a link to itself")
def link_to_itself(directory: Path) -> None:
    (directory / "loop").symlink_to(directory / "loop")


@mutant("libcustom.so: is code")
def machine_code(directory: Path) -> None:
    (directory / "libcustom.so").write_bytes(b"\x7fELF")


@mutant(".model.safetensors.Xa91Bc: is left from an interrupted copy")
def rsync_was_killed(directory: Path) -> None:
    (directory / ".model.safetensors.Xa91Bc").write_bytes(b"1234")


@mutant("preprocessor_config.json: auto_map")
def remote_code_in_the_processor(directory: Path) -> None:
    (directory / "preprocessor_config.json").write_text(json.dumps({"auto_map": {"AutoProcessor": "a.B"}}))


@mutant("config.json: has")
def config_is_enormous(directory: Path) -> None:
    with (directory / "config.json").open("a") as stream:
        stream.write(" " * (17 << 20))


@mutant("config.json: names vocab_size twice")
def config_says_it_twice(directory: Path) -> None:
    path = directory / "config.json"
    path.write_text(path.read_text().replace("{", '{"vocab_size": 1,', 1))


@mutant("config.json: holds NaN")
def config_holds_nan(directory: Path) -> None:
    path = directory / "config.json"
    path.write_text(re.sub(r'"rms_norm_eps": [^,]+', '"rms_norm_eps": NaN', path.read_text()))


@mutant("config.json: rope_theta")
def config_holds_infinity(directory: Path) -> None:
    path = directory / "config.json"
    path.write_text(re.sub(r'"rope_theta": [^,\n]+', '"rope_theta": Infinity', path.read_text()))


@mutant("config.json: num_hidden_layers")
def a_billion_layers(directory: Path) -> None:
    change_json(directory, "config.json", lambda c: c.__setitem__("num_hidden_layers", 10**9))


@mutant("config.json: num_hidden_layers: is '4'")
def layers_in_words(directory: Path) -> None:
    change_json(directory, "config.json", lambda c: c.__setitem__("num_hidden_layers", "4"))


@mutant("config.json: architectures: GPT2LMHeadModel")
def architecture_of_another_family(directory: Path) -> None:
    change_json(directory, "config.json", lambda c: c.__setitem__("architectures", ["GPT2LMHeadModel"]))


@mutant("config.json: model_type: 'zork'")
def model_type_unknown(directory: Path) -> None:
    change_json(directory, "config.json", lambda c: c.__setitem__("model_type", "zork"))


@mutant("config.json: eos_token_id: 9999")
def stop_token_beyond_the_vocabulary(directory: Path) -> None:
    change_json(directory, "config.json", lambda c: c.__setitem__("eos_token_id", 9999))


def _size_in_words(section: dict[str, object], _key: str) -> None:
    if "group_size" in section:
        section["group_size"] = "16x"
    for group in (section.get("config_groups") or {}).values():  # type: ignore[attr-defined]
        group["weights"]["group_size"] = "16x"


@mutant("group_size: is '16x'")
def group_size_in_words(directory: Path) -> None:
    in_both(directory, _size_in_words)


@mutant("generation_config.json: is not readable as JSON", needs="reference")
def generation_config_nested_without_end(directory: Path) -> None:
    (directory / GENERATION).write_text("[" * 200_000)


@mutant("chat_template.jinja: is no Jinja template")
def template_does_not_compile(directory: Path) -> None:
    path = directory / TEMPLATE
    path.write_text(path.read_text() + "{% if %}")


@mutant("chat_template.jinja: is not UTF-8")
def template_is_binary(directory: Path) -> None:
    path = directory / TEMPLATE
    path.write_bytes(path.read_bytes() + b"\xff\xfe")


@mutant("additional_chat_templates/tool_use.jinja", needs="reference")
def a_second_template(directory: Path) -> None:
    (directory / "additional_chat_templates").mkdir()
    (directory / "additional_chat_templates" / "tool_use.jinja").write_text("{{ messages }}")


@mutant("chat_template.json: was never written", needs="provenance")
def a_template_of_older_readers(directory: Path) -> None:
    (directory / "chat_template.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))


@mutant("quant_run.json", needs="provenance")
def provenance_nested_without_end(directory: Path) -> None:
    (directory / "quant_run.json").write_text("[" * 200_000)


@mutant("tokenizer.json: holds no vocabulary")
def tokenizer_empty(directory: Path) -> None:
    (directory / TOKENIZER).write_text("{}")


@mutant("tokenizer.json: knows no <|im_end|>")
def tokenizer_without_the_end_of_a_turn(directory: Path) -> None:
    def edit(content: dict[str, list[dict[str, object]]]) -> None:
        content["added_tokens"] = [t for t in content["added_tokens"] if t["content"] != "<|im_end|>"]

    change_json(directory, TOKENIZER, edit)


_simple("float32_nan", "model.layers.0.linear_attn.dt_bias", lambda t: t.float() * float("nan"))
_simple(
    "block_scales_all_alike",
    f"{MLP}.down_proj.weight_scale",
    lambda t: torch.ones(t.shape, dtype=torch.float32).to(torch.float8_e4m3fn),
)


@mutant("model.layers.0.", needs="reference")
def norm_of_another_layer(directory: Path) -> None:
    """Unlike with AWQ's smoothing, the weights do not compensate for it."""

    def edit(tensors: Tensors) -> None:
        name = "model.layers.0.input_layernorm.weight"
        tensors[name] = torch.linspace(-1, 1, tensors[name].numel()).to(tensors[name].dtype)

    change(directory, edit)


@mutant(r"\x1b[31mevil\n")
def control_characters_in_a_name(directory: Path) -> None:
    change(directory, lambda t: t.__setitem__("\x1b[31mevil\n", torch.zeros(1)))


@mutant(WEIGHTS)
def weights_are_a_directory(directory: Path) -> None:
    _instead(directory, WEIGHTS, "directory")
