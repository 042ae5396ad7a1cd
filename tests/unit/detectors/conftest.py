"""Lets these tests import the builder of samples that lies beside them (tests are not a package)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
