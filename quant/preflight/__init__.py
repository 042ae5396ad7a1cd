"""Checks whether a vLLM image will load a checkpoint and compute with the weights that were exported."""
