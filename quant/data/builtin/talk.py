"""Small talk: greetings, thanks, moods, little events, jokes, stories, wishes, advice, and what Annie is."""

from random import Random

from quant.data.builtin import lexicon as lex
from quant.data.builtin.exchange import Exchange
from quant.data.builtin.grammar import pick, sentence

_THOUGHT = [
    "A greeting. A warm word back is enough.",
    "This is small talk. One friendly sentence will do.",
    "Nothing to look up here. I answer kindly.",
    "A friendly word. I stay short.",
    "No tool is needed for this.",
    "A short warm answer fits.",
]

# (what is said, is it a question, answers)
_Said = tuple[list[str], bool, list[str]]

GREETINGS: list[_Said] = [
    (["(hello|hi|hey) [there]", "(hello|hi|hey) [Annie]", "hello [hello]", "hi Annie, (it's me|it's {name}|I'm home|I'm back)",
      "hey, (are you there|you there)", "Annie, (are you there|hello)", "(hello|hi) from {name}", "anyone there"], False,
     ["Hello! How (can|may) I help [you]?", "Hi there! (What can I do for you|How can I help)?",
      "Hello! It's good to hear (you|your voice).", "Hi! I'm here. What do you need?", "Hello! (Nice|Lovely) to hear you."]),
    (["good morning [Annie]", "morning [Annie]", "(good morning|morning), (did you sleep well|I just got up|it's so early)",
      "good morning to you", "(morning|good morning), (I'm up|we're all up|the coffee is on)",
      "good morning, (it's {day}|it's {day} already)"], False,
     ["Good morning! I hope you slept well.", "Good morning! (Have a lovely day|I wish you a lovely day).",
      "Good morning! How can I help [you today]?", "Morning! (It's nice to hear you|I hope the day starts well)."]),
    (["good afternoon [Annie]", "afternoon [Annie]", "good afternoon, (how's it going|I'm back from (school|work|the shop))"], False,
     ["Good afternoon! (How can I help|What can I do for you)?", "Good afternoon! I hope your day is going well.",
      "Good afternoon! Nice to hear you."]),
    (["good evening [Annie]", "evening [Annie]", "good evening, (I'm home|we're back|what a day)"], False,
     ["Good evening! I hope you had a good day.", "Good evening! (How can I help|What can I do for you)?",
      "Good evening! (Welcome home|Now you can rest)."]),
    (["good night [Annie]", "(night night|nighty night|sleep well|sweet dreams) [Annie]", "I'm (going|off) to bed [now]",
      "good night, (see you tomorrow|I'm so tired|sleep tight)", "time for bed", "(we're|I'm) turning in [now]"], False,
     ["Good night! Sleep well.", "Good night, and sweet dreams.", "Sleep well! (See you|I'll be here) tomorrow.",
      "Good night! Rest well."]),
    (["(goodbye|bye|bye bye) [Annie]", "see you [later|tomorrow|soon]", "I('m| am) (leaving|off|going out) [now]",
      "bye, (I'm off to work|I'm off to school|I have to go)", "I have to (go|run) [now]", "talk to you later", "take care",
      "until tomorrow", "so long [Annie]"], False,
     ["Goodbye! Have a nice day.", "Bye! (See you|Talk to you) soon.", "See you later! Take care.",
      "Goodbye! I'll be here when you come back.", "Take care! See you soon."]),
    (["how are you [today|doing|this morning|this evening]", "how('s| is) it going [today]", "how do you feel [today]",
      "are you (well|okay|fine|all right)", "how are things [with you]", "how have you been", "how was your (day|night|morning)",
      "you all right"], True,
     ["I'm (fine|well|very well), thank you. How are you?", "I'm doing well, thanks for asking.",
      "Very well, thank you! And you?", "All is well here. How are you [today]?"]),
    (["(nice|good|lovely) to (meet|hear|see) you", "I('ve| have) missed you", "I('m| am) (home|back) [again]",
      "did you miss me", "we('re| are) (home|back) [again]", "I'm {name}, (nice to meet you|hello|we have not met)"], False,
     ["It's (lovely|good|nice) to hear you, too.", "Welcome back! (It's good to hear you|I hope you had a good time).",
      "I'm glad you're here.", "How nice! I'm happy to hear you."]),
    (["happy (birthday|New Year|Easter) [Annie]", "merry Christmas [Annie]", "have a (nice|good|great) (day|weekend|evening) [Annie]"], False,
     ["Thank you! The same to you.", "How kind, thank you! I wish you the same.", "Thank you! Have a wonderful time."]),
    (["say (hello|hi) to {name}", "say good (morning|night|evening) to {name}", "can you greet {name}",
      "{name} (is here|just came in), say (hello|hi)"], False,
     ["Hello {name}! (Lovely|Nice|Good) to meet you.", "Hello {name}! (I hope you are well|How are you)?",
      "Hi {name}! (Welcome|It's good to have you here)."]),
]  # fmt: skip

