"""`detect_anomaly` finds a NaN or Inf planted in forward, in backward, at a time step, on every implementation."""

from __future__ import annotations

import asyncio
import inspect
import threading
import warnings
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import RNN


def leaf(*values: float, dtype: str = "float64") -> mg.Tensor:
    return mg.tensor(np.array(values, dtype), requires_grad=True)


def here() -> int:
    """The caller's line."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def caught(function: Any) -> mg.AnomalyError:
    with pytest.raises(mg.AnomalyError) as info, mg.detect_anomaly():
        function()
    return info.value


@pytest.mark.parametrize(
    ("op", "kind", "function", "shapes"),
    [
        ("log", "NaN", lambda: mg.log(leaf(1.0, -1.0)), ((2,),)),
        ("log", "Inf", lambda: mg.log(leaf(1.0, 0.0)), ((2,),)),
        ("divide", "NaN", lambda: leaf(1.0, 0.0) / leaf(0.0), ((2,), (1,))),
        ("exp", "Inf", lambda: mg.exp(leaf(100.0, dtype="float32")), ((1,),)),
        ("sqrt", "NaN", lambda: mg.sqrt(mg.tensor([-1.0])), ((1,),)),  # a constant
        ("subtract", "NaN", lambda: mg.subtract(leaf(np.inf), leaf(np.inf)), ((1,), (1,))),
        ("multiply", "NaN", lambda: leaf(0.0) * np.inf, ((1,),)),
    ],
)
def test_planted_in_forward(op: str, kind: str, function: Any, shapes: Any) -> None:
    error = caught(function)
    assert (error.phase, error.op, error.kind, error.shapes, error.time_step) == ("forward", op, kind, shapes, None)
    assert error.file == __file__
    assert "leaf(" in error.source or "tensor(" in error.source
    assert f"forward: '{op}' made the first {kind}, at index (" in str(error)
    assert f"line: {__file__}:{error.line}: {error.source}" in str(error)


def test_the_users_line_and_the_dtypes(xp: Any) -> None:
    x = mg.tensor(xp.array([1.0, -1.0]), requires_grad=True)
    y = x * 2.0
    line = here() + 1
    error = caught(lambda: mg.log(y))
    assert error.line == line
    assert error.dtypes == ("float64",)
    assert str(error) == (
        "forward: 'log' made the first NaN, at index (1,), 1 of 2 values\n  inputs: (2,) float64\n"
        f"  line: {__file__}:{line}: error = caught(lambda: mg.log(y))"
    )


def test_what_came_in_was_not_born() -> None:
    with mg.detect_anomaly():
        x = leaf(1.0, np.inf, -np.inf)
        assert mg.exp(x).tolist() == [np.e, np.inf, 0.0]
        assert np.isnan(mg.log(leaf(np.nan)).item())
        assert (leaf(1.0) + np.inf).tolist() == [np.inf]
        assert mg.where(np.array([True, False]), leaf(1.0, 2.0), -np.inf).tolist() == [1.0, -np.inf]
        scores = leaf(1.0, 2.0) + np.array([0.0, -np.inf])
        mg.softmax(scores).sum().backward()
        (leaf(np.nan, 1.0) * 2.0).sum().backward(np.float64(np.nan))


@pytest.mark.parametrize("create_graph", [False, True])
def test_planted_in_backward(create_graph: bool) -> None:
    with mg.detect_anomaly():
        x = leaf(4.0, 0.0)
        with mg.time_step(3):
            line, y = here(), mg.sqrt(x)
        loss = (y * 2.0).sum()
    error = caught(lambda: mg.gradients(loss, [x], create_graph=create_graph))
    assert (error.phase, error.op, error.kind, error.time_step) == ("backward", "sqrt", "Inf", 3)
    assert (error.file, error.line) == (__file__, line)
    assert str(error) == (
        "backward: the rule of 'sqrt' for input 0 made the first Inf at time step 3, at index (1,), 1 of 2 values\n"
        "  gradient and saved: (2,) float64, (2,) float64\n"
        f"  recorded at: {__file__}:{line}: line, y = here(), mg.sqrt(x)"
    )


BIG = 3e38
"""Finite in float32; twice that is not."""


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_sum_of_finite_contributions_overflows_at_a_leaf(create_graph: bool) -> None:
    with mg.detect_anomaly():
        x = leaf(1.0, 0.0, dtype="float32")  # forward nothing overflows
        factor = np.array([1.0, BIG], np.float32)
        with mg.time_step(0):
            first, y = here(), x * factor
        with mg.time_step(1):
            line, z = here(), x * factor
        loss = y.sum() + z.sum()
    error = caught(lambda: mg.gradients(loss, [x], create_graph=create_graph))
    assert (error.phase, error.op, error.kind, error.time_step) == ("backward", "leaf", "Inf", None)
    assert (error.shapes, error.dtypes) == (((2,),), ("float32",))
    assert (error.file, error.line) == (__file__, line)
    assert str(error) == (
        "backward: the sum of 2 contributions to the gradient of a leaf (2,) made the first Inf, at index (1,), "
        f"1 of 2 values\n  gradient: (2,) float32\n  recorded at: {__file__}:{line}: line, z = here(), x * factor"
        f"\n  from: 'multiply' at time step 1, {__file__}:{line}: line, z = here(), x * factor"
        f"\n  from: 'multiply' at time step 0, {__file__}:{first}: first, y = here(), x * factor"
    )
    assert x.grad is None


def test_a_sum_of_finite_contributions_overflows_at_an_operation() -> None:
    x = leaf(0.0, dtype="float32")
    with mg.detect_anomaly():
        line, h = here(), mg.tanh(x)
        loss = sum((h * np.float32(BIG) for _ in range(12)), start=h).sum()
    error = caught(loss.backward)
    assert (error.op, error.kind, error.line) == ("tanh", "Inf", line)
    assert "the sum of 13 contributions to the gradient of 'tanh' (1,) made" in str(error)
    assert str(error).count("from: 'multiply'") + str(error).count("from: 'add'") == 8
    assert str(error).endswith("from: and 5 more")
    assert x.grad is None


def test_the_sum_over_a_broadcast_axis_overflows() -> None:
    bias = leaf(-1.0, dtype="float32")
    for rows in (3, 500):  # few rows wait in the pool
        with mg.detect_anomaly():
            loss = ((bias + np.ones((rows, 1), np.float32)) * np.float32(BIG)).sum()
        error = caught(loss.backward)
        assert (error.op, error.kind, error.source[:13]) == ("leaf", "Inf", "loss = ((bias")
        assert "the sum of 1 contribution to the gradient of a leaf (1,)" in str(error)


@pytest.mark.parametrize("steps", [2, 200])
def test_factors_that_are_contracted_together_overflow(steps: int) -> None:
    W = mg.tensor(np.zeros((3, 3), np.float32), requires_grad=True)
    x = np.full((4, 3), 1e37, np.float32)
    with mg.detect_anomaly():
        loss = sum(((x @ W).sum() * 5.0 for _ in range(steps)), start=mg.tensor(0.0))
    error = caught(loss.backward)
    assert (error.op, error.kind) == ("leaf", "Inf")
    assert f"the sum of {steps} contributions" in str(error)
    assert "from: 'matmul'" in str(error)


def test_infinities_of_both_signs_meet() -> None:
    x = leaf(1.0)
    with mg.detect_anomaly():
        y, z = x * 1.0, x * 1.0
    error = caught(lambda: mg.gradients([y, z], [x], [mg.tensor([np.inf]), mg.tensor([-np.inf])]))
    assert (error.op, error.kind) == ("leaf", "NaN")


def test_an_output_among_several_and_an_entry_with_a_hook() -> None:
    x = leaf(0.0, 2.0, dtype="float32")
    with mg.detect_anomaly():
        a, b = mg.split(x, 2)
        loss = (a * np.float32(BIG) + a * np.float32(BIG) + b).sum()
    error = caught(loss.backward)
    assert (error.op, error.kind) == ("split", "Inf")
    x.register_hook(lambda g: g * np.inf)
    with mg.detect_anomaly():
        loss = (x * 2.0).sum()
    assert "to the gradient of a leaf (2,), or a hook, made the first Inf" in str(caught(loss.backward))


def test_a_gradient_that_was_infinite_before_its_sum_is_told_once() -> None:
    x = leaf(1.0, 2.0)
    with mg.detect_anomaly():
        (x * 2.0 + x).backward(np.array([np.inf, 1.0]))
    assert x.grad is not None
    assert x.grad.tolist()[0] == np.inf

    def careless() -> None:
        with mg.detect_anomaly(warn=True):
            h = leaf(0.0, dtype="float32") * 1.0
            (h * np.float32(BIG) + h * np.float32(BIG)).sum().backward()

    with pytest.warns(mg.AnomalyWarning) as message:
        careless()
    assert len(message) == 1


def test_a_graph_that_was_recorded_outside() -> None:
    loss = mg.sqrt(leaf(0.0)).sum()
    error = caught(loss.backward)
    assert (error.op, error.file, error.line, error.source) == ("sqrt", None, None, "")
    assert "recorded at: outside detect_anomaly" in str(error)


@pytest.mark.parametrize("create_graph", [False, True])
def test_what_a_rule_of_the_users_makes_and_throws_away_was_not_born(create_graph: bool) -> None:
    @mg.primitive
    def log_of_positive(xp: Any, x: Any) -> Any:
        value = xp.log(xp.where(x > 0, x, 1.0))
        return value, (x,), lambda xp, g, x: xp.where(x > 0, g / x, 0.0)

    x = leaf(4.0, 0.0)
    with mg.detect_anomaly():
        (g,) = mg.gradients(log_of_positive(x).sum(), [x], create_graph=create_graph)
    assert g is not None
    assert g.tolist() == [0.25, 0.0]


def test_a_joint_rule() -> None:
    x = leaf(1.0, 1.0, 1.0)

    @mg.primitive
    def planted(xp: Any, x: Any) -> Any:
        return x * 1, (x,), mg.JointRule(lambda xp, g, needs, x: (g / (x - x),))

    error = caught(lambda: planted(x).sum().backward())
    assert (error.phase, error.op, error.kind) == ("backward", "planted", "Inf")
    assert "the rule of 'planted' made" in str(error)


def rnn_with(impl: str, T: int, t: int, backward: bool = False) -> tuple[RNN, mg.Tensor]:
    """A net whose step t overflows."""
    rnn = RNN(2, 3, impl=impl, nonlinearity="relu", bidirectional=backward)
    xs = np.ones((T, 2, 2), np.float32)
    xs[t, 1] = 3e38
    for cell in rnn.cells:
        cell.Wc.data = np.full((3, 2), 2, np.float32)
    if backward:  # the forward half stays finite
        rnn.forward0.Wc.data = np.zeros((3, 2), np.float32)
    return rnn, mg.tensor(xs)


OPS = [("graph", "linear_sum"), ("fused", "rnn_sequence"), ("native", "native_sequences")]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(("impl", "op"), OPS)
def test_at_a_time_step(impl: str, op: str, backward: bool) -> None:
    rnn, xs = rnn_with(impl, 7, 4, backward)
    error = caught(lambda: rnn(xs))
    assert (error.phase, error.op, error.time_step, error.kind) == ("forward", op, 4, "Inf")
    assert "made the first Inf at time step 4, at index (1, 0)" in str(error)
    assert error.file == __file__
    assert error.source == "error = caught(lambda: rnn(xs))"


@pytest.mark.parametrize(("impl", "op"), OPS)
def test_bptt_overflows_at_a_time_step(impl: str, op: str) -> None:
    rnn = RNN(1, 1, impl=impl, nonlinearity="relu", bias=False)
    rnn.forward0.Wc.data = np.ones((1, 1), np.float32)
    rnn.forward0.Wr.data = np.full((1, 1), 1e20, np.float32)
    xs = np.full((4, 1, 1), 1e-38, np.float32)
    with mg.detect_anomaly():
        hs, _ = rnn(mg.tensor(xs))
        loss = hs[-1].sum()
    error = caught(loss.backward)  # dh(3) = 1, dh(2) = 1e20, dh(1) = 1e40
    assert (error.phase, error.op, error.kind) == ("backward", op, "Inf")
    assert error.time_step == (2 if impl == "graph" else 1)  # step 2's rule makes dh(1), which makes step 1's share
    assert error.source == "hs, _ = rnn(mg.tensor(xs))"


def test_a_state_that_no_output_shows() -> None:
    @mg.primitive_with_outputs
    def planted_sequence(xp: Any, xs: Any) -> Any:
        return (xs * 1, xs[-1] * 1e300), (), mg.JointRule(lambda xp, gs, needs: (gs[0],))

    error = caught(lambda: planted_sequence(mg.tensor(np.full((2, 1, 1), 1e10))))
    assert (error.op, error.kind, error.time_step) == ("planted_sequence", "Inf", None)
    assert str(error).endswith("no step's output has one: only the last state has")


def test_warning_and_going_on() -> None:
    def careless() -> tuple[int, mg.Tensor]:
        with mg.detect_anomaly(warn=True):
            line, y = here(), mg.log(leaf(-1.0))
            return line, y * 2.0

    with pytest.warns(mg.AnomalyWarning, match="'log' made the first NaN") as message:
        line, z = careless()
    assert [(w.filename, w.lineno) for w in message] == [(__file__, line)]
    assert np.isnan(z.item())


def test_numpy_says_nothing_inside_and_all_is_as_before_after() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        caught(lambda: mg.log(leaf(-1.0)))
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert np.isnan(mg.log(leaf(-1.0)).item())


def test_a_hooks_own_nan() -> None:
    x = leaf(1.0)
    x.register_hook(lambda g: mg.log(g - 2.0))
    error = caught(lambda: (x * x * x).sum().backward(np.float64(1 / 3)))
    assert (error.phase, error.op) == ("forward", "log")
    assert error.source == "x.register_hook(lambda g: mg.log(g - 2.0))"


def test_the_first_line_outside_is_the_users() -> None:
    from minigrad.debug.source_line import users_line

    names = {"__package__": "minigrad_rnn", "look": users_line, "__name__": "__main__"}
    exec(compile("found = look()", "/elsewhere/minigrad_rnn/__main__.py", "exec"), names)
    assert names["found"][0] == __file__  # type: ignore[index]  # the test stands further out
    exec(compile("\n\nfound = look()", "<stdin>", "exec"), names)
    assert names["found"][:2] == ("<stdin>", 3)  # type: ignore[index]


def test_another_thread_is_not_watched() -> None:
    result: list[Any] = []

    def careless() -> None:
        with np.errstate(invalid="ignore"):
            result.append(mg.log(leaf(-1.0)).item())

    with mg.detect_anomaly():
        thread = threading.Thread(target=careless)
        thread.start()
        thread.join()
    assert len(result) == 1


def test_tasks_are_watched_one_by_one() -> None:
    async def careful() -> str:
        with mg.detect_anomaly():
            await asyncio.sleep(0)
            try:
                mg.log(leaf(-1.0))
            except mg.AnomalyError:
                return "raised"
            return "passed"

    async def careless() -> str:
        for _ in range(3):
            await asyncio.sleep(0)
            with np.errstate(invalid="ignore"):
                mg.log(leaf(-1.0))
        return "passed"

    async def both() -> list[str]:
        return await asyncio.gather(careful(), careless(), careful())

    assert asyncio.run(both()) == ["raised", "passed", "raised"]


def test_without_an_observer_nothing_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    from minigrad.engine import observer

    for kind in (observer.Observer, mg.detect_anomaly):
        for name in ("started", "finished", "rules", "backward_pass", "inside"):
            monkeypatch.setattr(kind, name, lambda *_, **__: pytest.fail("observed"))
    layer, x = mg.nn.Linear(2, 1, dtype="float64"), mg.tensor(np.ones((3, 2)), requires_grad=True)
    loss = mg.tanh(layer(x)).sum()
    loss.backward()
    assert not hasattr(loss.node, "metadata")
