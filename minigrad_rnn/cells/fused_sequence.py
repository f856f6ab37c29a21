"""The parts that all fused sequences share: read order, feature-major buffers, products, gradients pooled over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, repeat
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.engine.gradient_pool import PerStepSum
from minigrad.engine.norms import StepRows, norms_of_products
from minigrad.engine.summation import LONG, SMALL_PRODUCT, accurate_sum, long_product

from .feature_major import (
    FEW,
    Product,
    batch_major,
    by_columns,
    copy_columns,
    flat,
    per_step,
    product_with,
    time_buffer,
    weight_buffer,
)
from .lengths import Lengths, ReadOrder
from .step_gradients import StepGradients
from .unroll import rule_through_graph, unroll

Array = Any

CHUNK = 1 << 15
"""Elements (units · examples · steps) that BPTT prepares at once, so that they stay in the cache."""
COLUMNS, BLOCK = 128, 1 << 17
"""The least columns (examples · steps) and elements for which Wc x(t) + b is computed at once."""
STACKED = 1 << 20
"""Elements of [Wc b Wr] from which on it never pays to copy the weights into one matrix: it leaves the cache."""
MANY_STEPS = 24
"""Steps from which on BPTT copies Wrᵀ into the order that BLAS multiplies fastest."""


class FusedSequence(ReadOrder):
    """One call of a sequence primitive: the frame around its forward loop, its BPTT loop and its rule.

    The cell's file holds the two loops with the equations. Inside them [t, feature, example] arrays are in read order:
    position k is the step that is read as number k.

    Args:
        xs: (T, B, I).
        backward, lengths: see `ReadOrder`.
        step_gradients: who receives ∂L/∂h(t) of every step; None for nobody.
    """

    def __init__(
        self, xp: Any, xs: Array, backward: bool, lengths: Lengths | None, step_gradients: StepGradients | None = None
    ) -> None:
        super().__init__(len(xs), backward, lengths)
        self.xp, self.B, self.dtype, self.step_gradients = xp, xs.shape[1], xs.dtype, step_gradients

    # Forward

    def buffer(self, F: int) -> Array:
        """An empty `time_buffer` (T, F, B)."""
        return time_buffer(self.xp, self.T, F, self.B, self.dtype)

    def stacked_inputs(self, xs: Array, h0: Array, bias: bool) -> tuple[Array, Array]:
        """v(t) = [x(t); 1; h(t−1)] for t = 0 … T, and the view of its h rows, of which only h(−1) is filled.

        With v, one product [Wc b Wr] v(t) is the whole of z(t): there is no input projection and no bias to add.
        Without a bias there is no row of ones.
        """
        if self.lengths is not None:
            xs = self.lengths.without_padding(self.xp, xs)
        T, B, I = xs.shape
        v = time_buffer(self.xp, T + 1, I + bias + h0.shape[1], B, xs.dtype)
        h = v[:, I + bias :]
        copy_columns(self.xp, self.turn(xs), v[:T, :I])
        h[0] = h0.T
        if bias:
            v[:, I] = 1
        return v, h

    def stacked_weights(self, Wc: Array, Wr: Array, b: Array) -> Array:
        """[Wc b Wr], which multiplies v(t); a fresh array."""
        I = Wc.shape[1]
        first = I + (b is not None)
        W = weight_buffer(self.xp, Wc.shape[0], first + Wr.shape[1], self.B, Wc.dtype)
        W[:, :I] = Wc
        W[:, first:] = Wr
        if b is not None:
            W[:, I] = b
        return W

    def stacks(self, Wc: Array, Wr: Array) -> bool:
        """Whether one product a step with [Wc b Wr], a copy, beats one with Wr and one before with Wc, as they are.

        The copy pays off after a number of steps that grows with its size: slowly by rows, for several examples, and
        fast by columns, for one. (Measured with OpenBLAS on x86-64; a device always copies.)
        """
        size, B = Wc.size + Wr.size, self.B
        if self.xp is not np:
            return True
        if size >= STACKED or (1 < B <= 8 and size * B > SMALL_PRODUCT):
            return False
        return bool(2 + (size >> 11 if B == 1 else (size >> 14) // max(1, B >> 2)) < self.T)

    def filled(self, shape: tuple[int, ...], value: float) -> Array:
        """An array of one value, at half the price of `full`."""
        a = self.xp.empty(shape, self.dtype)
        a[...] = value
        return a

    def current(self, v: Array, Wc: Array, b: Array) -> Iterator[Array]:
        """Wc x(t) + b of as many steps n at once as stay in the cache, (n, R, B); v holds x(t)."""
        rows, I = Wc.shape
        if self.T == 1 and self.B == 1:
            z = Wc.dot(v[0, :I, 0])
            yield (z if b is None else z + b).reshape(1, rows, 1)
            return
        n = max(-(-COLUMNS // self.B), BLOCK // (rows * self.B))
        for start in range(0, self.T, n):
            x = v[start : min(start + n, self.T), :I]
            if self.B == 1 and len(x) >= COLUMNS // 2:
                z = self.xp.matmul(x[:, :, 0], Wc.T)[:, :, None]
            elif self.B > 1 and Wc.size * self.B <= SMALL_PRODUCT:
                z = self.xp.matmul(Wc, x)
            else:
                z = self.columns(Wc, flat(x)).reshape(rows, len(x), self.B).transpose(1, 0, 2)
                if self.B == 1:
                    z = self.xp.ascontiguousarray(z)
            if b is not None:
                z += b[:, None]
            yield z

    def columns(self, W: Array, a: Array) -> Array:
        """W a for the columns (K, n) of examples and steps: (R, n)."""
        n = a.shape[1]
        if n == 1:
            return W.dot(a[:, 0])[:, None]
        out = self.xp.empty((len(W), n), a.dtype)
        product_with(self.xp, W, n)(a, out)
        return out

    def product(self, W: Array) -> Product:
        """The product with W as stored."""
        return product_with(self.xp, W, self.B)

    def product_with_copy(self, W: Array) -> Product:
        """The product with a copy of W in the memory order that BLAS multiplies fastest."""
        copy = weight_buffer(self.xp, W.shape[0], W.shape[1], self.B, W.dtype)
        copy[...] = W
        return self.product(copy)

    def product_back(self, W: Array) -> Product:
        """The product with Wᵀ: where BLAS takes single columns or there are few steps with W as stored, else a copy."""
        if self.B == 1 or (self.xp is np and (self.T <= MANY_STEPS or by_columns(W, self.B))):
            return self.product(W.T)
        return self.product_with_copy(W.T)

    def to_time_order(self, a: Array) -> Array:
        """(T, B, F) in time order, zero at padding.

        The zeros are written into `a` itself; BPTT may read them, since no gradient arrives at padding.
        """
        if self.lengths is not None:
            self.xp.multiply(a, self.lengths.valid, a)
        return self.turn(a)

    def last(self, a: Array) -> Array:
        """The values of (T, B, F) at each sequence's last step (B, F): a copy, which keeps no sequence alive."""
        return a[-1].copy() if self.lengths is None else self.lengths.last_valid(a)

    # Backward

    def incoming(self, dhs: Array, dhT: Array) -> tuple[Array, Array]:
        """The transpose of `to_time_order` and `last`: gradients in read order, and the one from after the last step.

        With padding a sequence's last step lies inside, so the gradient of its last state is added there. Padding
        receives none, and BPTT finds dz(t) = 0 there by itself.
        """
        if self.lengths is None:
            return self.turn(dhs), dhT
        dhs = self.turn(self.lengths.without_padding(self.xp, dhs))
        self.lengths.add_at_last(dhs, dhT)
        return dhs, self.xp.zeros_like(dhT)

    def chunk(self, H: int) -> int:
        """How many steps BPTT prepares at once."""
        return min(self.T, max(1, CHUNK // (H * int(self.B))))

    def chunks(self, size: int) -> Iterator[slice]:
        """The steps in slices of `size`, from the last to the first."""
        for stop in range(self.T, 0, -size):
            yield slice(max(0, stop - size), stop)

    def products_back(self, product: Callable[..., Any], now: slice, to_state: bool) -> Iterator[Callable[..., Any]]:
        """`product`, by which a step reaches the one before, for each of the steps `now`, the last one first.

        If nobody wants the gradient of the initial state, nothing takes its place at the first step.
        """
        skipped = now.start == 0 and not to_state
        return chain(repeat(product, now.stop - now.start - skipped), repeat(_nothing, skipped))

    def kept(self, F: int) -> Array | None:
        """A buffer (T, F, B) for a gradient of every step; None where nobody receives it."""
        return None if self.step_gradients is None else self.buffer(F)

    def kept_back(self, a: Array | None, now: slice) -> Iterator[Array | None]:
        """Of each of the steps `now`, the last one first, the place of its gradient in `kept`, or None."""
        return repeat(None) if a is None else iter(per_step(a[now][::-1]))

    def hand_out(self, **kept: Array | None) -> None:
        """Pass the gradients of every step on, by the name of the state's array."""
        for name, a in kept.items():
            if self.step_gradients is not None and a is not None:
                self.step_gradients.add(name, self.xp.ascontiguousarray(self.turn(batch_major(a))))

    def carried(self, g: Array) -> Array:
        """A `per_step` copy of g (B, H): the gradient that BPTT carries from step to step in place."""
        copy = per_step(self.xp.empty(g.shape[::-1], g.dtype))
        copy[...] = per_step(g.T)
        return copy

    def initial_gradient(self, dh: Array) -> Array:
        """The carried gradient after BPTT, as (B, H)."""
        return dh.reshape(-1, self.B).T

    def input_gradient(self, dz: Array, Wc: Array, needed: bool) -> Array | None:
        """dx(t) = Wcᵀ dz(t) for all steps: (T, B, I) in time order."""
        if not needed:
            return None
        n = self.T * self.B
        dx = self.columns(Wc.T, flat(dz)).T if n <= FEW else self.xp.matmul(flat(dz).T, Wc)
        return self.turn(dx.reshape(self.T, self.B, Wc.shape[1]))

    def step_columns(self, label: int, a: Array) -> Array:
        """(F, n): the columns of [t, feature, example] that belong to time step `label`."""
        return self.rows(label, batch_major(a)).T

    def weight_gradients(
        self, left: Array, *factors: tuple[Array, bool], rows: StepRows | None = None
    ) -> list[PerStepSum | None]:
        """dW = Σ_t left(t) right(t)ᵀ in one product over all steps (slide 97), for each right factor that is needed; on
        request each step's share of it, or the shares' norms.

        left and right are `time_buffer`s, or views of one. For a bias, right is the row of ones [t, example], which is
        faster than a sum, and the result is (F,). `rows` are left's `step_rows`, where others share them.
        """
        matmul, columns = self.xp.matmul, self.step_columns
        left_rows = self.step_rows(left) if rows is None else rows

        def gradient(right: Array) -> PerStepSum:
            if right.ndim == 2:
                ones = right[:, None]
                many = self.B == 1 and self.T > LONG  # of such rows a product with a vector adds one by one
                return PerStepSum(
                    accurate_sum(left[:, :, 0], 0) if many else matmul(flat(left), flat(ones).T)[:, 0],
                    self.labels,
                    lambda label: matmul(columns(label, left), columns(label, ones).T)[:, 0],
                    lambda: self.step_norms(left_rows, StepRows(None)),
                )
            return PerStepSum(
                long_product(flat(left), flat(right).T),
                self.labels,
                lambda label: matmul(columns(label, left), columns(label, right).T),
                lambda: self.step_norms(left_rows, self.step_rows(right)),
            )

        return [gradient(right) if needed else None for right, needed in factors]

    def step_rows(self, a: Array) -> StepRows:
        """The examples' rows at each time step, of [t, feature, example] in read order."""
        return StepRows(lambda: self.turn(batch_major(a)))

    def step_norms(self, left: StepRows, right: StepRows) -> dict[int, float]:
        """The norms of left(t)ᵀ right(t) by time step. At padding left is zero, and adds nothing."""
        norms = norms_of_products(left, right)
        return {label: float(norms[label]) for label in self.labels}

    def rule(
        self, bptt: Callable[..., Any], step: Callable[..., Any], states: int, every_state: bool = False, **options: Any
    ) -> mg.JointRule:
        """The primitive's rule: `bptt(gs, needs, *inputs)` on arrays.

        In a recorded backward pass (`create_graph`) the sequence runs op by op instead, with `step` and `options`.
        """

        def rule(xp: Any, gs: Any, needs: Any, *inputs: Any) -> Any:
            if not isinstance(gs[0], Tensor):
                return bptt(gs, needs, *inputs)
            sequence = partial(
                unroll, step, states, self.backward, lengths=self.lengths, every_state=every_state,
                step_gradients=self.step_gradients, **options,
            )  # fmt: skip
            return rule_through_graph(sequence, inputs, gs, needs)

        return mg.JointRule(rule)


def _nothing(a: Array, out: Array) -> None:
    """No product."""


def map_sums(function: Callable[..., Array], *sums: PerStepSum | None) -> PerStepSum | None:
    """`function` of the sums' totals, and of their shares at each step; None where one of them is None.

    The function joins its arguments, or puts their entries in another order.
    """
    if None in sums:
        return None
    present: Any = sums

    def norms() -> dict[Any, float]:
        parts = [s.norms() for s in present]
        return {t: math.hypot(*[part[t] for part in parts]) for t in parts[0]}

    return PerStepSum(
        function(*[s.total for s in present]),
        present[0].steps,
        lambda label: function(*[s.at(label) for s in present]),
        norms,
    )
