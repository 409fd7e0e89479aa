"""The network of a run as files that need no mtljax: StableHLO, ONNX, safetensors, and what is to be known of them."""
