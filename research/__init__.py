"""Research that uses the project and is not installed with it."""
