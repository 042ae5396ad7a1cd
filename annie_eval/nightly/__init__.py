"""The same questions every night: run them, keep them, and see what changes slowly. See docs/nightly.md."""
