"""Training with quantised weights: tokenised conversations, quantised layers with a gradient, losses, loop, resume."""
