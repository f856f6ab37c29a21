"""What `test_mpi.py` checks on real ranks: `mpiexec -n 2 python program_on_ranks.py FOLDER`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

import minigrad as mg
from minigrad.backend import Backend, BackendError, get_backend
from minigrad.distributed import DataParallel, MPICommunicator
from minigrad.distributed.mpi_communicator import check_launch
from minigrad_rnn.native import threads
from minigrad_rnn.text import CharacterModel, Streams
from minigrad_rnn.training import Trainer
from tests.distributed.tagger import Tagger, batch, gradients
from tests.support import strict_device  # noqa: F401  (registers the backend)

UPDATES = 5


def trained(communicator: MPICommunicator) -> dict[str, Any]:
    """The weights after a few updates with dropout, each rank on its part of a batch."""
    inputs, targets = batch()
    model = mg.nn.Sequential(Tagger(communicator.rank), mg.nn.Dropout(0.2, rng=5))
    parallel = DataParallel(model, communicator, check_every=2)
    optimizer = mg.optim.Adam(model.parameters(), lr=0.01)
    mine = slice(0, 4) if parallel.rank == 0 else slice(4, 5)
    for _ in range(UPDATES):
        optimizer.zero_grad()
        loss = mg.cross_entropy(model(inputs[:, mine]), targets[:, mine])
        loss.backward()
        parallel.pool_gradients(targets[:, mine].size, loss)
        optimizer.step()
    return model.state_dict()


def check_pooling(communicator: MPICommunicator) -> None:
    """MPI's sums are those of one rank with the whole batch, and the same bits on each rank and in each run."""
    inputs, targets = batch()
    whole = Tagger(0)
    mg.cross_entropy(whole(inputs), targets).backward()
    model = Tagger(communicator.rank)
    parallel = DataParallel(model, communicator)
    mine = slice(0, 4) if parallel.rank == 0 else slice(4, 5)
    mg.cross_entropy(model(inputs[:, mine]), targets[:, mine]).backward()
    parallel.pool_gradients(targets[:, mine].size)
    for name, expected in gradients(whole).items():
        got = gradients(model)[name]
        assert (got is None) == (expected is None), name
        if expected is not None:
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
    first, second = trained(communicator), trained(communicator)
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)
    parallel.check_same("weights", {name: array.tobytes().hex() for name, array in first.items()})


def check_order(communicator: MPICommunicator) -> None:
    """A transposed array keeps its places, which mpi4py by itself does not do: it sends the memory."""
    values = np.arange(6.0).reshape(2, 3)
    mine = np.asfortranarray(values) if communicator.rank else values.copy()
    assert communicator.all_reduce(mine).tolist() == (2 * values).tolist()
    tree = communicator.broadcast(np.asfortranarray(values))
    assert tree.tolist() == values.tolist()
    raw = np.asfortranarray(values) if communicator.rank == 0 else np.zeros((2, 3))
    MPI.COMM_WORLD.Bcast(raw, root=0)
    if communicator.rank:
        assert raw.tolist() != values.tolist(), "mpi4py sends Fortran order as values now: the copies can go"


def check_trees(communicator: MPICommunicator) -> None:
    """Trees of different sizes are gathered."""
    gathered = communicator.gather({"rank": communicator.rank, "array": np.arange(communicator.rank * 3)})
    if communicator.rank:
        assert gathered is None
    else:
        assert gathered is not None
        assert [(tree["rank"], tree["array"].tolist()) for tree in gathered] == [(0, []), (1, [0, 1, 2])]


def check_threads() -> None:
    """Each rank computes on one thread."""
    assert threads.get_num_threads() == 1
    MPICommunicator(threads=3)
    assert os.environ["MINIGRAD_NUM_THREADS"] == "3"
    os.environ["MINIGRAD_NUM_THREADS"] = "1"


class Joined:
    """A device group that adds up by MPI, as NCCL would."""

    def all_reduce(self, array: Any) -> None:
        assert array.flags.c_contiguous
        MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, array._host)


