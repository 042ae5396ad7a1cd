"""Reports of a run's verdict: terminal, Markdown, JUnit properties and HTML. Nothing here changes a verdict."""
