"""Turns findings into verdicts: pure functions without network or disk."""