def check_devices(communicator: MPICommunicator) -> None:
    """Arrays on devices are summed by what joins the devices if all ranks have it, else through the host."""
    strict = get_backend("strict")
    places = []

    def backend(joins: Any) -> Backend:
        return Backend(**{**vars(strict), "name": "strict", "join_devices": joins})

    def join(k: int, n: int) -> Any:
        places.append((k, n))
        return lambda rank, size: Joined()

    def only_rank_0(k: int, n: int) -> Any:
        if k:
            raise BackendError("no library")
        return join(k, n)

    everywhere = MPICommunicator(backend=backend(join))  # type: ignore[arg-type]
    assert (everywhere.transport, everywhere.transport_refusal) == ("NCCL", "")
    assert places == [(communicator.rank, 2)]
    partly = MPICommunicator(backend=backend(only_rank_0))  # type: ignore[arg-type]
    assert (partly.transport, partly.transport_refusal) == ("host", "rank 1: no library")
    by_host = MPICommunicator(backend=backend(join), transport="host")  # type: ignore[arg-type]
    assert by_host.transport == "host"
    for ranks in (everywhere, partly, by_host):
        array = strict.from_numpy(np.asfortranarray(np.arange(6.0).reshape(2, 3)))
        assert strict.to_numpy(ranks.all_reduce(array)).tolist() == [[0, 2, 4], [6, 8, 10]]
    told = ""
    try:
        MPICommunicator(backend=backend(only_rank_0), transport="NCCL")  # type: ignore[arg-type]
    except BackendError as error:
        told = str(error)
    assert "want 'host' or 'auto' here: rank 1: no library" in told


class Reader(mg.nn.Module):
    """A character model with dropout, whose weights at the start depend on the rank."""

    def __init__(self, rank: int) -> None:
        self.model = CharacterModel(7, "gru", 4, 5, rng=rank)
        self.dropout = mg.nn.Dropout(0.3)

    def forward(self, ids: Any, state: Any = None) -> Any:
        logits, state = self.model(ids, state)
        return self.dropout(logits), state


def divergence(model: Any, batch: Any, state: Any) -> Any:
    logits, state = model(batch.inputs, state)
    return mg.cross_entropy(logits, batch.targets), state


def trainer(communicator: MPICommunicator, folder: Path) -> Trainer:
    """A trainer whose ranks read unequal parts of five streams, and measure unequal parts of what is held out."""
    mg.manual_seed(3)
    model = Reader(communicator.rank)
    parallel = DataParallel(model, communicator)
    streams = parallel.shard(Streams(np.arange(200) % 7, 5, 6, rotate=True, seed=2))

    def evaluate(model: Any) -> float:
        ids = np.arange(parallel.rank + 1)[None]
        return parallel.mean(float(mg.cross_entropy(model(ids)[0], ids).item()), ids.size)

    return Trainer(
        model, mg.optim.Adam(model.parameters(), lr=0.01), streams, divergence, parallel=parallel, folder=folder,
        save_every=2, evaluate=evaluate, evaluate_every=4, tokens=lambda batch: float(batch.targets.size),
        clip_norm=1.0, report_every=1, progress=False,
    )  # fmt: skip


def check_trainer(communicator: MPICommunicator, folder: Path) -> None:
    """A run on two ranks that stops and is resumed ends in the same bits, and rank 0 alone writes."""
    whole = trainer(communicator, folder / "whole")
    whole.fit(updates=9)
    trainer(communicator, folder / "parts").fit(updates=3)
    resumed = trainer(communicator, folder / "parts")
    resumed.resume()
    resumed.fit(updates=9)
    first, second = whole.model.state_dict(), resumed.model.state_dict()
    assert [name for name in first if first[name].tobytes() != second[name].tobytes()] == []
    losses = [[line["loss"] for line in run.history if "loss" in line] for run in (whole, resumed)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 9
    if communicator.rank == 0:
        assert whole.history[-1]["tokens"] == 5 * (8 * 6 + 3)  # the last chunk of an epoch has 3 steps
    draws = communicator.gather(mg.nn.default_generator().random(3))  # which Dropout draws from
    assert draws is None or draws[0].tolist() != draws[1].tolist()


def checks(folder: Path) -> None:
    sys.modules["matplotlib"] = None  # type: ignore[assignment]  # no time for the Trainer's curves
    communicator = MPICommunicator()
    assert (communicator.size, communicator.local_rank) == (2, communicator.rank)
    check_launch(2, os.environ)
    check_pooling(communicator)
    check_order(communicator)
    check_trees(communicator)
    check_threads()
    check_devices(communicator)
    check_trainer(communicator, folder)
    if communicator.rank == 0:
        (folder / "weights.hex").write_text(trained_hex(communicator))
        time.sleep(0.3)  # the other one ends first, and waits
        print("rank 0 is done")
    else:
        trained(communicator)


def trained_hex(communicator: MPICommunicator) -> str:
    return "\n".join(f"{name} {array.tobytes().hex()}" for name, array in sorted(trained(communicator).items()))


if __name__ == "__main__":
    checks(Path(sys.argv[1]))
