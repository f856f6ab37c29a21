"""∂L/∂h(t) and ∂L/∂c(t) are torch's, finite differences', and those of the graph in every other implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad.backend import Backend
from minigrad_rnn import (
    GRU,
    LSTM,
    RNN,
    TDNN,
    Cell,
    GradientFlow,
    LayerNormLSTM,
    Recurrence,
    Truncation,
    torch_state_dict,
)
from minigrad_rnn.cells import fused_sequence
from tests.support.native_cells import KINDS, made_net
from tests.support.native_library import require_compiler

Array = np.ndarray[Any, Any]
LENGTHS = [5, 2, 4]
T, B, I, H = 5, 3, 2, 4
XS = np.random.default_rng(0).standard_normal((T, B, I))


def loss_of(output: Any, state: Any) -> Any:
    """A loss in which every output and every array of the last state has a part."""
    parts = state if isinstance(state, tuple) else (state,)
    return (mg.sin(output) * output).sum() + sum((mg.cos(part) * part).sum() for part in parts)


def gradients(model: Any, xs: Any = XS, **how: Any) -> dict[str, Array]:
    """Totals, direct parts and values of every layer, by layer, kind and name."""
    with GradientFlow(model) as flow:
        loss_of(*model(xs, **how)).backward()
    kinds = ("gradient", "direct", "states")
    return {
        f"{call.layer} {kind} {name}": getattr(call, kind)(name)
        for call in flow.calls for kind in kinds for name in call.names
    }  # fmt: skip


def assert_same(got: dict[str, Array], want: dict[str, Array], tolerance: float = 1e-10) -> None:
    assert got.keys() == want.keys()
    for name, a in got.items():
        np.testing.assert_allclose(a, want[name], rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("impl", ["graph", "fused", "native"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_torch_has_the_same(kind: str, impl: str) -> None:
    torch = pytest.importorskip("torch")
    model = {"LSTM": LSTM, "GRU": GRU, "RNN": RNN}[kind](I, H, dtype="float64", rng=0, impl=impl)
    cell = getattr(torch.nn, f"{kind}Cell")(I, H, dtype=torch.float64)
    weights = torch_state_dict(model)
    cell.load_state_dict({name.removesuffix("_l0"): torch.tensor(np.asarray(w)) for name, w in weights.items()})
    h = c = torch.zeros(B, H, dtype=torch.float64)
    hs, cs = [], []
    for x in torch.tensor(XS):
        h, c = cell(x, (h, c)) if kind == "LSTM" else (cell(x, h),) * 2
        for part, column in ((h, hs), (c, cs)):
            part.retain_grad()
            column.append(part)
    outputs = torch.stack(hs)
    loss = (torch.sin(outputs) * outputs).sum() + (torch.cos(h) * h).sum()
    (loss + (torch.cos(c) * c).sum() if kind == "LSTM" else loss).backward()
    got = gradients(model)
    np.testing.assert_allclose(got["forward0 gradient h"], np.stack([h.grad for h in hs]), rtol=1e-10, atol=1e-12)
    if kind == "LSTM":
        np.testing.assert_allclose(got["forward0 gradient c"], np.stack([c.grad for c in cs]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["h", "c"])
def test_finite_differences(name: str) -> None:
    """The loss as a function of the state after step t, with what came before as it is."""
    model = LSTM(I, H, dtype="float64", rng=0, peephole=name == "h")
    want = np.zeros((T, B, H))
    with mg.no_grad():
        for t in range(T):
            before, state = model(XS[: t + 1])

            def loss(changed: Array, t: int = t, before: Any = before, state: Any = state) -> float:
                h, c = (part.numpy() for part in state)
                if name == "h":
                    h = changed
                else:  # h(t) = o(t) tanh(c(t)) changes with it
                    h, c = h * np.tanh(changed) / np.tanh(c), changed
                outputs, last = (mg.tensor(h), (mg.tensor(h), mg.tensor(c)))
                if t + 1 < T:
                    later, last = model(XS[t + 1 :], (h, c))
                    outputs = mg.concatenate([h, later])
                return float(loss_of(mg.concatenate([before[:t], outputs]), last).numpy())

            start = state["hc".index(name)].numpy()
            for index in np.ndindex(B, H):
                step = np.zeros((1, B, H))
                step[0][index] = 1e-5
                want[t][index] = (loss(start + step) - loss(start - step)) / 2e-5
    np.testing.assert_allclose(gradients(model)[f"forward0 gradient {name}"], want, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("how", [{}, {"lengths": LENGTHS}], ids=["", "lengths"])
@pytest.mark.parametrize(
    "options",
    [{}, {"reverse": True}, {"num_layers": 2, "bidirectional": True}, {"num_layers": (1, 2), "bidirectional": True}],
    ids=["forward", "backward", "stacked", "of two depths"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_every_implementation_hands_out_what_the_graph_does(kind: str, options: Any, how: Any) -> None:
    require_compiler()
    want = gradients(made_net(kind, I, H, impl="graph", **options), **how)
    for impl in ("fused", "native"):
        model = made_net(kind, I, H, impl=impl, **options)
        assert_same(gradients(model, **how), want)
        assert model.implementation == impl


@given(
    kind=st.sampled_from(sorted(KINDS)), T=st.integers(1, 40), B=st.integers(1, 4), H=st.integers(2, 9),
    reverse=st.booleans(), data=st.data(),
)  # fmt: skip
def test_shapes(kind: str, T: int, B: int, H: int, reverse: bool, data: st.DataObject) -> None:
    require_compiler()
    lengths = data.draw(st.none() | st.lists(st.integers(1, T), min_size=B, max_size=B))
    xs = np.random.default_rng(T).standard_normal((T, B, I))
    one, two = (
        gradients(made_net(kind, I, H, impl=impl, reverse=reverse), xs, lengths=lengths) for impl in ("fused", "native")
    )
    assert_same(one, two)
    assert all(a.shape[:2] == (T, B) for a in one.values())
    if lengths is not None:
        padding = np.arange(T)[:, None] >= lengths
        assert all((a[padding] == 0).all() for name, a in one.items() if "gradient" in name or "direct" in name)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["", "lengths"])
@pytest.mark.parametrize("kind", [k for k in KINDS if k in ("rnn_tanh", "rnn_relu", "lstm", "gru", "gru_reset_first")])
def test_kernels_hand_out_the_same(kernels_on_cpu: Backend, kind: str, lengths: Any) -> None:
    options = {"num_layers": 2, "bidirectional": True}
    want = gradients(made_net(kind, I, 8, impl="graph", **options), lengths=lengths)
    model = made_net(kind, I, 8, impl="auto", **options).to("strict")
    assert_same(gradients(model, kernels_on_cpu.from_numpy(XS), lengths=lengths), want)
    assert "persistent (" in str(model.implementation)


def test_on_every_backend(xp: Any) -> None:
    want = gradients(LSTM(I, H, rng=0, dtype="float64", impl="graph").to("numpy"))
    for impl in ("graph", "fused"):
        model = LSTM(I, H, rng=0, dtype="float64", impl=impl).to(xp.name)
        assert_same(gradients(model, xp.array(XS)), want)


def test_the_parts_of_a_gradient_and_the_weights_gradient() -> None:
    """dWr = Σ_t dz(t) h(t−1)ᵀ with dz(t) = (1 − h²) dh(t): the gradient of the weight from those of the steps."""
    model = RNN(I, H, dtype="float64", rng=0)
    with GradientFlow(model) as flow:
        loss_of(*model(XS)).backward()
    layer = flow["forward0"]
    hs = layer.states()
    dz = (1 - hs**2) * layer.dh
    before = np.concatenate([np.zeros((1, B, H)), hs[:-1]])
    np.testing.assert_allclose(np.einsum("tbi,tbj->ij", dz, before), model.forward0.Wr.grad.numpy(), atol=1e-13)
    np.testing.assert_allclose(layer.carried()[:-1], dz[1:] @ model.forward0.Wr.numpy(), atol=1e-13)
    np.testing.assert_allclose(layer.carried()[-1], 0, atol=1e-15)
    np.testing.assert_allclose(layer.norms()[::-1], layer.norms_by_lag())


def test_nothing_else_changes_while_somebody_listens() -> None:
    require_compiler()
    for kind in KINDS:
        for impl in ("graph", "fused", "native"):
            results = []
            for listens in (False, True):
                model = made_net(kind, I, H, impl=impl)
                xs = mg.tensor(XS, requires_grad=True)
                with GradientFlow(model) if listens else mg.enable_grad():
                    output, state = model(xs)
                    loss_of(output, state).backward()
                results.append([output.numpy(), xs.grad.numpy(), *(p.grad.numpy() for p in model.parameters())])
            for a, b in zip(*results):
                np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)


def test_any_cell_on_the_graph_and_masks() -> None:
    class Leaky(Cell):
        gates, state_names = 1, ("h",)

        def step(self, x: Any, state: Any, h: Any) -> Any:
            return (0.9 * state[0] + 0.1 * mg.tanh(mg.linear_sum(x, self.Wc, h, self.Wr, self.b)),)

    model = Recurrence(
        I, H, 2, cell_type=Leaky, zoneout=0.2, recurrent_dropout=0.3, dropout=0.1, dtype="float64", rng=0
    )
    masks = model.draw_masks(T, B)
    with GradientFlow(model) as flow:
        output, _, states = model(XS, masks=masks, return_states=True)
        loss = (output**2).sum()
        direct = mg.gradients(loss, [output], retain_graph=True)[0]
        flow.clear()
        loss.backward()
    np.testing.assert_array_equal(flow["forward1"].direct(), direct.numpy())
    np.testing.assert_array_equal(flow["forward0"].states(), states.numpy()[0])
    assert (flow["forward0"].norms() > 0).all()


def test_a_step_that_returns_what_it_was_given() -> None:
    class Keeps(Cell):
        gates, state_names = 1, ("h",)

        def step(self, x: Any, state: Any, h: Any) -> Any:
            return state

    model = Recurrence(I, H, cell_type=Keeps, initial_state="learned", dtype="float64", rng=0)
    with GradientFlow(model) as flow:
        model(XS)[0].sum().backward()
    np.testing.assert_array_equal(flow["forward0"].dh, np.arange(T, 0, -1.0)[:, None, None] * np.ones((B, H)))


def test_second_derivatives_and_a_second_pass() -> None:
    for impl in ("graph", "fused", "native"):
        want = gradients(made_net("lstm", I, H, impl=impl))
        model = made_net("lstm", I, H, impl=impl)
        with GradientFlow(model) as flow:
            loss = loss_of(*model(XS))
            loss.backward(create_graph=True)
            once = flow["forward0"].dc
            loss.backward()
        np.testing.assert_allclose(once, want["forward0 gradient c"], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(flow["forward0"].dc, 2 * once, rtol=1e-12)  # a second pass adds, as to .grad
        flow.clear()
        with pytest.raises(mg.GraphError, match="no backward pass has come through"):
            _ = flow["forward0"].dh


def test_windows_are_calls() -> None:
    model = RNN(I, H, dtype="float64", rng=0)
    with GradientFlow(model) as flow:
        for window in Truncation(2).windows(model, XS):
            window.output.sum().backward()
    assert [call.T for call in flow.calls_of("forward0")] == [2, 2, 1]
    with pytest.raises(KeyError, match="was called 3 times"):
        _ = flow["forward0"]


def test_a_checkpoint_runs_a_layer_twice() -> None:
    model = LSTM(I, H, dtype="float64", rng=0)
    want = gradients(model)["forward0 gradient c"]
    with GradientFlow(model) as flow:
        loss_of(*mg.checkpoint(model)(XS)).backward()
    assert len(flow.calls) == 2
    np.testing.assert_allclose(flow["forward0"].dc, want, rtol=1e-12)


def test_a_call_that_is_repeated_off_the_tape_is_seen() -> None:
    """A compiled cell takes a short way for a call like the last one; not while somebody listens."""
    model = RNN(I, H, dtype="float64", rng=0)
    with mg.no_grad():
        for _ in range(3):
            model(XS)
        with GradientFlow(model) as flow:
            output, _ = model(XS)
    assert flow.layers == ["forward0"]
    np.testing.assert_array_equal(flow["forward0"].states("h"), output.numpy())


def test_blocks_are_nested_and_end() -> None:
    model = RNN(I, H, dtype="float64", rng=0)
    with GradientFlow(model) as outer, GradientFlow(model, values=False) as inner:
        model(XS)[0].sum().backward()
    model(XS)[0].sum().backward()
    assert len(outer.calls) == len(inner.calls) == 1
    np.testing.assert_array_equal(outer["forward0"].dh, inner["forward0"].dh)
    assert "‖∂L/∂h(t)‖" in repr(outer)


def test_planted_faults_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient scaled by 1.001, a step that is missing, steps in read order."""
    want = gradients(made_net("gru", I, H, impl="graph", reverse=True))
    sound = fused_sequence.FusedSequence.hand_out

    def scaled(self: Any, **kept: Any) -> None:
        sound(self, **{name: 1.001 * a for name, a in kept.items()})

    def missing(self: Any, **kept: Any) -> None:
        for a in kept.values():
            a[2] = 0
        sound(self, **kept)

    def turned(self: Any, **kept: Any) -> None:
        sound(self, **{name: a[::-1] for name, a in kept.items()})

    for fault in (scaled, missing, turned):
        monkeypatch.setattr(fused_sequence.FusedSequence, "hand_out", fault)
        with pytest.raises(AssertionError):
            assert_same(gradients(made_net("gru", I, H, impl="fused", reverse=True)), want)
    monkeypatch.setattr(fused_sequence.FusedSequence, "hand_out", sound)
    assert_same(gradients(made_net("gru", I, H, impl="fused", reverse=True)), want)


def test_what_it_cannot_serve() -> None:
    with pytest.raises(TypeError, match="GradientFlow: model: got Linear, in which nothing recurs"):
        GradientFlow(mg.nn.Linear(2, 3))
    with pytest.raises(TypeError, match="got TDNN, in which nothing recurs"):
        GradientFlow(TDNN(2, 3, 1, delays=2))
    with pytest.raises(TypeError, match="model: got int, want a module"):
        GradientFlow(3)  # type: ignore[arg-type]

    class Old(LayerNormLSTM.cell_type):  # type: ignore[name-defined,misc]
        def step(self, x: Any, state: Any, h: Any) -> Any:
            return super().step(x, state, h)

        def sequence(
            self, xs: Any, state: Any, backward: bool = False, lengths: Any = None, every: bool = False
        ) -> Any:
            raise AssertionError

    model = Recurrence(I, H, cell_type=Old, dtype="float64")
    with GradientFlow(model) as flow, pytest.raises(TypeError, match="has no argument step_gradients"):
        model(XS)
    with pytest.raises(KeyError, match="none was called"):
        flow.calls_of("forward0")
