"""Made-up titles of books, films and songs: rare words that a call has to copy letter by letter, from a large stock.

4-bit weights break the copying of rare words first, and a short list of them would be learnt by heart instead.
"""
# ruff: noqa: SIM905 - lists of words as words

from random import Random

_LOOKS = (
    "Amber Crooked Velvet Emerald Forgotten Whispering Gilded Scarlet Hollow Wandering Sapphire Restless Ivory Tangled"
    " Midwinter Crimson Painted Drowsy Marble Silken Tattered Luminous Cobalt Dappled Frosted Gallant Humble Indigo"
    " Jubilant Lopsided Mellow Nimble Obsidian Pewter Quarrelsome Russet Saltwater Threadbare Unlucky Vermilion"
).split()
_THINGS = (
    "Nightingale Pomegranate Sparrow Carousel Almanac Glassblower Tortoise Cartographer Violinist Hourglass Labyrinth"
    " Weathervane Chandelier Porcupine Magpie Gondola Trapeze Sundial Kingfisher Harlequin Periwinkle Accordion"
    " Dragonfly Barometer Peacock Zeppelin Quilt Astrolabe Bonfire Candlestick Dromedary Escapade Firefly Gramophone"
    " Heron Icicle Jackdaw Kaleidoscope Lighthouse Mandolin Nutcracker Otter Pendulum Quicksilver Rhubarb Scarecrow"
    " Telescope Umbrella Vineyard Wheelbarrow Xylophone Yarrow Zither"
).split()
_TOWNS = (
    "Valparaiso Kathmandu Reykjavik Timbuktu Ljubljana Cappadocia Odessa Trondheim Salamanca Thessaloniki Bucharest"
    " Killarney Aberystwyth Montevideo Gibraltar Dubrovnik Tashkent Nairobi Casablanca Antwerp Heligoland Saskatoon"
    " Mandalay Inverness Coimbra"
).split()
_PATTERNS = (
    "The {look} {thing}", "{look} {thing}", "The {thing} of {town}", "{thing} in {town}", "Farewell to {town}",
    "The Road to {town}", "A {thing} for {town}", "Beyond {town}", "{look} {town}",
)  # fmt: skip


def title(rng: Random) -> str:
    """One of tens of thousands, of two to four words."""
    pattern = rng.choice(_PATTERNS)
    made = pattern.format(look=rng.choice(_LOOKS), thing=rng.choice(_THINGS), town=rng.choice(_TOWNS))
    return f"An {made[2:]}" if made.startswith("A ") and made[2] in "AEIOU" else made
