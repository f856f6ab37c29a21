"""Parts of a stream: together they are the stream, and each has its position."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.distributed import DataParallel, run_in_threads
from minigrad_rnn.data import Batches, BucketedBatches, Stream
from minigrad_rnn.text.streams import Streams


def streams() -> Streams:
    return Streams(np.arange(83) % 7, 5, 4, rotate=True, seed=3)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_parts_together_are_the_streams(size: int) -> None:
    whole = streams()
    parts = [streams().shard(rank, size) for rank in range(size)]
    assert {len(part) for part in parts} == {len(whole)}
    for _ in range(len(whole) + 2):  # beyond an epoch
        chunk, shares = whole.next_chunk(), [part.next_chunk() for part in parts]
        for name in ("inputs", "targets"):
            together = np.concatenate([getattr(share, name) for share in shares], axis=1)
            np.testing.assert_array_equal(together, getattr(chunk, name))
        assert {share.fresh for share in shares} == {chunk.fresh}
        assert all(part.state_dict() == whole.state_dict() for part in parts)
    sizes = [part.next_chunk().inputs.shape[1] for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_a_part_resumes_at_the_position_of_the_whole() -> None:
    whole = streams()
    for _ in range(3):
        whole.next_chunk()
    part = streams().shard(1, 2)
    part.load_state_dict(whole.state_dict())
    np.testing.assert_array_equal(part.next_chunk().inputs, whole.next_chunk().inputs[:, 2:])


def batches() -> list[Stream]:
    items = [[k] * (1 + k % 4) for k in range(22)]
    arrays = (np.arange(11), np.arange(11) ** 2)
    return [Batches(arrays, 4, seed=1), Batches(items, 5, drop_last=True), BucketedBatches(items, 8, max_padding=0.5)]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_the_parts_of_batches_are_the_batches(which: int) -> None:
    whole, size = batches()[which], 3
    parts = [batches()[which].shard(rank, size) for rank in range(size)]
    for _ in range(len(whole) + 2):
        indices = whole.order[whole.batch]
        assert all(part.state_dict() == whole.state_dict() for part in parts)
        together: list[Any] = []
        for part in parts:
            share = part.next_batch()
            if which == 0:
                assert (share[1] == share[0] ** 2).all()
                together += share[0].tolist()
            elif which == 1:
                together += [item[0] for item in share]
            else:
                together += share[0][0].tolist()
        whole.next_batch()
        assert together == indices.tolist()
    sizes = {len(part) for part in parts}
    assert sizes == {len(whole)}


def test_a_part_of_batches_resumes_and_knows_its_data() -> None:
    whole, part = batches()[0], batches()[0].shard(1, 2)
    whole.next_batch()
    part.load_state_dict(whole.state_dict())
    assert part.next_batch()[0].tolist() == whole.next_batch()[0][2:].tolist()
    for which in range(3):
        assert batches()[which].fingerprint() == batches()[which].fingerprint()
    prints = {Batches(data, 1).fingerprint() for data in ([[1, 2]], [[1], [2]], [[1, 3]], [(1, 2)], [["1", "2"]])}
    assert len(prints) == 5


def test_a_batch_with_too_few_examples_for_the_ranks() -> None:
    with pytest.raises(ValueError, match=r"Batches.shard: size: got 3 parts, and a batch has 1 examples"):
        Batches(np.arange(5), 2).shard(0, 3)
    assert len(Batches(np.arange(5), 2, drop_last=True).shard(0, 2)) == 2
    with pytest.raises(ValueError, match="a part already"):
        Batches(np.arange(4), 2).shard(0, 2).shard(0, 2)
    with pytest.raises(ValueError, match="rank"):
        Batches(np.arange(4), 2).shard(2, 2)


def test_what_no_part_can_be_of() -> None:
    with pytest.raises(ValueError, match=r"size: got 6 parts for 5 streams"):
        streams().shard(0, 6)
    with pytest.raises(ValueError, match="rank"):
        streams().shard(2, 2)
    with pytest.raises(ValueError, match="a part already"):
        streams().shard(0, 2).shard(0, 2)


def test_ranks_with_different_data_are_refused() -> None:
    def program(communicator: Any) -> None:
        parallel = DataParallel(mg.nn.Linear(1, 1, rng=0), communicator)
        ids = np.arange(83) % (7 + parallel.rank)
        parallel.shard(Streams(ids, 5, 4))

    with pytest.raises(ValueError, match=r"DataParallel.shard: stream: the ranks differ: data: '\d+' on rank 0, '\d+'"):
        run_in_threads(program, 2)

    def other_layout(communicator: Any) -> None:
        DataParallel(mg.nn.Linear(1, 1, rng=0), communicator).shard(Streams(np.arange(83), 5, 4 + communicator.rank))

    with pytest.raises(ValueError, match="steps: 4 on rank 0, 5 on rank 1"):
        run_in_threads(other_layout, 2)


def test_shards_of_the_right_data() -> None:
    def program(communicator: Any) -> Any:
        parallel = DataParallel(mg.nn.Linear(1, 1, rng=0), communicator)
        return parallel.shard(streams()).next_chunk().inputs

    np.testing.assert_array_equal(np.concatenate(run_in_threads(program, 2), axis=1), streams().next_chunk().inputs)
