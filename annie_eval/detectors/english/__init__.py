"""Parsing of English text for the detectors: sentences, numbers in words, units, assertions."""
