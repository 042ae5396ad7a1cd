"""Research that uses the project. It is not part of the installed package."""
