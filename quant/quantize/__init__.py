"""Post-training quantisation with ModelOpt: calibration, layer maps, quality."""
