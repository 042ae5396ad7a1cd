"""Runs the probe `warm_cold` on the embedded model's W4A4 arithmetic, with a correct and with a faulty cache.

    python -m benchmarks.server_state_w4a4 --bf16 models/annie-smol-bf16 --nvfp4 models/annie-smol-nvfp4-qat

No server: transformers computes, with the checkpoint's four-bit weights and with every layer's input rounded to four
bits (outputs to BF16, sums in FP32), behind the interface that the probes ask. What is cached, and how many requests
come at once, sets the shape of every matrix product, as on a server; the rounding that comes of it is real. With
`--fault` a hit gets the state of the other conversation. One thread, about a minute. Prints each request: how far cold
and warm are apart, the control, and the distances between all answers.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from annie_eval.gates import server_state
from annie_eval.gates.server_state import Comparison, ProbeResult
from annie_eval.http_client import Response
from annie_eval.profile.load import load
from annie_eval.profile.types import StateProbes
from annie_eval.state import ask
from annie_eval.stats import relabel
from quant.formats import nvfp4, nvfp4_native

_BLOCK = 64  # tokens in a block of the cache
_MOST = {False: 2, True: 6}  # copies that stand for the requests beside one: a cold prompt takes a second each
_E2M1 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])


def w4a4(bf16: Path, nvfp4_dir: Path) -> Any:
    """The model with the weights of the second directory, each input of its linear layers rounded to four bits."""
    model: Any = AutoModelForCausalLM.from_pretrained(bf16, dtype=torch.float32).eval()
    values = torch.cat([_E2M1, -_E2M1])
    with safe_open(nvfp4_dir / "model.safetensors", "pt") as file:
        names = set(file.keys())
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear) or "norm" in name:
                module.register_forward_hook(lambda _, inputs, out: out.to(torch.bfloat16).float())
            if f"{name}.weight_scale" not in names:
                continue
            codes = nvfp4.unpack(file.get_tensor(f"{name}.weight"))
            scale = file.get_tensor(f"{name}.weight_scale").float() * file.get_tensor(f"{name}.weight_scale_2").float()
            elements = codes.float() if codes.is_floating_point() else values[codes.long()]
            blocks = elements.reshape(*codes.shape[:-1], -1, 16)
            module.weight.data = (blocks * scale[..., None]).flatten(-2).to(torch.bfloat16).float()
            inverse = 1.0 / file.get_tensor(f"{name}.input_scale").item()
            module.register_forward_pre_hook(lambda _, inputs, inverse=inverse: (_rounded(inputs[0], inverse),))
    return model


def _rounded(x: torch.Tensor, inverse: float) -> torch.Tensor:
    found = nvfp4_native.fake_quantize("emulation", x.contiguous(), inverse)
    if found is None:
        raise SystemExit("no compiler for quant/formats: the native rounding is needed here")
    return found


class Server:
    """Answers as `annie_eval.http_client.Client` does; `fault`: a hit gets another conversation's state."""

    def __init__(self, model: Any, tokenizer: Any, *, fault: bool) -> None:
        self.model, self.tokenizer, self.fault = model, tokenizer, fault
        self.running = 0
        self.known: dict[str, list[tuple[list[int], list[Any]]]] = {}

    async def request(self, method: str, path: str) -> Response:
        return Response(200, (), b'{"data": [{"id": "m", "max_model_len": 8192}]}', ())

    async def post(self, path: str, body: Mapping[str, Any]) -> Response:
        self.running += 1
        await asyncio.sleep(0)
        try:
            return Response(200, (), json.dumps(self._answer(body, self.running)).encode(), ())
        finally:
            self.running -= 1

    def _cached(self, salt: str, ids: list[int]) -> tuple[int, list[Any]]:
        known = self.known.setdefault(salt, [])
        hit, state = 0, list[Any]()
        for others, its in known:
            same = next(
                (at for at, (a, b) in enumerate(zip(others, ids[:-1], strict=False)) if a != b),
                min(len(others), len(ids) - 1),
            )
            if same // _BLOCK * _BLOCK > hit:
                hit, state = same // _BLOCK * _BLOCK, its
        if self.fault and hit:
            state = next((its for others, its in known if others[:hit] != ids[:hit] and len(others) >= hit), state)
        return hit, state

    @torch.no_grad()
    def _answer(self, body: Mapping[str, Any], running: int) -> dict[str, Any]:
        asked = self.tokenizer.apply_chat_template(
            body["messages"], add_generation_prompt=True, enable_thinking=False, return_dict=True
        )
        ids: list[int] = asked["input_ids"]
        hit, state = self._cached(body["cache_salt"], ids)
        copies = min(running, _MOST[hit > 0])
        cache: Any = DynamicCache()
        for layer, (keys, values) in enumerate(state):
            cache.update(*(each[:, :, :hit].repeat(copies, 1, 1, 1) for each in (keys, values)), layer)
        out = self._step([ids[hit:]] * copies, cache)
        if hit + 2 * _BLOCK < len(ids):  # else all of it but the question is known
            its = [(layer.keys[:1].clone(), layer.values[:1].clone()) for layer in cache.layers]
            self.known[body["cache_salt"]].append((ids, its))
        rows, sent = [], list[int]()
        while True:
            logprobs = torch.log_softmax(out, -1)
            best = logprobs.topk(5)
            top = [
                {"token": self.tokenizer.decode(at), "logprob": value}
                for value, at in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            ]
            rows.append({**top[0], "top_logprobs": top})
            token = int(best.indices[0])
            if token == self.tokenizer.eos_token_id or len(rows) == body["max_tokens"]:
                break
            sent.append(token)
            out = self._step([[token]] * copies, cache)
        message = {"role": "assistant", "content": self.tokenizer.decode(sent)}
        choice = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": {"content": rows}}
        usage: dict[str, Any] = {
            "prompt_tokens": len(ids),
            "completion_tokens": len(rows),
            "total_tokens": len(ids) + len(rows),
        }
        usage |= {"prompt_tokens_details": {"cached_tokens": hit}}
        base = {"id": "x", "object": "chat.completion", "created": 0, "model": "m"}
        return {**base, "choices": [choice], "usage": usage}

    def _step(self, ids: list[list[int]], cache: Any) -> torch.Tensor:
        """Logits of the next token, `(vocabulary,)`, of the first of equal rows."""
        out = self.model(torch.tensor(ids), past_key_values=cache, use_cache=True, logits_to_keep=1)
        found: torch.Tensor = out.logits[0, -1].float()
        return found


