"""Makes quantised checkpoints for vLLM: calibrate, train, export, and check the exported weights bit for bit."""
