"""A checkpoint on disk: reading, writing, digests and where its weights come from."""
