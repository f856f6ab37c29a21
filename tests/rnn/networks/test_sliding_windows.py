"""Windows that overlap: every step computed once, and the gradients of windows that compute all of theirs again."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad_rnn import GRU, LSTM, MGU, RNN, Cell, IndRNN, LayerNormLSTM, Recurrence, Truncation
from minigrad_rnn.networks import segment, sliding_windows

CELLS = [RNN, LSTM, GRU, MGU, IndRNN, LayerNormLSTM]
ALWAYS = {"graph": 0.0, "native": 0.0}
NEVER = {"graph": np.inf, "native": np.inf}


@pytest.fixture(autouse=True)
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Whether windows are made of pieces, however small: by default; called with False they compute all steps."""

    def choose(pieces: bool) -> None:
        monkeypatch.setattr(sliding_windows, "LEAST_WORK", ALWAYS if pieces else NEVER)
        monkeypatch.setattr(sliding_windows, "LEAST_WORK_FUSED", 0.0 if pieces else np.inf)

    choose(True)
    return choose


def drawn(*shape: int) -> Any:
    return np.random.default_rng(3).standard_normal(shape)


def gradients(*modules: Any) -> dict[str, Any]:
    named = [(f"{k} {name}", p) for k, module in enumerate(modules) for name, p in module.named_parameters()]
    return {name: p.grad.numpy().copy() for name, p in named if p.grad is not None}


def assert_same(found: dict[str, Any], want: dict[str, Any]) -> None:
    assert found.keys() == want.keys()
    for name, g in want.items():
        scale = np.abs(g).max() or 1.0
        np.testing.assert_allclose(found[name] / scale, g / scale, rtol=0, atol=1e-12, err_msg=name)


