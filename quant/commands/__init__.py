"""The commands of `annie-quant`, one module per command."""
