"""One script for each ratio that is claimed; run from the repository as `python -m benchmarks.NAME`."""
