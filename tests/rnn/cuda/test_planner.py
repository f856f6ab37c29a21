"""The planner's limits, from descriptions of devices: what it offers fits, and what does not fit it says."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.backend import Device
from minigrad_rnn import gates
from minigrad_rnn.cuda import planner
from minigrad_rnn.cuda.costs import DEFAULT
from minigrad_rnn.cuda.planner import CELLS, OP_BY_OP, PERSISTENT, TWO_LAUNCHES, PassPlan, Plan, Shape, Tile, plan
from minigrad_rnn.cuda.source import options, program
from tests.support.cuda_on_cpu.devices import A100, DEVICES, H100, H200, RTX_3060, RTX_3090, RTX_4090

F32, F64 = np.dtype("float32"), np.dtype("float64")


def shapes() -> list[Shape]:
    sizes = [(1, 32), (3, 40), (16, 128), (32, 256), (128, 256), (32, 512), (64, 1024), (1, 1024), (7, 333)]
    kinds = cycle([(F32, 1), (F64, 2), (F64, 1), (F32, 2), (F32, 1)])
    return [Shape(cell, B, H, *next(kinds)) for cell in CELLS for B, H in sizes]


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_what_is_offered_fits(device: Device) -> None:
    for shape in shapes():
        made = plan(device, shape)
        for backward, implementation in ((False, made.forward), (True, made.backward)):
            assert implementation.reason
            if implementation.name != PERSISTENT:
                assert (implementation.name, implementation.tile) == (TWO_LAUNCHES, None)
                continue
            tile, grid = implementation.tile, implementation.grid
            assert tile is not None
            assert np.prod(grid) <= device.multiprocessors
            assert implementation.shared_memory == tile.shared_memory(shape, backward) <= device.shared_memory - 16
            assert tile.threads <= device.threads
            assert tile.threads * tile.registers_needed(shape, backward) <= device.registers
            # Every unit, example and direction has a block; a thread has at most one pair.
            assert grid[0] * tile.units >= shape.H
            assert grid[1] * tile.batch * tile.tiles >= shape.B
            assert grid[2] == shape.directions
            assert tile.pairs <= tile.threads


@pytest.mark.parametrize(
    ("device", "cell", "B", "H", "expected"),
    [
        (H200, "lstm", 32, 512, (PERSISTENT, PERSISTENT)),
        (H100, "lstm", 1, 1024, (PERSISTENT, PERSISTENT)),
        (H100, "lstm", 32, 1024, (PERSISTENT, PERSISTENT)),
        (H100, "lstm", 64, 1024, (PERSISTENT, TWO_LAUNCHES)),
        (A100, "lstm", 64, 512, (PERSISTENT, PERSISTENT)),
        (A100, "lstm", 1, 1024, (TWO_LAUNCHES, TWO_LAUNCHES)),
        (RTX_3090, "gru", 64, 256, (PERSISTENT, PERSISTENT)),
        (RTX_4090, "gru_reset_first", 64, 256, (PERSISTENT, PERSISTENT)),
        (RTX_3060, "lstm", 16, 256, (PERSISTENT, PERSISTENT)),
        (RTX_3060, "lstm", 16, 1024, (TWO_LAUNCHES, TWO_LAUNCHES)),
        (RTX_3060, "rnn_tanh", 32, 512, (PERSISTENT, PERSISTENT)),
        (H100, "rnn_relu", 128, 512, (PERSISTENT, PERSISTENT)),
    ],
    ids=str,
)
def test_implementations_of_known_devices(device: Device, cell: str, B: int, H: int, expected: tuple[str, str]) -> None:
    made = plan(device, Shape(cell, B, H, F32, 1))
    assert (made.forward.name, made.backward.name) == expected


@pytest.mark.parametrize(
    ("change", "shape", "implementation", "reason"),
    [
        ({"compute_capability": (6, 1)}, {}, OP_BY_OP, "compute capability 6.1: kernels want 7.0"),
        ({"cooperative": False}, {"H": 512}, TWO_LAUNCHES, "no cooperative launches"),
        ({}, {"B": 129}, TWO_LAUNCHES, "B = 129: one launch takes at most 128"),
        ({}, {"dtype": np.dtype("float16")}, OP_BY_OP, "dtype float16"),
        ({}, {"H": 4096}, TWO_LAUNCHES, "262144 KiB of Wr do not stay in 132 multiprocessors"),
        ({"multiprocessors": 1}, {"H": 256}, TWO_LAUNCHES, "1024 KiB of Wr do not stay in 1 multiprocessors"),
        ({}, {"H": 768, "B": 128, "dtype": F64}, TWO_LAUNCHES, "faster at this size"),
    ],
)
def test_what_is_not_offered_has_a_reason(
    change: dict[str, Any], shape: dict[str, Any], implementation: str, reason: str
) -> None:
    device = replace(H100, **change)
    made = plan(device, replace(Shape("lstm", 32, 64, F32, 1), **shape))
    assert made.forward.name == implementation
    assert reason in made.forward.reason
    assert reason in str(made)
    assert made.runs_kernels == (implementation != OP_BY_OP)


@pytest.mark.parametrize(
    ("cell", "backward", "more"),
    [
        # Values of one step, 40 columns padded to 64 (backward 160 to 192): 2 tiles × 2 parities instead of one place.
        ("lstm", False, 3 * 4 * 64),
        ("lstm", True, 3 * 4 * 192),
        ("rnn_tanh", True, 3 * 4 * 64),
        # Two products, 2 tiles instead of one place.
        ("gru_reset_first", False, 4 * (64 + 64)),
        ("gru_reset_first", True, 4 * (64 + 128)),
    ],
)
def test_a_cluster_has_room_for_what_other_blocks_store(cell: str, backward: bool, more: int) -> None:
    polling = Tile(1, 6, 1, 4, 2, 2, True)
    cluster = replace(polling, cluster=True)
    for dtype in (F32, F64):
        shape = Shape(cell, 8, 40, dtype, 1)
        extra = cluster.shared_memory(shape, backward) - polling.shared_memory(shape, backward)
        assert extra == more * dtype.itemsize
        assert cluster.grid(shape) == polling.grid(shape) == (7, 1, 1)
    assert cluster.macros() == {**polling.macros(), "K_CLUSTER": 1}
    assert polling.macros()["K_CLUSTER"] == 0


@pytest.mark.parametrize(
    ("device", "H", "expected"),
    [(H100, 48, True), (H100, 49, False), (A100, 48, False), (A100, 6, False), (H100, 6, True)],
    ids=str,
)
def test_which_clusters_fit(device: Device, H: int, expected: bool) -> None:
    """At most 8 blocks, and none before compute capability 9.0."""
    tile, shape = Tile(1, 6, 1, 4, 2, 2, True, cluster=True), Shape("lstm", 8, H, F32, 1)
    assert planner.fits(device, shape, False, replace(tile, cluster=False))
    assert planner.fits(device, shape, False, tile) == expected


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"cell": "elman"}, "cell: got 'elman'"), ({"B": 0}, "B: got 0"), ({"directions": 0}, "directions: got 0")],
)
def test_a_shape_that_is_none_is_an_error(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(H100, replace(Shape("lstm", 1, 8, F32, 1), **wrong))


def test_two_directions_need_twice_the_room() -> None:
    one, two = (plan(RTX_3060, Shape("gru", 1, 448, F32, D)) for D in (1, 2))
    assert one.forward.name == PERSISTENT
    assert two.forward.name == TWO_LAUNCHES


def in_the_record(implementation: PassPlan) -> str:
    tile = implementation.tile
    if tile is None:
        assert implementation.name == TWO_LAUNCHES
        return "-"
    numbers = (tile.warp_units, tile.unit_warps, tile.split, tile.batch, tile.tiles, tile.vector)
    assert not tile.cluster
    return " ".join([*map(str, numbers), "registers" if tile.registers else "shared"])


def test_no_more_clusters_than_the_driver_says() -> None:
    """16 clusters of 8 that fit are planned for; where 15 fit, groups are larger, in place of one too many."""
    shape = Shape("lstm", 16, 256, F32, 1)
    for most in (16, 15):
        device = replace(H200, clusters=(132, 66, 44, 33, 24, 20, 16, most))
        made = plan(device, shape)
        for implementation in (made.forward, made.backward):
            tile, (blocks, groups, _) = implementation.tile, implementation.grid
            assert tile is not None
            assert not tile.cluster or groups <= device.clusters[blocks - 1]
    refusing = plan(replace(H200, clusters=(132, *[0] * 7)), shape)
    assert all(p.tile is not None and not p.tile.cluster for p in (refusing.forward, refusing.backward))
    alone = plan(replace(H200, cooperative=False), Shape("lstm", 1, 64, F32, 1))
    assert "no exchange" in alone.forward.reason  # one block needs no cooperative launch
    assert planner.clusters_at_once(H200, 8) == 13  # a guess, below what any such device was seen to have
    assert planner.clusters_at_once(H200, 1) == 132


@pytest.mark.parametrize("device", [A100, RTX_3060, RTX_3090, RTX_4090], ids=lambda device: device.name)
def test_plans_of_devices_without_clusters_are_the_recorded_ones(device: Device) -> None:
    """Over the benchmark's grid, by the default costs."""
    record = Path(__file__).with_name("plans_of_older_devices.txt").read_text(encoding="utf-8").splitlines()
    rows = [row for row in record if row.startswith(f"{device.name}, ")]
    assert len(rows) == 128
    for row in rows:
        _, cell, directions, H, B = row.partition(":")[0].split(", ")
        made = plan(device, Shape(cell, int(B), int(H), F32, int(directions)), DEFAULT)
        what = row.partition(":")[0]
        assert f"{what}: {in_the_record(made.forward)}, {in_the_record(made.backward)}" == row


