"""Thinking: leaks are found, normal speech is not."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annie_eval.detectors.finding import Finding
from annie_eval.detectors.thinking import find
from annie_eval.detectors.untagged_reasoning.find import find_prose
from annie_eval.profile.types import Thinking
from annie_eval.wire.sample import Exchange
from tests.support.growth import LINEAR, growth_by_text
from tests.support.make_sample import TOOLS, call, reply, sample

THOUGHT = "The capital of France is well known to be Paris, so a short answer will do."


def content(text: str | None, **more: object) -> tuple[Finding, ...]:
    return find(sample(reply(text, **more)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "<think>Short.</think>Paris.",
        "</think>\n\nParis.",
        "Paris it is.\n</think>\nParis.",
        "<think>",
        "Paris.<think",
        "Paris.</thi",
        "Paris. </",
        "think>\nEasy.",
        "Easy./think>Paris.",
        "< think >Easy.</ think >Paris.",
        "< / think >Paris.",
        "<THINK>Easy.</THINK>Paris.",
        "<t h i n k>Paris.",
        "<th\u200bink>Paris.",
        "<\u2060think\ufeff>Paris.",
        "&lt;think&gt;Paris.",
        "&amp;lt;/think&amp;gt;Paris.",
        "&#60;think&#x3e;Paris.",
        "＜think＞Paris.",
        "<thinking>Easy.</thinking>Paris.",
        "<thought>Easy.</thought>Paris.",
        "<reasoning>Easy.</reasoning>Paris.",
        "<reflection>Easy.</reflection>Paris.",
        "<scratchpad>Easy.</scratchpad>Paris.",
        "<analysis>Easy.</analysis>Paris.",
        '<think type="deep">Easy.</think>Paris.',
        "<inner_monologue>Easy.</inner_monologue>Paris.",
        "[THINK]Easy.[/THINK]Paris.",
        "<|channel|>analysis<|message|>Easy.<|end|>Paris.",
        "<|channel>thought\nEasy.<channel|>Paris.",
        "analysisThe capital is easy.assistantfinalParis.",
        "◁think▷Easy.◁/think▷Paris.",
        "<|begin_of_thought|>Easy.<|end_of_thought|>Paris.",
        "<seed:think>Easy.</seed:think>Paris.",
        "<|START_THINKING|>Easy.<|END_THINKING|>Paris.",
        "<antThinking>Easy.</antThinking>Paris.",
        "<longcat_think>Easy.</longcat_think>Paris.",
        "<think>Easy.</think><answer>Paris.</answer>",
    ],
)
def test_a_thinking_tag_in_content_is_a_leak(text: str) -> None:
    findings = content(text)
    assert findings
    assert all(f.detector == "thinking" and f.channel == "content" and f.excerpt for f in findings)


@pytest.mark.parametrize(
    "text",
    [
        "Paris.<|im_end|>",
        "<|im_start|>assistant\nParis.",
        "Paris.<|endoftext|>",
        "Paris.<|eot_id|>",
        "<s>Paris.",
        "Paris.</s>",
        "[INST] Capital? [/INST] Paris.",
        "<<SYS>>Be brief.<</SYS>>Paris.",
        "<start_of_turn>model\nParis.",
        "Paris.<end_of_turn>",
        "Paris.<｜end▁of▁sentence｜>",
        "Paris.<unused94>",
        "Paris.<0x0A>",
        "Paris.im_end|>",
        "Paris.<|im",
        "Hi.\nassistant\nParis.",
        "Par\ufffdis.",
        "\ufffdParis.",
        "ParisĠisĠnice.",
        "▁Paris▁is▁nice.",
    ],
)
def test_a_special_token_or_undecoded_text_is_a_leak(text: str) -> None:
    assert content(text)


@pytest.mark.parametrize(
    "text",
    [
        "Okay, the user wants to know the capital. Paris.",
        "Okay, so the user is asking about France. It's Paris.",
        "Thinking Process:\n\n1. **Analyze the Request:** capital of France.",
        "Here's a thinking process: first, the country. Paris.",
        "Let me think about this. The user asked for the capital.",
        "First, I need to figure out what the user means. Paris.",
        "We need to respond with the capital. Paris.",
        "We should answer in one sentence. Paris.",
        "I should respond in a friendly way. Hello!",
        "The user is asking for the capital of France. It's Paris.",
        "The user's question is about France. It's Paris.",
        "Hello! The user greeted me, so I greet back.",
        "User asks for a capital. Paris.",
        "This is a simple greeting. Hello!",
        "No tool is needed here. Paris.",
        "I should call the search_memory tool.",
        "The answer should be short. Paris.",
        "According to the system prompt, no lists. Paris.",
        "Thought: the capital is easy.\nParis.",
        "Okay, so I need to find the capital of France. Hmm, let me think. I recall that it is Paris.",
        "Okay, der Nutzer möchte wissen, wie die Hauptstadt heißt. Paris.",
        "Der Nutzer fragt nach der Hauptstadt. Ich sollte kurz antworten. Paris.",
        "L'utilisateur demande la capitale. C'est Paris.",
        "Bon, je dois répondre en français. C'est Paris.",
        "El usuario quiere saber la capital. Es París.",
        "Vale, debo responder en español. Es París.",
        "L'utente chiede la capitale. È Parigi.",
        "Allora, devo rispondere in italiano. È Parigi.",
        "ユーザーはフランスの首都を尋ねています。パリです。",
        "उपयोगकर्ता फ्रांस की राजधानी पूछ रहा है। पेरिस।",
        "用户问法国的首都。巴黎。",
        "So, the question is about a capital. I'll answer directly. Paris.",
        "We are asked for the capital. Paris.",
        "I'm going to respond with a short sentence. Paris.",
        "My task is to answer briefly. Paris.",
        "Need to answer in one sentence: Paris.",
        "Let's think step by step. France is in Europe, so Paris.",
        "(thinking) The capital of France... Paris.",
        "*thinks* Paris.",
        "Since the user asked in English, Paris.",
        "It's Paris, which is what the user asked.",
        "The assistant should reply briefly. Paris.",
        "Let me think about what the user needs. Paris.",
        "Alright, the user's just saying thanks. Any time!",
        "I need to keep it to one to three sentences. It's Paris.",
        "Let me think step by step. 60 times 2.5 is 150.",
        "Let me break this down. The user gives speed and time.",
        "Must respond in German. Etwa zehn Minuten.",
        "I'm going to answer in one sentence. It's Paris.",
        "They want a short reply. I'll keep it brief. It's Paris.",
        "Analyzing the request... The answer is Paris.",
        "The user hasn't specified the room, so I should ask. Which room?",
        "analysis The user asks for the capital. final Paris.",
        "We need to compute 5:40 + 1:50 = 7:30. You'd get in at half past seven.",
        "I'll craft a warm reply. Good morning!",
        "Let's answer in a friendly way. Good morning!",
        "Il faut répondre brièvement. Un blanc sec.",
    ],
)
def test_reasoning_without_tags_is_a_leak(text: str) -> None:
    assert any("untagged reasoning" in finding.reason for finding in content(text))


@pytest.mark.parametrize(
    "text",
    [
        "Okay, here is what I found.",
        "Let me check that for you.",
        "I think Paris is lovely.",
        "The user manual says to hold the button for five seconds.",
        "First, I need to know which city you mean.",
        "Okay, let me see what I can find for you.",
        "I should mention that it might rain later.",
        "Hmm, let me think. I'd say Paris.",
        "That's a simple question: it is four.",
        "I need to know your street to answer that.",
        "We should leave at five, so let's call a taxi.",
        "It's 5 < 6 and 7 > 3.",
        "I love you <3 and so does everyone.",
        "If a<b and b<c then a<c.",
        "The thinking behind it is simple: trees need light.",
        "Thinking ahead pays off.",
        "On reflection, tea is better.",
        "[laughs] Good one.",
        "Ġużè is a Maltese name.",
        "Ich antworte gern auf Deutsch.",
        "Je réponds volontiers en français.",
        "Puedo responder en español.",
        "ユーザー登録はアプリからできます。",
        "The word assistant comes from Latin.",
        "Wait for me at the station, please.",
        "So, I'll set it for five. Which day do you need?",
        "You need to figure out what the user wants before you design an app.",
        "They're asking forty euros for it.",
        "The message says the parcel comes at five.",
        "I'll reply with a thumbs up.",
        "As the user guide says, hold the button.",
        "I have to be honest, I don't know.",
        "Need to know more? Just ask.",
        "No tools needed, just a bit of glue.",
        "According to the instructions on the box, it takes ten minutes.",
        "As an AI, I don't have feelings, but I'm happy to help.",
        "Must answer: it's Paris!",
        "Sure, I'll keep it short: it's Paris.",
        "Wait, let me check. Hmm, so the train leaves at five.",
        "Il faut répondre avant vendredi, sinon c'est trop tard.",
        "The answer should be on page two of the leaflet.",
        "The task is to boil it for three minutes, no longer.",
        "Let's go through it step by step: switch it off, wait, then open the valve.",
        "They want the form back by Friday.",
        "Let's answer the door together.",
        "I'll compose a reply to your landlord, if you like.",
        "",
        None,
    ],
)
def test_ordinary_speech_is_no_leak(text: str | None) -> None:
    assert content(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "<think> opens a thought, and </think> closes it.",
        "Models write their thoughts between <think> and </think>.",
        "The closing tag looks like this:\n</think>\nIt ends the thought.",
        'It is written as "<think>", with angle brackets.',
        "The token is called <|im_end|>.",
        "It ends with </think>.",
        "The user sees nothing of it, because the server removes it.",
        "<|im_end|> ends a turn.",
        "Put <|im_end|> behind it.",
        "It begins with <think>.\n</think>\nThat is its end.",
        "</think>は閉じタグです。",
        "</think> closes a thought.",
        "The thought ends with </think> and speech begins.",
    ],
)
def test_talk_about_tags_is_no_leak_where_the_user_asked(text: str) -> None:
    assert content(text, topic=["tags"]) == ()
    assert content(text, user="What do <think> and <|im_end|> mean?") == ()


@pytest.mark.parametrize(
    "text",
    [
        "<think>\nOkay, the user asks about tags.\n</think>\n\nIt opens a thought.",
        "<think>Tags, then.</think>The tag opens a thought.",
        "<think>okay, tags then.</think>The tag opens a thought.",
        "They ask about tags, so I explain.\n</think>\n\nThe tag opens a thought.",
        "They ask about tags, so I explain.</think>The tag opens a thought.",
        "</think>\n\nThe tag opens a thought.",
        "Okay, the user is asking about think tags. They open a thought.",
        "The tag opens a thought.<|im_end|>",
        "<|im_start|>assistant\nThe tag opens a thought.",
        "The tag \ufffd opens a thought.",
        "<think>",
        "<think>\nokay then",
        "<think> okay, the user asks about tags",
        "<think>tags, then.</think> They open a thought.",
        "They ask about tags.\n</think>",
        "okay, the user asks about tags</think> they open a thought",
        "</think>タグです。",
        "The tag opens a thought<|im_end|>",
    ],
)
def test_a_real_leak_in_an_answer_about_tags_still_is_one(text: str) -> None:
    assert content(text, topic=["tags"])
    assert content(text, user="What does <think> mean?")


def test_reasoning_as_a_field_of_json_is_a_leak() -> None:
    assert content('{"thought": "capital", "answer": "Paris"}')
    assert content("{'reasoning': 'capital', 'answer': 'Paris'}")


def test_reasoning_repeated_in_content_is_a_leak_whatever_its_white_space() -> None:
    spaced = THOUGHT.replace(" ", "\n ")
    findings = find(sample(reply(f"{spaced} It is Paris.", reasoning=THOUGHT), thinking="on"))
    assert [f.reason for f in findings] == ["reasoning repeated in content"]
    assert findings[0].span == (0, len(spaced))
    assert find(sample(reply(f"Paris. {THOUGHT}", reasoning=THOUGHT + " And more."), thinking="on"))


def test_a_draft_in_reasoning_is_no_leak() -> None:
    content = "The capital of France is Paris, and it lies on the Seine."
    assert find(sample(reply(content, reasoning=f"Easy one. I could say: {content} Good."), thinking="on")) == ()
    assert find(sample(reply("Paris.", reasoning="Paris."), thinking="on")) == ()


def test_forty_characters_of_reasoning_are_a_repetition_and_fewer_are_none() -> None:
    forty = "The moon is out, so it must be the night"
    assert len(forty) == 40
    assert find(sample(reply(f"{forty}!", reasoning=forty), thinking="on"))
    assert find(sample(reply(forty, reasoning=forty), thinking="on"))
    assert find(sample(reply(f"{forty[:-1]}!", reasoning=f"{forty[:-1]}?"), thinking="on")) == ()
    assert find(sample(reply(f"{forty[:-1]}!", reasoning=forty[:-1]), thinking="on")) == ()


def test_a_special_token_in_reasoning_is_a_leak_unless_the_user_asked() -> None:
    assert find(sample(reply("Paris.", reasoning="Easy.<|im_end|>"), thinking="on"))
    assert find(sample(reply("Paris.", reasoning="Easy."), thinking="on")) == ()
    assert find(sample(reply("A token.", reasoning="That is <|im_end|>.", topic=["tags"]), thinking="on")) == ()


@pytest.mark.parametrize(
    ("text", "leaks"),
    [
        ("Hmm, let me think. I'd say Paris.", False),
        ("Hmm. Let me think. I recall that it is Paris.", True),
        ("Hmm. Wait, hmm. It is Paris.", False),
        ("Hmm. Wait. Let me think. I need to find it. It is Paris.", True),
        ("Hmm. I recall that it is Paris.", False),
    ],
)
def test_thinking_aloud_takes_three_signs(text: str, leaks: bool) -> None:
    assert bool(content(text)) == leaks


def test_reasoning_is_a_leak_where_thinking_is_off() -> None:
    spoken = reply("Paris.", reasoning="Easy one.")
    assert [f.channel for f in find(sample(spoken, thinking="off"))] == ["reasoning"]
    assert find(sample(spoken, thinking="on")) == ()
    assert find(sample(spoken, thinking="unset")) == ()
    assert find(sample(reply("Paris.", reasoning=""), thinking="off")) == ()


@pytest.mark.parametrize("nothing", [None, "", " \n", "\u200b"])
def test_an_answer_trapped_in_reasoning_is_a_leak_unless_the_thought_was_cut(nothing: str | None) -> None:
    trapped = reply(nothing, reasoning="The capital is Paris.")
    assert "trapped" in find(sample(trapped, thinking="on"))[0].reason
    cut = reply(nothing, reasoning="The capital is", finish_reason="length")
    assert find(sample(cut, thinking="on")) == ()
    assert any("trapped" in f.reason for f in find(sample(cut, thinking="off")))
    calling = reply(nothing, reasoning="I look it up.", calls=[call("search_memory", {"query": "x"})])
    assert find(sample(calling, thinking="on")) == ()


@pytest.mark.parametrize(
    "arguments",
    [
        {"query": "<think>capital</think> Paris"},
        {"<think>": 1},
        '{"query": "\\u003cthink\\u003e"}',
        '{"query": "</think>',
        {"query": "Paris<|im_end|>"},
        {"query": "Okay, the user wants the capital."},
        {"a": [{"b": "Thinking process: the capital"}]},
        {"query": "Par\ufffdis"},
    ],
)
def test_a_leak_in_the_arguments_of_a_call_is_one(arguments: object) -> None:
    findings = find(sample(reply(calls=[call("search_memory", arguments)])))
    assert findings
    assert all(finding.channel == "tool_calls" for finding in findings)


def test_a_leak_in_the_name_of_a_call_is_one() -> None:
    assert find(sample(reply(calls=[call("</think>search_memory", {"query": "x"})])))


@pytest.mark.parametrize("arguments", [{"query": "what the user said about his mother"}, {"query": "I think so"}, ""])
def test_ordinary_arguments_are_no_leak(arguments: object) -> None:
    assert find(sample(reply(calls=[call("search_memory", arguments)]))) == ()


def test_a_tag_that_the_user_asked_about_may_be_searched_for() -> None:
    asks = "Search the web for the <think> tag."
    searching = call("search_memory", {"query": "meaning of the <think> tag"})
    assert find(sample(reply(calls=[searching], user=asks))) == ()
    leaking = call("search_memory", {"limit": 1, "query": "<think>The tag.</think>tag"})
    (finding,) = find(sample(reply(calls=[leaking], user=asks)))
    assert finding.span is not None
    assert str(leaking.arguments)[slice(*finding.span)] == "<think>The tag.</think>tag"


def test_the_finding_names_its_exchange_and_quotes_the_leak() -> None:
    (finding,) = find(sample(reply("Hello."), reply("Well. <think>", turn=1)))
    assert (finding.exchange, finding.channel, finding.span) == (1, "content", (6, 13))
    assert "<think>" in finding.excerpt


def test_the_user_of_this_turn_decides_the_topic() -> None:
    earlier = {"messages": [{"role": "user", "content": "What is <think>?"}, {"role": "user", "content": "Thanks."}]}
    assert find(sample(reply("You see <think> often.", request=earlier)))
    result = {"messages": [{"role": "user", "content": "Search."}, {"role": "tool", "content": "<think> is a tag"}]}
    assert find(sample(reply("You see <think> often.", request=result)))
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is <think>?"}]}]}
    assert find(sample(reply("You see <think> often.", request=parts))) == ()


WORDS = ["the", "cat", "sat", "on", "a", "warm", "mat", "and", "3", "birds", "flew", "far", "away", ","]
PLAIN = st.text(st.characters(codec="utf-8", categories=["L", "N", "Z"]), max_size=60)


@given(PLAIN, st.sampled_from(["<think>", "</think>", "[THINK]", "◁think▷", "<|im_end|>", "</s>"]), PLAIN)
def test_a_tag_is_seen_wherever_it_stands(before: str, tag: str, after: str) -> None:
    assert content(f"{before}{tag}{after}")


@given(st.lists(st.sampled_from(WORDS), max_size=80))
def test_plain_words_are_never_a_leak(words: list[str]) -> None:
    assert content(" ".join(words)) == ()


TEXT = st.none() | st.text(max_size=80)


@given(TEXT, TEXT, TEXT, TEXT, st.sampled_from(["on", "off", "unset"]), st.sampled_from([(), ("tags",)]))
def test_no_text_raises(
    content: str | None,
    thought: str | None,
    name: str | None,
    arguments: str | None,
    on: Thinking,
    topic: tuple[str, ...],
) -> None:
    calling = reply(content, reasoning=thought, calls=[call(name, arguments, id=None)], topic=topic)
    find(sample(calling, reply(content, reasoning=thought), thinking=on))


@settings(max_examples=200)
@given(
    st.lists(
        st.sampled_from(["<", ">", "/", "think", "|", "&lt;", " ", "\n", "[", "]", "the user ", "."]), max_size=30
    )
)
def test_no_mixture_of_brackets_raises(pieces: list[str]) -> None:
    for topic in ((), ("tags",)):
        for finding in content("".join(pieces), topic=topic):
            assert finding.span is not None
            assert 0 <= finding.span[0] <= finding.span[1] <= len("".join(pieces))


@pytest.mark.parametrize(
    "piece", ["<", "< ", "[", "&amp;", "think>", "the user ", "Okay, ", "\n", "*", "▁", "<think>", "a "]
)
def test_the_time_is_linear_in_the_text(piece: str) -> None:
    def judge(text: str) -> None:
        find(sample(reply(text, reasoning=text, calls=[call("x", text)]), thinking="on"))

    assert growth_by_text(judge, piece) < LINEAR


def test_the_name_of_a_tool_tag_is_no_raw_token() -> None:
    assert content("<｜tool▁calls▁begin｜>function<｜tool▁sep｜>look") == ()
    assert content("It▁is▁raw.") != ()


def test_an_escaped_replacement_character_in_an_argument_is_found() -> None:
    answer = reply(calls=[call("search_memory", '{"query": "glass\\ufffd"}')])
    assert [finding.reason for finding in find(sample(answer))] == ["undecodable bytes (U+FFFD)"]


def test_a_cut_thought_without_a_finish_reason_is_left_to_the_wire() -> None:
    answer = reply(None, reasoning="They have six guests and", truncated=True)
    object.__setattr__(answer.answer, "finish_reason", None)
    assert find(sample(answer, thinking="on")) == ()


@pytest.mark.parametrize(
    "call_text",
    [
        '<tool_call>\n{"name": "set_timer", "arguments": {"seconds": 1500}}\n</tool_call>',
        '{"name": "search_memory", "arguments": {"query": "key"}}',
        "<tool_call>\n<function=search_memory>\n<parameter=query>\nkey\n</parameter>\n</function>\n</tool_call>",
    ],
)
def test_a_dropped_call_is_no_reasoning(call_text: str) -> None:
    assert not [f for f in find(sample(reply(call_text))) if "untagged reasoning" in f.reason]
    content = f"The user wants a timer, so I need to call set_timer.\n{call_text}"
    assert [f for f in find(sample(reply(content))) if "untagged reasoning" in f.reason]


# Whole findings: reason, channel and span. What is found stands in 〔brackets〕, which are no part of the text.
Told = list[tuple[str, str | None, tuple[int, int] | None]]


def told(*exchanges: Exchange, thinking: Thinking = "on") -> Told:
    return [(each.reason, each.channel, each.span) for each in find(sample(*exchanges, thinking=thinking))]


def unmarked(marked: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without its brackets, and the spans that they enclose."""
    pieces = re.split("[〔〕]", marked)
    ends = [*itertools.accumulate(map(len, pieces))]
    return "".join(pieces), [*zip(ends[:-1:2], ends[1::2], strict=True)]


