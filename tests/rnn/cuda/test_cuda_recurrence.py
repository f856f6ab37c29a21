"""Models on a device with kernels (`kernel_sequences`): what runs them, and that nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend as backend_module
from minigrad.backend import Backend, get_backend
from minigrad_rnn import GRU, LSTM, RNN, IndRNN, Recurrence, Truncation, verify_bptt
from tests.support.cuda_on_cpu.device import SMALL, Settings, make_backend
from tests.support.native_library import fastest
from tests.support.strict_device import STRICT, StrictArray, no_sync

ONES = [("rnn", RNN, {}), ("lstm", LSTM, {}), ("gru", GRU, {}), ("published", GRU, {"reset_after": False})]
models = pytest.mark.parametrize(("kind", "options"), [(k, o) for _, k, o in ONES], ids=[name for name, _, _ in ONES])
T, B, I, H = 4, 3, 2, 8
STEPS = [2, 4, 3]


@pytest.fixture(params=[(8, 0), (9, 0)], ids=["polled", "clusters"])
def kernels_on_cpu(
    request: pytest.FixtureRequest, launch_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Backend:
    """Two devices, which differ in whether blocks poll or are clusters."""
    get_backend("strict")
    backend = make_backend(launch_settings, replace(SMALL, compute_capability=request.param))
    monkeypatch.setitem(backend_module._by_name, "strict", backend)
    monkeypatch.setitem(backend_module.BY_ARRAY_TYPE, StrictArray, backend)
    return backend


def made(kind: Any, options: dict[str, Any], dtype: str = "float64", **others: Any) -> Recurrence:
    return kind(I, H, dtype=dtype, rng=np.random.default_rng(3), **options, **others)


def inputs(dtype: str = "float64") -> np.ndarray[Any, Any]:
    return np.random.default_rng(4).standard_normal((T, B, I)).astype(dtype)


def gradients(model: Recurrence, xs: Any, **how: Any) -> list[np.ndarray[Any, Any]]:
    xs = mg.tensor(xs, requires_grad=True)
    outputs, state, *every = model(xs, **how)
    parts = [outputs, *(p for given in (state, *every) for p in (given if isinstance(given, tuple) else (given,)))]
    loss = sum((mg.sin(y) * y).sum() for y in parts)
    return [y.numpy() for y in (*parts, *mg.gradients(loss, [xs, *model.parameters()]))]


def assert_same(got: list[Any], want: list[Any], tolerance: float = 1e-12) -> None:
    assert len(got) == len(want)
    for a, b in zip(got, want):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@models
@pytest.mark.parametrize(
    "others",
    [
        {"num_layers": 2, "bidirectional": True, "initial_state": "learned"},
        {"num_layers": (1, 2), "bidirectional": True, "merge": "sum"},
        {"bias": False, "batch_first": True},
    ],
    ids=["two directions", "of two depths", "no bias"],
)
@pytest.mark.parametrize("return_states", [False, True], ids=["", "all states"])
def test_a_model_is_what_it_is_on_numpy(
    kernels_on_cpu: Backend, kind: Any, options: Any, others: dict[str, Any], return_states: bool
) -> None:
    xs = inputs().swapaxes(0, 1) if others.get("batch_first") else inputs()
    on_numpy, on_device = made(kind, options, **others), made(kind, options, **others).to("strict")
    for lengths in (None, STEPS):
        how = {"lengths": lengths, "return_states": return_states}
        assert_same(gradients(on_device, kernels_on_cpu.from_numpy(xs), **how), gradients(on_numpy, xs, **how))
        assert "persistent (" in on_device.implementation
        without_polls = "no exchange" in on_device.implementation or "in clusters of" in on_device.implementation
        assert kernels_on_cpu.kernels is not None
        assert without_polls == (kernels_on_cpu.kernels().device.compute_capability >= (9, 0))
        assert on_numpy.implementation == fastest()


@models
def test_verify_bptt_with_kernels(kernels_on_cpu: Backend, launch_settings: Settings, kind: Any, options: Any) -> None:
    model = made(kind, options, "float32", bidirectional=True, initial_state="learned").to("strict")
    checked = verify_bptt(model, kernels_on_cpu.from_numpy(inputs("float32")), lengths=STEPS)
    assert checked.passed, str(checked)
    assert {"forward", "backward"} <= {name for name, _, _ in launch_settings.launched}


@models
def test_a_training_step_waits_for_nothing(kernels_on_cpu: Backend, kind: Any, options: Any) -> None:
    model = made(kind, options, "float32", bidirectional=True).to("strict")
    xs = kernels_on_cpu.from_numpy(inputs("float32"))
    with no_sync():
        output, _ = model(xs)
        (output * output).sum().backward()
    assert all(p.grad is not None and p.grad.dtype == np.float32 for p in model.parameters())


@models
def test_derivatives_of_second_order(kernels_on_cpu: Backend, kind: Any, options: Any) -> None:
    xs = kernels_on_cpu.from_numpy(inputs())
    result = []
    for backend, x in (("numpy", inputs()), ("strict", xs)):
        model = made(kind, options, bidirectional=True).to(backend)
        x = mg.tensor(x, requires_grad=True)
        (g,) = mg.gradients((model(x, lengths=STEPS)[0] ** 2).sum(), [x], create_graph=True)
        result.append([p.numpy() for p in mg.gradients((g * g).sum(), [x, *model.parameters()])])
    assert_same(*result)


@models
def test_the_ledgers_lines(kernels_on_cpu: Backend, kind: Any, options: Any) -> None:
    """What every step contributed, of both directions, is what the graph's entries say."""
    xs = kernels_on_cpu.from_numpy(inputs())
    books = []
    for impl in ("fused", "graph"):
        model = made(kind, options, bidirectional=True, impl=impl).to("strict")
        weights = list(model.parameters())
        for lengths in (None, STEPS):
            book = mg.ledger((model(xs, lengths=lengths)[0] ** 2).sum(), weights)
            books.append([book.by_time_step(w)[t].numpy() for w in weights for t in range(T)])
    for ours, expected in ((books[0], books[2]), (books[1], books[3])):
        assert_same(ours, expected)