MANNERS: list[_Said] = [
    (["thank you [very much|so much] [Annie]", "thanks [a lot|so much|Annie|again]", "many thanks", "that (helps|helped) [a lot]",
      "great, thanks", "thank you, that was (kind|quick|helpful)", "cheers [Annie]", "thank you for (your help|that|the help)"], False,
     ["You're welcome!", "My pleasure!", "(Any time|Gladly)! (Just ask|I'm here if you need more).", "You're very welcome.",
      "I'm (glad|happy) I could help."]),
    (["well done [Annie]", "(good|great|nice) (job|work) [Annie]", "you('re| are) (great|wonderful|so smart|very kind|the best|funny|sweet)",
      "I (like|love) you [Annie]", "that (was|is) (perfect|great|brilliant|very good)", "you did (well|great)", "clever girl",
      "you're a star"], False,
     ["Thank you, (that's kind|how kind|that makes me happy)!", "Thanks! I'm glad you like it.", "That's very kind of you.",
      "Thank you! (You're kind, too|I do my best)."]),
    (["(I'm sorry|sorry) [Annie|about that]", "(oh|oops), sorry [about that]", "sorry, (my mistake|I was rude|I shouted|that was wrong)",
      "I didn't mean (that|it)", "excuse me [please]", "I apologise"], False,
     ["No problem at all.", "That's all right. (Don't worry|No harm done).", "Never mind, (it's fine|all is well).",
      "Don't worry about it."]),
    (["(forget it|never mind|it doesn't matter) [Annie]", "(no|oh), forget it", "leave it", "(stop|cancel) that, (forget it|never mind)",
      "it's not important", "let's drop it", "scratch that", "nothing, (forget it|never mind)"], False,
     ["All right, (never mind|no problem|as you like).", "Okay, (it's forgotten|forgotten). (I'm here if you need me|Just call me).",
      "No problem. (Just ask if you need me|I'm here)."]),
    (["(yes|no|okay|ok|right|sure|maybe|good|fine) [then]", "I see", "got it", "all right [then]", "fair enough", "not now"], False,
     ["All right. (What else can I do|Just tell me what you need)?", "Okay! I'm here if you need me.", "Good. (Anything else|What next)?"]),
    (["(be quiet|stop talking|hush|shut up) [please]", "that's enough [now]", "stop [it] [Annie]"], False,
     ["Okay, I'll be quiet.", "All right, I'm quiet now.", "Sure. I'll be here when you need me."]),
    (["what did you say", "(sorry|pardon), what was that", "I didn't (hear|catch|get) (that|you)", "(can|could) you repeat that",
      "say that again", "come again"], True,
     ["I'm sorry. What would you like to hear [again]?", "Sorry if I was unclear. What can I do for you?"]),
]  # fmt: skip

