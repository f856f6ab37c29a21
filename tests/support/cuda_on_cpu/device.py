"""A stand-in device with kernels: strict_device's arrays, and a `compile` that builds CUDA sources as C++.

The Python code that launches kernels is the same as on CuPy, argument for argument.
"""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.backend import Backend, Device, Kernels, Launch, checked
from tests.support.strict_device import STRICT, StrictArray

HERE = Path(__file__).parent
KERNEL = re.compile(
    r'extern "C" (?:CLUSTER_DIMS )?__global__ void\s+(?:(?:CLUSTER_DIMS|__launch_bounds__\([^)]*\))\s+)*(\w+)\('
)
CLUSTERED = "-DK_CLUSTER=1"
"""The option of a source whose kernels have one cluster in each row of the grid."""
FLAGS = ["-std=c++17", "-fPIC", "-fno-strict-aliasing", "-ffp-contract=off"]
FAST, SANITIZED = ["-O1"], ["-O0", "-g", "-fsanitize=address,alignment,bounds", "-fno-sanitize-recover=all"]
OUTCOMES = {
    2: "deadlock: every thread waits at a barrier",
    3: "a thread left while others wait at a barrier",
    4: "a cooperative launch has more blocks than run together",
    5: "a block wrote beyond its shared memory",
    6: "a cluster has more than 8 blocks",
    7: "a cluster has more blocks than run together",
    8: "a block stored into another one before a cluster barrier said that it has started",
    9: "a block stored into another one that has ended",
    10: "a block ended before a cluster barrier said that what others store into it is there",
    11: "a store into a block beyond the cluster",
    12: "a store into another block from outside the dynamic shared memory",
    13: "a thread arrived at a cluster barrier again before it waited",
    14: "a thread waited at a cluster barrier without arriving",
    15: "a thread left while others wait for the cluster, or before it waited itself",
    16: "a store into another block at a place that is no multiple of its size",
}
SMALL = Device("a small stand-in", 6, 99 << 10, 1 << 16, 1024, (8, 0), True)


class KernelFault(RuntimeError):
    """A launch failed or broke a rule."""


def missing() -> str:
    """Return why kernels cannot run here, or ""."""
    return "" if shutil.which("g++") else "g++ is missing"


class _Launch(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("threads", ctypes.c_uint),
        ("shared_bytes", ctypes.c_ulonglong),
        ("seed", ctypes.c_int),
        ("resident", ctypes.c_int),
        ("cooperative", ctypes.c_int),
        ("cluster", ctypes.c_uint),
    ]


@dataclasses.dataclass
class Settings:
    """Settings of launches.

    folder: holds compiled kernels. seed, resident: see `Launch` in cuda_on_cpu.h. held: whether a cooperative launch of
    more blocks than that is refused, as it should be. spins: how often a block polls before it gives up. change: edits
    a source before it is compiled. sanitize: whether reads and writes are checked. launched: the launches so far.
    """

    folder: Path
    seed: int = 0
    resident: int = 0
    held: bool = True
    spins: int = 3000
    change: Callable[[str], str] | None = None
    sanitize: bool = False
    launched: list[tuple[str, tuple[int, int, int], int]] = dataclasses.field(default_factory=list)


def make_backend(settings: Settings, device: Device = SMALL) -> Backend:
    """Return the strict backend with kernels."""
    flags = np.zeros(64, np.int32)

    def compiled(source: str, options: tuple[str, ...]) -> Callable[[str], Launch]:
        library = build(settings, source, options)
        return lambda name: launcher(settings, library, name, CLUSTERED in options)

    kernels = Kernels(device, compiled, flags, flags.ctypes.data, lambda: None)
    return dataclasses.replace(
        STRICT,
        to_numpy=checked(STRICT.to_numpy, kernels.check),
        synchronize=checked(STRICT.synchronize, kernels.check),
        kernels=lambda array=None: kernels,
        check=kernels.check,
    )


