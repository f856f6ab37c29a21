"""Layers without recurrence. Arguments and call shapes are those of `torch.nn`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..backend import backend_of
from ..engine.tensor import Parameter, Tensor
from ..foreign_arrays import import_array
from ..validation import as_array, as_tensor, check_dtype, check_flag, check_input, check_integer, check_probability
from . import init
from .module import Module
from .module_list import ModuleList


class Linear(Module):
    """`y = x @ weight.T + bias`: the lecture's W x + b for each row of x.

    Args:
        in_features: n, the length of x's last axis.
        out_features: m, the length of y's last axis.
        rng: where the initial values, uniform in ±1/√n, are drawn from: a generator, a seed, or None for the default.
        dtype: of the parameters, and so of x.

    Parameters: `weight` (m, n), `bias` (m,).
    Call: x (..., n) gives (..., m).

    Raises:
        ValueError: a size is not a positive whole number, or x's last axis differs.
        TypeError: `bias` is no bool, `dtype` is not floating point, or x has another dtype.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, rng: init.Rng = None, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        check_integer("Linear", in_features=in_features, out_features=out_features)
        check_flag("Linear", bias=bias)
        dtype = check_dtype("Linear", dtype)
        self.in_features, self.out_features = in_features, out_features
        bound = in_features**-0.5
        rng = init.as_generator(rng, "Linear")
        self.weight = Parameter(init.uniform((out_features, in_features), -bound, bound, rng, dtype))
        self.bias = Parameter(init.uniform((out_features,), -bound, bound, rng, dtype)) if bias else None

    def forward(self, x: Any) -> Tensor:
        x = check_input("Linear", x, (self.in_features,), self.weight)
        return ops.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Embedding(Module):
    """Look up a row of `weight` for each id.

    Args:
        num_embeddings: K, the number of rows.
        embedding_dim: n, their length.
        padding_idx: the id of a row that starts at zero and receives no gradient; negative ones count from the end.
        rng: where the initial values, standard normal, are drawn from: a generator, a seed, or None for the default.
        dtype: of the weight.

    Parameters: `weight` (K, n).
    Call: integer ids (...) give (..., n). Ids on the host are checked against K and moved to the weight's backend. Ids
    on a device are not checked, because that would synchronise with it.

    Raises:
        ValueError: a size is not a positive whole number, `padding_idx` or an id is out of range.
        TypeError: ids that are not integers.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        rng: init.Rng = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        check_integer("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        dtype = check_dtype("Embedding", dtype)
        if padding_idx is not None:
            check_integer("Embedding", None, padding_idx=padding_idx)
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"Embedding: padding_idx: got {padding_idx}, want an id below {num_embeddings}, or None")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        rng = init.as_generator(rng, "Embedding")
        rows = init.normal((num_embeddings, embedding_dim), rng=rng, dtype=dtype)
        if self.padding_idx is not None:
            rows[self.padding_idx] = 0
        self.weight = Parameter(rows)

    def forward(self, ids: Any) -> Tensor:
        array = as_array(ids, "Embedding", "ids")
        if array.dtype.kind not in "iu":
            raise TypeError(f"Embedding: ids: got dtype {array.dtype}, want integers")
        if isinstance(array, np.ndarray):
            if array.size != 1 or not 0 <= array.item() < self.num_embeddings:  # one id, as in sampling: a fifth of it
                outside = (array < 0) | (array >= self.num_embeddings)
                if outside.any():
                    raise ValueError(f"Embedding: ids: got {array[outside][0]}, want 0 to {self.num_embeddings - 1}")
            array = backend_of(self.weight._array).from_numpy(array)
        rows = ops.take(self.weight, array, axis=0)
        if self.padding_idx is None:
            return rows
        is_padding = Tensor((array == self.padding_idx)[..., None])
        return ops.where(is_padding, rows.detach(), rows)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


def dropout_mask(shape: Sequence[int], p: float, rng: init.Rng = None, dtype: Any = "float32") -> np.ndarray[Any, Any]:
    """A host array of 0, with probability p, and 1 / (1 − p): inverted dropout, which keeps the mean.

    `shape` and `dtype` are the array's. The draw is the same for every dtype. `rng` is a generator or a seed; None
    stands for the default generator.
    """
    dtype = check_dtype("dropout_mask", dtype, "fc")
    check_probability("dropout_mask", one=True, p=p)
    shape = init.check_shape("dropout_mask", shape)
    generator = init.as_generator(rng, "dropout_mask") or init.default_generator()
    keep = generator.random(shape, dtype=np.float32) >= p
    return np.multiply(keep, 1 / (1 - p) if p < 1 else 0.0, dtype=np.float64).astype(dtype)


class Dropout(Module):
    """Set each value to zero with probability p and scale the others by 1 / (1 − p); the identity in evaluation mode.

    Args:
        p: the probability, in [0, 1].
        rng: where masks are drawn from: a generator, a seed, or None for the default. Masks are drawn on the host, so
            that a seed gives the same ones on every backend.

    Call: x of any shape gives the same shape and dtype. (Srivastava et al. 2014.)

    Raises:
        ValueError: p is not a probability.
        TypeError: x, in training, is not floating point.
    """

    def __init__(self, p: float = 0.5, rng: init.Rng = None) -> None:
        super().__init__()
        check_probability("Dropout", one=True, p=p)
        self.p, self.rng = float(p), init.as_generator(rng, "Dropout")

    def forward(self, x: Any) -> Any:
        if not self.training or self.p == 0:
            return x
        x = x if isinstance(x, Tensor) else import_array("Dropout", "x", x)
        array = as_tensor("Dropout", "x", x)._array
        if array.dtype.kind not in "fc":  # a whole number cannot be scaled by 1 / (1 − p)
            raise TypeError(
                f"Dropout: x: got dtype {array.dtype}, want floating point; convert with x.astype('float32')"
            )
        mask = dropout_mask(array.shape, self.p, self.rng, array.dtype)
        return ops.multiply(x, backend_of(array).from_numpy(mask))

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


class Sequential(ModuleList):
    """Call `modules` in order, the first with x, each other one with the output of the one before."""

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x


class Identity(Module):
    """Return the input x, whatever it is."""

    def forward(self, x: Any) -> Any:
        return x
