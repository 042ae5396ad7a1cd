"""Finds the cause of a failing gate: the weights, the chat template, the server's parsers, or one of its settings."""