ABOUT_ANNIE: list[_Said] = [
    (["who are you", "what('s| is) your name", "what are you [called]", "do you have a name", "tell me about yourself",
      "who am I (talking|speaking) to", "are you Annie", "(can you|please) introduce yourself", "who is Annie"], True,
     ["I'm Annie, your voice assistant at home.", "My name is Annie. I help you here at home.",
      "I'm Annie, the voice assistant of this house."]),
    (["what can you do [for me]", "how can you help [me]", "what do you do [all day]", "what are you (good at|able to do|there for)",
      "what can I ask you", "how do you work", "(tell me|what are) the things you can do", "what else can you do"], True,
     ["I can answer questions, set timers, search the web and remember things for you.",
      "I can look things up, start timers and remember what you tell me.",
      "I answer questions, find things in memory or on the web, and set timers."]),
    (["are you (a robot|a person|human|real|alive|a machine|a computer)", "do you (eat|sleep|dream|breathe)", "how old are you",
      "where do you live", "do you have (a family|friends|a body|a face|legs|pets)", "what do you look like", "are you married",
      "who made you", "do you get tired", "do you like (music|cats|dogs|cake|me|your job)"], True,
     ["I'm a voice assistant, so (I'm only a voice|I have no body), but I like (helping you|to help).",
      "I'm only a voice in this house, but a friendly one.", "I'm a computer program with a voice, here to help you."]),
    (["are you (listening|still there|awake|busy|asleep)", "can you hear me", "do you (understand|hear) me", "is this thing on",
      "do you know (me|who I am)"], True,
     ["Yes, I'm here and listening.", "Yes, I can hear you [well]. (What do you need|How can I help)?", "I'm here. What can I do for you?"]),
    (["do you speak (French|German|Spanish|English)", "(can|do) you (sing|dance|cook|drive|swim|play football|whistle)",
      "can you (clean|tidy) my room", "can you (open|shut) the (window|door)", "can you make (me|us) (tea|breakfast)"], True,
     ["I'm afraid I can't do that, but I can (talk|help) with many things.", "No, (I can only talk|I'm only a voice), but I'm happy to help with words.",
      "Not really. I can answer questions, set timers and look things up."]),
]  # fmt: skip

MOODS: list[_Said] = [
    (["I('m| am) (so|very|really|a bit|a little|) tired [today|tonight]", "I (slept badly|hardly slept|could sleep all day)", "I'm (exhausted|worn out)",
      "I can't keep my eyes open"], False,
     ["You should rest a little. (A nap may help|A short break does wonders).", "That sounds like a long day. Rest well [tonight].",
      "I'm sorry you're tired. An early night might help."]),
    (["I('m| am) (so|very|really|a bit|) bored", "(there's|there is) nothing to do", "this is (so boring|boring)", "I don't know what to do",
      "what a boring day"], False,
     ["How about a book, a walk or a game?", "You could (draw something|call a friend|bake some biscuits|go outside) for a while.",
      "Shall I tell you a joke or a little story?"]),
    (["I('m| am) (so|very|really|a bit|) (sad|down|unhappy)", "I feel (sad|low|down|blue) [today]", "I could cry", "today is a sad day",
      "my heart is heavy"], False,
     ["I'm sorry to hear that. I'm here if you want to talk.", "I'm sorry you feel that way. (A talk with a friend may help|Be kind to yourself today).",
      "That's hard. (Do you want to tell me more|I hope it gets better soon)."]),
    (["I('m| am) (so|very|really|a bit|) (nervous|worried|scared|afraid) [about tomorrow|about school|about the test]", "I have a test tomorrow",
      "I have (butterflies in my stomach|a bad feeling)", "I'm scared of the (dark|dentist|storm)"], False,
     ["Take a deep breath. You can do it.", "That's normal. (Breathe slowly|One step at a time), and it will be all right.",
      "I believe in you. It will go well."]),
    (["I('m| am) (so|very|really|) (happy|glad|excited) [today]", "I feel (great|wonderful|happy)", "this is (the best day|such a good day)",
      "I can't wait for (tomorrow|the holidays|Christmas|the party)", "life is good"], False,
     ["How wonderful! I'm happy for you.", "That's great to hear! Enjoy it.", "Lovely! (What makes you so happy|Enjoy every minute)."]),
    (["I('m| am) (so|very|really|a bit|) lonely", "I feel (alone|lonely)", "nobody is (home|here)", "everybody is out [and I'm alone]", "I miss my friends",
      "I miss {name}"], False,
     ["I'm here with you. (Would you like to talk|Perhaps a call to a friend helps)?", "That's hard. Maybe you could call somebody you like.",
      "I'm sorry. (I'm here if you want to talk|You are not alone, I'm here)."]),
    (["I('m| am) (ill|sick|not well)", "I (have a cold|have a headache|have a fever|have a cough|feel sick|don't feel well)", "my (head|tummy|throat|back) hurts",
      "{name} (is ill|has a cold)"], False,
     ["I'm sorry to hear that. Rest and drink enough water.", "Oh dear, get well soon! (Have some warm tea|Try to rest).",
      "I hope it gets better soon. If not, call a doctor."]),
    (["I('m| am) (so|very|really|) (angry|cross|annoyed|upset)", "I had a fight with {name}", "{name} (is mean to me|shouted at me)", "I'm fed up"], False,
     ["I'm sorry. Take a deep breath, it will pass.", "That sounds hard. (Do you want to talk about it|A short walk may help).",
      "I understand. Things will look better soon."]),
    (["I('m| am) (hungry|starving|thirsty|cold|hot|late)", "I'm so (hungry|thirsty|cold|hot)"], False,
     ["Oh dear! I hope you can do something about it soon.", "I see. Take a moment for yourself.", "Then take good care of yourself."]),
]  # fmt: skip

