"""Benchmarks of speed, memory and import time against PyTorch, JAX, autograd and MyGrad.

`python -m benchmarks` runs everything; README.md here describes the method.
"""
