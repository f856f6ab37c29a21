"""Attention: a query reads the average of a memory's steps, weighted by how well each one matches it.

    e(t, s) = score(q(t), k(s));   α(t, ·) = softmax over s of e(t, ·);   c(t) = Σ_s α(t, s) m(s)

Scores: additive, v · tanh(Wq q + Wk m) (Bahdanau, Cho & Bengio 2015), and multiplicative, q · m, q · Wa m and
q · m / √K (Luong, Pham & Manning 2015; the scaled one Vaswani et al. 2017). A padded step of the memory has weight 0
exactly: its score is −∞, and its value is replaced by 0 before anything is computed from it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.arguments_of import arguments_of
from minigrad.backend import backend_of
from minigrad.validation import as_tensor, check_dtype, check_flag, check_integer, check_type

from ..cells import Lengths
from .io_shapes import fill

Array = Any


class Memory(NamedTuple):
    """A memory prepared by `Attention.prepare` for many reads, batch first."""

    values: Tensor
    """m (B, S, K), zero at padding."""
    keys: Tensor
    """(B, S, A), compared with the queries."""
    valid: Array | None
    """(B, 1, S): whether step s belongs to the sequence; None without padding."""

    def select(self, rows: Array) -> Memory:
        """Return the memories of these sequences, in this order; a row may appear more than once."""
        valid = None if self.valid is None else self.valid[rows]
        return Memory(mg.take(self.values, rows, axis=0), mg.take(self.keys, rows, axis=0), valid)


class Attention(nn.Module):
    """Base class of attention. A subclass defines `scores`, and `project` if its keys are not the memory itself.

    Args:
        query_size: Q, features of the query.
        key_size: K, features of the memory.

    Call: `context, weights = attention(query, memory, lengths)`.
        query: (T, B, Q), or (B, Q) for one step.
        memory: (S, B, K), such as an encoder's output; floating point, of the query's dtype.
        lengths: (B,) whole numbers 1 … S if the memory is padded.
        context: (T, B, K), or (B, K).
        weights: (T, B, S), or (B, S); each row sums to 1 and is exactly 0 at padding.

    Raises:
        ValueError: a shape that does not fit, a length outside 1 … S.
        TypeError: something is not a tensor or an array, a memory that is not floating point, a query of another dtype.
    """

    def __init__(self, query_size: int, key_size: int) -> None:
        super().__init__()
        check_integer(type(self).__name__, query_size=query_size, key_size=key_size)
        self.query_size, self.key_size = query_size, key_size

    def project(self, values: Tensor) -> Tensor:
        """Return the keys (B, S, A) of the values (B, S, K), computed once for all queries."""
        return values

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return e (B, T, S) from the query (B, T, Q) and the keys (B, S, A)."""
        raise NotImplementedError(f"{type(self).__name__}: an attention defines scores(query, keys)")

    def prepare(self, memory: Any, lengths: Any = None) -> Memory:
        """Return the memory (S, B, K), of sequences of these `lengths` (B,), with its keys and mask, for `read`."""
        name = type(self).__name__
        memory = as_tensor(name, "memory", memory)
        if memory.ndim != 3 or memory.shape[2] != self.key_size or not memory.shape[0]:
            want = f"(S, B, {self.key_size}) with S at least 1"
            raise ValueError(f"{name}: memory: got shape {memory.shape}, want {want}")
        if memory.dtype.kind != "f":
            raise TypeError(f"{name}: memory: got dtype {memory.dtype}, want floating point")
        valid = None
        if lengths is not None:
            spans = Lengths(lengths, memory.shape[0], memory.shape[1], backend_of(memory._array), name)
            if not spans.full:
                memory = fill(memory, spans.valid, 0)
                valid = spans.valid.transpose(1, 2, 0)
        values = mg.swapaxes(memory, 0, 1)
        return Memory(values, self.project(values), valid)

    def read(self, query: Any, memory: Memory) -> tuple[Tensor, Tensor]:
        """Return (context, weights) of a query (T, B, Q) or (B, Q) and a prepared memory."""
        name = type(self).__name__
        check_type(name, Memory, "what prepare returned", memory=memory)
        query = as_tensor(name, "query", query)
        B, single = memory.values.shape[0], query.ndim == 2
        if query.ndim not in (2, 3) or query.shape[-2:] != (B, self.query_size):
            want = f"(T, {B}, {self.query_size}) or ({B}, {self.query_size})"
            raise ValueError(f"{name}: query: got shape {query.shape}, want {want}")
        if query.dtype != memory.values.dtype:
            raise TypeError(f"{name}: query: got dtype {query.dtype}, want {memory.values.dtype} like the memory")
        e = self.scores(query[:, None] if single else mg.swapaxes(query, 0, 1), memory.keys)
        if memory.valid is not None:
            e = fill(e, memory.valid, -np.inf)
        weights = mg.softmax(e, axis=-1)
        context = weights @ memory.values
        if single:
            return context[:, 0], weights[:, 0]
        return mg.swapaxes(context, 0, 1), mg.swapaxes(weights, 0, 1)

    def forward(self, query: Any, memory: Any, lengths: Any = None) -> tuple[Tensor, Tensor]:
        return self.read(query, self.prepare(memory, lengths))

    def extra_repr(self) -> str:
        return f"{self.query_size}, {self.key_size}"


