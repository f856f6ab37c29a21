"""Kernels where they run, as C++ here and on a GPU where there is one: at sizes that people train, twice the same, and
what is left where something goes wrong."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.backend import NUMPY, Backend, BackendError
from minigrad_rnn import GRU, LSTM, RNN, Recurrence
from minigrad_rnn.cells import Lengths
from minigrad_rnn.cuda import sequence
from minigrad_rnn.cuda.launches import Inputs, OutputGradients, Sequences
from minigrad_rnn.cuda.planner import Tile
from minigrad_rnn.text.model import CharacterModel
from tests.support import cuda_on_gpu
from tests.support.cuda_on_cpu.cells import KINDS, drawn, farthest, made_cell, planned, results
from tests.support.silent_kernels import silent
from tests.support.strict_device import StrictArray, SyncError, no_sync

MODELS: dict[str, tuple[type[Recurrence], dict[str, Any]]] = {
    "rnn": (RNN, {}),
    "lstm": (LSTM, {}),
    "gru": (GRU, {}),
    "published": (GRU, {"reset_after": False}),
}
SMALL = [(7, 3, 12)]
TRAINED = [(100, 1, 64), (100, 16, 256), (100, 64, 512), (100, 128, 128), (1000, 16, 256), (30, 32, 1024), (9, 5, 333)]
"""T, B, H on a GPU."""
TILE = Tile(1, 3, 2, 4, 1, 2, True)
CLUSTER, ONE_BLOCK = Tile(1, 3, 2, 2, 2, 2, True, cluster=True), Tile(4, 3, 1, 4, 1, 2, True, cluster=True)
kinds = pytest.mark.parametrize("kind", KINDS)


def trained(kind: str, backend: str, dtype: str, T: int, B: int, H: int) -> tuple[list[Any], str]:
    """Output, state and gradients of two directions with lengths, and the implementation."""
    network, options = MODELS[kind]
    rng = np.random.default_rng(1)
    model = network(8, H, bidirectional=True, dtype="float32", rng=rng, **options).to(backend, dtype=dtype)
    lengths = [T - b % 3 for b in range(B)]
    xs = mg.tensor(drawn(rng, T, B, 8).astype(dtype), requires_grad=True, backend=backend)
    output, state = model(xs, lengths=lengths)
    parts = [output, *(state if isinstance(state, tuple) else (state,))]
    loss = sum((y * mg.tensor(drawn(rng, *y.shape).astype(dtype), backend=backend)).sum() for y in parts)
    result = [*parts, *mg.gradients(loss, [xs, *model.parameters()])]
    return [y.numpy() for y in result], str(model.implementation)


@pytest.mark.parametrize("kind", MODELS)
def test_float32_beside_float64_on_the_host_and_twice_the_same(kernels_anywhere: Backend, kind: str) -> None:
    for size in SMALL if kernels_anywhere.name == "strict" else TRAINED:
        want, _ = trained(kind, "numpy", "float64", *size)
        got, implementation = trained(kind, kernels_anywhere.name, "float32", *size)
        again, _ = trained(kind, kernels_anywhere.name, "float32", *size)
        assert "persistent" in implementation or "two launches" in implementation
        assert farthest(dict(enumerate(got)), dict(enumerate(want))) < 1e-5, (size, implementation)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(got, again)), (size, implementation)


@kinds
def test_float64_on_every_implementation(kernels_anywhere: Backend, kind: str) -> None:
    tiles = [TILE, dataclasses.replace(TILE, registers=False), None]
    if cuda_on_gpu.has_clusters(kernels_anywhere):
        tiles += [CLUSTER, dataclasses.replace(CLUSTER, registers=False), ONE_BLOCK]
    for tile in tiles:
        for direction, steps in (("both", None), ("backward", [6, 2, 5])):
            want = results(kind, 12, 6, 3, direction, steps, np.float64, NUMPY)
            got = results(kind, 12, 6, 3, direction, steps, np.float64, kernels_anywhere, tile)
            assert farthest(got, want) < 1e-12, (tile, direction)


def test_what_the_sanitizer_is_given(kernels_anywhere: Backend) -> None:
    every = [case for case in cuda_on_gpu.cases() if case.runs_on(kernels_anywhere)]
    assert len(every) == 2 * len(KINDS) * (5 if cuda_on_gpu.has_clusters(kernels_anywhere) else 3)
    result = dict(cuda_on_gpu.checked(kernels_anywhere, every))
    assert not any(result.values()), result


def test_the_sanitizer_is_given_arrays_in_memory_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    allocators: list[Any] = ["a pool"]
    xp = SimpleNamespace(cuda=SimpleNamespace(set_allocator=allocators.append))
    kernels = SimpleNamespace(device=SimpleNamespace(compute_capability=(8, 6)))
    monkeypatch.setattr(
        cuda_on_gpu, "get_backend", lambda name: SimpleNamespace(name=name, xp=xp, kernels=lambda: kernels)
    )
    given: list[cuda_on_gpu.Case] = []

    def checked(backend: Any, what: list[cuda_on_gpu.Case]) -> list[tuple[cuda_on_gpu.Case, str]]:
        given.extend(what)
        return [(what[0], ""), (what[1], "xs by 1.0e+00")]

    monkeypatch.setattr(cuda_on_gpu, "checked", checked)
    assert cuda_on_gpu.main() == 1
    assert allocators[-1] is None
    assert {case.implementation for case in given} == {"in registers", "in shared memory", "two launches"}


@kinds
@pytest.mark.parametrize("tile", [TILE, None, CLUSTER], ids=["one launch", "two launches", "cluster"])
def test_biases_with_gaps_between_their_numbers(kernels_anywhere: Backend, kind: str, tile: Tile | None) -> None:
    """A kernel has their address alone."""
    if tile is CLUSTER and not cuda_on_gpu.has_clusters(kernels_anywhere):
        pytest.skip("clusters: the device has none")
    backend, result = kernels_anywhere, []
    for gaps in (False, True):
        cell = made_cell(kind, 12, 3, np.float64, backend.name)
        for name in ("b", "br"):
            if gaps and getattr(cell, name, None) is not None:
                bias = getattr(cell, name)
                twice = np.repeat(bias.numpy(), 2)
                twice[1::2] = 7
                bias.data = backend.from_numpy(twice)[::2]
        xs = mg.tensor(backend.from_numpy(np.ones((3, 2, 3))))
        state = tuple(mg.tensor(backend.from_numpy(np.ones((2, 12)))) for _ in cell.state_names)
        plan = planned(kind, 12, 2, np.float64, 1, tile)
        ((y, *_),) = sequence.run(backend, plan, [cell], [(xs, state)], False, None, False)
        result.append(y.numpy())
    np.testing.assert_array_equal(*result)


def test_cells_of_two_dtypes_are_refused(kernels_anywhere: Backend) -> None:
    model = GRU(3, 12, 2).to(kernels_anywhere.name)
    model.forward1.to(dtype="float64")
    with pytest.raises(TypeError, match=r"kernels: xs: got dtype float32, want float64"):
        model(mg.tensor(kernels_anywhere.from_numpy(np.ones((2, 1, 3), np.float32))))


def sequences(backend: Backend, kind: str, steps: list[int]) -> Sequences:
    """Two directions with lengths, in arrays that hold a 7 before anything is written."""
    rng = np.random.default_rng(0)
    T, B = max(steps), len(steps)
    given = []
    for seed in (1, 2):
        form = made_cell(kind, 12, seed, np.float64, backend.name).kernel_spec()
        assert form is not None
        arrays = (backend.from_numpy(drawn(rng, *s).astype(np.float64)) for s in [(T, B, 3), (B, 12), (B, 12)])
        xs, h0, c0 = arrays
        weights = [w if w is None else w.data for w in form.weights()]
        given.append(Inputs(xs, h0, c0 if kind == "lstm" else None, *weights))
    lengths = Lengths(steps, T, B, backend, "test")
    assert backend.kernels is not None
    plan = planned(kind, 12, B, np.float64, 2, TILE)
    return Sequences(
        backend.xp, backend.kernels(), plan, given, backend.from_numpy(lengths.host.astype(np.int32)), False
    )


def hosted(backend: Backend, arrays: list[Any]) -> list[Any]:
    return [backend.to_numpy(a) for a in arrays if isinstance(a, (StrictArray, backend.array_type))]


@kinds
def test_what_was_given_up_is_nan_and_is_reported(
    kernels_anywhere: Backend, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Some blocks never publish. Every number that comes out is right or NaN, and the host is told."""
    backend, steps = kernels_anywhere, [5, 2, 4]
    monkeypatch.setattr(Sequences, "empty", lambda self, *shape: self.xp.full(shape, 7.0, self.dtype))
    arriving = [
        OutputGradients(*(backend.from_numpy(np.ones(s)) for s in [(5, 3, 12), (3, 12), (3, 12)])) for _ in range(2)
    ]
    right = sequences(backend, kind, steps)
    right.forward()
    kernels = right.kernels
    broken = dataclasses.replace(kernels, compile=lambda source, told: kernels.compile(silent(source), told))

    def all_of(run: Sequences, backward: bool) -> list[Any]:
        if not backward:
            return [*run.ys, run.X, run.C, run.S]
        dh0, dc0, dZ, dY = run.bptt(arriving)
        return [dh0, dc0, *dZ, *(part for of in dY for part, _ in of)]

    for backward in (False, True):
        want = hosted(backend, all_of(right, backward))
        run = sequences(backend, kind, steps)
        if backward:
            run.forward()
        run.kernels = broken
        if not backward:
            run.forward()
        arrays = all_of(run, backward)
        kernels.synchronize()
        assert kernels.flags[0] == 1
        with pytest.raises(BackendError, match="gave up waiting"):
            backend.synchronize()
        got = hosted(backend, arrays)
        assert any(np.isnan(a).any() for a in got)
        for a, b in zip(got, want):
            there = np.isfinite(a)
            np.testing.assert_array_equal(a[there], b[there])


