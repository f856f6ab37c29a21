"""Layers whose arrays lie on a device that is not the current one, with a stand-in that has two devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend as backend_module
from minigrad.backend import Backend, BackendError, Kernels, Launch
from minigrad.engine.mutation import owner_of
from minigrad_rnn import GRU, LSTM, RNN, Recurrence
from minigrad_rnn.cells import Lengths
from minigrad_rnn.cuda import sequence
from minigrad_rnn.cuda.planner import Tile
from tests.support.cuda_on_cpu.cells import made_cell, planned
from tests.support.cuda_on_cpu.device import Settings, make_backend
from tests.support.strict_device import StrictArray

MODELS: dict[str, tuple[type[Recurrence], dict[str, Any]]] = {
    "rnn": (RNN, {}),
    "lstm": (LSTM, {}),
    "published": (GRU, {"reset_after": False}),
}
STEPS = [4, 2, 3]


class TwoDevices:
    """Strict arrays that lie on the device that was current when they were made, and kernels of both devices.

    A kernel that is launched while another device is current, or with arrays of another one, raises AssertionError.
    """

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.current, self.launched, self.capturing = 0, [], False
        self._places: dict[int, tuple[Any, str]] = {}  # by the id of a memory's owner, which is kept
        made = StrictArray.__init__

        def make(array: StrictArray, host: np.ndarray[Any, Any]) -> None:
            made(array, host)
            owner = owner_of(host)
            self._places.setdefault(id(owner), (owner, f"device {self.current}"))

        monkeypatch.setattr(StrictArray, "__init__", make)
        monkeypatch.setattr(StrictArray, "device", property(self.place_of), raising=False)
        plain = make_backend(settings)
        assert plain.kernels is not None
        self._plain = plain.kernels()
        self.kernels = [self._kernels(d) for d in (0, 1)]
        self.backend: Backend = dataclasses.replace(plain, kernels=self._kernels_of, capturing=lambda: self.capturing)
        monkeypatch.setitem(backend_module._by_name, "strict", self.backend)
        monkeypatch.setitem(backend_module.BY_ARRAY_TYPE, StrictArray, self.backend)

    def place_of(self, array: StrictArray) -> str:
        return self._places[id(owner_of(array._host))][1]

    @contextmanager
    def on(self, device: int) -> Iterator[None]:
        before, self.current = self.current, device
        try:
            yield
        finally:
            self.current = before

    def _kernels_of(self, array: Any = None) -> Kernels:
        return self.kernels[self.current if array is None else int(self.place_of(array)[-1])]

    def _kernels(self, device: int) -> Kernels:
        def compiled(source: str, options: tuple[str, ...]) -> Callable[[str], Launch]:
            get = self._plain.compile(source, options)
            return lambda name: self._watched(get(name), name, device)

        return dataclasses.replace(
            self._plain, compile=compiled, place=f"device {device}", entered=lambda: self.on(device)
        )

    def _watched(self, launch: Launch, name: str, device: int) -> Launch:
        def watched(grid: Any, threads: int, args: tuple[Any, ...], *rest: Any, **options: Any) -> None:
            assert self.current == device
            assert {a.device for a in args if isinstance(a, StrictArray)} == {f"device {device}"}
            self.launched.append((name, device))
            launch(grid, threads, args, *rest, **options)

        return watched


@pytest.fixture
def devices(launch_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> TwoDevices:
    return TwoDevices(launch_settings, monkeypatch)


def model_and_inputs(devices: TwoDevices, kind: str) -> tuple[Recurrence, mg.Tensor]:
    network, options = MODELS[kind]
    rng = np.random.default_rng(0)
    model = network(3, 8, rng=rng, **options).to("strict")
    xs = rng.standard_normal((4, 3, 3)).astype(np.float32)
    return model, mg.tensor(devices.backend.from_numpy(xs), requires_grad=True)


@pytest.mark.parametrize("kind", ["rnn_tanh", "lstm", "gru_reset_first"])
@pytest.mark.parametrize("tile", [Tile(1, 3, 2, 4, 1, 2, True), None], ids=["one launch", "two launches"])
def test_both_passes_run_where_the_arrays_are(devices: TwoDevices, kind: str, tile: Tile | None) -> None:
    """Whichever device is the current one; the results are those of passes that began and ended there."""
    found = []
    for current in (1, 0):
        with devices.on(1):
            cell = made_cell(kind, 12, 1, np.float64, "strict")
            rng = np.random.default_rng(0)
            shapes = [(4, 3, 3), *[(3, 12)] * len(cell.state_names)]
            arrays = [devices.backend.from_numpy(rng.standard_normal(s)) for s in shapes]
            xs, *state = (mg.tensor(a, requires_grad=True) for a in arrays)
            lengths = Lengths(STEPS, 4, 3, devices.backend, "test")
            plan = planned(kind, 12, 3, np.float64, 1, tile)
        with devices.on(current):
            (outputs,) = sequence.run(devices.backend, plan, [cell], [(xs, tuple(state))], True, lengths, False)
        with devices.on(1):
            arriving = [mg.tensor(y.data) for y in outputs]
        with devices.on(current):
            leaves = [xs, *state, *cell.parameters()]
            gradients = mg.gradients(outputs, leaves, grad_outputs=arriving)
            assert devices.current == current
        results = [*outputs, *(g for g in gradients if g is not None)]
        assert {devices.place_of(y.data) for y in outputs} == {"device 1"}
        found.append([y.numpy() for y in results])
    assert {device for _, device in devices.launched} == {1}
    for one, other in zip(*found):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_runs_inside_its_device(devices: TwoDevices, kind: str) -> None:
    """A backward pass outside makes gradients on the current device, and is refused by name."""
    with devices.on(1):
        model, xs = model_and_inputs(devices, kind)
        loss = (model(xs, lengths=STEPS)[0] ** 2).sum()
    words = r"kernels: dh\w+: got an array on device 0, want all of a layer on device 1; enter that device"
    with pytest.raises(BackendError, match=words):
        loss.backward()
    with devices.on(1):
        (model(xs, lengths=STEPS)[0] ** 2).sum().backward()
    assert xs.grad is not None
    assert devices.place_of(xs.grad.data) == "device 1"
    assert {device for _, device in devices.launched} == {1}


def test_the_device_of_the_arrays_is_taken_not_the_current_one(devices: TwoDevices) -> None:
    """State and lengths are made for it too where the caller gives them."""
    with devices.on(1):
        model, xs = model_and_inputs(devices, "rnn")
        state = mg.tensor(devices.backend.from_numpy(np.zeros((1, 3, 8), np.float32)))
    with devices.on(0):
        model(xs, state)
    assert {device for _, device in devices.launched} == {1}


def test_arrays_of_two_devices_are_refused_by_name(devices: TwoDevices) -> None:
    with devices.on(0):
        model, _ = model_and_inputs(devices, "lstm")
    with devices.on(1):
        _, xs = model_and_inputs(devices, "lstm")
    with pytest.raises(BackendError, match="kernels: xs: got an array on device 1, want all of a layer on device 0"):
        model(xs)
    with devices.on(1), pytest.raises(BackendError, match=r"kernels: xs: got an array on device 1, want .* device 0"):
        model(xs)
    assert devices.launched == []


def test_a_gradient_of_another_device_is_refused_by_name(devices: TwoDevices) -> None:
    with devices.on(1):
        model, xs = model_and_inputs(devices, "rnn")
        output, _ = model(xs)
    with devices.on(0):
        wrong = mg.tensor(devices.backend.from_numpy(np.ones(output.shape, np.float32)))
        with pytest.raises(BackendError, match="kernels: dhs: got an array on device 0, want all of a layer"):
            mg.gradients(output, [xs], grad_outputs=[wrong])


def test_a_graph_that_captures_is_refused(devices: TwoDevices) -> None:
    model, xs = model_and_inputs(devices, "rnn")
    output, _ = model(xs)
    devices.capturing = True
    words = "stream: got one that captures a CUDA graph, want one that does not"
    with pytest.raises(BackendError, match=f"^RNN: {words}"):
        model(xs)
    model.impl = "graph"
    with pytest.raises(BackendError, match=f"^RNN: {words}"):  # whatever runs it
        model(xs)
    with pytest.raises(BackendError, match=f"^recurrent layer: {words}"):
        output.sum().backward()
    devices.capturing = False
    output.sum().backward()
    assert xs.grad is not None
