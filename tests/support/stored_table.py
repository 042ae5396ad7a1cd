"""Expected values that are kept in a JSON file beside a test, a line for each case.

`ANNIE_UPDATE_TABLES=1 pytest FILE` writes the values of the run. Read the difference before it is committed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

UPDATE = "ANNIE_UPDATE_TABLES"


def expect(path: Path, case: str, value: Any) -> None:
    """Assert that a case's value is the stored one.

    Args:
        path: the JSON file, an object of cases.
        case: the key.
        value: what the code gives now; anything that JSON keeps as it is.
    """
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if os.environ.get(UPDATE):
        stored[case] = value
        lines = (json.dumps({key: stored[key]}, ensure_ascii=False)[1:-1] for key in sorted(stored))
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    assert stored.get(case) == value, f"{path.name}: {case} (set {UPDATE}=1 to store what the code gives now)"
