"""Number formats of weights: NVFP4 and FP8, packed and unpacked."""
