"""Shared test code: tiny models, synthetic conversations and runs, broken checkpoints."""
