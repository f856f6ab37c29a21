"""Linear algebra under the names of `numpy.linalg`. Stacks of matrices are accepted wherever NumPy accepts them."""

# ruff: noqa: F403  (each file lists in __all__ what it offers)
# mypy: implicit-reexport

from . import decompositions, determinants, matrix_functions, norms, solving
from .decompositions import *
from .determinants import *
from .matrix_functions import *
from .norms import *
from .solving import *

__all__: list[str] = []
for _file in (decompositions, determinants, matrix_functions, norms, solving):
    __all__ += _file.__all__
