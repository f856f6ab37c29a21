"""The reference against PyTorch, against finite differences, and against planted faults."""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from minigrad_rnn.manual_bptt import lecture as manual_bptt
from minigrad_rnn.manual_bptt.lecture import reference_bptt

CELLS = [("rnn", "tanh"), ("rnn", "relu"), ("lstm", "tanh")]
IDS = ["tanh", "relu", "lstm"]
I, H = 3, 4


@dataclass(frozen=True)
class Case:
    """A network, its data, and a divergence that is no sum over time: sin⟨u, everything⟩ + ½⟨v, everything²⟩."""

    cell: str
    nonlinearity: str
    num_layers: int
    bidirectional: bool
    values: dict[str, np.ndarray]  # every parameter, "xs", "h_init" (and "c_init")
    u: tuple[np.ndarray, ...]  # one array for the output, then one for each part of the final state
    v: tuple[np.ndarray, ...]

    def divergence(self, output: np.ndarray, final_state: Any) -> float:
        seen = (output, *_parts(final_state))
        inner = sum(float((u * a).sum()) for u, a in zip(self.u, seen))
        return np.sin(inner) + sum(0.5 * float((v * a * a).sum()) for v, a in zip(self.v, seen))

    def divergence_gradient(self, output: np.ndarray, final_state: Any) -> tuple[np.ndarray, Any]:
        seen = (output, *_parts(final_state))
        cos = np.cos(sum(float((u * a).sum()) for u, a in zip(self.u, seen)))
        d_output, *d_final = (cos.astype(a.dtype) * u + v * a for u, v, a in zip(self.u, self.v, seen))
        return d_output, tuple(d_final) if self.cell == "lstm" else d_final[0]

    def run(self, module: Any = manual_bptt, **changed: np.ndarray) -> Any:
        values = {**self.values, **changed}
        xs, *states = (values.pop(name) for name in ("xs", "h_init", "c_init") if name in values)
        return module.reference_bptt(
            self.cell, values, xs, tuple(states) if self.cell == "lstm" else states[0], self.divergence_gradient,
            num_layers=self.num_layers, bidirectional=self.bidirectional, nonlinearity=self.nonlinearity,
        )  # fmt: skip


def _parts(state: Any) -> tuple[np.ndarray, ...]:
    return state if isinstance(state, tuple) else (state,)


def make_case(
    cell: str, nonlinearity: str, num_layers: int = 2, bidirectional: bool = False, bias: bool = True,
    B: int = 2, T: int = 4, dtype: Any = np.float64,
) -> Case:  # fmt: skip
    rng = np.random.default_rng([num_layers, bidirectional, bias, B, T, len(cell)])
    directions = ("forward", "backward") if bidirectional else ("forward",)
    D, gates = len(directions), 4 if cell == "lstm" else 1
    shapes = {}
    for layer, direction in itertools.product(range(num_layers), directions):
        shapes[f"{direction}{layer}.Wc"] = (gates * H, I if layer == 0 else D * H)
        shapes[f"{direction}{layer}.Wr"] = (gates * H, H)
        if bias:
            shapes[f"{direction}{layer}.b"] = (gates * H,)
    values = {name: rng.uniform(-0.7, 0.7, shape).astype(dtype) for name, shape in shapes.items()}
    state = (num_layers * D, B, H)
    values["xs"] = rng.standard_normal((T, B, I)).astype(dtype)
    for name in ("h_init", "c_init")[: 2 if cell == "lstm" else 1]:
        values[name] = rng.standard_normal(state).astype(dtype)
    seen = [(T, B, D * H), *[state] * (2 if cell == "lstm" else 1)]
    u, v = (tuple(rng.uniform(-1, 1, shape).astype(dtype) / 4 for shape in seen) for _ in range(2))
    return Case(cell, nonlinearity, num_layers, bidirectional, values, u, v)


