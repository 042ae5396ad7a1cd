"""A plugin that lets vLLM serve NVFP4 on a CPU."""
