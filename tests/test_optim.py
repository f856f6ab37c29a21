"""The optimizers: step by step beside PyTorch, resumed to the bit, on every backend, and without waiting for it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.optim import SGD, Adagrad, Adam, AdamW, NAdam, Optimizer, RAdam, RMSprop
from minigrad.optim.base import BLOCK
from minigrad.serialize import flatten, unflatten

SHAPES = [(3, 4), (5,), ()]
CASES: list[tuple[type[Optimizer], dict[str, Any]]] = [
    (SGD, {"lr": 0.1}),
    (SGD, {"lr": 0.1, "momentum": 0.9}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    (RMSprop, {}),
    (RMSprop, {"lr": 0.02, "alpha": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    (RMSprop, {"momentum": 0.7}),
    (RMSprop, {"centered": True, "momentum": 0.5}),
    (Adagrad, {}),
    (Adagrad, {"lr": 0.1, "lr_decay": 0.2, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-4}),
    (Adam, {}),
    (Adam, {"lr": 0.1, "betas": (0.6, 0.8), "eps": 1e-3, "weight_decay": 0.1}),
    (Adam, {"lr": 0.05, "amsgrad": True}),
    (AdamW, {}),
    (AdamW, {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True}),
    (NAdam, {}),
    (NAdam, {"lr": 0.1, "betas": (0.6, 0.8), "weight_decay": 0.3, "momentum_decay": 0.1}),
    (NAdam, {"lr": 0.1, "weight_decay": 0.3, "decoupled_weight_decay": True}),
    (RAdam, {}),
    (RAdam, {"lr": 0.1, "betas": (0.6, 0.9), "eps": 1e-3, "weight_decay": 0.3}),
    (RAdam, {"lr": 0.1, "weight_decay": 0.3, "decoupled_weight_decay": True}),
]
cases = pytest.mark.parametrize(("kind", "options"), CASES, ids=lambda v: v.__name__ if isinstance(v, type) else str(v))


def start(dtype: Any = np.float64) -> list[mg.Parameter]:
    rng = np.random.default_rng(0)
    return [mg.Parameter(np.asarray(rng.standard_normal(shape), dtype)) for shape in SHAPES]


def give(params: list[mg.Parameter], t: int) -> list[np.ndarray]:
    """Set gradients that shrink from step to step, so that a running maximum has something to remember."""
    rng = np.random.default_rng(100 + t)
    hosts = [np.asarray(rng.standard_normal(p.shape) / (1 + t % 7), p.dtype) for p in params]
    for p, g in zip(params, hosts):
        p.grad = mg.tensor(g)
    return hosts


def values(params: list[mg.Parameter]) -> list[np.ndarray]:
    return [p.numpy() for p in params]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    for x, y in zip(a, b):
        np.testing.assert_array_equal(x, y)


def remembered(optimizer: Optimizer) -> list[np.ndarray]:
    return list(flatten(optimizer.state_dict())[0].values())


@contextmanager
def double(torch: Any) -> Iterator[None]:
    """float64 as torch's default, in which its NAdam then keeps a number of its state."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@cases
def test_steps_are_torchs(xp: Any, kind: type[Optimizer], options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    params = start()
    theirs = [torch.tensor(v, requires_grad=True) for v in values(params)]
    ours = kind(params, **options)
    other = getattr(torch.optim, kind.__name__)(theirs, **options)
    for t in range(20):
        for p, g in zip(theirs, give(params, t)):
            p.grad = torch.tensor(g)
        if t == 10:
            ours.param_groups[0]["lr"] *= 0.5
            other.param_groups[0]["lr"] *= 0.5
        ours.step()
        with double(torch):
            other.step()
        for p, q in zip(params, theirs):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-12, atol=1e-12, err_msg=f"step {t}")
    defaults = {k: v for k, v in other.param_groups[0].items() if k in ours.defaults}
    assert {k: v for k, v in ours.param_groups[0].items() if k != "params"} == defaults