ESCAPES, UNDECODABLE = "characters written as escapes", "undecodable bytes (U+FFFD)"
REPEATED = "reasoning repeated in content"
AGAIN = "The moon is out, so it must be the night"


@pytest.mark.parametrize(
    ("marked", "reasons"),
    [
        ("Well. 〔<think>〕 a </think>", ["thinking tag '<think>'"]),
        ("Well. 〔< think >〕 〔<|im_end|>〕", ["thinking tag '< think >'", "special token '<|im_end|>'"]),
        ("{〔\"thought\":〕 'capital'}", ["reasoning as a JSON field"]),
        ("{〔'chain_of_thought'    :〕 'capital'}", ["reasoning as a JSON field"]),
        ("Rome.〔\\n〕\\nIt is.", [ESCAPES]),
        ("Rome 〔\ufffd〕", [UNDECODABLE]),
        ("〔user\n〕Hi.", ["role of the chat template in content"]),
    ],
)
def test_a_leak_in_content_is_told_with_its_place(marked: str, reasons: list[str]) -> None:
    text, spans = unmarked(marked)
    assert told(reply(text)) == [(why, "content", span) for why, span in zip(reasons, spans, strict=True)]


def test_untagged_reasoning_is_what_the_search_for_prose_finds() -> None:
    text = "Hi. The user asked 'how tall are you'. I have search_memory for that."
    asked = "How tall are you?"
    prose = find_prose(text, question=asked, tools=tuple(TOOLS))
    assert prose is not None
    assert prose != find_prose(text, question=asked)
    assert prose != find_prose(text, tools=tuple(TOOLS))
    expected = (f"untagged reasoning: {prose.reason}", "content", (prose.start, prose.end))
    assert expected in told(reply(text, user=asked))