def test_batches_of_nearly_one_size_share_a_kernel() -> None:
    tiles = {plan(H100, Shape("lstm", B, 256, F32, 1)).forward.tile for B in range(17, 33)}
    assert len(tiles) == 1


def test_a_plan_says_both_passes_where_they_differ() -> None:
    made = plan(H100, Shape("lstm", 64, 1024, F32, 1))
    assert str(made).startswith("forward persistent (")
    assert ", backward two launches a step (" in str(made)
    same = Plan(made.shape, made.backward, made.backward)
    assert str(same) == str(made.backward)


def test_the_least_estimate_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = Shape("lstm", 8, 64, F32, 1)
    wanted = Tile(1, 4, 1, 8, 1, 2, True)
    planner.best_tile.cache_clear()
    monkeypatch.setattr(planner, "cost", lambda device, shape, backward, tile, costs: float(tile != wanted))
    assert planner.best_tile(H100, shape, False) == (wanted, 0.0)
    planner.best_tile.cache_clear()


@pytest.mark.parametrize("cell", CELLS)
def test_a_program_is_one_text(cell: str) -> None:
    """Every header once, and nothing left to include: a compiler needs no files, and its cache sees every change."""
    names = (
        ["gru_reset_first.cu", "gru_reset_first_steps.cu"]
        if cell == "gru_reset_first"
        else ["forward.cu", "backward.cu", "steps.cu"]
    )
    for name in names:
        text = program(name, cell)
        assert "#include" not in text
        assert "#pragma once" not in text
        assert text.count("struct Order") == text.count("typedef float Real") == 1


@pytest.mark.parametrize(
    ("name", "cell", "header", "equation"),
    [
        ("forward.cu", "rnn_tanh", "rnn.h", "rnn_tanh_value("),
        ("backward.cu", "rnn_relu", "rnn.h", "rnn_relu_derivative("),
        ("steps.cu", "lstm", "lstm.h", "lstm_derivative("),
        ("forward.cu", "gru", "gru.h", "gru_value("),
        ("gru_reset_first.cu", "gru_reset_first", "gru_reset_first.h", "candidate_derivative("),
    ],
)
def test_a_program_has_the_shared_equations(name: str, cell: str, header: str, equation: str) -> None:
    """Whole, once, and called."""
    text = (Path(gates.__file__).parent / header).read_text(encoding="utf-8").replace("#pragma once\n", "")
    made = program(name, cell)
    assert made.count(text) == 1
    assert made.count(equation) > text.count(equation) == 1


def test_options_are_constants_of_a_kernel() -> None:
    assert options("rnn_relu", 8, 8, {"K_VECTOR": 1}) == ("-DK_H=8", "-DK_VECTOR=1", "-DK_DOUBLE=1", "-DK_RELU=1")
    assert options("lstm", 8, 4, {}) == ("-DK_H=8",)
