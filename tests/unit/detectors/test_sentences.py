"""Counting sentences and words in speech."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annie_eval.detectors.english.sentences import count_sentences, count_words, is_finished, split_sentences


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Hello there.", 1),
        ("Hello there", 1),
        ("Hello. How are you?", 2),
        ("hello. how are you. fine.", 3),
        ("Really?! Yes!!!", 2),
        ("Dr. Smith is here.", 1),
        ("We met Mr. and Mrs. Jones at 7 a.m. in St. Louis, i.e. early.", 1),
        ("Use milk, e.g. oat milk.", 1),
        ("It's at 5 p.m. on Friday.", 1),
        ("It's at 5 p.m. Then we leave.", 2),
        ("The U.S. is big.", 1),
        ("He lives in the U.S. He likes it.", 2),
        ("It's Apple Inc. They make phones.", 2),
        ("He lives in Main St. It is quiet.", 2),
        ("She has a Ph.D. in math.", 1),
        ("J. R. Smith wrote it.", 1),
        ("Plan B. Then we go.", 2),
        ("So do I. Then go.", 2),
        ("It is No. 5 on the list.", 1),
        ("No. I can't.", 2),
        ("Pi is 3.14 or so. It costs $3.50.", 2),
        ("At 10.30 it starts. Visit example.org today.", 2),
        ("In 1999. Then it changed.", 2),
        ("I have 5. You have 6.", 2),
        ("Well... maybe.", 1),
        ("Well... Maybe.", 2),
        ("Wait… what?", 1),
        ("“Stop!” he said. Then he left.", 2),
        ("Am 1. Mai ist frei. Im 19. Jahrhundert war es anders.", 2),
        ("Das ist z. B. gut, d.h. fein.", 1),
        ("C'est M. Dupont.", 1),
        ("¿Qué tal? ¡Bien!", 2),
        ("これは本です。はい。", 2),
        ("「すごい！」と言った。", 1),
        ("यह किताब है। हाँ।", 2),
        ("هل أنت بخير؟ نعم.", 2),
        ("Roses are red,\nviolets are blue.", 1),
        ("One\n\nTwo", 2),
        ("Milk\nEggs\nBread", 3),
        ("milk\n\neggs", 2),
        ("Milk,\n\nEggs", 1),
        ("Milk, \n\nEggs", 1),
        ("Milk,\t\nEggs", 1),
        ("Milk \n\nEggs", 2),
        ("Milk:\nEggs", 1),
        ("", 0),
        ("...", 0),
        ("😊", 0),
        ("Take 6 oz. of rice and 1 tbsp. of oil for 9 min. at most.", 1),
        ("Rund 2,5 Mio. Menschen, d. h. 4 Mrd. Euro.", 1),
        ("Abre a las 7 p. m. y cierra a las 9 p. m. los lunes.", 1),
        ("Una cosa, ad es. la pasta, a pag. 9 del libro.", 1),
        ("Tåget går kl. 14.10 och kl. 14.40. Ta det första.", 2),
        ("Музей на ул. Мира, д. 7. Билет за 200 руб. для всех.", 2),
        ("Он жил в 1801 г. в Москве.", 1),
        ("Guess Who? is on at six. Then it's the news.", 2),
    ],
)
def test_sentences_are_counted_as_they_are_heard(text: str, count: int) -> None:
    assert count_sentences(text) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Hello there, it's me.", 4),
        ("3.5 and/or 10:30", 3),
        ("well-known", 1),
        ("東京は雨です", 3),
        ("हिन्दी में", 2),
        ("สวัสดีครับ", 2),
        ("... - !", 0),
        ("", 0),
    ],
)
def test_words_are_counted(text: str, count: int) -> None:
    assert count_words(text) == count


@pytest.mark.parametrize(
    "text",
    [
        "Hi.",
        "Hi!",
        "Hi?",
        "Hi…",
        "Hi...",
        "「はい。」",
        "「はい」です。",
        "He said “yes.”",
        "(Yes.)",
        "हाँ।",
        "نعم؟",
        "สวัสดีครับ",
        "Hi. 😊",
        "Hi. \n",
    ],
)
def test_finished_text_is_finished(text: str) -> None:
    assert is_finished(text)


@pytest.mark.parametrize("text", ["Hi", "Hi,", "It is:", "", "and the", "(yes", "He said “yes", "3", "😊", "はい"])
def test_a_text_that_stops_in_the_middle_is_not(text: str) -> None:
    assert not is_finished(text)


@given(st.text(max_size=200))
def test_sentences_lie_in_order_inside_of_the_text(text: str) -> None:
    spans = split_sentences(text)
    flat = [place for span in spans for place in span]
    assert flat == sorted(flat)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert count_words(text) <= len(text)
    is_finished(text)


@given(st.lists(st.sampled_from(["It rains.", "Is it late?", "Come in!", "Dr. May has 3.5 of them."]), max_size=8))
def test_whole_sentences_add_up(sentences: list[str]) -> None:
    assert count_sentences(" ".join(sentences)) == len(sentences)