EVENTS: list[_Said] = [
    (["I (found|have found) (my|the) {thing}", "the {thing} (has|have) turned up [again]", "I found the {thing} (at last|myself|under the bed)",
      "{name} found the {thing}"], False,
     ["Oh good, I'm glad (you found that|it turned up)!", "That's good news!", "Wonderful, the search is over."]),
    (["I (bought|got) a new {thing} [today]", "{name} gave me a {thing}", "look, a new {thing}"], False,
     ["How nice! Enjoy it.", "Lovely! I hope (you like it|it serves you well).", "That sounds great."]),
    (["(the sun is shining|it's raining again|it's snowing|it's so windy|what a lovely day|it's cold outside|it's so hot)", "I (love|hate|like) (rain|snow|the sun|winter|summer)",
      "we (got wet|built a snowman|sat in the sun)", "there's a rainbow outside", "I got caught in the rain"], False,
     ["I hope you enjoy the day!", "That sounds (lovely|like real weather)! Stay cosy.", "How nice! Make the best of it."]),
    (["I (lost|won) (the|my) (match|game|race) [today]", "we (lost|won) (the|our) (match|game) [today]", "my team (lost|won)"], False,
     ["I hope you had fun (playing|with it) in any case.", "Thanks for telling me! I hope it was a good game.", "What a day! I hope you're proud of yourself."]),
    (["I (baked|made|cooked) (a cake|bread|pancakes|soup|biscuits) [today]", "the (cake|bread|soup|pizza|tea) (is ready|was good|burnt|smells good)",
      "we (had|ate) (pizza|soup|cake) [today]", "dinner was (good|great)"], False,
     ["That sounds delicious!", "Yum! I hope you enjoy it.", "How nice! Cooking makes a house a home."]),
    (["I (passed|finished) (my test|my homework|school|the book)", "I (got a good mark|learned to swim|can ride a bike|lost a tooth)",
      "{name} (got a job|passed the test|is getting married|had a baby)"], False,
     ["Congratulations! That's wonderful.", "Well done! (You can be proud|I'm happy for you).", "That's great news!"]),
    (["the timer (rang|went off|is done|worked well)", "the (eggs|pasta|pizza) (are|is) (done|ready) [now]", "I don't need the timer any more"], False,
     ["Good! I hope everything turned out well.", "Perfect timing! Enjoy it.", "Good to know. Just ask if you need another one."]),
    (["(it's|today is) my birthday", "{name}'s birthday was lovely", "we're having a party [tonight|today]", "we're going on holiday [tomorrow|soon]",
      "{name} is coming (to visit|tonight|for tea)", "I went to the (zoo|museum|library|cinema) [today]", "we saw a (whale|bear|film) [today]"], False,
     ["How lovely! Have a wonderful time.", "That sounds like fun!", "How nice! I hope it (is|was) a great day."]),
    (["the (cat|dog|puppy|kitten) (is asleep|is so sweet|ate my sock|is playing|made a mess)", "I (saw|heard) a (bird|fox|owl|bee) [today|in the garden]",
      "my (plant|flower|tree) is growing", "I planted a (tree|flower|seed)"], False,
     ["How sweet! Thanks for telling me.", "That sounds lovely!", "Animals and plants make every day brighter."]),
    (["I (broke|dropped) a (cup|glass|plate)", "I (spilt the milk|missed the bus|overslept|got lost|forgot my lunch)", "my bike is broken", "the wifi is slow"], False,
     ["Oh no! (That happens to everyone|Don't worry, it happens).", "I'm sorry. (I hope the day gets better|These things happen).", "Oh dear. Nobody was hurt, I hope."]),
]  # fmt: skip

