"""Products of moderate size keep to one thread of NumPy's BLAS where somebody asked for the cores, and else do not."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine import matrix_product, openblas
from minigrad.engine.matrix_product import FEW, MANY, array_dot, leave_cores_to
from minigrad.engine.openblas import one_thread, openblas_function

N = 128
"""Rows and columns of a product of moderate size: N³ multiplications."""


class Blas:
    """OpenBLAS as far as it is asked here: its number of threads."""

    def __init__(self, threads: int) -> None:
        self.threads, self.written = threads, list[int]()

    def write(self, threads: int) -> None:
        self.threads = threads
        self.written.append(threads)


@pytest.fixture
def blas(monkeypatch: pytest.MonkeyPatch) -> Blas:
    blas, threads = Blas(4), openblas._Threads()
    monkeypatch.setattr(threads, "read", lambda: blas.threads)
    monkeypatch.setattr(threads, "write", blas.write)
    monkeypatch.setattr(openblas, "_threads", threads)
    return blas


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = matrix_product._others_run
    yield
    leave_cores_to(before)


def square(n: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, n))


def test_a_product_of_moderate_size_runs_on_one_thread(blas: Blas) -> None:
    assert FEW < N**3 < MANY
    a = square(N)
    leave_cores_to(lambda: True)
    y = array_dot(a, a)
    assert blas.written == [1, 4]
    np.testing.assert_allclose(y, a @ a, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.ones((8, 8)), np.ones((8, 8))),
        (np.ones((1 << 10, 1 << 9)), np.ones(1 << 9)),  # OpenBLAS multiplies vectors on one thread
        (np.broadcast_to(1.0, (1 << 9, 1 << 9)), np.broadcast_to(1.0, (1 << 9, 1 << 9))),
    ],
    ids=["small", "vector", "large"],
)
def test_others_are_left_alone(a: np.ndarray, b: np.ndarray, blas: Blas) -> None:
    leave_cores_to(lambda: True)
    np.testing.assert_array_equal(array_dot(a, b), np.full((*a.shape[:1], *b.shape[1:]), float(a.shape[1])))
    assert not blas.written


@pytest.mark.parametrize("others_run", [None, lambda: False], ids=["nobody asked", "nobody runs"])
def test_with_nobody_beside_it_every_thread_is_used(others_run: object, blas: Blas) -> None:
    leave_cores_to(others_run)  # type: ignore[arg-type]
    array_dot(square(N), square(N))
    assert not blas.written


def test_every_product_of_a_layer_keeps_to_one_thread(blas: Blas) -> None:
    leave_cores_to(lambda: True)
    x = mg.tensor(square(N), requires_grad=True)
    W = mg.tensor(square(N), requires_grad=True)
    y = mg.linear(x, W)
    assert blas.written == [1, 4]
    y.sum().backward()
    assert blas.written == [1, 4] * 3


def test_the_number_of_threads_comes_back_after_an_error(blas: Blas) -> None:
    leave_cores_to(lambda: True)
    with pytest.raises(ValueError, match="not aligned"):
        array_dot(square(N), square(N)[:-1])
    assert blas.written == [1, 4]


def test_threads_that_overlap_leave_what_was_before(blas: Blas) -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with one_thread():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(10)
    with one_thread():
        leave.set()
        thread.join()
        assert blas.threads == 1
    assert blas.threads == 4
    assert blas.written == [1, 4]


def test_one_thread_that_was_asked_for_stays_one(blas: Blas) -> None:
    blas.threads = 1
    with one_thread():
        pass
    assert not blas.written


def test_a_child_process_has_the_threads_of_before(blas: Blas) -> None:
    with one_thread():
        openblas._after_fork()  # what runs in the child
        assert blas.threads == 4


def test_numpys_own_openblas_is_told() -> None:
    read = openblas_function("get_num_threads", ctypes.c_int)
    if read is None:
        with one_thread():  # another library: nothing happens
            return
    before = read()
    with one_thread():
        assert read() == 1
    assert read() == before


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openblas, "_openblas", lambda: None)
    monkeypatch.setattr(openblas, "_threads", None)
    assert openblas_function("get_num_threads") is None
    with one_thread():
        leave_cores_to(lambda: True)
        array_dot(square(N), square(N))
