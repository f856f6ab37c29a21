"""Arrays of the user's that go into modules and losses, and are written into before the backward pass.

Every array argument in turn, each way: the gradients are those of what was computed, or a GraphError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor
from minigrad_rnn import (
    NARX,
    TDNN,
    AdditiveAttention,
    CellMasks,
    DotAttention,
    Elman,
    Encoder,
    GeneralAttention,
    Jordan,
    LSTMCell,
    ManyToMany,
    ManyToOne,
    OneToMany,
    OneToOne,
    StateSpace,
    Truncation,
    ctc_loss,
    general_divergence,
    local_divergence,
)
from minigrad_rnn.__main__ import NETWORKS
from tests.engine.leaves import noise
from tests.support.native_library import require_compiler

T, B, I, H = 4, 2, 3, 3
F64: dict[str, Any] = {"rng": 0, "dtype": "float64"}
Use = tuple[Callable[[], Any], Callable[..., Any], list[Callable[[], Any]]]
"""A module with the parameters, a call of it with arrays, and what makes the arrays."""
USES: dict[str, Use] = {}


def arrays(*shapes: tuple[int, ...]) -> list[Callable[[], Any]]:
    return [lambda shape=shape, k=k: noise(*shape, seed=k) for k, shape in enumerate(shapes)]  # type: ignore[misc]


def lengths() -> Any:
    return np.array([4, 2])


def flags() -> Any:
    return np.arange(T * B).reshape(T, B) % 2 == 0


def words() -> Any:
    return np.array([[0, 1], [2, 2], [1, 0], [2, 1]])


for name, network in NETWORKS.items():
    for impl in ("graph", "fused", "native") if name in ("rnn", "lstm", "gru") else ("graph",):
        states = 2 if "lstm" in name else 1
        shapes = [(T, B, I), *[(2, B, H)] * states]

        def run(net: Any, xs: Any, *state: Any) -> Any:
            return net(xs, state if len(state) > 1 else state[0])[0]

        make = lambda network=network, impl=impl: network(I, H, 2, impl=impl, **F64)  # noqa: E731
        USES[f"{name} {impl}"] = (make, run, arrays(*shapes))
        USES[f"{name} {impl}, lengths"] = (
            make,
            lambda net, xs, spans: net(xs, lengths=spans)[0],
            [*arrays((T, B, I)), lengths],
        )

RNN = NETWORKS["rnn"]
NETS: dict[str, tuple[Any, list[Any]]] = {
    "elman": (lambda: Elman(I, H, 2, **F64), [(T, B, I)]),
    "jordan": (lambda: Jordan(I, H, 2, **F64), [(T, B, I)]),
    "tdnn": (lambda: TDNN(I, H, 2, delays=2, **F64), [(T, B, I)]),
    "state space": (lambda: StateSpace(I, H, 2, **F64), [(T, B, I)]),
    "narx": (lambda: NARX(I, H, 2, 1, 1, initial="zeros", **F64), [(T, B, I)]),
    "linear": (lambda: mg.nn.Linear(I, 2, **F64), [(T, B, I)]),
    "layer norm": (lambda: mg.nn.LayerNorm(I, dtype="float64"), [(T, B, I)]),
    "sequential": (lambda: mg.nn.Sequential(mg.nn.Tanh(), mg.nn.Linear(I, 2, **F64)), [(T, B, I)]),
    "one to one": (lambda: OneToOne(RNN(I, H, **F64), mg.nn.Linear(H, 2, **F64)), [(B, I), (1, B, H)]),
    "one to one, no recurrence": (lambda: OneToOne(None, mg.nn.Linear(I, 2, **F64)), [(B, I)]),
    "many to one": (lambda: ManyToOne(RNN(I, H, **F64), mg.nn.Linear(H, 2, **F64)), [(T, B, I)]),
    "many to many": (lambda: ManyToMany(RNN(I, H, **F64), mg.nn.Linear(H, 2, **F64)), [(T, B, I)]),
    "encoder": (lambda: Encoder(None, I, H, **F64), [(T, B, I)]),
    "lstm cell": (lambda: LSTMCell(I, H, **F64), [(B, I)]),
    "additive attention": (lambda: AdditiveAttention(I, H, 2, **F64), [(T, B, I), (5, B, H)]),
    "general attention": (lambda: GeneralAttention(I, H, **F64), [(T, B, I), (5, B, H)]),
}
for name, (make_net, shapes) in NETS.items():
    USES[name] = (make_net, lambda net, *values: net(*values), arrays(*shapes))
for feedback in ("input", "zeros", "output"):
    USES[f"one to many, {feedback}"] = (
        lambda feedback=feedback: OneToMany(RNN(I, H, **F64), mg.nn.Linear(H, I, **F64), feedback),
        lambda net, x, state: net(x, T, state)[0],
        arrays((B, I), (1, B, H)),
    )
USES["one to many, targets"] = (
    lambda: OneToMany(RNN(I, H, **F64), mg.nn.Linear(H, I, **F64)),
    lambda net, x, targets, forced: net(x, T, targets=targets, forced=forced)[0],
    [*arrays((B, I), (T, B, I)), flags],
)
USES["masks"] = (
    lambda: RNN(I, H, zoneout=0.5, recurrent_dropout=0.5, **F64),
    lambda net, xs, drop, zone: net(xs, masks={"forward0": CellMasks(None, drop, (zone,))})[0],
    arrays((T, B, I), (B, H), (T, B, H)),
)
USES["truncation"] = (
    lambda: RNN(I, H, **F64),
    lambda net, xs: [window.output for window in Truncation(2).windows(net, xs)],
    arrays((T, B, I)),
)
USES["attention's own arrays"] = (
    lambda: mg.nn.Linear(2, 2, **F64),  # no parameter of it takes part: the gradients are those of the factors
    lambda net, query, memory, spans: DotAttention(2, scaled=True)(query, memory, spans),
    [*arrays((T, B, 2), (4, B, 2)), lengths],
)
READOUT = lambda: mg.nn.Linear(I, H, **F64)  # noqa: E731
LOSSES: dict[str, tuple[Any, list[Any]]] = {
    "cross_entropy": (lambda y, d, w: mg.cross_entropy(y, d, weight=w), [words, lambda: np.ones(H)]),
    "mse": (lambda y, d: mg.mse(y, d), arrays((T, B, H))),
    "bce": (lambda y, d, w: mg.bce_with_logits(y, mg.sigmoid(d), w), arrays((T, B, H), (H,))),
    "local divergence": (
        lambda y, d, w, n: local_divergence("squared_error", y, d, n, w),
        [*arrays((T, B, H), (T,)), lengths],
    ),
    "general divergence": (
        lambda y, d, n: general_divergence(lambda a, b: mg.sum(mg.square(a - b)), y, d, n),
        [*arrays((T, B, H)), lengths],
    ),
    "ctc": (
        lambda y, d, n, m: ctc_loss(mg.log_softmax(y), d, n, m),
        [lambda: np.array([[1, 2], [2, 1]]), lengths, lambda: np.array([2, 1])],
    ),
}
for name, (loss, makers) in LOSSES.items():
    USES[name] = (READOUT, lambda net, xs, *rest, loss=loss: loss(net(xs), *rest), [*arrays((T, B, I)), *makers])
USES["embedding"] = (lambda: mg.nn.Embedding(3, 2, **F64), lambda net, ids: net(ids), [words])


def changed(array: np.ndarray) -> None:
    """Write into an array values that are as permissible."""
    if array.dtype.kind == "f":
        array += 0.25
    else:
        array[...] = array[::-1].copy() if not np.array_equal(array, array[::-1]) else np.roll(array, 1)


def derivatives(use: Use, write: int | None, views: bool) -> list[Any]:
    """Gradients of the parameters and of a factor of every output; `views` of the arrays go in, or the arrays."""
    module, call, makers = use[0](), use[1], use[2]
    values = [make() for make in makers]
    given, leaves = list(values), list(module.parameters())
    if views:  # views of the arrays, made by minigrad, so that it is a constant tensor that goes in
        given = [mg.reshape(v, v.shape) if v.dtype.kind == "f" else v for v in values]
    made = call(module, *given)
    outputs = [made] if isinstance(made, Tensor) else [y for y in made if isinstance(y, Tensor)]
    factors = [mg.tensor(noise(*y.shape, seed=k), requires_grad=True) for k, y in enumerate(outputs)]
    total = sum((mg.sum(y * factor) for y, factor in zip(outputs, factors)), start=mg.zeros((), "float64"))
    if write is not None:
        changed(values[write])
    return [None if g is None else g.numpy() for g in mg.gradients(total, leaves + factors, allow_unused=True)]


@pytest.mark.parametrize("name", USES)
@pytest.mark.parametrize("views", [False, True], ids=["arrays", "views of arrays"])
def test_a_write_into_a_users_array_makes_no_gradient_wrong(name: str, views: bool) -> None:
    if "native" in name:
        require_compiler()
    use = USES[name]
    expected = derivatives(use, None, views)
    for k in range(len(use[2])):
        try:
            found = derivatives(use, k, views)
        except mg.GraphError:
            continue
        for a, b in zip(found, expected):
            np.testing.assert_array_equal(a, b, err_msg=f"array {k}")  # type: ignore[arg-type]
