"""NumPy's functions on tensors."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine.tensor import Tensor
from minigrad.numpy_protocol import OURS


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.2, 0.9, shape)


CALLS: dict[str, Callable[[Any], Any]] = {
    "ufunc": lambda x: np.tanh(x),
    "ufunc of two": lambda x: np.multiply(x, noise(3, 4)),
    "ufunc, array first": lambda x: np.divide(noise(3, 4), x),
    "an array times it": lambda x: noise(3, 4) * x,
    "a NumPy number times it": lambda x: np.float64(1.5) * x,
    "an array @ it": lambda x: noise(2, 3) @ x,
    "add.reduce": lambda x: np.add.reduce(x),
    "add.reduce along the last": lambda x: np.add.reduce(x, axis=1),
    "multiply.reduce": lambda x: np.multiply.reduce(x, axis=None),
    "maximum.reduce": lambda x: np.maximum.reduce(x, axis=1, keepdims=True),
    "add.accumulate": lambda x: np.add.accumulate(x, axis=1),
    "multiply.outer": lambda x: np.multiply.outer(x, noise(2)),
    "subtract.outer": lambda x: np.subtract.outer(noise(2), x),
    "concatenate": lambda x: np.concatenate([x, noise(2, 4), x]),
    "stack": lambda x: np.stack((x, x), axis=-1),
    "sum": lambda x: np.sum(x, axis=(0, 1), keepdims=True),
    "mean": lambda x: np.mean(x, 1),
    "where": lambda x: np.where(noise(3, 4) > 0.5, x, 0.0),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, noise(5, 4)),
    "tensordot": lambda x: np.tensordot(x, noise(4, 2), axes=1),
    "reshape": lambda x: np.reshape(x, (2, 6)),
    "norm": lambda x: np.linalg.norm(x),
    "solve": lambda x: np.linalg.solve(x[:, :3] + 3 * np.eye(3), x),
    "irfft of rfft": lambda x: np.fft.irfft(np.fft.rfft(x) * noise(3)),
    "sliding windows": lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, axis=1),
    "sort": lambda x: np.sort(x, axis=0),
    "sum, all by position": lambda x: np.sum(x, 0, None, None, True),
    "max, all by position": lambda x: np.max(x, 1, None, True),
    "sum, all by name": lambda x: np.sum(a=x, axis=0, dtype=None, out=None, where=True),
    "quantile, all by position": lambda x: np.quantile(x, 0.3, 0, None, False, "hazen", True),
    "tanh, what changes nothing": lambda x: np.tanh(x, where=True, casting="same_kind", dtype=None),
    "add.reduce, all by position": lambda x: np.add.reduce(x, 1, None, None, True),
    "linspace, all by position": lambda x: np.linspace(x, 2.0, 3, True, False, None, -1),
}


@pytest.mark.parametrize("name", CALLS)
def test_numpys_functions_record_on_the_tape(name: str) -> None:
    call = CALLS[name]
    x = mg.tensor(noise(3, 4, seed=1), requires_grad=True)
    y = call(x)
    assert type(y) is Tensor
    assert y.requires_grad
    expected = call(x.numpy())
    assert y.dtype == expected.dtype
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12)
    assert mg.gradcheck(call, [x])


def test_every_function_that_both_have_is_ours() -> None:
    """np.f(t) and mg.f(t) are one, so that a new operation is NumPy's at once."""
    assert len(OURS) > 150
    for theirs, ours in OURS.items():
        name = theirs.__name__
        named = [getattr(m, name) for m in (mg, mg.linalg, mg.fft) if name in m.__dict__]
        assert ours in named or any(ours is getattr(mg, alias, None) for alias in mg.ops.__all__), name


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: np.histogram(x, weights=x), r"numpy\.histogram: minigrad has no rule for it"),
        (lambda x: np.histogram_bin_edges(x), r"numpy\.histogram_bin_edges: minigrad has no rule for it"),
        (lambda x: np.nextafter(x, 1.0), r"numpy\.nextafter: minigrad has no rule"),
        (lambda x: np.add.reduceat(x, [0, 1]), r"numpy\.add\.reduceat: minigrad has no rule"),
        (lambda x: np.add(x, 1.0, out=np.zeros((3, 4))), r"numpy\.add: out: tensors are not written in place"),
        (lambda x: operator.iadd(np.zeros((3, 4)), x), r"numpy\.add: out: tensors are not written in place"),
        (
            lambda x: np.fill_diagonal(x, 0.0),
            r"numpy\.fill_diagonal: it writes in place.*minigrad\.fill_diagonal gives",
        ),
        (lambda x: np.copyto(x, 0.0), r"numpy\.copyto: it writes in place.*minigrad\.at"),
        (lambda x: np.sum(x, where=noise(3, 4) > 0.5), r"numpy\.sum: where: minigrad\.sum .*minigrad\.where\(mask"),
        (lambda x: np.sum(x, 0, None, np.zeros(4)), r"numpy\.sum: out: minigrad\.sum .*not written in place"),
        (lambda x: np.max(x, 0, np.zeros(4)), r"numpy\.max: out: minigrad\.max does not take this"),
        (lambda x: np.max(x, initial=3.0), r"numpy\.max: initial: .*minigrad\.add, multiply, maximum"),
        (lambda x: np.add.reduce(x, initial=1.0), r"numpy\.add\.reduce: initial: minigrad\.sum"),
        (lambda x: np.tanh(x, where=noise(3, 4) > 0.5), r"numpy\.tanh: where: minigrad\.tanh .*minigrad\.where"),
        (lambda x: np.multiply(x, x, dtype=np.float32), r"numpy\.multiply: dtype: .*astype"),
        (lambda x: np.stack([x, x], out=np.zeros((2, 3, 4))), r"numpy\.stack: out: "),
        (lambda x: np.quantile(x, 0.5, weights=noise(3, 4)), r"numpy\.quantile: weights: "),
        (lambda x: np.multiply.outer(x, x, where=x.data > 0), r"numpy\.multiply\.outer: where: "),
        (lambda x: np.polyfit(x[0], x[1], 1), r"numpy\.polyfit: minigrad has no rule"),
    ],
)
def test_what_has_no_rule_says_so_by_name(call: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        call(mg.tensor(noise(3, 4), requires_grad=True))


def test_constants_go_to_numpy_as_arrays() -> None:
    host = noise(3, 4)
    counts, edges = np.histogram(mg.tensor(host), bins=3)
    np.testing.assert_array_equal(counts, np.histogram(host, bins=3)[0])
    np.testing.assert_array_equal(edges, np.histogram(host, bins=3)[1])
    np.testing.assert_array_equal(np.spacing(mg.tensor(host)), np.spacing(host))


def test_augmented_assignment_binds_a_new_tensor(xp: Any) -> None:
    """Of a computed tensor, whose values other nodes may need; leaves are in tests/test_in_place.py."""
    leaf = mg.tensor(noise(3), requires_grad=True)
    x = other = leaf * 1.0
    x += 1.0
    x *= 2.0
    np.testing.assert_allclose(x.numpy(), (noise(3) + 1) * 2)
    np.testing.assert_array_equal(other.numpy(), noise(3))
    x.sum().backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), [2.0, 2.0, 2.0])