@pytest.mark.parametrize(
    ("marked", "topic", "reasons"),
    [
        ("Hm.〔<|im_end|>〕<|im_start|>", (), ["special token im_end in reasoning"]),
        ("Hm.<|im_end|>", ("tags",), []),
        ("Hm.<|im_end|>", ("thinking",), []),
        ("Hm.〔<|im_end|>〕", ("markdown",), ["special token im_end in reasoning"]),
        ("Hm.<think>", (), []),
        ("Hm 〔\ufffd〕.", (), [UNDECODABLE]),
        ("Hm.\\n\\nSo.", (), []),
    ],
)
def test_a_mark_in_reasoning_is_told_with_its_place(marked: str, topic: tuple[str, ...], reasons: list[str]) -> None:
    text, spans = unmarked(marked)
    expected = [(why, "reasoning", span) for why, span in zip(reasons, spans, strict=True)]
    assert told(reply("Rome.", reasoning=text, topic=topic)) == expected


@pytest.mark.parametrize(
    ("finish", "truncated", "thinking", "trapped"),
    [
        ("stop", False, "on", True),
        ("length", False, "on", False),
        ("length", False, "unset", False),
        ("length", False, "off", True),
        ("stop", True, "on", True),
        ("eos", True, "on", False),
        ("eos", False, "on", True),
        ("eos", True, "off", True),
    ],
)
def test_a_thought_alone_is_an_answer_trapped_unless_it_was_cut(
    finish: str, truncated: bool, thinking: Thinking, trapped: bool
) -> None:
    off: Told = [("reasoning although thinking is off", "reasoning", (0, 3))] if thinking == "off" else []
    cut = told(reply("", reasoning="Hm.", finish_reason=finish, truncated=truncated), thinking=thinking)
    assert cut == off + ([("answer trapped in reasoning, content is empty", "reasoning", (0, 3))] if trapped else [])
    assert told(reply("Hi.", reasoning="Hm.", finish_reason=finish, truncated=truncated), thinking=thinking) == off


