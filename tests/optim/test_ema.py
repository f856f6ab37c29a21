"""EMA: the average of torch's AveragedModel, applied and taken back, saved, all or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.optim import EMA, SGD, ema as module, undo
from tests.support.interrupts import interrupted_at


def network(dtype: str = "float64") -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4, rng=0, dtype=dtype), nn.Tanh(), nn.Linear(4, 2, rng=1, dtype=dtype))


def change(model: nn.Module, t: int) -> list[np.ndarray]:
    """Set the weights of step t, and return them."""
    rng = np.random.default_rng(t)
    hosts = [rng.standard_normal(p.shape) for p in model.parameters()]
    for p, host in zip(model.parameters(), hosts):
        p.data = mg.tensor(host.astype(p.dtype)).data
    return hosts


def averages(ema: EMA) -> list[np.ndarray]:
    return list(ema.state_dict()["average"].values())


def weights(model: nn.Module) -> list[np.ndarray]:
    return [p.numpy() for p in model.parameters()]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_it_is_torchs_average(xp: Any) -> None:
    torch = pytest.importorskip("torch")
    model, twin = network(), torch.nn.Linear(1, 1)
    twin.values = torch.nn.ParameterList([torch.nn.Parameter(torch.tensor(w)) for w in weights(model)])
    decay = torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    averaged = torch.optim.swa_utils.AveragedModel(twin, multi_avg_fn=decay)
    averaged.update_parameters(twin)  # the first one copies
    ema = EMA(model, 0.9, warm_up=False)
    for t in range(30):
        for q, host in zip(twin.values, change(model, t)):
            q.data.copy_(torch.tensor(host))
        with xp.no_sync():
            ema.update()
        averaged.update_parameters(twin)
    for a, q in zip(averages(ema), averaged.module.values, strict=True):
        np.testing.assert_allclose(a, q.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_the_warm_up_forgets_the_first_weights() -> None:
    model = network()
    ema = EMA(model, 0.5)
    want, n = weights(model), 0
    seen = []
    for t in range(12):
        n, hosts = n + 1, change(model, t)
        seen.append(ema.current_decay)
        ema.update()
        want = [min(0.5, (1 + n) / (10 + n)) * a + (1 - min(0.5, (1 + n) / (10 + n))) * h for a, h in zip(want, hosts)]
        for a, w in zip(averages(ema), want):
            np.testing.assert_allclose(a, w, rtol=1e-12)
    assert seen[0] == 2 / 11
    assert seen[-1] == 0.5
    assert ema.updates == 12


def test_the_averages_are_applied_and_taken_back(xp: Any) -> None:
    model = network()
    ema = EMA(model, 0.9)
    change(model, 0)
    ema.update()
    own, arrays = weights(model), [p._array for p in model.parameters()]
    older = model(mg.tensor(np.ones((1, 3)))).sum()
    with ema.apply():
        assert same(weights(model), averages(ema))
        assert not same(weights(model), own)
        with pytest.raises(RuntimeError, match=r"EMA\.update: the averages are in the model"):
            ema.update()
        with pytest.raises(RuntimeError, match=r"EMA\.apply: the averages are in the model already"), ema.apply():
            pass
        assert same(weights(model), averages(ema))
    assert same(weights(model), own)
    assert all(p._array is a for p, a in zip(model.parameters(), arrays))
    with pytest.raises(mg.GraphError, match="written into since"):
        older.backward()
    with pytest.raises(KeyError), ema.apply():
        raise KeyError
    assert same(weights(model), own)
    ema.update()


def test_training_goes_on_as_if_nothing_had_been_averaged() -> None:
    x = mg.tensor(np.ones((2, 3)))
    results = []
    for averaged in (False, True):
        model = network()
        optimizer, ema = SGD(model.parameters(), lr=0.1, momentum=0.9), EMA(model)
        for _ in range(5):
            optimizer.zero_grad()
            (model(x) ** 2).sum().backward()
            optimizer.step()
            if averaged:
                ema.update()
                with ema.apply():
                    model(x)
        results.append(weights(model))
    assert same(*results)


def test_a_model_may_move_after_its_average_was_made(xp: Any) -> None:
    with mg.use_backend("numpy"):
        model = network("float32")
        ema = EMA(model, 0.9)
    model.to(xp.name, "float64")
    change(model, 0)
    ema.update()
    assert {a.dtype for a in averages(ema)} == {np.dtype("float64")}
    with ema.apply():
        assert same(weights(model), averages(ema))


@pytest.mark.parametrize("large", [False, True])
def test_ctrl_c_leaves_an_update_done_or_not_begun(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if large:
        monkeypatch.setattr(undo, "LIMIT", 0)

    def make() -> EMA:
        model = network()
        ema = EMA(model, 0.9)
        change(model, 0)
        return ema

    ema = make()
    before = averages(ema)
    ema.update()
    after, point = averages(ema), 0
    while True:
        ema = make()
        if not interrupted_at(point, ema.update, ("minigrad/optim",)):
            break
        assert same(averages(ema), [before, after][ema.updates]), point
        point += 7
    assert point > 30


def test_an_error_in_an_update_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    ema = EMA(model, 0.9)
    change(model, 0)
    right, calls = module._approach, []

    def broken(*arguments: Any) -> None:
        calls.append(1)
        right(*arguments)
        if len(calls) == 3:
            raise RuntimeError("broken")

    monkeypatch.setattr(module, "_approach", broken)
    before = averages(ema)
    with pytest.raises(RuntimeError, match="broken"):
        ema.update()
    assert same(averages(ema), before)
    assert ema.updates == 0


def test_a_state_is_saved_and_loaded(xp: Any, tmp_path: Path) -> None:
    model = network()
    ema = EMA(model, 0.9)
    for t in range(3):
        change(model, t)
        ema.update()
    mg.save(tmp_path / "ema.npz", ema.state_dict())
    twin = EMA(network(), 0.5, warm_up=False)
    twin.load_state_dict(mg.load(tmp_path / "ema.npz"))
    assert repr(twin) == repr(ema) == "EMA(decay=0.9, warm_up=True, updates=3)"
    for t in range(3, 5):
        assert same(averages(twin), averages(ema))
        for e in (ema, twin):
            change(e.model, t)
            e.update()
    model.load_state_dict(ema.state_dict()["average"])
    assert same(weights(model), averages(ema))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop("decay"), r"state_dict: got \['average', 'updates', 'warm_up'\], want"),
        (lambda s: s.update(decay=1.0), r"state_dict: decay: got 1\.0, want a number in \[0, 1\)"),
        (lambda s: s.update(warm_up="yes"), "warm_up: got 'yes', want True or False"),
        (lambda s: s.update(updates=-1), "updates: got -1, want a whole number"),
        (lambda s: s.update(average=3), "average: got 3, want"),
        (lambda s: s["average"].pop("0.bias"), r"average: got \['0.weight', '2.bias', '2.weight'\], want"),
        (
            lambda s: s["average"].update({"0.bias": np.ones(2)}),
            r"average\['0.bias'\]: got float64 of shape \(2,\), wa",
        ),
        (lambda s: s["average"].update({"0.bias": "text"}), r"average\['0.bias'\]: got 'text', want numbers"),
    ],
)
def test_a_wrong_state_changes_nothing(spoil: Any, message: str) -> None:
    ema = EMA(network())
    change(ema.model, 0)
    before, state = ema.state_dict(), EMA(ema.model, 0.5).state_dict()
    spoil(state)
    with pytest.raises((ValueError, TypeError), match=message):
        ema.load_state_dict(state)
    after = ema.state_dict()
    assert same(list(before.pop("average").values()), list(after.pop("average").values()))
    assert before == after


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EMA([mg.Parameter([1.0])]), "EMA: model: got list, want a Module"),  # type: ignore[arg-type]
        (lambda: EMA(nn.Tanh()), "EMA: model: got one without parameters, want at least one"),
        (lambda: EMA(network(), decay=1.0), r"EMA: decay: got 1\.0, want a number in \[0, 1\)"),
        (lambda: EMA(network(), warm_up=5), "EMA: warm_up: got 5, want True or False"),  # type: ignore[arg-type]
    ],
)
def test_arguments_are_named(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_another_parameter_in_the_model_is_named() -> None:
    model: Any = nn.Module()
    model.layer = nn.Linear(3, 4)
    ema = EMA(model)
    model.layer = nn.Linear(3, 5)
    with pytest.raises(ValueError, match=r"EMA\.update: model: got parameters .* in the shapes of the beginning"):
        ema.update()
