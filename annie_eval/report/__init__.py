"""A run's verdict for people and for machines: terminal, JSON, JUnit properties, HTML. Nothing here decides."""
