"""What an array library is to minigrad: its namespace, its copies to and from the host, and its kernels."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np

Array = Any
"""An array of any backend: `numpy.ndarray` or `cupy.ndarray`, which have no common base class."""
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class BackendError(RuntimeError):
    """A backend is unknown or missing, arrays of two backends or devices meet in one operation, or a kernel failed."""


@dataclass(frozen=True)
class Device:
    """The properties of a device that kernels depend on."""

    name: str
    multiprocessors: int
    shared_memory: int
    """Bytes that one block may have if it asks for more than the usual 48 KiB."""
    registers: int
    """32-bit registers of a multiprocessor."""
    threads: int
    """The most threads of one block."""
    compute_capability: tuple[int, int]
    cooperative: bool
    """Whether a launch can guarantee that all its blocks run at the same time."""
    clusters: tuple[int, ...] = ()
    """How many clusters of 1, 2, … 8 blocks run at the same time, one block on a multiprocessor; () if nobody says."""


class Launch(Protocol):
    """A compiled kernel.

    Arguments are arrays, passed by address, and NumPy scalars, passed by value. `cooperative` makes all blocks run at
    the same time.

    Raises:
        BackendError: a cooperative grid has more blocks than can run at the same time, or another device is current.
    """

    def __call__(
        self,
        grid: tuple[int, int, int],
        threads: int,
        args: tuple[Any, ...],
        shared_memory: int = 0,
        cooperative: bool = False,
    ) -> None: ...


def _nothing() -> None:
    pass


@dataclass(frozen=True, eq=False)
class Kernels:
    """A backend's way to run CUDA source on the arrays of one device.

    `compile(source, options)` returns a function that looks up a kernel by name: a `Launch`. `flags` are integers that
    the host reads without synchronising; a kernel that gave up waiting for another block says so in the first of them,
    through `flags_pointer`. `synchronize` waits until the device has finished all its work, on any stream. `place` is
    the `device` of its arrays; in a block of `entered()` it is the current one.
    """

    device: Device
    compile: Callable[[str, tuple[str, ...]], Callable[[str], Launch]]
    flags: np.ndarray[Any, Any]
    flags_pointer: int
    synchronize: Callable[[], None]
    place: Any = "cpu"
    entered: Callable[[], AbstractContextManager[Any]] = nullcontext

    def check(self) -> None:
        """Tell once what a kernel reported. Waits for the device only if there is something to tell.

        Raises:
            BackendError: a kernel gave up waiting; its results are NaN from that step on.
        """
        if self.flags[0]:
            self.synchronize()  # blocks that are still waiting would report it again
            self.flags[0] = 0
            raise BackendError(
                f"{self.device.name}: a kernel gave up waiting for values of another block and left NaN in "
                "their place; is the device shared with a program that stops it, such as a debugger?"
            )


def checked(wait: Callable[Arguments, Result], check: Callable[[], None]) -> Callable[Arguments, Result]:
    """Return a function that waits for a device as `wait` does, and then tells what its kernels reported."""

    def wait_and_check(*args: Arguments.args, **options: Arguments.kwargs) -> Result:
        result = wait(*args, **options)
        check()
        return result

    return wait_and_check


class DeviceGroup(Protocol):
    """The devices of several processes, one of each, that can add up their arrays without the host."""

    def all_reduce(self, array: Array) -> None:
        """Replace a contiguous array by the sum of those of all processes."""


def _never() -> bool:
    return False


class KernelsOf(Protocol):
    """Returns the kernels of an array's device; without an array those of the current device."""

    def __call__(self, array: Array = None) -> Kernels: ...


@dataclass(frozen=True, eq=False)
class Backend:
    """An array library.

    `xp` is its namespace with NumPy's names, `array_type` the class of its arrays. `from_numpy` copies a host array
    to the device and `to_numpy` copies one back; both may return their argument if host and device are the same.
    `kernels` returns what compiles CUDA source for the device of an array; None if the backend has no CUDA. `check`
    raises BackendError if a kernel reported an error, and does not wait; `to_numpy` and `synchronize` end with it, and
    so does whatever else waits for a device. `capturing` says whether the current stream records a CUDA graph.
    `join_devices(k, n)` is called by process k of n on this machine: it takes
    a device, and returns a function that, called on all processes of all machines with their number and the number of
    processes, returns their `DeviceGroup`. It raises BackendError, with a device taken, where there can be none; the
    field is None if the backend has no devices.
    """

    name: str
    xp: Any
    array_type: type
    to_numpy: Callable[[Array], np.ndarray[Any, Any]]
    from_numpy: Callable[[np.ndarray[Any, Any]], Array]
    synchronize: Callable[[], None]
    kernels: KernelsOf | None = None
    join_devices: Callable[[int, int], Callable[[int, int], DeviceGroup]] | None = None
    check: Callable[[], None] = _nothing
    capturing: Callable[[], bool] = _never

    def __repr__(self) -> str:
        return f"Backend({self.name!r})"
