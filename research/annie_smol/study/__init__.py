"""The study: makes, serves, judges and compares checkpoints (candidates)."""
