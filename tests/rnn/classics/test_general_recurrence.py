"""General recurrences: the lecture's figures run, other nets come out as tables, and nonsense is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad_rnn import NARX, RNN, TDNN, GeneralRecurrence, StateSpace
from minigrad_rnn.classics import FIGURES
from tests.support.classics_bench import H, I, O, assert_close, parts_of, series

SIZES = {"x": I, "h": H, "h1": H, "h2": H + 1, "y": O}


def figure(name: str, **options: Any) -> GeneralRecurrence:
    table = FIGURES[name]
    sizes = {n: k for n, k in SIZES.items() if n in ("x", *table)}
    return GeneralRecurrence(sizes, table, dtype="float64", rng=np.random.default_rng(3), **options)


def said(net: Any, xs: np.ndarray, state: Any = None) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(values, gradients by parameter and of xs) of a function of all outputs and the final state."""
    x = mg.tensor(xs, requires_grad=True)
    output, end = net(x, state)
    loss = mg.sin(output * 2.0).sum() + sum((e * e).sum() for e in parts_of(end))
    leaves = {"xs": x, **dict(net.named_parameters())}
    found = mg.gradients(loss, list(leaves.values()))
    return {"output": output.numpy()}, {n: g.numpy() for n, g in zip(leaves, found)}


def split(W: np.ndarray, size: int) -> list[np.ndarray]:
    """The blocks of columns that meet one lag each."""
    return np.split(W, W.shape[1] // size, axis=1)


def narx_names(L: int, K: int) -> tuple[list[str], list[str]]:
    return ["h<-x", *(f"h<-x[t-{k}]" for k in range(1, L + 1))], [f"h<-y[t-{k}]" for k in range(1, K + 1)]


@given(L=st.integers(0, 3), K=st.integers(0, 3), T=st.integers(1, 6))
def test_tdnn_and_narx_as_a_table(L: int, K: int, T: int) -> None:
    """The same outputs and gradients; a weight of the table is a block of columns of theirs."""
    like = NARX(I, H, O, L, K, initial="zeros", dtype="float64") if K else TDNN(I, H, O, L, dtype="float64")
    inputs, fed_back = narx_names(L, K)
    table = {"h": [n.removeprefix("h<-") for n in inputs + fed_back], "y": ["h"]}
    net = GeneralRecurrence({"x": I, "h": H, "y": O}, table, dtype="float64")

    def named(p: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        blocks = dict(zip(inputs, split(p["Wc1"], I))) | (dict(zip(fed_back, split(p["Wr"], O))) if K else {})
        return blocks | {"b(h)": p["b1"], "y<-h": p["Wo"], "b(y)": p["bo"]}

    net.load_state_dict(named(like.state_dict()))
    xs = series(T)
    if not like.state_names:
        found, want = net(xs)[0].numpy(), like(xs)[0].numpy()
        np.testing.assert_allclose(found, want, rtol=0, atol=1e-13)
        return
    assert net.state_names == like.state_names
    start = [series(lags, features=k, seed=7) for lags, k in like.state_sizes.values()]
    (values, gradients), (their_values, theirs) = (said(n, xs, tuple(start)) for n in (net, like))
    assert_close(values, their_values)
    assert_close(gradients, {"xs": theirs.pop("xs"), **named(theirs)})


@pytest.mark.parametrize("initial_state", ["zeros", "learned"])
def test_the_state_space_model_as_a_table(initial_state: str) -> None:
    like = StateSpace(I, H, O, initial_state=initial_state, output_nonlinearity="softmax", dtype="float64")
    net = figure("one recurrent layer", initial_state=initial_state, nonlinearities={"y": "softmax"})
    names = {"h<-x": "Wc", "h<-h[t-1]": "Wr", "b(h)": "b", "y<-h": "Wo", "b(y)": "bo"}
    if initial_state == "learned":
        names["h_init"] = "h_init"
        like.h_init.data = np.arange(H) / H
    net.load_state_dict({n: like.state_dict()[theirs] for n, theirs in names.items()})
    (values, gradients), (their_values, theirs) = (said(n, series(5)) for n in (net, like))
    assert_close(values, their_values)
    assert_close(gradients, {"xs": theirs["xs"]} | {n: theirs[m] for n, m in names.items()})


def test_a_deep_rnn_as_a_table() -> None:
    """Two layers, and the upper one is the output itself."""
    like = RNN(I, H, 2, dtype="float64")
    table = {"h1": ["x", "h1[t-1]"], "h2": ["h1", "h2[t-1]"]}
    net = GeneralRecurrence(
        {"x": I, "h1": H, "h2": H}, table, nonlinearities={"h2": "tanh"}, output="h2", dtype="float64"
    )
    names = {"h1<-x": "forward0.Wc", "h1<-h1[t-1]": "forward0.Wr", "b(h1)": "forward0.b"}
    names |= {"h2<-h1": "forward1.Wc", "h2<-h2[t-1]": "forward1.Wr", "b(h2)": "forward1.b"}
    net.load_state_dict({n: like.state_dict()[theirs] for n, theirs in names.items()})
    start = series(2, features=H, seed=4)
    values, gradients = said(net, series(6), (start[:1], start[1:]))
    their_values, theirs = said(like, series(6), start)
    assert_close(values, their_values)
    assert_close(gradients, {"xs": theirs["xs"]} | {n: theirs[m] for n, m in names.items()})


@pytest.mark.parametrize("name", FIGURES)
def test_the_lectures_figures(name: str) -> None:
    """Each runs, its parameters read like the table, and a series in two pieces is the whole, gradients too."""
    net = figure(name)
    names = [n for n, _ in net.named_parameters()]
    assert sorted(names) == sorted(
        [f"{layer}<-{text}" for layer, texts in FIGURES[name].items() for text in texts]
        + [f"b({layer})" for layer in FIGURES[name]]
    )
    xs = series(6)
    whole, end = net(xs)
    first, state = net(xs[:2])
    second, last = net(xs[2:], state)
    joined = mg.concatenate([first, second])
    np.testing.assert_allclose(joined.numpy(), whole.numpy(), rtol=0, atol=1e-14)
    for a, b in zip(parts_of(end), parts_of(last)):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=1e-14)
    of_pieces, of_whole = (
        mg.gradients((y * y).sum(), list(net.parameters())) for y in (joined, whole)
    )  # fmt: skip
    for n, a, b in zip(names, of_pieces, of_whole):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-11, err_msg=n)


