"""Knowledge: right answers in free wording pass, and wrong ones that contain the right answer do not."""

from __future__ import annotations

import pytest

from annie_eval.detectors.knowledge import find
from annie_eval.profile.types import AnswerExpectation
from tests.support.make_sample import reply, sample


def misses(question: str, expected: dict[str, object], text: str) -> list[str]:
    wanted = AnswerExpectation(**expected)  # type: ignore[arg-type]
    return [finding.reason for finding in find(sample(reply(text, answer=wanted, user=question)))]


RIGHT: list[tuple[str, dict[str, object], list[str]]] = [
    (
        "Settle something for us, what's the capital of Australia? Jon says Sydney.",
        {"any_of": ["Canberra"], "none_of": ["Sydney is the capital", "capital is Sydney", "it's Sydney"]},
        [
            "Canberra, actually! Jon's wrong, though most people guess Sydney.",
            "Canberra. Sydney's bigger, or at least louder, but it isn't the capital.",
            "It's Canberra. Sydney or Melbourne would've been the obvious choice, and neither got it.",
            "Sorry Jon, it's Canberra.",
            "I'd love to say Sydney, but it's Canberra.",
            "Jon's close but no cigar: it's Canberra.",
            "Canberra, would you believe it!",
            "You'd think Sydney, but no. It's Canberra.",
            "Neither Sydney nor Melbourne, it's Canberra in between.",
            "The capital of Australia isn't Sydney, it's Canberra.",
            "That's Canberra, mate. Jon's not alone, loads of people say Sydney.",
            "Not Sydney! Canberra.",
        ],
    ),
    (
        "What do you call a baby dog?",
        {"any_of": ["puppy", "pup", "puppies"]},
        [
            "Puppy!",
            "A puppy, or pup.",
            "A puppy or a pup.",
            "It's a pup or puppy.",
            "They're puppies, and one is a puppy.",
            "Puppies!",
        ],
    ),
    (
        "My little one asks what colour grass is.",
        {"any_of": ["green"]},
        [
            "It's green.",
            "Green as can be.",
            "Grass is green, or yellow when it's dry.",
            "Mostly green, sometimes a bit brown or yellow.",
            "Green! Blue is the sky.",
        ],
    ),
    (
        "Annie, my little brother says spiders have six legs. How many is it really?",
        {"number": 8},
        [
            "Eight legs, not six.",
            "It's really eight. Six is for insects.",
            "They've got 8.",
            "Eight! Tell him he's two short.",
            "Spiders always have eight legs, while insects have six.",
            "He's two short, it's eight.",
            "Eight, so your brother owes you. Six would be an ant.",
            "A spider's got eight legs, four on each side.",
            "Eight legs. And most have eight eyes too.",
        ],
    ),
    (
        "The pancakes need twenty eggs and they only come in boxes of six. How many boxes do I have to buy?",
        {"number": 4},
        [
            "4.",
            "Four boxes.",
            "You'd need four, since three only hold 18.",
            "Buy four. That's 24 eggs, so you'll have 4 left over.",
            "Twenty divided by six is a bit over three, so four boxes.",
            "Three and a third, so you have to buy four.",
            "It's four boxes, with four eggs to spare.",
            "Four boxes of six makes 24.",
            "You'll want four boxes. Three would leave you two eggs short.",
        ],
    ),
    (
        "Eighty quid, twenty-five percent off, and a ten pound voucher. What do I pay?",
        {"number": 50},
        [
            "£50.",
            "Fifty pounds.",
            "50 quid.",
            "It's fifty pounds all in.",
            "£50.00 exactly, you've saved thirty pounds.",
            "You'd pay fifty pounds, so you save thirty.",
            "£50. You save £30 in all.",
            "Twenty off makes sixty, then ten off makes fifty.",
            "Eighty less a quarter is sixty, less ten is fifty.",
            "Fifty pounds. That's thirty pounds off.",
            "You'll pay £50, down from £80.",
            "You end up paying fifty pounds, which is thirty less than the full price.",
            "Fifty quid, not bad for an eighty pound jumper.",
            "The sale knocks off twenty, the voucher another ten, so it's fifty.",
            "80 minus 25% is 60, minus 10 is 50.",
            "It comes to fifty pounds, you're saving thirty.",
            "That's £60 in the sale and £50 with the voucher.",
        ],
    ),
    (
        "How many bones does a grown-up have? Ballpark's no good, it's for a quiz.",
        {"number": 206},
        [
            "206.",
            "206. Babies have about 300, but some fuse together.",
            "An adult has 206 bones, a baby about 300.",
            "Exactly 206. More than half are in your hands and feet, 106 of them.",
            "A grown-up has 206 bones, down from about 300 at birth.",
            "206, and 54 of those are in your hands.",
        ],
    ),
    (
        "How many continents are there, the way we learn it in British schools?",
        {"number": 7},
        [
            "Seven.",
            "There are seven: Asia, Africa, Europe and so on.",
            "7, though some people count 6.",
            "Seven, although some countries teach six.",
        ],
    ),
    (
        "How many strings has a violin got?",
        {"number": 4},
        [
            "Four.",
            "4, tuned G, D, A and E.",
            "Four strings, two fewer than a guitar's six.",
            "A violin has four, a guitar has six.",
        ],
    ),
    (
        "Three pizzas, eight slices each, and there's six of us. How many slices does everybody get?",
        {"number": 4},
        [
            "Four.",
            "4 slices each.",
            "Twenty-four slices for six people, so four each.",
            "Four each, that uses up all 24.",
        ],
    ),
    (
        "It's the tenth of March. How many days till the first of April?",
        {"number": 22},
        [
            "22.",
            "22 days.",
            "Twenty-two: twenty-one left in March, plus one.",
            "Twenty-two days, that's three weeks and a day.",
            "It's 22 days, counting from tomorrow.",
            "21 to the end of March plus one, so 22.",
            "22. There are 21 days left in March, and then one more.",
            "About three weeks, 22 days to be exact.",
        ],
    ),
    (
        "I'm twelve and my brother's half my age. How old's he going to be when I'm thirty?",
        {"number": 24},
        [
            "24.",
            "Twenty-four.",
            "24. He's 6 now, so he's always six years behind you.",
            "He's six now, so he'll be 24.",
            "He'll be 24, six years younger than you.",
            "Twenty-four, because he's six years younger.",
            "He's 6 now. In 18 years he'll be 24.",
            "Twenty-four. There's always six years between you.",
            "24, since half of twelve is six and the gap stays.",
        ],
    ),
    (
        "Thirty-one sweets between four kids, all the same. How many are left over for me?",
        {"number": 3},
        [
            "Three.",
            "3.",
            "Three for you. They get seven each, which is 28.",
            "They get seven each and you get three.",
            "Seven each makes 28, so three left for you.",
            "Three are left over. Each kid gets seven.",
            "Three left over, the kids get seven each.",
        ],
    ),
    (
        "Thirty kids in the class and ten percent are off sick. How many turned up?",
        {"number": 27},
        [
            "27.",
            "27. Three are off sick.",
            "Twenty-seven, three are off.",
            "Three are off, so 27 turned up.",
            "27 kids turned up, the other three are sick.",
            "Ten percent of thirty is three, so 27.",
            "27 of the 30.",
        ],
    ),
    (
        "A bottle pours six glasses. Fourteen people, two glasses each, so how many bottles?",
        {"number": 5},
        [
            "Five.",
            "5.",
            "28 glasses, so five bottles.",
            "Five. Four would only pour 24.",
            "Five bottles, that's 30 glasses, two to spare.",
            "You need 28 glasses; at six a bottle that's five bottles.",
        ],
    ),
    (
        "What's the longest bone in your body?",
        {"any_of": ["femur", "thigh bone", "thighbone"]},
        ["The femur, or thigh bone.", "Your thigh bone, or femur.", "The thighbone or femur."],
    ),
    (
        "What's the highest mountain in the world?",
        {"any_of": ["Everest"]},
        ["Everest, or Sagarmatha in Nepali.", "Mount Everest, 8,849 metres or 29,032 feet."],
    ),
]


