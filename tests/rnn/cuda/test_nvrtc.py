"""Every kernel compiled for real devices, by NVRTC, without one: no spills at what the planner offers."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from minigrad.backend import Device
from minigrad_rnn.cuda.costs import DEFAULT
from minigrad_rnn.cuda.planner import CELLS, PERSISTENT, Shape, Tile, plan, tilings
from minigrad_rnn.cuda.source import options, program
from tests.support.cuda_on_cpu import compiler
from tests.support.cuda_on_cpu.devices import A100, H100, RTX_3060

F32, F64 = np.dtype("float32"), np.dtype("float64")


@pytest.fixture(autouse=True)
def nvrtc() -> None:
    if compiler.load_nvrtc() is None:
        pytest.skip("NVRTC: the package nvidia-cuda-nvrtc is missing")


def architecture(device: Device) -> str:
    return "sm_" + "".join(map(str, device.compute_capability))


@cache
def compile_tile(device: Device, name: str, shape: Shape, tile: Tile) -> compiler.Compiled:
    """Compile a persistent kernel, once for all shapes that share it; "forward" or "backward"."""
    file = "gru_reset_first.cu" if shape.cell == "gru_reset_first" else f"{name}.cu"
    told = options(shape.cell, shape.H, shape.itemsize, tile.macros())
    return compiler.compile_for(architecture(device), program(file, shape.cell), told)[name]


def compile_offer(device: Device, shape: Shape) -> int:
    """Compile what is offered for a shape; how many kernels that was."""
    made = plan(device, shape, DEFAULT)
    n = 0
    for name, implementation in (("forward", made.forward), ("backward", made.backward)):
        if implementation.name != PERSISTENT:
            continue
        tile = implementation.tile
        assert tile is not None
        result = compile_tile(device, name, replace(shape, B=1, directions=1), tile)
        assert (result.spilled, result.stack) == (0, 0), (shape, tile, result)
        assert result.registers * tile.threads <= device.registers
        assert implementation.shared_memory + result.shared <= device.shared_memory
        n += 1
    return n


@pytest.mark.parametrize("device", [A100, H100], ids=architecture)
@pytest.mark.parametrize(
    ("cell", "B", "H", "dtype", "directions"),
    [
        ("rnn_tanh", 64, 512, F32, 1),
        ("rnn_tanh", 1, 256, F32, 2),
        ("rnn_tanh", 16, 512, F64, 2),
        ("rnn_relu", 64, 64, F32, 2),
        ("rnn_relu", 5, 40, F64, 2),
        ("lstm", 32, 512, F32, 1),
        ("lstm", 1, 256, F32, 2),
        ("lstm", 16, 256, F64, 2),
        ("gru", 64, 256, F32, 2),
        ("gru", 16, 256, F64, 2),
        ("gru_reset_first", 32, 256, F32, 2),
        ("gru_reset_first", 1, 256, F64, 2),
    ],
    ids=str,
)
def test_persistent_kernels_spill_nothing(
    device: Device, cell: str, B: int, H: int, dtype: Any, directions: int
) -> None:
    assert compile_offer(device, Shape(cell, B, H, dtype, directions)) == 2


def test_weights_are_loaded_without_spills() -> None:
    """16 rows of 1024 and more columns for each warp, into shared memory."""
    tile, shape = Tile(8, 2, 1, 1, 1, 4, False), Shape("gru_reset_first", 1, 1024, F32, 2)
    for name in ("forward", "backward"):
        result = compile_tile(H100, name, shape, tile)
        assert (result.spilled, result.stack) == (0, 0)


@pytest.mark.parametrize("cell", CELLS)
def test_clusters_and_single_blocks_spill_nothing(cell: str) -> None:
    """With one buffer of the shared memory, and none of the words that are polled for."""
    for H, dtype, blocks in ((256, F32, 8), (64, F32, 1), (48, F64, 1), (160, F64, 5)):
        shape = Shape(cell, 16, H, dtype, 2)
        for name in ("forward", "backward"):
            offered = (t for t in tilings(H100, shape, name == "backward") if t.cluster)
            tile = next(t for t in offered if t.grid(shape)[0] == blocks)
            result = compile_tile(H100, name, shape, tile)
            assert (result.spilled, result.stack) == (0, 0), (shape, tile, result)
            assert tile.shared_memory(shape, name == "backward") + result.shared <= H100.shared_memory


@pytest.mark.parametrize("device", [A100, H100], ids=architecture)
@pytest.mark.parametrize("cell", CELLS)
def test_kernels_of_one_step(device: Device, cell: str) -> None:
    file = "gru_reset_first_steps.cu" if cell == "gru_reset_first" else "steps.cu"
    for itemsize in (4, 8):
        told = options(cell, 1000, itemsize, {"K_VECTOR": 1})
        result = compiler.compile_for(architecture(device), program(file, cell), told)
        assert len(result) == (4 if cell == "gru_reset_first" else 2)
        assert all((kernel.spilled, kernel.stack) == (0, 0) for kernel in result.values())


@pytest.mark.soak
@pytest.mark.parametrize("device", [A100, H100, RTX_3060], ids=architecture)
@pytest.mark.parametrize("cell", CELLS)
def test_what_is_offered_spills_nothing(device: Device, cell: str) -> None:
    """Over the benchmark's grid, in one direction and two, in both dtypes."""
    sizes = itertools.product((1, 16, 64, 128), (64, 256, 512, 1024), (F32, F64), (1, 2))
    assert sum(compile_offer(device, Shape(cell, B, H, dtype, D)) for B, H, dtype, D in sizes)


def test_a_spill_is_seen() -> None:
    """Wr of 128 rows in the registers of 64 threads cannot be held."""
    tile = Tile(warp_units=8, unit_warps=2, split=1, batch=4, tiles=1, vector=4, registers=True)
    told = options("lstm", 256, 4, tile.macros())
    assert compiler.compile_for("sm_90", program("forward.cu", "lstm"), told)["forward"].spilled


def test_what_does_not_compile_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"sm_90: .*error"):
        compiler.compile_for("sm_90", "no kernel", ())
