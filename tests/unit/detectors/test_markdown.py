"""Markdown: markup in speech is found, plain speech is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annie_eval.detectors.markdown import find
from tests.support.growth import LINEAR, growth_by_text
from tests.support.make_sample import call, reply, sample


def kinds(text: str | None, **more: object) -> list[str]:
    findings = find(sample(reply(text, **more)))  # type: ignore[arg-type]
    assert all(finding.detector == "markdown" and finding.channel == "content" for finding in findings)
    return [finding.reason.removesuffix(" in speech") for finding in findings]


MARKED = [
    ("emphasis", "That is **very** good."),
    ("emphasis", "That is *very* good."),
    ("emphasis", "That is __very__ good."),
    ("emphasis", "That is _very_ good."),
    ("emphasis", "That is ***very*** good."),
    ("emphasis", "That is ~~bad~~ good."),
    ("emphasis", "un**frigging**believable"),
    ("emphasis", "**Note: never closed."),
    ("emphasis", "never opened**, but closed."),
    ("emphasis", "*smiles* Hello."),
    ("emphasis", "The answer is *42*."),
    ("emphasis", "An ==important== word."),
    ("heading", "# Title\nText."),
    ("heading", "Text.\n\n### Steps\nMore."),
    ("heading", "Sure! ## Steps follow."),
    ("heading", "##Title"),
    ("heading", "Title\n=====\nText."),
    ("heading", "Title\n---\nText."),
    ("rule", "One.\n\n---\n\nTwo."),
    ("rule", "One.\n\n* * *\n\nTwo."),
    ("list", "Here you go:\n\n- Boil the water.\n- Anything else?"),
    ("list", "- Boil the water.\n- Pour it over.\n- Anything else?"),
    ("list", "Sure!\n- Boil the water!\n- Pour it over.\n- Enjoy!"),
    ("list", "- milk\n- eggs"),
    ("list", "* milk"),
    ("list", "+ milk\n+ eggs"),
    ("list", "You need:\n  - milk"),
    ("list", "• milk\n• eggs"),
    ("list", "milk • eggs"),
    ("list", "– milk\n– eggs"),
    ("list", "1. milk\n2. eggs"),
    ("list", "1) milk\n2) eggs"),
    ("list", "Steps: 1. Mix it. 2. Bake it."),
    ("list", "You need 1) milk and 2) eggs."),
    ("list", "a) milk\nb) eggs"),
    ("list", "- 5 apples\n- 3 pears"),
    ("list", "Buy: - milk - eggs - bread"),
    ("list", "1.Milk\n2.Eggs"),
    ("list", "1. milk\n1. eggs"),
    ("list", "1. Milk is all you need."),
    ("list", "1) Milk is all you need."),
    ("list", "→ Milk"),
    ("list", "i. milk\nii. eggs"),
    ("list", "Step 1: boil it.\nStep 2: eat it."),
    ("list", "Monday: swim.\nTuesday: run.\nWednesday: rest."),
    ("link", "See example.org/page for more."),
    ("list", "5. milk\n6. eggs"),
    ("list", "-\n-\n-"),
    ("list", "-milk\n-eggs"),
    ("list", "① milk\n② eggs"),
    ("styled letters", "That is 𝗯𝗼𝗹𝗱."),
    ("list", "- [ ] milk"),
    ("list", "[x] milk"),
    ("table", "| a | b |\n|---|---|\n| 1 | 2 |"),
    ("table", "a | b\n--|--\n1 | 2"),
    ("table", "| a | b |"),
    ("table", "Name | Age | City"),
    ("code fence", "```python\nprint(1)\n```"),
    ("code fence", "Here: ```print(1)```"),
    ("code fence", "~~~\nprint(1)\n~~~"),
    ("code fence", "```\nnever closed"),
    ("code", "Use `print` for it."),
    ("code", "Use ``a ` b`` for it."),
    ("link", "See [this](https://example.org)."),
    ("link", "See [this](page)."),
    ("link", "![a cat](cat.png)"),
    ("link", "See https://example.org for more."),
    ("link", "See www.example.org for more."),
    ("link", "<https://example.org>"),
    ("link", "See [this][1]."),
    ("link", "[1]: example"),
    ("footnote", "It is so[^1]."),
    ("quote", "> To be or not to be."),
    ("quote", "He said:\n>> never"),
    ("HTML", "That is <b>good</b>."),
    ("HTML", "One.<br>Two."),
    ("HTML", "One.<br/>Two."),
    ("HTML", '<a href="x">y</a>'),
    ("HTML", "<!-- no -->"),
    ("HTML", "one&nbsp;two"),
    ("LaTeX", "It is $$x^2$$."),
    ("LaTeX", r"It is \(x\)."),
    ("LaTeX", r"It is \frac{1}{2}."),
    ("LaTeX", "It is $x^2 = 4$."),
    ("LaTeX", r"\boxed{42}"),
    ("escape", r"2 \* 3"),
    ("emoji", "Hello 😊"),
    ("emoji", "I ❤ Paris."),
    ("emoji", "Sunny ☀️ today."),
    ("emoji", "👨\u200d👩\u200d👧 family"),
    ("emoji", "🇫🇷 France"),
    ("emoji", "1️⃣ first"),
    ("emoji", "✅ done"),
    ("emoji", "👍🏽"),
    ("emoji", "ℹ️ note"),
    ("emoji", "Good night :-)"),
    ("emoji", "It has ★★★☆☆."),
    ("HTML", "It&#39;s there."),
    ("HTML", "It&rsquo;s there."),
    ("HTML", "It costs &pound;3."),
    ("HTML", "<speak>Hello.</speak>"),
    ("HTML", '<break time="1s"/> Hello.'),
    ("list", "・米\n・塩"),
    ("list", "（1）米\n（2）塩"),
    ("list", "1、米；2、塩。"),
    ("list", "一、米\n二、塩"),
    ("list", "а) соль\nб) рис"),
    ("list", "가. 쌀\n나. 소금"),
    ("list", "➢ Rice\n➢ Salt"),
    ("list", "Passo 1: mescolare.\nPasso 2: cuocere."),
    ("list", "- Buy rice.\n- Call Tom."),
    ("list", "Here you go:\n\n- Buy rice.\n- Anything else?"),
    ("rule", "One.\n────\nTwo."),
    ("link", "It's at youtu.be/abc."),
    ("link", "See cafe.example.at/menu for it."),
    ("LaTeX", "About $12^\\circ$C."),
    ("LaTeX", "x \\rightarrow y"),
    ("LaTeX", "1, 2, \\ldots, 9"),
    ("LaTeX", "The value of $y$ is 3."),
    ("escape", "It costs \\$3."),
    ("emphasis", "That is ++very++ good."),
    ("emphasis", "That is [b]very[/b] good."),
    ("heading", "＃ 題\n文です。"),
    ("table", "Name,Age,Town\nMia,4,Hull"),
    ("table", "Gas | Wood\nQuick | Slow"),
    ("code", "Use `print to show it."),
    ("footnote", "Rain is likely【2†source】."),
    ("data", '{"answer": "Rome."}'),
    ("data", '[{"said": "today", "text": "It is in the tin."}]'),
    ("data", "{'answer': 'Rome.'}"),
    ("data", "null"),
    ("data", "[object Object]"),
    ("data", "It's [temperature] degrees in [town]."),
    ("data", "Good evening, {name}!"),
    ("data", 'Traceback (most recent call last): File "a.py", line 3.'),
    ("data", "Response(text='Rome.')"),
]


@pytest.mark.parametrize(("kind", "text"), MARKED)
def test_marked_text_is_found(kind: str, text: str) -> None:
    assert kind in kinds(text)


PLAIN = [
    "It is minus 5 degrees.",
    "-5 degrees today.",
    "It fell to -5 degrees.",
    "- 5 degrees, it says.",
    "2 * 3 * 4 is 24.",
    "2*3*4 is 24.",
    "a*b*c",
    "2**10 is 1024.",
    "2 ** 3 and 4 ** 5",
    "a * b",
    "5 > 3 and 3 < 5.",
    "> 5 is too much",
    "The variable is called snake_case_name.",
    "The method __init__ makes it, and __main__ runs it.",
    "It is No. 5 on the list.",
    "In 1999. Then it changed.",
    "1984. What a book.",
    "1. May is a holiday.",
    "1. Mai ist Feiertag.\n3. Oktober auch.",
    "1. FC Köln won.",
    "27. Three are off sick.",
    "It's nhs.uk, or nhs dot uk.",
    "Step 1 is to boil it, step 2 to eat it.",
    "Subject: the tap.\nDear landlord: it drips.",
    "A hyphenated aside - like this - is fine.",
    "A dash – like this – is fine.",
    "C# and F# are languages.",
    "You are #1!",
    "#1 is the best.",
    "Rock 'n' roll, and AT&T.",
    "M*A*S*H was a series.",
    "What the f**k, that is s***.",
    "It takes ~5 minutes, or ~10.",
    "On 2024-01-05 at 10:30.",
    "It costs $5 and $10, or €5.",
    "Well... maybe… later.",
    'He said "yes" and left.',
    "It has © and ® and ™ on it.",
    "Ten percent (10%) of 5 + 5 = 10.",
    "First paragraph.\n\nSecond paragraph.",
    "    Indented speech is speech.",
    "One\ntwo\nthree lines.",
    "We lost game 1. Then we won game 2. Great.",
    "Press * and then #.",
    "Dial *67 first.",
    "Hawai`i and O`ahu.",
    "if x<y and y>z, then x is less.",
    "I <3 you.",
    "The file is C:\\temp\\new.",
    "His score was |x|, so to say.",
    "and/or, he/she, 24/7",
    "Mail me at ann@example.org.",
    "It's 5'10\" tall.",
    "Range 3-5, or 3–5.",
    "[laughs] Sure.",
    "Note [1] says so.",
    "She has a Ph.D. and an M.B.A.",
    "Ich habe 3,5 Kilo (z. B. Äpfel).",
    "C'est l'été, n'est-ce pas ?",
    "¿Qué tal? ¡Bien!",
    "これは「本」です。はい、そうです！",
    "यह किताब है। हाँ।",
    "temperature: -3 °C",
    "The blanks are ____ and ____.",
    "Music in C♯ and B♭ ♪",
    "3 × 4 ÷ 2 ± 1 ≈ 6 → done",
    "A & B; C & D",
    "Over 50% = half, x_1 and x_2.",
    "1. May is free.\na) is the first letter.",
    "2. Mai ist frei.\n2. Juni auch.",
    "1. und 2. Feiertag sind frei.",
    "24. Dezember ist Heiligabend.\n25. Dezember ist frei.",
    "1. Advent ist früh, 2. Advent auch.",
    "1. června je den dětí.",
    "1. Bundesliga, das ist Fußball.",
    "1. Staffel ist gut, die zweite nicht.",
    "1. kapitola je krátká.",
    "— ¡Mamá!\n— ¿Qué hay?",
    "- Where were you?\n- Out, I said.",
    "Il dit : - Tu viens ? - Non.",
    "— Kellner, eine Fliege!\n— Leise, sonst wollen alle eine.",
    "Perche` no? Cosi` va bene, e` chiaro.",
    "A price of $$$ means dear.",
    "None of them, said Nan.",
    "an asterisk",
    "",
    None,
]


@pytest.mark.parametrize("text", PLAIN)
def test_plain_speech_is_not(text: str | None) -> None:
    assert kinds(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Put two asterisks on each side of the word.",
        "Put an asterisk, *, on each side.",
        'Use "**" for bold, "#" for a heading, and "`" for code.',
        "Use ** for bold and _ for italics.",
        "A heading begins with #, a quote with >, a list with - or *.",
    ],
)
def test_a_sign_that_is_named_is_fine_where_the_user_asked_about_markdown(text: str) -> None:
    assert kinds(text, topic=["markdown"]) == []


@pytest.mark.parametrize(
    "text", ["Use **two asterisks**.", "# Headings\nBegin so.", "* a list\n* of two", "- one\n- two", "Use `code`."]
)
def test_markdown_in_an_answer_about_markdown_still_is_found(text: str) -> None:
    assert kinds(text, topic=["markdown"])


@pytest.mark.parametrize(
    "text",
    ["<think>Easy.</think> Paris.", "<tool_call> Paris.", "Paris.</s>", "<|im_end|>", "[THINK]", "<parameter=x>"],
)
def test_tags_of_the_protocol_belong_to_other_detectors(text: str) -> None:
    assert kinds(text) == []


def test_the_finding_quotes_the_mark_and_says_where_it_is() -> None:
    text = "First.\n\nThis is **bold** here."
    findings = find(sample(reply("Fine."), reply(text, turn=1)))
    (finding,) = findings
    assert finding.exchange == 1
    assert finding.span is not None
    assert text[slice(*finding.span)].startswith("**")
    assert "**bold**" in finding.excerpt


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("This is **bold** here.", "**bold**"),
        ("This is `code` here.", "`code`"),
        ("One.\n\nTwo _three_ four.", "_three_"),
        ("One.\n\nTwo [three](four).", "]("),
    ],
)
def test_the_span_holds_the_marks(text: str, marks: str) -> None:
    (finding,) = find(sample(reply(text)))
    assert finding.span is not None
    assert text[slice(*finding.span)] == marks


# The mark stands in 〔brackets〕, which are no part of the text; a text without them has none.
PLACED = [
    # what the parser alone sees
    ("emphasis", "One.\n\nThat is 〔_very_〕 good, _so_ good.\n\nThree."),
    ("emphasis", "It is (〔~~bad~~〕) good."),
    ("code", "Type 〔`ls -l`〕 now."),
    ("link", "One.\n\n〔Write to <ann@example.org> now.\n〕\nThree."),
    ("link", "One.\r\n\r\n〔Write to <ann@example.org> now.\r\nThree.〕"),
    ("table", "One.\n\n〔a | b\n-|-\n1 | 2\n〕\nThree."),
    ("list", "One.\n\n〔-\n-〕"),
    ("list", "One.\n\n〔+\n+\n\n〕Three."),
    (None, "One.\n\n-\n\nThree."),
    # numbers at the beginning of lines
    ("list", "Buy:\n〔1. milk\n2. 〕eggs"),
    ("list", "〔2) milk\n3) 〕eggs\n4) bread"),
    ("list", "〔(2) milk\n(3) 〕eggs"),
    ("list", "2. milk\n〔4. eggs\n5. 〕bread"),
    ("list", "〔1. milk\n1. 〕eggs"),
    (None, "2. milk\n2. eggs"),
    (None, "2. milk\n1. eggs"),
    (None, "1. milk\n3. eggs"),
    (None, "1. May is warm.\n2. May is warmer."),
    ("list", "〔1. May is warm.\n2. 〕eggs are in it."),
    ("list", "〔1. milk is warm.\n2. 〕May is warm."),
    ("list", "〔1) 〕May is warm.\n3) May is warmer."),
    ("list", "〔1) May is warm.\n2) 〕May is warmer."),
    ("list", "〔1.May is warm.\n2.〕May is warmer."),
    ("list", "〔b) milk\nc) 〕eggs"),
    (None, "b) milk\nd) eggs"),
    (None, "c) milk\nb) eggs"),
    (None, "b) milk\nc. eggs"),
    (None, "1. milk\nb. eggs"),
    (None, "b. milk\n2. eggs"),
    (None, "J. Smith\nK. Jones"),
    ("list", "〔б. молоко\nв. 〕яйца"),
    ("list", "〔二、奶\n三、〕蛋"),
    (None, "二、奶\n五、蛋"),
    # a first line alone
    ("list", "Buy:\n〔1. 〕Milk is all."),
    ("list", "Buy:\n〔1) 〕Milk is all."),
    ("list", "〔1. 〕牛奶"),
    (None, "1. milk is all."),
    (None, "2. Milk is all."),
    (None, "1.Milk is all."),
    (None, "(1) Milk is all."),
    (None, "1] Milk is all."),
    (None, "1. May is warm."),
    (None, "1. Milch ist nicht da."),
    ("list", "2. Eggs are here.\n〔1. 〕Milk is all."),
    # numbers within a line
    ("list", "Steps〔: 1. Mix it. 2. Bake〕 it."),
    ("list", "〔1) mix it, 2) bake〕 it."),
    ("list", "You need 〔1) milk, 2) e〕ggs."),
    (None, "Two: 1. floor and 2. floor."),
    (None, "Two: 1. May and 2. June."),
    (None, "Two: 1. und 2. Weltkrieg."),
    ("list", "Two〔: 1. milk and 2. June.〕"),
    ("list", "Two: 1. und 2. Weltkrieg, then〔: 1. milk, 2. eggs.〕"),
    # dashes of a dialogue
    (None, "- Who is there?\n- It is me."),
    (None, "- Who is there!\n- It is me"),
    ("list", "〔- 〕Who is there?"),
    ("list", "〔- 〕It is me.\n- It is you."),
    ("list", "〔- 〕Who is there? Me\n- It is me."),
    (None, "- “Who is there?”\n- It is me."),
    ("list", "〔- 〕It is me.\n- Who is there?"),
    (None, "— It is me.\n— Who is there?"),
    ("list", "〔– It is me.\n– W〕ho is there?"),
    ("list", "— It is me.\n〔- 〕Who is there?"),
    ("list", "He asked:\n〔- 〕Who is there?\n- It is me."),
    (None, "He asked:\n– Who is there?\n– It is me."),
    ("list", "Buy〔: - milk. - e〕ggs."),
    (None, "He asked: - Who is there? - It is me."),
    (None, "He asked: - It is me. - Who is there?"),
]


@pytest.mark.parametrize(("kind", "marked"), PLACED)
def test_the_first_mark_of_a_kind_is_placed(kind: str | None, marked: str) -> None:
    start, end = marked.find("〔"), marked.find("〕") - 1
    found = find(sample(reply(marked.replace("〔", "").replace("〕", ""))))
    assert [(each.reason, each.span) for each in found] == ([(f"{kind} in speech", (start, end))] if kind else [])


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        (f"*{19 * ' '}milk", True),
        (f"*{20 * ' '}milk", False),  # 20 characters behind the sign are looked at
        ("One.\n* milk", True),
        ("\n* milk", True),
        ("* \nmilk", False),
        ("An asterisk, *, on each side.", False),
        ("An asterisk * on each side", False),
        ("Its sign is '#'", False),
        ("A ## opens it", False),
    ],
)
def test_a_sign_that_leads_a_line_is_marked_even_where_the_user_asked(text: str, marked: bool) -> None:
    assert bool(kinds(text, topic=["markdown"])) == marked


def test_the_parser_reads_the_first_8000_characters() -> None:
    text = f"{1598 * 'word '}soon _very_ good"
    assert text.index(" good") == 8001
    assert kinds(text) == []
    assert kinds(text.replace("soon", "now")) == ["emphasis"]


def test_an_answer_without_speech_is_passed_over_and_the_next_is_judged() -> None:
    found = find(sample(reply(None), reply(" \t\n \t"), reply("**Hi** <b>you</b> &amp; <i>me</i>")))
    assert [(each.exchange, each.reason, each.span) for each in found] == [
        (2, "HTML in speech", (7, 10)),
        (2, "emphasis in speech", (0, 6)),
    ]
    assert [each.excerpt for each in found] == 2 * ["**Hi** <b>you</b> &amp; <i>me</i>"]


def test_data_that_the_user_named_is_no_data() -> None:
    assert kinds("It stands for {name}.", user="What does {name} stand for?") == []
    assert kinds("It stands for {name}.") == ["data"]


def test_no_content_is_no_markdown() -> None:
    assert find(sample(reply(calls=[call("search_memory", {"query": "**x**"})]))) == ()


# Speech made of words, numbers and signs that people use; no mark is meant by any of them.
WORD = st.from_regex(r"[A-Za-z]{1,9}", fullmatch=True)
NUMBER = st.integers(-999, 9999).map(str)
# fmt: off
SIGNS = [
    "2 * 3", "snake_case", "x_1", "No. 5", "- like this -", "C#", "#1", "AT&T", "~5", "$5", "10%", "10:30", "'n'",
    "5 > 3", "3 < 5", "2024-01-05", "minus 5", "-5", "(so to say)", "3.5", "and/or", "“quoted”", "it's", "…", "°C",
    "Ärger", "été", "año", "東京", "हाँ", "©", "M*A*S*H", "2*3*4", "__init__", "a * b", "= 7", "+ 2",
]
# fmt: on
PIECE = st.one_of(WORD, WORD, WORD, NUMBER, st.sampled_from(SIGNS))
SENTENCE = st.tuples(WORD, st.lists(PIECE, max_size=12), st.sampled_from(".?!")).map(
    lambda parts: " ".join([parts[0], *parts[1]]) + parts[2]
)


@given(st.lists(SENTENCE, min_size=1, max_size=4), st.sampled_from([" ", "\n", "\n\n"]))
def test_plain_speech_of_any_kind_never_trips(sentences: list[str], joint: str) -> None:
    assert kinds(joint.join(sentences)) == []


PHRASE = st.lists(WORD, min_size=1, max_size=4).map(" ".join)
MARKS = st.sampled_from(
    [
        *["**{}**", "*{}*", "__{} {}__", "_{} {}_", "~~{}~~", "`{}`", "[{}](x)", "<b>{}</b>", "{} 😊", "```{}```"],
        *["{} https://{}.org", "$${}$$"],
    ]
)


@given(SENTENCE, MARKS, PHRASE, SENTENCE)
def test_a_decorated_phrase_is_found_anywhere(before: str, marks: str, phrase: str, after: str) -> None:
    assert kinds(f"{before} {marks.format(phrase, phrase)} {after}")


LINES = st.sampled_from(
    ["# {}", "- {}\n- {}", "* {}", "1. {}\n2. {}", "1) {}\n2) {}", "> {}", "| {} | {} |", "• {}", "---"]
)


@given(SENTENCE, LINES, PHRASE)
def test_a_block_is_found_on_any_line(before: str, block: str, phrase: str) -> None:
    assert kinds(f"{before}\n\n{block.format(phrase, phrase)}")


@given(st.text(max_size=120), st.sampled_from([(), ("markdown",)]))
def test_no_text_raises(text: str, topic: tuple[str, ...]) -> None:
    for finding in find(sample(reply(text, topic=topic))):
        assert finding.span is not None
        assert 0 <= finding.span[0] <= finding.span[1] <= len(text)


@given(st.lists(st.sampled_from("*_~`#>|-+[](){}<>!\\ \n1.$a&;"), max_size=60).map("".join))
def test_no_mixture_of_marks_raises(text: str) -> None:
    find(sample(reply(text)))
    find(sample(reply(text, topic=["markdown"])))


@pytest.mark.parametrize(
    "piece",
    [
        "[",
        "*a ",
        "**",
        "_a",
        "`",
        "<",
        "> ",
        "- ",
        "|",
        "1. a\n",
        "![",
        "$x",
        "a*b",
        " ",
        "\n",
        "~~a",
        "a | ",
        ": - a ",
    ],
)
def test_the_time_is_linear_in_the_text(piece: str) -> None:
    # From where the parser stops: it is quadratic before, and the same for both lengths behind.
    assert growth_by_text(lambda text: find(sample(reply(text))), piece, size=10_000) < LINEAR


@pytest.mark.parametrize(
    "text",
    ["[Rome, Oslo]", "('Rome', 5)", "warm=21, damp=40", "answer: Rome\nconfidence: 0.9", "Error: 404 Not Found"],
)
def test_values_in_place_of_speech_are_data(text: str) -> None:
    assert "data" in kinds(text)


@pytest.mark.parametrize("text", ["Rome (or Oslo), as you like.", "The answer: Rome.", "If x=2, it is four."])
def test_speech_with_a_bracket_or_a_sign_is_no_data(text: str) -> None:
    assert "data" not in kinds(text)
