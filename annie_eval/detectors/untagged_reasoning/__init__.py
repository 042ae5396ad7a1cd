"""Finds reasoning that leaked into speech without a tag around it."""
