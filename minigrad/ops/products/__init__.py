"""Products of matrices and tensors, and Einstein summation."""