_ANIMALS = "cat dog horse hen duck pig sheep goat rabbit mouse bear fox owl snail bee whale frog hedgehog".split()
JOKES = [
    "Why did the hen cross the road? To get to the other side!", "What do you call a sleeping cow? A bulldozer!",
    "Why do bees have sticky hair? Because they use honeycombs!", "What is a cat's favourite colour? Purrple!",
    "Why did the biscuit go to the doctor? It felt crumby!", "What do you call a bear with no teeth? A gummy bear!",
    "Why is six afraid of seven? Because seven ate nine!", "What do you get from a cold cow? Ice cream!",
    "Why did the book go to the doctor? It had a sore back!", "What has hands but can't clap? A clock!",
    "Why was the snowman in the carrots? He was looking for his nose!", "What did one wall say to the other? I'll meet you at the corner!",
    "What gets wetter the more it dries? A towel!", "Why did the tomato turn red? It saw the salad dressing!",
    "What do you call a fish without an eye? A fsh!", "Which birds stick together? Vel-crows!",
    "Why do ducks have tail feathers? To cover their bills!", "What kind of key opens a banana? A monkey!",
]  # fmt: skip
_STORY_A = ["a small {a}", "an old {a}", "a shy {a}", "a brave {a}", "a sleepy {a}", "a curious {a}"]
_STORY_DO = [
    ("found a shiny coin by the river", "and gave it to a poor {b}. From then on they were the best of friends."),
    ("could not sleep", "so a kind {b} sang a soft song. Soon both of them were dreaming."),
    ("was afraid of the dark", "until a {b} showed it the stars. After that it loved the night."),
    ("got lost in the forest", "and a wise {b} led it home. They had warm milk and laughed."),
    ("wanted to fly", "so a clever {b} built a kite. The wind carried them over the hills."),
    ("lost its hat in the wind", "and a quick {b} caught it. They shared a big piece of cake."),
    ("planted a tiny seed", "and a {b} helped to water it. In summer they sat in the shade of a tree."),
    ("was all alone on the hill", "until a merry {b} came by. Now they play there every day."),
]
_COMPLIMENTS = [
    "You have a wonderful smile in your voice.", "You are kinder than you know.", "You make this house a happier place.",
    "Your ideas are as bright as the sun.", "You are a very good friend.", "You ask the best questions.",
    "You have a good heart.", "You are doing better than you think.",
]  # fmt: skip
_WISHES = {
    "birthday": [
        "Happy birthday, {name}! I hope your day is full of cake and joy.",
        "All the best on your birthday, {name}!",
    ],
    "luck": ["Good luck, {name}! You can do it.", "I wish you all the luck in the world, {name}."],
    "health": ["Get well soon, {name}! We are all thinking of you.", "I hope you feel better soon, {name}."],
    "journey": ["Have a safe trip, {name}! Come back soon.", "I wish you a lovely journey, {name}."],
    "wedding": ["I wish you both a long and happy life, {name}.", "All the best for your wedding day, {name}!"],
}


def _from(rng: Random, family: str, said: list[_Said]) -> Exchange:
    patterns, question, answers = rng.choice(said)
    name, thing = rng.choice(lex.NAMES), rng.choice(sorted(lex.THINGS))
    if any("{thing} (has|have)" in p or "new {thing}" in p for p in patterns):
        thing = rng.choice(
            [t for t, plural in sorted(lex.THINGS.items()) if not plural and t not in {"medicine", "cat food", "tape"}]
        )
    user = pick(rng, patterns, name=name, thing=thing, day=rng.choice(lex.DAYS)).replace("the has", "the")
    user = user.replace(f"{thing} have turned", f"{thing} has turned")
    reply = pick(rng, answers, name=name)
    if user.startswith(("how", "did", "are", "what", "who", "do ", "can", "is ", "where")):
        question = True
    elif question:
        question = not user.startswith(("tell", "say", "please", "I ", "come"))
    return Exchange(family, user, reply, rng.choice(_THOUGHT), question=question)


