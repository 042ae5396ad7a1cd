"""Finds what a speech engine cannot say well: units, symbols, stamps, identifiers, stage directions, languages.

Each kind has a name, and the profile's `[speech] allow` lists what its engine can say (docs/detectors.md has how often
each stands in other people's speech). Numbers are fine in digits and in words. What markdown leaves in speech is the
markdown detector's.

The language of an answer must be the user's: the scenario's, or the one that the question is in
(`annie_eval.detectors.languages`). Where the user names a language or asks for a translation, any will do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from annie_eval.detectors.context import user_text
from annie_eval.detectors.data_text import find_data
from annie_eval.detectors.finding import Finding, excerpt
from annie_eval.detectors.languages import foreign
from annie_eval.detectors.tags import without_thoughts
from annie_eval.text import is_blank
from annie_eval.wire.sample import Sample

_UNITS = (
    r"km|cm|mm|kg|mg|ml|cl|dl|lbs?|oz|ft|yd|mi|mph|kph|kmh|km/h|mi/h|m/s|l/100|[kMGT]B|[kMG]?Wh|k[WV]|[kMG]?Hz|dB|hPa|kcal"
    r"|kJ|sq ?ft|cm[23]|m[23]|tsp|tbsp|hrs?|secs?|mins?"
)
_ABBREVIATIONS = (
    r"e\.\s?g|i\.\s?e|etc|vs|approx|Dr|Mr|Mrs|Ms|Prof|Rev|Sgt|Lt|Gen|Jr|Sr|Rd|Ave|Blvd|St(?=\. [A-Z])|Apt|Dept"
    r"|Mt|Ft|Fig|Mon|Tues?|Thurs?|Fri|Jan(?=\. ?\d)|Feb|Aug|Sept?|Oct|Nov|Dec"
    r"|nr|[Nn]o(?=\. ?\d)|[Nn]r(?=\. ?\d)|z\.\s?B|d\.\s?h|u\.\s?a|bzw|usw|ca|ggf|inkl|evtl|Hr"
    r"|Fr(?=\. [A-Z])|Str|Mio|Mrd|Std|p\.\s?ex|p\.\s?ej|Sra?|Ud|Uds|Dña|Avda|ad es|ecc|Sig|dott|bijv|o\.a"
    r"|d\.w\.z|m\.in|np|tzn|kl(?=\. ?\d)|t\.\s?ex|bl\.a|т\.\s?е|т\.\s?д|т\.\s?п|руб|ул|π\.χ"
)
_STAGED = (
    r"smil|laugh|sigh|paus|chuckl|giggl|whisper|grin|nod|wink|cough|gasp|shrug|yawn|hum|sing|beep|clears?|soft|cheer|warm|excit"
    r"|gentl|sarcas|play|music|applau|silen|tone|voice|lacht|läch|seufz|flüster|rit\b|rires?|sour|soupir|chuchot|ríe|risa|sonr"
    r"|suspir|ride|sospir|sorri|ri\b|笑|微笑|叹|ため息|웃"
)
KINDS: dict[str, re.Pattern[str]] = {
    "percent": re.compile(r"\d\s?[%٪]|(?<!\w)%\d|‰"),
    "degrees": re.compile(
        r"°|º[CF]|℃|℉|(?<![\w.,:/#-])(?<!# )[-−]?\d{1,3}\s?[CF](?=[.,;!?]|\s(?:and|with|in|at|today|outside)|\Z)"
    ),
    "currency": re.compile(r"[$€£¥₹₽₩฿]\s?\d|\d\s?[$€£¥₹₽₩฿]|\b(?:USD|EUR|GBP)\b"),
    "clock": re.compile(r"(?<![\d:.])(?:0?[1-9]|1[0-2]):[0-5]\d(?![\d:])|\d\s?[ap]\.?\s?m\b"),
    "clock24": re.compile(
        r"(?<![\d:.])(?:(?:1[3-9]|2[0-3]|00|0\d):[0-5]\d|\d{1,2}:[0-5]\d:[0-5]\d)(?!\d)|\d{4}-\d\d-\d\dT\d"
    ),
    "dates": re.compile(r"(?<!\d)\d{4}[-/]\d{1,2}[-/]\d{1,2}(?!\d)|(?<![\d/])\d{1,2}/\d{1,2}/\d{2,4}(?![\d/])"),
    "units": re.compile(
        rf"\d\s?(?:{_UNITS})(?![\w²³])|\d['’′]\s?\d\d?[\"”″]|\d\s[mgl](?=[\s.,;!?)]|\Z)"
        r"|\b(?:km|m|kW|Mbit|MB|GB)/(?:h|s)\b|\bm[²³]"
    ),
    "symbols": re.compile(
        r"(?:^|\s)&\s|[→←↔⇒⇐➜➔≈≤≥≠±×÷√∞§†‡¶™®©№]|\bw/o?(?=\s)|[½⅓⅔¼¾⅛]|[²³⁴]|(?<=\s)[=<>@#](?=[\s\d])"
        r"|(?<!\w)[~#]\d|(?<![\w/.:])[^\W\d_]{1,20}/[^\W\d_]{1,20}(?![\w/])|\d\s?x\s?\d"
        r"|(?<![\w/.])(?!9/11|24/7|20/20)\d{1,2}/\d{1,2}(?![\d/])|\d\^\d|(?<!\w)[@#][A-Za-z]|\b(?:UTC|GMT)\s?[+−-]\d"
    ),
    "abbreviations": re.compile(
        rf"(?<![\w.])(?:{_ABBREVIATIONS})\.|(?<![\w'’])(?:btw|idk|imo|imho|pls|thx|tbh|omg|rn|thru)(?!\w)"
    ),
    "identifiers": re.compile(
        r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}|\b0x[0-9a-fA-F]+\b|\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}\b"
        r"|(?<![\w.])v?\d{1,3}(?:\.\d{1,3}){2,3}(?![\w.]\d)|(?<![\w@])[A-Za-z][A-Za-z0-9]{0,40}_\w|\b(?=[A-Z]*\d)(?=\d*[A-Z])[A-Z0-9]{10,}\b|\b[a-z][a-z0-9]{0,40}(?:[A-Z][a-z0-9]{1,40}){2,6}\b"
    ),
    "paths": re.compile(
        r"(?<![\w.:/])~?/(?:[\w.-]+/)+[\w.-]*|\b[A-Z]:\\|\w\.(?:py|json|ya?ml|txt|csv|exe|log|toml|sh)\b"
    ),
    "addresses": re.compile(
        r"(?<!\]\()\b(?:(?:https?|ftp)://|www\.)\w|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,64}\.\w|(?<![\w/@.-])(?!www\.)[\w-]{2,64}\.(?:com|org|net|edu|gov|io|ai|app|dev|info|tv|eu|uk|de|fr|es|nl)\b"
    ),
    "phone": re.compile(r"\+\d[\d ()-]{6,}\d|(?<![\d-])\(?\d{2,5}\)?[ -]\d{2,4}[ -]\d{2,5}(?!\d)"),
    "digits": re.compile(r"(?<![\d.,])\d{7,}(?![\d.,]\d)"),
    "stage_directions": re.compile(
        rf"[(\[*（]\s?(?:{_STAGED})[^)\]*）\n]{{0,40}}[)\]*）]|\[[a-z][a-z ]{{1,30}}\](?![(\[])", re.IGNORECASE
    ),
    "capitals": re.compile(r"(?<![\w.])[A-ZÀ-ÞА-Я]{2,}[!,]?(?:\s+[A-ZÀ-ÞА-Я]{1,}[!,]?){2,}(?!\w)"),
    "markup": re.compile(r"</?[A-Za-z][\w:-]*(?:\s[^<>\n]{0,200})?/?>"),
}
# Half an hour of speech; later text is not searched.
_SPEECH = 20_000


def find(sample: Sample) -> tuple[Finding, ...]:
    """The first thing of each kind in what is spoken that the profile does not allow."""
    findings: list[Finding] = []
    for index, exchange in enumerate(sample.exchanges):
        content = exchange.answer.content
        if content is None or is_blank(content):
            continue
        asked = user_text(exchange)
        text = without_thoughts(content[:_SPEECH])
        for kind, start, end in _unspeakable(text, asked, sample.scenario.language, exchange.expect.topic):
            if kind not in sample.speech.allow:
                shown = excerpt(content, start)
                reason = f"{kind.replace('_', ' ')} in speech"
                findings.append(Finding("speakable", reason, shown, "content", index, (start, end)))
    return tuple(findings)


def _unspeakable(text: str, asked: str, language: str, topic: tuple[str, ...]) -> Iterator[tuple[str, int, int]]:
    for kind, pattern in KINDS.items():
        if kind == "markup" and topic:
            continue
        if match := pattern.search(text):
            yield kind, *match.span()
    if not topic and (data := find_data(text, asked)):
        yield "placeholders", *data
    if span := foreign(text, asked, language):
        yield "language", *span
