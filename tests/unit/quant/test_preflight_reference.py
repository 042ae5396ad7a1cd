"""Preflight against the BF16 reference: each comparison at its limits, with the whole text of its findings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from quant.checkpoint.view import AGAIN, Problem, View
from quant.preflight.reference import (
    config_findings,
    file_findings,
    movement,
    note_changed_norms,
    reference_findings,
    weight_findings,
)
from tests.support.small_checkpoints import Tensors, bytes_of, checkpoint, codes

MLP = "model.layers.0.mlp"
NAME = f"{MLP}.down_proj.weight"
FILE = "model.safetensors"


def pair(place: Path, ours: Tensors, theirs: Tensors, config: dict[str, Any] | None = None) -> tuple[View, View]:
    made = []
    for name, tensors in (("ours", ours), ("theirs", theirs)):
        (place / name).mkdir()
        made.append(checkpoint(place / name, tensors, config))
    return made[0], made[1]


# --- files ----------------------------------------------------------------------------------------------------------

REMOVE = "remove it, or give the right --reference"
FILES: dict[str, tuple[dict[str, str], dict[str, str], list[tuple[str, str, str]]]] = {
    "a template that the reference lacks, once": (
        {"chat_template.jinja": "x"},
        {},
        [("chat_template.jinja", "is there, but the reference has none", REMOVE)],
    ),
    "a further template that both have": ({"more/tool.jinja": "x"}, {"more/tool.jinja": "y"}, []),
    "a further template that the reference lacks": (
        {"more/tool.jinja": "x"},
        {},
        [("more/tool.jinja", "is there, but the reference has none", REMOVE)],
    ),
    "settings that the reference lacks": ({"generation_config.json": "{}", "tokenizer_config.json": "{}"}, {}, []),
    "the keys of transformers 4 and 5": (
        {"tokenizer_config.json": '{"additional_special_tokens": ["<a>"]}'},
        {"tokenizer_config.json": '{"extra_special_tokens": ["<a>"], "backend": "tokenizers"}'},
        [],
    ),
    "a key of transformers 5 in another file": (
        {"generation_config.json": '{"backend": "a"}'},
        {"generation_config.json": '{"backend": "b"}'},
        [("generation_config.json: backend", "differs from the reference's", "COPY")],
    ),
    "a stop that is no id": (
        {"generation_config.json": '{"eos_token_id": [1, {}]}'},
        {"generation_config.json": '{"eos_token_id": [2, 1, 3]}'},
        [("generation_config.json: eos_token_id", "lacks [2, 3] of the reference", "COPY")],
    ),
}


@pytest.mark.parametrize(("ours", "theirs", "expected"), FILES.values(), ids=FILES)
def test_files_of_the_reference(
    tmp_path: Path, ours: dict[str, str], theirs: dict[str, str], expected: list[tuple[str, str, str]]
) -> None:
    for directory, files in (("ours", ours), ("theirs", theirs)):
        (tmp_path / directory).mkdir()
        for name, text in files.items():
            (tmp_path / directory / name).parent.mkdir(exist_ok=True)
            (tmp_path / directory / name).write_text(text)
    copy = f"copy the file from {tmp_path / 'theirs'}"
    assert list(file_findings(View(tmp_path / "ours"), tmp_path / "theirs")) == [
        Problem(9, where, problem, copy if fix == "COPY" else fix) for where, problem, fix in expected
    ]


# --- the config -----------------------------------------------------------------------------------------------------

TAKE = "take the reference's value"
ONE = {"model_type": "zork", "hidden_size": 8}
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any], list[Problem]]] = {
    "equal": (ONE, ONE, []),
    "what an export may change": ({**ONE, "use_cache": True}, {**ONE, "use_cache": False}, []),
    "another size": (
        {**ONE, "hidden_size": 9},
        ONE,
        [Problem(7, "config.json: hidden_size", "is 9, but the reference has 8", TAKE)],
    ),
    "several, in the order of their names": (
        {**ONE, "z": 1, "b": 1, "use_cache": 1},
        {**ONE, "z": 2, "b": 2, "use_cache": 2},
        [Problem(7, f"config.json: {key}", "is 1, but the reference has 2", TAKE) for key in "bz"],
    ),
    "one field of a rope": (
        {**ONE, "rope_theta": 5.0},
        {**ONE, "rope_theta": 6.0},
        [Problem(7, "config.json: rope_parameters.rope_theta", "is 5.0, but the reference has 6.0", TAKE)],
    ),
    "a rope without a field": (
        ONE,
        {**ONE, "rope_theta": 6.0},
        [Problem(7, "config.json: rope_parameters.rope_theta", "is not set, but the reference has 6.0", TAKE)],
    ),
    "a rope with a field more": (
        {**ONE, "rope_theta": 5.0},
        ONE,
        [Problem(7, "config.json: rope_parameters.rope_theta", "is 5.0, but the reference has not set", TAKE)],
    ),
    "an object and a number": (
        {**ONE, "a": {"b": 1}, "c": 2},
        {**ONE, "a": 1, "c": {"d": 2}},
        [
            Problem(7, "config.json: a", "is {'b': 1}, but the reference has 1", TAKE),
            Problem(7, "config.json: c", "is 2, but the reference has {'d': 2}", TAKE),
        ],
    ),
    "half precision": (
        {**ONE, "dtype": "float16"},
        {**ONE, "dtype": "bfloat16"},
        [
            Problem(
                7,
                "config.json: dtype",
                "is 'float16', but the reference has 'bfloat16'",
                "write bfloat16, or the reference's",
            )
        ],
    ),
    "half precision by its older key": (
        {**ONE, "torch_dtype": "float16"},
        {**ONE, "torch_dtype": "float32"},
        [
            Problem(
                7,
                "config.json: dtype",
                "is 'float16', but the reference has 'float32'",
                "write bfloat16, or the reference's",
            )
        ],
    ),
    "bfloat16 of a reference of single precision": ({**ONE, "dtype": "bfloat16"}, {**ONE, "dtype": "float32"}, []),
    "the precision of the reference": (
        {**ONE, "dtype": "float16", "a": 1},
        {**ONE, "dtype": "float16", "a": 2},
        [Problem(7, "config.json: a", "is 1, but the reference has 2", TAKE)],
    ),
    "no precision": ({**ONE, "dtype": None}, {**ONE, "dtype": "float16"}, []),
    "a tower": (
        {**ONE, "vision_config": {"depth": 2, "width": 3, "dtype": "a", "ours": 1}},
        {**ONE, "vision_config": {"depth": 4, "width": 3, "dtype": "b", "theirs": 1}},
        [Problem(7, "config.json: vision_config.depth", "differs from the reference's", TAKE)],
    ),
    "a tower here": ({**ONE, "vision_config": {"depth": 2}}, ONE, []),
    "a tower there": (ONE, {**ONE, "vision_config": {"depth": 2}}, []),
}


@pytest.mark.parametrize(("ours", "theirs", "expected"), SETTINGS.values(), ids=SETTINGS)
def test_settings_of_the_reference(ours: dict[str, Any], theirs: dict[str, Any], expected: list[Problem]) -> None:
    assert list(config_findings(View(Path("ours"), ours), View(Path("theirs"), theirs))) == expected


# --- which tensors are there ----------------------------------------------------------------------------------------


def ones(*names: str) -> Tensors:
    return {f"model.{name}": torch.ones(2) for name in names}


def missing(*names: str) -> list[Problem]:
    return [Problem(2, f"{FILE}: {name}", "is missing: a tensor of the reference", AGAIN) for name in names]


def unknown(*names: str) -> list[Problem]:
    fix = "remove it, or check --reference"
    return [Problem(2, f"{FILE}: {name}", "the reference has no such tensor", fix) for name in names]


def misshapen(name: str, shape: list[int], wanted: list[int]) -> Problem:
    return Problem(2, f"{FILE}: {name}", f"has shape {shape}, but the reference needs {wanted}", AGAIN)


HEAD = {"lm_head.weight": torch.ones(2)}
PRESENT: dict[str, tuple[Tensors, Tensors, list[Problem]]] = {
    "all": (ones("a", "b"), ones("a", "b"), []),
    "two missing": (ones("b"), ones("a", "b", "c"), missing("model.a", "model.c")),
    "a head missing, and another": (ones("b"), {**HEAD, **ones("b", "c")}, missing("model.c")),
    "two of another shape": (
        {"model.a": torch.ones(3), "model.b": torch.ones(2, 1)},
        ones("a", "b"),
        [misshapen("model.a", [3], [2]), misshapen("model.b", [2, 1], [2])],
    ),
    "two more": (ones("a", "b", "c"), ones("b"), unknown("model.a", "model.c")),
    "a head more, and another": ({**HEAD, **ones("b", "c")}, ones("b"), unknown("model.c")),
    "scales more": (ones("a", "b.weight_scale_2", "b.weight_scale", "b.input_scale", "b.k_scale"), ones("a"), []),
    "no scales": (ones("a", "b.weight_scale_3"), ones("a"), unknown("model.b.weight_scale_3")),
    "packed, of three dimensions": ({"model.a": bytes_of(0, 2, 3, 4)}, {"model.a": torch.ones(2, 3, 8)}, []),
    "not packed, of three dimensions": (
        {"model.a": bytes_of(0, 2, 3, 8)},
        {"model.a": torch.ones(2, 3, 8)},
        [misshapen("model.a", [2, 3, 8], [2, 3, 4])],
    ),
}


@pytest.mark.parametrize(("ours", "theirs", "expected"), PRESENT.values(), ids=PRESENT)
def test_tensors_of_the_reference(tmp_path: Path, ours: Tensors, theirs: Tensors, expected: list[Problem]) -> None:
    assert sorted(weight_findings(*pair(tmp_path, ours, theirs), None), key=lambda one: one.where) == expected


@pytest.mark.parametrize(
    ("quantised", "there", "more", "share"),
    [
        (True, 100, 70, None),
        (True, 100, 71, "171%"),
        (False, 100, 71, None),
        (True, 100, 200, "300%"),
        (True, 0, 9, None),
    ],
)
def test_a_quantised_model_that_is_larger_than_the_reference(
    tmp_path: Path, quantised: bool, there: int, more: int, share: str | None
) -> None:
    """It may have 1.7 times the bytes."""
    weight = {"model.a.bias": torch.zeros(there, dtype=torch.int8)}
    scale = {"model.a.weight_scale": torch.zeros(more, dtype=torch.int8)}
    config = {"quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"}} if quantised else {}
    findings = list(weight_findings(*pair(tmp_path, weight | scale, weight, config), None))
    problem = f"is {share} of the reference's size, though quantised"
    assert findings == ([] if share is None else [Problem(10, "ours", problem, AGAIN)])


# --- how far the values are from the reference's --------------------------------------------------------------------


def moved(place: Path, ours: Tensors, theirs: Tensors, config: dict[str, Any] | None = None) -> float | None:
    """The relative difference of the one layer that is compared; None if none is, or if it is 0."""
    one, other = pair(place, ours, theirs, config)
    note_changed_norms(one, other)
    found = movement(one, other)
    assert not found or found["median"] == found["largest"]
    return found.get("largest")


@pytest.mark.parametrize(
    ("rows", "compared"),
    [(1, {0}), (2, {0, 1}), (3, {0, 1, 2}), (4, {0, 1, 2, 3}), (5, {0, 1, 3, 4}), (10, {0, 3, 6, 9})],
)
def test_four_rows_are_compared(tmp_path: Path, rows: int, compared: set[int]) -> None:
    """The first, the last, and two between them."""
    reference = torch.ones(rows, 2)
    found = set()
    for row in range(rows):
        ours = reference.clone()
        ours[row] = 2
        (tmp_path / str(row)).mkdir()
        if moved(tmp_path / str(row), {NAME: ours}, {NAME: reference}) is not None:
            found.add(row)
    assert found == compared


def packed(**changes: Tensor | None) -> Tensors:
    """A row of 16 elements: eights pairs of 1 and 2, scale 1 for the block, 1 in all."""
    parts: dict[str, Tensor | None] = {
        "weight": bytes_of(0x42, 1, 8),
        "weight_scale": codes(0x38, shape=(1, 1)),
        "weight_scale_2": torch.tensor(1.0),
    } | changes
    return {f"{MLP}.down_proj.{part}": tensor for part, tensor in parts.items() if tensor is not None}


def eight(scale: Tensor | None) -> Tensors:
    """A row of 1 and 2 in FP8."""
    made = {NAME: codes(0x38, 0x40, shape=(1, 2))}
    return made if scale is None else made | {f"{MLP}.down_proj.weight_scale": scale}


PAIRS = {NAME: torch.tensor([[1.0, 2.0] * 8])}
PLAIN = {NAME: torch.tensor([[3.0, 4.0, 0.0]])}
VALUES: dict[str, tuple[Tensors, Tensors, float | None]] = {
    "equal": (PLAIN, PLAIN, None),
    "different": ({NAME: torch.tensor([[3.0, 4.0, 3.0]])}, PLAIN, 3 / 5),
    "of half precision": ({NAME: torch.tensor([[3.0, 4.0, 3.0]]).half()}, {NAME: PLAIN[NAME].bfloat16()}, 3 / 5),
    "one element": ({NAME: torch.tensor([[3.0]])}, {NAME: torch.tensor([[4.0]])}, 1 / 4),
    "a number": ({NAME: torch.tensor(3.0)}, {NAME: torch.tensor(4.0)}, None),
    "no element": ({NAME: torch.ones(0, 4)}, {NAME: torch.ones(0, 4)}, None),
    "a reference of zeros": (PLAIN, {NAME: torch.zeros(1, 3)}, None),
    "infinity": ({NAME: torch.tensor([[3.0, 4.0, float("inf")]])}, PLAIN, None),
    "a reference of integers": (PLAIN, {NAME: torch.tensor([[3, 4, 1]])}, None),
    "a reference of double precision": (PLAIN, {NAME: torch.tensor([[3.0, 4.0, 3.0]]).double()}, None),
    "integers": ({NAME: torch.tensor([[3, 4, 3]])}, PLAIN, None),
    "double precision": ({NAME: torch.tensor([[3.0, 4.0, 3.0]]).double()}, PLAIN, None),
    "packed": (packed(), PAIRS, None),
    "packed, in another order": (packed(weight=bytes_of(0x24, 1, 8)), PAIRS, (2 / 5) ** 0.5),
    "packed, with twice the block's scale": (packed(weight_scale=codes(0x40, shape=(1, 1))), PAIRS, 1.0),
    "packed, with half the scale": (packed(weight_scale_2=torch.tensor(0.5)), PAIRS, 0.5),
    "packed, with half the scale in a list": (packed(weight_scale_2=torch.tensor([0.5])), PAIRS, 0.5),
    "packed, without the block's scale": (packed(weight_scale=None), PAIRS, None),
    "packed, without the scale": (packed(weight_scale_2=None), PAIRS, None),
    "packed, without scales": (packed(weight_scale=None, weight_scale_2=None), PAIRS, None),
    "packed, with block scales of single precision": (packed(weight_scale=torch.full((1, 1), 2.0)), PAIRS, None),
    "packed, with too many block scales": (packed(weight_scale=codes(0x40, shape=(1, 2))), PAIRS, None),
    "packed, with the block scales of another row": (packed(weight_scale=codes(0x40, shape=(2, 1))), PAIRS, None),
    "packed, with two scales": (packed(weight_scale_2=torch.tensor([2.0, 2.0])), PAIRS, None),
    "FP8": (eight(torch.tensor(2.0)), {NAME: torch.tensor([[2.0, 4.0]])}, None),
    "FP8 with a larger scale": (eight(torch.tensor([3.0])), {NAME: torch.tensor([[2.0, 4.0]])}, 0.5),
    "FP8 without a scale": (eight(None), {NAME: torch.tensor([[2.0, 4.0]])}, None),
    "FP8 with a scale of half precision": (eight(torch.tensor(3.0).half()), {NAME: torch.tensor([[2.0, 4.0]])}, None),
    "FP8 with a scale for each row": (eight(torch.tensor([3.0, 3.0])), {NAME: torch.tensor([[2.0, 4.0]])}, None),
    "no weight": ({f"{MLP}.a": torch.ones(2)}, {f"{MLP}.a": torch.zeros(2) + 2}, None),
}


@pytest.mark.parametrize(("ours", "theirs", "expected"), VALUES.values(), ids=VALUES)
def test_the_difference_of_a_weight(tmp_path: Path, ours: Tensors, theirs: Tensors, expected: float | None) -> None:
    found = moved(tmp_path, ours, theirs)
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-6))


def test_what_is_no_weight_is_not_compared(tmp_path: Path) -> None:
    """Neither a bias nor what cannot be decoded; its absence or shape is another finding."""
    ours = {f"{MLP}.down_proj.bias": torch.ones(2), NAME: torch.ones(2, 2, dtype=torch.int32)}
    theirs = {f"{MLP}.down_proj.bias": torch.full((2,), 9.0), NAME: torch.full((2, 2), 9.0)}
    assert list(weight_findings(*pair(tmp_path, ours, theirs), None)) == []


def test_the_layer_that_moved_most_and_the_median(tmp_path: Path) -> None:
    """Of the weights that differ: 1/4, 1/2 and 3/4."""
    names = [f"model.layers.{n}.mlp.down_proj.weight" for n in range(4)]
    theirs = {name: torch.tensor([[4.0]]) for name in names}
    ours = {name: torch.tensor([[value]]) for name, value in zip(names, (4.0, 2.0, 1.0, 5.0), strict=True)}
    assert movement(*pair(tmp_path, ours, theirs)) == {"median": 0.5, "largest": 0.75, "layer": names[2]}


LIMITS: dict[str, tuple[list[float], list[float], str | None]] = {
    # reference, values, message. The ratio may be 0.4 and the error 0.6, to the last bit.
    "at both limits": ([5.0, 0.0], [2.0, 0.0], None),
    "above the error": ([5.0, 0.0], [2.0, 1.0], "0.40 times the reference's, relative error 0.63"),
    "above the drift": ([5.0, 0.0], [1.0, 0.0], "0.20 times the reference's, relative error 0.80"),
    "at the error": ([3.0, 4.0, 0.0], [3.0, 4.0, 3.0], None),
}


@pytest.mark.parametrize(("reference", "values", "message"), LIMITS.values(), ids=LIMITS)
def test_a_plain_weight_at_its_limits(
    tmp_path: Path, reference: list[float], values: list[float], message: str | None
) -> None:
    ours, theirs = pair(tmp_path, {NAME: torch.tensor([values])}, {NAME: torch.tensor([reference])})
    expected = []
    if message is not None:
        fix = f"the scale or weight is another layer's, or --reference another model; {AGAIN}"
        expected = [Problem(4, f"{FILE}: {NAME}", f"its values are {message}, in the rows compared", fix)]
    assert list(weight_findings(ours, theirs, None)) == expected


@pytest.mark.parametrize(
    ("first", "place", "message"),
    [
        (0x14, "weight", "0.40 times the reference's, relative error 0.61"),  # 2 and 0.5: at the drift
        (0x13, "weight_scale_2", "0.30 times the reference's, relative error 0.71"),  # 1.5 and 0.5
    ],
)
def test_the_place_of_a_packed_weight_that_differs(tmp_path: Path, first: int, place: str, message: str) -> None:
    """Where its size is off by more than it may drift, the global scale's; else its own."""
    weight = bytes_of(0, 1, 8)
    weight[0, 0] = first
    ours, theirs = pair(tmp_path, packed(weight=weight), {NAME: torch.tensor([[5.0] + [0.0] * 15])})
    recipe = {"kind": "qat", "recipe": {"training": {"steps": 1}}}
    where = f"{FILE}: {MLP}.down_proj.{place}"
    what = f"its values are {message}, in the rows compared"
    assert list(weight_findings(ours, theirs, recipe)) == [
        Problem(4, where, what, "training changed it a lot: check the model's answers", "warned")
    ]


