"""Choose how a sequence runs on a device: "persistent" (one launch), "two launches a step", or "op by op".

A persistent kernel keeps Wr in the multiprocessors for the whole sequence. All of its blocks (in clusters, those of
a cluster) have to run at the same time, so there is at most one block for each multiprocessor, and what a block keeps
must fit its registers or shared memory. Of the tilings that fit, the planner takes the one with the least estimated
time. The estimate's constants are `Costs`: the defaults were never measured, a table that `tune` wrote was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import ceil, inf, prod
from typing import Any

import numpy as np

from minigrad.backend import Device
from minigrad.validation import check_choice, check_integer

from .costs import DEFAULT, Costs, costs_for

Terms = dict[str, float]
"""Clocks as factors of the `Costs` of these names; "" stands for 1."""

PERSISTENT, TWO_LAUNCHES, OP_BY_OP = "persistent", "two launches a step", "op by op"
CELLS = ("rnn_tanh", "rnn_relu", "lstm", "gru", "gru_reset_first")
LARGEST_BATCH = 128
OLDEST = (7, 0)
"""The first compute capability with loads and stores whose order between multiprocessors is defined."""

CLUSTERS, LARGEST_CLUSTER = (9, 0), 8
"""The first compute capability with clusters, and the most blocks that a cluster may have on every such device."""

OTHER_REGISTERS, OF_SECOND_PRODUCT = {4: 80, 8: 104}, 24
"""Registers of a thread beside resident weights and running sums, by the size of a number, and more of them with two
products a step. Fitted to 480 tilings near the limit that were compiled; tests compile what is offered."""
RESERVED = 16
"""Bytes of shared memory that a kernel declares itself."""


@dataclass(frozen=True)
class Shape:
    """What the planner uses of a sequence's shape. `cell` is one of `CELLS`. The number of steps has no influence."""

    cell: str
    B: int
    H: int
    dtype: np.dtype[Any]
    directions: int

    @property
    def itemsize(self) -> int:
        return int(self.dtype.itemsize)

    @property
    def wide(self) -> int:
        """Values per load of the exchange: 16 bytes where a row of H values is a multiple of that."""
        return next(w for w in (4, 2, 1) if self.H % w == 0 and w * self.itemsize <= 16)

    def products(self, backward: bool) -> tuple[tuple[int, int], ...]:
        """(rows per unit, columns) of the resident matrix of each product of a step."""
        H = self.H
        gates = {"lstm": 4, "gru": 3}.get(self.cell, 1)
        if self.cell == "gru_reset_first":
            return ((1, H), (1, 2 * H)) if backward else ((2, H), (1, H))
        return ((1, gates * H),) if backward else ((gates, H),)


