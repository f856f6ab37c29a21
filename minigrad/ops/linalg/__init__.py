"""Linear algebra, under the names of `numpy.linalg`. Stacks of matrices wherever NumPy takes them."""

from .decompositions import cholesky, eig, eigh, eigvals, eigvalsh, qr, svd, svdvals
from .determinants import cond, det, matrix_rank, slogdet
from .functions import (
    cross,
    diagonal,
    expm,
    matmul,
    matrix_power,
    matrix_transpose,
    multi_dot,
    outer,
    tensordot,
    trace,
    vecdot,
)
from .norms import matrix_norm, norm, vector_norm
from .solving import inv, lstsq, pinv, solve, solve_triangular, tensorinv, tensorsolve

__all__ = [
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "expm",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
    "vector_norm",
]
