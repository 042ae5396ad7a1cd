"""Writes a checkpoint of a given architecture with random weights, for speed benchmarks.

    python -m benchmarks.random_checkpoint --tokenizer models/smollm2-135m-instruct-bf16 --out DIR \
        [--model-type qwen3_5_text] [--set KEY=VALUE ...] [--for vllm-0.24]

`--set` overrides transformers' defaults for the architecture; those of qwen3_5_text are Qwen3.5-9B's, except for
the vocabulary, which is that of the tokenizer. BF16, made on the GPU if there is one. Prints parameters and bytes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COMPANIONS = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")


def random_model(tokenizer: Path, model_type: str, settings: Sequence[str]) -> Any:
    """A causal LM in BF16 with random weights, on the GPU if there is one.

    Args:
        tokenizer: checkpoint whose vocabulary and special tokens the model gets.
        settings: KEY=VALUE, VALUE in JSON; they override transformers' defaults for `model_type`.

    Raises ValueError for a setting that cannot be read.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    base = json.loads((tokenizer / "config.json").read_text())
    base = {**base, **base.get("text_config", {})}
    chosen = {key: base.get(key) for key in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")}
    for item in settings:
        key, _, value = item.partition("=")
        try:
            chosen[key] = json.loads(value)
        except ValueError:
            raise ValueError(f"--set {item}: needs KEY=VALUE, with a VALUE that is JSON") from None
    config = AutoConfig.for_model(model_type, **chosen)
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tokenizer", type=Path, required=True, help="checkpoint that has its tokenizer and template")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model-type", default="qwen3_5_text")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="VALUE is JSON")
    parser.add_argument("--for", dest="image", metavar="IMAGE", help="in the shape that this serving image loads")
    options = parser.parse_args()

    from quant.export.export import retarget
    from quant.images import images

    if options.image not in (None, *images()):
        parser.error(f"--for {options.image}: unknown; one of {', '.join(images())}")
    try:
        model = random_model(options.tokenizer, options.model_type, options.set)
    except ValueError as error:
        parser.error(str(error))
    model.save_pretrained(options.out)
    for name in COMPANIONS:
        if (options.tokenizer / name).exists():
            shutil.copy(options.tokenizer / name, options.out)
    if options.image:
        retarget(options.out, images()[options.image])
    size = sum(path.stat().st_size for path in options.out.glob("*.safetensors"))
    print(f"{options.out}: {sum(p.numel() for p in model.parameters()) / 1e9:.2f} G parameters, {size / 1e9:.2f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