@dataclass(frozen=True)
class Tile:
    """How a persistent kernel divides the work; `tile.h` explains the names."""

    warp_units: int
    unit_warps: int
    split: int
    batch: int
    tiles: int
    vector: int
    registers: bool
    cluster: bool = False
    """Whether the blocks of a group of examples are one cluster and store into each other's shared memory, in place of
    polling global memory; one block alone then has no exchange."""

    @property
    def units(self) -> int:
        return self.warp_units * self.unit_warps

    @property
    def threads(self) -> int:
        return 32 * self.unit_warps * self.split

    @property
    def pairs(self) -> int:
        return self.units * self.batch

    def padded(self, columns: int) -> int:
        stride = 32 * self.vector * self.split
        return -(-columns // stride) * stride

    def grid(self, shape: Shape) -> tuple[int, int, int]:
        """Blocks that exchange values: those of one group of examples in one direction; groups; directions."""
        return -(-shape.H // self.units), -(-shape.B // (self.batch * self.tiles)), shape.directions

    def shared_memory(self, shape: Shape, backward: bool) -> int:
        """Bytes of shared memory per block."""
        products, published = shape.products(backward), shape.cell == "gru_reset_first"
        # What other blocks store has a place of its own for each tile, and for odd and even steps where a step has only
        # one exchange; what a block fetches itself has one place for all tiles.
        places = 1 if not self.cluster else self.tiles if published else 2 * self.tiles
        gathered = sum(places * self.batch * self.padded(columns) for _, columns in products)
        part = max(self.split * rows * self.pairs for rows, _ in products)
        values = 4 if published else 2  # that a pair keeps from one product to the next
        carried = values * self.tiles * self.pairs
        resident = 0 if self.registers else sum(rows * self.units * self.padded(columns) for rows, columns in products)
        return shape.itemsize * (gathered + part + carried + resident)

    def registers_needed(self, shape: Shape, backward: bool) -> int:
        """An upper estimate of a thread's registers."""
        words = shape.itemsize // 4
        products = shape.products(backward)
        sums = max(rows * self.warp_units * self.batch for rows, _ in products)
        per_warp = 32 * self.split
        if self.registers:
            weights = sum(rows * self.warp_units * self.padded(columns) // per_warp for rows, columns in products)
        else:
            weights = max(rows * self.warp_units * self.vector for rows, _ in products)
        on_their_way = sums // 4 if words == 2 else 0  # from lane to lane, which takes doubles twice as long
        other = OTHER_REGISTERS[shape.itemsize] + OF_SECOND_PRODUCT * (len(products) - 1)
        return words * (weights + sums + on_their_way) + other

    def macros(self) -> dict[str, int]:
        """K_WARP_UNITS, K_UNIT_WARPS and so on: the fields as `tile.h` reads them."""
        return {f"K_{name.upper()}": int(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class PassPlan:
    """How one pass, forward or backward, runs, and why. A persistent pass has a tile, a grid and shared memory."""

    name: str
    reason: str
    tile: Tile | None = None
    grid: tuple[int, int, int] = (0, 0, 0)
    shared_memory: int = 0
    estimated: bool = False
    """Whether the costs decided."""

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


@dataclass(frozen=True)
class Plan:
    """How both passes of a shape run on a device, and the costs that decided, None where nothing depended on them."""

    shape: Shape
    forward: PassPlan
    backward: PassPlan
    costs: Costs | None = None

    @property
    def runs_kernels(self) -> bool:
        return self.forward.name != OP_BY_OP

    def __str__(self) -> str:
        same = self.forward == self.backward
        passes = str(self.forward) if same else f"forward {self.forward}, backward {self.backward}"
        return passes if self.costs is None else f"{passes}, {self.costs}"


def plan(device: Device, shape: Shape, costs: Costs | None = None) -> Plan:
    """Plan both passes of a shape on a device, by these costs or else the device's own: see `costs`.

    Raises:
        ValueError: the cell is none of `CELLS`, or B, H or directions is less than 1, or the table of costs is damaged.
    """
    return _plan(device, shape, costs_for(device.name) if costs is None else costs)


@lru_cache(maxsize=1024)
def _plan(device: Device, shape: Shape, costs: Costs) -> Plan:
    check_choice("plan", CELLS, cell=shape.cell)
    check_integer("plan", B=shape.B, H=shape.H, directions=shape.directions)
    forward, backward = (plan_pass(device, shape, backward, costs) for backward in (False, True))
    return Plan(shape, forward, backward, costs if forward.estimated or backward.estimated else None)


def plan_pass(device: Device, shape: Shape, backward: bool, costs: Costs = DEFAULT) -> PassPlan:
    """Plan one pass."""
    if shape.dtype not in (np.float32, np.float64):
        return PassPlan(OP_BY_OP, f"dtype {shape.dtype}: kernels are written for float32 and float64")
    if device.compute_capability < OLDEST:
        got, want = (".".join(map(str, version)) for version in (device.compute_capability, OLDEST))
        return PassPlan(OP_BY_OP, f"compute capability {got}: kernels want {want} or later")
    if shape.B > LARGEST_BATCH:
        return PassPlan(TWO_LAUNCHES, f"B = {shape.B}: one launch takes at most {LARGEST_BATCH} examples")
    tile, estimated = best_tile(device, replace(shape, B=1 << (shape.B - 1).bit_length()), backward, costs)
    if tile is None and not device.cooperative:
        return PassPlan(TWO_LAUNCHES, "the device has no cooperative launches")
    if tile is None:
        size = sum(rows * columns for rows, columns in shape.products(backward)) * shape.H * shape.directions
        reason = f"{size * shape.itemsize >> 10} KiB of Wr do not stay in {device.multiprocessors} multiprocessors"
        return PassPlan(TWO_LAUNCHES, reason)
    if estimated > cost_of_launches(device, shape, backward, costs):
        reason = f"B = {shape.B}, H = {shape.H}: the array library's products are faster at this size"
        return PassPlan(TWO_LAUNCHES, reason, estimated=True)
    grid, place = tile.grid(shape), "registers" if tile.registers else "shared memory"
    blocks, exchange = prod(grid), ""
    if tile.cluster:
        exchange = ", no exchange" if grid[0] == 1 else f" in clusters of {grid[0]}"
    count = "one block" if blocks == 1 else f"{blocks} blocks"
    reason = f"{count} of {tile.threads} threads{exchange}, Wr in {place}"
    return replace(persistent(shape, backward, tile, reason), estimated=True)


def persistent(shape: Shape, backward: bool, tile: Tile, reason: str) -> PassPlan:
    """The plan of a pass in one launch with this tile."""
    return PassPlan(PERSISTENT, reason, tile, tile.grid(shape), tile.shared_memory(shape, backward))


@lru_cache(maxsize=256)
def best_tile(device: Device, shape: Shape, backward: bool, costs: Costs = DEFAULT) -> tuple[Tile | None, float]:
    """The tiling of the least estimated cost, and that cost. B is rounded up to a power of two by the caller, so that
    batches of similar size share a compiled kernel."""
    estimated = [(cost(device, shape, backward, tile, costs), tile) for tile in tilings(device, shape, backward)]
    least, tile = min(estimated, key=lambda pair: pair[0], default=(inf, None))
    return tile, least


def tilings(device: Device, shape: Shape, backward: bool) -> Iterator[Tile]:
    """Every tiling whose blocks the device can run all at the same time, without some that are never the best."""
    columns = max(columns for _, columns in shape.products(backward))
    batches = [b for b in (1, 2, 4, 8) if b < 2 * shape.B]
    for unit_warps, split, warp_units in product((1, 2, 3, 4, 5, 6, 8), (1, 2, 4), (1, 2, 4, 8)):
        threads, units = 32 * unit_warps * split, warp_units * unit_warps
        if not 64 <= threads <= min(512, device.threads) or units >= 2 * max(shape.H, 2):
            continue
        # A block works on as many tiles, one after the other, as it takes for the grid to fit.
        blocks = ceil(shape.H / units)
        groups = {False: device.multiprocessors // (blocks * shape.directions) if device.cooperative else 0}
        if device.compute_capability >= CLUSTERS and blocks <= LARGEST_CLUSTER:
            groups[True] = clusters_at_once(device, blocks) // shape.directions
        padded = {v: Tile(1, 1, split, 1, 1, v, True).padded(columns) for v in (4, 2, 1) if v * shape.itemsize <= 16}
        vectors = [v for v in padded if padded[v] == min(padded.values())]
        for batch in batches:
            if warp_units * batch > min(64, 32 * split):
                continue
            for vector, registers in [(vectors[0], True), *((v, False) for v in vectors)]:
                for cluster in (kind for kind, n in groups.items() if n):
                    tiles = ceil(ceil(shape.B / batch) / groups[cluster])
                    tile = Tile(warp_units, unit_warps, split, batch, tiles, vector, registers, cluster)
                    if fits(device, shape, backward, tile):
                        yield tile


def clusters_at_once(device: Device, blocks: int) -> int:
    """Clusters of so many blocks that run at the same time, a block on each multiprocessor: what the driver said, or a
    cautious guess. A cluster stays within a group of multiprocessors, and groups differ from one specimen to the next.
    One cluster too many would wait for another's end, and the pass take twice as long.
    """
    if blocks == 1:
        return device.multiprocessors
    if device.clusters:
        return device.clusters[blocks - 1]
    return device.multiprocessors * 4 // 5 // blocks


def fits(device: Device, shape: Shape, backward: bool, tile: Tile) -> bool:
    """Whether a block fits into a multiprocessor, and there are at least as many multiprocessors as blocks; of clusters
    as many as run at the same time."""
    blocks, *groups = tile.grid(shape)
    if tile.cluster and (
        device.compute_capability < CLUSTERS
        or blocks > LARGEST_CLUSTER
        or prod(groups) > clusters_at_once(device, blocks)
    ):
        return False
    return (
        tile.registers_needed(shape, backward) <= registers_of_a_thread(device, tile.threads)
        and tile.shared_memory(shape, backward) + RESERVED <= device.shared_memory
        and prod(tile.grid(shape)) <= device.multiprocessors
    )


def registers_of_a_thread(device: Device, threads: int) -> int:
    """The most registers of a thread in blocks of this size: a compiler counts warps by four and registers by eight."""
    four_warps = 128
    return min(255, device.registers // (ceil(threads / four_warps) * four_warps) // 8 * 8)


def multiply_adds(device: Device, itemsize: int) -> int:
    """Multiply-adds of one multiprocessor per clock."""
    if itemsize == 4:
        return 64 if device.compute_capability in ((7, 0), (7, 5), (8, 0)) else 128
    return {(7, 0): 32, (8, 0): 32, (9, 0): 64, (10, 0): 64}.get(device.compute_capability, 2)


def cost(device: Device, shape: Shape, backward: bool, tile: Tile, costs: Costs = DEFAULT) -> float:
    """Estimated clocks of one step."""
    return clocks(terms(device, shape, backward, tile, costs), costs)


def clocks(alternatives: Iterable[Terms], costs: Costs) -> float:
    """The largest of the alternatives."""
    return max(
        sum(factor * (getattr(costs, name) if name else 1.0) for name, factor in t.items()) for t in alternatives
    )


def terms(device: Device, shape: Shape, backward: bool, tile: Tile, costs: Costs) -> tuple[Terms, ...]:
    """The estimate of one step: what one tile's values wait for from step to step, and what a block does for all tiles.

    In a cluster both are one: all tiles of a step wait at one barrier. `costs` gives what is no factor in it: loads at
    once, and rates.
    """
    size, warps = shape.itemsize, tile.threads // 32
    grid, products = tile.grid(shape), shape.products(backward)
    rate = multiply_adds(device, size) * min(1.0, warps / 4)
    counted = fixed = late = 0.0
    for rows, columns in products:
        wide = tile.padded(columns)
        multiplied = rows * tile.units * tile.batch * wide / rate
        # Every group of warps reads all gathered values, and the weights if they are not in registers.
        read = size * wide * (tile.unit_warps * tile.batch + (0 if tile.registers else rows * tile.units)) / 128
        shuffled = warps * rows * tile.warp_units * tile.batch * size / 4
        counted += max(multiplied, read) + shuffled + 10 * tile.split
        if not tile.cluster:
            fixed += size * tile.batch * columns * max(1 / costs.l2_port, prod(grid) / costs.l2)
            loads = ceil(tile.batch * columns / (shape.wide * tile.threads))  # loads of one thread
            late += ceil(loads / costs.at_once) - 1
        elif grid[0] > 1:
            fixed += size * tile.batch * columns / costs.cluster_port
    steps, work = float(len(products)), {"product": counted, "": fixed, "latency": late}
    all_work = {name: tile.tiles * factor for name, factor in work.items()}
    if not tile.cluster:  # a tile's values arrive while the block works on others
        return {"exchange": steps, **work}, {"tile": tile.tiles * steps, **all_work}
    if grid[0] == 1:
        return ({"cluster_tile": tile.tiles * steps, **all_work},)
    return ({"cluster": steps, "cluster_tile": (tile.tiles - 1) * steps, **all_work},)


def cost_of_launches(device: Device, shape: Shape, backward: bool, costs: Costs = DEFAULT) -> float:
    """Estimated clocks of one step with the array library's products."""
    return clocks([terms_of_launches(device, shape, backward)], costs)


def terms_of_launches(device: Device, shape: Shape, backward: bool) -> Terms:
    """The estimate of one step with the array library's products."""
    products = shape.products(backward)
    multiplied = sum(rows * columns for rows, columns in products) * shape.H * shape.B * shape.directions
    whole_device = multiply_adds(device, shape.itemsize) * device.multiprocessors
    return {"launch": len(products) * (shape.directions + 1) / 2, "library_product": multiplied / whole_device}
