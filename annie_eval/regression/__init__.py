"""Compares a served model with a blessed baseline: baselines on disk, paired comparison, diagnosis.

Loaded only by `pytest --baseline`, with several `--base-url` and by annie-eval's commands, so that the plain gate
starts fast. The statistics are explained in docs/statistics.md, the use in docs/nightly.md.
"""
