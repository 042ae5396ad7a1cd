"""From findings to verdicts: pure functions over judgements, without a network or a disk."""