def test_the_order_of_the_table_is_no_matter() -> None:
    """A layer may be written before what it reads; the outputs are the same."""
    sizes = {"y": O, "h2": H, "x": I, "h1": H}
    table = {"y": ["h2", "h1"], "h2": ["h1", "h2 [ t - 1 ]"], "h1": ["x[t]", "h1[t-1]"]}
    net = GeneralRecurrence(sizes, table, dtype="float64")
    tidy = {"h1": ["x", "h1[t-1]"], "h2": ["h1", "h2[t-1]"], "y": ["h2", "h1"]}
    other = GeneralRecurrence({"x": I, "h1": H, "h2": H, "y": O}, tidy, dtype="float64")
    other.load_state_dict(net.state_dict())
    assert list(net.connections) == ["h1", "h2", "y"]
    np.testing.assert_array_equal(net(series(4))[0].numpy(), other(series(4))[0].numpy())
    assert net.weight("h2", "h2[ t-1 ]") is dict(net.named_parameters())["h2<-h2[t-1]"]
    with pytest.raises(KeyError, match=r"GeneralRecurrence.weight: target, connection: got 'h2<-h2\[t-3\]'"):
        net.weight("h2", "h2[t-3]")


def test_an_influence_takes_its_lag() -> None:
    """Through x[t-1] and h[t-2] alone an input is heard after one, three, five … steps."""
    net = GeneralRecurrence({"x": I, "h": H, "y": O}, {"h": ["x[t-1]", "h[t-2]"], "y": ["h"]}, dtype="float64")
    xs = series(9)
    moved = xs.copy()
    moved[1] += 1.0
    changed = np.abs(net(moved)[0].numpy() - net(xs)[0].numpy()).max(axis=(1, 2)) > 1e-9
    assert changed.tolist() == [False, False, True, False, True, False, True, False, True]


def test_learned_initial_states() -> None:
    net = figure("all of these", initial_state="learned")
    shapes = {n: p.shape for n, p in net.named_parameters() if n.endswith("_init")}
    assert shapes == {"x_init": (I,), "h1_init": (2, H), "h2_init": (H + 1,), "y_init": (2, O)}
    rng = np.random.default_rng(0)
    for n in net.state_names:
        p = getattr(net, f"{n}_init")
        p.data = rng.standard_normal(p.shape)
    start = [
        np.repeat(getattr(net, f"{n}_init").numpy().reshape(lags, 1, k), 2, axis=1)
        for n, (lags, k) in net.state_sizes.items()
    ]  # fmt: skip
    np.testing.assert_array_equal(net(series(4))[0].numpy(), net(series(4), tuple(start))[0].numpy())


