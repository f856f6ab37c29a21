"""The kernels whose blocks are one cluster: bit for bit the polling kernels of the same tiling; planted faults."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend as backend_module
from minigrad.backend import NUMPY, Backend, BackendError
from minigrad_rnn import GRU, LSTM, RNN
from minigrad_rnn.cuda.planner import Tile
from tests.rnn.cuda.test_kernels import kinds, of_a_wrong_example, spans, unwritten
from tests.support.cuda_on_cpu.cells import DIRECTIONS, farthest, results
from tests.support.cuda_on_cpu.device import KernelFault, Settings, make_backend
from tests.support.cuda_on_cpu.devices import H100
from tests.support.strict_device import StrictArray

# H and its tiling: 2 blocks of 2 tiles; 4 and 5 blocks that split columns; 3 blocks; 1 block of 3 tiles; 1 of 1
TILES = [
    (4, Tile(1, 2, 1, 1, 2, 2, True)),
    (12, Tile(1, 3, 2, 4, 1, 2, True)),
    (40, Tile(4, 2, 2, 8, 1, 2, False)),
    (23, Tile(4, 2, 1, 4, 1, 2, True)),
    (4, Tile(2, 2, 1, 1, 3, 2, False)),
    (12, Tile(4, 3, 1, 4, 1, 2, True)),
]
SINGLE = Tile(2, 4, 1, 2, 1, 4, True)
"""For float32 and H = 40: 5 blocks."""
BOTH = Tile(1, 2, 1, 2, 2, 2, True)
"""For H = 12: 6 blocks of 2 tiles."""
CASES = [(1, 1), (2, 2), (6, 3)]
"""T and B."""


def in_a_cluster(tile: Tile) -> Tile:
    return replace(tile, cluster=True)


def same(got: dict[str, Any], want: dict[str, Any]) -> bool:
    assert list(got) == list(want)
    return all(got[name].tobytes() == want[name].tobytes() for name in want)


@kinds
@pytest.mark.parametrize(("H", "tile"), TILES, ids=lambda x: "" if isinstance(x, Tile) else f"H{x}")
def test_a_cluster_computes_the_same_bits(kernels_on_cpu: Backend, kind: str, H: int, tile: Tile) -> None:
    for (T, B), direction in itertools.product(CASES, DIRECTIONS):
        for steps in spans(T, B):
            row = (kind, H, T, B, direction, steps, np.float64)
            got = results(*row, kernels_on_cpu, in_a_cluster(tile))
            assert same(got, results(*row, kernels_on_cpu, tile)), (T, B, direction, steps)
            assert farthest(got, results(*row, NUMPY)) < 1e-12, (T, B, direction, steps)


@kinds
def test_a_cluster_in_float32(kernels_on_cpu: Backend, kind: str) -> None:
    for steps in spans(7, 3):
        row = (kind, 40, 7, 3, "both", steps)
        got = results(*row, np.float32, kernels_on_cpu, in_a_cluster(SINGLE))
        assert same(got, results(*row, np.float32, kernels_on_cpu, SINGLE))
        assert farthest(got, results(*row, np.float64, NUMPY)) < 1e-5


@kinds
@pytest.mark.parametrize(("H", "tile"), [(40, SINGLE), (12, BOTH)], ids=["one tile", "two tiles"])
def test_shuffled_schedules_leave_the_bits(
    kernels_on_cpu: Backend, launch_settings: Settings, kind: str, H: int, tile: Tile
) -> None:
    """With stores into other blocks that arrive as late as they may."""
    for steps in spans(6, 3):
        runs = []
        for seed in (0, 1, 2, 3):
            launch_settings.seed = seed
            runs.append(results(kind, H, 6, 3, "both", steps, np.float32, kernels_on_cpu, in_a_cluster(tile)))
        assert all(same(other, runs[0]) for other in runs[1:])


@kinds
def test_every_example_of_a_large_batch(kernels_on_cpu: Backend, kind: str) -> None:
    """Clusters one beside the other, each with several tiles, the last of them with few examples."""
    tile, steps = Tile(2, 2, 1, 8, 4, 2, True), [1 + b % 2 for b in range(101)]
    row = (kind, 12, 2, 101, "both", steps, np.float64)
    got = results(*row, kernels_on_cpu, in_a_cluster(tile))
    assert same(got, results(*row, kernels_on_cpu, tile))


@kinds
@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_nan_stays_with_its_example(kernels_on_cpu: Backend, kind: str) -> None:
    tile = in_a_cluster(Tile(1, 2, 1, 2, 2, 1, True))
    got, want = (of_a_wrong_example(kernels_on_cpu, kind, np.float32, tile, x) for x in (unwritten(np.float32), None))
    for one, other in zip(got, want):
        np.testing.assert_array_equal(one[..., 2, :], other[..., 2, :])
    assert np.isnan(got[0][1:, 0]).all()


def test_clusters_need_not_run_together(kernels_on_cpu: Backend, launch_settings: Settings) -> None:
    """Two clusters of four blocks each where four run at a time; no block that waits keeps another from running."""
    tile = Tile(1, 3, 2, 2, 1, 2, True)
    row = ("lstm", 12, 5, 3, "forward", None, np.float64, kernels_on_cpu)
    want = results(*row, tile)
    launch_settings.launched.clear()
    launch_settings.resident = 4
    assert same(results(*row, in_a_cluster(tile)), want)
    assert launch_settings.launched == [("forward", (4, 2, 1), 192), ("backward", (4, 2, 1), 192)]
    with pytest.raises(KernelFault, match="more blocks than run together"):
        results(*row, tile)


@pytest.mark.parametrize("H", [12, 40])
@pytest.mark.parametrize("network", [RNN, LSTM, GRU])
def test_the_planner_takes_clusters_and_a_model_runs_in_them(
    launch_settings: Settings, monkeypatch: pytest.MonkeyPatch, network: Any, H: int
) -> None:
    """On a device that has them; nothing else about the model is other."""
    backend = make_backend(launch_settings, H100)
    monkeypatch.setitem(backend_module._by_name, "strict", backend)
    monkeypatch.setitem(backend_module.BY_ARRAY_TYPE, StrictArray, backend)
    xs = np.random.default_rng(0).standard_normal((5, 3, 4))
    found = []
    for name in ("numpy", "strict"):
        model = network(4, H, bidirectional=True, dtype="float64", rng=np.random.default_rng(1)).to(name)
        output, _ = model(mg.tensor(xs, backend=name), lengths=[5, 2, 4])
        found.append([a.numpy() for a in (output, *mg.gradients((output * output).sum(), list(model.parameters())))])
    assert re.search("no exchange|in clusters of", str(model.implementation)), model.implementation
    for ours, expected in zip(*found):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12 * max(1, np.abs(expected).max()))


def replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda source: source.replace(old, new)


FAULTS = {
    "no barrier before the values are read": replaced("cluster_wait();  // x is whole in every block", ";"),
    "no barrier before the first store": replaced(
        "        cluster_arrive();\n        cluster_wait();\n        return;", ""
    ),
    "no barrier of the cluster at all": lambda source: source.replace("cluster_wait();", ";").replace(
        "cluster_arrive();", ";"
    ),
    "a store to the wrong block": replaced(
        "place_in_block(target.here, block)", "place_in_block(target.here, block ^ 1)"
    ),
    "a store to all blocks but the last": replaced("block < BLOCKS && BLOCKS > 1", "block < BLOCKS - 1"),
    "a store into the values that are being read": replaced("(step & 1) * TILES", "0"),
    "a barrier that only the block's own threads pass": lambda source: source.replace(
        "cluster_wait();", "__syncthreads();"
    ).replace("cluster_arrive();", ";"),
}
ONE_BUFFER = {"gru_reset_first": {"a store into the values that are being read"}}
"""Faults that are none: the GRU as published has one buffer for each of its two exchanges."""


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", ["rnn_tanh", "lstm", "gru_reset_first"])
def test_a_planted_fault_is_caught(kernels_on_cpu: Backend, launch_settings: Settings, kind: str, fault: str) -> None:
    want = results(kind, 40, 6, 3, "both", None, np.float64, NUMPY)
    launch_settings.change = FAULTS[fault]
    wrong = 0
    for seed in range(1, 5):
        launch_settings.seed = seed
        try:
            got = results(kind, 40, 6, 3, "both", None, np.float32, kernels_on_cpu, in_a_cluster(SINGLE))
            wrong += farthest(got, want) > 1e-5
        except (KernelFault, BackendError):
            wrong += 1
    assert bool(wrong) != (fault in ONE_BUFFER.get(kind, ()))