@pytest.mark.parametrize(
    ("marked", "reasons"),
    [
        ('{"query": "〔<think>〕capital"}', ["thinking tag '<think>'"]),
        ('{"query": "〔\\u003cthink\\u003e〕capital"}', ["thinking tag '\\\\u003cthink\\\\u003e'"]),
        ('{"query": "〔Okay, the user wants it.〕"}', ["untagged reasoning in an argument"]),
        ('〔{"query": "Okay, \\u0063af\\u00e9, the user wants it."}〕', ["untagged reasoning in an argument"]),
        ('{"query": "〔Okay, the user wants\\〕u00e9"}', ["untagged reasoning in an argument"]),
        ('{"query": "glass 〔\ufffd〕"}', [UNDECODABLE]),
        ('〔{"query": "\\ufffd"}〕', [UNDECODABLE]),
        ('{"query": "one\\n\\nTwo"}', []),
        ('{"query": "I know, the user wants it.", "n": 7, "b": [null, true]}', []),
        ('{"query": "Okay, the user wants it."', []),
        ("[" * 100_000, []),
    ],
)
def test_a_leak_in_arguments_is_told_with_its_place(marked: str, reasons: list[str]) -> None:
    text, spans = unmarked(marked)
    found = told(reply(calls=[call("search_memory", text)]))
    assert found == [(why, "tool_calls", span) for why, span in zip(reasons, spans, strict=True)]


