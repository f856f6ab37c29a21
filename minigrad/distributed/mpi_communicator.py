"""`MPICommunicator` joins the processes that mpiexec started, through mpi4py and, on GPUs, NCCL."""

from __future__ import annotations

import atexit
import ctypes
import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import Array, BackendError, DeviceGroup, backend_of, default_backend, get_backend
from ..engine.openblas import openblas_function
from ..option_checks import check_choice, check_integer
from .communicator import Bytes, Communicator, DistributedError

LAUNCHERS = {"PMI_SIZE": "mpiexec of MPICH", "OMPI_COMM_WORLD_SIZE": "mpiexec of Open MPI"}
"""The environment variables in which launchers say how many ranks they started."""
OTHER_SIGNS = ("PMI_RANK", "PMIX_RANK", "MPI_LOCALNRANKS")
"""Variables that other launchers set."""
THREAD_VARIABLES = ("MINIGRAD_NUM_THREADS", "OMP_NUM_THREADS")
BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")
TRANSPORTS = ("auto", "NCCL", "host")
SPIN = 5e-4
"""Seconds for which a rank asks without a pause whether the others have come; then it sleeps in between."""
LONGEST_SLEEP = 5e-3


class MPICommunicator(Communicator):
    """A rank of those that `mpiexec -n 4 python script.py` started. Every rank makes it, once.

    A rank that raises or exits tells the others when its process ends; they raise DistributedError at their next call,
    and end too. If a process is killed, mpiexec ends all others. While a rank waits for others it sleeps, and Ctrl-C
    reaches it.

    Each rank computes on one thread, unless the environment says otherwise: ranks are there to use the cores.

    Args:
        comm: an mpi4py communicator of whose ranks these are; None for `MPI.COMM_WORLD`.
        backend: where the model's arrays will be, by name; None for the default one. On a backend with devices each
            rank of a machine takes one of its own, in turn. Make the communicator before the model, then.
        transport: how arrays on devices are summed: "NCCL", "host" for by way of the host's memory, or "auto" for the
            first if all ranks can; `communicator.transport_refusal` says why they cannot.
        threads: the number of threads on which each rank computes; None for one, or what MINIGRAD_NUM_THREADS,
            OMP_NUM_THREADS and OPENBLAS_NUM_THREADS say.

    Raises:
        ImportError: mpi4py or the MPI library is missing.
        DistributedError: the program was not started by mpiexec, or by that of another MPI than mpi4py's.
        BackendError: there is no such backend, or `transport` is "NCCL" and some rank cannot use it.
        ValueError: another transport, or `threads` is no whole number of at least 1.
    """

    def __init__(
        self, comm: Any = None, *, backend: str | None = None, transport: str = "auto", threads: int | None = None
    ) -> None:
        super().__init__()
        check_choice("MPICommunicator", TRANSPORTS, transport=transport)
        if threads is not None:
            check_integer("MPICommunicator", threads=threads)
        arrays = default_backend() if backend is None else get_backend(backend)
        self._mpi = import_mpi()
        if comm is None:
            comm = self._mpi.COMM_WORLD
            check_launch(comm.Get_size(), os.environ)
        self._comm = comm.Dup()  # so that the user's own messages never meet these
        self.rank, self.size = self._comm.Get_rank(), self._comm.Get_size()
        machine = self._comm.Split_type(self._mpi.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = machine.Get_rank(), machine.Get_size()
        machine.Free()
        set_threads(threads, os.environ)
        self._devices: DeviceGroup | None = None
        self._request: Any = None
        if arrays.join_devices is not None:
            self._join_devices(arrays.join_devices, transport)
        atexit.register(self._leave_at_exit)

    def _join_devices(self, join: Any, transport: str) -> None:
        """Take a device, and join those of all ranks; or note why that cannot be, on every rank alike."""
        refusal, connect = "", None
        try:
            connect = join(self.local_rank, self.local_size)
            if self.size != self._mpi.COMM_WORLD.Get_size():
                refusal = "NCCL joins all ranks that mpiexec started, and these are some of them"
        except BackendError as error:
            refusal = str(error)
        if transport == "host":
            return
        refusals = [reason.decode() for reason in self.all_gather(refusal.encode(), "connect")]
        told = "; ".join(f"rank {r}: {reason}" for r, reason in enumerate(refusals) if reason)
        if told and transport == "NCCL":
            raise BackendError(f"MPICommunicator: transport: got 'NCCL', want 'host' or 'auto' here: {told}")
        self.transport_refusal = told
        if connect is not None and not told:
            self._devices, self.transport = connect(self.rank, self.size), "NCCL"

    def _leave_at_exit(self) -> None:
        """Say that this rank ends, and why, if an error ended it."""
        error = getattr(sys, "last_value", None)
        try:
            self.leave("" if error is None else f"{type(error).__name__}: {error}")
        except self._mpi.Exception as error:
            print(f"rank {self.rank}: MPI failed at the end: {error}", file=sys.stderr)

    def _abandon(self) -> None:
        print(f"rank {self.rank}: an error ended an exchange halfway; all ranks are ended", file=sys.stderr, flush=True)
        self._comm.Abort(1)

    def __repr__(self) -> str:
        return f"MPICommunicator(rank {self.rank} of {self.size}, transport {self.transport!r})"

    def _wait(self, request: Any) -> None:
        """Wait until an exchange is done. MPI's own waiting keeps the core busy, and Ctrl-C from Python."""
        self._request = request  # MPI writes into its arrays, also if an error ends the waiting
        begin = time.perf_counter()
        while not request.Test():
            waited = time.perf_counter() - begin
            if waited > SPIN:
                time.sleep(min(waited / 16, LONGEST_SLEEP))

    def _all_gather(self, data: Bytes) -> Bytes:
        everyone = np.empty((self.size, data.size), np.uint8)
        self._wait(self._comm.Iallgather([data, self._mpi.BYTE], [everyone, self._mpi.BYTE]))
        return everyone

    def _all_reduce(self, array: Array) -> None:
        self._comm.Allreduce(self._mpi.IN_PLACE, array, op=self._mpi.SUM)

    def _broadcast(self, data: Bytes) -> None:
        self._wait(self._comm.Ibcast([data, self._mpi.BYTE], root=0))

    def _gather(self, data: Bytes, counts: Sequence[int]) -> list[Bytes] | None:
        ends = np.cumsum(counts)
        everything = np.empty(int(ends[-1]) if not self.rank else 0, np.uint8)
        received = [everything, (counts, ends - counts), self._mpi.BYTE] if not self.rank else None
        self._wait(self._comm.Igatherv([data, self._mpi.BYTE], received, root=0))
        return None if self.rank else [everything[end - n : end] for n, end in zip(counts, ends)]

    def _reduce_on_devices(self, array: Array) -> bool:
        if self._devices is None:
            return False
        in_order = backend_of(array).xp.ascontiguousarray(array)
        self._devices.all_reduce(in_order)
        if in_order is not array:
            array[...] = in_order
        return True


def import_mpi() -> Any:
    """Return mpi4py's module MPI, which starts MPI. Raises ImportError, if it or the MPI library is missing."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # mpi4py raises RuntimeError where there is no MPI library
        raise ImportError(
            "MPICommunicator: needs the package mpi4py and an MPI library: pip install mpi4py mpich. "
            f"Python said: {error}"
        ) from error
    return MPI


def check_launch(size: int, environment: Any) -> None:
    """Raise DistributedError unless `size`, the number of ranks that MPI sees, is what a launcher started."""
    started = next((name for name in LAUNCHERS if environment.get(name, "").isdecimal()), None)
    if size == 1 and started and int(environment[started]) > 1:
        raise DistributedError(
            f"MPICommunicator: {LAUNCHERS[started]} started {environment[started]} ranks, and mpi4py's MPI sees only "
            f"itself: they belong to two MPI libraries; start the program with {launch_command()}"
        )
    if size == 1 and not started and not any(name in environment for name in OTHER_SIGNS):
        raise DistributedError(
            f"MPICommunicator: the program was not started on several ranks; start it with {launch_command()}"
        )


def launch_command() -> str:
    """Return the command that starts this program on two ranks, and where its mpiexec comes from."""
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    command = f"{found or 'mpiexec'} -n 2 python {shlex.join(sys.argv) if sys.argv[0] else 'script.py'}"
    return command if found else f"{command} (mpiexec is not on PATH: pip install mpich)"


def set_threads(threads: int | None, environment: Any) -> None:
    """Let this process compute on so many threads; None for one, where the environment does not say how many."""
    if threads is not None or not any(environment.get(name, "").strip() for name in THREAD_VARIABLES):
        environment[THREAD_VARIABLES[0]] = str(threads or 1)  # which compiled sequences read when they first run
    if threads is not None or not any(environment.get(name, "").strip() for name in BLAS_VARIABLES):
        set_number = openblas_function("set_num_threads", None, ctypes.c_int)
        if set_number is not None:
            set_number(threads or 1)
