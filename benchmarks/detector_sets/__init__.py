"""The texts that detectors are measured on: corpora, cases, parser outputs, tags and what is left of them, slow text."""
