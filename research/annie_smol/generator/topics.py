"""Everyday things explained in a few words: "tell me about", "what is", "why", and "how do I"."""
# ruff: noqa: E501 - a phrase is read best on one line, and a list of words as words

from random import Random

from research.annie_smol.generator.grammar import pick, sentence
from research.annie_smol.generator.request import AnsweredRequest

# topic -> facts, each one finished sentence; any one to three of them make an answer
TOPICS: dict[str, list[str]] = {
    "horses": ["Horses are strong and gentle animals.", "They eat grass and hay and love to run.", "A horse can sleep standing up.", "A young horse is called a foal."],
    "cats": ["Cats are quiet hunters with soft paws.", "They sleep most of the day and purr when they are happy.", "A cat sees very well in the dark.", "Many cats love a warm place in the sun."],
    "dogs": ["Dogs are loyal friends of people.", "They have a wonderful nose and love long walks.", "A dog wags its tail when it is happy.", "Dogs have lived with us for thousands of years."],
    "bees": ["Bees collect sweet juice from flowers and make honey.", "They live together in a hive with one queen.", "Bees help flowers and fruit trees to grow.", "A bee dances to show the others where the flowers are."],
    "whales": ["Whales live in the sea, but they breathe air like us.", "The blue whale is the largest animal of all.", "Whales sing long songs under water.", "They feed their young with milk."],
    "birds": ["Birds have feathers and two wings.", "Most of them can fly and build nests for their eggs.", "Many birds sing early in the morning.", "Some birds fly south for the winter."],
    "bears": ["Bears are big, strong animals with thick fur.", "They like fish, berries and honey.", "Many bears sleep through the winter.", "A young bear is called a cub."],
    "trees": ["Trees have roots, a trunk and many leaves.", "They clean our air and give shade.", "Some trees live for hundreds of years.", "Every year a tree grows one more ring."],
    "flowers": ["Flowers have bright colours and often a sweet smell.", "They call bees, which help them make seeds.", "Flowers need light, water and good earth.", "Many of them open in the morning and close at night."],
    "rain": ["Rain is water that falls from the clouds.", "Plants, rivers and people need it.", "It falls when the drops in a cloud get too heavy.", "After rain and sun together you may see a rainbow."],
    "snow": ["Snow is frozen water that falls in small white stars.", "No two snowflakes look quite alike.", "Snow makes the world quiet because it swallows sound.", "It melts as soon as it gets warm."],
    "wind": ["Wind is air that moves.", "It blows because warm air rises and cold air takes its place.", "Wind carries seeds and clouds over the land.", "Strong wind can bend trees and fill sails."],
    "the sea": ["The sea is a huge body of salt water.", "It is salty because rivers carry salt from the rocks into it.", "Many fish and whales live there.", "The moon pulls the water, so it rises and falls each day."],
    "the moon": ["The moon travels around the earth once a month.", "It has no light of its own and only mirrors the sun.", "Its shape seems to change because we see a different part lit each night.", "People have walked on the moon."],
    "the sun": ["The sun is a star, and it is very hot.", "It gives us light and warmth.", "The earth travels around it once a year.", "Without the sun nothing could grow."],
    "stars": ["Stars are huge balls of hot, glowing gas.", "They look small because they are so far away.", "The sun is a star, too.", "Stars shine in the day as well, but the sky is too bright to see them."],
    "rivers": ["A river carries water from the hills to the sea.", "It begins as a small spring.", "Fish, ducks and many plants live in and by rivers.", "Many old towns were built beside a river."],
    "mountains": ["Mountains are the highest places on land.", "They rise where the ground is pushed up over a very long time.", "It's cold at the top, so snow stays there.", "Many rivers start in the mountains."],
    "sleep": ["Sleep gives the body and the mind time to rest.", "While we sleep, we grow and our brain puts the day in order.", "Children need more sleep than grown-ups.", "A dark and quiet room helps."],
    "dreams": ["Dreams are stories that our mind makes while we sleep.", "They often mix things that we have seen or felt.", "Most dreams are forgotten in the morning.", "Even dogs and cats seem to dream."],
    "music": ["Music is sound put in order, with rhythm and melody.", "It can make us happy, calm or sad.", "People sing and play all over the world.", "Learning a song helps the memory."],
    "a piano": ["A piano has black and white keys.", "When you press a key, a small hammer hits a string.", "It can play softly and loudly.", "Most pianos have eighty-eight keys."],
    "a bicycle": ["A bicycle has two wheels, and you move it with your feet.", "It stays up because it keeps rolling.", "Riding one is good for the heart and needs no petrol.", "The chain turns the back wheel."],
    "a clock": ["A clock shows the time of day.", "The short hand points to the hour and the long hand to the minutes.", "Long ago people used the sun or sand to tell the time.", "Some clocks tick and some are silent."],
    "a book": ["A book keeps stories or knowledge on paper pages.", "You can travel far with it without leaving your chair.", "Long ago every book was written by hand.", "A library lends books to everyone."],
    "bread": ["Bread is made from flour, water, salt and yeast.", "The yeast makes little bubbles, so the dough rises.", "People have baked bread for thousands of years.", "It tastes best while it's still a little warm."],
    "cheese": ["Cheese is made from milk.", "It has holes when little bubbles of gas form inside.", "There are hundreds of kinds, soft and hard.", "Some cheese has to rest for many months."],
    "chocolate": ["Chocolate is made from the beans of the cocoa tree.", "The beans are dried, roasted and ground.", "With milk and sugar it becomes sweet.", "Dogs must never eat it."],
    "tea": ["Tea is made from dried leaves and hot water.", "It comes from a bush that grows in warm hills.", "Green and black tea come from the same plant.", "Many people drink it with milk or lemon."],
    "coffee": ["Coffee is made from roasted beans.", "It helps people wake up.", "The beans grow on small trees in warm countries.", "Some like it black and some with milk."],
    "milk": ["Milk comes from cows, goats and sheep.", "It's good for bones and teeth.", "Butter, cheese and cream are made from it.", "It stays fresh in a cold place."],
    "money": ["People use money to buy things instead of swapping them.", "It can be coins, notes or just numbers in a bank.", "Long ago people paid with shells or salt.", "It's wise to save a little of it."],
    "colours": ["Colours are how our eyes see different kinds of light.", "Red, yellow and blue can be mixed into many others.", "A rainbow shows them all in a row.", "Bright colours can lift our mood."],
    "families": ["A family is people who belong together and care for each other.", "Families can be big or small.", "They share meals, stories and worries.", "Every family has its own little ways."],
    "schools": ["A school is a place where children learn together.", "They learn to read, write and count there.", "Many make their first friends at school.", "Teachers help them find answers."],
    "puddles": ["A puddle is a little pool that rain leaves behind.", "It goes away when the sun dries it up.", "Children love to jump in puddles.", "Birds like to wash in them."],
    "socks": ["Socks keep our feet warm and dry.", "They are made of wool or cotton.", "They often lose their partner in the wash.", "Thick socks are best in winter."],
}  # fmt: skip

