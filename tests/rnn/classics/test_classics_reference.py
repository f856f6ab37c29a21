"""The classics beside their BPTT by hand and beside finite differences, in float64; and planted faults."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import NARX, TDNN, Elman, GeneralRecurrence, Jordan, StateSpace
from minigrad_rnn.classics import FIGURES
from minigrad_rnn.manual_bptt import classics as by_hand
from minigrad_rnn.manual_bptt.general_recurrence import general_recurrence_reference
from tests.support.classics_bench import H, I, O, parts_of

B = 2
EXACT, NEAR = 1e-10, 1e-6
OPTIONS: dict[str, Any] = {"dtype": "float64"}
REFERENCES: dict[type, Callable[..., Any]] = {
    TDNN: by_hand.tdnn_reference,
    NARX: by_hand.narx_reference,
    Jordan: by_hand.jordan_reference,
    Elman: by_hand.elman_reference,
    StateSpace: by_hand.state_space_reference,
    GeneralRecurrence: general_recurrence_reference,
}


def figure(name: str, **options: Any) -> GeneralRecurrence:
    sizes = {"x": I, "h": H, "h1": H, "h2": H - 1, "y": O}
    table = FIGURES[name]
    return GeneralRecurrence({n: k for n, k in sizes.items() if n in ("x", *table)}, table, **OPTIONS, **options)


CASES: dict[str, Callable[[], Any]] = {
    "tdnn": lambda: TDNN(I, H, O, delays=2, **OPTIONS),
    "tdnn longer than the series": lambda: TDNN(I, (H, H - 1), O, delays=6, nonlinearity="relu", **OPTIONS),
    "tdnn without delays": lambda: TDNN(I, H, O, delays=0, output_nonlinearity="softmax", **OPTIONS),
    "narx zeros": lambda: NARX(I, H, O, 1, 2, initial="zeros", **OPTIONS),
    "narx learned": lambda: NARX(I, (H, H + 1, H), O, 0, 3, initial="learned", output_nonlinearity="tanh", **OPTIONS),
    "narx one lag learned": lambda: NARX(I, H, O, 2, 1, initial="learned", nonlinearity="sigmoid", **OPTIONS),
    "narx without inputs": lambda: NARX(0, H, O, 0, 2, initial="learned", **OPTIONS),
    "narx without feedback": lambda: NARX(I, H, O, 2, 0, bias=False, **OPTIONS),
    "narx lags beyond": lambda: NARX(I, H, O, 7, 6, initial="zeros", bias=False, **OPTIONS),
    "jordan": lambda: Jordan(I, H, O, mu=0.7, **OPTIONS),
    "jordan softmax": lambda: Jordan(I, H, O, mu=0.0, output_nonlinearity="softmax", bias=False, **OPTIONS),
    "elman": lambda: Elman(I, H, O, **OPTIONS),
    "elman sigmoid": lambda: Elman(I, H, O, nonlinearity="sigmoid", output_nonlinearity="softmax", **OPTIONS),
    "state space": lambda: StateSpace(I, H, O, **OPTIONS),
    "state space learned": lambda: StateSpace(I, H, O, initial_state="learned", output_nonlinearity="tanh", **OPTIONS),
    "linear state space": lambda: StateSpace(I, H, O, nonlinearity=None, bias=False, **OPTIONS),
    "softmaxed state": lambda: StateSpace(I, H, O, nonlinearity="softmax", initial_state="learned", **OPTIONS),
    **{f"figure: {name}": lambda name=name: figure(name) for name in FIGURES},
    "figure, learned": lambda: figure("all of these", initial_state="learned", nonlinearities={"y": "softmax"}),
    "figure, lag learned": lambda: figure("skips across layers and time", initial_state="learned", bias=False),
}


def drawn(make: Callable[[], Any], T: int = 5, seed: int = 0) -> tuple[Any, dict[str, Any], list[Any]]:
    """The net, xs and the state's arrays, and weights for the divergence."""
    net, rng = make(), np.random.default_rng(seed)
    for p in net.parameters():  # so that relus are not at rest and learned states not zero
        p.data = rng.uniform(-0.8, 0.8, p.shape)
    values = {"xs": rng.standard_normal((T, B, net.input_size))}
    values |= {n: rng.standard_normal((lags, B, k)) for n, (lags, k) in net.state_sizes.items()}
    shapes = [(T, B, net.output_size), *(values[n].shape for n in net.state_names)]
    return net, values, [rng.uniform(-1, 1, shape) for shape in shapes]


