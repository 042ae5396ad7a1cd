"""One run on disk: its store, the sampler that fills it, the judge, and the verdict."""
