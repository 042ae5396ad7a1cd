"""The study of SmolLM2-135M as an assistant: its training data, its runs and its results."""
