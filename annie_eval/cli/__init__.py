"""The command line `annie-eval`: one module a command."""
