"""Statistics of small samples: binomial, clustered, sequential and paired; pure functions."""