@pytest.mark.parametrize("fault", ["scaled", "late"])
def test_a_wrong_formula_would_be_noticed(fault: str) -> None:
    class Wrong(Adam):
        def update(self, xp: Any, w: Any, g: Any, s: Any, t: int, o: Any) -> None:
            if fault == "scaled":
                super().update(xp, w, g * 1.001, s, t, o)
            else:
                super().update(xp, w, g, s, t + 1, o)

    with pytest.raises(AssertionError):
        test_steps_are_torchs(None, type("Adam", (Wrong,), {}), {"lr": 0.1, "eps": 1e-3})


@cases
def test_a_resumed_run_is_the_same_to_the_bit(
    xp: Any, kind: type[Optimizer], options: dict[str, Any], tmp_path: Path
) -> None:
    params = start(np.float32)
    optimizer = kind(params, **options)
    for t in range(5):
        give(params, t)
        optimizer.step()
    mg.save(tmp_path / "run.npz", optimizer.state_dict())
    held = values(params)
    for t in range(5, 10):
        give(params, t)
        optimizer.step()

    fresh = [mg.Parameter(v) for v in held]
    resumed = kind(fresh, **{**options, "lr": 7.0})
    loaded = mg.load(tmp_path / "run.npz")
    resumed.load_state_dict(loaded)
    assert resumed.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
    for t in range(5, 10):
        give(fresh, t)
        resumed.step()
    same(values(fresh), values(params))
    for array in flatten(loaded.arrays)[0].values():
        array[...] = 99  # a state that was loaded is a copy
    same(remembered(resumed), remembered(optimizer))


@cases
def test_steps_wait_for_nothing_and_keep_dtypes(xp: Any, kind: type[Optimizer], options: dict[str, Any]) -> None:
    params = start(np.float32)
    optimizer = kind(params, **{**options, "lr": np.float64(0.1)})
    arrays = [p._array for p in params]
    for t in range(3):
        give(params, t)
        with xp.no_sync():
            optimizer.step()
    assert all(p._array is a for p, a in zip(params, arrays))  # in place
    for entry in optimizer.state.values():
        assert {a.dtype for a in entry.values() if not isinstance(a, (int, float))} <= {np.dtype("float32")}


