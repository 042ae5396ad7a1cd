"""ModelOpt packs, dequantises and exports exactly the weights of the backend's forward pass."""

import copy
from pathlib import Path
from typing import Any

import modelopt.torch.quantization as mtq
import pytest
import torch
from modelopt.torch.export import export_hf_checkpoint
from modelopt.torch.quantization.config import QuantizerAttributeConfig
from modelopt.torch.quantization.nn import TensorQuantizer
from modelopt.torch.quantization.qtensor import NVFP4QTensor
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from quant.formats import nvfp4
from quant.quantize.modelopt_backend import BACKEND, register_backend, with_backend

pytestmark = pytest.mark.filterwarnings("ignore")

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
FUSED = (("self_attn", ("q_proj", "k_proj", "v_proj")), ("mlp", ("gate_proj", "up_proj")))


def cases(dtype: torch.dtype) -> dict[str, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(32, 256)
    rows = torch.exp(4 * torch.randn(32, 1))
    midpoints = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 6.0]).repeat(2)
    midpoints[8:] *= -1
    ties = torch.cat([midpoints * 2.0**power for power in range(-6, 9)]).reshape(1, -1)
    ties = torch.cat([ties, torch.full((1, ties.shape[1]), 2688.0)])  # a global scale of 1
    zeros = x.clone()
    zeros[3] = 0
    zeros[4, :16] = 0
    zeros[5, ::2] = -0.0
    largest = min(torch.finfo(dtype).max, 3e38)
    found = {
        "normal": x,
        "heavy tails": x * rows / 1e3,
        "every tie": ties,
        "zeros": zeros,
        "floor blocks": x * 2.0 ** torch.linspace(0, -12, 32).unsqueeze(-1),
        "huge": x / x.abs().max() * largest,
        "tiny": x / x.abs().max() * 1e-5,
    }
    found["denormal"] = x * (1e-6 if dtype is torch.float16 else 1e-38)
    return {name: values.to(dtype) for name, values in found.items()}


def modelopt_reference(x: Tensor, amax: Tensor) -> tuple[NVFP4QTensor, Tensor, Tensor]:
    scale = amax.float() / (6.0 * 448.0)
    block_scale, _ = NVFP4QTensor.get_weights_scaling_factor(x, 16, scale)
    packed, _, _ = NVFP4QTensor.quantize(x.clone(), 16, block_scale, scale)
    return packed, block_scale, scale


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("share", [1.0, 0.37, 11.0], ids=["amax of the tensor", "clipping", "headroom"])
@pytest.mark.parametrize("name", cases(torch.float32))
def test_packs_and_expands_bit_for_bit_alike(name: str, share: float, dtype: torch.dtype) -> None:
    x = cases(dtype)[name]
    amax = (x.abs().max().float() * share).clamp(max=3e38)
    packed, block_scale, scale = modelopt_reference(x, amax)
    ours = nvfp4.quantize(x, amax)
    assert torch.equal(ours.global_scale, scale)
    assert torch.equal(ours.block_scale.view(torch.uint8), block_scale.view(torch.uint8))
    assert torch.equal(ours.packed, packed._quantized_data)

    integers = torch.int32 if dtype is torch.float32 else torch.int16
    expanded = packed.dequantize(dtype=dtype, scale=block_scale, double_scale=scale, block_sizes={-1: 16})
    assert torch.equal(nvfp4.dequantize(ours, dtype).view(integers), expanded.view(integers))
    assert torch.equal(nvfp4.fake_quantize(x, amax).view(integers), expanded.view(integers))


def tiny_llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=256,
        architectures=["LlamaForCausalLM"],
    )
    return LlamaForCausalLM(config).to(torch.bfloat16)


def calibrate(model: Any) -> None:
    for seed in range(2):
        model(torch.randint(0, 256, (2, 32), generator=torch.Generator().manual_seed(seed)))


def weight_quantizers(model: nn.Module) -> dict[str, nn.Module]:
    return {
        name: module
        for name, module in model.named_modules()
        if getattr(module, "weight_quantizer", None) is not None and module.weight_quantizer.is_enabled
    }


def tie_fused(model: nn.Module) -> None:
    for layer in model.model.layers:  # type: ignore[union-attr]
        for parent, names in FUSED:
            quantizers = [getattr(getattr(layer, parent), name).weight_quantizer for name in names]
            largest = torch.stack([q.amax.float() for q in quantizers]).max()
            for quantizer in quantizers:
                quantizer.amax = largest


