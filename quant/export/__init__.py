"""From a quantised model in memory to a directory that vLLM serves."""
