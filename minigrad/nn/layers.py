"""The layers that need no time. Arguments and call shapes are those of `torch.nn`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..backend import backend_of, is_array
from ..engine.tensor import Parameter, Tensor
from . import init
from .module import Module, ModuleList

Array = Any


def _whole(name: str, **sizes: Any) -> None:
    for argument, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(f"{name}: {argument}: got {size!r}, want a whole number of at least 1")


def _floats(name: str, x: Any, trailing: tuple[int, ...], dtype: Any) -> None:
    """Refuse an input that is no array, has another dtype than the parameters, or does not end in `trailing` axes."""
    array = x._data if isinstance(x, Tensor) else x
    if not is_array(array):
        raise TypeError(f"{name}: x: got {type(x).__name__}, want a Tensor or an array")
    if tuple(array.shape[max(0, array.ndim - len(trailing)) :]) != trailing:
        want = ", ".join(["...", *map(str, trailing)])
        raise ValueError(f"{name}: x: got shape {tuple(array.shape)}, want ({want})")
    if array.dtype != dtype:
        raise TypeError(f"{name}: x: got dtype {array.dtype}, want {dtype}, the parameters' own")


class Linear(Module):
    """`y = x @ weight.T + bias`: the lecture's W x + b for each row of x.

    Args:
        in_features: n, the length of x's last axis.
        out_features: m, the length of y's last axis.
        bias: whether there is a bias.
        rng: where the initial values, uniform in ±1/√n, are drawn from: a generator, a seed, or None for the default.
        dtype: of the parameters, and so of x.

    Parameters: `weight` (m, n), `bias` (m,).
    Call: x (..., n) gives (..., m).

    Raises:
        ValueError: a size is not a positive whole number, or x ends in another axis. TypeError: x's dtype is another.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        rng: init.Rng = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        _whole("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        bound = in_features**-0.5
        rng = init.as_generator(rng, "Linear")
        self.weight = Parameter(init.uniform((out_features, in_features), -bound, bound, rng, dtype))
        self.bias = Parameter(init.uniform((out_features,), -bound, bound, rng, dtype)) if bias else None

    def forward(self, x: Any) -> Tensor:
        _floats("Linear", x, (self.in_features,), self.weight.dtype)
        return ops.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Embedding(Module):
    """A row of `weight` for each id.

    Args:
        num_embeddings: K, how many rows there are.
        embedding_dim: n, their length.
        padding_idx: the id of a row that starts at zero and receives no gradient; negative ones count from the end.
        rng: where the initial values, standard normal, are drawn from: a generator, a seed, or None for the default.
        dtype: of the weight.

    Parameters: `weight` (K, n).
    Call: integer ids (...) give (..., n). Ids on the host go to the weight's backend. They are checked against K
    where they live on the host; on a device that check would wait for it, so ids must be right there.

    Raises:
        ValueError: a size is not a positive whole number, `padding_idx` or an id is out of range.
        TypeError: ids that are no integers.
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
        _whole("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
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
        array = ids._data if isinstance(ids, Tensor) else ids
        if not is_array(array):
            array = np.asarray(array)
        if array.dtype.kind not in "iu":
            raise TypeError(f"Embedding: ids: got dtype {array.dtype}, want integers")
        if isinstance(array, np.ndarray):
            outside = (array < 0) | (array >= self.num_embeddings)
            if outside.any():
                raise ValueError(f"Embedding: ids: got {array[outside][0]}, want 0 to {self.num_embeddings - 1}")
            array = backend_of(self.weight._data).from_numpy(array)
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

    The same draw whatever the dtype, drawn from the default generator where `rng` is None.
    """
    given = init.as_generator(rng, "dropout_mask")
    kept = (init.default_generator() if given is None else given).random(shape, dtype=np.float32) >= p
    return np.multiply(kept, 1 / (1 - p) if p < 1 else 0.0, dtype=np.float64).astype(dtype)


class Dropout(Module):
    """In training each value is dropped with probability p and the others grow by 1 / (1 − p); else the identity.

    Args:
        p: the probability, in [0, 1].
        rng: where masks are drawn from: a generator, a seed, or None for the default one. It lives on the host, so
            that a seed gives the same masks on every backend.

    Call: x of any shape gives the same shape and dtype. (Srivastava et al. 2014.)

    Raises:
        ValueError: p is no probability.
    """

    def __init__(self, p: float = 0.5, rng: init.Rng = None) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p: got {p!r}, want a probability in [0, 1]")
        self.p, self.rng = float(p), init.as_generator(rng, "Dropout")

    def forward(self, x: Any) -> Any:
        if not self.training or self.p == 0:
            return x
        array = x._data if isinstance(x, Tensor) else x
        mask = dropout_mask(array.shape, self.p, self.rng, array.dtype)
        return ops.multiply(x, backend_of(array).from_numpy(mask))

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


class LayerNorm(Module):
    """`(x − mean) / √(variance + eps) · weight + bias` over the last axes (Ba, Kiros & Hinton 2016).

    Args:
        normalized_shape: the shape of those axes; a number for the last one alone.
        eps: added to the variance.
        elementwise_affine: whether there are `weight` and `bias`.
        bias: whether there is a `bias` beside the weight.
        dtype: of the parameters, and so of x.

    Parameters: `weight`, `bias`, both of `normalized_shape`, starting at 1 and 0.
    Call: x (..., *normalized_shape) gives the same shape.

    Raises:
        ValueError: a size is not a positive whole number, or x has other last axes. TypeError: x's dtype is another.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, (int, np.integer)) else tuple(normalized_shape)
        if not shape:
            raise ValueError("LayerNorm: normalized_shape: got (), want at least one axis")
        for size in shape:
            _whole("LayerNorm", normalized_shape=size)
        self.normalized_shape, self.eps = tuple(int(n) for n in shape), float(eps)
        self.weight = Parameter(np.ones(shape, dtype)) if elementwise_affine else None
        self.bias = Parameter(init.zeros(shape, dtype)) if elementwise_affine and bias else None

    def forward(self, x: Any) -> Tensor:
        _floats("LayerNorm", x, self.normalized_shape, x.dtype if self.weight is None else self.weight.dtype)
        axes = tuple(range(-len(self.normalized_shape), 0))
        centred = x - ops.mean(x, axis=axes, keepdims=True)
        y: Tensor = centred / ops.sqrt(ops.mean(ops.square(centred), axis=axes, keepdims=True) + self.eps)
        if self.weight is not None:
            y = y * self.weight
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps:g}, elementwise_affine={self.weight is not None}"


class Sequential(ModuleList):
    """Modules one after the other: each is called with what the one before returned."""

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x


class Identity(Module):
    """Returns its input."""

    def forward(self, x: Any) -> Any:
        return x


class Tanh(Module):
    """The hyperbolic tangent of each value."""

    def forward(self, x: Any) -> Tensor:
        return ops.tanh(x)


class Sigmoid(Module):
    """`1 / (1 + exp(−x))` for each value."""

    def forward(self, x: Any) -> Tensor:
        return ops.sigmoid(x)


class ReLU(Module):
    """`max(x, 0)` for each value."""

    def forward(self, x: Any) -> Tensor:
        return ops.relu(x)
