"""Benchmarks: one script for each measurement in the documents. Run them with `python -m benchmarks.NAME`."""
