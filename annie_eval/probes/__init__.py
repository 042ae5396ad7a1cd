"""Probes: prompts that nobody wrote down, generated, sent, and the shortest one that fails kept for the next run.

`hypothesis` generates (the same examples every time, unless another seed is asked for) and its example database
keeps what failed. Shrinking is ours: answers come many at a time, and a prompt is shortest as a text, whatever was
drawn to make it. Imported only where `pytest -m probe` asks for it.
"""
