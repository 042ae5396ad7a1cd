"""Making a checkpoint that vLLM serves exactly as it was made: calibrate, train, export, check."""
