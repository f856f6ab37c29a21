"""Draw random recurrences: any cell, its options, layers, directions, and a call with lengths, masks and a state."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from minigrad_rnn import Recurrence
from minigrad_rnn.__main__ import NETWORKS

Array = np.ndarray[Any, Any]
ACTIVATIONS = (
    "tanh", "relu", "sigmoid", "softsign", "softplus", "elu", ("elu", 0.5), ("affine", 0.5, 0.1), "leaky_relu",
    ("leaky_relu", 0.3), ("thresholded_relu", 0.1), ("scaled_tanh", 1.5, 0.7), "hard_sigmoid",
)  # fmt: skip
"""Of the candidate; what may grow without bound is kept small by the weights, which are ±1/√H."""
GATES = ("sigmoid", "hard_sigmoid", ("hard_sigmoid", 0.3, 0.4), "softsign", "tanh")


@dataclass(frozen=True)
class Case:
    """A network and a call of it, from which a failure can be repeated."""

    kind: str
    sizes: tuple[int, int, int, int]
    """T, B, I, H."""
    num_layers: Any
    options: dict[str, Any]
    lengths: tuple[int, ...] | None
    masked: bool
    """Whether masks are given, if there is dropout; without them the network is in evaluation."""
    given_state: bool
    seed: int

    def net(self, impl: str = "auto", **options: Any) -> Recurrence:
        """A fresh network, with the same weights each time."""
        _, _, I, H = self.sizes
        options = {"impl": impl, "dtype": "float64", "rng": self.seed, **self.options, **options}
        net = NETWORKS[self.kind](I, H, self.num_layers, **options)
        rng = np.random.default_rng(self.seed)
        for name, parameter in net.named_parameters():
            if name.endswith("_init"):  # which start as zeros
                parameter.data = rng.uniform(-0.5, 0.5, parameter.shape)
        return net if self.masked else net.eval()

    @cached_property
    def masks(self) -> Any:
        """Those of the call; in evaluation zoneout's probabilities."""
        return self.net().draw_masks(*self.sizes[:2], self.seed)

    @cached_property
    def xs(self) -> Array:
        """(T, B, I)."""
        return np.random.default_rng(self.seed + 1).standard_normal(self.sizes[:3])

    @cached_property
    def state(self) -> tuple[Array, ...] | None:
        """The initial state's arrays (cells, B, ·), if one is given."""
        if not self.given_state:
            return None
        net, rng = self.net(), np.random.default_rng(self.seed + 2)
        return tuple(rng.uniform(-1, 1, (len(net.cells), self.sizes[1], size)) for size in net.cells[0].state_sizes)

    @property
    def inside_steps(self) -> bool:
        """Whether masks act inside the steps, which the fused implementation refuses."""
        return any(mask.recurrent is not None or mask.zoneout for mask in self.masks.values())


def draw(rng: np.random.Generator) -> Case:
    """Draw a case of up to 6 steps of 3 sequences; in a third of them with options that torch has."""

    def one_of(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    plain = rng.random() < 0.3
    kind = one_of("rnn", "lstm", "gru") if plain or rng.random() < 0.4 else one_of(*NETWORKS)
    T, B, I = (int(one_of(1, 2, n)) for n in rng.integers(1, (7, 4, 4)))
    H = int(one_of(1, 2, 3, 4))
    direction = one_of("forward", "backward", "both", "both")
    options: dict[str, Any] = {
        "bias": one_of(True, True, False), "batch_first": one_of(True, False),
        "bidirectional": direction == "both", "reverse": direction == "backward",
    }  # fmt: skip
    depths = [1, 1, 2, 3, *([(1, 2), (2, 1)] if direction == "both" and not plain else [])]
    num_layers = depths[rng.integers(len(depths))]
    options |= _cell_options(kind, H, options["bias"], plain, rng, one_of)
    if not plain:
        options |= {"initial_state": one_of("zeros", "learned"), "merge": one_of("concat", "sum", "mean")}
        if rng.random() < 0.4:
            options |= {"recurrent_dropout": one_of(0.0, 0.4), "zoneout": one_of(0.0, 0.3)}
            options["dropout"] = one_of(0.0, 0.4) if num_layers not in (1, (1, 1)) else 0.0
    lengths = one_of(None, tuple(int(n) for n in rng.integers(1, T + 1, B)))
    return Case(
        kind, (T, B, I, H), num_layers, options, lengths, bool(rng.random() < 0.7), bool(rng.random() < 0.5),
        int(rng.integers(2**31)),
    )  # fmt: skip


def _cell_options(kind: str, H: int, bias: bool, plain: bool, rng: np.random.Generator, one_of: Any) -> dict[str, Any]:
    """The options of one cell; in half of the cases activations and clip are the usual ones."""
    options: dict[str, Any] = {}
    if kind == "gru":
        options["reset_after"] = plain or one_of(True, False)
    if kind == "rnn":
        options |= {"two_biases": bias and one_of(True, False), "nonlinearity": one_of("tanh", "relu")}
    if kind == "lstm":
        options |= {"two_biases": bias and one_of(True, False), "peephole": not plain and one_of(True, False)}
        options |= {"proj_size": int(rng.integers(0, H)), "forget_bias": one_of(None, 1.0) if bias else None}
    if plain or rng.random() < 0.5:
        return options
    if kind in ("rnn", "indrnn"):
        options["nonlinearity"] = one_of(*ACTIVATIONS)
    if kind in ("lstm", "gru"):
        options |= {"gate_activation": one_of(*GATES), "activation": one_of(*ACTIVATIONS)}
    if kind == "lstm":
        options |= {"output_activation": one_of(None, *ACTIVATIONS), "coupled_gates": one_of(True, False)}
    if kind in ("rnn", "lstm", "gru"):
        options["clip"] = one_of(None, 0.4, 2.0)
    return options