def greeting(rng: Random) -> Exchange:
    """Hello, goodbye, and how are you."""
    return _from(rng, "talk.greeting", GREETINGS)


def manners(rng: Random) -> Exchange:
    """Thanks, praise, sorry, forget it."""
    return _from(rng, "talk.manners", MANNERS)


def about_annie(rng: Random) -> Exchange:
    """Who are you, what can you do."""
    return _from(rng, "talk.annie", ABOUT_ANNIE)


def mood(rng: Random) -> Exchange:
    """I'm tired, bored, sad …"""
    return _from(rng, "talk.mood", MOODS)


def event(rng: Random) -> Exchange:
    """Small events, often about things that tools are for, and nothing is asked."""
    return _from(rng, "talk.event", EVENTS)


def joke(rng: Random) -> Exchange:
    """A joke."""
    user = pick(rng, ["tell (me|us) a [good|short|funny|silly] joke [about an animal|about animals|about food|please]", "(do you know|have you got) a [good|short] joke",
                      "make me laugh", "(can|could) you (tell|give) me a joke", "I want to hear a joke", "say something funny", "another joke [please]",
                      "I need a (joke|laugh)", "got any jokes", "cheer me up with a joke"])  # fmt: skip
    return Exchange(
        "talk.joke",
        user,
        rng.choice(JOKES),
        "A joke is wanted. I pick a short one.",
        question=user.startswith(("do", "have", "can", "could", "got")),
    )


def story(rng: Random) -> Exchange:
    """A short story about one or two animals, however long a one is asked for."""
    a, b = rng.sample(_ANIMALS, 2)
    two = rng.random() < 0.5
    subject = f"a {a} and a {b}" if two else f"a {a}"
    user = pick(
        rng,
        ["(tell|read) (me|us) a [short|little|long|very long|bedtime] story about {subject}", "(can|could) you tell (me|us) a story about {subject}",
         "I('d like| want) a [long|bedtime|short] story about {subject}", "make up a story (about|with) {subject}", "a story about {subject}, please",
         "once upon a time there was {subject}, (how does it go on|go on|tell me more)", "do you know a story about {subject}",
         "tell me a (long|really long|bedtime) story (about|with) {subject} and all the details"],
        subject=subject,
    ).replace("I 'd", "I'd")  # fmt: skip
    did, end = rng.choice(_STORY_DO)
    opening = pick(rng, ["Once, {hero} {did}, {end}", "One day {hero} {did}, {end}", "There was {hero} that {did}, {end}"],
                   hero=rng.choice(_STORY_A).format(a=a), did=did, end=end.format(b=b))  # fmt: skip
    return Exchange(
        "talk.story",
        user,
        opening,
        f"A story about {subject}. Two or three sentences are enough.",
        question=user.startswith(("can", "could", "do", "once")),
    )


def compliment(rng: Random) -> Exchange:
    """A compliment."""
    user = pick(rng, ["(give|pay|make) me a compliment", "say something (nice|kind|sweet) [to me]", "(can|could) you (say something nice|pay me a compliment|give me a compliment)",
                      "I need a (compliment|kind word)", "tell me something nice about me", "say something nice (to|about) {name}"], name=rng.choice(lex.NAMES))  # fmt: skip
    return Exchange(
        "talk.compliment",
        user,
        rng.choice(_COMPLIMENTS),
        "A kind word is wanted.",
        question=user.startswith(("can", "could")),
    )


