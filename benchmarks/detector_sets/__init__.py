"""The texts that detectors are measured on: corpora, cases, parser outputs, tags and their remnants, slow text."""