@pytest.mark.parametrize("config", ["NVFP4_DEFAULT_CFG", "W4A16_NVFP4_CFG", "NVFP4_AWQ_LITE_CFG"])
def test_exported_weights_are_those_of_the_forward_pass(config: str, tmp_path: Path) -> None:
    model = mtq.quantize(tiny_llama(), with_backend(getattr(mtq, config)), calibrate)
    if config != "NVFP4_AWQ_LITE_CFG":  # AWQ rescales the weights when it exports; here only its run is tested
        tie_fused(model)
    with torch.no_grad():
        used = {name: m.weight_quantizer(m.weight).clone() for name, m in weight_quantizers(model).items()}
        export_hf_checkpoint(model, export_dir=tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    assert len(used) == 14
    for name, weight in used.items():
        stored = nvfp4.NVFP4Tensor(
            *(tensors[f"{name}.{part}"] for part in ("weight", "weight_scale", "weight_scale_2"))
        )
        if config != "NVFP4_AWQ_LITE_CFG":
            assert torch.equal(nvfp4.dequantize(stored), weight), name
        else:
            assert nvfp4.dequantize(stored).isfinite().all()


def test_untied_groups_are_not_what_export_writes(tmp_path: Path) -> None:
    """The trap that tying is for; if this fails, ModelOpt has changed and tying may have become needless."""
    model = mtq.quantize(tiny_llama(), with_backend(mtq.NVFP4_DEFAULT_CFG), calibrate)
    with torch.no_grad():
        used = {name: m.weight_quantizer(m.weight).clone() for name, m in weight_quantizers(model).items()}
        export_hf_checkpoint(model, export_dir=tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    changed = [
        name
        for name in used
        if not torch.equal(
            nvfp4.dequantize(
                nvfp4.NVFP4Tensor(*(tensors[f"{name}.{p}"] for p in ("weight", "weight_scale", "weight_scale_2")))
            ),
            used[name],
        )
    ]
    assert changed


def test_lora_inside_the_quantiser_trains() -> None:
    peft_model = get_peft_model(tiny_llama(), LoraConfig(r=4, target_modules=["q_proj", "down_proj"]))
    config = with_backend(mtq.NVFP4_DEFAULT_CFG)
    config["quant_cfg"].append({"quantizer_name": "*lora*", "enable": False})
    model = mtq.quantize(peft_model, config, calibrate)
    ids = torch.randint(0, 256, (2, 32), generator=torch.Generator().manual_seed(7))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(8):
        loss = model(input_ids=ids, labels=ids).loss
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("pass_through", [True, False])
def test_the_quantisers_choice_of_gradient_is_kept(pass_through: bool) -> None:
    quantizer = TensorQuantizer(QuantizerAttributeConfig(**nvfp4_attributes(), pass_through_bwd=pass_through))
    quantizer.amax = torch.tensor(1.0)
    x = torch.linspace(-2, 2, 32).requires_grad_()
    quantizer(x).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.ones(32) if pass_through else (x.detach().abs() <= 1).float())


def nvfp4_attributes() -> dict[str, Any]:
    blocks = {-1: 16, "type": "dynamic", "scale_bits": (4, 3)}
    return {"num_bits": (2, 1), "block_sizes": blocks, "backend": register_backend()}


def test_the_backend_goes_on_nvfp4_quantisers_only_and_constants_stay_untouched() -> None:
    original = copy.deepcopy(mtq.NVFP4_DEFAULT_CFG)
    config = with_backend(mtq.NVFP4_DEFAULT_CFG)
    assert original == mtq.NVFP4_DEFAULT_CFG
    backends = {e["quantizer_name"]: e["cfg"].get("backend") for e in config["quant_cfg"] if e.get("cfg")}
    assert set(backends.values()) == {BACKEND}
    fp8 = with_backend(mtq.FP8_DEFAULT_CFG)
    assert all("backend" not in e["cfg"] for e in fp8["quant_cfg"] if isinstance(e.get("cfg"), dict))


@pytest.mark.parametrize(
    "attributes",
    [
        {"num_bits": (4, 3)},
        {"num_bits": (2, 1), "block_sizes": {-1: 32, "type": "dynamic", "scale_bits": (8, 0)}},
        {"num_bits": (2, 1), "block_sizes": {-1: 32, "type": "dynamic", "scale_bits": (4, 3)}},
    ],
    ids=["fp8", "mxfp4", "blocks of 32"],
)
def test_another_format_under_this_backend_is_refused(attributes: dict[str, Any]) -> None:
    quantizer = TensorQuantizer(QuantizerAttributeConfig(**attributes, backend=register_backend()))
    quantizer.amax = torch.tensor(1.0)
    with pytest.raises(NotImplementedError, match="remove `backend` from its cfg"):
        quantizer(torch.randn(2, 32))


def test_registering_twice_is_silent(recwarn: pytest.WarningsRecorder) -> None:
    recwarn.clear()
    assert register_backend() == register_backend() == BACKEND
    assert not [w for w in recwarn if "backend" in str(w.message)]
