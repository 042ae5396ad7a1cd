"""Exports a quantised model to a directory that vLLM serves, and checks the result."""
