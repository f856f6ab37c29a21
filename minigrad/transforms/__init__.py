"""Transformations of functions: derivatives of every kind and order, over trees of tensors and modules."""
