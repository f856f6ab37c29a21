"""Nodes that are held survive backward passes, whoever runs them, until the last hold on them is released."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine import tape
from minigrad.engine.backward_pass import consume, reachable


def graph() -> tuple[mg.Tensor, mg.Tensor, Any]:
    x = mg.tensor(np.arange(3.0), requires_grad=True)
    y = mg.exp(x) * 2.0
    return x, y, reachable([y.node])


def test_a_held_graph_is_walked_again_and_what_is_above_it_is_not() -> None:
    x, y, nodes = graph()
    hold, other = tape.Hold(nodes), tape.Hold(nodes)
    loss = (y * y).sum()
    loss.backward()
    with pytest.raises(mg.GraphError, match="consumed the graph"):
        loss.backward()
    y.sum().backward()
    hold.release()
    hold.release()  # only its own hold goes
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 8 * np.exp(2 * np.arange(3.0)) + 4 * np.exp(np.arange(3.0)), rtol=1e-12)
    other.release()
    assert not tape.held
    y.sum().backward()
    with pytest.raises(mg.GraphError, match="consumed the graph"):
        y.sum().backward()


def test_what_a_recorded_pass_would_drop_is_kept_too() -> None:
    _, y, nodes = graph()
    hold = tape.Hold(nodes)
    consume([y.node], None)
    y.sum().backward()
    hold.release()
    consume([y.node], None)
    with pytest.raises(mg.GraphError, match="consumed the graph"):
        y.sum().backward()