def test_every_string_in_the_arguments_is_read() -> None:
    text = '{"Thinking process: a": {"k": ["Thinking process: b", {"l": "Thinking process: c"}]}, "m": "so be it"}'
    found = find(sample(reply(calls=[call("search_memory", text)])))
    assert {each.excerpt for each in found} == {f"Thinking process: {letter}" for letter in "abc"}
    assert sorted(each.span for each in found if each.span) == [
        (at, at + 19) for at in (text.index(f"Thinking process: {letter}") for letter in "abc")
    ]


def test_where_the_user_asked_about_tags_each_string_of_the_arguments_is_judged_by_itself() -> None:
    text = '{"a": "what <think> means", "query": "<think>\\nThe tag.", "b": "</think>"}'
    found = told(reply(calls=[call("search_memory", text)], topic=["tags"]))
    assert found == [
        ("thinking tag '</think>'", "tool_calls", (64, 72)),
        ("thinking tag '<think>'", "tool_calls", (0, len(text))),
    ]


def test_a_mark_in_the_name_of_a_call_is_told_whatever_the_user_asked() -> None:
    named = [call("<think>look", "{}"), call("look\ufffd", "{}")]
    expected: Told = [("thinking tag '<think>'", "tool_calls", (0, 7)), (UNDECODABLE, "tool_calls", (4, 5))]
    assert told(reply(calls=named)) == expected
    assert told(reply(calls=named, topic=["tags"])) == expected


