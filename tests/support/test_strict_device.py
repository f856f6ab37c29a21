"""The stand-in device rejects what a device rejects, and computes what NumPy computes."""

import types
from typing import Any

import numpy as np
import pytest

from tests.conftest import untested
from tests.support import cupy_names, strict_device
from tests.support.strict_device import SyncError, no_sync, xp

HOST = np.arange(6, dtype=np.float32).reshape(2, 3)


def device() -> Any:
    return xp.asarray(HOST)


@pytest.mark.parametrize(
    "trespass",
    [
        lambda a: np.asarray(a),
        lambda a: np.array([a, a]),
        lambda a: np.tanh(a),
        lambda a: np.concatenate([a, a]),
        lambda a: np.matmul(HOST.T, a),
        lambda a: a + HOST,
        lambda a: HOST + a,
        lambda a: HOST @ a.T,
        lambda a: np.less(HOST, a),
        lambda a: a > HOST,
        lambda a: xp.add(a, HOST),
        lambda a: xp.concatenate([a, HOST]),
        lambda a: xp.add(a, [1.0, 2.0, 3.0]),
        lambda a: a[np.array([0, 1])],
        lambda a: a.__setitem__(0, HOST[0]),
        lambda a: np.zeros((2, 3)).__setitem__(..., a),
        lambda a: a.__iadd__(HOST),
        lambda a: a * np.float64(2),
        lambda a: np.float64(2) * a,
        lambda a: xp.multiply(a, np.float64(2)),
        lambda a: range(6)[a[0, 0]],
        lambda a: hash(a),
    ],
)
def test_trips_to_the_host_and_host_operands_are_refused(trespass: Any) -> None:
    with pytest.raises(TypeError):
        trespass(device())


@pytest.mark.parametrize(
    "wait",
    [
        lambda a: float(a.sum()),
        lambda a: int(a.sum()),
        lambda a: bool((a > 0).all()),
        lambda a: a.sum().item(),
        lambda a: a.get(),
        lambda a: a.tolist(),
        lambda a: a[a > 2],
        lambda a: xp.nonzero(a),
        lambda a: xp.where(a > 2),
        lambda a: [0 for x in a[0] if x],
        lambda a: xp.add.at(a, a > 2, a[a > 2]),
    ],
)
def test_waiting_is_seen_only_inside_no_sync(wait: Any) -> None:
    wait(device())
    with no_sync(), pytest.raises(SyncError):
        wait(device())
    with no_sync(), no_sync():
        pass
    wait(device())


@pytest.mark.parametrize("read", ["float(a)", "bool(a)", "int(a)", "a.item()", "a.get()", "a.tolist()"])
@pytest.mark.parametrize("module", ["minigrad.optim.clip", "minigrad_rnn.doctor"])
def test_the_sources_read_values_through_their_backend_alone(read: str, module: str) -> None:
    """Only there it is told what a kernel reported. A test, or a user, may read them as he likes."""
    a = xp.asarray(HOST)[0, 0]
    with pytest.raises(AssertionError, match=f"{module}: .* want backend.scalar or backend.to_numpy"):
        eval(read, {"__name__": module, "a": a})
    for other in ("minigrad.backend", "tests.test_x", "minigrad_of_another"):
        assert eval(read, {"__name__": other, "a": a}) == 0


def test_work_on_the_device_neither_waits_nor_promotes() -> None:
    with no_sync():
        a = device()
        y = xp.tanh(a @ a.T * 0.5 + 1) - np.float32(2)
        y[0, :] = 1.0
        y += xp.where(y > 0, y, xp.zeros_like(y))
        y -= xp.sum(y, axis=0, keepdims=True, dtype=np.float32)
        assert isinstance(y, xp.ndarray)
        assert y.dtype == np.float32
        assert type(xp.sum(y)) is type(y[0, 0]) is xp.ndarray
        assert (a * xp.asarray(np.float64(2))).dtype == np.float64  # two arrays promote as arrays do


def test_views_and_out_write_through() -> None:
    a = device()
    a.T[0][1] = 50.0
    a[0][...] = 7.0
    a[1, 2].fill(9.0)
    row = a[0, :2]
    out = xp.multiply(row, 2, out=row)
    assert out is row
    assert a.tolist() == [[14.0, 14.0, 7.0], [50.0, 4.0, 9.0]]
    assert device().tolist() == HOST.tolist(), "the way in copies"


def test_ufunc_methods() -> None:
    y = xp.zeros(3, dtype=np.float32)
    xp.add.at(y, xp.asarray([0, 0, 2]), 1.0)
    assert y.tolist() == [2.0, 0.0, 1.0]
    assert xp.add.reduceat(y, xp.asarray([0, 2])).tolist() == [2.0, 1.0]
    assert xp.add.reduce(y).item() == 3.0
    assert xp.maximum.accumulate(y).tolist() == [2.0, 2.0, 2.0]


def test_constants_and_dtypes_are_plain() -> None:
    assert xp.float32 is np.float32
    assert xp.pi == np.pi
    assert xp.newaxis is None
    assert xp.dtype("float32") == np.float32
    assert xp.linalg.norm(device()).dtype == np.float32


@pytest.mark.parametrize("with_cupy", [True, False])
def test_names_that_cupy_lacks_are_missing(with_cupy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if with_cupy:
        pytest.importorskip("cupy")
    else:
        monkeypatch.setattr(cupy_names, "cupy", None)
    fresh = strict_device.StrictNamespace()
    for name in ("tanh", "add", "concatenate", "searchsorted"):
        assert getattr(fresh, name) is not None
    for holder, name in ((fresh, "memmap"), (fresh, "nditer"), (fresh, "asanyarray_chkfinite")):
        with pytest.raises(AttributeError, match=name):
            getattr(holder, name)
    with pytest.raises(AttributeError, match="newbyteorder"):
        device().newbyteorder  # noqa: B018
    with pytest.raises(AttributeError, match="resolve_dtypes"):
        fresh.add.resolve_dtypes  # noqa: B018


def test_pinned_names_are_cupys() -> None:
    cupy = pytest.importorskip("cupy")
    pinned = [
        (cupy_names.PINNED_NAMES, cupy),
        (cupy_names.PINNED_LINALG, cupy.linalg),
        (cupy_names.PINNED_FFT, cupy.fft),
        (cupy_names.PINNED_METHODS, cupy.ndarray),
        (cupy_names.PINNED_UFUNC_METHODS, cupy.add),
    ]
    for names, holder in pinned:
        assert [name for name in sorted(names) if not hasattr(holder, name)] == []


def test_the_summary_counts_every_skip_once() -> None:
    def skip(nodeid: str, reason: str) -> Any:
        return types.SimpleNamespace(nodeid=nodeid, longrepr=("file.py", 1, f"Skipped: {reason}"))

    lines = untested(
        [
            *(skip(f"t.py::test_{k}[cupy]", "backend cupy: no GPU") for k in range(3)),
            skip("t.py::test_0[cupy]", "backend cupy: no GPU"),  # reported by two workers
            skip("t.py::test_9", "could not import 'torch': No module named 'torch'"),
            skip("oracles.py", "could not import 'jax': No module named 'jax'"),
            skip("t.py::test_8", "no symlinks here"),
        ],
        {"backend cupy: no GPU": 4},  # left out when the tests were collected
    )
    assert lines == [
        "cupy: 7 tests skipped, no GPU",
        "jax missing: 1 test file skipped",
        "other: 1 test skipped: no symlinks here",
        "torch missing: 1 test skipped",
    ]
