"""Exchange with other frameworks: ONNX files and PyTorch's state dicts."""