@cases
def test_blocks_do_not_change_the_numbers(kind: type[Optimizer], options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    host, grads = rng.standard_normal((2 * BLOCK + 17, 2)), rng.standard_normal((3, 2 * BLOCK + 17, 2))
    large, turned = mg.Parameter(host), mg.Parameter(np.asfortranarray(host))
    rows = [mg.Parameter(host[k : k + 50_000]) for k in range(0, len(host), 50_000)]
    assert not turned._array.flags.c_contiguous
    optimizer = kind([large, turned, *rows], **options)
    for g in grads:
        large.grad, turned.grad = mg.tensor(np.asfortranarray(g)), mg.tensor(g)
        for k, p in enumerate(rows):
            p.grad = mg.tensor(g[50_000 * k : 50_000 * k + p.shape[0]])
        optimizer.step()
    np.testing.assert_allclose(large.numpy(), np.concatenate(values(rows)), rtol=1e-14)
    np.testing.assert_allclose(large.numpy(), turned.numpy(), rtol=1e-14)


def test_parameters_without_a_gradient_are_passed_over(xp: Any) -> None:
    params = start()
    optimizer = Adam(params)
    before = values(params)
    give(params[:1], 0)
    optimizer.step()
    same(values(params)[1:], before[1:])
    assert [len(entry) for entry in optimizer.state_dict()["state"]] == [3, 0, 0]
    optimizer.zero_grad()
    assert params[0].grad is None
    give(params, 1)
    optimizer.step()
    assert [entry["step"] for entry in optimizer.state_dict()["state"]] == [2, 1, 1]
    other = Adam(start())
    other.load_state_dict(optimizer.state_dict())
    assert [entry["step"] for entry in other.state_dict()["state"]] == [2, 1, 1]


@pytest.mark.parametrize("kind", [Adam, AdamW, NAdam, RAdam])
def test_betas_may_be_a_list_as_json_makes_of_them(kind: Any) -> None:
    params = start()
    groups: Any = [{"params": params[:1]}, {"params": params[1:], "betas": [0.5, 0.75]}]
    optimizer = kind(groups, betas=[0.25, 0.5])
    assert [group["betas"] for group in optimizer.param_groups] == [(0.25, 0.5), (0.5, 0.75)]
    give(params, 0)
    optimizer.step()
    again = kind([{"params": params[:1]}, {"params": params[1:]}])
    arrays, plain = flatten(optimizer.state_dict())
    again.load_state_dict(unflatten(arrays, json.loads(json.dumps(plain))))
    assert [group["betas"] for group in again.param_groups] == [(0.25, 0.5), (0.5, 0.75)]
    with pytest.raises(ValueError, match=f"{kind.__name__}: betas: got .*, want two numbers"):
        kind(start(), betas=[0.5])


def test_groups_have_options_of_their_own(xp: Any) -> None:
    params = start()
    before = values(params)
    optimizer = SGD([{"params": params[0]}, {"params": params[1:], "lr": 0.5}], lr=0.1)
    hosts = give(params, 0)
    optimizer.step()
    for p, b, g, lr in zip(params, before, hosts, [0.1, 0.5, 0.5]):
        np.testing.assert_allclose(p.numpy(), b - lr * g, rtol=1e-14)
    extra = mg.Parameter([1.0])
    optimizer.add_param_group({"params": [extra], "lr": 2.0})
    extra.grad = mg.tensor([1.0])
    optimizer.zero_grad()
    assert extra.grad is None
    groups = optimizer.state_dict()["param_groups"]
    assert [g["params"] for g in groups] == [[0], [1, 2], [3]]
    assert "group 1: 2 parameters, lr=0.5" in repr(optimizer)


def test_a_module_may_move_after_its_optimizer_was_made(xp: Any) -> None:
    with mg.use_backend("numpy"):
        layer = mg.nn.Linear(3, 2, rng=np.random.default_rng(0))
        optimizer = Adam(layer.parameters())
        give(list(layer.parameters()), 0)
        optimizer.step()
    layer.to(xp.name, "float64")
    params = list(layer.parameters())
    give(params, 1)
    optimizer.step()
    assert {a.dtype for a in (s["exp_avg"] for s in optimizer.state.values())} == {np.dtype("float64")}
    assert all(entry["step"] == 2 for entry in optimizer.state_dict()["state"])


def test_an_option_may_be_turned_on_later() -> None:
    params = start()
    optimizer = SGD(params, lr=0.1)
    give(params, 0)
    optimizer.step()
    optimizer.param_groups[0]["momentum"] = 0.9
    state = optimizer.state_dict()
    SGD(start(), lr=0.1).load_state_dict(state)
    give(params, 1)
    optimizer.step()
    assert set(optimizer.state[params[0]]) == {"step", "momentum_buffer"}


def test_a_step_between_forward_and_backward_is_caught(xp: Any) -> None:
    w = mg.Parameter(np.ones(3))
    loss = mg.sum(w * w)
    w.grad = mg.tensor(np.ones(3))
    SGD([w], lr=0.1).step()
    with pytest.raises(mg.GraphError, match="written into since"):
        loss.backward()


def test_weight_decay_leaves_gradients_alone(xp: Any) -> None:
    params = start()
    for kind in (SGD, RMSprop, Adagrad, Adam, AdamW):
        hosts = give(params, 0)
        kind(params, lr=0.1, weight_decay=0.5).step()
        same([p.grad.numpy() for p in params], hosts)


def test_centered_rmsprop_survives_a_constant_gradient() -> None:
    w = mg.Parameter(np.ones(100, "float32"))
    optimizer = RMSprop([w], lr=1e-6, alpha=0.5, centered=True)
    host = np.random.default_rng(0).random(100).astype("float32")
    for _ in range(50):
        w.grad = mg.tensor(host)
        optimizer.step()
    assert np.isfinite(w.numpy()).all()


# What is refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD([], lr=0.1), "SGD: params: got none"),
        (lambda: SGD([mg.tensor([1.0])], lr=0.1), "SGD: params[0]: got a computed tensor or a constant"),
        (lambda: SGD([mg.Parameter([1.0]) * 2], lr=0.1), "SGD: params[0]: got a computed tensor or a constant"),
        (lambda: SGD([3.0], lr=0.1), "SGD: params[0]: got float, want a Parameter"),  # type: ignore[list-item]
        (lambda: SGD([w := mg.Parameter([1.0]), w], lr=0.1), "SGD: params[1]: the parameter of shape (1,) is given"),
        (lambda: SGD(start(), lr=-0.1), "SGD: lr: got -0.1, want a number of at least 0"),
        (lambda: SGD(start(), lr=math.nan), "SGD: lr: got nan"),
        (lambda: SGD(start(), lr="fast"), "SGD: lr: got 'fast'"),  # type: ignore[arg-type]
        (lambda: SGD(start(), lr=0.1, nesterov=True), "SGD: nesterov: got momentum=0.0, dampening=0.0, want"),
        (lambda: Adam(start(), betas=(0.9, 1.0)), "Adam: betas: got (0.9, 1.0), want a number in [0, 1)"),
        (lambda: AdamW(start(), betas=(0.9,)), "AdamW: betas: got (0.9,), want two numbers"),  # type: ignore[arg-type]
        (lambda: RMSprop(start(), alpha=1.0), "RMSprop: alpha: got 1.0"),
        (lambda: Adam([{"params": start(), "momentum": 0.9}]), "Adam: got options ['momentum'], want some of"),
        (lambda: Adam([{"lr": 0.9}]), "Adam: params: got dict for a group"),
    ],
)
def test_errors_name_what_is_wrong(make: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        make()
    assert message in str(caught.value)


def test_sgd_wants_a_learning_rate() -> None:
    with pytest.raises(TypeError, match="lr"):
        SGD(start())  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop("state"), "want 'param_groups' and 'state'"),
        (lambda s: s["param_groups"].append(s["param_groups"][0]), "got groups of [3, 3] parameters"),
        (lambda s: s["param_groups"][0]["params"].pop(), "got groups of [2] parameters and 3 entries"),
        (lambda s: s["state"].pop(), "and 2 entries, want groups of [3]"),
        (lambda s: s["param_groups"][0].pop("eps"), "group 0: got options"),
        (lambda s: s["param_groups"][0].update(lr=-1.0), "lr: got -1.0"),
        (lambda s: s["state"][2].pop("exp_avg"), "parameter 2: got ['exp_avg_sq', 'step'], want"),
        (lambda s: s["state"][2].update(exp_avg=np.zeros(2)), "parameter 2: exp_avg: got shape (2,), want ()"),
        (lambda s: s["state"][2].update(exp_avg=np.array(1j)), "parameter 2: exp_avg: got complex128, want"),
        (lambda s: s["state"][2].update(step=-1), "parameter 2: step: got -1, want a whole number of at least 0"),
        (lambda s: s["state"][2].update(step=1.5), "parameter 2: step: got 1.5"),
        (lambda s: s["state"][2].update(step=float("nan")), "parameter 2: step: got nan"),
        (lambda s: s["state"][2].update(step=np.ones(2)), "parameter 2: step: got array"),
        (lambda s: s["state"].__setitem__(1, 3), "parameter 1: got 3, want"),
        (lambda s: s["param_groups"][0].update(betas=(0.9,)), "betas: got (0.9,), want 2 numbers"),
        (lambda s: s["param_groups"][0].update(betas=0.9), "betas: got 0.9, want 2 numbers"),
        (lambda s: s["param_groups"][0].update(lr="0.1"), "lr: got '0.1', want a number"),
        (lambda s: s["param_groups"][0].update(lr=True), "lr: got True, want a number"),
        (lambda s: s["param_groups"].__setitem__(0, 3), "want 'param_groups' and 'state'"),
    ],
)
def test_a_wrong_state_changes_nothing(spoil: Any, message: str) -> None:
    params = start()
    optimizer = Adam(params, lr=0.5)
    give(params, 0)
    optimizer.step()
    want = flatten(optimizer.state_dict())
    state = Adam(start(), lr=0.1).state_dict()
    state["state"] = [{k: v if k == "step" else v * 0 for k, v in e.items()} for e in optimizer.state_dict()["state"]]
    spoil(state)
    with pytest.raises(ValueError, match="Adam") as caught:
        optimizer.load_state_dict(state)
    assert message in str(caught.value)
    got = flatten(optimizer.state_dict())
    assert got[1] == want[1]
    same(list(got[0].values()), list(want[0].values()))


def test_another_optimizers_state_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Adam\.load_state_dict: group 0: got options"):
        Adam(start()).load_state_dict(SGD(start(), lr=0.1).state_dict())
