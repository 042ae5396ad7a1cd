"""Measures time and peak memory of preflight for a checkpoint of 10 GB, and compares them with its limits.

    python benchmarks/preflight.py [--gigabytes 10]

Makes a synthetic NVFP4 checkpoint with Llama's layout and random values in a temporary directory (which needs that
much disk), does not clear the page cache, and runs `python -m quant preflight`. The limits are 10 seconds and 1 GB of
memory.
"""

import argparse
import json
import resource
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HIDDEN, INNER, HEADS, GROUPS, VOCABULARY = 4096, 12288, 32, 8, 32000


def layout(layers: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The tensors of the checkpoint: dtype and shape by name."""
    width = HIDDEN // HEADS
    linear = {
        "self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (GROUPS * width, HIDDEN),
        "self_attn.v_proj": (GROUPS * width, HIDDEN), "self_attn.o_proj": (HIDDEN, HIDDEN),
        "mlp.gate_proj": (INNER, HIDDEN), "mlp.up_proj": (INNER, HIDDEN), "mlp.down_proj": (HIDDEN, INNER),
    }  # fmt: skip
    found: dict[str, tuple[str, tuple[int, ...]]] = {}
    for index in range(layers):
        for name, (rows, columns) in linear.items():
            prefix = f"model.layers.{index}.{name}"
            found[f"{prefix}.weight"] = ("U8", (rows, columns // 2))
            found[f"{prefix}.weight_scale"] = ("F8_E4M3", (rows, columns // 16))
            found[f"{prefix}.weight_scale_2"] = ("F32", ())
            found[f"{prefix}.input_scale"] = ("F32", ())
        for norm in ("input_layernorm", "post_attention_layernorm"):
            found[f"model.layers.{index}.{norm}.weight"] = ("BF16", (HIDDEN,))
    found["model.embed_tokens.weight"] = ("BF16", (VOCABULARY, HIDDEN))
    found["lm_head.weight"] = ("BF16", (VOCABULARY, HIDDEN))
    found["model.norm.weight"] = ("BF16", (HIDDEN,))
    return found


def write(directory: Path, layers: int) -> int:
    """Write the checkpoint; returns its bytes."""
    import numpy as np

    random = np.random.default_rng(0)
    noise = random.integers(0, 256, 8 << 20, dtype=np.uint8).tobytes()
    scales = random.integers(0x30, 0x7E, 8 << 20, dtype=np.uint8).tobytes()
    halves = (random.standard_normal(4 << 20).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()
    tensors = layout(layers)
    header: dict[str, object] = {}
    position = 0
    sizes = {"U8": 1, "F8_E4M3": 1, "F32": 4, "BF16": 2}
    for name, (dtype, shape) in tensors.items():
        size = sizes[dtype] * int(np.prod(shape, dtype=np.int64))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + size]}
        position += size
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    with (directory / "model.safetensors").open("wb") as stream:
        stream.write(struct.pack("<Q", len(raw)) + raw)
        for dtype, shape in tensors.values():
            left = sizes[dtype] * int(np.prod(shape, dtype=np.int64))
            source = {"U8": noise, "F8_E4M3": scales, "BF16": halves, "F32": struct.pack("<f", 1e-4)}[dtype]
            while left:
                left -= stream.write(source[: min(left, len(source))])
    section = {"quant_algo": "NVFP4", "group_size": 16, "quant_method": "modelopt", "ignore": ["lm_head"]}
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "vocab_size": VOCABULARY,
        "intermediate_size": INNER, "num_attention_heads": HEADS, "num_key_value_heads": GROUPS,
        "num_hidden_layers": layers, "tie_word_embeddings": False, "quantization_config": section,
    }  # fmt: skip
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0}}}))
    (directory / "tokenizer_config.json").write_text("{}")
    return position


def main() -> int:
    """Make the checkpoint, check it, print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=10)
    arguments = parser.parse_args()
    per_layer = 110e6
    layers = max(1, round((arguments.gigabytes * 1e9 - 4 * VOCABULARY * HIDDEN) / per_layer))
    with tempfile.TemporaryDirectory() as scratch:
        size = write(Path(scratch), layers)
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "quant", "preflight", scratch], capture_output=True, text=True)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        start = time.perf_counter()
        with (Path(scratch) / "model.safetensors").open("rb") as stream:
            while stream.read(16 << 20):
                pass
        whole = time.perf_counter() - start
    print(done.stdout.strip() or done.stderr.strip())
    print("| checkpoint | tensors | preflight | limit | peak memory | limit | reading the file |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {size / 1e9:.1f} GB | {len(layout(layers))} | {seconds:.1f} s | 10 s | {peak / 1e9:.2f} GB | 1 GB |",
        end="",
    )
    print(f" {whole:.1f} s |")
    return 0 if done.returncode == 0 and seconds < 10 and peak < 1e9 else 1


if __name__ == "__main__":
    sys.exit(main())
