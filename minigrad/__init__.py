"""Tape-based reverse-mode automatic differentiation on NumPy or CuPy."""