@arguments_of(Attention)
class AdditiveAttention(Attention):
    """v · tanh(Wq q + Wk m) (Bahdanau et al. 2015, appendix A.1.2).

    Args:
        attention_size: A; Wq is (A, Q), Wk (A, K), and v has length A.
        rng: for the initial weights, uniform as in `Linear`: a generator, a seed, or None for the default generator.
        dtype: of the parameters.
    """

    def __init__(
        self, query_size: int, key_size: int, attention_size: int, rng: nn.init.Rng = None, dtype: Any = "float32"
    ) -> None:
        super().__init__(query_size, key_size)
        dtype = check_dtype(type(self).__name__, dtype)
        check_integer(type(self).__name__, attention_size=attention_size)
        self.attention_size = attention_size
        rng = nn.init.as_generator(rng, type(self).__name__)
        self.query = nn.Linear(query_size, attention_size, bias=False, rng=rng, dtype=dtype)
        self.key = nn.Linear(key_size, attention_size, bias=False, rng=rng, dtype=dtype)
        self.score = nn.Linear(attention_size, 1, bias=False, rng=rng, dtype=dtype)

    def project(self, values: Tensor) -> Tensor:
        return self.key(values)

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        z = self.query(query)[:, :, None] + keys[:, None]
        return self.score(mg.tanh(z))[..., 0]

    def extra_repr(self) -> str:
        return f"{self.query_size}, {self.key_size}, {self.attention_size}"


@arguments_of(Attention)
class DotAttention(Attention):
    """q · m (Luong et al. 2015, equation 8) of vectors of Q = K numbers. No parameters.

    Args:
        size: Q and K.
        scaled: whether to take q · m / √K (Vaswani et al. 2017), which keeps the scores' variance at 1 for large K.
    """

    def __init__(self, size: int, scaled: bool = False) -> None:
        check_integer("DotAttention", size=size)
        check_flag("DotAttention", scaled=scaled)  # a second size, as others take one, would count as true
        super().__init__(size, size)
        self.scaled = scaled

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        query = query * self.key_size**-0.5 if self.scaled else query  # first: a float16 product might overflow
        return query @ mg.swapaxes(keys, 1, 2)

    def extra_repr(self) -> str:
        return f"{self.key_size}" + (", scaled=True" if self.scaled else "")


@arguments_of(AdditiveAttention)
class GeneralAttention(Attention):
    """q · Wa m (Luong et al. 2015, equation 8). Wa is (Q, K)."""

    def __init__(self, query_size: int, key_size: int, rng: nn.init.Rng = None, dtype: Any = "float32") -> None:
        super().__init__(query_size, key_size)
        rng = nn.init.as_generator(rng, type(self).__name__)
        self.key = nn.Linear(key_size, query_size, bias=False, rng=rng, dtype=dtype)

    def project(self, values: Tensor) -> Tensor:
        return self.key(values)

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        return query @ mg.swapaxes(keys, 1, 2)
