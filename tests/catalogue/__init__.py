"""A sample of every operation, by the file of `minigrad/ops` that it stands in."""

from . import (
    complex_parts,
    convolution,
    cumulative,
    differences,
    einsum,
    elementwise,
    fft,
    indexing,
    interpolation,
    joining,
    linalg,
    lookup,
    loss,
    pooling,
    products,
    quantiles,
    reduce,
    shape,
    sorting,
    statistics,
    windows,
)
from .sample import Sample as Sample

_FILES = (
    complex_parts,
    convolution,
    cumulative,
    differences,
    einsum,
    elementwise,
    fft,
    indexing,
    interpolation,
    joining,
    linalg,
    lookup,
    loss,
    pooling,
    products,
    quantiles,
    reduce,
    shape,
    sorting,
    statistics,
    windows,
)
CATALOGUE = [sample for file in _FILES for sample in file.CATALOGUE]
EDGES = [sample for file in _FILES for sample in file.EDGES]
