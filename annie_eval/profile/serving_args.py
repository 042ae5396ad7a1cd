"""Checks `serving.args` of a profile against an allow-list of vLLM arguments.

A profile is untrusted input, and vLLM has arguments that import a module, read a file or contact a host.

Arguments are parsed like in vLLM (`vllm/utils/argparse_utils.py`): `_` equals `-`, a dot begins a key inside the
value, and argparse accepts any unique prefix of a flag.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence

from annie_eval.errors import UsageError
from annie_eval.profile.schema import did_you_mean, quoted
from annie_eval.text import word_set

# Set by the gate or by another key of the profile.
_OWNED = {
    "--model": "--model-dir names the model",
    "--served-model-name": "the gate chooses a unique name",
    "--host": "the gate chooses it",
    "--port": "the gate chooses it",
    "--api-key": "a profile must not contain an API key; see --api-key-env",
    "--trust-remote-code": "code in a checkpoint is never run",
    "--tool-call-parser": "use serving.tool_parser",
    "--reasoning-parser": "use serving.reasoning_parser",
    "--max-model-len": "use serving.max_model_len",
}
# Memory, speed and built-in kernels; nothing that names code, a file or a host.
ALLOWED = word_set("""
    --all2all-backend --async-scheduling --attention-backend --block-size --calculate-kv-scales --cpu-offload-gb
    --chat-template-content-format --cudagraph-capture-sizes --data-parallel-size --decode-context-parallel-size
    --disable-cascade-attn --disable-custom-all-reduce --disable-hybrid-kv-cache-manager --disable-log-stats
    --disable-sliding-window --dtype --enable-auto-tool-choice --enable-chunked-prefill --enable-expert-parallel
    --enable-flashinfer-autotune --enable-force-include-usage --enable-per-request-metrics --enable-prefix-caching
    --enable-prompt-tokens-details --enable-scale-out --enforce-eager --expert-placement-strategy --gdn-prefill-backend
    --gpu-memory-utilization --kda-decode-backend --kda-prefill-backend --kv-cache-dtype --kv-cache-memory-bytes
    --language-model-only --limit-mm-per-prompt --linear-backend --long-prefill-token-threshold --mamba-backend
    --mamba-block-size --mamba-cache-dtype --mamba-cache-mode --mamba-ssm-cache-dtype --max-cudagraph-capture-size
    --max-logprobs --max-num-batched-tokens --max-num-seqs --max-num-partial-prefills --max-long-partial-prefills
    --moe-backend --num-gpu-blocks-override --optimization-level --override-generation-config --performance-mode
    --pipeline-parallel-size --prefix-caching-hash-algo --quantization --scheduling-policy --seed --skip-mm-profiling
    --speculative-config --stream-interval --swap-space --tensor-parallel-size --use-tqdm-on-load
    -dp -pp -q -tp
""")
_PLAIN = re.compile(r'[A-Za-z0-9_.,:+{}\[\]" -]*')  # neither a path nor a URL
_WITHOUT_A_MODEL = frozenset(
    ("method", "num_speculative_tokens", "prompt_lookup_max", "prompt_lookup_min", "disable_padded_drafter_batch")
)
_OPTIMIZATION = re.compile("-O[0-3]?")


def flag(argument: str) -> str | None:
    """The flag of an argument, with hyphens: `--max_num_seqs=8` -> `--max-num-seqs`; None for a value."""
    if not re.match("--?[A-Za-z]", argument):
        return None
    return re.split("[.=]", argument, maxsplit=1)[0].replace("_", "-")


def means(argument: str, name: str) -> bool:
    """Whether vLLM's parser may read an argument as the flag `name`, in full or abbreviated."""
    given = flag(argument)
    return given is not None and name.startswith(given)


def trusts_code(argument: str) -> bool:
    """Whether an argument sets `trust_remote_code`: as a flag, abbreviated, or as a key in a JSON value."""
    if means(argument, "--trust-remote-code"):
        return True
    for text in (argument, argument.partition("=")[2]):
        with contextlib.suppress(ValueError, RecursionError):
            argument += json.dumps(json.loads(text), ensure_ascii=False)  # without escapes in the key
    return "trust-remote-code" in argument.replace("_", "-").lower()


def check(arguments: Sequence[str], where: str) -> None:
    """Check the `serving.args` of a profile. Raises UsageError; its message begins with `where`."""
    last = None
    for position, argument in enumerate(arguments):
        name = flag(argument)
        at = f"{where}: serving.args[{position}] is {quoted(name or argument)}"
        owned = next((reason for owner, reason in _OWNED.items() if means(argument, owner)), None)
        if trusts_code(argument):
            owned = _OWNED["--trust-remote-code"]
        if owned is not None:
            raise UsageError(f"{at}; remove it: {owned}")
        if name is not None and name.replace("--no-", "--", 1) not in ALLOWED and not _OPTIMIZATION.fullmatch(name):
            raise UsageError(
                f"{at}, which a profile may not set{did_you_mean(name, sorted(ALLOWED))}; it may name no code, file or"
                " host, and each flag in full: pass others by hand with --vllm-arg"
            )
        if name is None and last is None:
            raise UsageError(f"{at}, a value without a flag; write {quoted('--flag=value')}")
        last = name or last
        set_to, _, value = argument.partition("=") if name is not None else ("", "", argument)
        if "." in set_to or not _PLAIN.fullmatch(value):
            raise UsageError(f"{at}; a profile may give it a plain value only: pass others by hand with --vllm-arg")
        if last == "--speculative-config" and value:
            _check_drafts(value, at)


def _check_drafts(value: str, at: str) -> None:
    """Allow speculative decoding with the model's own heads or with n-grams, but not with another model."""
    try:
        keys = set(json.loads(value))
    except (ValueError, TypeError, RecursionError):
        keys = {""}
    if odd := sorted(keys - _WITHOUT_A_MODEL):
        raise UsageError(
            f"{at}; {quoted(odd[0])} is none of {', '.join(sorted(_WITHOUT_A_MODEL))}: pass it by hand with --vllm-arg"
        )
