"""A vLLM plugin that serves NVFP4 checkpoints on a CPU."""
