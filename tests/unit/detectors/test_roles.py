"""Role labels and further turns in an answer are found; people who are users or assistants are not."""

from __future__ import annotations

import pytest

from annie_eval.detectors.roles import find_role
from tests.support.growth import LINEAR, growth_by_text

_ANNIE = {"messages": [{"role": "system", "content": "You are Annie, a voice assistant."}]}


@pytest.mark.parametrize(
    "text",
    [
        "No problem!assistant\n\nNo problem!",
        "No problem!user\nAnd Spain?",
        "No problem.assistant",
        "No problem.assistantfinalNo problem.",
        "Assistant: No problem.",
        "**Assistant:** No problem.",
        "Assistant\nNo problem.",
        "It's Madrid.\nUser: And of Portugal?\nAssistant: Lisbon.",
        "It's Madrid.\n\nHuman: And of Portugal?",
        "Es ist Madrid.\nNutzer: Und Portugal?",
        "是马德里。\n用户：葡萄牙呢？",
        "It's Madrid.\nQ: And of Portugal?\nA: Lisbon.",
        "Annie: No problem.",
    ],
)
def test_a_role_or_a_further_turn_is_found(text: str) -> None:
    found = find_role(text, _ANNIE)
    assert found is not None
    assert 0 <= found[1] < found[2] <= len(text)


@pytest.mark.parametrize(
    "text",
    [
        "She's an assistant: she assists.",
        "Ask the user. The system\nis down.",
        "Note: it's late.",
        "Tom: hi.\nMia: hello.",
        "I'm Annie, your assistant.",
        "He bought a model.\nIt flies.",
    ],
)
def test_talk_of_assistants_and_users_is_speech(text: str) -> None:
    assert find_role(text, _ANNIE) is None


def test_a_name_is_a_label_only_where_the_system_prompt_gives_it() -> None:
    assert find_role("Annie: No problem.", {"messages": []}) is None


@pytest.mark.parametrize("piece", ["user", "a.", "*", " ", "\n", "Q: a\n"])
def test_the_time_is_linear_in_the_text(piece: str) -> None:
    assert growth_by_text(lambda text: find_role(text, _ANNIE), piece, size=25_000) < LINEAR


@pytest.mark.parametrize("text", ["model\nIt is Rome.", "[Assistant] It is Rome."])
def test_a_role_without_a_colon_is_found_at_the_beginning(text: str) -> None:
    assert find_role(text, _ANNIE) is not None
    assert find_role(f"This is my favourite {text}", _ANNIE) is None


def test_the_name_may_be_given_as_your_name_is() -> None:
    request = {"messages": [{"role": "system", "content": "Your name is Ruby."}]}
    assert find_role("Ruby: it's open.", request)
    assert find_role("Opal: it's open.", request) is None


CHAT, GLUED, LABEL, TURNS, OWN = (
    "role of the chat template in content",
    "role of the chat template glued to the answer",
    "label of a role in content",
    "further turns in the answer",
    "the assistant's own name as a label",
)


@pytest.mark.parametrize(
    ("what", "marked"),
    [
        (CHAT, "Hi.\n〔user\n〕So."),
        (CHAT, "〔assistant〕"),
        (GLUED, "Hi!〔assistant\n\n〕So."),
        (GLUED, "Hi.〔assistant〕"),
        (GLUED, "Hi.〔user〕So."),
        (LABEL, "〔**User:〕** so"),
        (LABEL, "Hi.\n〔用户：〕So."),
        (TURNS, "Hi.\n〔Q: So?\nA: N〕o."),
        (OWN, "〔Annie:〕 Hi."),
        (OWN, "〔**Annie**:〕 Hi."),
        (None, "Hi Annie: so."),
    ],
)
def test_a_role_is_told_with_its_place(what: str | None, marked: str) -> None:
    start, end = marked.find("〔"), marked.find("〕") - 1
    text = marked.replace("〔", "").replace("〕", "")
    assert find_role(text, _ANNIE) == (what and (what, start, end))


@pytest.mark.parametrize(
    ("messages", "named"),
    [
        ([{"role": "system", "content": "You are called Annie."}], True),
        ([{"role": "system", "content": "You are named Annie."}], True),
        ([None, "x", {"role": "user"}, {"role": "system", "content": "You are Annie."}], True),
        ([{"role": "system", "content": "Be kind."}, {"role": "system", "content": "You are Annie."}], False),
        ([{"role": "user", "content": "You are Annie."}], False),
        ([{"role": "system", "content": [{"text": "You are Annie."}]}], False),
        ([{"role": "system"}], False),
        (None, False),
    ],
)
def test_the_name_is_that_of_the_first_system_prompt(messages: object, named: bool) -> None:
    assert (find_role("Annie: Hi.", {"messages": messages}) is not None) is named