# --- norms into which a factor was moved ----------------------------------------------------------------------------

LAYER = "model.layers.0"
NORMS = {
    "self_attn.q_proj": "input_layernorm",
    "self_attn.k_proj": "input_layernorm",
    "self_attn.v_proj": "input_layernorm",
    "linear_attn.in_proj_qkv": "input_layernorm",
    "linear_attn.in_proj_z": "input_layernorm",
    "linear_attn.in_proj_a": "input_layernorm",
    "linear_attn.in_proj_b": "input_layernorm",
    "mlp.gate_proj": "post_attention_layernorm",
    "mlp.up_proj": "post_attention_layernorm",
    "self_attn.o_proj": None,
    "mlp.down_proj": None,
}


@pytest.mark.parametrize(("layer", "norm"), NORMS.items())
@pytest.mark.parametrize("changed", ["input_layernorm", "post_attention_layernorm"])
@pytest.mark.parametrize("kind", ["llama", "qwen3_5_text"])
def test_a_weight_is_compared_together_with_the_norm_before_it(
    tmp_path: Path, layer: str, norm: str | None, changed: str, kind: str
) -> None:
    """The product counts: factors of 2 and 3 became 4 and 6, and the weight's 1 and 2 became 1/2 and 1."""
    less = 1.0 if kind.startswith("qwen3_5") else 0.0  # such norms multiply by 1 + weight
    weight, at = f"{LAYER}.{layer}.weight", f"{LAYER}.{changed}.weight"
    theirs = {weight: torch.tensor([[1.0, 2.0]]), at: torch.tensor([2.0, 3.0]) - less}
    ours = {weight: torch.tensor([[0.5, 1.0]]), at: torch.tensor([4.0, 6.0]) - less}
    assert moved(tmp_path, ours, theirs, {"model_type": kind}) == (None if norm == changed else 0.5)


