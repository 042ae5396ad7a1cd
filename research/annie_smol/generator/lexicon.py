"""The names and things of the domain (docs/annie-smol-domain.md), and everyday values for what is open there."""
# ruff: noqa: SIM905 - a phrase is read best on one line, and a list of words as words

THINGS = {  # name -> whether it is a plural
    "keys": True, "passport": False, "umbrella": False, "glasses": True, "reading glasses": True, "charger": False,
    "torch": False, "scissors": True, "tape": False, "toolbox": False, "drill": False, "ladder": False,
    "sewing kit": False, "sleeping bag": False, "tent": False, "suitcase": False, "medicine": False,
    "library card": False, "lawnmower": False, "watering can": False, "Christmas lights": True, "camera": False,
    "headphones": True, "remote": False, "spare key": False, "candles": True, "batteries": True, "raincoat": False,
    "gloves": True, "scarf": False, "football": False, "tennis racket": False, "guitar": False, "violin": False,
    "bicycle pump": False, "dog lead": False, "cat food": False, "photo album": False, "wedding ring": False,
}  # fmt: skip

NAMES = (
    "Anna Ben Clara Daniel Emma Farah George Hannah Ivan Julia Karim Lena Maria Nora Oscar Paul Quinn Rosa Sam Tom Uma"
    " Victor Wendy Yusuf Zoe"
).split()
PARENTS = ["Mum", "Dad", "Grandma", "Grandpa"]
RELATIONS = "mother father sister brother wife husband son daughter aunt uncle neighbour boss".split()

FAVOURITES = {
    "cake": ["lemon cake", "carrot cake", "chocolate cake", "cherry cake", "cheesecake", "apple cake", "almond cake",
             "coffee and walnut cake", "banana bread", "gingerbread", "plum cake", "honey cake"],
    "song": ["Moonlit Harbour", "Seven Silver Swans", "The Road to Kilbride", "Blue Tambourine", "Paper Lanterns",
             "Winter in Calabria", "Old Juniper Tree", "Dance, Marigold", "Copper River", "Goodnight, Ramona"],
    "film": ["The Clockmaker's Daughter", "Three Days in Trieste", "Captain Bramble", "The Violet Express",
             "A Fox for Matilda", "Midnight in Marrakesh", "The Last Beekeeper", "Snow over Samarkand"],
    "flower": ["tulips", "white roses", "peonies", "sunflowers", "lavender", "daffodils", "lilies", "freesias",
               "bluebells", "chrysanthemums", "hyacinths", "snowdrops"],
    "tea": ["peppermint tea", "green tea", "Earl Grey", "camomile tea", "jasmine tea", "ginger tea", "Darjeeling",
            "rooibos", "Assam with milk", "fennel tea"],
    "colour": ["dark green", "yellow", "turquoise", "sky blue", "purple", "orange", "burgundy", "navy blue", "silver",
               "lilac", "crimson", "olive green"],
    "book": ["The Wind in the Willows", "Treasure Island", "The Lighthouse at Skerry Point", "Black Beauty",
             "The Secret Garden", "Letters from Zanzibar", "The Tinker's Parrot", "Heidi", "Pinocchio",
             "The Glass Orchard"],
    "game": ["chess", "dominoes", "hide and seek", "Scrabble", "backgammon", "draughts", "snap", "charades",
             "hopscotch", "bingo", "table tennis"],
    "restaurant": ["the Golden Pheasant", "Bella Napoli", "the Blue Door", "Chez Odile", "the Saffron House",
                   "the Old Anchor", "Taverna Elektra", "the Bamboo Garden", "Casa Montoya", "the Pickled Herring"],
    "ice cream": ["strawberry", "vanilla", "pistachio", "mint chocolate", "hazelnut", "raspberry ripple", "mango",
                  "salted caramel", "coconut", "blackcurrant", "rum and raisin"],
}  # fmt: skip

RECIPES = {
    "tomato soup": ["with basil and a spoon of sugar", "with roasted peppers", "with two carrots and some cream",
                    "with garlic and a bay leaf"],
    "pancakes": ["with buttermilk", "with two eggs and a pinch of salt", "with oat flour and honey",
                 "with grated apple"],
    "apple pie": ["with cinnamon and raisins", "with cloves and brown sugar", "with a crumble on top",
                  "with lemon and marzipan"],
    "lasagne": ["with spinach and ricotta", "with two layers of cheese", "with nutmeg in the sauce",
                "with mushrooms and thyme"],
    "curry": ["with coconut milk and turmeric", "with chickpeas and cumin", "with cardamom and yoghurt",
              "with sweet potatoes and coriander"],
    "bread": ["with rye flour and caraway seeds", "with honey and warm milk", "with walnuts",
              "with rosemary and sea salt"],
    "chicken soup": ["with ginger and noodles", "with barley and leeks", "with lots of parsley",
                     "with dumplings and dill"],
    "chocolate cake": ["with a cup of coffee in it", "with beetroot", "with ground almonds", "with sour cream"],
    "potato salad": ["with gherkins and mustard", "with spring onions and yoghurt", "with radishes and chives",
                     "with olives and capers"],
    "jam": ["with strawberries and rhubarb", "with plums and star anise", "with lemon juice and little sugar",
            "with blackberries and apples"],
}  # fmt: skip

