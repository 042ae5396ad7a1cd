"""Training of what will be served: conversations to tokens, quantised layers with a gradient, losses, loop, resume."""