def test_gemma_has_a_norm_of_its_own_before_the_mlp(tmp_path: Path) -> None:
    """There, a change of the norm after the attention is none of the MLP's."""
    names = [f"{LAYER}.{part}.weight" for part in ("mlp.up_proj", "pre_feedforward_layernorm")]
    after = f"{LAYER}.post_attention_layernorm.weight"
    theirs = {names[0]: torch.tensor([[1.0, 2.0]]), names[1]: torch.tensor([2.0, 3.0]), after: torch.ones(2)}
    for number, (factor, changed, expected) in enumerate([(2.0, names[1], None), (2.0, after, 0.5)]):
        (tmp_path / str(number)).mkdir()
        ours = {**theirs, names[0]: theirs[names[0]] / factor, changed: theirs[changed] * factor}
        assert moved(tmp_path / str(number), ours, theirs) == expected


UP, AFTER = f"{LAYER}.mlp.up_proj.weight", f"{LAYER}.post_attention_layernorm.weight"
FACTORS: dict[str, tuple[Tensor, Tensor, float | None]] = {
    "two rows": (torch.tensor([2.0, 4.0]), torch.tensor([1.0, 2.0]), 0.5),
    "of double precision here": (torch.tensor([2.0, 4.0]).double(), torch.tensor([1.0, 2.0]), None),
    "of double precision there": (torch.tensor([2.0, 4.0]), torch.tensor([1.0, 2.0]).double(), None),
    "of another size": (torch.tensor([2.0, 4.0, 1.0]), torch.tensor([1.0, 2.0, 1.0]), None),
    "of another size here": (torch.tensor([2.0]), torch.tensor([1.0, 2.0]), None),
}


