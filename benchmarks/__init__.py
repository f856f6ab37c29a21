"""How fast, how large, how quick to import: measured beside PyTorch, JAX, autograd and MyGrad.

`python -m benchmarks` runs everything; see README.md here for what is measured and how.
"""