WAITING = ("get", "item", "tolist", "__float__", "__int__", "__bool__", "__complex__", "__array__")


@contextlib.contextmanager
def no_trips(array_type: Any) -> Iterator[None]:
    """Inside, what brings a value of a CuPy array to the host raises `SyncError`."""

    def refused(name: str) -> Any:
        def refuse(self: Any, *rest: Any, **options: Any) -> Any:
            raise SyncError(f"{name} waits for the device")

        return refuse

    indexed = array_type.__getitem__

    def index(self: Any, key: Any) -> Any:
        if any(getattr(part, "dtype", None) == np.dtype(bool) for part in (key if isinstance(key, tuple) else (key,))):
            raise SyncError("indexing by a boolean mask waits for the device")
        return indexed(self, key)

    with pytest.MonkeyPatch.context() as patch:
        for name in WAITING:
            if hasattr(array_type, name):
                patch.setattr(array_type, name, refused(name))
        patch.setattr(array_type, "__getitem__", index)
        yield


@pytest.mark.parametrize(
    "trip",
    [float, bool, lambda a: a.item(), lambda a: a.get(), lambda a: a[a.mask], lambda a: a[0, a.mask]],
    ids=["float", "bool", "item", "get", "mask", "mask in a tuple"],
)
def test_a_trip_to_the_host_is_refused(trip: Any) -> None:
    class Array:
        mask = np.ones(1, bool)

        def __getitem__(self, key: Any) -> Any:
            return key

        def get(self) -> float:
            return 1.0

        item = __float__ = get

        def __bool__(self) -> bool:
            return True

    trip(Array())
    with no_trips(Array):
        assert Array()[1:] == slice(1, None)
        with pytest.raises(SyncError):
            trip(Array())
    trip(Array())


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_training_step_of_the_character_model_makes_no_trip(kernels_anywhere: Backend, cell: str) -> None:
    """And its gradients after a first step are the host's."""
    result = []
    for backend in ("numpy", kernels_anywhere.name):
        model = CharacterModel(7, cell, 4, 12, 2, dropout=0.2, rng=np.random.default_rng(2)).to(backend)
        optimizer = mg.optim.Adam(model.parameters(), lr=1e-2)
        ids = np.random.default_rng(3).integers(0, 7, (6, 3))
        inputs, targets = (mg.tensor(part, backend=backend) for part in (ids[:-1], ids[1:].reshape(-1)))

        def step(model: Any = model, optimizer: Any = optimizer, inputs: Any = inputs, targets: Any = targets) -> None:
            logits, _ = model(inputs)
            loss = mg.cross_entropy(mg.reshape(logits, (-1, 7)), targets)
            optimizer.zero_grad()
            loss.backward()
            mg.optim.clip_grad_norm(model.parameters(), 1.0)
            optimizer.step()

        step()  # kernels are compiled here
        guard: Any = contextlib.nullcontext()
        if backend != "numpy":
            guard = no_sync() if backend == "strict" else no_trips(kernels_anywhere.array_type)
        with guard:
            step()
        result.append([p.grad.numpy() for p in model.parameters()])
    assert model.recurrence.implementation.startswith(("persistent", "forward", "two launches"))
    for ours, expected in zip(result[1], result[0]):
        assert np.abs(ours - expected).max() < 1e-3 * np.abs(expected).max()
