"""Probes: generates prompts, sends them, and finds the shortest one that fails.

`hypothesis` generates the prompts (the same ones every time for the same seed), and its example database stores
failures for the next run. Shrinking is implemented here, because a server answers many requests at a time, and because
the text of the prompt should be short, not the random choices behind it. Imported only for `pytest -m probe`.
"""
