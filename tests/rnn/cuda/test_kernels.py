"""Every kernel as C++ against NumPy's fused sequences in float64; shuffled schedules; planted faults."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.backend import NUMPY, Backend, BackendError
from minigrad_rnn.cells import Lengths
from minigrad_rnn.cuda import sequence
from minigrad_rnn.cuda.planner import Tile
from tests.support.cuda_on_cpu.cells import DIRECTIONS, KINDS, farthest, made_cell, planned, results
from tests.support.cuda_on_cpu.device import KernelFault, Settings

# warp_units, unit_warps, split, batch, tiles, vector, registers: every way to divide the work, at sizes that fit badly
TILES = {
    4: Tile(1, 2, 1, 1, 2, 2, True),
    5: Tile(2, 2, 1, 2, 1, 2, False),
    12: Tile(1, 3, 2, 4, 1, 2, True),
    23: Tile(4, 2, 1, 4, 1, 2, True),
    40: Tile(4, 2, 2, 8, 1, 2, False),
}
SINGLE = {4: Tile(2, 1, 2, 1, 3, 4, False), 40: Tile(2, 4, 1, 2, 1, 4, True)}
"""For float32, whose vectors may be wider."""
SIZES = [(1, 3), (2, 1), (17, 3)]  # (T, B)
LARGE = [(1, 1), (17, 3)]
EXACT, ROUNDED = 1e-12, 1e-5
kinds = pytest.mark.parametrize("kind", KINDS)


def spans(T: int, B: int) -> list[list[int] | None]:
    return [None, [max(1, T - 2 * b) for b in range(B)][::-1]]


@cache
def exact(kind: str, H: int, T: int, B: int, direction: str, steps: tuple[int, ...] | None) -> dict[str, Any]:
    return results(kind, H, T, B, direction, steps and list(steps), np.float64, NUMPY)


def compare(kind: str, H: int, dtype: Any, kernels_on_cpu: Backend, tile: Tile | None, tolerance: float) -> None:
    for (T, B), direction in itertools.product(LARGE if H == 40 else SIZES, DIRECTIONS):
        for steps in spans(T, B):
            want = exact(kind, H, T, B, direction, None if steps is None else tuple(steps))
            got = results(kind, H, T, B, direction, steps, dtype, kernels_on_cpu, tile)
            assert all(a.dtype == dtype for a in got.values())
            assert farthest(got, want) < tolerance, (T, B, direction, steps)


@kinds
@pytest.mark.parametrize("H", TILES)
def test_one_launch_in_float64(kernels_on_cpu: Backend, kind: str, H: int) -> None:
    compare(kind, H, np.float64, kernels_on_cpu, TILES[H], EXACT)


@kinds
@pytest.mark.parametrize("H", SINGLE)
def test_one_launch_in_float32(kernels_on_cpu: Backend, kind: str, H: int) -> None:
    compare(kind, H, np.float32, kernels_on_cpu, SINGLE[H], ROUNDED)


@kinds
@pytest.mark.parametrize(("H", "dtype", "tolerance"), [(5, np.float64, EXACT), (12, np.float32, ROUNDED)])
def test_two_launches_a_step(kernels_on_cpu: Backend, kind: str, H: int, dtype: Any, tolerance: float) -> None:
    compare(kind, H, dtype, kernels_on_cpu, None, tolerance)


@kinds
def test_shuffled_schedules_are_equal_bit_by_bit(kernels_on_cpu: Backend, launch_settings: Settings, kind: str) -> None:
    for steps in spans(6, 3):
        runs = []
        for seed in (0, 1, 2, 3):
            launch_settings.seed = seed
            runs.append(results(kind, 40, 6, 3, "both", steps, np.float32, kernels_on_cpu, SINGLE[40]))
        for other, name in itertools.product(runs[1:], runs[0]):
            assert other[name].tobytes() == runs[0][name].tobytes(), name


@kinds
def test_every_example_of_a_large_batch(kernels_on_cpu: Backend, kind: str) -> None:
    """Blocks of examples, of which each has several tiles, the last of them with few examples."""
    steps = [1 + b % 2 for b in range(128)]
    for B in (128, 101):
        want = results(kind, 12, 2, B, "both", steps[:B], np.float64, NUMPY)
        got = results(kind, 12, 2, B, "both", steps[:B], np.float64, kernels_on_cpu, Tile(2, 2, 1, 8, 4, 2, True))
        assert farthest(got, want) < EXACT


def of_a_wrong_example(backend: Backend, kind: str, dtype: Any, tile: Tile | None, wrong: Any) -> list[Any]:
    """The output and the gradients of xs and h(−1) of three examples, the second of them with padding; `wrong` stands
    in the first one's input and the second one's h(−1)."""
    rng = np.random.default_rng(0)
    cell = made_cell(kind, 5, 1, dtype, "strict")
    xs, *state = (rng.standard_normal(s).astype(dtype) for s in [(4, 3, 3), *[(3, 5)] * len(cell.state_names)])
    if wrong is not None:
        xs[1, 0], state[0][1] = wrong, wrong
    xs, *state = (mg.tensor(backend.from_numpy(a), requires_grad=True) for a in (xs, *state))
    lengths = Lengths([4, 2, 4], 4, 3, backend, "test")
    plan = planned(kind, 5, 3, dtype, 1, tile)
    ((y, *_),) = sequence.run(backend, plan, [cell], [(xs, tuple(state))], False, lengths, False)
    return [a.numpy() for a in (y, *mg.gradients((y * y).sum(), [xs, *state]))]


def unwritten(dtype: Any) -> Any:
    """The NaN whose bits say "not yet"."""
    return np.full(1, -1, np.int32 if dtype == np.float32 else np.int64).view(dtype)[0]


@kinds
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tile", [Tile(1, 2, 1, 2, 2, 1, True), None], ids=["one launch", "two launches"])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_nan_stays_with_its_example(kernels_on_cpu: Backend, kind: str, dtype: Any, tile: Tile | None) -> None:
    """Also the one that means "not yet": who publishes it publishes another, and nobody waits for ever."""
    got, want = (of_a_wrong_example(kernels_on_cpu, kind, dtype, tile, x) for x in (unwritten(dtype), None))
    for one, other in zip(got, want):
        np.testing.assert_array_equal(one[..., 2, :], other[..., 2, :])
    assert np.isnan(got[0][1:, 0]).all()


@kinds
@pytest.mark.parametrize(
    "tile",
    [Tile(1, 2, 1, 2, 2, 1, True), Tile(1, 2, 1, 2, 2, 1, True, cluster=True), None],
    ids=["polled", "cluster", "two launches"],
)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_leaves_padding_zero(
    kernels_on_cpu: Backend, kind: str, tile: Tile | None, wrong: float
) -> None:
    """It arrives at the last state of one unit of an example with padding."""
    rng, backend = np.random.default_rng(0), kernels_on_cpu
    cell = made_cell(kind, 5, 1, np.float64, "strict")
    xs, *state = (
        mg.tensor(backend.from_numpy(rng.standard_normal(s)), requires_grad=True)
        for s in [(4, 3, 3), *[(3, 5)] * len(cell.state_names)]
    )
    lengths = Lengths([4, 2, 4], 4, 3, backend, "test")
    plan = planned(kind, 5, 3, np.float64, 1, tile)
    ((_, h, *_),) = sequence.run(backend, plan, [cell], [(xs, tuple(state))], False, lengths, False)
    weight = np.ones((3, 5))
    weight[1, 2] = wrong
    with np.errstate(invalid="ignore"):
        gradient = mg.gradients((h * mg.tensor(weight, backend=backend)).sum(), [xs])[0].numpy()
    np.testing.assert_array_equal(gradient[2:, 1], 0)
    assert not np.isfinite(gradient[:2, 1]).any()
    assert np.isfinite(gradient[:, ::2]).all()


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_nan_that_is_published_as_it_is_is_waited_for(kernels_on_cpu: Backend, launch_settings: Settings) -> None:
    launch_settings.change = lambda source: source.replace("w == UNWRITTEN ? UNWRITTEN >> 1 : w", "w")
    launch_settings.spins = 200
    with pytest.raises(BackendError, match="gave up waiting"):
        of_a_wrong_example(kernels_on_cpu, "rnn_relu", np.float32, Tile(1, 2, 1, 2, 2, 1, True), unwritten(np.float32))


def test_both_directions_are_one_launch(kernels_on_cpu: Backend, launch_settings: Settings) -> None:
    results("lstm", 12, 17, 3, "both", None, np.float64, kernels_on_cpu, TILES[12])
    assert launch_settings.launched == [("forward", (4, 1, 2), 192), ("backward", (4, 1, 2), 192)]


def without(text: str) -> Callable[[str], str]:
    return lambda source: source.replace(text, "")


FAULTS = {
    "no barrier before the product": without("__syncthreads();  // x is whole"),
    "no barrier after the product": without("__syncthreads();  // part is whole, and x free again"),
    "no wait": lambda source: source.replace("if (there) break;", "break;"),
    "a wait for the first value only": lambda source: source.replace(
        "written &= w.of[e] != UNWRITTEN", "written &= w.of[0] != UNWRITTEN"
    ),
    "a lane's sum left out": lambda source: source.replace("bit > 0; bit /= 2", "bit > 1; bit /= 2"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", ["rnn_tanh", "gru_reset_first"])
def test_a_planted_fault_is_caught(kernels_on_cpu: Backend, launch_settings: Settings, kind: str, fault: str) -> None:
    want = exact(kind, 40, 6, 3, "both", None)
    launch_settings.change = FAULTS[fault]
    wrong = 0
    for seed in range(1, 5):
        launch_settings.seed = seed
        try:
            wrong += (
                farthest(results(kind, 40, 6, 3, "both", None, np.float32, kernels_on_cpu, SINGLE[40]), want) > ROUNDED
            )
        except (KernelFault, BackendError):
            wrong += 1
    assert wrong


def test_too_few_resident_blocks_are_refused(kernels_on_cpu: Backend, launch_settings: Settings) -> None:
    launch_settings.resident = 2
    with pytest.raises(KernelFault, match="more blocks than run together"):
        results("lstm", 12, 3, 3, "forward", None, np.float64, kernels_on_cpu, TILES[12])


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_wait_that_never_ends_is_given_up_and_reported(kernels_on_cpu: Backend, launch_settings: Settings) -> None:
    """Were such a launch let through, the blocks that run would wait for those that do not: what they leave is NaN, and
    whoever launches next is told."""
    launch_settings.resident, launch_settings.held, launch_settings.spins = 2, False, 200
    with pytest.raises(BackendError, match="gave up waiting"):
        results("lstm", 12, 3, 3, "forward", None, np.float64, kernels_on_cpu, TILES[12])
    launch_settings.resident = 0
    assert kernels_on_cpu.kernels is not None
    kernels_on_cpu.kernels().flags[0] = 1
    with pytest.raises(BackendError, match="gave up waiting"):
        kernels_on_cpu.kernels().check()
    kernels_on_cpu.kernels().check()  # it is said once


def test_what_late_blocks_report_is_the_same_trouble(kernels_on_cpu: Backend) -> None:
    """They find the flag while the host raises: it waits for them before it takes the flag down."""
    assert kernels_on_cpu.kernels is not None
    result = kernels_on_cpu.kernels()

    def late() -> None:
        result.flags[0] = 1

    result.flags[0] = 1
    with pytest.raises(BackendError, match="gave up waiting"):
        dataclasses.replace(result, synchronize=late).check()
    result.check()