_WHY: dict[str, list[tuple[str, str]]] = {
    "horses": [("horses (sleep standing|sleep on their feet)", "So that they can run away quickly if something frightens them."), ("horses wear shoes", "The iron shoes protect their feet on hard roads.")],
    "cats": [("cats purr", "Cats purr when they feel safe and happy, and sometimes to calm themselves."), ("cats sleep so much", "They save their strength for hunting, so they sleep a lot."), ("cats lick themselves", "They lick their fur to keep it clean.")],
    "dogs": [("dogs (bark|bark at night)", "Dogs bark to warn us or to say that something excites them."), ("dogs wag their tails", "A dog wags its tail to show how it feels, mostly that it's happy."), ("dogs dig holes", "They dig to hide things or just for fun.")],
    "bees": [("bees (make honey|need honey)", "Bees make honey so that they have food in winter."), ("bees (buzz|hum)", "Their wings move so fast that the air hums."), ("bees sting", "Bees sting only to protect themselves and their home.")],
    "whales": [("whales (sing|make sounds)", "Whales sing to find and call each other in the wide sea."), ("whales come up", "They come up because they need air to breathe.")],
    "birds": [("birds (sing|sing in the morning)", "Birds sing to find a partner and to say that a place is theirs."), ("birds fly south", "They fly south because there is more food and it's warmer."), ("birds don't fall off the branch", "Their toes lock around the branch when they sit down.")],
    "bears": [("bears sleep (in winter|all winter)", "There is little food in winter, so bears sleep to save strength.")],
    "trees": [("(trees lose their leaves|leaves fall|leaves turn red)", "In autumn there is less light, so trees let their leaves go to save water."), ("trees have bark", "The bark protects the tree like a skin.")],
    "flowers": [("flowers smell [so good|sweet]", "Their smell calls bees and other insects."), ("flowers have colours", "The colours show insects where to find food.")],
    "rain": [("(it rains|it has to rain|rain falls)", "It rains when the drops in a cloud get too heavy to float.")],
    "snow": [("snow is (white|so white)", "Snow is white because its little crystals send back all the light."), ("snow (melts|disappears)", "It melts because warm air turns it back into water.")],
    "wind": [("(the wind blows|wind blows|it's windy)", "Wind blows because warm air rises and cooler air moves in.")],
    "the sea": [("the sea is (salty|so salty)", "Rivers carry salt from the rocks into the sea."), ("the sea is blue", "Water swallows red light and lets blue light through."), ("the sea has waves", "The wind pushes the water into waves.")],
    "the moon": [("the moon (changes|changes its shape|looks different)", "We see a different part of it lit by the sun each night."), ("the moon shines", "The moon shines because it mirrors the light of the sun.")],
    "the sun": [("the sun is (hot|so hot)", "The sun is a star that makes heat deep inside."), ("the sun goes down", "The earth turns, so our side moves away from the sun.")],
    "stars": [("stars (twinkle|blink)", "Stars twinkle because their light passes through moving air."), ("(we can't see stars|stars hide) in the day", "The sun makes the sky too bright to see them.")],
    "sleep": [("(we|people|I) (sleep|need sleep|have to sleep)", "We sleep so that body and mind can rest and grow."), ("(people|we) yawn", "We yawn when we are tired or bored, and nobody knows quite why.")],
    "dreams": [("(we|people) dream", "In dreams the mind sorts what we have seen and felt.")],
    "music": [("music makes (us|people) happy", "Music wakes feelings and memories in our brain.")],
    "bread": [("bread (rises|has holes)", "The yeast makes bubbles that lift the dough.")],
    "cheese": [("cheese has holes", "Little bubbles of gas make the holes while the cheese rests.")],
    "chocolate": [("chocolate melts", "The butter in it turns soft near the warmth of your hand.")],
    "coffee": [("coffee (wakes us up|keeps people awake)", "Coffee holds something that keeps the brain from feeling tired.")],
    "money": [("(people|we) need money", "We need it to buy things that we cannot make ourselves.")],
    "socks": [("socks (disappear|go missing|get lost)", "They hide in sleeves and under beds, or stay in the washing machine.")],
    "puddles": [("puddles (dry up|go away|disappear)", "The sun warms the water, and it rises into the air.")],
}  # fmt: skip