@models
def test_the_ledgers_norms_and_lags(kernels_on_cpu: Backend, kind: Any, options: Any) -> None:
    """Each direction: norms are those of the contributions, which add up to the gradient, by lag as well."""
    xs = kernels_on_cpu.from_numpy(inputs())
    model = made(kind, options, bidirectional=True).to("strict")
    by_time = (model(xs, lengths=STEPS)[0] ** 2).sum(axis=(1, 2))
    losses, times = [by_time[0], by_time[T - 1]], [0, T - 1]
    lags, sizes = (mg.lag_ledger(losses, model, times, keep) for keep in ("full", "norms"))
    with mg.record_ledger(model, keep="norms") as book:
        (losses[0] + losses[1]).backward()
    assert "persistent (" in model.implementation
    for name, p in model.named_parameters():
        by_step = lags.by_time_step(name)
        total, wanted = sum(g.numpy() for g in by_step.values()), p.grad.numpy()
        assert np.max(np.abs(total - wanted)) <= 1e-12 * np.max(np.abs(wanted)), name
        np.testing.assert_allclose(sizes.norms(p), lags.norms(p), rtol=1e-10, atol=1e-15)
        norms = [np.linalg.norm(g.numpy()) for g in by_step.values()]
        np.testing.assert_allclose(list(book.norms(p).values()), norms, rtol=1e-10, atol=1e-15)


@models
def test_a_gradient_alone_is_what_it_is_among_others(kernels_on_cpu: Backend, kind: Any, options: Any) -> None:
    model = made(kind, options).to("strict")
    weights = list(model.parameters())

    def asked(of: list[Any]) -> list[Any]:
        return [g.numpy() for g in mg.gradients(model(kernels_on_cpu.from_numpy(inputs()))[0].sum(), of)]

    assert_same([asked([w])[0] for w in weights], asked(weights), 0)


def test_truncated_bptt(kernels_on_cpu: Backend) -> None:
    result = []
    for backend in ("numpy", "strict"):
        model = made(GRU, {}).to(backend)
        xs = inputs() if backend == "numpy" else kernels_on_cpu.from_numpy(inputs())
        for window in Truncation(2).windows(model, xs, lengths=STEPS):
            (window.output**2).sum().backward()
        result.append([p.grad.numpy() for p in model.parameters()])
    assert_same(*result)


@pytest.mark.parametrize(
    ("model", "implementation"),
    [
        (lambda: LSTM(I, H, peephole=True), "op by op (no kernel serves peephole=True)"),
        (lambda: LSTM(I, H, proj_size=2), "op by op (no kernel serves proj_size=2)"),
        (lambda: RNN(I, H, impl="graph"), "graph"),
        (lambda: LSTM(I, H, zoneout=0.1), "graph"),
        (lambda: IndRNN(I, H), "graph"),
    ],
    ids=["peephole", "projection", "graph", "zoneout", "no sequence"],
)
def test_the_road_and_why(kernels_on_cpu: Backend, launch_settings: Settings, model: Any, implementation: str) -> None:
    net = model().to("strict")
    assert net.implementation is None
    net(kernels_on_cpu.from_numpy(inputs("float32")))
    assert net.implementation == implementation
    assert launch_settings.launched == []


@models
def test_a_device_that_cannot_hold_all_blocks(
    launch_settings: Settings, monkeypatch: pytest.MonkeyPatch, kind: Any, options: Any
) -> None:
    backend = make_backend(launch_settings, replace(SMALL, cooperative=False))
    monkeypatch.setitem(backend_module._by_name, "strict", backend)
    monkeypatch.setitem(backend_module.BY_ARRAY_TYPE, StrictArray, backend)
    models = [made(kind, options, num_layers=2, bidirectional=True) for _ in range(2)]
    got = gradients(models[1].to("strict"), backend.from_numpy(inputs()), lengths=STEPS)
    assert_same(got, gradients(models[0], inputs(), lengths=STEPS))
    assert models[1].implementation == "two launches a step (the device has no cooperative launches)"
    assert len(launch_settings.launched) == 2 * T * 2 * (2 if options else 1)


def test_a_device_without_kernels_takes_the_fused_implementation() -> None:
    assert STRICT.kernels is None
    model = RNN(I, H).to("strict")
    model(STRICT.from_numpy(inputs("float32")))
    assert model.implementation == "fused"
