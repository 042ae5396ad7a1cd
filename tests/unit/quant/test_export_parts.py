"""What export compares, keeps and writes beside the weights: digests, adapter directories, fine-tuned models."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from quant import recipe
from quant.checkpoint.provenance import Provenance
from quant.checkpoint.view import Problem
from quant.errors import NotServedAsMade, UsageError
from quant.export import adapter, finish, verify
from quant.export.export import export_model
from quant.formats import nvfp4
from quant.images import images
from quant.preflight import check

# --- the bits that are served ---------------------------------------------------------------------------------------


def test_equal_values_have_equal_digests_and_others_do_not() -> None:
    some = torch.tensor([[0.0, 1.0], [-2.0, 3.0]])
    assert verify.digest(some) == verify.digest(torch.tensor([[-0.0, 1.0], [-2.0, 3.0]]))
    assert verify.digest(some) == verify.digest(some.T.contiguous().T)
    assert verify.digest(some) != verify.digest(torch.tensor([[0.0, 1.0], [-2.0, 3.0000002]]))
    many = {str(i): torch.full((3,), float(i)) for i in range(40)}
    assert verify.digests(many.items()) == {name: verify.digest(tensor) for name, tensor in many.items()}
    assert list(verify.digests(many.items())) == list(many)


@pytest.mark.parametrize(("cores", "workers"), [(2, 2), (None, 1), (64, 16)])
def test_hashing_uses_all_cores_and_holds_few_tensors(
    cores: int | None, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two wait for a core, and one for its place among them."""
    hashing, release = threading.Semaphore(0), threading.Event()
    taken: list[int] = []

    def slow(_: Tensor) -> str:
        hashing.release()
        release.wait(60)
        return ""

    def tensors() -> Iterator[tuple[str, Tensor]]:
        for number in range(40):
            taken.append(number)
            yield str(number), torch.ones(1)

    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr(verify, "digest", slow)
    found = threading.Thread(target=verify.digests, args=(tensors(),))
    found.start()
    for _ in range(workers):
        assert hashing.acquire(timeout=60)
    deadline = time.monotonic() + 60
    while len(taken) < workers + 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert not hashing.acquire(blocking=False)
    assert len(taken) == workers + 3
    release.set()
    found.join(60)
    assert len(taken) == 40


def served(directory: Path) -> dict[str, str]:
    """A checkpoint with a layer in NVFP4, one in FP8 and one in BF16; the digests of what they compute with."""
    directory.mkdir()
    torch.manual_seed(0)
    made = torch.randn(4, 32)
    packed = nvfp4.quantize(made)
    eight, scale = (made / 2).to(torch.float8_e4m3fn), torch.tensor(2.0)
    save_file(
        {
            "model.language_model.layers.0.a.weight": packed.packed,
            "model.language_model.layers.0.a.weight_scale": packed.block_scale,
            "model.language_model.layers.0.a.weight_scale_2": packed.global_scale,
            "model.embed_tokens.weight": made,
        },
        directory / "1.safetensors",
    )
    save_file({"b.weight": eight, "b.weight_scale": scale, "b.bias": torch.ones(4)}, directory / "2.safetensors")
    return {
        "model.layers.0.a": verify.digest(nvfp4.dequantize(packed, torch.bfloat16)),
        "b": verify.digest((eight.float() * 2).bfloat16()),
    }


def test_layers_are_compared_by_the_values_that_they_multiply_by(tmp_path: Path) -> None:
    expected = served(tmp_path / "made")
    assert verify.exported_digests(tmp_path / "made", torch.bfloat16) == expected
    named = {"language_model.model.layers.0.a": expected["model.layers.0.a"], "b": expected["b"]}
    assert verify.assert_served_as_made(named, tmp_path / "made", torch.bfloat16) == 2


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"b": "0"}, "1 different, first b"),
        ({"b": "0", "model.layers.0.a": "0"}, "2 different, first b"),
        ({"c": "0", "a": "0"}, "2 not exported, first a"),
        ({"b": None}, "1 exported but not quantised, first b"),
        ({"b": None, "c": "0"}, "1 not exported, first c; 1 exported but not quantised, first b"),
        ({"b": "0", "c": "0"}, "1 not exported, first c; 1 different, first b"),
    ],
)
def test_layers_that_differ_are_counted_and_one_is_named(
    changed: dict[str, str | None], says: str, tmp_path: Path
) -> None:
    made = {**served(tmp_path / "made"), **changed}
    with pytest.raises(NotServedAsMade) as caught:
        verify.assert_served_as_made(
            {key: value for key, value in made.items() if value is not None}, tmp_path / "made", torch.bfloat16
        )
    assert str(caught.value) == f"the exported weights are not the model's: {says}"