_ABOUT = [
    "(tell me|tell us|can you tell me|could you tell me) [something|more|a bit|everything] about {topic}",
    "tell me (everything|all) [you know] about {topic}",
    "what do you know about {topic}",
    "(explain|describe) {topic} [to me]",
    "I want to (know|hear) (something|more|everything) about {topic}",
    "(give me|I want) (all the details|the whole story|a long story) about {topic}",
    "(my son|my daughter|{topic} again, my sister) (asks|wants to know) about {topic}",
    "talk (to me|) about {topic} [for a while]",
    "what('s| is) (so special|interesting) about {topic}",
    "say something about {topic}",
    "let's talk about {topic}",
    "(do you know anything|what can you say) about {topic}",
    "(what makes|why do people like|why are people fond of) {topic} [special]",
]
_WHAT_IS = [
    "(what is|what's) {topic} [exactly|anyway]",
    "(can you|please) explain what {topic} is",
    "what does {topic} mean",
]
_WHAT_ARE = ["what are {topic} [exactly|like]", "(can you|please) explain what {topic} are"]

HOW_TO: dict[str, list[str]] = {
    "make (tea|a cup of tea)": ["Boil water, pour it over the tea and let it stand for a few minutes. Then add milk if you like.", "Pour hot water over a tea bag and wait about four minutes."],
    "make toast": ["Put a slice of bread in the toaster and wait until it is golden. Then add butter.", "Toast the bread until it's golden, then butter it while it's warm."],
    "make soup": ["Cut some vegetables, cook them in water with salt until they are soft, and add herbs.", "Fry an onion, add vegetables and water, and let it simmer until everything is soft."],
    "make a sandwich": ["Butter two slices of bread and put cheese, ham or salad between them.", "Take two slices of bread, add what you like in the middle, and press them together."],
    "(bake|make) bread": ["Mix flour, water, salt and yeast, let the dough rise, and bake it until it's brown.", "Knead a dough of flour, yeast and water, let it rest for an hour, then bake it."],
    "wash (wool|a wool jumper)": ["Wash wool by hand in cool water with a little mild soap, and let it dry flat.", "Use cool water and gentle soap, don't rub it, and dry it flat."],
    "water (plants|my plants|the plants)": ["Water them when the earth feels dry, slowly and near the roots.", "Give them water in the morning, and only when the top of the earth is dry."],
    "clean (a window|the windows|windows)": ["Wash the glass with warm water and a little soap, then dry it with a soft cloth.", "Wipe it with soapy water and dry it with old newspaper or a cloth."],
    "fold (a shirt|my shirts)": ["Lay it face down, fold both sides to the middle, and fold the bottom up.", "Button it, lay it flat, turn the sleeves in and fold it in half."],
    "tie (a bow|my shoes)": ["Make a loop with one end, wind the other around it, push it through and pull.", "Make two loops, cross them, pull one under the other and pull tight."],
    "(fall asleep|get to sleep|fall asleep faster)": ["Make the room dark and quiet, breathe slowly, and think of something calm.", "Put your phone away, lie still and count your breaths."],
    "(stop hiccups|get rid of hiccups)": ["Hold your breath for a moment, or drink a glass of water slowly.", "Try to hold your breath and count to ten. Often that's enough."],
    "plant (a seed|seeds)": ["Push it a little way into soft earth, water it, and put it in a light place.", "Make a small hole, drop the seed in, cover it with earth and keep it wet."],
    "feed (a cat|the cat|a kitten)": ["Give it cat food twice a day and fresh water, but no milk.", "Put down a small bowl of cat food in the morning and evening, with fresh water."],
}  # fmt: skip
_HOW = [
    "how do I {do}", "how (do you|do people|can I|should I|does one) {do}", "(what's|what is) the best way to {do}", "(can you|could you|please) (tell me|explain|teach me|show me) how to {do}",
    "I (want|need|would like) to {do}, how does (that|it) work", "(explain|tell me|teach me) how to {do} [properly]", "what do I need to {do}", "any tips on how to {do}",
    "I don't know how to {do}", "help me [to] {do}", "how to {do}", "is it hard to {do}", "I've never learned how to {do}", "(tell me everything|give me all the details) about how to {do}",
]  # fmt: skip