def errors_by_name(
    value: Callable[..., float], values: dict[str, np.ndarray], gradients: dict[str, np.ndarray], step: float = 1e-4
) -> dict[str, float]:
    """For every named array, how far its gradient is, relatively, from the central difference along one direction.

    The difference is the one of fourth order, (8 (f(1) − f(−1)) − (f(2) − f(−2))) / 12 steps, good to about 1e-10.
    """
    assert values.keys() == gradients.keys()
    rng = np.random.default_rng(7)
    errors = {}
    for name, a in values.items():
        assert gradients[name].shape == a.shape, name
        direction = rng.standard_normal(a.shape)
        near, far = (
            value(**{name: a + k * step * direction}) - value(**{name: a - k * step * direction}) for k in (1, 2)
        )
        numeric, exact = (8.0 * near - far) / (12.0 * step), float((gradients[name] * direction).sum())
        errors[name] = abs(numeric - exact) / max(abs(numeric), abs(exact), 1e-3)
    return errors


def reference_errors(case: Case, module: Any = manual_bptt) -> dict[str, float]:
    """`errors_by_name` of the reference in `module`; what it differentiates is always the true forward pass."""

    def value(**changed: np.ndarray) -> float:
        result = case.run(**changed)
        return case.divergence(result.output, result.final_state)

    return errors_by_name(value, case.values, case.run(module).gradients)


def guilty(errors: dict[str, float]) -> set[str]:
    return {name for name, error in errors.items() if error > 1e-6}


# --- Against PyTorch -------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch, the outside opinion on the reference, is not installed")


def torch_opinion(torch: Any, case: Case, d_output: np.ndarray, d_final: Any) -> tuple[Any, Any, dict[str, Any]]:
    """torch.nn's output, final state and gradients, under the reference's names."""
    options = {"nonlinearity": case.nonlinearity} if case.cell == "rnn" else {}
    net = getattr(torch.nn, case.cell.upper())(
        I, H, case.num_layers, bias="forward0.b" in case.values, bidirectional=case.bidirectional, **options
    ).double()
    theirs = {}
    for layer, (direction, suffix) in itertools.product(
        range(case.num_layers), [("forward", ""), ("backward", "_reverse")][: 1 + case.bidirectional]
    ):
        for ours, name in (("Wc", "weight_ih"), ("Wr", "weight_hh"), ("b", "bias_ih")):
            if f"{direction}{layer}.{ours}" in case.values:
                theirs[f"{direction}{layer}.{ours}"] = getattr(net, f"{name}_l{layer}{suffix}")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()  # torch has a second bias, bias_hh: it stays 0
        for name, parameter in theirs.items():
            parameter.copy_(torch.from_numpy(case.values[name]))
    for name in case.values.keys() - theirs.keys():
        theirs[name] = torch.from_numpy(case.values[name].copy()).requires_grad_()
    states = tuple(theirs[name] for name in ("h_init", "c_init") if name in theirs)
    output, final_state = net(theirs["xs"], states if case.cell == "lstm" else states[0])
    arriving = [torch.from_numpy(g) for g in (d_output, *_parts(d_final))]
    torch.autograd.backward([output, *_parts(final_state)], arriving)
    return output, final_state, {name: a.grad for name, a in theirs.items()}


@pytest.mark.parametrize("T", [1, 2, 17])
@pytest.mark.parametrize("B", [1, 5])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize(("cell", "nonlinearity"), CELLS, ids=IDS)
def test_agrees_with_torch(torch, cell, nonlinearity, num_layers, bidirectional, bias, B, T):
    case = make_case(cell, nonlinearity, num_layers, bidirectional, bias, B, T)
    ours = case.run()
    output, final_state, gradients = torch_opinion(
        torch, case, *case.divergence_gradient(ours.output, ours.final_state)
    )
    pairs = {"output": (ours.output, output), **{name: (ours.gradients[name], g) for name, g in gradients.items()}}
    for part, a, b in zip("hc", _parts(ours.final_state), _parts(final_state)):
        pairs[f"final {part}"] = (a, b)
    assert ours.gradients.keys() == case.values.keys() == gradients.keys()
    for name, (a, b) in pairs.items():
        expected = b.detach().numpy()
        np.testing.assert_allclose(a, expected, rtol=0, atol=1e-10 * max(1.0, np.abs(expected).max()), err_msg=name)


