"""`DataParallel` trains one model on several ranks: each computes on its share of a batch, and gradients are pooled."""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np

from ..backend import is_array
from ..engine.tensor import Tensor
from ..nn import default_generator
from ..nn.module import Module
from ..option_checks import check_flag, check_integer, check_text, check_type, is_number, shown
from ..transforms.rng_state import generators_of
from .communicator import Communicator, DistributedError
from .differences import differences_in_words, digest
from .gradient_bucket import GradientBucket, buckets_of

S = TypeVar("S", bound="Shardable")


class Shardable(Protocol):
    """What `DataParallel.shard` takes: batches of which a part can be had, such as Streams."""

    def shard(self: S, rank: int, size: int) -> S:
        """Return a stream of the `rank`-th of `size` parts of each batch."""

    def state_dict(self) -> dict[str, Any]:
        """Return the position, and what it belongs to."""

    def fingerprint(self) -> str:
        """Return a hash of the data."""


def _number(caller: str, loss: Any) -> float:
    """A loss, a number or a tensor or array with one element, as a Python number. Raises TypeError for others."""
    if isinstance(loss, Tensor) or is_array(loss):
        loss = loss.item() if loss.size == 1 else loss
    if not is_number(loss):
        raise TypeError(f"{caller}: loss: got {shown(loss)}, want a number, or a tensor with one element")
    return float(loss)


