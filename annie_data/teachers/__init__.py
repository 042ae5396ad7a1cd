"""Teachers, which write training conversations: an endpoint or an external command."""
