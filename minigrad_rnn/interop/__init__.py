"""Exchange with other frameworks: ONNX files, PyTorch's state dicts."""
