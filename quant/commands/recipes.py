"""`python -m quant recipes [show NAME]`: lists the recipes, or prints one."""

import argparse

from quant import recipe
from quant.errors import UsageError


def run(arguments: argparse.Namespace) -> int:
    """List the recipes, or print one after checking it."""
    if arguments.action == "show":
        if arguments.name is None:
            raise UsageError(f"recipes show needs a name: {', '.join(recipe.available())}")
        recipe.load(arguments.name)
        print(recipe.path_of(arguments.name).read_text(), end="")
        return 0
    width = max(map(len, recipe.available()))
    for name in recipe.available():
        print(f"{name:{width}}  {recipe.load(name).summary}")
    return 0