def packed(parts: list[Any]) -> Any:
    return tuple(parts) if len(parts) > 1 else parts[0] if parts else None


def divergence(seen: list[Any], weights: list[Any]) -> Any:
    """A function of all outputs and the final state at once, no sum over time (slide 70)."""
    inner: Any = 0.0
    for a, w in zip(seen, weights):
        inner = inner + (a * w).sum()
    return inner * inner + mg.sin(seen[0] * 3.0).sum() + inner


def divergence_gradient(weights: list[Any]) -> Callable[[Any, Any], tuple[Any, Any]]:
    def gradient(output: Any, final: Any) -> tuple[Any, Any]:
        seen = [output, *parts_of(final)]
        inner = sum(float((a * w).sum()) for a, w in zip(seen, weights))
        d = [(2 * inner + 1) * w for w in weights]
        d[0] = d[0] + 3 * np.cos(3 * output)
        return d[0], packed(d[1:])

    return gradient


def on_the_tape(net: Any, values: dict[str, Any], weights: list[Any], given: bool, targets: Any) -> dict[str, Any]:
    leaves = {n: mg.tensor(a, requires_grad=True) for n, a in values.items()}
    extra = {}
    if targets is not None:
        leaves["targets"] = mg.tensor(targets, requires_grad=True)
        extra = {"targets": leaves["targets"]}
    state = packed([leaves[n] for n in net.state_names]) if given else None
    output, final = net(leaves["xs"], state, **extra)
    if not given:
        leaves = {n: x for n, x in leaves.items() if n not in net.state_names}
    leaves |= dict(net.named_parameters())
    found = mg.gradients(
        divergence([output, *parts_of(final)], [mg.tensor(w) for w in weights]),
        list(leaves.values()),
        allow_unused=True,
    )
    named = {n: np.zeros(x.shape) if g is None else g.numpy() for (n, x), g in zip(leaves.items(), found)}
    return (
        named | {"output": output.numpy()} | {f"final {n}": e.numpy() for n, e in zip(net.state_names, parts_of(final))}
    )


def by_reference(net: Any, values: dict[str, Any], weights: list[Any], given: bool, targets: Any) -> dict[str, Any]:
    function = REFERENCES[type(net)]
    options = {
        name: getattr(net, name)
        for name, p in inspect.signature(function).parameters.items()
        if p.kind is p.KEYWORD_ONLY and name != "targets"
    }
    if targets is not None:
        options["targets"] = targets
    state = packed([values[n] for n in net.state_names]) if given else None
    parameters = {n: p.numpy() for n, p in net.named_parameters()}
    said = function(parameters, values["xs"], state, divergence_gradient(weights), **options)
    wanted = {n: g for n, g in said.gradients.items() if given or n not in net.state_names}
    return wanted | {"output": said.output} | {
        f"final {n}": e for n, e in zip(net.state_names, parts_of(said.final_state))
    }  # fmt: skip


def errors(found: dict[str, Any], want: dict[str, Any]) -> dict[str, float]:
    """The largest difference of each quantity, relative to its largest entry."""
    assert found.keys() == want.keys()
    said = {}
    for name, a in want.items():
        assert found[name].shape == a.shape, name
        scale = max(1.0, float(np.max(np.abs(a), initial=0.0)))
        said[name] = float(np.max(np.abs(found[name] - a), initial=0.0)) / scale
    return said


def assert_same(found: dict[str, Any], want: dict[str, Any], tolerance: float) -> None:
    wrong = {n: e for n, e in errors(found, want).items() if not e <= tolerance}
    assert not wrong


def asked(name: str) -> list[tuple[bool, bool]]:
    """(is the state given, are there targets) for each way to call this case's net."""
    net = CASES[name]()
    ways = [(True, False)] if net.state_names else []
    if not (isinstance(net, NARX) and net.initial == "given" and net.output_lags):
        ways.append((False, False))
    return ways + ([(True, True), (False, True)] if isinstance(net, NARX) and net.output_lags else [])