class Quantizer(nn.Module):
    """Adds one, as a quantiser that is easily seen."""

    def __init__(self, *, is_enabled: bool) -> None:
        super().__init__()
        self.is_enabled = is_enabled
        self.amax = torch.tensor(3.0, dtype=torch.bfloat16)

    def forward(self, weight: Tensor) -> Tensor:
        return weight + 1


def model() -> nn.Module:
    """Layers: `both` quantised, `weight` without its inputs, `input` without its weight, `off`, and `plain`."""
    layers = nn.ModuleDict()
    for name, weight, inputs in (("both", 1, 1), ("weight", 1, 0), ("input", 0, 1), ("off", 0, 0)):
        layers[name] = nn.Linear(2, 2, dtype=torch.bfloat16)
        layers[name].weight_quantizer = Quantizer(is_enabled=bool(weight))
        layers[name].input_quantizer = Quantizer(is_enabled=bool(inputs))
    layers["plain"] = nn.Linear(2, 2)
    layers["act"] = nn.ReLU()
    return layers


def test_only_layers_with_quantised_weights_are_compared() -> None:
    layers: Any = model()
    layers["no weight"] = nn.ReLU()
    layers["no weight"].weight_quantizer = Quantizer(is_enabled=True)
    assert verify.computed_digests(layers) == {
        name: verify.digest(layers[name].weight.detach() + 1) for name in ("both", "weight")
    }


def test_a_weight_in_host_memory_is_compared_on_the_layer_s_device() -> None:
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module

    layers: Any = model()
    weight = layers["both"].weight.detach().clone()
    hook = AlignDevicesHook(execution_device="cpu", offload=True, weights_map={"weight": weight, "bias": weight[0]})
    add_hook_to_module(layers["both"], hook)
    assert layers["both"].weight.device.type == "meta"
    assert verify.computed_digests(layers)["both"] == verify.digest(weight + 1)


# --- adapter directories --------------------------------------------------------------------------------------------


def test_calibration_keeps_each_amax_and_the_digests_of_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quant.quantize.modelopt_backend.global_scale_amax", lambda quantizer: quantizer.amax)
    layers: Any = model()
    found = adapter.Calibrated.of(layers)
    three = {"both.weight_amax", "both.input_amax", "weight.weight_amax", "input.input_amax"}
    assert {name: value.tolist() for name, value in found.amax.items()} == {name: [3.0] for name in three}
    assert all(value.dtype == torch.float32 for value in found.amax.values())
    assert found.base == {name: verify.digest(layers[name].weight.detach()) for name in ("both", "weight")}


def folder(directory: Path, name: str = "nvfp4-default", **more: Any) -> Path:
    adapter.write_folder(
        directory, **{"amax": {"a.weight_amax": torch.ones(1)}, "digests": {"a": "12"}, "base": {"a": "34"}, **more},
        recipe=recipe.load(name),
    )  # fmt: skip
    return directory


def test_what_is_kept_of_a_calibration_is_read_back(tmp_path: Path) -> None:
    found = adapter.read(folder(tmp_path / "of" / "mine"))
    assert found.recipe == recipe.load("nvfp4-default")
    assert (found.factors, found.scaling, found.digests, found.base) == ({}, 0.0, {"a": "12"}, {"a": "34"})
    assert found.amax["a.weight_amax"].tolist() == [1.0]
    again = adapter.read(folder(tmp_path / "of" / "mine", digests={"b": "56"}))  # an existing directory is no error
    assert again.digests == {"b": "56"}


def test_a_directory_without_amax_or_base_is_read(tmp_path: Path) -> None:
    found = adapter.read(folder(tmp_path / "kept", amax={}, base={}))
    assert (found.amax, found.base) == ({}, {})
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["digests.json", "recipe.json"]


def trained(directory: Path, **config: Any) -> Path:
    folder(directory, "qat-lora")
    factors = {
        f"base_model.model.{name}.lora_{side}.weight": torch.full((2, 3), value)
        for name, side, value in (("x.q", "A", 1.0), ("x.q", "B", 2.0), ("x.lora_k", "A", 3.0), ("x.lora_k", "B", 4.0))
    }
    save_file(factors, directory / "adapter_model.safetensors")
    (directory / "adapter_config.json").write_text(json.dumps({"lora_alpha": 16, "r": 8, **config}))
    return directory


def test_a_trained_adapter_is_read_with_its_scaling(tmp_path: Path) -> None:
    found = adapter.read(trained(tmp_path / "adapter"))
    assert found.scaling == 2.0
    assert {name: [float(side[0, 0]) for side in sides] for name, sides in found.factors.items()} == {
        "x.q": [1.0, 2.0],
        "x.lora_k": [3.0, 4.0],
    }


