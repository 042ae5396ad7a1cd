"""The tokens with a loss are exactly those that the model would have to generate, including the stop token."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from quant.checkpoint import loading
from quant.commands.default_model import chat_template
from quant.errors import UsageError
from quant.training.batches import MULTIPLE, collate, micro_batches, padded, plan
from quant.training.conversations import Renderer, read_conversations, render_all
from tests.support.made_up import ADD, call, conversations, write

# Qwen3.5's rules for the parts that matter here: a closed, empty block in the prompt without thinking, an open one
# with it, reasoning of earlier turns dropped, and tool calls as XML with a parameter each.
QWEN = """{%- set ns = namespace(last=-1) -%}
{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}
{%- if tools -%}<|im_start|>system
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% endif -%}
{%- for m in messages -%}
{%- if m.role == 'assistant' -%}<|im_start|>assistant
{% if loop.index0 > ns.last %}<think>
{{ m.reasoning_content or '' }}
</think>

{% endif %}{{ m.content or '' }}
{%- for c in m.tool_calls or [] %}<tool_call>
<function={{ c.function.name }}>
{% for k, v in c.function.arguments | items %}<parameter={{ k }}>
{{ v if v is string else v | tojson }}
</parameter>
{% endfor %}</function>
</tool_call>{% endfor %}<|im_end|>
{% elif m.role == 'tool' -%}<|im_start|>user
<tool_response>
{{ m.content }}
</tool_response><|im_end|>
{% else -%}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% if enable_thinking %}<think>
{% else %}<think>

</think>

{% endif %}{%- endif -%}"""


@pytest.fixture(params=["smollm2", "qwen3.5"])
def tokenizer(request: pytest.FixtureRequest, tiny_llama: Path) -> Any:
    found = loading.load_tokenizer(tiny_llama)
    found.chat_template = chat_template() if request.param == "smollm2" else QWEN
    return found


def learnt(tokenizer: Any, sample: dict[str, Any]) -> list[str]:
    """Learnt stretches of all sequences of one conversation, as text."""
    found = []
    checked = {"tools": None, "chat_template_kwargs": None, "line": 1, **sample}
    for example in Renderer(tokenizer).examples(checked, Path("d.jsonl"), 10_000):
        stretch: list[int] = []
        for token, own in zip((*example.ids, 0), (*example.learnt, False), strict=True):
            if own:
                stretch.append(token)
            elif stretch:
                found.append(tokenizer.decode(stretch))
                stretch = []
    return found


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_a_plain_answer_is_learnt_through_its_stop_token_and_nothing_before_it(tokenizer: Any) -> None:
    sample = {"messages": [user("Hi"), {"role": "assistant", "content": "Hello."}]}
    assert learnt(tokenizer, sample) == ["Hello.<|im_end|>"]


def test_thinking_is_learnt_from_inside_its_tag(tokenizer: Any) -> None:
    answer = {"role": "assistant", "content": "Four.", "reasoning_content": "Two and two."}
    assert learnt(tokenizer, {"messages": [user("2+2?"), answer]}) == ["Two and two.\n</think>\n\nFour.<|im_end|>"]


def test_thinking_may_be_asked_for_and_not_come(tokenizer: Any) -> None:
    sample = {
        "messages": [user("2+2?"), {"role": "assistant", "content": "Four."}],
        "chat_template_kwargs": {"enable_thinking": True},
    }
    assert learnt(tokenizer, sample) == ["\n</think>\n\nFour.<|im_end|>"]


def test_every_turn_of_a_tool_loop_is_learnt_once(tokenizer: Any) -> None:
    messages = [
        user("1+1?"),
        {"role": "assistant", "content": None, "tool_calls": [call(a=1)]},
        {"role": "tool", "tool_call_id": "1", "content": "2"},
        {"role": "assistant", "content": "Two."},
    ]
    found = learnt(tokenizer, {"messages": messages, "tools": [ADD]})
    assert len(found) == 2
    assert found[0].startswith("<tool_call>")
    assert found[0].endswith("</tool_call><|im_end|>")
    assert found[1] == "Two.<|im_end|>"


def test_a_turn_of_weight_0_is_context_alone(tokenizer: Any) -> None:
    messages = [
        user("Tell me more"),
        {"role": "assistant", "content": "Sheep give", "weight": 0},
        user("And goats?"),
        {"role": "assistant", "content": "Milk."},
    ]
    assert learnt(tokenizer, {"messages": messages}) == ["Milk.<|im_end|>"]


def test_where_the_template_drops_earlier_reasoning_a_turn_is_a_sequence_of_its_own(tokenizer: Any) -> None:
    messages = [
        user("1+1?"),
        {"role": "assistant", "content": "Two.", "reasoning_content": "Easy."},
        user("2+2?"),
        {"role": "assistant", "content": "Four.", "reasoning_content": "Harder."},
    ]
    assert learnt(tokenizer, {"messages": messages}) == [
        "Easy.\n</think>\n\nTwo.<|im_end|>",
        "Harder.\n</think>\n\nFour.<|im_end|>",
    ]


@pytest.mark.parametrize("text", ['a"b\\c', "ünï 日本 \U0001f600", "</tool_call>"[:-1], "line\nbreak", "{}", " "])
def test_tool_calls_come_back_as_they_were(tokenizer: Any, text: str) -> None:
    """Render, cut out what is learnt, parse as the server's parser would: equal."""
    arguments = {"a": 3, "note": text}
    messages = [user("?"), {"role": "assistant", "content": None, "tool_calls": [call(**arguments)]}]
    (found,) = learnt(tokenizer, {"messages": messages, "tools": [ADD]})
    if "<function=" in found:
        pairs = re.findall(r"<parameter=(\w+)>\n(.*?)\n</parameter>", found, re.DOTALL)
        parsed = {key: value if key == "note" else json.loads(value) for key, value in pairs}
        name = re.findall(r"<function=(\w+)>", found)
    else:
        body = json.loads(found.removeprefix("<tool_call>").partition("\n</tool_call><|im_end|>")[0])
        parsed, name = body["arguments"], [body["name"]]
    assert (parsed, name) == (arguments, ["add"])