WAYS = [(name, *way) for name in CASES for way in asked(name)]


@pytest.mark.parametrize(("name", "given", "guided"), WAYS)
def test_equal_to_the_bptt_by_hand(name: str, given: bool, guided: bool) -> None:
    net, values, weights = drawn(CASES[name])
    targets = np.random.default_rng(9).standard_normal(weights[0].shape) if guided else None
    found = on_the_tape(net, values, weights, given, targets)
    assert_same(found, by_reference(net, values, weights, given, targets), EXACT)


@pytest.mark.parametrize(("name", "given", "guided"), [w for w in WAYS if not w[0].startswith("elman")])
def test_equal_to_finite_differences(name: str, given: bool, guided: bool) -> None:
    """Along one random direction for each quantity, by the difference of fourth order."""
    net, values, weights = drawn(CASES[name])
    rng = np.random.default_rng(9)
    targets = rng.standard_normal(weights[0].shape) if guided else None
    gradients = on_the_tape(net, values, weights, given, targets)
    parameters = dict(net.named_parameters())
    at_rest = {n: p.numpy() for n, p in parameters.items()} | values | ({"targets": targets} if guided else {})

    def value(moved: str, step: Any) -> float:
        now = at_rest | {moved: at_rest[moved] + step}
        for n, p in parameters.items():
            p.data = now[n]
        with mg.no_grad():
            state = packed([mg.tensor(now[n]) for n in net.state_names]) if given else None
            extra = {"targets": now["targets"]} if guided else {}
            output, final = net(now["xs"], state, **extra)
            return float(divergence([output, *parts_of(final)], weights))

    h = 1e-3
    for n, g in gradients.items():
        if n == "output" or n.startswith("final"):
            continue
        v = rng.standard_normal(g.shape)
        v = v / max(float(np.linalg.norm(v)), 1e-30)
        numeric = (8 * (value(n, h * v) - value(n, -h * v)) - (value(n, 2 * h * v) - value(n, -2 * h * v))) / (12 * h)
        assert abs(numeric - float((g * v).sum())) <= NEAR * max(1.0, abs(numeric)), n


@pytest.mark.parametrize("name", CASES)
def test_the_same_values_on_every_backend(name: str, xp: Any) -> None:
    net, values, weights = drawn(CASES[name])
    given = bool(net.state_names)
    net.to(xp.name)
    found = on_the_tape(net, values, weights, given, None)
    assert_same(found, by_reference(net, values, weights, given, None), EXACT)


@pytest.mark.parametrize("name", ["tdnn", "narx learned", "jordan", "elman", "state space learned", "figure, learned"])
def test_every_step_has_its_share_in_the_ledger(name: str) -> None:
    """A parameter's lines carry the time steps and add up to the pooled gradient."""
    net, values, weights = drawn(CASES[name], T=4)

    def loss() -> Any:
        output, final = net(values["xs"])
        return divergence([output, *parts_of(final)], weights)

    named = {n: p for n, p in net.named_parameters() if not n.endswith("_init")}
    pooled = mg.gradients(loss(), list(named.values()))
    book = mg.ledger(loss(), list(named.values()))
    for (n, p), g in zip(named.items(), pooled):
        steps = book.by_time_step(p)
        assert list(steps) == [0, 1, 2, 3], n
        np.testing.assert_allclose(sum(s.numpy() for s in steps.values()), g.numpy(), rtol=1e-11, atol=1e-12)


def test_a_share_in_the_ledger_is_that_steps() -> None:
    """Wo's line for t is dY(t)ᵀ h(t), computed here from the equations."""
    net, values, weights = drawn(CASES["state space"], T=3)
    book = mg.ledger(divergence([net(values["xs"])[0]], weights), [net.Wo])
    hs, h = [], np.zeros((B, H))
    for t in range(3):
        h = np.tanh(values["xs"][t] @ net.Wc.numpy().T + h @ net.Wr.numpy().T + net.b.numpy())
        hs.append(h)
    d_output, _ = divergence_gradient(weights[:1])(net(values["xs"])[0].numpy(), None)
    for t, share in book.by_time_step(net.Wo).items():
        np.testing.assert_allclose(share.numpy(), d_output[t].T @ hs[t], rtol=1e-11, atol=1e-12)