# --- Against finite differences --------------------------------------------------------------------------------------
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize(("cell", "nonlinearity"), CELLS, ids=IDS)
def test_agrees_with_finite_differences(cell, nonlinearity, num_layers, bidirectional, bias):
    errors = reference_errors(make_case(cell, nonlinearity, num_layers, bidirectional, bias))
    assert guilty(errors) == set(), errors


SIZES = (5, 3)  # hidden sizes of a deep net: the lecture's procedures do not ask that they are equal
O, T, B = 6, 4, 2


def deep_net(rng: np.random.Generator, sizes: tuple[int, ...], prefix: str = "") -> dict[str, np.ndarray]:
    values = {}
    for l, (below, size) in enumerate(zip((I, *sizes), sizes)):
        shapes = {"Wc": (size, below), "Wr": (size, size), "b": (size,), "hinit": (B, size)}
        values |= {f"{prefix}{name}{l}": rng.uniform(-0.8, 0.8, shape) for name, shape in shapes.items()}
    return values


def net_of(values: dict[str, np.ndarray], L: int, prefix: str = "") -> tuple[Any, ...]:
    return L, *([values[f"{prefix}{name}{l}"] for l in range(L)] for name in ("Wc", "Wr", "b", "hinit"))


def named(gradients: tuple[Any, ...], prefix: str = "") -> dict[str, np.ndarray]:
    lists = zip(("Wc", "Wr", "b", "hinit"), gradients)
    return {f"{prefix}{name}{l}": g for name, layers in lists for l, g in enumerate(layers)}


def divergence_of_all_outputs(Y: np.ndarray, weight: np.ndarray) -> float:
    """Couples every output with every other, over time and over examples: log Σ exp over a product of all times."""
    return float(np.log1p(np.exp(np.prod(1.0 + Y * weight, axis=0).sum())) + np.square((weight * Y).sum()))


