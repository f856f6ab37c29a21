"""RNN and LSTM: equal to torch.nn in every output, state and gradient, in every implementation; shapes and states."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import LSTM, RNN, LSTMCell, RNNCell

KINDS = {"rnn": RNN, "lstm": LSTM}
IMPLEMENTATIONS = ("graph", "fused", "native")
I, H = 4, 3


def cells_of(model: Any) -> dict[str, Any]:
    """Our cells by torch's suffix: l0, l0_reverse, l1, …"""
    suffix = {"forward": "", "backward": "_reverse"}
    return {
        f"l{layer}{suffix[d]}": getattr(model, f"{d}{layer}")
        for layer in range(model.num_layers)
        for d in model.directions
    }


def torch_twin(model: Any, torch: Any) -> Any:
    """torch's module with our weights; torch's second bias is zero."""
    kind = {"RNN": torch.nn.RNN, "LSTM": torch.nn.LSTM}[type(model).__name__]
    options = {"nonlinearity": model.cell_options["nonlinearity"]} if isinstance(model, RNN) else {}
    twin = kind(
        model.input_size, model.hidden_size, model.num_layers, bias=model.bias, batch_first=model.batch_first,
        bidirectional=model.bidirectional, dtype=torch.float64, **options,
    )  # fmt: skip
    with torch.no_grad():
        for suffix, cell in cells_of(model).items():
            getattr(twin, f"weight_ih_{suffix}").copy_(torch.from_numpy(cell.Wc.numpy()))
            getattr(twin, f"weight_hh_{suffix}").copy_(torch.from_numpy(cell.Wr.numpy()))
            if model.bias:
                getattr(twin, f"bias_ih_{suffix}").copy_(torch.from_numpy(cell.b.numpy()))
                getattr(twin, f"bias_hh_{suffix}").zero_()
    return twin


def drawn(model: Any, T: int, B: int, seed: int = 1) -> tuple[Any, list[Any], Any, list[Any]]:
    """xs, the initial state's arrays, and weights for the output and the final state."""
    rng = np.random.default_rng(seed)
    D, count = len(model.directions), model.num_layers * len(model.directions)
    parts = len(model.cell_type.state_names)
    xs = rng.standard_normal((B, T, I) if model.batch_first else (T, B, I))
    state = [rng.standard_normal((count, B, H)) for _ in range(parts)]
    d_output = rng.standard_normal((*xs.shape[:2], D * H))
    return xs, state, d_output, [rng.standard_normal((count, B, H)) for _ in range(parts)]


def ours(model: Any, xs: Any, state: list[Any], d_output: Any, d_final: list[Any]) -> dict[str, Any]:
    leaf = mg.tensor(xs, requires_grad=True)
    start = [mg.tensor(s, requires_grad=True) for s in state]
    model.zero_grad()
    output, final = model(leaf, tuple(start) if len(start) > 1 else start[0])
    ends = final if isinstance(final, tuple) else (final,)
    loss = (output * d_output).sum()
    for end, d in zip(ends, d_final):
        loss = loss + (end * d).sum()
    loss.backward()
    result = {"output": output.numpy(), "dxs": leaf.grad.numpy()}
    result |= {f"final{k}": e.numpy() for k, e in enumerate(ends)}
    result |= {f"d_init{k}": s.grad.numpy() for k, s in enumerate(start)}
    for suffix, cell in cells_of(model).items():
        result |= {f"d{n}_{suffix}": p.grad.numpy() for n, p in cell.named_parameters()}
    return result


