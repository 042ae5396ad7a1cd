"""Checkpoints on disk: reading, writing, digests, and the record of how they were made (provenance)."""