def its_gradient(Y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    product = np.prod(1.0 + Y * weight, axis=0)
    slope = 1.0 / (1.0 + np.exp(-product.sum()))
    return slope * product * weight / (1.0 + Y * weight) + 2.0 * (weight * Y).sum() * weight


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_whole_network_agrees_with_finite_differences(nonlinearity):
    rng = np.random.default_rng(97)
    L, weight = len(SIZES), rng.uniform(-0.9, 0.9, (T, B, O))
    values = deep_net(rng, SIZES)
    values |= {"Wo": rng.standard_normal((O, SIZES[-1])), "bo": rng.standard_normal(O)}
    values["x"] = rng.standard_normal((T, B, I))

    def forward(**changed: np.ndarray) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        now = {**values, **changed}
        _, Wc, Wr, b, hinit = net_of(now, L)
        arguments = (L, Wc, Wr, b, now["Wo"], now["bo"], hinit, now["x"], T)
        return arguments, manual_bptt.network_forward(*arguments, nonlinearity=nonlinearity)

    arguments, (Y, h, z) = forward()
    np.testing.assert_allclose(Y.sum(axis=-1), 1.0, rtol=1e-14)
    dY = its_gradient(Y, weight)
    dWo, dbo, dWc, dWr, db, dx, dhinit = manual_bptt.network_bptt(*arguments, dY, Y, h, z, nonlinearity=nonlinearity)
    gradients = {**named((dWc, dWr, db, dhinit)), "Wo": dWo, "bo": dbo, "x": dx}
    errors = errors_by_name(lambda **c: divergence_of_all_outputs(forward(**c)[1][0], weight), values, gradients)
    assert guilty(errors) == set(), errors


def test_slide_97_is_slide_116_under_a_readout():
    rng = np.random.default_rng(116)
    L, values = len(SIZES), deep_net(rng, SIZES)
    net, x = net_of(values, L), rng.standard_normal((T, B, I))
    Wo, bo, dY = rng.standard_normal((O, SIZES[-1])), rng.standard_normal(O), rng.standard_normal((T, B, O))
    arguments = (*net[:4], Wo, bo, net[4], x, T)
    Y, h, z = manual_bptt.network_forward(*arguments)
    _, _, dWc, dWr, db, dx, dhinit = manual_bptt.network_bptt(*arguments, dY, Y, h, z)
    dzo = Y * (dY - (dY * Y).sum(axis=-1, keepdims=True))
    expected = manual_bptt.RNN_bptt(*net, x, T, dzo @ Wo, h, z)
    np.testing.assert_allclose(dx, expected[0], rtol=1e-12, atol=1e-14)
    for ours, theirs in zip((dWc, dWr, db, dhinit), expected[1:], strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


# --- The bidirectional block with nets of their own depth and size ---------------------------------------------------
SIZES_F, SIZES_B = (5, 3), (2, 4, 6)


def block() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(108)
    values = {**deep_net(rng, SIZES_F, "f."), **deep_net(rng, SIZES_B, "b.")}
    return {**values, "x": rng.standard_normal((T, B, I))}


def test_flipping_time_is_the_backward_recurrence_of_slide_105():
    values = block()
    x, netf, netb = values["x"], net_of(values, 2, "f."), net_of(values, 3, "b.")
    Lb, Wbc, Wbr, bb, hbinf = netb
    hb = {(T, l): hbinf[l - 1] for l in range(1, Lb + 1)}
    for t in range(T - 1, -1, -1):  # slide 105: going backward in time, no flip
        hb[t, 0] = x[t]
        for l in range(1, Lb + 1):
            hb[t, l] = np.tanh(hb[t, l - 1] @ Wbc[l - 1].T + hb[t + 1, l] @ Wbr[l - 1].T + bb[l - 1])
    h, tracef, traceb = manual_bptt.bidirectional_forward(manual_bptt.RNN, netf, netb, x, T)
    assert traceb[0].keys() == hb.keys()
    for place, expected in hb.items():
        np.testing.assert_array_equal(traceb[0][place], expected)
    for t in range(T):
        np.testing.assert_array_equal(h[t], np.concatenate([tracef[0][t, 2], hb[t, 3]], axis=1))


def test_block_of_uneven_depths_agrees_with_finite_differences():
    values = block()
    weight = np.random.default_rng(117).uniform(-0.9, 0.9, (T, B, SIZES_F[-1] + SIZES_B[-1]))

    def forward(**changed: np.ndarray) -> tuple[tuple[Any, ...], Any, Any, Any]:
        now = {**values, **changed}
        arguments = (manual_bptt.RNN, net_of(now, 2, "f."), net_of(now, 3, "b."), now["x"], T)
        return arguments, *manual_bptt.bidirectional_forward(*arguments)

    arguments, h, tracef, traceb = forward()
    dx, gradf, gradb = manual_bptt.bidirectional_bptt(*arguments, its_gradient(h, weight), tracef, traceb, {}, {})
    gradients = {**named(gradf, "f."), **named(gradb, "b."), "x": dx}
    errors = errors_by_name(lambda **c: divergence_of_all_outputs(forward(**c)[1], weight), values, gradients)
    assert guilty(errors) == set(), errors


# --- Planted faults --------------------------------------------------------------------------------------------------
def mutant(monkeypatch: pytest.MonkeyPatch, procedure: str, true: str, false: str) -> Any:
    """A copy of the reference whose `procedure` has one expression changed."""
    source = inspect.getsource(manual_bptt)
    body = inspect.getsource(getattr(manual_bptt, procedure))
    assert source.count(body) == 1
    assert body.count(true) == 1, f"{procedure} says {true!r} {body.count(true)} times"
    module = types.ModuleType("mutated_manual_bptt")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look their module up
    exec(compile(source.replace(body, body.replace(true, false)), module.__name__, "exec"), module.__dict__)
    return module


BPTT = {"rnn": "RNN_bptt", "lstm": "LSTM_bptt"}
EVERYTHING = {"Wc", "Wr", "b", "xs", "h_init"}
FAULTS = {  # what is said, what the fault says instead, and the kinds of gradient that must come out wrong
    "the first time step is dropped": ("range(T - 1, -1, -1)", "range(T - 1, 0, -1)", EVERYTHING),
    "dWr is 1.001 times too large": ("dWr[l - 1] += dz", "dWr[l - 1] += 1.001 * dz", {"Wr"}),
    "dWc is 1.001 times too large": ("dWc[l - 1] += dz", "dWc[l - 1] += 1.001 * dz", {"Wc"}),
    "db misses its pooling over time": ("db[l - 1] += dz", "db[l - 1] = dz", {"b"}),
    "the Wr-term is missing": ("dh[t - 1, l] += dz[t, l] @ Wr[l - 1]", "pass", EVERYTHING),
    "the Wc-term is missing": ("dh[t, l - 1] += dz[t, l] @ Wc[l - 1]", "pass", {"xs", "Wc", "Wr", "b", "h_init"}),
    "dWr pairs dz(t) with h(t)": ("h[t - 1, l]\n            db", "h[t, l]\n            db", {"Wr"}),
    "the final h is not heard": ("dh[T - 1, l] += dhfinal[l - 1]", "pass", EVERYTHING),
}


def kinds(names: set[str]) -> set[str]:
    return {name.rpartition(".")[2] for name in names} - {"c_init"}


@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("cell", BPTT)
def test_a_fault_in_bptt_is_noticed(monkeypatch, cell, fault, bidirectional):
    true, false, wrong = FAULTS[fault]
    case = make_case(cell, "tanh", bidirectional=bidirectional)
    errors = reference_errors(case, mutant(monkeypatch, BPTT[cell], true, false))
    assert kinds(guilty(errors)) == wrong, errors


@pytest.mark.parametrize(
    ("cell", "procedure", "true", "false"),
    [
        ("rnn", "activation_jacobian", "1.0 - h * h", "1.001 * (1.0 - h * h)"),
        ("lstm", "LSTM_bptt", "dc[t - 1, l] += dc[t, l] * f", "pass"),
        ("lstm", "LSTM_bptt", "dc[T - 1, l] += dcfinal[l - 1]", "pass"),
        ("lstm", "LSTM_bptt", "dc[t, l] * c[t - 1, l]", "dc[t, l] * c[t, l]"),
        ("rnn", "bidirectional_bptt", "dhb[::-1]", "dhb"),
        ("rnn", "bidirectional_bptt", "dxbrev[::-1]", "dxbrev"),
        ("rnn", "bidirectional_bptt", "dxf + dxb", "dxf"),
        ("lstm", "bidirectional_bptt", "**finalb", "**finalf"),
    ],
)
def test_a_fault_elsewhere_is_noticed(monkeypatch, cell, procedure, true, false):
    case = make_case(cell, "tanh", bidirectional=True)
    assert guilty(reference_errors(case, mutant(monkeypatch, procedure, true, false)))


@pytest.mark.parametrize(("cell", "nonlinearity"), CELLS, ids=IDS)
def test_an_unchanged_copy_is_not_blamed(monkeypatch, cell, nonlinearity):
    case = make_case(cell, nonlinearity, bidirectional=True)
    procedure = BPTT[cell]
    assert guilty(reference_errors(case, mutant(monkeypatch, procedure, "dx[t] = dh", "dx[t] = dh"))) == set()


# --- Manners ---------------------------------------------------------------------------------------------------------
def test_imports_numpy_and_typing_only():
    allowed = {"__future__", "collections.abc", "dataclasses", "typing", "numpy", "numpy.typing"}
    found = set()
    for node in ast.walk(ast.parse(inspect.getsource(manual_bptt))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
        elif isinstance(node, ast.Name):
            assert node.id not in {"__import__", "exec", "eval"}
    assert found <= allowed


@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
@pytest.mark.parametrize(("cell", "nonlinearity"), CELLS, ids=IDS)
def test_float32_stays_float32_and_nothing_given_is_changed(cell, nonlinearity, bidirectional):
    case = make_case(cell, nonlinearity, bidirectional=bidirectional, dtype=np.float32)
    before = {name: a.copy() for name, a in case.values.items()}
    single = case.run()
    double = make_case(cell, nonlinearity, bidirectional=bidirectional).run()
    for name, a in before.items():
        np.testing.assert_array_equal(case.values[name], a)
        assert single.gradients[name].dtype == np.float32, name
        np.testing.assert_allclose(single.gradients[name], double.gradients[name], rtol=1e-3, atol=1e-4)
    assert single.output.dtype == np.float32
    assert {a.dtype for a in _parts(single.final_state)} == {np.dtype(np.float32)}


def test_nothing_overflows_far_from_zero():
    extremes = np.array([[-1e4, 0.0, 1e4]])
    np.testing.assert_array_equal(manual_bptt.sigma(extremes), [[0.0, 0.5, 1.0]])
    np.testing.assert_array_equal(manual_bptt.softmax(extremes), [[0.0, 0.0, 1.0]])


def test_an_unknown_activation_is_an_error():
    with pytest.raises(ValueError, match="nonlinearity is 'sigmoid'; it wants 'tanh' or 'relu'"):
        manual_bptt.activation(np.zeros((1, 1)), "sigmoid")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell": "gru"}, "cell, nonlinearity are 'gru', 'tanh'"),
        ({"nonlinearity": "sigmoid"}, "cell, nonlinearity are 'rnn', 'sigmoid'"),
        ({"num_layers": 0}, "num_layers is 0; it wants 1 or more"),
        ({"num_layers": 3}, "parameters lacks 'forward2.Wc'"),
        ({"num_layers": 1}, "parameters has 'forward1.Wc'"),
        ({"bidirectional": True}, "parameters lacks 'backward0.Wc'"),
    ],
)
def test_options_that_do_not_fit_are_named(change, message):
    with pytest.raises(ValueError, match=f"reference: {message}"):
        replace(make_case("rnn", "tanh"), **change).run()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("xs", np.zeros((4, 3)), r"xs is float64 \(4, 3\); it wants .* \(T, B, I\)"),
        ("xs", np.zeros((0, 2, 3)), r"xs is float64 \(0, 2, 3\)"),
        ("xs", np.zeros((4, 2, 3), dtype=int), r"xs is int64 \(4, 2, 3\); it wants a NumPy array float32 or float64"),
        ("xs", [[[0.0]]], "xs is list"),
        ("xs", np.zeros((4, 2, 9)), r"parameters\['forward0.Wc'\] is .* \(4, 3\); .* \(4, 9\)"),
        ("forward0.Wr", np.zeros((4, 5)), r"parameters\['forward0.Wr'\] is .* \(4, 5\); .* \(4, 4\)"),
        ("forward1.b", np.zeros(4, np.float32), r"parameters\['forward1.b'\] is float32 \(4,\); .* float64 \(4,\)"),
        ("forward1.bias", np.zeros(4), "parameters has 'forward1.bias'; it wants Wc, Wr and perhaps b"),
        ("h_init", np.zeros((2, 3, 4)), r"initial_state's h is float64 \(2, 3, 4\); .* \(2, 2, 4\)"),
        ("h_init", (np.zeros((2, 2, 4)),) * 2, r"initial_state has 2 part\(s\); it wants h"),
    ],
)
def test_arrays_that_do_not_fit_are_named(name, value, message):
    with pytest.raises(ValueError, match=f"reference: {message}"):
        make_case("rnn", "tanh").run(**{name: value})


def test_an_lstm_wants_both_states():
    values = dict(make_case("lstm", "tanh").values)
    xs, h, _ = (values.pop(name) for name in ("xs", "h_init", "c_init"))
    with pytest.raises(ValueError, match=r"initial_state has 1 part\(s\); it wants h and c"):
        reference_bptt("lstm", values, xs, h, lambda *seen: seen, num_layers=2, bidirectional=False)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda output, final: (output[0], final), r"d_output is float64 \(2, 4\); .* \(4, 2, 4\)"),
        (lambda output, final: (output, final[0]), r"d_final_state's h is float64 \(2, 4\); .* \(2, 2, 4\)"),
    ],
)
def test_a_divergence_that_does_not_fit_is_named(wrong, message):
    values = dict(make_case("rnn", "tanh").values)
    xs, h = (values.pop(name) for name in ("xs", "h_init"))
    with pytest.raises(ValueError, match=f"reference: the divergence's {message}"):
        reference_bptt("rnn", values, xs, h, wrong, num_layers=2, bidirectional=False)
