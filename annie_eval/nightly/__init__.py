"""Nightly runs: the same requests every night, stored results, and a test for slow changes. See docs/nightly.md."""