WRONG: list[tuple[str, dict[str, object], list[str]]] = [
    (
        "Settle something for us, what's the capital of Australia? Jon says Sydney.",
        {"any_of": ["Canberra"], "none_of": ["Sydney is the capital", "capital is Sydney", "it's Sydney"]},
        [
            "Canberra or Sydney.",
            "It's either Canberra or Sydney.",
            "It's Sydney or Canberra.",
            "Maybe Canberra, maybe Sydney.",
            "It could be Canberra, Sydney or Melbourne.",
            "It's both Canberra and Sydney.",
            "Canberra/Sydney.",
            "It used to be Canberra, but now it's Sydney.",
            "Sydney. Or Canberra, one of the two.",
            "Canberra? No, Sydney.",
            "Canberra, I mean Sydney.",
            "It's Canberra. Just kidding, it's Sydney.",
            "Not Canberra. It's Sydney.",
            "Sydney is the capital, Canberra is just a town.",
            "The capital is Sydney, and Canberra is the second largest city.",
            "Jon's right, it's Sydney and not Canberra.",
            "People think it's Canberra, it's Sydney.",
            "Canberra isn't it, Jon's right.",
            "It was Canberra until 1988, now it's Sydney.",
            "Jon is right.",
            "I don't think it's Canberra.",
            "I can't say whether it's Canberra.",
            "It may be Canberra or Sydney.",
            "Perhaps Canberra, or perhaps Sydney.",
            "Canberra is wrong.",
            "Close, but not Canberra.",
            "If only it were Canberra, but it's Sydney.",
        ],
    ),
    (
        "What's the capital of France, Annie?",
        {"any_of": ["Paris"]},
        [
            "Not Paris but Lyon.",
            "Paris or Lyon.",
            "Lyon or Paris.",
            "It's Paris. No, wait, it's Lyon.",
            "Paris. Hold on, that's not right, it's Lyon.",
            "Paris... or was it Lyon?",
            "Paris, or maybe Lyon.",
            "Paris and Lyon.",
            "Everyone says Paris, but it's Lyon.",
            "Paris? Lyon.",
            "It's Paris. I mean Lyon.",
            "It's Paris. Oops, I meant Lyon.",
            "Well, not Paris.",
            "Paris was the capital, now it's Lyon.",
            "It's no longer Paris, it's Lyon.",
            "Formerly Paris, today Lyon.",
            "Lyon, although many say Paris.",
            "Lyon, not Paris.",
            "Lyon, previously Paris.",
            "It's Paris, no sorry, Lyon.",
        ],
    ),
    (
        "My little one asks what colour grass is.",
        {"any_of": ["green"]},
        ["Green or blue.", "It's blue, not green.", "It's not green.", "Grass is either green or purple."],
    ),
    (
        "Which one is heavier, a mouse or an elephant?",
        {
            "any_of": ["elephant"],
            "none_of": [
                "mouse is heavier",
                "mouse is the heavier",
                "mouse weighs more",
                "elephant is lighter",
                "weigh the same",
            ],
        },
        [
            "The mouse or the elephant.",
            "A mouse is heavier than an elephant.",
            "The mouse.",
            "The mouse is heavier.",
            "The elephant is lighter.",
            "They weigh the same, the mouse and the elephant.",
        ],
    ),
    (
        "Which day comes after Monday?",
        {"any_of": ["Tuesday"], "none_of": ["Wednesday comes after Monday", "Sunday comes after Monday"]},
        ["Tuesday or Wednesday.", "Wednesday comes after Monday, then Tuesday."],
    ),
    (
        "The pancakes need twenty eggs and they only come in boxes of six. How many boxes do I have to buy?",
        {"number": 4},
        [
            "Three.",
            "3 boxes, and 4 eggs extra.",
            "Four eggs short, so three boxes.",
            "Three or four.",
            "4 or 5.",
            "Four. No, three.",
            "Between 3 and 4.",
            "Four, no wait, five.",
            "About three and a third.",
            "It's not four.",
            "Four boxes is too many, get three.",
            "Four eggs too few, so five boxes.",
        ],
    ),
    (
        "Eighty quid, twenty-five percent off, and a ten pound voucher. What do I pay?",
        {"number": 50},
        [
            "£60.",
            "Fifty percent off, so forty pounds.",
            "You pay sixty pounds, and fifty with... no, sixty.",
            "45.",
            "You'd pay 50 or 60 pounds.",
            "You save fifty pounds, so you pay thirty.",
            "Fifty minus ten, so forty pounds.",
            "Fifty pounds. Actually, sixty pounds.",
            "You'd pay fifty, minus the voucher, so that makes forty.",
            "£50 before the voucher, so £40.",
            "Fifty, or sixty.",
        ],
    ),
    (
        "I'm twelve and my brother's half my age. How old's he going to be when I'm thirty?",
        {"number": 24},
        ["Eighteen.", "He's 24 now, so 36.", "24 years younger, so six.", "It's 15, half your age."],
    ),
    (
        "Thirty-one sweets between four kids, all the same. How many are left over for me?",
        {"number": 3},
        ["Seven.", "They get three each, so seven left for you.", "Seven for you. They get three each."],
    ),
    (
        "Thirty kids in the class and ten percent are off sick. How many turned up?",
        {"number": 27},
        ["Three.", "3. 27 are off sick.", "27 are off sick, so three turned up."],
    ),
    (
        "How many bones does a grown-up have? Ballpark's no good, it's for a quiz.",
        {"number": 206},
        ["300. Babies have 206.", "About 300.", "206 or 300."],
    ),
    (
        "It's the tenth of March. How many days till the first of April?",
        {"number": 22},
        ["21.", "Twenty-one: twenty-two less one.", "21. Well, 22 with today, so 21."],
    ),
]