@pytest.mark.parametrize(
    ("text", "leaks"),
    [
        # special tokens
        ("The tag opens<|im_end|>", True),
        ("The tag opens.<|im_end|> \n", True),
        ("The tag opens:<|im_end|>", True),
        ("The tag opens <|im_end|>", False),
        ("The tag opens (<|im_end|>", False),
        ("<|im_end|>", False),
        ("<|im_start|>assistant", True),
        (" <|im_start|>assistant", True),
        ("<|im_start|> opens a turn", False),
        ("<|im_start|>1", False),
        ("a<|im_start|>assistant", False),
        # opening tags
        ("<think>", True),
        ("<think> \nso", True),
        ("<think>Tags", True),
        ("<think> tags", False),
        ("a <think>Tags", False),
        ("<think> tags</think>.", False),
        ("<think> tags.</think> so", True),
        ("<think> tags.\t</think> so", True),
        ("<think> tags\n</think> so", True),
        ("<think></think> is a pair", False),
        ("final\n</think> closes it", False),
        ("</think> and <think> tags.", False),
        # closing tags
        ("Tags\n</think>\nSo", True),
        ("Tags \n</think> ", True),
        ("Tags:\n</think>\nSo", False),
        ("Tags：\n</think>\nSo", False),
        ("Tags\n</think> so", False),
        ("Tags.</think> So", True),
        ("Tags. </think>So", True),
        ("Tags.</think>", True),
        ("Tags.</think> \nso", True),
        ("Tags.</think> so", False),
        ("Tags.</think> 5", False),
        ("Tags</think> So", False),
        ("Tags:</think> So", False),
        ("タグか？</think>タグ", True),
        ("Tags：</think>タグ", False),
        ("</think> So", True),
        ("</think> so", False),
        ("</think>タグ", True),
        ("</think>は閉じる", False),
        ("Okay, the user asks about tags</think> so", True),
        ("It is <think> here. So</think> So.</think> So", False),
    ],
)
def test_in_an_answer_about_tags_those_that_work_as_tags_are_leaks(text: str, leaks: bool) -> None:
    assert any("tag '" in why or "token '" in why for why, _, _ in told(reply(text, topic=["tags"]))) == leaks


