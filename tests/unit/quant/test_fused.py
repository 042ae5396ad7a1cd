"""Layers that a server fuses: which belong together, and what amax they get."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from quant.formats.fused import fused_groups, tie_fused_amax


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        ([], {}),
        (["a.q_proj", "a.k_proj", "a.v_proj", "a.o_proj"], {"a.qkv_proj": ["a.q_proj", "a.k_proj", "a.v_proj"]}),
        (["m.up_proj", "m.down_proj", "m.gate_proj"], {"m.gate_up_proj": ["m.up_proj", "m.gate_proj"]}),
        (["a.q_proj", "b.q_proj"], {"a.qkv_proj": ["a.q_proj"], "b.qkv_proj": ["b.q_proj"]}),
        (
            ["d.in_proj_qkv", "d.in_proj_z", "d.in_proj_b", "d.in_proj_a", "d.out_proj"],
            {"d.in_proj_qkvz": ["d.in_proj_qkv", "d.in_proj_z"], "d.in_proj_ba": ["d.in_proj_b", "d.in_proj_a"]},
        ),
        (["q_proj", "x.q_proj.y"], {".qkv_proj": ["q_proj"]}),
    ],
)
def test_layers_are_grouped_by_the_module_that_they_become(names: list[str], groups: dict[str, list[str]]) -> None:
    assert fused_groups(names) == groups


def layer(weight: Any, inputs: Any, *, enabled: bool = True) -> nn.Module:
    made: Any = nn.Identity()
    for name, amax in (("weight_quantizer", weight), ("input_quantizer", inputs)):
        setattr(made, name, SimpleNamespace(is_enabled=enabled, amax=None if amax is None else torch.tensor(amax)))
    return made  # type: ignore[no-any-return]


def amax(model: nn.Module) -> dict[str, tuple[Any, ...]]:
    found = {}
    for name, module in model.named_children():
        each: Any = module
        found[name] = tuple(
            None if q.amax is None else q.amax.tolist() for q in (each.weight_quantizer, each.input_quantizer)
        )
    return found


@pytest.mark.parametrize(
    ("layers", "changed", "tied"),
    [
        (
            {
                "q_proj": layer(1.0, 5.0),
                "k_proj": layer(3.0, 5.0),
                "v_proj": layer(2.0, 4.0),
                "o_proj": layer(9.0, 9.0),
            },
            3,
            {"q_proj": (3.0, 5.0), "k_proj": (3.0, 5.0), "v_proj": (3.0, 5.0), "o_proj": (9.0, 9.0)},
        ),
        (
            {"gate_proj": layer([1.0], 2.0), "up_proj": layer([[3.0]], 2.0)},
            1,
            {"gate_proj": ([3.0], 2.0), "up_proj": ([[3.0]], 2.0)},
        ),
        ({"q_proj": layer(1.0, 2.0)}, 0, {"q_proj": (1.0, 2.0)}),
        (
            {"q_proj": layer(1.0, None), "k_proj": layer(3.0, 2.0), "v_proj": layer([5.0, 6.0], 3.0)},
            2,
            {"q_proj": (3.0, None), "k_proj": (3.0, 3.0), "v_proj": ([5.0, 6.0], 3.0)},
        ),
        (
            {"q_proj": layer(1.0, 1.0), "k_proj": layer(3.0, 3.0, enabled=False)},
            0,
            {"q_proj": (1.0, 1.0), "k_proj": (3.0, 3.0)},
        ),
    ],
)
def test_the_largest_amax_of_a_group_is_that_of_all_members(
    layers: dict[str, nn.Module], changed: int, tied: dict[str, tuple[Any, ...]]
) -> None:
    model = nn.ModuleDict(layers)
    assert tie_fused_amax(model) == changed
    assert amax(model) == tied
    assert tie_fused_amax(model) == 0


def test_each_member_has_an_amax_of_its_own() -> None:
    model = nn.ModuleDict({"gate_proj": layer(1.0, 1.0), "plain": nn.Linear(1, 1), "up_proj": layer(2.0, 1.0)})
    assert tie_fused_amax(model) == 1
    members: Any = model
    members["up_proj"].weight_quantizer.amax.fill_(7.0)
    assert members["gate_proj"].weight_quantizer.amax.tolist() == 2.0
