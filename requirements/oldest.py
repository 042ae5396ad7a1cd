"""Print the oldest versions that pyproject.toml allows of what the gate needs, as constraints for pip.

Without the extra for the quantiser: its libraries are pinned to a few versions in any case.
"""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
for line in (*project["dependencies"], *(each for name in extras if name != "quant" for each in extras[name])):
    name, lowest = re.fullmatch(r"([\w-]+)>=([\d.]+)", line).groups()
    print(f"{name}=={lowest}")