class DataParallel:
    """A model that is trained by all ranks of a communicator, each of which has a copy. Every rank makes it.

    The ranks start with rank 0's weights and buffers. In each update every rank runs forward and backward on its share
    of the batch; `pool_gradients` then makes every gradient the mean over all shares, as if one rank had computed them
    all; and since every rank takes the same step, the weights stay the same on all, which is checked. With one rank
    nothing is changed, to the bit; with any other number, two runs agree to the bit.

    Each rank draws dropout masks of its own: the generators of the model's modules and the default one go on as they
    are on rank 0, and are seeded anew on rank r, by rank 0's state and r.

    Running statistics of floating point, as BatchNorm's, are averaged with the gradients. Each rank normalises by its
    own share of the batch, so a model with BatchNorm computes something else on two ranks than on one.

    >>> import minigrad as mg
    >>> from minigrad.distributed import DataParallel, run_in_threads
    >>> def program(communicator):
    ...     model = mg.nn.Linear(1, 1, bias=False, rng=0)
    ...     parallel = DataParallel(model, communicator)
    ...     x = np.ones((1 + parallel.rank, 1), np.float32) * (1 + parallel.rank)  # rank 1 has two rows, of 2
    ...     model(x).mean().backward()
    ...     parallel.pool_gradients(weight=len(x))
    ...     return model.weight.grad.item()
    >>> [round(gradient, 4) for gradient in run_in_threads(program, 2)]  # the mean of 1, 2 and 2
    [1.6667, 1.6667]

    Args:
        model: the module, on each rank with parameters of the same names, shapes and dtypes.
        communicator: this rank's way to the others, such as MPICommunicator().
        check_every: pooled updates between two comparisons of the weights; the first is made at the first one.

    Raises:
        TypeError: `model` is no Module, or `communicator` no Communicator.
        ValueError: on every rank, if the models differ, saying in what; or `check_every` is not at least 1.
        DistributedError: by every method, on every rank: another rank has ended or calls another method.
    """

    def __init__(self, model: Module, communicator: Communicator, *, check_every: int = 100) -> None:
        check_type("DataParallel", Module, "a Module", model=model)
        check_type("DataParallel", Communicator, "a Communicator, such as MPICommunicator()", communicator=communicator)
        check_integer("DataParallel", check_every=check_every)
        self.model, self.communicator, self.check_every = model, communicator, int(check_every)
        self.rank, self.size = communicator.rank, communicator.size
        self.updates = 0
        self._buckets: tuple[Any, list[GradientBucket]] = None, []
        self.check_same("DataParallel: model", self._structure())
        state = communicator.broadcast(model.state_dict())
        if self.rank:
            model.load_state_dict(state)
        common = [] if communicator.shares_process else [default_generator()]
        self.spread_generators([*common, *generators_of([model])])

    @property
    def is_writer(self) -> bool:
        """Whether this is the rank, 0, that writes files and prints."""
        return self.rank == 0

    def _structure(self) -> dict[str, Any]:
        named = list(self.model.named_parameters())
        frozen = {name for name, p in named if p.node is None}
        arrays = {name: (value.dtype.name, value.shape) for name, value in self.model.state_dict().items()}
        return {
            name: f"{dtype} {tuple(shape)}" + (" frozen" if name in frozen else "")
            for name, (dtype, shape) in arrays.items()
        }

    # Each update

    def pool_gradients(self, weight: float, loss: Any = None) -> float | None:
        """Make each gradient the mean of all ranks', weighted; return the mean of their losses.

        Call it between `backward` and clipping. If each rank's loss is a mean over its share, and `weight` the number
        of tokens or examples in it, the gradients are those of the mean over all shares together. A gradient that is
        None counts as zero, and stays None if it is None on all ranks with a weight. All gradients of a dtype travel in
        one array.

        Args:
            weight: of this rank, at least 0. A rank of weight 0 only receives, whatever its gradients are.
            loss: this rank's loss, a number or a tensor; None for no mean of losses.

        Returns:
            The weighted mean of the losses, the same on every rank; None unless every rank with a weight gave one.

        Raises:
            FloatingPointError: on every rank, if the loss or a gradient of some rank with a weight is not finite,
                naming the ranks. The gradients are as they were.
            TypeError: `loss` is no number.
            ValueError: `weight` is no number of at least 0; or, on every rank, if all weights are 0.
        """
        if not is_number(weight) or not 0 <= weight < math.inf:
            raise ValueError(f"DataParallel.pool_gradients: weight: got {shown(weight)}, want a number of at least 0")
        value = math.nan if loss is None else _number("DataParallel.pool_gradients", loss)
        buckets = self._current_buckets()
        for bucket in buckets:
            bucket.fill()
        finite = (loss is None or math.isfinite(value)) and all(bucket.is_finite() for bucket in buckets)
        records = self.communicator.meet(
            "pool_gradients",
            nbytes=sum(bucket.array.nbytes for bucket in buckets),
            layout=zlib.crc32(" ".join(bucket.layout for bucket in buckets).encode()),
            weight=float(weight),
            loss=value,
            flag=not finite,
        )
        self._check_records(records)
        total = float(sum(map(float, records["weight"])))  # one after another, on every rank alike
        with self.communicator.together():
            for bucket in buckets:
                bucket.scale(float(weight) / total)
                bucket.array = self.communicator.all_reduce(bucket.array)
        for bucket in buckets:
            bucket.take_out()
        if self.updates % self.check_every == 0:
            self.check_identical()
        self.updates += 1
        losses = [float(r["loss"]) * (float(r["weight"]) / total) for r in records if r["weight"]]
        return None if any(map(math.isnan, losses)) else float(sum(losses))

    def _check_records(self, records: Any) -> None:
        """Raise on every rank for what the ranks' words say."""
        where = f"DataParallel.pool_gradients: update {self.updates}"
        weighted = records["weight"] > 0
        wrong = [str(r) for r in np.flatnonzero(weighted & (records["flag"] != 0))]
        if wrong:
            ranks = f"rank {wrong[0]}" if len(wrong) == 1 else f"ranks {', '.join(wrong)}"
            raise FloatingPointError(f"{where}: the loss or a gradient is not finite on {ranks}; every rank stops")
        if not weighted.any():
            raise ValueError(f"{where}: weight: got 0 on every rank, want more on some")
        others = np.flatnonzero(records[["layout", "nbytes"]] != records[["layout", "nbytes"]][0])
        if others.size:
            self.check_same("DataParallel: model", self._structure())
            raise DistributedError(f"{where}: the gradients of rank {others[0]} are laid out otherwise than rank 0's")

    def _current_buckets(self) -> list[GradientBucket]:
        """The buckets; made anew when a parameter was frozen, moved or replaced since."""
        parameters = list(self.model.parameters())
        buffers = list(self.model.buffers())
        key = [(id(t), type(t.node), t.dtype, t.backend) for t in (*parameters, *buffers)]
        if key != self._buckets[0]:
            self._buckets = key, buckets_of(parameters, buffers)
        return self._buckets[1]

    # Agreement

    def check_identical(self) -> None:
        """Compare the weights and buffers of all ranks, by their hashes.

        Raises:
            DistributedError: on every rank, if some differ, naming them.
        """
        state = {name: digest(array) for name, array in self.model.state_dict().items()}
        try:
            self.check_same("DataParallel.check_identical: hashes of weights", state)
        except ValueError as error:
            raise DistributedError(
                f"{error}; weights are the same on all ranks only while every rank takes the same steps"
            ) from None

    def check_same(self, where: str, options: Mapping[str, Any]) -> None:
        """Compare the ranks' options, or whatever else must be the same on all of them.

        Args:
            where: what an error begins with.
            options: what JSON can hold, by name.

        Raises:
            ValueError: on every rank, if they differ, naming what differs, and the values.
            TypeError: the options cannot be written as JSON.
        """
        check_text("DataParallel.check_same", where=where)
        check_type("DataParallel.check_same", Mapping, "options by name", options=options)
        data = json.dumps(dict(options)).encode()
        tables = [json.loads(table) for table in self.communicator.all_gather(data)]
        if different := differences_in_words(tables):
            raise ValueError(f"{where}: the ranks differ: {different}")

    def any(self, flag: bool) -> bool:
        """Return whether `flag` is true on some rank: a signal, the end of the time.

        What a rank decides by its own clock must be decided by all, or some would make an update without the others.
        """
        check_flag("DataParallel.any", flag=flag)
        return bool(self.communicator.meet("any", flag=bool(flag))["flag"].any())

    def broadcast(self, tree: Any) -> Any:
        """Return rank 0's `tree` on every rank: arrays and what JSON can hold, nested. See Communicator.broadcast."""
        return self.communicator.broadcast(tree)

    def gather(self, tree: Any) -> list[Any] | None:
        """Return each rank's `tree` on rank 0, in the order of ranks; None elsewhere. See Communicator.gather."""
        return self.communicator.gather(tree)

    def mean(self, value: float, weight: float = 1.0) -> float:
        """Return the mean of the ranks' values, weighted, the same on each: of a share of the held-out data.

        Args:
            value: this rank's, any number; it is left out where the weight is 0.
            weight: of this rank, at least 0; not 0 on all.

        Raises:
            ValueError: a weight is no number of at least 0, or all are 0.
        """
        if not is_number(weight) or not 0 <= weight < math.inf:
            raise ValueError(f"DataParallel.mean: weight: got {shown(weight)}, want a number of at least 0")
        if not is_number(value):
            raise ValueError(f"DataParallel.mean: value: got {shown(value)}, want a number")
        records = self.communicator.meet("mean", weight=float(weight), loss=float(value))
        total = float(sum(map(float, records["weight"])))
        if not total:
            raise ValueError("DataParallel.mean: weight: got 0 on every rank, want more on some")
        return float(sum(float(r["loss"]) * (float(r["weight"]) / total) for r in records if r["weight"]))

    # Randomness and data

    def spread_generators(self, generators: Iterable[np.random.Generator]) -> None:
        """Let each rank draw numbers of its own from these generators, determined by rank 0's states and the rank.

        They stay the same objects. On rank 0 nothing changes.

        Args:
            generators: as many on every rank, of the same kinds; one that comes twice counts once.

        Raises:
            TypeError: something that is no numpy.random.Generator. ValueError: on every rank, if the numbers of
                generators or their kinds differ.
        """
        caller, wanted = "DataParallel.spread_generators", "numpy.random.Generators"
        check_type(caller, Iterable, f"a list of {wanted}", generators=generators)
        unique = list({id(g): g for g in generators}.values())
        for g in unique:
            check_type(caller, np.random.Generator, wanted, generators=g)
        kinds = [type(g.bit_generator).__name__ for g in unique]
        self.check_same("DataParallel.spread_generators", {"generators": kinds})
        digests = [hashlib.blake2b(repr(g.bit_generator.state).encode(), digest_size=16).digest() for g in unique]
        for g, words in zip(unique, self.communicator.broadcast([list(d) for d in digests])):
            if self.rank:
                fresh = type(g.bit_generator)(np.random.SeedSequence([*words, self.rank]))
                g.bit_generator.state = fresh.state

    def shard(self, stream: S) -> S:
        """Return this rank's part of every batch of a stream, which says what all ranks together read.

        So a run means the same on any number of ranks: a stream of 64 texts side by side gives each of 4 ranks 16. The
        number of batches is the same on every rank, and so is `state_dict()`, which is that of the whole stream: a
        position that rank 0 saved serves all ranks.

        Args:
            stream: with a method `shard`, such as `minigrad_rnn.text.Streams`; the same on every rank.

        Raises:
            TypeError: the stream has no method `shard`.
            ValueError: on every rank, if the streams or their data differ; or a batch has too few items for a part
                for every rank.
        """
        if not hasattr(stream, "shard"):
            got = type(stream).__name__
            raise TypeError(f"DataParallel.shard: stream: got {got}, want one with shard(rank, size), such as Streams")
        options = {**stream.state_dict(), "batches": len(stream), "data": stream.fingerprint()}  # type: ignore[arg-type]
        self.check_same("DataParallel.shard: stream", options)
        return stream.shard(self.rank, self.size)
