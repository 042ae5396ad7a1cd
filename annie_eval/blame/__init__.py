"""Which one thing that can be changed from outside makes a gate fail: the weights, the server, or its settings."""