@pytest.mark.parametrize(("ours", "theirs", "expected"), FACTORS.values(), ids=FACTORS)
def test_factors_of_a_norm(tmp_path: Path, ours: Tensor, theirs: Tensor, expected: float | None) -> None:
    """A weight that is 3/4 of the reference's, with a norm of twice the factors: 1.5 times the product."""
    weight = torch.tensor([[4.0, 8.0], [12.0, 4.0]])
    found = moved(tmp_path, {UP: weight * 0.75, AFTER: ours}, {UP: weight, AFTER: theirs})
    assert found == expected


def test_only_norms_that_both_have_and_that_differ_have_changed(tmp_path: Path) -> None:
    names = [f"{LAYER}.{part}.weight" for part in ("a_layernorm", "b_layernorm", "c_layernorm", "d_norm")]
    ours = {
        names[0]: torch.ones(2),
        names[1]: torch.ones(2),
        names[3]: torch.ones(2),
        "e_layernorm.weight": torch.ones(2),
    }
    theirs = {names[0]: torch.zeros(2), names[1]: torch.ones(2), names[2]: torch.ones(2), names[3]: torch.zeros(2)}
    one, other = pair(tmp_path, ours, theirs)
    note_changed_norms(one, other)
    assert one.changed_norms == {names[0]}