def test_assignment_to_an_item_says_what_to_do() -> None:
    x = mg.tensor(noise(3), requires_grad=True)
    with pytest.raises(TypeError, match=r"tensors are not written in place; minigrad\.at\(x\)\[\.\.\.\]\.set"):
        x[0] = 1.0
    with pytest.raises(TypeError, match="not written in place"):
        x[0] += 1.0


def test_a_tensor_on_the_tape_is_not_stored_in_an_array() -> None:
    x = mg.tensor(2.0, requires_grad=True)
    y = x * 2
    host, whole = np.zeros(3), np.zeros(3, int)

    def each() -> None:
        for k in range(3):
            host[k] = y

    def added() -> None:
        host[0] += y

    def rounded() -> None:
        whole[0] = y

    def leaf() -> None:
        host[0] = x

    for write in (each, added, rounded, leaf, lambda: host.__setitem__(slice(None), y)):
        with pytest.raises((TypeError, ValueError)) as found:
            write()
        assert "lose its gradient" in f"{found.value} {found.value.__cause__}"
    np.testing.assert_array_equal(host, 0)


def test_a_tensor_is_looked_at_as_a_number() -> None:
    y = mg.tensor(2.5, requires_grad=True) * 2
    host = np.zeros(4)
    host[0], host[1], host[2] = float(y), y.item(), y.detach()
    host[int(y) - 2] = 5.0
    assert [float(y)] * 4 == host.tolist() == list(map(float, [y] * 4))
    assert f"{float(y):.2f} {int(y)}" == "5.00 5" == "%.2f %d" % (y, y)  # noqa: UP031
    with mg.no_grad():
        host[0] = y + 1
    assert host[0] == 6
