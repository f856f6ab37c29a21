"""Hold the constants of the planner's estimate: the defaults, and tables that were measured on a device.

A table is a JSON file with the costs of one or several devices by name. `MINIGRAD_GPU_COSTS` names it; else it is
`gpu_costs.json` in the cache folder. `python -m minigrad_rnn.cuda.tune` writes it. It is read once, when a process
plans its first sequence: the implementation of a layer does not change while a program runs.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any

from minigrad.serialize.atomic_files import atomic_write, open_plain

from ..user_cache import cache_folder

VARIABLE = "MINIGRAD_GPU_COSTS"
FILE = "gpu_costs.json"
VERSION = 1
LARGEST = 1 << 20
"""Bytes of a table that are read."""
INSTEAD = "; without the file the default costs count, and `python -m minigrad_rnn.cuda.tune` writes a new one"


@dataclass(frozen=True)
class Costs:
    """What the planner's estimate is made of.

    "A step's overhead" is what one product of one step takes beside the product itself: barriers, the lanes' sums, the
    gates. The defaults were read from machine code and were never measured.
    """

    exchange: float = 1800.0
    """Clocks: a step's overhead, and the way from a block's store to another block's load through L2."""
    tile: float = 900.0
    """Clocks: a step's overhead where the values arrived while the block worked on another tile."""
    latency: float = 600.0
    """Clocks until a load of another multiprocessor's store completes; what a thread cannot have in flight waits."""
    at_once: int = 8
    """Loads that a thread has in flight. A constant of the kernels, not measured."""
    cluster: float = 950.0
    """Clocks: a step's overhead in a cluster, and the way into another block's shared memory."""
    cluster_tile: float = 350.0
    """Clocks: a step's overhead where one block has all units, or the values of its cluster are there."""
    product: float = 1.0
    """Clocks of a block's product over those that are counted from the device's rates."""
    launch: float = 45_000.0
    """Clocks of a product by the array library and a launch where the host cannot run ahead."""
    library_product: float = 1 / 0.6
    """Clocks of the array library's product over those at the device's rate of multiply-adds."""
    l2_port: float = 48.0
    """Bytes per clock that one multiprocessor reads from L2. Not measured."""
    l2: float = 2600.0
    """Bytes per clock that all multiprocessors together read from L2. Not measured."""
    cluster_port: float = 16.0
    """Bytes per clock that arrive in a block's shared memory from its cluster. Not measured."""
    clock_rate: float = 1.85e9
    """Clocks per second; stated, not measured. It turns seconds into clocks and back."""
    source: str = "default"
    """Where the constants come from: "default", or the file."""

    def __str__(self) -> str:
        return "default costs" if self == DEFAULT else f"costs of {self.source}"


DEFAULT = Costs()
NUMBERS = tuple(field.name for field in fields(Costs) if field.name != "source")
INTEGERS = ("at_once",)
POSITIVE = ("at_once", "l2_port", "l2", "cluster_port", "clock_rate")


def costs_for(device: str) -> Costs:
    """Return the costs of the device of this name: those of the table if it has any, else the defaults.

    Raises:
        ValueError: the table cannot be read, or is damaged.
    """
    return _costs_for(device, os.environ.get(VARIABLE))


@lru_cache(maxsize=64)
def _costs_for(device: str, named: str | None) -> Costs:
    path = table_path()
    if path is None or not (named or os.path.exists(path)):  # False too for a folder that may not be looked into
        return DEFAULT
    return read_costs(path).get(device, DEFAULT)


def table_path() -> Path | None:
    """Return the path of the table, which may not be there; None where there is no cache folder."""
    if named := os.environ.get(VARIABLE):
        return Path(os.path.realpath(os.path.expanduser(named)))
    folder = cache_folder()
    return None if folder is None else folder / FILE


def read_costs(path: Path) -> dict[str, Costs]:
    """Read the costs of every device in a table.

    Raises:
        ValueError: the file cannot be read, or is no table of this version, or a number is missing, unknown, not
            finite or negative. The message names the file and the key.
    """

    def wrong(key: str, got: object, want: str) -> ValueError:
        text = repr(got)
        short = text if len(text) <= 60 else text[:57] + "..."
        return ValueError(f"cuda.costs: {path}: {key}: got {short}, want {want}{INSTEAD}")

    try:
        with open_plain(os.fspath(path)) as (file, size):
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(f"cuda.costs: {path}: cannot be read: {error.strerror or error}") from error
    if len(content) > LARGEST:
        raise wrong("size", f"{size} bytes", f"at most {LARGEST}")
    try:
        table = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"cuda.costs: {path}: got no JSON ({error}), want a table{INSTEAD}") from error
    _check_keys(table, ("version", "devices"), "the table", wrong)
    if type(table["version"]) is not int or table["version"] != VERSION:  # True == 1
        raise wrong("version", table["version"], str(VERSION))
    if not isinstance(table["devices"], dict):
        raise wrong("devices", table["devices"], "an object")
    tables = {}
    for device, numbers in table["devices"].items():
        key = f"devices[{device!r}]"
        _check_keys(numbers, NUMBERS, key, wrong)
        for name, value in numbers.items():
            _check_number(value, name, f"{key}[{name!r}]", wrong)
        numbers = {name: value if name in INTEGERS else float(value) for name, value in numbers.items()}
        tables[device] = Costs(**numbers, source=str(path))
    return tables


def _check_keys(table: Any, names: tuple[str, ...], key: str, wrong: Any) -> None:
    if not isinstance(table, dict):
        raise wrong(key, table, "an object")
    for name in table:
        if name not in names:
            raise wrong(key, name, f"the keys {', '.join(names)}")
    for name in names:
        if name not in table:
            raise wrong(key, f"no {name}", f"the keys {', '.join(names)}")


def _check_number(value: Any, name: str, key: str, wrong: Any) -> None:
    integer, positive = name in INTEGERS, name in POSITIVE
    kind = "an integer" if integer else "a finite number"
    want = f"{kind} {'> 0' if positive else '>= 0'}"
    if isinstance(value, bool) or not isinstance(value, int if integer else (int, float)):
        raise wrong(key, value, want)
    try:
        finite = isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        finite = False
    if not finite or value < 0 or (positive and value == 0):
        raise wrong(key, value, want)


def write_costs(path: Path, device: str, costs: Costs) -> None:
    """Write the costs of a device into a table, beside those of other devices; the file is replaced as a whole.

    Raises:
        ValueError: a file of this name is there and is no table.
        OSError: it cannot be written.
    """
    tables = read_costs(path) if path.exists() else {}
    numbers = {name: {n: asdict(c)[n] for n in NUMBERS} for name, c in {**tables, device: costs}.items()}
    with atomic_write(path) as file:
        file.write(json.dumps({"version": VERSION, "devices": numbers}, indent=1).encode() + b"\n")
