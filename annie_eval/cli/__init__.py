"""The commands of `annie-eval`, one module per command."""
