"""Post-training quantisation with ModelOpt: calibration, layer maps, and measures of quality."""
