"""Is the served model still the one that was blessed? Baselines, paired comparison, drift over many nights.

Loaded only by `pytest --baseline`, by several `--base-url` and by annie-eval's own commands: nothing here costs the
plain gate's start-up. The statistics are explained in docs/statistics.md, the use in docs/nightly.md.
"""