def both(choose: Callable[[bool], None], run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `run` finds with pieces, after a comparison with what it finds without."""
    choose(False)
    want = run()
    choose(True)
    found = run()
    assert_same(found, want)
    return found


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("implementation", ["graph", "auto"])
def test_every_cell_with_lengths_masks_and_a_learned_initial_state(
    kind: Any, implementation: str, in_pieces: Callable[[bool], None]
) -> None:
    model = kind(3, 4, 2, impl=implementation, dtype="float64", initial_state="learned", dropout=0.3, rng=0)
    xs, weights, T = drawn(9, 3, 3), drawn(9, 3, 4), 9
    masks = model.draw_masks(T, 3, rng=1)

    def run() -> dict[str, Any]:
        model.zero_grad()
        leaf = mg.tensor(xs, requires_grad=True)
        for window in Truncation(2, 6).windows(model, leaf, masks=masks, lengths=[9, 3, 6]):
            state = window.state[0] if isinstance(window.state, tuple) else window.state
            ((window.output * weights[window.start : window.stop]).sum() + (state**2).sum()).backward()
        return {**gradients(model), "xs": leaf.grad.numpy()}

    both(in_pieces, run)


@pytest.mark.parametrize("layout", ["batch first", "one sequence"])
@pytest.mark.parametrize("implementation", ["graph", "fused", "native"])
def test_layouts_and_a_state_that_was_computed(
    layout: str, implementation: str, in_pieces: Callable[[bool], None]
) -> None:
    model = LSTM(3, 4, dtype="float64", batch_first=layout == "batch first", impl=implementation, rng=0)
    xs, shape = (drawn(2, 7, 3), (1, 2, 4)) if layout == "batch first" else (drawn(7, 3), (1, 4))
    source = mg.tensor(drawn(*shape), requires_grad=True)

    def run() -> dict[str, Any]:
        model.zero_grad()
        source.grad = None
        state = (mg.tanh(source), mg.tanh(source * 2.0))
        for window in Truncation(1, 3).windows(model, xs, state):
            (window.output**2).sum().backward()
        return {**gradients(model), "state": source.grad.numpy()}

    both(in_pieces, run)


class Counting(Cell):
    """A cell that counts its steps."""

    gates, state_names = 1, ("h",)
    steps = 0

    def step(self, x: Any, state: Any, h: Any) -> tuple[Any, ...]:
        Counting.steps += 1
        return (mg.tanh(mg.linear_sum(x, self.Wc, h, self.Wr, self.b)),)


@pytest.mark.parametrize("zoneout", [0.0, 0.4])
def test_each_step_is_computed_once(zoneout: float) -> None:
    model, Counting.steps = Recurrence(3, 4, cell_type=Counting, zoneout=zoneout, recurrent_dropout=zoneout), 0
    for window in Truncation(2, 8).windows(model, drawn(11, 2, 3).astype(np.float32)):
        window.output.sum().backward()
    assert Counting.steps == 11
    with mg.no_grad():
        list(Truncation(2, 8).windows(model, drawn(11, 2, 3).astype(np.float32)))
    assert Counting.steps == 22


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("implementation", ["graph", "fused", "native"])
def test_an_optimizer_steps_between_windows(every: int, implementation: str, in_pieces: Callable[[bool], None]) -> None:
    """Then the steps before a window are those of the new parameters; after three windows without, pieces again."""
    xs = drawn(20, 2, 3)

    def run() -> dict[str, Any]:
        model = GRU(3, 4, impl=implementation, dtype="float64", rng=0)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        for k, window in enumerate(Truncation(2, 6).windows(model, xs)):
            (window.output**2).sum().backward()
            if k % every == 0:
                optimizer.step()
                optimizer.zero_grad()
        return {name: p.numpy() for name, p in model.named_parameters()}

    both(in_pieces, run)


def test_the_users_own_write_between_windows(in_pieces: Callable[[bool], None]) -> None:
    xs = drawn(10, 2, 3)

    def run() -> dict[str, Any]:
        model, own = RNN(3, 4, impl="graph", dtype="float64", rng=0), xs.copy()
        for window in Truncation(2, 6).windows(model, own):
            (window.output**2).sum().backward()
            model.forward0.Wr.data[...] *= 0.9
            own[:2] = 0.0
        return gradients(model)

    both(in_pieces, run)


def test_losses_may_be_added_up_and_walked_at_the_end(in_pieces: Callable[[bool], None]) -> None:
    model, xs = LSTM(3, 4, dtype="float64", rng=0), drawn(11, 2, 3)

    def at_the_end() -> dict[str, Any]:
        model.zero_grad()
        sum((w.output**2).sum() for w in Truncation(2, 6).windows(model, xs)).backward()
        return gradients(model)

    def at_once() -> dict[str, Any]:
        model.zero_grad()
        for window in Truncation(2, 6).windows(model, xs):
            loss = (window.output**2).sum()
            loss.backward(retain_graph=True)
            loss.backward()
        return {name: g / 2 for name, g in gradients(model).items()}

    assert_same(both(in_pieces, at_the_end), both(in_pieces, at_once))


@pytest.mark.parametrize("implementation", ["graph", "native"])
def test_second_derivatives(implementation: str, in_pieces: Callable[[bool], None]) -> None:
    model, xs = GRU(3, 4, dtype="float64", impl=implementation, rng=0), drawn(7, 2, 3)
    weights = [p for _, p in model.named_parameters()]

    def run() -> dict[str, Any]:
        model.zero_grad()
        for window in Truncation(2, 4).windows(model, xs):
            first = mg.gradients((window.output**2).sum(), weights, create_graph=True)
            sum((g**2).sum() for g in first).backward()
        return gradients(model)

    both(in_pieces, run)


@pytest.mark.parametrize("implementation", ["graph", "fused", "native"])
def test_the_ledger_knows_the_steps_of_a_window(implementation: str, in_pieces: Callable[[bool], None]) -> None:
    model, xs = LSTM(3, 4, dtype="float64", impl=implementation, rng=0), drawn(8, 2, 3)
    W = model.forward0.Wr

    def run() -> dict[str, Any]:
        lines = {}
        for window in Truncation(2, 6).windows(model, xs):
            book = mg.ledger((window.output**2).sum(), [W])
            lines |= {f"{window.start} {t}": g.numpy() for t, g in book.by_time_step(W).items()}
        return lines

    assert {f"6 {t}" for t in range(6)} <= both(in_pieces, run).keys()


def test_windows_without_recording_in_between(in_pieces: Callable[[bool], None]) -> None:
    model, xs = RNN(3, 4, dtype="float64", rng=0), drawn(10, 2, 3)

    def run() -> dict[str, Any]:
        model.zero_grad()
        windows = Truncation(2, 6).windows(model, xs)
        for k in range(5):
            if k in (1, 3):
                with mg.no_grad():
                    assert next(windows).output.node is None
            else:
                (next(windows).output ** 2).sum().backward()
        return gradients(model)

    both(in_pieces, run)


def test_frozen_parameters() -> None:
    model = RNN(3, 4, dtype="float64").requires_grad_(False)
    leaf = mg.tensor(drawn(5, 1, 3), requires_grad=True)
    for window in Truncation(1, 2).windows(model, leaf):
        window.output.sum().backward()
    assert np.abs(leaf.grad.numpy()).min() > 0
    assert next(Truncation(1, 2).windows(model, drawn(5, 1, 3))).output.node is None


def peak(T: int) -> int:
    """Bytes held at most beyond the series itself."""
    model, xs = RNN(2, 64, impl="graph"), np.zeros((T, 16, 2), np.float32)
    tracemalloc.start()
    for window in Truncation(10, 40).windows(model, xs):
        window.output.sum().backward()
    result = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result


def test_memory_is_that_of_k2_steps() -> None:
    peak(60)
    assert peak(600) <= peak(100) + 5e4


def test_a_walk_that_goes_on_beyond_its_window_would_be_caught(
    monkeypatch: pytest.MonkeyPatch, in_pieces: Callable[[bool], None]
) -> None:
    """Planted: segments that are never cut off from the ones before."""

    def uncut(segments: Any, gs: Any, wanted: Any, lock: Any, scratch: Any) -> Any:
        for earlier, later in pairwise(everything):
            for part, after in zip(later.state, segment.parts_of(earlier.after)):
                part.node.tie(after.node)
        return segment._walk(zip((segments[-1].output, *segment.parts_of(segments[-1].after)), gs), wanted, None, True)

    everything: list[Any] = []
    original = segment.Segment.__init__

    def noted(self: Any, *arguments: Any) -> None:
        original(self, *arguments)
        everything.append(self)

    monkeypatch.setattr(segment.Segment, "__init__", noted)
    monkeypatch.setattr(sliding_windows, "walk_through", uncut)
    model, xs = RNN(3, 4, dtype="float64", rng=0), drawn(8, 2, 3)

    def run() -> dict[str, Any]:
        model.zero_grad()
        for window in Truncation(2, 4).windows(model, xs):
            (window.output**2).sum().backward()
        return gradients(model)

    with pytest.raises(AssertionError):
        both(in_pieces, run)


def test_on_every_backend_without_waiting(xp: Any) -> None:
    model, twin = (GRU(3, 4, dtype="float64", rng=np.random.default_rng(1)) for _ in range(2))
    model.to(xp.name)
    twin.to("numpy")
    xs = xp.array(drawn(7, 2, 3))
    with xp.no_sync():
        for window in Truncation(2, 4).windows(model, xs, lengths=[3, 7]):
            window.output.sum().backward()
    for window in Truncation(2, 4).windows(twin, drawn(7, 2, 3), lengths=[3, 7]):
        window.output.sum().backward()
    assert_same(gradients(model), gradients(twin))


def test_windows_that_share_segments_may_be_walked_in_several_threads() -> None:
    model, xs = LSTM(3, 4, dtype="float64", rng=0), drawn(24, 2, 3)

    def walked(threads: int) -> dict[str, Any]:
        model.zero_grad()
        losses = [(window.output**2).sum() for window in Truncation(2, 8).windows(model, xs)]
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(mg.Tensor.backward, losses))
        return gradients(model)

    assert_same(walked(4), walked(1))


def test_a_recorded_pass_after_a_write_is_refused() -> None:
    model, xs = RNN(3, 4, dtype="float64"), drawn(4, 1, 3)
    *_, window = Truncation(2, 4).windows(model, xs)
    optim.SGD(model.parameters(), lr=0.1).step()
    with mg.no_grad():
        model.forward0.Wr *= 2.0
    with pytest.raises(mg.GraphError, match="written into since"):
        window.output.sum().backward(create_graph=True)
    with pytest.raises(mg.GraphError, match="written into since"):
        window.output.sum().backward()
