"""A kernel that gave up waiting is told wherever the host waits for the device, once, and nothing is lost by that."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend as backend_module
from minigrad.backend import NUMPY, Backend, BackendError, Kernels, Launch, to_numpy
from minigrad.debug.nonfinite import all_finite
from minigrad_rnn.cuda import sequence
from minigrad_rnn.cuda.planner import Tile
from tests.support.cuda_on_cpu.cells import made_cell, planned
from tests.support.silent_kernels import silent
from tests.support.strict_device import no_sync

TILE = Tile(1, 3, 2, 4, 1, 2, True)
T, B, H = 5, 3, 12


class Device:
    """A backend whose kernels are compiled as `silent` ones while `broken` is set."""

    def __init__(self, backend: Backend) -> None:
        assert backend.kernels is not None
        self._original = backend.kernels()
        self.broken = False
        self.forget()
        self.backend = dataclasses.replace(backend, kernels=lambda array=None: self.kernels)

    def forget(self) -> None:
        """Compile every kernel again."""
        self.kernels: Kernels = dataclasses.replace(self._original, compile=self._compile)

    def _compile(self, source: str, options: tuple[str, ...]) -> Callable[[str], Launch]:
        return self._original.compile(silent(source) if self.broken else source, options)


@pytest.fixture
def device(kernels_anywhere: Backend, monkeypatch: pytest.MonkeyPatch) -> Device:
    result = Device(kernels_anywhere)
    monkeypatch.setitem(backend_module._by_name, result.backend.name, result.backend)
    monkeypatch.setitem(backend_module.BY_ARRAY_TYPE, result.backend.array_type, result.backend)
    return result


def outputs(device: Device, xs: Any = None) -> mg.Tensor:
    """Every h(t) of a small layer, (T, B, H)."""
    cell = made_cell("rnn_tanh", H, 1, np.float64, device.backend.name)
    rng = np.random.default_rng(0)
    arrays = (device.backend.from_numpy(rng.standard_normal(s)) for s in ((T, B, 3), (B, H)))
    first, h0 = map(mg.tensor, arrays)
    plan = planned("rnn_tanh", H, B, np.float64, 1, TILE)
    ((y, *_),) = sequence.run(device.backend, plan, [cell], [(first if xs is None else xs, (h0,))], False, None, False)
    return y


WAYS: dict[str, Callable[[mg.Tensor], Any]] = {
    "numpy": lambda y: y.numpy(),
    "tolist": lambda y: y.tolist(),
    "item": lambda y: y.sum().item(),
    "float": lambda y: float(y.sum()),
    "complex": lambda y: complex(y.sum()),
    "int": lambda y: int((y == y).sum()),
    "index": lambda y: [0] * 99 and list(range(99))[(y == y).sum()],
    "bool": lambda y: bool((y == y).all()),
    "if": lambda y: 1 if y.sum() > 0 else 0,
    "repr": lambda y: repr(y),
    "str": lambda y: str(y.sum()),
    "format": lambda y: f"{y.sum():.3f}",
    "to_numpy": lambda y: to_numpy(y.data),
    "to the host": lambda y: y.to("numpy"),
    "synchronize": lambda y: mg.synchronize(y.backend),
    "pickle": lambda y: pickle.dumps(y.detach()),
    "a mask": lambda y: y[y > 0],
    "nonzero": lambda y: mg.nonzero(y),
    "argwhere": lambda y: mg.argwhere(y),
    "where": lambda y: mg.where(y > 0),
    "unique": lambda y: mg.unique(y),
    "extract": lambda y: mg.extract(y > 0, y),
    "bincount": lambda y: mg.bincount((y > 0).reshape(-1).astype(int)),
    "weighted bincount": lambda y: mg.bincount((y > 0).reshape(-1).astype(int), y.reshape(-1)),
    "clip_grad_norm": lambda y: mg.optim.clip_grad_norm([_with_gradient(y)], 1.0, error_if_nonfinite=True),
    "isfinite": lambda y: all_finite(y.data),
}


def _with_gradient(y: mg.Tensor) -> mg.Tensor:
    p = mg.tensor(y.data, requires_grad=True)
    p.grad = mg.tensor(y.data)
    return p


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_every_wait_tells(device: Device, way: str) -> None:
    right = outputs(device).numpy()
    device.broken = True
    device.forget()
    y = outputs(device)
    with pytest.raises(BackendError, match="a kernel gave up waiting"):
        WAYS[way](y)
    got = y.numpy()  # told once, and the tensor is still there
    assert np.isnan(got).any()
    np.testing.assert_array_equal(got[np.isfinite(got)], right[np.isfinite(got)])
    device.broken = False
    device.forget()
    np.testing.assert_array_equal(outputs(device).numpy(), right)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_backward_pass_that_gave_up_is_told_with_its_gradients(device: Device) -> None:
    gradients = []
    for broken in (False, True):
        device.forget()
        device.broken = False
        xs = mg.tensor(device.backend.from_numpy(np.ones((T, B, 3))), requires_grad=True)
        loss = outputs(device, xs).sum()
        assert np.isfinite(loss.item())
        device.broken = broken  # before the kernels of the backward pass are compiled
        loss.backward()
        assert xs.grad is not None
        if broken:
            with pytest.raises(BackendError, match="gave up waiting"):
                xs.grad.numpy()
        gradients.append(xs.grad.numpy())
    right, got = gradients
    assert np.isfinite(right).all()
    assert np.isnan(got).any()
    np.testing.assert_array_equal(got[np.isfinite(got)], right[np.isfinite(got)])


def test_on_the_host_nothing_is_checked() -> None:
    a = np.zeros(3)
    assert NUMPY.to_numpy(a) is a
    assert NUMPY.check() is None


def test_checks_do_not_wait(device: Device) -> None:
    """A device that is well is not waited for: what reports is in the host's memory."""
    with no_sync():
        device.kernels.check()
        device.backend.check()
