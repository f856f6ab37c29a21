"""A valid call of what minigrad.distributed has: one rank, which meets itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import minigrad as mg
from minigrad.distributed import Communicator, DataParallel, run_in_threads
from minigrad.distributed.thread_communicator import Table, ThreadCommunicator
from minigrad_rnn.data import Batches
from minigrad_rnn.text import Streams

from .example import Example, New, function, method


def alone() -> Communicator:
    return ThreadCommunicator(0, Table(1))


def parallel() -> DataParallel:
    return DataParallel(mg.nn.Linear(2, 1, rng=0), alone())


def batches() -> Batches:
    return Batches(np.arange(6), 2)


def streams() -> Streams:
    return Streams(np.arange(9), 2, 3)


DISTRIBUTED_EXAMPLES: dict[str, Callable[[], Example]] = {
    "run_in_threads": function(run_in_threads, function=lambda communicator: communicator.rank, size=1),
    "DataParallel": function(
        DataParallel, model=New(lambda: mg.nn.Linear(2, 1)), communicator=New(alone), check_every=100
    ),
    "DataParallel.pool_gradients": method(parallel, "pool_gradients", weight=1.0, loss=0.5),
    "DataParallel.check_same": method(parallel, "check_same", where="here", options={"seed": 1}),
    "DataParallel.any": method(parallel, "any", flag=True),
    "DataParallel.mean": method(parallel, "mean", value=1.0, weight=2.0),
    "DataParallel.spread_generators": method(parallel, "spread_generators", generators=[np.random.default_rng(0)]),
    "DataParallel.shard": lambda: (parallel().shard, {"stream": batches()}),
    "Streams.shard": method(streams, "shard", rank=0, size=2),
    "Batches.shard": method(batches, "shard", rank=0, size=2),
}