def _build_once(target: Path, command: list[str]) -> Path:
    if not target.exists():
        fresh = target.with_name(f"{os.getpid()}-{target.name}")
        process = subprocess.run([*command, "-o", str(fresh)], capture_output=True, text=True, check=False)
        if process.returncode:
            raise KernelFault(f"g++: {process.stderr[:3000]}")
        fresh.rename(target)
    return target


def build(settings: Settings, source: str, options: tuple[str, ...]) -> ctypes.CDLL:
    """Return the shared library of a source, built once for all tests of a session."""
    if settings.change is not None:
        changed = settings.change(source)
        if changed == source:
            raise AssertionError("settings.change left the source as it was")
        source = changed
    flags = [*FLAGS, *(SANITIZED if settings.sanitize else FAST)]
    names = KERNEL.findall(source)
    text = source + "".join(
        f'\nextern "C" int launch_{name}(const on_cpu::Launch* how, void** addresses) '
        f"{{ return on_cpu::call({name}, *how, addresses); }}"
        f'\nextern "C" int kinds_{name}(int* kinds) {{ return on_cpu::kinds({name}, kinds); }}\n'
        for name in names
    )
    defines = [*options, f"-DK_SPINS={settings.spins}"]
    key = hashlib.sha256("\0".join([text, *defines, *flags]).encode()).hexdigest()[:24]
    scheduler = _build_once(
        settings.folder / f"scheduler{int(settings.sanitize)}.o",
        ["g++", *flags, "-O2", "-c", str(HERE / "scheduler.cpp")],
    )
    file = settings.folder / f"{key}.cpp"
    file.write_text(text, encoding="utf-8")
    library = _build_once(
        settings.folder / f"{key}.so",
        ["g++", *flags, *defines, "-shared", "-include", str(HERE / "cuda_on_cpu.h"), str(file), str(scheduler)],
    )
    return ctypes.CDLL(str(library))


def launcher(settings: Settings, library: ctypes.CDLL, name: str, clustered: bool = False) -> Launch:
    """Return the kernel's launch function, which raises KernelFault for wrong arguments.

    clustered: whether each row of the grid is a cluster.
    """
    kinds = (ctypes.c_int * 64)()
    want = list(kinds[: getattr(library, f"kinds_{name}")(kinds)])

    def launch(
        grid: tuple[int, int, int],
        threads: int,
        args: tuple[Any, ...],
        shared_memory: int = 0,
        cooperative: bool = False,
    ) -> None:
        if len(args) != len(want):
            raise KernelFault(f"{name}: got {len(args)} arguments, want {len(want)}")
        buffers = [_bytes_of(name, k, arg, kind) for k, (arg, kind) in enumerate(zip(args, want))]
        addresses = (ctypes.c_void_p * len(buffers))(*(ctypes.addressof(b) for b in buffers))
        how = _Launch(
            (ctypes.c_uint * 3)(*grid),
            threads,
            shared_memory,
            settings.seed,
            settings.resident,
            int(cooperative and settings.held),
            grid[0] if clustered else 1,
        )
        settings.launched.append((name, grid, threads))
        outcome = getattr(library, f"launch_{name}")(ctypes.byref(how), addresses)
        if outcome:
            raise KernelFault(f"{name}: {OUTCOMES[outcome]}")

    return launch


def _bytes_of(name: str, place: int, arg: Any, kind: int) -> Any:
    """Return an argument's bytes, for an array its address; `kind` is 0 for a pointer, else a number's size."""
    if isinstance(arg, StrictArray):
        host = arg._host
        if kind:
            raise KernelFault(f"{name}: argument {place}: got an array, want a number")
        if not host.flags.c_contiguous:
            raise KernelFault(f"{name}: argument {place}: an array of strides {host.strides} is not contiguous")
        return ctypes.c_void_p(host.ctypes.data)
    if not isinstance(arg, np.generic) or arg.itemsize != (kind or 8):
        raise KernelFault(f"{name}: argument {place}: got {arg!r}, want {kind or 8} bytes")
    return (ctypes.c_char * arg.itemsize).from_buffer_copy(arg.tobytes())