def test_a_template_that_renders_a_turn_otherwise_than_it_asks_for_it_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template += "{% if add_generation_prompt %}So:{% endif %}"
    with pytest.raises(UsageError, match=r"d\.jsonl:1: messages\.1: the template asks for this turn with"):
        learnt(tokenizer, {"messages": [user("Hi"), {"role": "assistant", "content": "Hello."}]})


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"messages": [user("Hi")]}, "no assistant message is to be learnt"),
        ({"text": "Hi"}, "training needs messages"),
        ({"messages": [user("Hi"), {"role": "bot", "content": "x"}, {"role": "assistant", "content": ""}]}, "'bot'"),
        (
            {"messages": [user("Hi"), {"role": "assistant", "content": None, "tool_calls": [call(a=1)]}]},
            "not among tools",
        ),
        (
            {
                "messages": [user("Hi"), {"role": "assistant", "content": None, "tool_calls": [call(a="one")]}],
                "tools": [ADD],
            },
            "arguments of add fail its schema: 'one' is not of type 'integer'",
        ),
        ({"messages": [user("Hi"), {"role": "assistant", "content": ["x"]}]}, "content is no string"),
        (
            {"messages": [user("Hi"), {"role": "assistant", "content": "x"}], "chat_template_kwargs": 3},
            "chat_template_kwargs is no object",
        ),
    ],
)
def test_what_cannot_be_learnt_is_refused_by_its_line(broken: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", [conversations(2)[1], broken])
    with pytest.raises(UsageError, match=r"data\.jsonl:2") as refused:
        read_conversations(path)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_conversation_longer_than_max_length_is_refused(tokenizer: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", conversations(3))
    with pytest.raises(UsageError, match=r"data\.jsonl:1: \d+ tokens, but max_length is 64"):
        render_all(tokenizer, read_conversations(path), path, 64)


def test_every_row_is_in_one_batch_within_the_budget_and_the_order_follows_the_seed() -> None:
    lengths = [(7 * index) % 300 + 3 for index in range(200)]
    batches = plan(lengths, 2048, 3)
    assert sorted(row for batch in batches for row in batch) == list(range(200))
    assert all(padded(max(lengths[row] for row in batch)) * len(batch) <= 2048 for batch in batches)
    assert batches == plan(lengths, 2048, 3) != plan(lengths, 2048, 4)
    useful = sum(lengths) / sum(padded(max(lengths[row] for row in batch)) * len(batch) for batch in batches)
    assert useful > 0.8  # of lengths this short; padding is to a multiple of 32


def test_a_batch_predicts_each_learnt_token_from_the_one_before_it(tokenizer: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", conversations(6))
    examples = render_all(tokenizer, read_conversations(path), path, 2048)
    rows = [2, 0, 1]
    batch = collate(examples, rows, pad=258)
    width = batch.input_ids.shape[1]
    assert width % MULTIPLE == 0
    expected = [
        (row * width + index - 1, example.ids[index])
        for row, example in enumerate(examples[i] for i in rows)
        for index, own in enumerate(example.learnt)
        if own
    ]
    assert list(zip(batch.positions.tolist(), batch.targets.tolist(), strict=True)) == expected
    assert [row for part in micro_batches(rows, [len(e.ids) for e in examples], 1) for row in part] == rows