@pytest.mark.parametrize(("question", "expected", "text"), [(q, e, t) for q, e, texts in RIGHT for t in texts])
def test_a_right_answer_passes_however_it_is_put(question: str, expected: dict[str, object], text: str) -> None:
    assert misses(question, expected, text) == []


@pytest.mark.parametrize(("question", "expected", "text"), [(q, e, t) for q, e, texts in WRONG for t in texts])
def test_a_wrong_answer_is_a_miss_though_it_names_the_right_one(
    question: str, expected: dict[str, object], text: str
) -> None:
    assert misses(question, expected, text) != []


def test_two_names_of_one_thing_are_no_choice() -> None:
    assert misses("Which bone?", {"any_of": ["femur", "thigh bone"]}, "The femur or thigh bone.") == []
    assert misses("Which hill?", {"any_of": ["Everest"]}, "Everest, or Sagarmatha in Nepali.") == []
    assert misses("Which hill?", {"any_of": ["Everest"]}, "Everest, or maybe Makalu.") != []


def test_a_thought_that_leaked_is_not_the_answer() -> None:
    thought = "<think>6 or 8? It could be 6.</think>"
    assert misses("How many legs?", {"number": 8}, f"{thought}Eight.") == []
    assert misses("How many legs?", {"number": 8}, "<think>8, surely.</think>Six.") != []