def test_layouts_checkpoints_and_the_device(xp: Any, tmp_path: Any) -> None:
    net, turned = figure("all of these"), figure("all of these", batch_first=True)
    xs = xp.array(series(5))
    with xp.no_sync():
        output, state = net(xs)
        flipped, _ = turned(xs.swapaxes(0, 1))
        alone, one = net(xs[:, 0])
    np.testing.assert_array_equal(flipped.numpy(), output.numpy().swapaxes(0, 1))
    np.testing.assert_allclose(alone.numpy(), output.numpy()[:, 0], rtol=0, atol=1e-14)
    for a, b in zip(state, one):
        np.testing.assert_allclose(b.numpy(), a.numpy()[:, 0], rtol=0, atol=1e-14)
    mg.save(tmp_path / "net.npz", net.state_dict())
    other = GeneralRecurrence(net.sizes, net.connections, dtype="float64")
    other.load_state_dict(mg.load(tmp_path / "net.npz")[0])
    np.testing.assert_array_equal(other(xs)[0].numpy(), output.numpy())


def table(**changed: Any) -> dict[str, Any]:
    return {"h": ["x", "h[t-1]"], "y": ["h"], **changed}


@pytest.mark.parametrize(
    ("connections", "options", "message"),
    [
        (table(y=["h", "z"]), {}, "connections: y: got the unknown layer 'z', want one of"),
        (table(z=["h"]), {}, "connections: got the unknown layer 'z', want one of"),
        (table(x=["h[t-1]"]), {}, "connections: got 'x', want no connection into the input"),
        (table(h=["x", "y"]), {}, "connections: got the cycle (y → h → y|h → y → h) within one step, want a lag"),
        (table(h=["x", "h"]), {}, r"connections: got the cycle h → h within one step, want a lag, as in 'h\[t-1\]'"),
        (table(h=["x", "h[t+1]"]), {}, r"connections: h: got 'h\[t\+1\]', which points forward in time"),
        (table(h=["x", "h[t--1]"]), {}, r"connections: h: got 'h\[t--1\]', want a layer's name"),
        (table(h=["x", "h[t-1"]), {}, "connections: h: got 'h.t-1', want a layer's name"),
        (table(h=["x", "h[-1]"]), {}, "connections: h: got"),
        (table(h=["x", ""]), {}, "connections: h: got '', want a layer's name"),
        (table(h=["x", "h[t-1]", "h[t - 1]"]), {}, r"connections: h: got 'h\[t-1\]' twice, want it once"),
        (table(h=[]), {}, "connections: got none into 'h', want at least one"),
        ({"y": ["x"]}, {}, "connections: got none into 'h', want at least one"),
        (table(y=["x"]), {}, "connections: got none that lead from 'h' to the output 'y', want a path"),
        (table(h=["h[t-1]"]), {}, "connections: got none that lead from 'x' to the output 'y'"),
        (table(), {"input": "u"}, "input: got 'u', want one of the layers"),
        (table(), {"output": "x"}, "output: got 'x', want another layer than the input"),
        (table(), {"nonlinearities": {"x": "tanh"}}, "nonlinearities: got 'x', want one of"),
        (table(), {"nonlinearities": {"h": "tan"}}, "nonlinearities: h: got 'tan', want one of"),
        (table(), {"initial_state": "ones"}, "initial_state: got 'ones', want one of"),
    ],
)
def test_tables_that_say_nonsense(connections: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^GeneralRecurrence: {message}"):
        GeneralRecurrence({"x": I, "h": H, "y": O}, connections, **options)


def test_a_longer_cycle_is_named_in_the_direction_of_its_connections() -> None:
    sizes = dict.fromkeys(["x", "a", "b", "c", "y"], 2)
    with pytest.raises(ValueError, match=r"the cycle (a → b → c → a|b → c → a → b|c → a → b → c) within one step"):
        GeneralRecurrence(sizes, {"a": ["x", "c"], "b": ["a"], "c": ["b", "c[t-1]"], "y": ["c"]})


@pytest.mark.parametrize(
    ("connections", "message"),
    [
        (table(h=["x", 1]), "GeneralRecurrence: connections: h: got int, want text"),
        (table(h="x"), "GeneralRecurrence: connections: h: got text, want a list"),
    ],
)
def test_connections_that_are_no_text(connections: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        GeneralRecurrence({"x": I, "h": H, "y": O}, connections)


def test_sizes_are_whole_numbers_and_calls_are_checked() -> None:
    with pytest.raises(ValueError, match="GeneralRecurrence: sizes: h: got 0, want a whole number of at least 1"):
        GeneralRecurrence({"x": I, "h": 0, "y": O}, table())
    net = figure("more than one lag")
    with pytest.raises(ValueError, match=r"GeneralRecurrence: xs: got shape \(4, 2, 5\), want \(T, B, 3\)"):
        net(np.ones((4, 2, 5)))
    with pytest.raises(ValueError, match=r"GeneralRecurrence: state: h: got shape \(1, 2, 4\), want \(2, 2, 4\)"):
        net(np.ones((4, 2, 3)), np.ones((1, 2, 4)))
    assert repr(net) == "GeneralRecurrence({'x': 3, 'h': 4, 'y': 2}, h ← x, h[t-1], h[t-2]; y ← h)"
