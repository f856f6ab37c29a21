"""RTRL: equal to BPTT and to finite differences for every cell, dropped terms noticed, dtypes, misfits named."""

from __future__ import annotations

import inspect
import types
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from minigrad_rnn.manual_bptt import real_time_recurrent_learning as real_time, reference_bptt, rtrl, stack
from tests.support.reference_cells import CELLS

Array = np.ndarray[Any, Any]
I, H, P = 2, 3, 2


def drawn(name: str, T: int = 4, B: int = 2, dtype: Any = np.float64) -> dict[str, Any]:
    """Arguments of `rtrl`."""
    cell, options, optional = CELLS[name]
    step, rng = stack.step_of(cell, options), np.random.default_rng([T, B, len(name)])
    width = P if "Wp" in optional else H
    shapes = step.shapes(I, H, width)
    start = tuple(rng.uniform(-1, 1, (B, n)).astype(dtype) for n in (width, H)[: len(step.states)])
    return {
        "cell": cell,
        "parameters": {
            n: rng.uniform(-0.9, 0.9, shape).astype(dtype)
            for n, shape in shapes.items()
            if n in optional or n not in step.optional
        },
        "xs": rng.standard_normal((T, B, I)).astype(dtype),
        "initial_state": start if len(start) > 1 else start[0],
        "local_gradient": rng.standard_normal((T, B, width)).astype(dtype),
        "options": options,
    }


def parts(state: Any) -> tuple[Any, ...]:
    return state if isinstance(state, tuple) else (state,)


def by_bptt(arguments: dict[str, Any]) -> dict[str, Array]:
    start = tuple(a[None] for a in parts(arguments["initial_state"]))
    zeros = tuple(np.zeros_like(a) for a in start)
    found = reference_bptt(
        arguments["cell"], {f"forward0.{n}": a for n, a in arguments["parameters"].items()}, arguments["xs"],
        start if len(start) > 1 else start[0],
        lambda *_: (arguments["local_gradient"], zeros if len(zeros) > 1 else zeros[0]),
        num_layers=1, bidirectional=False, options=arguments["options"],
    ).gradients  # fmt: skip
    return {n.removeprefix("forward0."): g[0] if n.endswith("_init") else g for n, g in found.items() if n != "xs"}


@settings(max_examples=30)
@given(st.sampled_from(sorted(CELLS)), st.integers(1, 9), st.integers(1, 3))
def test_forward_and_back_agree_for_any_length(name: str, T: int, B: int) -> None:
    arguments = drawn(name, T, B)
    found, want = rtrl(**arguments), by_bptt(arguments)
    assert found.keys() == want.keys()
    for n, g in found.items():
        np.testing.assert_allclose(g, want[n], rtol=0, atol=1e-10 * max(1.0, np.abs(want[n]).max()), err_msg=n)


@pytest.mark.parametrize("name", CELLS)
def test_it_agrees_with_finite_differences(name: str) -> None:
    """Along one direction for every parameter and every initial state."""
    arguments = drawn(name)
    step = stack.step_of(arguments["cell"], arguments["options"])
    start = {f"{s}_init": a for s, a in zip(step.states, parts(arguments["initial_state"]))}
    values = arguments["parameters"] | start

    def divergence(moved: dict[str, Array]) -> float:
        states, total = tuple(moved[s] for s in start), 0.0
        for x, dh in zip(arguments["xs"], arguments["local_gradient"]):
            states, _ = step.forward({n: moved[n] for n in arguments["parameters"]}, x, states[0], states)
            total += float((states[0] * dh).sum())
        return total

    found, h = rtrl(**arguments), 1e-5
    assert found.keys() == values.keys()
    for n, a in values.items():
        v = np.random.default_rng(5).standard_normal(a.shape)
        slope = (divergence({**values, n: a + h * v}) - divergence({**values, n: a - h * v})) / (2 * h)
        np.testing.assert_allclose((found[n] * v).sum(), slope, rtol=1e-7, atol=1e-8, err_msg=n)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("np.tensordot(through, sensitivity[name], axes=1)", "0.0"),
        ("dbefore[0][0] + dhr[0]", "dbefore[0][0]"),
        ("to_start = through @ to_start", "to_start = to_start"),
        ("np.tensordot(dh, sensitivity", "1.001 * np.tensordot(dh, sensitivity"),
    ],
)
def test_a_dropped_term_is_noticed(before: str, after: str) -> None:
    source = inspect.getsource(real_time)
    assert source.count(before) == 1
    spoiled = types.ModuleType(real_time.__name__)
    spoiled.__package__ = real_time.__package__
    exec(compile(source.replace(before, after), real_time.__name__, "exec"), spoiled.__dict__)
    arguments = drawn("gru")
    want = by_bptt(arguments)
    assert any(not np.allclose(g, want[n], rtol=1e-6, atol=1e-9) for n, g in spoiled.rtrl(**arguments).items())


def test_what_comes_later_changes_nothing_that_was_learned() -> None:
    """Without a gradient after t the sum is that of the first t steps: nothing is carried back."""
    whole = drawn("layer_norm_lstm", T=6)
    whole["local_gradient"][3:] = 0.0
    short = {**whole, "xs": whole["xs"][:3], "local_gradient": whole["local_gradient"][:3]}
    for n, g in rtrl(**whole).items():
        np.testing.assert_array_equal(g, rtrl(**short)[n], err_msg=n)


@pytest.mark.parametrize("name", CELLS)
def test_float32_stays_float32_and_nothing_given_is_changed(name: str) -> None:
    arguments, before = drawn(name, dtype=np.float32), drawn(name, dtype=np.float32)
    found, double = rtrl(**arguments), rtrl(**drawn(name))
    assert {g.dtype for g in found.values()} == {np.dtype(np.float32)}
    for n, g in double.items():
        np.testing.assert_allclose(found[n], g, rtol=1e-3, atol=1e-3, err_msg=n)
    for n, a in before["parameters"].items():
        np.testing.assert_array_equal(arguments["parameters"][n], a)
    for n in ("xs", "local_gradient"):
        np.testing.assert_array_equal(arguments[n], before[n])


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("cell", "elman", "cell: got 'elman'"),
        ("options", {"slope": 1.0}, r"options: got \['slope'\]"),
        ("xs", np.zeros((4, 2)), r"xs: got float64 \(4, 2\), want .* \(T, B, I\)"),
        ("xs", np.zeros((4, 2, 5)), r"parameters\['gru.Wc'\]: got float64 \(9, 2\), want .* \(9, 5\)"),
        ("parameters", {"Wr": np.zeros((9, 3))}, "parameters: got no 'gru.Wc'"),
        ("initial_state", np.zeros((1, 2, 3)), r"initial_state's h: got float64 \(1, 2, 3\), want .* \(2, 3\)"),
        ("initial_state", (np.zeros((2, 3)),) * 2, r"initial_state: got 2 part\(s\), want h"),
        ("local_gradient", np.zeros((4, 3)), r"local_gradient: got float64 \(4, 3\), want .* \(4, 2, 3\)"),
        ("local_gradient", np.zeros((4, 2, 3), np.float32), "local_gradient: got float32"),
    ],
)
def test_arguments_that_do_not_fit_are_named(argument: str, value: Any, message: str) -> None:
    arguments = drawn("gru")
    rtrl(**arguments)
    with pytest.raises(ValueError, match=f"manual_bptt: {message}"):
        rtrl(**{**arguments, argument: value})
