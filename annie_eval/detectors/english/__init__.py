"""What the detectors know of English: sentences, numbers in words, units, assertions."""
