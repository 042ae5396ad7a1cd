"""What each serving image loads: `images.toml` as data."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from quant.errors import UsageError

FILE = Path(__file__).parent / "images.toml"


@dataclass(frozen=True)
class Image:
    """One serving image; the fields are explained at the head of `images.toml`."""

    name: str
    vllm: str
    docker: str
    entrypoint: str
    algorithms: tuple[str, ...]
    mixed: tuple[str, ...]
    qwen3_5_text: bool
    tied_modelopt: bool
    environment: dict[str, str]


@cache
def images() -> dict[str, Image]:
    """All known images by name."""
    found = {}
    for name, entry in tomllib.loads(FILE.read_text()).items():
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
        }
        found[name] = Image(name, **fields)
    return found


def find(name: str) -> Image:
    """The image called `name`. Raises UsageError with the names there are."""
    try:
        return images()[name]
    except KeyError:
        raise UsageError(f"no image {name!r}; there are {', '.join(images())} (add yours to {FILE})") from None