# --- Planted faults --------------------------------------------------------------------------------------------------
class LeakyElman(Elman):
    """The fault: the gradient crosses the link."""

    _feedback = StateSpace._feedback


class CutJordan(Jordan):
    """The fault: no gradient flows through the memory."""

    def forward(self, xs: Any, state: Any = None) -> Any:
        ys = []
        for t in range(xs.shape[0]):
            y, state = super().forward(xs[t : t + 1], state)
            state = state.detach()
            ys.append(y)
        return mg.concatenate(ys), state


class ForgetfulNARX(NARX):
    """The fault: the feedback is read, but no gradient flows through it."""

    def _run(self, xs: Any, start: Any, targets: Any = None) -> Any:
        if targets is None:
            with mg.no_grad():
                targets = super()._run(xs, start, None)[0]
        return super()._run(xs, start, targets)


class LateTDNN(TDNN):
    """The fault: the window is one step late."""

    def forward(self, xs: Any, state: Any = None) -> Any:
        late = mg.concatenate([xs[:1], xs[:-1]])
        return super().forward(late, state)


@pytest.mark.parametrize(
    ("fault", "make"),
    [
        (LeakyElman, lambda: LeakyElman(I, H, O, **OPTIONS)),
        (CutJordan, lambda: CutJordan(I, H, O, **OPTIONS)),
        (ForgetfulNARX, lambda: ForgetfulNARX(I, H, O, 1, 2, initial="zeros", **OPTIONS)),
        (LateTDNN, lambda: LateTDNN(I, H, O, 2, **OPTIONS)),
    ],
)
def test_a_planted_fault_is_caught(fault: type, make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REFERENCES, fault, REFERENCES[fault.__mro__[1]])
    net, values, weights = drawn(make)
    said = errors(on_the_tape(net, values, weights, True, None), by_reference(net, values, weights, True, None))
    assert max(said.values()) > 1e-3
    if fault is not LateTDNN:  # the values are right; it is the gradients that tell
        assert said["output"] < 1e-12


@pytest.mark.parametrize(
    ("function", "old", "new", "name"),
    [
        (
            by_hand.narx_reference,
            "dY = d_output[t] + (dF[t] if targets is None else 0.0)",
            "dY = d_output[t]",
            "narx zeros",
        ),
        (by_hand.jordan_reference, "dm[t] += mu * dm[t + 1]", "dm[t] += dm[t + 1]", "jordan"),
        (by_hand._one_hidden_layer, "dh[t - 1] += d_before", "dh[t - 1] += 1.001 * d_before", "state space"),
        (general_recurrence_reference, "a[source][t - lag], dz)", "a[source][t], dz)", "figure: more than one lag"),
    ],
)
def test_a_wrong_reference_is_caught(
    function: Any, old: str, new: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = inspect.getsource(function)
    assert old in source
    module = inspect.getmodule(function)
    wrong: dict[str, Any] = dict(vars(module))
    exec("from __future__ import annotations\n" + source.replace(old, new), wrong)
    monkeypatch.setattr(module, function.__name__, wrong[function.__name__])
    net, values, weights = drawn(CASES[name])
    monkeypatch.setitem(REFERENCES, type(net), getattr(module, REFERENCES[type(net)].__name__))
    said = errors(on_the_tape(net, values, weights, True, None), by_reference(net, values, weights, True, None))
    assert max(said.values()) > EXACT


def test_the_reference_says_what_does_not_fit() -> None:
    net, values, weights = drawn(CASES["state space"])
    parameters = {n: p.numpy() for n, p in net.named_parameters()}
    ask = divergence_gradient(weights)
    with pytest.raises(ValueError, match=r"manual_bptt: state's h: got \(2, 4\), want \(1, 2, 4\)"):
        by_hand.state_space_reference(parameters, values["xs"], np.zeros((2, 4)), ask)
    with pytest.raises(ValueError, match=r"manual_bptt: state: got 2 array\(s\), want \['h'\]"):
        by_hand.state_space_reference(parameters, values["xs"], (None, None), ask)
    with pytest.raises(ValueError, match="manual_bptt: nonlinearity: got 'tan'"):
        by_hand.state_space_reference(parameters, values["xs"], None, ask, nonlinearity="tan")
