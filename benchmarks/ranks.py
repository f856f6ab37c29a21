"""The programs that `distributed` and `scaling` run on ranks: `mpiexec -n P python -m benchmarks.ranks '{"what": …}'`.

Rank 0 prints what was measured as one line of JSON. Each rank computes on one thread.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
HIDDEN, STEPS, BATCH = 256, 64, 32
"""The character model of examples/char_rnn.py --demo: units, steps of a chunk, streams."""


def mpiexec() -> str | None:
    """Return the mpiexec beside this Python, or else on PATH; None if mpi4py or mpiexec is missing."""
    try:
        import mpi4py  # noqa: F401
    except ImportError:
        return None
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def on_ranks(size: int, what: str, **options: Any) -> dict[str, Any]:
    """Run one of this file's programs on `size` ranks, and return what rank 0 measured.

    Raises:
        RuntimeError: mpi4py or mpiexec is missing, or the program failed.
    """
    command = mpiexec()
    if command is None:
        raise RuntimeError("mpi4py or mpiexec is missing: pip install mpi4py mpich")
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [command, "-n", str(size), sys.executable, "-m", "benchmarks.ranks", json.dumps({"what": what, **options})],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise RuntimeError(f"{size} ranks, {what}: {(done.stderr.strip() or done.stdout.strip()).splitlines()[-1]}")
    measured: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured


def updates(communicator: Any, batch: int, hidden: int, steps: int, count: int) -> dict[str, Any]:
    """Seconds of `count` training updates, each rank with `batch` streams, and of the parts of each.

    A part is measured on rank 0: what it computes, and the pooling of gradients, which includes waiting for the others.
    """
    import minigrad as mg
    from minigrad.distributed import DataParallel
    from minigrad_rnn.networks.truncation import detached
    from minigrad_rnn.text.streams import Streams

    from .character_model import EMBEDDING, VOCABULARY, ours
    from .training_step import LARGEST_NORM, LEARNING_RATE

    model, _ = ours("auto", VOCABULARY, EMBEDDING, hidden)
    parallel = DataParallel(model, communicator)
    optimizer = mg.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    ids = np.random.default_rng(2).integers(0, VOCABULARY, 4 * steps * batch * parallel.size)
    streams = parallel.shard(Streams(ids, batch * parallel.size, steps, drop_last=True))
    state, whole, pooling = None, [], []
    while len(whole) < count + 3:
        inputs, targets, fresh = streams.next_chunk()
        begin = time.perf_counter()
        logits, state = model(inputs, None if fresh else state)
        loss = mg.cross_entropy(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        before = time.perf_counter()
        parallel.pool_gradients(targets.size, loss)
        pooling.append(time.perf_counter() - before)
        mg.optim.clip_grad_norm(model.parameters(), LARGEST_NORM)
        optimizer.step()
        state = detached(state)
        whole.append(time.perf_counter() - begin)
    nbytes = sum(p.size * p.dtype.itemsize for p in model.parameters())
    return {
        "update": whole[3:], "pooling": pooling[3:], "characters": batch * steps, "gradient_bytes": nbytes,
        "implementation": model.recurrence.implementation.partition(" (")[0],
    }  # fmt: skip


def exchanges(communicator: Any, sizes: list[int], rounds: int) -> dict[str, Any]:
    """Seconds of exchanges: a meeting; per size in bytes an all-reduce of float32, a message's way, a sum, a copy."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD

    def fastest(call: Callable[[], Any], times: int) -> float:
        for _ in range(3):
            call()
        seconds = []
        for _ in range(times):
            world.Barrier()
            begin = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - begin)
        return min(seconds)

    def there_and_back() -> None:
        if world.rank == 0:
            world.Send(array, dest=1)
            world.Recv(array, source=1)
        elif world.rank == 1:
            world.Recv(array, source=0)
            world.Send(array, dest=0)

    table: dict[str, list[float]] = {"all_reduce": [], "message": [], "sum": [], "copy": []}
    for nbytes in sizes:
        array = np.ones(nbytes // 4, np.float32)
        other, times = array.copy(), max(5, rounds * 1000 // (1000 + nbytes // 1000))
        table["all_reduce"].append(fastest(lambda: communicator.all_reduce(array), times))  # noqa: B023
        array[...] = 1
        table["message"].append(fastest(there_and_back, times) / 2)
        table["sum"].append(fastest(lambda: np.add(array, other, out=array), times))  # noqa: B023
        table["copy"].append(fastest(lambda: np.copyto(array, other), times))  # noqa: B023
    return {**table, "bytes": sizes, "meeting": fastest(lambda: communicator.meet("any"), rounds)}


PROGRAMS: dict[str, Callable[..., dict[str, Any]]] = {"updates": updates, "exchanges": exchanges}


def main(options: dict[str, Any]) -> None:
    from minigrad.distributed import MPICommunicator

    communicator = MPICommunicator()
    measured = PROGRAMS[options.pop("what")](communicator, **options)
    if communicator.rank == 0:
        print(json.dumps(measured))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
