"""Reasoning that is spoken without a tag around it."""
