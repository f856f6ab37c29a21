"""The shapes of input and output: torch's numbers, each sequence alone, and what is fed back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad import nn
from minigrad_rnn import (
    GRU,
    LSTM,
    RNN,
    ManyToMany,
    ManyToOne,
    OneToMany,
    OneToOne,
    Recurrence,
    TeacherForcing,
    constant_schedule,
    torch_state_dict,
)
from minigrad_rnn.seq2seq import io_shapes as shapes

T, B, I, H, O = 5, 3, 4, 3, 2
LENGTHS = [2, 5, 1]
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "sequence_shapes.py"


def network(kind: type[Recurrence] = LSTM, **options: Any) -> Recurrence:
    return kind(I, H, rng=np.random.default_rng(0), dtype="float64", **options)


def readout(features: int, to: int = O) -> nn.Linear:
    return nn.Linear(features, to, rng=np.random.default_rng(1), dtype="float64")


def drawn(*shape: int, seed: int = 2) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


def gradients(loss: Any, *leaves: Any) -> list[Any]:
    return [g.numpy() for g in mg.gradients(loss, list(leaves))]


# One-to-one


def test_one_to_one_is_a_step_or_an_mlp() -> None:
    x = drawn(B, I)
    for batch_first in (False, True):
        net = network(batch_first=batch_first)
        y, state = OneToOne(net, readout(H))(x)
        hs, want = net(x[:, None] if batch_first else x[None])
        np.testing.assert_allclose(y.numpy(), readout(H)(hs[:, 0] if batch_first else hs[0]).numpy(), atol=1e-14)
        again, _ = OneToOne(net, readout(H))(x, state)
        assert np.abs(again.numpy() - y.numpy()).max() > 1e-3  # the state counts
        np.testing.assert_allclose(state[1].numpy(), want[1].numpy(), atol=1e-14)
    mlp = nn.Sequential(readout(I, 6), nn.Tanh(), readout(6))
    y, state = OneToOne(None, mlp)(mg.tensor(x))
    assert state is None
    np.testing.assert_allclose(y.numpy(), mlp(mg.tensor(x)).numpy(), atol=1e-14)


# One-to-many


@pytest.mark.parametrize("feedback", ["output", "input", "zeros", "module"])
def test_one_to_many_is_torchs(feedback: str) -> None:
    torch = pytest.importorskip("torch")
    net, back = network(num_layers=2), readout(O, I)
    read = readout(H, I if feedback == "output" else O)
    model = OneToMany(net, read, back if feedback == "module" else feedback)
    theirs = torch.nn.ModuleDict(
        {"net": torch.nn.LSTM(I, H, 2), "read": torch.nn.Linear(H, read.weight.shape[0]), "back": torch.nn.Linear(O, I)}
    ).double()
    for name, module in (("net", net), ("read", read), ("back", back)):
        theirs[name].load_state_dict({k: torch.tensor(a) for k, a in torch_state_dict(module).items()})
    x = drawn(B, I)
    leaf, other = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    ys, (h, c) = model(leaf, T)
    fed, state, every = other, None, []
    for _ in range(T):
        hs, state = theirs["net"](fed[None], state)
        every.append(theirs["read"](hs[0]))
        fed = {"output": every[-1], "input": other, "zeros": torch.zeros_like(other)}.get(feedback)
        fed = theirs["back"](every[-1]) if fed is None else fed
    want = torch.stack(every)
    np.testing.assert_allclose(ys.numpy(), want.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(h.numpy(), state[0].detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(c.numpy(), state[1].detach().numpy(), atol=1e-12)
    w = drawn(*ys.shape, seed=3)
    (ys * w).sum().backward()
    (want * torch.tensor(w)).sum().backward()
    np.testing.assert_allclose(leaf.grad.numpy(), other.grad.numpy(), atol=1e-12)
    for mine, its in zip(read.parameters(), theirs["read"].parameters()):
        np.testing.assert_allclose(mine.grad.numpy(), its.grad.numpy(), atol=1e-12)
    if feedback == "module":
        np.testing.assert_allclose(back.weight.grad.numpy(), theirs["back"].weight.grad.numpy(), atol=1e-12)


@settings(max_examples=20)
@given(st.data(), st.sampled_from(["output", "input", "zeros"]), st.booleans(), st.sampled_from([RNN, LSTM, GRU]))
def test_one_to_many_with_lengths_is_each_alone(data: Any, feedback: str, batch_first: bool, kind: Any) -> None:
    steps = data.draw(st.integers(1, 5))
    lengths = data.draw(st.lists(st.integers(1, steps), min_size=1, max_size=4))
    model = OneToMany(network(kind, batch_first=batch_first), readout(H, I), feedback)
    x = drawn(len(lengths), I)
    ys, state = model(x, steps, lengths=lengths)
    last = state[0] if isinstance(state, tuple) else state
    for b, n in enumerate(lengths):
        alone, its = model(x[b : b + 1], n)
        mine = ys.numpy()[b] if batch_first else ys.numpy()[:, b]
        np.testing.assert_allclose(mine[:n], alone.numpy()[0] if batch_first else alone.numpy()[:, 0], atol=1e-12)
        assert (mine[n:] == 0).all()
        its = its[0] if isinstance(its, tuple) else its
        np.testing.assert_allclose(last.numpy()[:, b], its.numpy()[:, 0], atol=1e-12)


@pytest.mark.parametrize("batch_first", [False, True])
def test_teacher_forcing_feeds_the_truth_where_the_coin_says(batch_first: bool, xp: Any) -> None:
    model = OneToMany(network(batch_first=batch_first), readout(H, I)).to(xp.name)
    x, targets = drawn(B, I), drawn(T, B, I, seed=4)
    coins = TeacherForcing(constant_schedule(0.5), np.random.default_rng(1)).draw(0, T, B)
    coins[0] = True
    leaf = mg.tensor(x, requires_grad=True)
    given, tossed = (targets.swapaxes(0, 1), coins.T) if batch_first else (targets, coins)
    ys, _ = model(leaf, T, targets=xp.array(given), forced=tossed)
    # By hand, one step after another: the same inputs, the same gradient through what was fed back.
    twin = mg.tensor(x, requires_grad=True)
    fed, state, every = twin, None, []
    for t in range(T):
        if t:
            gate = mg.tensor(coins[t][:, None].astype(float))
            fed = gate * mg.tensor(targets[t - 1]) + (1 - gate) * every[-1]
        hs, state = model.recurrence(fed[:, None] if batch_first else fed[None], state)
        every.append(model.readout(hs[:, 0] if batch_first else hs[0]))
    want = mg.stack(every, axis=1 if batch_first else 0)
    np.testing.assert_allclose(ys.numpy(), want.numpy(), atol=1e-12)
    for mine, other in zip(
        gradients(mg.sum(mg.square(ys)), leaf, *model.parameters()),
        gradients(mg.sum(mg.square(want)), twin, *model.parameters()),
    ):
        np.testing.assert_allclose(mine, other, atol=1e-11)
    free, _ = model(leaf, T)
    assert np.abs(free.numpy() - ys.numpy()).max() > 1e-3


@pytest.mark.parametrize("feedback", ["output", "module"])
@pytest.mark.parametrize("tossed", [False, True])
def test_targets_at_padding_have_no_influence(feedback: str, tossed: bool) -> None:
    model = OneToMany(network(), readout(H, I), readout(I, I) if feedback == "module" else "output")
    x, targets, outside = drawn(B, I), drawn(T, B, I), np.arange(T)[:, None] >= np.array(LENGTHS)
    coins = np.random.default_rng(0).random((T, B)) < 0.7 if tossed else None
    result = []
    for padding in (0.0, np.nan):
        targets[outside] = padding
        ys, _ = model(x, T, lengths=LENGTHS, targets=targets, forced=coins)
        result.append([ys.numpy(), *gradients(mg.sum(mg.square(ys)), *model.parameters())])
    for mine, other in zip(*result):
        np.testing.assert_array_equal(mine, other)


# Many-to-one


@pytest.mark.parametrize("pool", shapes.POOLS)
@pytest.mark.parametrize("merge", ["concat", "sum", "mean"])
@pytest.mark.parametrize("depth", [1, 2, (1, 2), (2, 1)])
def test_many_to_one_pools_each_sequence_alone(pool: str, merge: str, depth: Any) -> None:
    many_to_one_is_each_alone(pool, merge, depth)


def many_to_one_is_each_alone(pool: str, merge: str, depth: Any, batch_first: bool = False) -> None:
    net = network(GRU, num_layers=depth, bidirectional=True, merge=merge, batch_first=batch_first)
    model = ManyToOne(net, readout(2 * H if merge == "concat" else H), pool)
    xs = drawn(T, B, I)
    xs[np.arange(T)[:, None] >= np.array(LENGTHS)] = np.nan
    leaf = mg.tensor(xs.swapaxes(0, 1).copy() if batch_first else xs, requires_grad=True)
    y = model(leaf, lengths=LENGTHS)
    mg.sum(mg.square(y)).backward()
    grad = leaf.grad.numpy().swapaxes(0, 1) if batch_first else leaf.grad.numpy()
    for b, n in enumerate(LENGTHS):
        alone = mg.tensor(xs[:n, b : b + 1].copy(), requires_grad=True)
        net.batch_first = False
        hs, _, states = net(alone, return_states=True)
        net.batch_first = batch_first
        if pool == "last":  # read backward, the last step is the first
            forward, backward = depth if isinstance(depth, tuple) else (depth, depth)
            every = states[0] if isinstance(states, (tuple, list)) else states
            f = every[net.cell_names.index(f"forward{forward - 1}"), -1]
            g = every[net.cell_names.index(f"backward{backward - 1}"), 0]
            left = mg.concatenate([f, g], axis=-1) if merge == "concat" else f + g
            left = left * 0.5 if merge == "mean" else left
        else:
            left = mg.mean(hs, axis=0) if pool == "mean" else mg.max(hs, axis=0)
        want = model.readout(left)
        np.testing.assert_allclose(y.numpy()[b], want.numpy()[0], atol=1e-12)
        np.testing.assert_allclose(grad[:n, b], gradients(mg.sum(mg.square(want)), alone)[0][:, 0], atol=1e-12)
        assert (grad[n:, b] == 0).all()


@pytest.mark.parametrize("pool", shapes.POOLS)
def test_many_to_one_batch_first(pool: str) -> None:
    many_to_one_is_each_alone(pool, "concat", 2, batch_first=True)


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_a_pool_that_reads_padding_is_caught(pool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Longer(shapes.Lengths):
        def __init__(self, steps: Any, T: int, *rest: Any) -> None:
            super().__init__(np.full(len(steps), T), T, *rest)

    monkeypatch.setattr(shapes, "Lengths", Longer)
    with pytest.raises(AssertionError):
        many_to_one_is_each_alone(pool, "concat", 1)


@pytest.mark.parametrize("rows", [[-1, -2], [0, -1]], ids=["directions swapped", "the bottom layer's"])
def test_the_wrong_rows_of_the_state_are_caught(rows: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "top_rows", lambda net: rows)
    with pytest.raises(AssertionError):
        many_to_one_is_each_alone("last", "concat", 2)


# Many-to-many, synchronous


@settings(max_examples=20)
@given(st.data(), st.booleans(), st.booleans())
def test_many_to_many_is_each_alone(data: Any, batch_first: bool, both: bool) -> None:
    steps = data.draw(st.integers(1, 6))
    lengths = data.draw(st.lists(st.integers(1, steps), min_size=1, max_size=4))
    model = ManyToMany(network(batch_first=batch_first, bidirectional=both), readout(2 * H if both else H))
    xs = drawn(steps, len(lengths), I)
    outside = np.arange(steps)[:, None] >= np.array(lengths)
    xs[outside] = np.nan
    leaf = mg.tensor(xs.swapaxes(0, 1).copy() if batch_first else xs, requires_grad=True)
    ys, _ = model(leaf, lengths=lengths)
    mg.sum(mg.square(ys)).backward()
    outputs, grad = (a.swapaxes(0, 1) if batch_first else a for a in (ys.numpy(), leaf.grad.numpy()))
    assert (outputs[outside] == 0).all()
    assert (grad[outside] == 0).all()
    for b, n in enumerate(lengths):
        x = xs[:n, b : b + 1]
        alone, _ = model(x.swapaxes(0, 1).copy() if batch_first else x)
        np.testing.assert_allclose(outputs[:n, b], alone.numpy().reshape(n, O), atol=1e-12)


def test_padding_that_is_left_as_it_is_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "_zero_padding", lambda name, ys, lengths, batch_first: ys)
    for test in (test_many_to_many_is_each_alone, test_one_to_many_with_lengths_is_each_alone):
        with pytest.raises(AssertionError):
            test()


# All of them


def models() -> dict[str, Any]:
    x, xs = drawn(B, I), drawn(T, B, I)
    return {
        "one-to-one": (OneToOne(network(), readout(H)), lambda m, at: m(at(x))[0]),
        "output": (OneToMany(network(), readout(H, I)), lambda m, at: m(at(x), T, lengths=LENGTHS)[0]),
        "zeros": (OneToMany(network(), readout(H), "zeros"), lambda m, at: m(at(x), T, lengths=LENGTHS)[0]),
        **{
            pool: (ManyToOne(network(), readout(H), pool), lambda m, at: m(at(xs), lengths=LENGTHS))
            for pool in shapes.POOLS
        },
        "many-to-many": (ManyToMany(network(), readout(H)), lambda m, at: m(at(xs), lengths=LENGTHS)[0]),
    }


@pytest.mark.parametrize("name", list(models()))
def test_on_a_device_nobody_waits_and_differences_agree(name: str, xp: Any) -> None:
    model, call = models()[name]
    want = call(model.to("numpy"), np.asarray).numpy()
    model.to(xp.name)
    placed: list[Any] = []
    call(model, lambda a: placed.append(xp.array(a)) or placed[-1])
    with xp.no_sync():
        y = call(model, lambda a: placed[0])
        mg.sum(mg.square(y)).backward()
    np.testing.assert_allclose(y.numpy(), want, atol=1e-12)
    if xp.name == "numpy":
        assert mg.gradcheck(lambda *_: mg.mean(mg.square(call(model, np.asarray))), list(model.parameters()))


def test_dropout_masks_are_drawn_once_for_the_sequence() -> None:
    net = network(GRU, num_layers=2, dropout=0.5, recurrent_dropout=0.5, zoneout=0.2)
    model, x = OneToMany(net, readout(H, I)), drawn(B, I)
    net.rng = np.random.default_rng(7)
    ys, _ = model(x, T)
    # The same masks, handed to the recurrence with the inputs that were read.
    masks = net.draw_masks(T, B, np.random.default_rng(7))
    hs, _ = net(np.concatenate([x[None], ys.numpy()[:-1]]), masks=masks)
    np.testing.assert_allclose(model.readout(hs).numpy(), ys.numpy(), atol=1e-12)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: OneToOne(network(), readout(H))(drawn(T, B, I)), "OneToOne: x: got shape"),
        (lambda: OneToOne(None, readout(I))(drawn(B, I), 1), "OneToOne: state: got one"),
        (lambda: OneToMany(network(), readout(H), "noise"), "OneToMany: feedback: got 'noise'"),
        (lambda: OneToMany(network(bidirectional=True), readout(H)), "OneToMany: recurrence: got two directions"),
        (lambda: OneToMany(network(), readout(H, I))(drawn(B, I), 0), "OneToMany: steps: got 0"),
        (lambda: OneToMany(network(), readout(H), "input")(drawn(B, I), 2.0), "OneToMany: steps: got 2.0"),
        (lambda: OneToMany(network(), readout(H))(drawn(B, I), 2), r"OneToMany: feedback: got 'output' for y\(t\)"),
        (
            lambda: OneToMany(network(), readout(H, I))(drawn(B, I), 2, targets=drawn(2, B, 1)),
            r"OneToMany: targets: got \(1,\) features, want \(4,\)",
        ),
        (lambda: OneToMany(network(), readout(H, I))(drawn(B, I), 3, lengths=[1, 2, 4]), "OneToMany: lengths: got 4"),
        (lambda: OneToMany(network(), readout(H, I))(drawn(B, I), 3, forced=np.ones((3, B), bool)), "without targets"),
        (lambda: ManyToOne(network(), readout(H), "sum"), "ManyToOne: pool: got 'sum'"),
        (lambda: ManyToOne(network(), readout(H))(drawn(T, I)), "ManyToOne: xs: got shape"),
        (lambda: ManyToMany(network(), readout(H))(drawn(T, B, I + 1)), "LSTM: xs: got shape"),
    ],
)
def test_errors_say_what_is_wrong(call: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: OneToOne(network(), readout(H))([[1.0]]), "OneToOne: x: got list"),
        (lambda: OneToMany(network(), readout(H, I))([[1.0]], 2), "OneToMany: x: got list"),
        (lambda: OneToMany(network(), readout(H, I))(drawn(B, I), 2, targets=[1.0]), "OneToMany: targets: got list"),
        (
            lambda: OneToMany(network(), readout(H, I))(drawn(B, I), 2, targets=np.zeros((2, B, I), int)),
            "OneToMany: targets: got dtype int64, want float64",
        ),
        (lambda: ManyToOne(network(), readout(H))([[[1.0]]]), "ManyToOne: xs: got list"),
    ],
)
def test_what_is_no_array_of_that_kind_is_refused(call: Any, complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        call()


def test_the_example_runs() -> None:
    ran = subprocess.run([sys.executable, str(EXAMPLE), "3"], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    names = [line.split()[0] for line in ran.stdout.splitlines()]
    assert names == ["one_to_one", "one_to_many", "many_to_one", "many_to_many_delayed", "many_to_many_synchronous"]
    assert all(any(c.isdigit() for c in line) for line in ran.stdout.splitlines())
    ran = subprocess.run([sys.executable, str(EXAMPLE), "--help"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "training steps of each (300)" in ran.stdout
