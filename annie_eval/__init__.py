"""Judges a served model: a release gate for its behaviour and speed.

This package imports neither torch nor vllm: it judges only what the server sends.
"""

__version__ = "0.1.0"
