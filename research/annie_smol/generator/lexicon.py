"""Names and things of the domain (docs/annie-smol-domain.md), and everyday values for its open lists."""
# ruff: noqa: SIM905 - a list of words as words

from research.annie_smol.generator.phrases import table

_WORDS = table("lexicon")
#: name -> whether it is a plural
THINGS: dict[str, bool] = _WORDS["things"]
CAPITALS: dict[str, str] = _WORDS["capitals"]
FAVOURITES: dict[str, list[str]] = _WORDS["favourites"]
RECIPES: dict[str, list[str]] = _WORDS["recipes"]
BRANDS: dict[str, list[str]] = _WORDS["brands"]
SIZES: dict[str, list[str]] = _WORDS["sizes"]
GOODS: dict[str, list[str]] = _WORDS["goods"]
NAMES: list[str] = _WORDS["names"]
PARENTS: list[str] = _WORDS["parents"]
RELATIONS: list[str] = _WORDS["relations"]
SURNAMES: list[str] = _WORDS["surnames"]
STREETS: list[str] = _WORDS["streets"]
PETS: list[str] = _WORDS["pets"]
ALLERGIES: list[str] = _WORDS["allergies"]
FURNITURE: list[str] = _WORDS["furniture"]
LOOKS: list[str] = _WORDS["looks"]
ROOMS: list[str] = _WORDS["rooms"]
SPOTS: list[str] = _WORDS["spots"]
MONTHS: list[str] = _WORDS["months"]
DAYS: list[str] = _WORDS["days"]
ORDINALS: list[str] = _WORDS["ordinals"]
PLACES: list[str] = _WORDS["places"]
SPORTS: list[str] = _WORDS["sports"]
SHOPS: list[str] = _WORDS["shops"]
WHEN: list[str] = _WORDS["when"]
TIMED: list[str] = _WORDS["timed"]

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
