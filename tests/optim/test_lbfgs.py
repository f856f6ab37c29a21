"""LBFGS: PyTorch's trajectories with and without a line search, all or nothing, saved and resumed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.optim import LBFGS, Adam
from minigrad.optim.line_search import DECREASE, FLATTENING, Point, cubic_minimum, strong_wolfe
from tests.support.interrupts import interrupted_at

OPTIONS: list[dict[str, Any]] = [
    {"lr": 0.1},
    {"lr": 0.5, "max_iter": 7, "history_size": 3},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "history_size": 2, "max_iter": 5, "max_eval": 7},
    {"lr": 0.05, "line_search_fn": "strong_wolfe", "max_iter": 4},
]
X = np.random.default_rng(0).standard_normal((20, 3))
Y = np.sin(X.sum(1, keepdims=True) * 2)


def network(numbers: Any) -> list[Any]:
    """The weights of a small network; the last one has no gradient."""
    rng = np.random.default_rng(1)
    shapes = [(3, 4), (4,), (4, 1), (2,)]
    return [numbers(rng.standard_normal(shape) * 0.5) for shape in shapes]


def loss_of(weights: list[Any], tanh: Any, x: Any, y: Any) -> Any:
    W, b, V, _ = weights
    error = tanh(x @ W + b) @ V - y
    return (error * error).mean()


def rosenbrock(w: Any) -> Any:
    return (100 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2).sum()


class Problem:
    """A closure that counts its calls."""

    def __init__(self, params: list[Any], loss: Any, optimizer: Any) -> None:
        self.params, self.loss, self.optimizer, self.calls = params, loss, optimizer, 0

    def __call__(self) -> Any:
        self.calls += 1
        self.optimizer.zero_grad()
        loss = self.loss(self.params)
        loss.backward()
        return loss


def ours(options: dict[str, Any], problem: str = "network") -> Problem:
    params = network(mg.Parameter) if problem == "network" else [mg.Parameter(np.linspace(-1.2, 1.0, 5))]
    x, y = mg.tensor(X), mg.tensor(Y)
    if problem == "network":
        return Problem(params, lambda ps: loss_of(ps, mg.tanh, x, y), LBFGS(params, **options))
    return Problem(params, lambda ps: rosenbrock(ps[0]), LBFGS(params, **options))


def state_of(problem: Problem) -> list[np.ndarray]:
    entry = problem.optimizer.state_dict()["state"][0]
    return [*(p.numpy() for p in problem.params), *(np.asarray(entry[name]) for name in sorted(entry))]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b))


@pytest.mark.parametrize("which", ["network", "rosenbrock"])
@pytest.mark.parametrize("options", OPTIONS)
def test_trajectories_are_torchs(xp: Any, which: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    if which == "rosenbrock" and not options.get("line_search_fn"):
        options = {**options, "lr": 1e-3}  # else the fixed steps leave the valley
    problem = ours(options, which)

    def leaf(value: Any) -> Any:
        return torch.tensor(value, requires_grad=True)

    theirs = network(leaf) if which == "network" else [leaf(np.linspace(-1.2, 1.0, 5))]
    x, y = torch.tensor(X), torch.tensor(Y)
    loss = (lambda ps: loss_of(ps, torch.tanh, x, y)) if which == "network" else (lambda ps: rosenbrock(ps[0]))
    other = Problem(theirs, loss, torch.optim.LBFGS(theirs, **options))
    for t in range(3):
        got, want = problem.optimizer.step(problem), other.optimizer.step(other)
        np.testing.assert_allclose(got.item(), want.item(), rtol=1e-6, err_msg=f"step {t}")
        for p, q in zip(problem.params, theirs):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-6, atol=1e-8, err_msg=f"step {t}")
        assert problem.calls == other.calls
        their_state = other.optimizer.state[theirs[0]]
        entry = problem.optimizer.state_dict()["state"][0]
        assert (entry["n_iter"], entry["func_evals"]) == (their_state["n_iter"], their_state["func_evals"])
        assert len(entry["ro"]) == len(their_state["ro"])


def test_a_wrong_history_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from minigrad.optim import lbfgs

    right = lbfgs._direction
    monkeypatch.setattr(lbfgs, "_direction", lambda g, history, scale: right(g, history[:-1], scale))
    with pytest.raises(AssertionError):
        test_trajectories_are_torchs(None, "network", OPTIONS[2])


def test_it_minimises(xp: Any) -> None:
    problem = ours({"line_search_fn": "strong_wolfe"}, "rosenbrock")
    for _ in range(6):
        problem.optimizer.step(problem)
    np.testing.assert_allclose(problem.params[0].numpy(), 1, atol=1e-4)


def test_nothing_is_done_where_the_gradient_is_zero() -> None:
    problem = ours({}, "rosenbrock")
    problem.params[0].data[...] = 1.0
    assert problem.optimizer.step(problem).item() == 0
    assert problem.calls == 1
    assert problem.optimizer.state_dict()["state"] == [{"func_evals": 1, "n_iter": 0}]
    assert problem.params[0].tolist() == [1.0] * 5


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[3]])
@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_resumed_run_is_the_same_to_the_bit(options: dict[str, Any], before: int, tmp_path: Path) -> None:
    problem = ours(options)
    for _ in range(before):
        problem.optimizer.step(problem)
    mg.save(tmp_path / "run.npz", problem.optimizer.state_dict())
    twin = ours({"line_search_fn": options.get("line_search_fn"), "lr": 9.0})
    for p, q in zip(twin.params, problem.params):
        p.data[...] = q.numpy()
    twin.optimizer.load_state_dict(mg.load(tmp_path / "run.npz"))
    for _ in range(2):
        problem.optimizer.step(problem)
        twin.optimizer.step(twin)
    assert same(state_of(twin), state_of(problem))


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[3]])
def test_an_error_of_the_closure_changes_nothing(options: dict[str, Any]) -> None:
    for fails_at in range(1, 6):
        problem = ours(options)
        problem.optimizer.step(problem)
        before, calls = state_of(problem), problem.calls

        def closure(problem: Problem = problem, last: int = calls + fails_at) -> Any:
            if problem.calls + 1 == last:
                raise RuntimeError("broken")
            return problem()

        with pytest.raises(RuntimeError, match="broken"):
            problem.optimizer.step(closure)
        assert same(state_of(problem), before)


def test_ctrl_c_leaves_a_step_done_or_not_begun() -> None:
    options = {"line_search_fn": "strong_wolfe", "max_iter": 2, "max_eval": 4}

    def make() -> Problem:
        problem = ours(options, "rosenbrock")
        problem.optimizer.step(problem)
        return problem

    problem = make()
    before = state_of(problem)
    problem.optimizer.step(problem)
    after, point = state_of(problem), 0
    while True:
        problem = make()
        if not interrupted_at(point, lambda p=problem: p.optimizer.step(p), ("minigrad/optim",)):
            break
        now = state_of(problem)
        assert same(now, before) or same(now, after), point
        point += 23
    assert point > 100


# The line search


@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 30.0])
@pytest.mark.parametrize(
    "function",
    [
        lambda t: ((t - 1) ** 2, 2 * (t - 1)),
        lambda t: (math.cos(t) - 0.1 * t + 0.01 * t * t, -math.sin(t) - 0.1 + 0.02 * t),
        lambda t: (math.exp(-t) + 0.1 * t, -math.exp(-t) + 0.1),
    ],
)
def test_what_the_search_finds_satisfies_both_conditions(function: Any, first: float) -> None:
    calls = []

    def along(t: float) -> Point:
        calls.append(t)
        f, slope = function(t)
        return Point(t, f, None, slope)

    start = along(0.0)
    found, count = strong_wolfe(along, start, first, 1.0, 25)
    assert count == len(calls) - 1
    assert found.t in calls
    assert found.f <= start.f + DECREASE * found.t * start.slope
    assert abs(found.slope) <= FLATTENING * abs(start.slope)


def test_the_cubics_minimum() -> None:
    """Of t³ − 3t between −2 and 3, given by its ends: 1; beyond a bound the bound; without a minimum the middle."""
    a, b = (Point(t, t**3 - 3 * t, None, 3 * t * t - 3) for t in (-2.0, 3.0))
    assert abs(cubic_minimum(a, b, -2.0, 3.0) - 1) < 1e-12
    assert abs(cubic_minimum(b, a, -2.0, 3.0) - 1) < 1e-12
    assert cubic_minimum(a, b, 1.5, 3.0) == 1.5
    c, d = (Point(t, t**3 + t, None, 3 * t * t + 1) for t in (-1.0, 1.0))
    assert cubic_minimum(c, d, -1.0, 1.0) == 0
    assert cubic_minimum(a, a, 0.0, 1.0) == 0.5


# Errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: LBFGS(p).step(), "closure"),
        (lambda p: LBFGS(p).step(None), "LBFGS.step: closure: got None, want a function"),
        (lambda p: LBFGS(p).step(lambda: None), "LBFGS.step: closure: got None from it, want the loss"),
        (lambda p: LBFGS(p, max_iter=0), "LBFGS: max_iter: got 0, want a whole number of at least 1"),
        (lambda p: LBFGS(p, line_search_fn="armijo"), "line_search_fn: got 'armijo', want one of"),
        (lambda p: LBFGS(p, lr=-1), "LBFGS: lr: got -1, want a finite number of at least 0"),
        (lambda p: LBFGS([{"params": p[:1]}, {"params": p[1:]}]), "LBFGS: params: got a second group, want one"),
        (lambda p: LBFGS([*p, mg.Parameter([1.0])]).step(lambda: 0.0), "params: got several dtypes or backends"),
        (lambda p: LBFGS(mg.nn.Linear(1, 1)), r"LBFGS: params: got Linear, want its parameters: pass model"),
        (lambda p: LBFGS(p).load_state_dict(Adam(p).state_dict()), "LBFGS.load_state_dict: group 0: got options"),
    ],
)
def test_arguments_are_named(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call(network(mg.Parameter))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_iter": -1}, "n_iter: got -1, want a whole number of at least 0"),
        ({"t": "x"}, "t: got 'x', want a number"),
        ({"d": np.zeros(3)}, r"d: got float64 of shape \(3,\), want \(22,\)"),
        ({"old_dirs": np.zeros((1, 2))}, r"old_dirs: got float64 of shape \(1, 2\), want"),
        ({"more": 1}, "parameter 0: got .*'more'"),
    ],
)
def test_a_wrong_state_changes_nothing(change: dict[str, Any], message: str) -> None:
    problem = ours(OPTIONS[2])
    problem.optimizer.step(problem)
    before, state = state_of(problem), problem.optimizer.state_dict()
    state["state"][0].update(change)
    with pytest.raises(ValueError, match=message):
        problem.optimizer.load_state_dict(state)
    assert same(state_of(problem), before)
