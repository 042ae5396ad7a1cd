"""Judging a served model: does it behave well enough to ship?

Nothing heavy is imported here, and neither torch nor vllm anywhere in this package: what is judged is what
came over the wire.
"""

__version__ = "0.1.0"