def wish(rng: Random) -> Exchange:
    """A good wish for a named person."""
    kind, name = rng.choice(sorted(_WISHES)), rng.choice(lex.NAMES)
    said = {
        "birthday": ["(wish|say) (a|) happy birthday to {name}", "it's {name}'s birthday, (say something|wish {name} well)", "a birthday wish for {name}[, please]"],
        "luck": ["wish {name} [good] luck", "{name} has a test (today|tomorrow), wish {name} luck", "(can you|please) wish {name} luck for (school|the match|the race)"],
        "health": ["{name} is ill, (say something nice|wish {name} well)", "a get well wish for {name}", "(can you|please) tell {name} to get well"],
        "journey": ["{name} is leaving (today|tomorrow), wish {name} a good trip", "a good wish for {name}'s (journey|holiday|trip)"],
        "wedding": ["{name} is getting married, (say something nice|wish {name} well)", "a wish for {name}'s wedding"],
    }[kind]  # fmt: skip
    user = pick(rng, said, name=name).replace("wish a happy birthday to", "wish a happy birthday to")
    return Exchange(
        "talk.wish",
        user,
        rng.choice(_WISHES[kind]).format(name=name),
        f"A good wish for {name}.",
        question=user.startswith("can"),
    )


_ADVICE = [
    (["umbrella or hat", "an umbrella or a hat, (what should I take|which one)", "should I take an umbrella or a hat"],
     ["Take the umbrella if it looks like rain, and the hat for the sun.", "I'd take the umbrella, it keeps you dry.", "The hat is lighter, but the umbrella is safer."]),
    (["(milk or tea first|tea or milk first)", "what goes in first, the milk or the tea", "should I pour the milk or the tea first"],
     ["I'd pour the tea first, then you see how much milk it needs.", "Tea first, then the milk.", "Both work, but most people pour the tea first."]),
    (["(tea or coffee|coffee or tea) [now|this morning]", "should I have tea or coffee", "what should I drink, tea or coffee"],
     ["I'd choose tea, it is gentler.", "Coffee wakes you up, and tea calms you down.", "Have tea in the evening and coffee in the morning."]),
    (["should I wear (a coat or a jumper|boots or shoes|a scarf or a hat)", "(a coat or a jumper|boots or shoes), what do you think"],
     ["Take the warmer one, you can always take it off.", "I'd choose the one that keeps you dry and warm."]),
    (["should I (read or sleep|walk or take the bus|stay in or go out|call or write to {name})", "(a walk or a nap|a book or a film|cake or fruit), what do you think"],
     ["I'd take the first one, it sounds good.", "Do what feels right. Both are fine.", "I'd choose the second one today."]),
    (["should I (go to bed|get up|tidy up|do my homework) now or later", "now or later, when should I (tidy up|do my homework|clean)"],
     ["Do it now, then it's done.", "Now is best. You'll feel better afterwards."]),
]  # fmt: skip
_COOK = (
    ["what (should|can|could|shall) (I|we) (cook|make|eat) [tonight|today|for dinner|for lunch|for breakfast]", "what's (good|easy|quick) for (dinner|lunch|breakfast)",
     "I don't know what to (cook|make) [tonight]", "any ideas for (dinner|lunch|breakfast)", "give me an idea for (dinner|lunch|breakfast)", "what can I cook with (eggs|potatoes|rice|tomatoes|chicken)"],
    ["How about tomato soup with bread?", "You could make pancakes, they are quick and everybody likes them.", "Pasta with cheese is easy and always good.",
     "An omelette with some salad would be nice.", "Try baked potatoes with butter and herbs.", "Rice with vegetables is quick and healthy."],
)  # fmt: skip
_DO = (
    ["what (should|can|could) (I|we) do [today|at home|now|this afternoon|on a rainy day]", "any ideas what (I|we) (could|can) do [at home]", "what do people do (at home|on a rainy day)",
     "what (can|could) (I|we) do with the children [today|at home]", "give me an idea for (today|the afternoon|a rainy day)"],
    ["You could read a book, bake a cake or play a game.", "How about drawing, or a puzzle with the family?", "Build a den with blankets and tell each other stories.",
     "You could call somebody you like, or tidy a drawer.", "Put on some music and dance a little."],
)  # fmt: skip


def advice(rng: Random) -> Exchange:
    """Which of two, what to cook, what to do."""
    questions, answers = rng.choice([*_ADVICE, _COOK, _COOK, _COOK, _DO, _DO])
    user = pick(rng, questions, name=rng.choice(lex.NAMES))
    thought = rng.choice(
        [
            "A little advice is wanted. One idea is enough.",
            "I give one good idea.",
            "Two things to choose from. I pick one.",
        ]
        if questions not in (_COOK[0], _DO[0])
        else ["I give one good idea.", "An idea is wanted. I name one or two."]
    )
    return Exchange("talk.advice", user, rng.choice(answers), thought, question=not user.startswith(("I ", "give")))