def about(rng: Random) -> AnsweredRequest:
    """Tell me about, and what is."""
    topic = rng.choice(sorted(TOPICS))
    patterns = _ABOUT
    if rng.random() < 0.3:
        plural = topic.endswith("s")
        patterns = _WHAT_ARE if plural else _WHAT_IS
    user = pick(rng, patterns, topic=topic)
    asks = user.split()[0] in {"what", "what's", "do", "can", "could", "why"}
    facts = TOPICS[topic]
    count = rng.choice([1, 1, 2, 2, 2, 3])
    chosen = [facts[0], *rng.sample(facts[1:], count - 1)] if rng.random() < 0.7 else rng.sample(facts, count)
    reply = " ".join(sorted(chosen, key=facts.index))
    thought = pick(
        rng,
        [
            "A question about {topic}. A few plain sentences will do.",
            "I say something short about {topic}.",
            "{topic}: I know enough about that.",
            "No tool is needed. I tell a little about {topic}.",
        ],
        topic=topic,
    )
    return AnsweredRequest("topics.about", user, _lead(reply, topic), sentence(thought), question=asks)


def _lead(reply: str, topic: str) -> str:
    """A fact that begins with "They" or "It" would hang in the air at the start of an answer."""
    first = reply.split()[0]
    if first in {"They", "It", "It's", "Its"}:
        name = sentence(topic, "")
        if first == "They":
            return name + reply[4:]
        if first == "It's":
            return f"{name} is{reply[4:]}"
        if first == "It":
            return name + reply[2:]
        return f"About {topic}: {reply[:1].lower() + reply[1:]}"
    return reply


