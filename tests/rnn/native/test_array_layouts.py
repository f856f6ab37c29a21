"""Arrays in any layout and byte order go into compiled sequences: inputs, states, weights and arriving gradients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from tests.support.native_cells import (
    DTYPES,
    KINDS,
    Batch,
    Results,
    different,
    drawn_batch,
    farthest,
    made_net,
    results,
)
from tests.support.native_library import num_threads, require_compiler, split_small_calls

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def _compiler() -> None:
    require_compiler()


def misaligned(a: Array) -> Array:
    memory = np.zeros(a.nbytes + 1, np.uint8)
    copy: Array = memory[1:].view(a.dtype).reshape(a.shape)
    copy[...] = a
    return copy


def read_only(a: Array) -> Array:
    copy = a.copy()
    copy.flags.writeable = False
    return copy


def field(a: Array, packed: bool) -> Array:
    """A field of a structured array, whose items lie an odd number of bytes apart if it is packed."""
    record = np.zeros(a.shape, np.dtype([("before", "i1"), ("value", a.dtype), ("after", "i2")], align=not packed))
    record["value"] = a
    return record["value"]


def every_axis_apart(a: Array) -> Array:
    return np.kron(a, np.ones((2,) * a.ndim, a.dtype))[(slice(None, None, 2),) * a.ndim]


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran's": np.asfortranarray,
    "time reversed": lambda a: a[::-1].copy()[::-1],
    "units reversed": lambda a: a[..., ::-1].copy()[..., ::-1],
    "batch first": lambda a: a.swapaxes(0, max(a.ndim - 2, 0)).copy().swapaxes(0, max(a.ndim - 2, 0)),
    "strided": every_axis_apart,
    "misaligned": misaligned,
    "read-only": read_only,
    "field": lambda a: field(a, packed=False),
    "packed field": lambda a: field(a, packed=True),
}


def laid_out(batch: Batch, layout: Callable[[Array], Array]) -> Batch:
    def each(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(layout(a) for a in arrays)

    return Batch(layout(batch.xs), each(batch.state), each(batch.gradients), batch.lengths)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_layouts_change_no_bit(kind: str, dtype: str, layout: str) -> None:
    for lengths in (None, [4, 1, 3]):
        net = made_net(kind, 2, 5, dtype, bidirectional=True)
        batch = drawn_batch(net, 4, 3, lengths)
        want = results(net, batch)
        given = laid_out(batch, LAYOUTS[layout])
        assert not different(results(net, given), want)
        for parameter in net.parameters():
            parameter.data = LAYOUTS[layout](parameter.data)
        assert not different(results(net, given), want)


@pytest.mark.parametrize("impl", ["auto", "native"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_other_byte_order(kind: str, impl: str) -> None:
    """As a file may hold numbers: what is written in the other order is read in it."""
    net = made_net(kind, 2, 5, impl=impl)
    batch = drawn_batch(net, 4, 3, [4, 1, 3])
    want = results(net, batch)
    swapped = laid_out(batch, lambda a: a.astype(a.dtype.newbyteorder()))
    assert not swapped.xs.dtype.isnative
    state = swapped.state if len(swapped.state) > 1 else swapped.state[0]
    output, _ = net(swapped.xs, state, lengths=np.array([4, 1, 3]).astype(">i4"))
    assert output.numpy().astype("float64").tobytes() == want["output"].tobytes()
    parameters = dict(net.named_parameters())
    found = mg.gradients([output], list(parameters.values()), [swapped.gradients[0]])
    zero = [np.zeros_like(g) for g in batch.gradients[1:]]
    want = results(net, Batch(batch.xs, batch.state, (batch.gradients[0], *zero), batch.lengths))
    for name, g in zip(parameters, found):
        assert g.numpy().tobytes() == want[f"d {name}"].tobytes(), name


@pytest.mark.parametrize("kind", KINDS)
def test_one_number_as_every_gradient(kind: str) -> None:
    """The gradient of a sum is one number with strides of 0."""
    net = made_net(kind, 2, 5)
    batch = drawn_batch(net, 4, 3, [4, 1, 3])
    for shape in [(1, 1, 1), (4, 1, 1), (1, 3, 1), (4, 3, 1), (1, 1, batch.gradients[0].shape[-1])]:
        number = np.random.default_rng(0).standard_normal(shape)
        zero_strides = np.broadcast_to(number, batch.gradients[0].shape)
        assert 0 in zero_strides.strides
        pair = [
            Batch(batch.xs, batch.state, (g, *batch.gradients[1:]), batch.lengths)
            for g in (zero_strides, zero_strides.copy())
        ]
        first, second = (results(net, each) for each in pair)
        assert not different(first, second)


@pytest.mark.parametrize("kind", KINDS)
def test_an_array_on_a_disk(kind: str, tmp_path: Path) -> None:
    net = made_net(kind, 2, 5)
    batch = drawn_batch(net, 4, 3)
    file = np.memmap(tmp_path / "xs", batch.xs.dtype, "w+", shape=batch.xs.shape)
    file[...] = batch.xs
    read: Any = np.memmap(tmp_path / "xs", batch.xs.dtype, "r", shape=batch.xs.shape)
    found = results(net, Batch(read, batch.state, batch.gradients))
    assert not different(found, results(net, batch))


SIZES = [
    (1, 1, 1, 1),
    (1, 1, 1, 7),
    (1, 9, 1, 1),
    (7, 1, 2, 1),
    (300, 40, 1, 1),
    (2, 1, 40, 3),
    (3, 5, 1, 33),
    (2, 2, 70, 1),
]
"""T, B, I, H"""


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_smallest_and_lopsided_sizes(kind: str, sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """One step, sequence, input or unit; fewer and more sequences than threads."""
    split_small_calls(monkeypatch)
    T, B, I, H = sizes

    def found(impl: str, dtype: str, threads: int) -> Results:
        net = made_net(kind, I, H, dtype, impl, bidirectional=True)
        with num_threads(threads):
            return results(net, drawn_batch(net, T, B))

    want = found("fused", "float64", 1)
    for dtype, tolerance in (("float32", 3e-5), ("float64", 1e-12)):
        alone, split = (found("native", dtype, threads) for threads in (1, 4))
        assert farthest(alone, want) < tolerance
        assert not different(alone, split)
