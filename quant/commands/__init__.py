"""The command line `annie-quant`: one module a command."""