@pytest.mark.parametrize(
    ("reasoning", "marked"),
    [
        (AGAIN, f"Well: 〔{AGAIN}〕."),
        (AGAIN, f"Well:  〔{AGAIN.replace(' ', '  ')}〕  and so on."),
        (f"{AGAIN} and more", f"Well: 〔{AGAIN} and m〕uch."),
        (f"{AGAIN} and more", f"Well: 〔{AGAIN} an〕"),
        (f"{AGAIN} and", f"Well: 〔{AGAIN} and〕 more."),
        (f"{40 * 'x'}{AGAIN}", f"Well: 〔{AGAIN}〕."),
        (f"{39 * 'x'}{AGAIN}", f"Well: 〔{AGAIN}〕."),
        (f"{41 * 'x'}{AGAIN}", f"Well: {AGAIN}."),
        (f"12345{AGAIN}", f"Well: 〔{AGAIN}〕."),
        (f"12345{AGAIN[:-5]}", f"Well: {AGAIN[:-5]} and so on."),
        (AGAIN[:-1], f"Well: {AGAIN[:-1]} and so on."),
        (f"Q{AGAIN}", AGAIN),  # a draft
        (AGAIN, f"〔{AGAIN}〕"),
        (AGAIN, AGAIN[1:]),
    ],
)
def test_a_repetition_is_told_to_its_end(reasoning: str, marked: str) -> None:
    text, spans = unmarked(marked)
    assert told(reply(text, reasoning=reasoning)) == [(REPEATED, "content", span) for span in spans]
