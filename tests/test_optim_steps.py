"""An optimizer's step is all or nothing; options switched between steps; frozen parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.optim import SGD, Adagrad, Adam, Optimizer, RMSprop, base, undo
from minigrad.serialize import flatten
from tests.support.interrupts import interrupted_at
from tests.test_optim import SHAPES, give, start, values

FEW: list[tuple[type[Optimizer], dict[str, Any]]] = [
    (SGD, {"lr": 0.1}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
    (RMSprop, {"centered": True, "momentum": 0.5}),
    (Adagrad, {"lr": 0.1}),
    (Adam, {"lr": 0.1, "amsgrad": True}),
]
few = pytest.mark.parametrize(("kind", "options"), FEW, ids=lambda v: v.__name__ if isinstance(v, type) else str(v))


def everything(params: list[mg.Parameter], optimizer: Optimizer) -> list[np.ndarray]:
    """The weights, and the state with the numbers of steps."""
    arrays, plain = flatten(optimizer.state_dict())
    steps = [s.get("step", 0) for s in optimizer.state_dict()["state"]]
    assert plain
    return [*values(params), *arrays.values(), np.array(steps)]


def equal(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b))


class Run:
    """An optimizer before its second step, with the outcomes of the step."""

    def __init__(self, kind: type[Optimizer], options: dict[str, Any], steps: int = 1) -> None:
        self.make = lambda: self._made(kind, options, steps)
        params, optimizer = self.make()
        self.before = everything(params, optimizer)
        optimizer.step()
        self.after = everything(params, optimizer)

    def _made(self, kind: type[Optimizer], options: dict[str, Any], steps: int) -> tuple[Any, Any]:
        params = start()
        optimizer = kind(params, **options)
        for t in range(steps + 1):
            give(params, t)
            if t < steps:
                optimizer.step()
        return params, optimizer


@pytest.mark.parametrize(
    ("kind", "options", "steps", "large"),
    [(*FEW[1], 0, False), (*FEW[4], 1, False), (*FEW[0], 1, True), (*FEW[4], 1, True)],
)
def test_ctrl_c_anywhere_leaves_a_step_done_or_not_begun(
    kind: Any, options: Any, steps: int, large: bool, monkeypatch: Any
) -> None:
    if large:  # blocks and copies of a few elements: as with arrays that do not fit
        monkeypatch.setattr(base, "BLOCK", 4)
        monkeypatch.setattr(undo, "LIMIT", 100)
    run, point, outcomes = Run(kind, options, steps), 0, set()
    while True:
        params, optimizer = run.make()
        older = [(p * p).sum() for p in params]
        if not interrupted_at(point, optimizer.step, ("minigrad/optim",)):
            break
        now = everything(params, optimizer)
        done = equal(now, run.after)
        assert done or equal(now, run.before), point
        outcomes.add(done)
        for p, y, w in zip(params, older, values(params)):
            p.grad = None
            if done:
                with pytest.raises(mg.GraphError, match="written into since"):
                    y.backward()
            else:
                try:
                    y.backward()
                except mg.GraphError:
                    continue
                assert p.grad is not None
                np.testing.assert_array_equal(p.grad.numpy(), 2 * w)
        point += 5
    assert False in outcomes
    assert (True in outcomes) or not large


@few
@pytest.mark.parametrize("large", [False, True])
def test_an_error_of_the_formula_changes_nothing_that_is_not_complete(
    kind: Any, options: Any, large: bool, monkeypatch: Any
) -> None:
    class Broken(kind):  # type: ignore[misc]
        fails_at: float = np.inf

        def update(self, *args: Any) -> None:
            self.fails_at -= 1
            super().update(*args)
            if self.fails_at < 0:
                raise RuntimeError("broken")

    if large:
        monkeypatch.setattr(undo, "LIMIT", 0)
    run = Run(Broken, options)
    for k in range(len(SHAPES)):
        params, optimizer = run.make()
        optimizer.fails_at = k
        with pytest.raises(RuntimeError, match="broken"):
            optimizer.step()
        now = everything(params, optimizer)
        if not large:
            assert equal(now, run.before)
        else:  # each parameter is whole
            for j, p in enumerate(params):
                side = run.after if j < k else run.before
                np.testing.assert_array_equal(p.numpy(), side[j])
                assert optimizer.state[p]["step"] == side[-1][j]


@pytest.mark.parametrize("large", [False, True])
def test_a_warning_made_an_error(large: bool, monkeypatch: Any) -> None:
    """With NumPy told to raise, the second parameter's gradient overflows in Adam's g²."""
    if large:
        monkeypatch.setattr(undo, "LIMIT", 0)
    params = [mg.Parameter(np.ones(2, np.float32)) for _ in range(3)]
    optimizer = Adam(params, lr=0.5)
    for k, p in enumerate(params):
        p.grad = mg.tensor(np.full(2, 1e30 if k == 1 else 1.0, np.float32))
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        optimizer.step()
    if large:  # the step was completed
        assert [s["step"] for s in optimizer.state.values()] == [1, 1, 1]
        np.testing.assert_allclose([p.numpy()[0] for p in params], [0.5, 1.0, 0.5], atol=1e-6)
    else:
        assert not optimizer.state
        assert [p.tolist() for p in params] == [[1.0, 1.0]] * 3


def test_a_read_only_weight_is_named_before_anything_changes() -> None:
    params = [mg.Parameter(np.ones(2)) for _ in range(2)]
    held = np.ones(2)
    held.flags.writeable = False
    params[1].data = held
    optimizer = Adam(params)
    for p in params:
        p.grad = mg.tensor(np.ones(2))
    with pytest.raises(ValueError, match=r"Adam.step: .* shape \(2,\) is read-only"):
        optimizer.step()
    assert (params[0].tolist(), optimizer.state) == ([1.0, 1.0], {})


def test_a_step_inside_a_step_has_copies_of_its_own() -> None:
    inner_params = start()
    inner = SGD(inner_params, lr=1.0)
    give(inner_params, 0)

    class Outer(SGD):
        def update(self, *args: Any) -> None:
            inner.step()
            super().update(*args)
            raise RuntimeError("broken")

    params = start()
    outer = Outer(params, lr=1.0)
    give(params, 0)
    before = values(params)
    with pytest.raises(RuntimeError):
        outer.step()
    assert equal(values(params), before)
    assert [s["step"] for s in inner.state.values()] == [1, 1, 1]


# Options that are switched between steps


def test_the_first_momentum_step_after_a_switch_is_not_dampened() -> None:
    """v ← g at the first step with momentum, by hand and by torch: w = −1, −2, −3.4."""
    w = mg.Parameter(np.zeros(1))
    optimizer = SGD([w], lr=1.0, dampening=0.5)
    seen = []
    for t in range(3):
        w.grad = mg.tensor(np.ones(1))
        if t == 1:
            optimizer.param_groups[0]["momentum"] = 0.9
        optimizer.step()
        seen.append(w.item())
    np.testing.assert_allclose(seen, [-1, -2, -3.4])
    torch = pytest.importorskip("torch")
    theirs = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    other = torch.optim.SGD([theirs], lr=1.0, dampening=0.5)
    for t in range(3):
        theirs.grad = torch.ones(1, dtype=torch.float64)
        if t == 1:
            other.param_groups[0]["momentum"] = 0.9
        other.step()
        np.testing.assert_allclose(seen[t], theirs.item())


SCRIPTS = ("on off save", "off on save", "on off save on", "off save on", "on off on save off")
SWITCHES = [
    (SGD, {"lr": 0.1, "dampening": 0.5}, "momentum", 0.9, 0.0),
    (RMSprop, {"lr": 0.1}, "momentum", 0.9, 0.0),
    (RMSprop, {"lr": 0.1}, "centered", True, False),
    (Adam, {"lr": 0.1}, "amsgrad", True, False),
]


@pytest.mark.parametrize(("kind", "options", "name", "on", "off"), SWITCHES)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_state_saved_after_a_switch_goes_on_to_the_bit(
    kind: Any, options: Any, name: str, on: Any, off: Any, script: str
) -> None:
    params = start()
    optimizer = kind(params, **options)
    t, twin = 0, None
    for word in (*script.split(), "step"):
        if word == "save":
            copies = [mg.Parameter(v) for v in values(params)]
            twin = copies, kind(copies, **options)
            twin[1].load_state_dict(optimizer.state_dict())
            continue
        t += 1
        for ps, run in ((params, optimizer), *([twin] if twin else [])):
            if word != "step":
                run.param_groups[0][name] = on if word == "on" else off
            if not (word != "step" and script.endswith("save") and word == script.split()[-2]):
                give(ps, t)
                run.step()
    assert twin is not None
    assert equal(everything(params, optimizer), everything(*twin))


def test_a_state_that_lacks_what_no_option_switches_is_refused() -> None:
    params = start()
    optimizer = Adam(params)
    give(params, 0)
    optimizer.step()
    for name, spoilt in (("exp_avg", None), ("momentum_buffer", np.zeros((3, 4)))):
        state = optimizer.state_dict()
        if spoilt is None:
            del state["state"][0][name]
        else:
            state["state"][0][name] = spoilt
        with pytest.raises(ValueError, match=r"parameter 0: got \["):
            optimizer.load_state_dict(state)


# Arguments and frozen parameters


def test_zero_grad_reaches_frozen_parameters() -> None:
    """3 · w, frozen, cleared, released, and 10 · w: 10, without the stale 1 or 3."""
    model = mg.nn.Linear(1, 1, bias=False)
    optimizer = SGD(model.parameters(), lr=0.1)
    (model.weight * 1.0).sum().backward()
    model.requires_grad_(False)
    optimizer.zero_grad()
    model.requires_grad_(True)
    (model.weight * 10.0).sum().backward()
    assert model.weight.grad is not None
    assert model.weight.grad.tolist() == [[10.0]]
    model.requires_grad_(False)
    late = SGD(model.parameters(), lr=0.1)  # made while the parameter is frozen
    late.zero_grad()
    assert model.requires_grad_(True).weight.grad is None
    (model.weight * 2.0).sum().backward()  # what is not cleared comes back
    assert model.requires_grad_(False).requires_grad_(True).weight.grad is not None


MODEL = mg.nn.Sequential(mg.nn.Linear(2, 3), mg.nn.Linear(3, 1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adam(MODEL), r"Adam: params: got Sequential, want its parameters: pass model\.parameters\(\)"),
        (lambda: Adam(MODEL[0]), r"Adam: params: got Linear, want its parameters"),
        (lambda: Adam([{"params": MODEL}]), r"Adam: params: got Sequential, want its parameters"),
        (lambda: Adam(None), r"Adam: params: got NoneType, want a list"),
        (lambda: Adam(MODEL.parameters(), lr=[0.1]), r"Adam: lr: got \[0\.1\], want a number of at least 0"),
        (lambda: SGD(MODEL.parameters(), lr=(0.1, 0.2)), r"SGD: lr: got \(0\.1, 0\.2\), want a number"),
        (lambda: SGD(MODEL.parameters(), lr=0.1, momentum=[0.9]), r"SGD: momentum: got \[0\.9\], want a number"),
        (lambda: Adam(MODEL.parameters(), betas=0.9), r"Adam: betas: got 0\.9, want two numbers"),
    ],
)
def test_arguments_are_named(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()
