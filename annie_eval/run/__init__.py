"""Runs: the store on disk, the sampler that fills it, the judge, and the verdict."""
