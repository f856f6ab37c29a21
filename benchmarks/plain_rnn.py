"""PlainRNN is a character RNN in plain NumPy: a loop over time, its derivative written out, and Adagrad.

What one writes without a framework, after Karpathy's blog post (2015). It is a contestant and an independent reference.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any
NAMES = ("Wc", "Wr", "b", "Wo", "bo")


class PlainRNN:
    """h(t) = tanh(Wc x(t) + Wr h(t − 1) + b), logits y(t) = Wo h(t) + bo, with x(t) a one-hot character.

    Args:
        V, H: characters and units. Weights are float64, drawn from a normal distribution of deviation 0.01.
    """

    def __init__(self, V: int, H: int) -> None:
        rng = np.random.default_rng(0)
        shapes = ((H, V), (H, H), (H, 1), (V, H), (V, 1))
        drawn = {name: rng.standard_normal(shape) * 0.01 for name, shape in zip(NAMES, shapes)}
        self.columns = {**drawn, "b": np.zeros((H, 1)), "bo": np.zeros((V, 1))}
        self.squares = {name: np.zeros_like(w) for name, w in self.columns.items()}

    @property
    def weights(self) -> dict[str, Array]:
        """Copies of the weights; b is (H,) and bo (V,)."""
        return {name: w[:, 0].copy() if name in ("b", "bo") else w.copy() for name, w in self.columns.items()}

    def backward(self, inputs: Array, targets: Array, h: Array) -> tuple[float, dict[str, Array], Array]:
        """Return the loss summed over T and averaged over B, its gradients, and the last h.

        Args:
            inputs, targets: integers (T, B).
            h: the state before the first step, (H, B).
        """
        Wc, Wr, b, Wo, bo = (self.columns[name] for name in NAMES)
        T, B = inputs.shape
        V, everyone = Wc.shape[1], np.arange(B)
        xs, hs, ps, loss = {}, {-1: h}, {}, 0.0
        for t in range(T):
            xs[t] = np.zeros((V, B))
            xs[t][inputs[t], everyone] = 1
            hs[t] = np.tanh(Wc @ xs[t] + Wr @ hs[t - 1] + b)
            y = Wo @ hs[t] + bo
            ps[t] = np.exp(y - y.max(axis=0))
            ps[t] /= ps[t].sum(axis=0)
            loss -= np.log(ps[t][targets[t], everyone]).sum() / B
        gradients = {name: np.zeros_like(w) for name, w in self.columns.items()}
        dh_next = np.zeros_like(h)
        for t in reversed(range(T)):
            dy = ps[t] / B
            dy[targets[t], everyone] -= 1 / B
            dz = (Wo.T @ dy + dh_next) * (1 - hs[t] ** 2)
            gradients["Wo"] += dy @ hs[t].T
            gradients["bo"] += dy.sum(axis=1, keepdims=True)
            gradients["Wc"] += dz @ xs[t].T
            gradients["Wr"] += dz @ hs[t - 1].T
            gradients["b"] += dz.sum(axis=1, keepdims=True)
            dh_next = Wr.T @ dz
        return float(loss), gradients, hs[T - 1]

    def adagrad(self, gradients: dict[str, Array], rate: float, largest: float) -> None:
        """Clip the gradients' entries and take a step of Adagrad."""
        for name, w in self.columns.items():
            dw = np.clip(gradients[name], -largest, largest)
            self.squares[name] += dw * dw
            w -= rate * dw / (np.sqrt(self.squares[name]) + 1e-8)