def torchs(twin: Any, xs: Any, state: list[Any], d_output: Any, d_final: list[Any], torch: Any) -> dict[str, Any]:
    leaf = torch.tensor(xs, requires_grad=True)
    start = [torch.tensor(s, requires_grad=True) for s in state]
    output, final = twin(leaf, tuple(start) if len(start) > 1 else start[0])
    ends = final if isinstance(final, tuple) else (final,)
    loss = (output * torch.from_numpy(d_output)).sum()
    for end, d in zip(ends, d_final):
        loss = loss + (end * torch.from_numpy(d)).sum()
    loss.backward()
    result = {"output": output.detach().numpy(), "dxs": leaf.grad.numpy()}
    result |= {f"final{k}": e.detach().numpy() for k, e in enumerate(ends)}
    result |= {f"d_init{k}": s.grad.numpy() for k, s in enumerate(start)}
    names = {"weight_ih": "dWc", "weight_hh": "dWr", "bias_ih": "db"}
    for name, p in twin.named_parameters():
        kind, _, suffix = name.rpartition("_l")
        if kind in names:
            result[f"{names[kind]}_l{suffix}"] = p.grad.numpy()
    return result


def assert_same(a: dict[str, Any], b: dict[str, Any], tolerance: float = 1e-10) -> None:
    assert a.keys() == b.keys()
    for name in a:
        scale = max(1.0, np.abs(b[name]).max())
        assert a[name].shape == b[name].shape, name
        np.testing.assert_allclose(a[name], b[name], rtol=0, atol=tolerance * scale, err_msg=name)