def why(rng: Random) -> AnsweredRequest:
    """Why cats purr and the sea is salty."""
    topic = rng.choice(sorted(_WHY))
    clause, answer = rng.choice(_WHY[topic])
    clause = pick(rng, [clause])
    subject_first = pick(
        rng,
        ["why is it that {clause}", "do you know why {clause}", "(can you|could you) (tell me|explain) why {clause}", "(tell me|explain|I wonder) why {clause}",
         "my (son|daughter|brother) asks why {clause}", "what is the reason that {clause}", "how come {clause}"],
        clause=clause,
    )  # fmt: skip
    user = subject_first
    words = clause.split()
    if rng.random() < 0.4 and topic.endswith("s") and words[0] == topic and words[1] not in {"don't", "hide"}:
        user = f"why do {clause}"
    elif " is " in clause and rng.random() < 0.5:
        subject, rest = clause.split(" is ", 1)
        user = f"why is {subject} {rest}"
    asks = not user.startswith(("tell", "explain", "I ", "my "))
    thought = pick(
        rng,
        [
            "A why question about {topic}. One reason is enough.",
            "I know why. I say it simply.",
            "The reason is short.",
        ],
        topic=topic,
    )
    return AnsweredRequest("topics.why", user, answer, sentence(thought), question=asks)


def how_to(rng: Random) -> AnsweredRequest:
    """How do I, answered in one to three sentences and never in steps."""
    task = rng.choice(sorted(HOW_TO))
    user = pick(rng, _HOW, do=pick(rng, [task]))
    asks = user.split()[0] in {"how", "what", "what's", "can", "could", "any", "is"} or "how does" in user
    thought = rng.choice(
        [
            "I explain it in one or two plain sentences.",
            "A how question. No list, only a sentence or two.",
            "I know how that is done. I keep it short.",
        ]
    )
    return AnsweredRequest("topics.how", user, rng.choice(HOW_TO[task]), thought, question=asks)


FAMILIES = {about: 5, why: 3, how_to: 4}


def topic(rng: Random) -> AnsweredRequest:
    """One question about everyday things."""
    return rng.choices(list(FAMILIES), weights=list(FAMILIES.values()))[0](rng)
