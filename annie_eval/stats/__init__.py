"""Statistics of small samples: binomial, clustered, sequential and paired tests and intervals. Pure functions."""