@pytest.mark.parametrize("name", ["recipe.json", "digests.json", "adapter_model.safetensors", "adapter_config.json"])
def test_a_file_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    directory = trained(tmp_path / "adapter")
    (directory / name).unlink()
    with pytest.raises(UsageError, match=rf"{name}\W* is missing; give an adapter directory"):
        adapter.read(directory)


# --- a fine-tuned model ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [True, False])
def test_a_fine_tuned_model_keeps_the_tokenizer_of_its_source(extra: bool, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("tokenizer.json", "merges.txt", "config.json", "notes.txt"):
        (source / name).write_text(f"{name} of the source")
    (source / "vocab.json").mkdir()

    def save(directory: Path) -> None:
        (directory / "config.json").write_text("{}")
        save_file({"a": torch.ones(1)}, directory / "model.safetensors")

    def more(directory: Path) -> None:
        (directory / "adapter").mkdir()

    out = tmp_path / "out"
    fine_tuned = SimpleNamespace(save_pretrained=save)
    finish.finish_bf16(fine_tuned, source, out, Provenance("sft", {}), more if extra else None)
    kept = {path.name for path in out.iterdir()} - {"quant_run.json"}
    assert kept == {"config.json", "model.safetensors", "tokenizer.json", "merges.txt"} | (
        {"adapter"} if extra else set()
    )
    assert (out / "tokenizer.json").read_text() == "tokenizer.json of the source"
    assert (out / "config.json").read_text() == "{}"
    assert load_file(out / "model.safetensors")["a"].tolist() == [1.0]


# --- a quantised model ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["NVFP4", "MIXED_PRECISION"])
@pytest.mark.parametrize("mtp", [True, False])
def test_the_weights_of_an_mtp_head_go_along_unquantised(
    mtp: bool, algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MIXED_PRECISION lists what is quantised; any other algorithm what is not."""
    source, out = tmp_path / "source", tmp_path / "out"
    for directory in (source, out):
        directory.mkdir()
    names = ["model.a", *(["mtp.fc.weight"] if mtp else [])]
    save_file({name: torch.ones(1) for name in names}, source / "model.safetensors")
    sections: dict[str, Any] = {
        "config.json": {"quantization_config": {"quant_algo": algorithm, "ignore": ["z"]}},
        "hf_quant_config.json": {"quantization": {"quant_algo": algorithm}},
    }
    exported: dict[str, Tensor] = {}

    def export(_: object, *, export_dir: Path, extra_state_dict: dict[str, Tensor], **__: object) -> None:
        exported.update(extra_state_dict)
        for name, content in sections.items():
            (export_dir / name).write_text(json.dumps(content))

    monkeypatch.setattr("modelopt.torch.export.export_hf_checkpoint", export)
    config = SimpleNamespace(to_dict=lambda: {"model_type": "llama"}, architectures=["A"])
    export_model(SimpleNamespace(config=config), source, out, images()["vllm-0.32"])
    assert set(exported) == set(names[1:])
    config_, legacy = (json.loads((out / name).read_text()) for name in sections)
    excluded = mtp and algorithm == "NVFP4"
    assert config_["quantization_config"]["ignore"] == (["mtp*", "z"] if excluded else ["z"])
    assert legacy["quantization"].get("exclude_modules") == (["mtp*"] if excluded else None)


class Steps:
    """What `finish` calls, in its order, with stand-ins for the slow parts; nothing is wrong unless it is set."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.computed = {"a": "1", "b": "2"}
        self.findings: list[Problem] = []
        self.called: list[Any] = []
        self.preflight: dict[str, Any] = {}
        patch.setattr(verify, "computed_digests", lambda _: self.computed)
        patch.setattr(finish, "export_model", self.export)
        patch.setattr(finish, "retarget", lambda directory, image: self.called.append(("retarget", image.name)))
        patch.setattr(finish, "digest_ahead", lambda paths: self.called.append([path.name for path in paths]))
        patch.setattr(verify, "assert_served_as_made", self.compare)
        patch.setattr(check, "preflight", self.check)
        patch.setattr(finish, "view", lambda directory: (directory, []))
        patch.setattr(finish, "movement", lambda new, old: {"moved": [new.name[:4], old.name]})
        patch.setattr(finish, "plot", lambda *given: self.called.append(("plot", given[0], given[1].name, given[2])))

    def export(self, model: Any, source: Path, out: Path, image: Any) -> None:
        self.called.append(("export", source.name, image.name))
        save_file({"x": torch.ones(1)}, out / "model.safetensors")

    def compare(self, computed: Any, directory: Path, dtype: torch.dtype) -> int:
        self.called.append(("compare", computed, dtype))
        return 7

    def check(self, directory: Path, **given: Any) -> list[Problem]:
        self.preflight = given
        return self.findings

    def extra(self, directory: Path, digests: dict[str, str]) -> None:
        self.called.append(("extra", digests))
        (directory / "extra.txt").write_text("kept")

    def run(self, tmp_path: Path, provenance: Provenance | None = None, **more: Any) -> int:
        made = provenance or Provenance("ptq", {})
        source, image = tmp_path / "source", images()["vllm-0.32"]
        return finish.finish(SimpleNamespace(dtype=torch.bfloat16), source, tmp_path / "out", image, made, **more)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(monkeypatch)


BUILT = [
    ("export", "source", "vllm-0.32"),
    ("retarget", "vllm-0.32"),
    ["model.safetensors"],
    ("compare", {"a": "1", "b": "2"}, torch.bfloat16),
]
EXTRA = ("extra", {"a": "1", "b": "2"})


@pytest.mark.parametrize(
    ("trained", "extra", "called"),
    [
        (None, False, BUILT),
        (None, True, [*BUILT, EXTRA]),  # a calibration is written beside a checkpoint that holds
        ({"a": "1", "b": "2", "c": "3"}, False, BUILT),
        ({"a": "1", "b": "2"}, True, [EXTRA, *BUILT]),  # an adapter is kept before anything can be refused
    ],
)
def test_a_checkpoint_is_built_step_by_step(
    trained: dict[str, str] | None, extra: bool, called: list[Any], steps: Steps, tmp_path: Path
) -> None:
    provenance = Provenance("ptq", {"recipe": {"name": "r"}})
    assert steps.run(tmp_path, provenance, trained=trained, extra=steps.extra if extra else None) == 7
    assert steps.called == called
    assert steps.preflight == {
        "image": images()["vllm-0.32"],
        "reference": tmp_path / "source",
        "being_built": True,
        "made": {"kind": "ptq", "recipe": {"name": "r"}},
    }
    written = json.loads((tmp_path / "out" / "quant_run.json").read_text())
    assert written["bit_check"] == {"layers": 7, "equal": True}
    assert written.get("moved") == (None if trained is None else {"moved": [".out", "source"]})
    assert list(written["seconds"]) == ["digest", "export", "verify", "preflight"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        ["model.safetensors", "quant_run.json", *(["extra.txt"] if extra else [])]
    )


def test_the_errors_of_the_blocks_are_drawn(steps: Steps, tmp_path: Path) -> None:
    steps.run(tmp_path, Provenance("ptq", {"quality": {"block_errors": {"0": 0.1}}}))
    drawn = ("plot", {"0": 0.1}, "block_errors.png", "out: error of each block after quantisation")
    assert steps.called == [*BUILT, drawn]


REFUSED = Problem(9, "tokenizer.json", "is odd", "take ours")


@pytest.mark.parametrize(
    ("trained", "findings", "record", "says"),
    [
        (None, [REFUSED], {}, "preflight refuses the export: {refused}; nothing was kept"),
        (
            {"a": "1", "b": "2"}, [REFUSED], {"training": {"first_loss": 2.34567, "last_loss": 0.5}},
            "preflight refuses the export: {refused}; the trained result is kept in {kept} (loss 2.346 at first, 0.5"
            " at the end)",
        ),
        (
            {"a": "1", "b": "2"}, [REFUSED], {"training": {}},
            "preflight refuses the export: {refused}; the trained result is kept in {kept}",
        ),
        (
            {"a": "1", "b": "0"}, [], {},
            "1 layers of the merged model differ from the trained ones, first b; the trained result is kept in {kept}",
        ),
        (
            {}, [], {},
            "2 layers of the merged model differ from the trained ones, first a; the trained result is kept in {kept}",
        ),
    ],
)  # fmt: skip
def test_a_checkpoint_that_fails_a_check_is_no_result(
    trained: dict[str, str] | None,
    findings: list[Problem],
    record: dict[str, Any],
    says: str,
    steps: Steps,
    tmp_path: Path,
) -> None:
    steps.findings = findings
    with pytest.raises(NotServedAsMade) as caught:
        steps.run(tmp_path, Provenance("qat", record), trained=trained, extra=steps.extra)
    kept = tmp_path / "out.refused"
    assert str(caught.value) == says.format(refused=REFUSED, kept=kept)
    assert [path.name for path in tmp_path.iterdir()] == ([] if trained is None else ["out.refused"])
    if trained is not None:
        assert (kept / "extra.txt").read_text() == "kept"
        assert (kept / "quant_run.json").exists() is bool(findings)
        if findings:
            assert json.loads((kept / "quant_run.json").read_text())["refused"] == str(REFUSED)


def test_warnings_refuse_nothing_and_no_layers_are_a_mistake_of_the_recipe(steps: Steps, tmp_path: Path) -> None:
    steps.findings = [Problem(9, "tokenizer.json", "is odd", "take ours", "warned")]
    assert steps.run(tmp_path) == 7
    steps.computed = {}
    with pytest.raises(UsageError, match="match no linear layer of this model"):
        steps.run(tmp_path / "again")