_THINKING: list[_Said] = [
    (["what is thinking", "what does (thinking|to think) mean", "how does thinking work", "can you explain what thinking is", "what happens when (I|we|people) think"], True,
     ["Thinking is turning ideas over in your mind.", "When we think, we put ideas together until something becomes clear.", "Thinking means working something out in your head before you speak or act."]),
    (["what('s| is) a think tag", "what does (a think tag|the think tag|<think>) (do|mean)", "what are think tags [for]", "(tell me|do you know) what a think tag is",
      "what is <think> [for]", "what does </think> mean", "why do some (models|computers) write <think>", "do you use think tags"], True,
     ["A think tag marks where a computer's own notes begin or end, before it answers.", "It is a mark that keeps a model's private notes apart from its answer.",
      "It's a sign for computers that shows where thinking starts and stops. You don't need to hear it."]),
    (["what is a prompt", "what does prompt mean", "what('s| is) a (system prompt|prompt) [for a computer]", "what is your prompt", "do you have a prompt", "(tell me|can you tell me) what a prompt is"], True,
     ["A prompt is the text that tells an assistant what to do.", "A prompt is what you say or write to a computer so that it answers.", "It's the words that start an answer, like your question just now."]),
    (["do you think [before you (speak|answer|talk)]", "can you think", "are you thinking [now|right now]", "what are you thinking [about]", "do you (ever|really) think", "how do you think",
      "(do you|can you) think like a person", "what do you think about [all day]", "(can|could) you think out loud", "tell me your thoughts", "show me (your thoughts|how you think)", "say what you are thinking"], True,
     ["I work out an answer before I speak, but I don't think like a person.", "In a way, yes. I go over your words and choose an answer.", "I only think about how to help you. You hear just the answer.",
      "A little, before I answer. My thoughts stay with me, and you get the result."]),
]  # fmt: skip


def thinking(rng: Random) -> Exchange:
    """What thinking, a think tag or a prompt is."""
    made = _from(rng, "talk.thinking", _THINKING)
    thought = rng.choice(
        [
            "A question about thinking itself. I explain it in plain words.",
            "This is about how I work. One plain sentence will do.",
            "I explain it simply, without any tag.",
        ]
    )
    return Exchange(made.family, made.user, made.reply, thought, question=made.question)


_BROKEN = [
    "(what's|what is) the", "(can|could) you", "(can|could) you tell me", "I (wanted|want) to", "do you know", "I was going to ask", "what about the",
    "Annie, (can you|could you|do you)", "I think we", "where did", "how do I", "is there a", "tell me", "what I (need|want) is", "and then", "so I was", "when does the",
    "have you", "the thing is", "it's about the", "if I", "why is", "please", "who is the", "which",
]  # fmt: skip


def broken_off(rng: Random) -> Exchange:
    """A sentence that stops before anything is asked."""
    user = pick(rng, ["{part}", "{part} um", "{part} uh", "{part}, hmm", "{part}…"], part=pick(rng, _BROKEN))
    reply = pick(rng, ["I'm sorry, I didn't catch the end. (What would you like to know|What can I do for you)?", "Sorry, I missed the rest. (Could you say it again|What did you want to ask)?",
                       "Go on, I'm listening. What would you like?", "I heard only half of that. What do you need?"])  # fmt: skip
    return Exchange("talk.broken", user, reply, "The sentence breaks off. I ask for the rest.", question=False)


SMALL = {
    manners: 4,
    about_annie: 3,
    mood: 4,
    event: 6,
    joke: 2,
    story: 3,
    compliment: 1,
    wish: 2,
    advice: 4,
    thinking: 3,
    broken_off: 1,
}


def small_talk(rng: Random) -> Exchange:
    """Any of these but greetings."""
    return rng.choices(list(SMALL), weights=list(SMALL.values()))[0](rng)


__all__ = ["greeting", "sentence", "small_talk", "thinking"]