SURNAMES = (
    "Okafor Lindqvist Marchetti Petrov Bakshi Fitzgerald Nakamura Dubois Oyelaran Haverkamp Castellanos Weatherby"
    " Szymanski Achterberg Pemberton Jankowski Thistlewood Varga Moreau Abernathy Kowalczyk Rasmussen Quintana"
    " Bellweather Trevithick Mukherjee Andersson Ferreira Goldstein Hargreaves"
).split()
STREETS = (
    "Chestnut Walpole Marigold Station Tannery Lavender Mulberry Bishop Harbour Juniper Wellington Cathedral Orchard"
    " Foxglove Magnolia Sycamore Quarry Windmill Elderberry Primrose"
).split()
PETS = (
    "Biscuit Marmalade Ziggy Pumpkin Nutmeg Pickles Bramble Mochi Waffles Tinkerbell Pepper Domino Hazel Truffle"
    " Clementine Sherlock Pixie Bilbo Saffron Olive"
).split()
BRANDS = {
    "guitar strings": ["Silverline light gauge", "Bronze Tenor medium", "nylon strings from Almansa",
                       "Thunderbird nines", "Larkspur coated strings", "Hummingbird elevens"],
    "coffee": ["Monte Verde dark roast", "Blue Kettle espresso", "Harrar beans", "Santa Lucia decaf",
               "Old Mill medium roast", "Carioca ground coffee"],
    "perfume": ["Jardin d'Hiver", "Amber Nocturne", "White Verbena", "Fleur de Sel", "Bergamot Sky", "Night Iris"],
    "running shoes": ["Strider Five in grey", "Cloudrunner in size seven", "Falcon Trail", "Aerolite Two in red",
                      "Peregrine with wide soles", "Gazelle Sprint"],
}  # fmt: skip
SIZES = {
    "shoe size": ["four", "five", "six", "six and a half", "seven", "eight", "nine", "ten", "eleven", "thirty-nine"],
    "shirt size": ["small", "medium", "large", "extra large", "fifteen and a half", "sixteen"],
    "ring size": ["J", "K", "L", "M and a half", "N", "P", "fifty-four", "fifty-six"],
}
ALLERGIES = ["peanuts", "shellfish", "strawberries", "pollen", "cat hair", "walnuts", "penicillin", "sesame", "wasps",
             "kiwi fruit", "cow's milk", "mustard", "dust", "hazelnuts"]  # fmt: skip

FURNITURE = ("drawer shelf cupboard box basket bag wardrobe bookcase cabinet chest desk sideboard crate tin").split()
LOOKS = "top bottom blue red green big small old wooden left right middle white grey second".split()
ROOMS = ["kitchen", "hall", "garage", "attic", "cellar", "bedroom", "bathroom", "study", "shed", "living room",
         "laundry room", "guest room", "porch", "nursery"]  # fmt: skip
SPOTS = [
    "on the hook by the front door", "under the stairs", "behind the sofa", "on top of the fridge",
    "next to the washing machine", "in the boot of the car", "on the windowsill", "under the sink",
    "in the pocket of the green coat", "on the kitchen table", "beside the piano", "under the bed",
    "behind the bedroom door", "in the glove compartment", "on the bedside table",
    "hanging in the porch", "at Grandma's house", "on the piano stool", "in the rucksack", "below the coats",
    "with the Christmas things", "in the rucksack by the door", "next to the bread bin", "on the mantelpiece",
]  # fmt: skip

MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth"
    " sixteenth seventeenth eighteenth nineteenth twentieth twenty-first twenty-second twenty-third twenty-fourth"
    " twenty-fifth twenty-sixth twenty-seventh twenty-eighth twenty-ninth thirtieth"
).split()

PLACES = [
    "London", "Paris", "Berlin", "Madrid", "Rome", "Oslo", "Dublin", "Vienna", "Lisbon", "Athens", "Prague", "Warsaw",
    "Helsinki", "Copenhagen", "Stockholm", "Amsterdam", "Brussels", "Zurich", "Edinburgh", "Manchester", "Bristol",
    "Cardiff", "New York", "Boston", "Chicago", "Toronto", "Sydney", "Tokyo", "Delhi", "Cairo",
]  # fmt: skip
SPORTS = ["football", "tennis", "cricket", "rugby", "basketball", "hockey"]
SHOPS = ["museum", "library", "zoo", "post office", "pool", "supermarket", "bank", "pharmacy", "bakery", "cinema"]
GOODS = {
    "petrol": ["a litre of petrol", "petrol"], "gold": ["gold", "an ounce of gold"],
    "bread": ["bread", "a loaf of bread"], "milk": ["milk", "a pint of milk", "a litre of milk"],
    "stamp": ["a stamp", "a first class stamp"], "train ticket": ["a train ticket", "a train ticket"],
}  # fmt: skip
WHEN = ["today", "tonight", "tomorrow", "at the weekend"]

CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin", "Portugal": "Lisbon",
    "Austria": "Vienna", "Greece": "Athens", "Ireland": "Dublin", "Norway": "Oslo", "Sweden": "Stockholm",
    "Denmark": "Copenhagen", "Finland": "Helsinki", "Poland": "Warsaw", "Belgium": "Brussels",
    "the Netherlands": "Amsterdam", "Hungary": "Budapest", "Japan": "Tokyo", "China": "Beijing",
    "India": "New Delhi", "Russia": "Moscow", "Egypt": "Cairo", "Canada": "Ottawa", "Mexico": "Mexico City",
    "Cuba": "Havana", "Peru": "Lima", "Argentina": "Buenos Aires", "England": "London",
    "the United States": "Washington",
}  # fmt: skip

TIMED = [
    "tea", "eggs", "pasta", "rice", "pizza", "cake", "bread", "soup", "potatoes", "chicken", "biscuits", "laundry",
    "nap", "homework", "break", "reading", "plants", "bath", "toast", "face mask",
]  # fmt: skip

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()


def in_words(number: int) -> str:
    """0 to 100 in English words."""
    if number == 100:
        return "a hundred"
    if number < 20:
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens] + (f"-{_ONES[ones]}" if ones else "")
