"""Parts of a stream: together they are the stream, and each has its position."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.distributed import DataParallel, run_in_threads
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