# --- the reference itself -------------------------------------------------------------------------------------------


def test_a_reference_that_cannot_be_compared(tmp_path: Path) -> None:
    """One finding says why, and nothing else is compared."""
    (tmp_path / "ours").mkdir()
    ours = checkpoint(tmp_path / "ours", {NAME: torch.ones(1, 2)})
    for name in ("broken", "cut", "empty", "quantised"):
        (tmp_path / name).mkdir()
        checkpoint(tmp_path / name, {NAME: torch.zeros(1, 2)})
    (tmp_path / "broken" / "config.json").write_text("[]")
    (tmp_path / "cut" / FILE).write_bytes(b"x")
    (tmp_path / "empty" / FILE).unlink()
    (tmp_path / "quantised" / "config.json").write_text('{"quantization_config": {"quant_algo": "FP8"}}')
    broken = "config.json: is no JSON object; copy or export it again"
    cut = ("model.safetensors", "has only 1 bytes, so it is no safetensors file")
    for name, problem in (
        ("broken", f"cannot be read ({broken})"),
        ("cut", f"cannot be read ({cut})"),
        ("empty", "cannot be read (no *.safetensors)"),
        ("quantised", "is quantised itself"),
    ):
        expected = Problem(2, f"--reference {tmp_path / name}", problem, "give the BF16 checkpoint")
        assert list(reference_findings(ours, tmp_path / name, None)) == [expected]


def test_a_reference_is_compared_by_files_config_and_weights(tmp_path: Path) -> None:
    """Also norms: a factor that was moved into one is no difference."""
    tensors = {UP: torch.tensor([[1.0, 2.0]]), AFTER: torch.tensor([2.0, 3.0])}
    ours, _ = pair(
        tmp_path, {UP: tensors[UP] / 2, AFTER: tensors[AFTER] * 2, "model.more": torch.ones(1)}, tensors, ONE
    )
    (tmp_path / "theirs" / "config.json").write_text('{"model_type": "zork", "hidden_size": 9}')
    (tmp_path / "theirs" / "merges.txt").write_text("x")
    assert list(reference_findings(ours, tmp_path / "theirs", None)) == [
        Problem(9, "merges.txt", "is missing, but the reference has it", f"copy the file from {tmp_path / 'theirs'}"),
        Problem(7, "config.json: hidden_size", "is 8, but the reference has 9", TAKE),
        *unknown("model.more"),
    ]