GRID = list(itertools.product((1, 2, 3), (False, True), (True, False), (1, 5), (1, 2, 17)))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("kind", ["rnn", "lstm"])
@pytest.mark.parametrize(("layers", "both", "bias", "B", "T"), GRID)
def test_equal_to_torch(kind: str, implementation: str, layers: int, both: bool, bias: bool, B: int, T: int) -> None:
    torch = pytest.importorskip("torch")
    model = KINDS[kind](I, H, layers, bias=bias, bidirectional=both, impl=implementation, dtype="float64")
    data = drawn(model, T, B)
    assert_same(ours(model, *data), torchs(torch_twin(model, torch), *data, torch))
    assert model.implementation == implementation


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_relu_and_batch_first_equal_torch(implementation: str) -> None:
    torch = pytest.importorskip("torch")
    model = RNN(
        I, H, 2, nonlinearity="relu", batch_first=True, bidirectional=True, impl=implementation, dtype="float64"
    )
    data = drawn(model, 6, 2)
    assert_same(ours(model, *data), torchs(torch_twin(model, torch), *data, torch))


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_implementations_agree_on_every_backend(kind: str, xp: Any) -> None:
    result = []
    for implementation in ("graph", "fused"):
        model = KINDS[kind](
            I, H, 2, bidirectional=True, impl=implementation, dtype="float64", rng=np.random.default_rng(3)
        )
        model.to(xp.name)
        xs, state, d_output, d_final = drawn(model, 5, 2)
        result.append(ours(model, xs, state, xp.array(d_output), [xp.array(d) for d in d_final]))
    with mg.use_backend("numpy"):
        host = KINDS[kind](I, H, 2, bidirectional=True, dtype="float64", rng=np.random.default_rng(3))
        result.append(ours(host, *drawn(host, 5, 2)))
    assert_same(result[0], result[1])
    assert_same(result[0], result[2])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_float32_stays_float32(kind: str, implementation: str) -> None:
    model = KINDS[kind](I, H, impl=implementation)
    xs = mg.tensor(np.ones((3, 2, I), np.float32), requires_grad=True)
    output, _ = model(xs)
    (output * output).sum().backward()
    assert output.dtype == np.float32
    assert {p.grad.dtype for p in [xs, *model.parameters()]} == {np.dtype(np.float32)}


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_one_sequence_without_a_batch_axis(kind: str, implementation: str) -> None:
    model = KINDS[kind](I, H, 2, bidirectional=True, impl=implementation, dtype="float64")
    xs = np.random.default_rng(0).standard_normal((5, I))
    output, state = model(xs)
    batched, states = model(xs[:, None])
    assert output.shape == (5, 2 * H)
    np.testing.assert_array_equal(output.numpy(), batched.numpy()[:, 0])
    for one, many in zip(state, states) if kind == "lstm" else [(state, states)]:
        assert one.shape == (4, H)
        np.testing.assert_array_equal(one.numpy(), many.numpy()[:, 0])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_state_out_is_state_in(kind: str, implementation: str) -> None:
    """Two halves with the state handed over are the whole, in values and, through the state, in gradients."""
    model = KINDS[kind](I, H, 2, impl=implementation, dtype="float64")
    xs = np.random.default_rng(0).standard_normal((8, 2, I))
    whole, end = model(xs)
    (whole * whole).sum().backward()
    want = {n: p.grad.numpy() for n, p in model.named_parameters()}
    model.zero_grad()
    first, state = model(xs[:3])
    second, last = model(xs[3:], state)
    joined = mg.concatenate([first, second])
    (joined * joined).sum().backward()
    np.testing.assert_allclose(joined.numpy(), whole.numpy(), rtol=0, atol=1e-14)
    for a, b in zip(end, last) if kind == "lstm" else [(end, last)]:
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=1e-14)
    for n, p in model.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), want[n], rtol=1e-11, atol=1e-12, err_msg=n)


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_a_detached_state_cuts_the_gradient(kind: str) -> None:
    model = KINDS[kind](I, H, dtype="float64")
    xs = mg.tensor(np.random.default_rng(0).standard_normal((6, 2, I)), requires_grad=True)
    _, state = model(xs[:3])
    cut = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
    output, _ = model(xs[3:], cut)
    output.sum().backward()
    assert not xs.grad.numpy()[:3].any()
    assert xs.grad.numpy()[3:].any()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_learned_initial_state(kind: str, implementation: str) -> None:
    """It starts at zero, is shared by the batch, and its gradient is that of h(−1) summed over the batch."""
    model = KINDS[kind](I, H, 2, initial_state="learned", impl=implementation, dtype="float64")
    for name, p in model.named_parameters():
        if name.endswith("_init"):
            p.data = np.random.default_rng(len(name)).standard_normal(H)
    xs = np.random.default_rng(0).standard_normal((4, 3, I))
    output, _ = model(xs)
    (output * output).sum().backward()
    names = model.cell_type.state_names
    start = [
        mg.tensor(np.stack([np.tile(getattr(c, f"{n}_init").numpy(), (3, 1)) for c in cells_of(model).values()]),
                  requires_grad=True)
        for n in names
    ]  # fmt: skip
    explicit, _ = model(xs, tuple(start) if len(start) > 1 else start[0])
    np.testing.assert_array_equal(explicit.numpy(), output.numpy())
    (explicit * explicit).sum().backward()
    for n, s in zip(names, start):
        for k, cell in enumerate(cells_of(model).values()):
            got = getattr(cell, f"{n}_init").grad.numpy()
            np.testing.assert_allclose(got, s.grad.numpy()[k].sum(0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cell_type", [RNNCell, LSTMCell])
def test_a_cell_is_one_step_of_its_net(cell_type: Any) -> None:
    net = {RNNCell: RNN, LSTMCell: LSTM}[cell_type](I, H, dtype="float64")
    cell = net.forward0
    xs = np.random.default_rng(0).standard_normal((4, 2, I))
    want, _ = net(xs)
    state = None
    for t in range(4):
        output, state = cell(xs[t], state)
        np.testing.assert_allclose(output.numpy(), want.numpy()[t], rtol=0, atol=1e-14)


@pytest.mark.parametrize("implementation", ["fused", "native"])
@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_second_order_through_both_implementations(kind: str, implementation: str) -> None:
    """The gradient of a gradient's size: the fused implementation answers through the graph, and answers the same."""
    result = []
    for impl in ("graph", implementation):
        model = KINDS[kind](I, H, impl=impl, dtype="float64", rng=np.random.default_rng(5))
        xs = mg.tensor(np.random.default_rng(0).standard_normal((4, 2, I)), requires_grad=True)
        output, _ = model(mg.tanh(xs))
        leaves = [xs, *model.parameters()]
        first = mg.gradients((output * output).sum(), leaves, create_graph=True)
        size = sum((g * g).sum() for g in first)
        result.append([g.numpy() for g in mg.gradients(size, leaves)])
    for a, b in zip(*result):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("implementation", ["fused", "native"])
def test_second_order_of_a_weight_shared_by_two_layers(implementation: str) -> None:
    """A fused rule that is recorded must give its own share only, not that of the layer below."""
    result = []
    for impl in ("graph", implementation):
        model = RNN(H, H, 1, impl=impl, dtype="float64", rng=np.random.default_rng(5))
        xs = np.random.default_rng(0).standard_normal((4, 2, H))
        output, _ = model(model(xs)[0])
        leaves = list(model.parameters())
        first = mg.gradients((output * output).sum(), leaves, create_graph=True)
        result.append([g.numpy() for g in first])
        size = sum((g * g).sum() for g in first)
        result[-1] += [g.numpy() for g in mg.gradients(size, leaves)]
    for a, b in zip(*result):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_each_time_steps_share_of_a_gradient(kind: str, implementation: str) -> None:
    """The ledger's lines carry their time step, add up to the pooled gradient, and agree between implementations."""
    model = KINDS[kind](I, H, bidirectional=True, impl=implementation, dtype="float64", rng=np.random.default_rng(5))
    xs = np.random.default_rng(0).standard_normal((5, 2, I))

    def loss() -> Any:
        output, _ = model(xs)
        return (output * output).sum()

    names, parameters = zip(*model.named_parameters())
    pooled = mg.gradients(loss(), list(parameters))
    book = mg.ledger(loss(), list(parameters))
    other = KINDS[kind](I, H, bidirectional=True, impl="graph", dtype="float64", rng=np.random.default_rng(5))
    output, _ = other(xs)
    reference = mg.ledger((output * output).sum(), list(other.parameters()))
    for name, p, g, q in zip(names, parameters, pooled, other.parameters()):
        steps = book.by_time_step(p)
        assert list(steps) == [0, 1, 2, 3, 4], name
        np.testing.assert_allclose(sum(s.numpy() for s in steps.values()), g.numpy(), rtol=1e-11, atol=1e-12)
        for t, share in reference.by_time_step(q).items():
            np.testing.assert_allclose(steps[t].numpy(), share.numpy(), rtol=1e-11, atol=1e-12, err_msg=f"{name} {t}")


def test_dropout_acts_between_layers_in_training_only() -> None:
    model = RNN(I, H, 2, dropout=0.5, dtype="float64", rng=np.random.default_rng(0))
    xs = np.random.default_rng(0).standard_normal((4, 3, I))
    a, b = model(xs)[0].numpy(), model(xs)[0].numpy()
    assert not np.array_equal(a, b)
    model.eval()
    np.testing.assert_array_equal(model(xs)[0].numpy(), model(xs)[0].numpy())


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_inputs_of_any_layout_are_read_and_left_alone(implementation: str) -> None:
    model = LSTM(I, H, dtype="float64", impl=implementation)
    rng = np.random.default_rng(0)
    plain = rng.standard_normal((5, 2, I))
    strange = np.asfortranarray(np.repeat(plain, 2, axis=2))[:, :, ::2][::-1][::-1]
    before = strange.copy()
    np.testing.assert_array_equal(model(strange)[0].numpy(), model(plain)[0].numpy())
    np.testing.assert_array_equal(strange, before)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_a_carried_state_is_memory_of_its_own(kind: str, implementation: str) -> None:
    """Resetting the state that goes to the next window changes no output and no gradient of this one."""
    result = []
    for reset in (False, True):
        model = KINDS[kind](I, H, impl=implementation, dtype="float64", rng=np.random.default_rng(5))
        output, state = model(np.random.default_rng(0).standard_normal((4, 2, I)))
        if reset and implementation != "graph":
            parts = state if isinstance(state, tuple) else (state,)
            assert not any(np.shares_memory(output._array, part._array) for part in parts)
        (output * output).sum().backward()
        result.append([p.grad.numpy() for p in model.parameters()])
    for a, b in zip(*result):
        np.testing.assert_array_equal(a, b)
