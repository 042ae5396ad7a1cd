"""The half of test_quant_serving.py that runs in the server's environment: `python quant_server_side.py CHECK FILE`.

Prints one line of JSON. That environment has vLLM and this project, but neither pytest nor ModelOpt.
"""

import gc
import json
import os
import sys
from typing import Any

os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
os.environ["VLLM_CPU_KVCACHE_SPACE"] = "1"
os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"


def logprobs(jobs: list[dict[str, Any]], tokens: list[int]) -> list[list[float]]:
    """For each checkpoint, vLLM's log probability of every token after the first, given those before it.

    One process for all: vLLM's start costs ten seconds. The KV cache is kept small, because it is not given back.
    """
    from vllm import LLM, SamplingParams

    found = []
    for job in jobs:
        options: dict[str, Any] = dict(job["options"])
        llm = LLM(
            job["directory"],
            enforce_eager=True,
            max_model_len=256,
            max_num_seqs=2,
            disable_log_stats=True,
            enable_prefix_caching=False,
            kv_cache_memory_bytes=64 << 20,
            **options,
        )
        settings = SamplingParams(max_tokens=1, prompt_logprobs=0)
        rows = llm.generate({"prompt_token_ids": tokens}, settings, use_tqdm=False)[0].prompt_logprobs
        assert rows is not None
        found.append([row[token].logprob for row, token in zip(rows[1:], tokens[1:], strict=True) if row is not None])
        del llm
        gc.collect()
    return found


def parse(cases: list[dict[str, Any]], directory: str) -> list[dict[str, Any]]:
    """What vLLM's qwen3 reasoning parser and hermes tool parser make of finished turns, whole and token by token."""
    from transformers import AutoTokenizer
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers import ToolParserManager

    tokenizer: Any = AutoTokenizer.from_pretrained(directory)
    reasoner = ReasoningParserManager.get_reasoning_parser("qwen3")
    caller = ToolParserManager.get_tool_parser("hermes")
    found = []
    for case in cases:
        request = ChatCompletionRequest(messages=[{"role": "user", "content": "?"}], tools=case["tools"], model="m")
        parser = reasoner(tokenizer, chat_template_kwargs={"enable_thinking": case["thinking"]})
        reasoning, content = parser.extract_reasoning(case["text"], request)
        calls = caller(tokenizer).extract_tool_calls(content or "", request)
        found.append(
            {
                "reasoning": reasoning,
                "content": calls.content,
                "calls": [[c.function.name, json.loads(c.function.arguments)] for c in calls.tool_calls],
                "prompt_ends_reasoning": parser.is_reasoning_end(tokenizer(case["prompt"])["input_ids"]),
            }
        )
    return found


if __name__ == "__main__":
    with open(sys.argv[2]) as stream:
        arguments = json.load(stream)
    print(json.dumps(logprobs(**arguments) if sys.argv[1] == "logprobs" else parse(**arguments)))