def main() -> None:
    """Ask once, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bf16", type=Path, required=True, metavar="DIR")
    parser.add_argument("--nvfp4", type=Path, required=True, metavar="DIR")
    parser.add_argument("--fault", action="store_true", help="a cached prefix has the state of the other conversation")
    options = parser.parse_args()
    torch.set_num_threads(1)
    state = StateProbes(probes=("warm_cold",), prefix_tokens=(300,), tools=(), questions=3)
    profile = dataclasses.replace(load("annie-smol"), tools={}, state=state)
    server = Server(
        w4a4(options.bf16, options.nvfp4), AutoTokenizer.from_pretrained(options.bf16), fault=options.fault
    )
    judge = server_state.judge

    def shown(probe: str, comparisons: Sequence[Comparison], unchecked: str = "") -> ProbeResult:
        for one in comparisons:
            table = server_state._distances((*one.before, *one.after))
            apart = relabel.apart(table, range(len(one.before), len(table)))
            print(f"{one.question} apart {apart:.2f}, control {server_state._control(one):.2f}")
            print(f"    cold {[each.text for each in one.before]}, warm {[each.text for each in one.after]}")
            print("    distances", " ".join(f"{d:.2f}" for at, row in enumerate(table) for d in row[at + 1 :]))
        return judge(probe, comparisons, unchecked)

    with mock.patch.object(ask, "judge", shown):
        row = asyncio.run(ask.Asking(server, profile, "m").probe("warm_cold"))
    print(f"{row.verdict}: noise {row.noise:.2f}, control {row.control:.2f} {row.unchecked}{row.error}")
    for each in row.differences:
        print(f"differs {each.setting}: {each.reason}")
    print(f"{time.process_time():.0f} s of CPU time")


if __name__ == "__main__":
    main()
