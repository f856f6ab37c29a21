"""Norms of arrays, and of products of thin factors without the products: for the ledger.

The squares of small numbers underflow and those of large ones overflow, and a vanishing gradient is small: where that
could happen, values are divided by the largest first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from ..backend import backend_of, scalar, to_numpy
from .summation import half_to_single

Array = Any

CANCELS = 1e-2
"""The part of a sum that has to remain, else the product itself is formed: the rest has cancelled, digits with it."""


def _safe(dtype: Any) -> tuple[float, float]:
    """The norms between which squares can be added up as they are."""
    info = np.finfo(dtype)
    return math.sqrt(info.tiny) / float(info.eps), math.sqrt(info.max) * float(info.eps)


SAFE = {np.dtype(kind): _safe(kind) for kind in "fdFD"}


def norm(a: Array) -> float:
    """The root of the sum of |a|² over all elements, on the host; NaN or Inf if `a` holds one."""
    a = half_to_single(a)
    if not a.size:
        return 0.0
    if a.dtype not in SAFE:  # longer numbers than float64
        return float(np.linalg.norm(to_numpy(a)))
    low, high = SAFE[np.dtype(a.dtype)]
    flat = a.reshape(-1)
    square = _squares(flat)
    if low * low < square < high * high:
        return math.sqrt(square)
    largest = _number(abs(flat).max())
    if not 0 < largest < math.inf:
        return largest
    return largest * math.sqrt(_squares(flat / largest))


def _squares(flat: Array) -> float:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if flat.dtype.kind == "c":
            return _squares(flat.real) + _squares(flat.imag)
        return _number(flat.dot(flat))


def _number(value: Any) -> float:
    return float(scalar(value))


def norm_of_product(left: Array, right: Array) -> float:
    """The norm of `left.T @ right`, of shapes (n, p) and (n, q)."""
    if left.dtype.kind == "c" or right.dtype.kind == "c":
        return norm(left.T @ right)
    if type(left) is np.ndarray and left.dtype.char in "fd" and right.dtype == left.dtype:
        n, p = left.shape
        if n * (p + right.shape[1]) > 2 * p * right.shape[1]:
            return norm(left.T @ right)
        low, high = SAFE[left.dtype]
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            of_left, of_right = left.dot(left.T), right.dot(right.T)
            safe = all(low * low < gram.trace() < high * high for gram in (of_left, of_right))
        if safe:
            terms = np.multiply(of_left, of_right, dtype=np.float64)
            square = float(terms.sum())
            if square >= CANCELS * float(np.abs(terms, out=terms).sum()):
                return math.sqrt(square)
    return float(norms_of_products(StepRows(lambda: left[None]), StepRows(lambda: right[None]))[0])


class StepRows:
    """One factor of every step's product: rows [step, n, feature], and the Gram matrices that its products share.

    Args:
        rows: returns (T, n, F); None for a single feature that is 1 everywhere: the other factor's rows are summed.
    """

    def __init__(self, rows: Callable[[], Array] | None) -> None:
        self._rows = rows
        self.is_ones = rows is None

    @cached_property
    def _array(self) -> Any:
        return None if self._rows is None else half_to_single(self._rows())

    @property
    def shape(self) -> tuple[int, int, int]:
        T, n, F = self._array.shape
        return T, n, F

    def step(self, t: Any) -> Array:
        """(n, F): the rows of step t."""
        return self._array[t]

    def grams(self) -> Array:
        """rows(t) rows(t)ᵀ (T, n, n), which may underflow or overflow."""
        return grams_of(self._array)

    @cached_property
    def shared_grams(self) -> Array:
        """The same, kept for several `JoinedRows`."""
        return self.grams()

    @cached_property
    def gram(self) -> tuple[Array, Array]:
        """rows(t) rows(t)ᵀ (T, n, n) over scale(t)², and the scales (T,), both on the host."""
        square = to_numpy(self.grams())
        low, high = SAFE[square.dtype]
        with np.errstate(over="ignore", invalid="ignore"):
            scale, trace = np.ones(len(square)), square.trace(axis1=1, axis2=2, dtype=np.float64)
        for t in np.flatnonzero(~((low * low < trace) & (trace < high * high))):
            rows = self.step(t)
            largest = _number(abs(rows).max()) if rows.size else 0.0
            if 0 < largest < math.inf:
                scale[t] = largest
                square[t] = to_numpy(grams_of((rows / largest)[None]))[0]
        return square, scale

    def product(self, right: StepRows, t: Any) -> Array:
        """The product of step t itself."""
        return self.step(t).sum(axis=0) if right.is_ones else self.step(t).T @ right.step(t)


class JoinedRows(StepRows):
    """Factors whose features lie side by side: their Gram matrices add up, and each is computed once."""

    def __init__(self, *parts: StepRows) -> None:
        super().__init__(lambda: backend_of(parts[0].step(0)).xp.concatenate([part._array for part in parts], axis=2))
        self.parts = parts

    @property
    def shape(self) -> tuple[int, int, int]:
        T, n, _ = self.parts[0].shape
        return T, n, sum(part.shape[2] for part in self.parts)

    def step(self, t: Any) -> Array:
        rows = [part.step(t) for part in self.parts]
        return backend_of(rows[0]).xp.concatenate(rows, axis=1)

    def grams(self) -> Array:
        first, *others = [part.shared_grams for part in self.parts]
        return sum(others, first.copy())


def grams_of(rows: Array) -> Array:
    """rows(t) rows(t)ᵀ of (T, n, F), which may underflow or overflow."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return backend_of(rows).xp.matmul(rows, rows.transpose(0, 2, 1))


def norms_of_products(left: StepRows, right: StepRows) -> Any:
    """The norms of left(t)ᵀ right(t) for every step t, (T,) on the host in float64.

    ‖AᵀB‖² is the sum over the entries of (A Aᵀ) ∘ (B Bᵀ), so that for few rows n the product (p, q) need not be formed.
    """
    T, n, p = left.shape
    q = 1 if right.is_ones else right.shape[2]
    if n * (p + q) > 2 * p * q and not right.is_ones:  # many rows: the product costs less
        return np.array([norm(left.product(right, t)) for t in range(T)])
    gram, scale = left.gram
    if right.is_ones:
        terms = gram.astype(np.float64)
    else:
        of_right, scale_right = right.gram
        terms, scale = np.multiply(gram, of_right, dtype=np.float64), scale * scale_right
    square = terms.sum(axis=(1, 2))
    cancelled = square < CANCELS * np.abs(terms, out=terms).sum(axis=(1, 2))
    result = np.sqrt(np.maximum(square, 0)) * scale
    for t in np.flatnonzero(cancelled):
        result[t] = norm(left.product(right, t))
    return result
