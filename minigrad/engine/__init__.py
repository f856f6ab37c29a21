"""The engine: the tape, tensors on it, primitives that write it, and the backward pass that reads it."""
