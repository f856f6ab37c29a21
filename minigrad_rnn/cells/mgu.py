"""The minimal gated unit (Zhou, Wu, Zhang & Zhou 2016): one gate forgets and resets, rows in the order f, n:

f = σ(Wc_f x(t) + Wr_f h(t−1) + b_f);   n = tanh(Wc_n x(t) + Wr_n (f · h(t−1)) + b_n)
h(t) = (1 − f) · h(t−1) + f · n
"""

from __future__ import annotations

from typing import Any

import minigrad as mg
from minigrad import Tensor
from minigrad.arguments_of import arguments_of

from .cell import Cell


@arguments_of(Cell)
class MGUCell(Cell):
    """One step of the minimal gated unit (Zhou, Wu, Zhang & Zhou 2016): one gate forgets and resets.

    Equations:
        f = σ(Wc_f x(t) + Wr_f h(t−1) + b_f);  n = tanh(Wc_n x(t) + Wr_n (f · h(t−1)) + b_n)
        h(t) = (1 − f) · h(t−1) + f · n

    Parameters: `Wc` (2H, I), `Wr` (2H, H), `b` (2H,), rows f, n. State: h (B, H).
    """

    gates = 2
    state_names = ("h",)

    def step(self, x: Any, state: tuple[Any, ...], h: Any) -> tuple[Tensor, ...]:
        H = self.hidden_size
        current = mg.linear(x, self.Wc, self.b)
        f = mg.sigmoid(current[:, :H] + mg.linear(h, self.Wr[:H]))
        n = mg.tanh(current[:, H:] + mg.linear(f * h, self.Wr[H:]))
        return (state[0] + f * (n - state[0]),)
