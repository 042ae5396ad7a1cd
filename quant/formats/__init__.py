"""Number formats of weights: packing and unpacking NVFP4 and FP8."""
