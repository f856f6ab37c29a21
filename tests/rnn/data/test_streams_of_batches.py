"""Batches and BucketedBatches: every example once an epoch, an order of (seed, epoch), exact resumption, bounds."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from minigrad.backend import to_numpy
from minigrad_rnn.data import Batches, BucketedBatches, Stream


def items_of(lengths: list[int]) -> list[list[int]]:
    """Items of these lengths, each of its own number."""
    return [[k] * n for k, n in enumerate(lengths)]


def numbers(batch: Any) -> list[int]:
    """The numbers of a batch's examples."""
    return [int(k) for k in (batch[0][0] if isinstance(batch, tuple) else batch)]


LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=40)
MAKERS: list[Callable[..., Stream]] = [
    lambda lengths, size, **options: Batches(np.arange(len(lengths)), size, **options),
    lambda lengths, size, **options: BucketedBatches(items_of(lengths), size, **options),
]
both = pytest.mark.parametrize("make", MAKERS, ids=["Batches", "BucketedBatches"])


@both
@settings(max_examples=40)
@given(lengths=LENGTHS, size=st.integers(1, 9), shuffle=st.booleans())
def test_every_example_comes_once_an_epoch(make: Any, lengths: list[int], size: int, shuffle: bool) -> None:
    stream = make(lengths, size, shuffle=shuffle)
    for epoch in range(3):
        assert (stream.epoch, stream.batch) == (epoch, 0)
        order = stream.order
        batches = [numbers(batch) for batch in stream]
        assert batches == [part.tolist() for part in order]
        assert len(batches) == len(stream)
        assert all(1 <= len(batch) <= size for batch in batches)
        assert sorted(k for batch in batches for k in batch) == list(range(len(lengths)))


@both
@settings(max_examples=40)
@given(lengths=LENGTHS, size=st.integers(1, 9), before=st.integers(0, 25))
def test_a_saved_position_resumes_exactly(make: Any, lengths: list[int], size: int, before: int) -> None:
    first, second = make(lengths, size, seed=5), make(lengths, size, seed=5)
    for _ in range(before):
        first.next_batch()
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for _ in range(5):
        assert numbers(first.next_batch()) == numbers(second.next_batch())
    assert first.state_dict() == second.state_dict()


@both
def test_the_order_depends_on_seed_and_epoch_alone(make: Any) -> None:
    def orders(seed: int) -> list[list[list[int]]]:
        stream = make([3] * 20 + [9] * 20, 4, seed=seed)
        return [[numbers(batch) for batch in stream] for _ in range(4)]

    assert orders(1) == orders(1)
    assert len({str(order) for order in orders(1)}) == 4
    assert orders(1) != orders(2)
    jumped = make([3] * 20 + [9] * 20, 4, seed=1)
    jumped.load_state_dict({**jumped.state_dict(), "epoch": 2})
    assert [numbers(batch) for batch in jumped] == orders(1)[2]


@both
def test_the_position_in_a_loop_is_that_of_the_next_batch(make: Any) -> None:
    stream = make([2] * 7, 3)
    assert [(stream.state_dict()["epoch"], stream.state_dict()["batch"]) for _ in stream] == [(0, 1), (0, 2), (1, 0)]
    for _ in stream:
        break
    assert len(list(stream)) == 2


@both
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 3}, "batch_size: got 3, want 2 as here"),
        ({"size": 22}, "size: got 22, want 5 as here"),
        ({"seed": 1}, "seed: got 1"),
        ({"shuffle": False}, "shuffle: got False"),
        ({"batch": 3}, "got batch 3 of epoch 0, want a batch of 0 to 2"),
        ({"epoch": -1}, "batch 0 of epoch -1"),
        ({"batch": None}, "want batch too"),
        ({"batch": 1.5}, "got batch 1.5 of epoch 0"),
        ({"epoch": True}, "of epoch True"),
    ],
)
def test_a_position_of_another_layout_is_refused(make: Any, change: dict[str, Any], message: str) -> None:
    stream = make([2] * 5, 2)
    state = {key: value for key, value in {**stream.state_dict(), **change}.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        stream.load_state_dict(state)
    assert (stream.epoch, stream.batch) == (0, 0)


def test_other_lengths_are_another_layout() -> None:
    state = BucketedBatches(items_of([1, 2, 3]), 2).state_dict()
    with pytest.raises(ValueError, match=r"BucketedBatches\.load_state_dict: state: lengths: got"):
        BucketedBatches(items_of([1, 2, 4]), 2).load_state_dict(state)


def test_a_base_alone_has_no_batches() -> None:
    for call in (len, lambda s: s.order, lambda s: s.batch_of(np.arange(1)), Stream.state_dict):
        with pytest.raises(NotImplementedError, match="Stream: "):
            call(Stream())


# Batches


class Pair(NamedTuple):
    x: Any
    y: Any


def test_batches_have_the_form_of_the_data(xp: Any) -> None:
    x, y = xp.array(np.arange(10).reshape(5, 2)), xp.array(np.arange(5))
    for data in ((x, y), Pair(x, y), {"x": x, "y": y}):
        with xp.no_sync():
            batch = Batches(data, 2, shuffle=False).next_batch()
        assert type(batch) is type(data)
        for got, array in zip(batch.values() if isinstance(batch, dict) else batch, (x, y)):
            assert type(got) is type(array)
            np.testing.assert_array_equal(to_numpy(got), to_numpy(array)[:2])
    assert to_numpy(Batches(x, 3, shuffle=False).next_batch()).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert Batches([("a", 1), ("b", 2)], 2, shuffle=False).next_batch() == [("a", 1), ("b", 2)]


def test_batches_own_their_memory() -> None:
    x = np.arange(4)
    for shuffle in (False, True):
        Batches(x, 4, shuffle=shuffle).next_batch()[...] = 9
    assert x.tolist() == [0, 1, 2, 3]


def test_collate_makes_the_batch() -> None:
    rows = Batches((np.ones((4, 3, 2)), np.arange(4)), 2, collate=lambda rows: (rows[0].swapaxes(0, 1), rows[1]))
    assert rows.next_batch()[0].shape == (3, 2, 2)
    assert Batches(["a", "b"], 2, collate="".join, shuffle=False).next_batch() == "ab"


def test_drop_last_leaves_out_the_small_batch_only() -> None:
    stream = Batches(np.arange(7), 3, drop_last=True)
    assert [len(batch) for batch in stream] == [3, 3]
    with pytest.raises(ValueError, match="batch_size: got 8 for 7 examples, want at most 7 with drop_last"):
        Batches(np.arange(7), 8, drop_last=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "Batches: data: got no examples, want at least one"),
        (np.ones((0, 3)), "data: got no examples"),
        ((), "data: got no examples"),
        ((np.ones(3), np.ones(4)), r"data: got arrays with first axes of \[3, 4\], want equal ones"),
        ((np.ones(3), ["a", "b", "c"]), r"data\[1\]: got list, want an array; for items of another kind"),
        ({"x": np.ones(())}, r"data\['x'\]: got shape \(\), want one row for each example"),
        ("text", "data: got str, want arrays with an equal first axis, or a list"),
        (3, "data: got int, want"),
        ({1, 2}, "data: got set, want"),
    ],
)
def test_what_is_no_data_set(data: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Batches(data, 2)


# BucketedBatches


@settings(max_examples=40)
@given(LENGTHS, st.integers(1, 9), st.floats(0, 0.9), st.booleans())
def test_padding_is_reported_and_within_the_bound(
    lengths: list[int], size: int, max_padding: float, shuffle: bool
) -> None:
    stream = BucketedBatches(items_of(lengths), size, max_padding=max_padding, shuffle=shuffle)
    for _ in range(2):
        reported = stream.padding
        batches = list(stream)
        padded = sum(xs.size for xs, _ in batches)
        assert reported == 1 - sum(lengths) / padded
        assert reported <= max_padding
        for xs, ns in batches:
            assert ns.tolist() == [lengths[k] for k in xs[0]]
            assert len(xs) == ns.max()


def test_a_bound_of_0_joins_equal_lengths_only_and_a_large_one_joins_all() -> None:
    lengths = [1, 5, 5, 2, 9, 1]
    assert BucketedBatches(items_of(lengths), 9, max_padding=0).buckets.tolist() == [1, 2, 5, 9]
    assert BucketedBatches(items_of(lengths), 9, max_padding=0.7).buckets.tolist() == [9]
    # Of the four, 1 and 2 are joined first: that costs two steps of padding in 25.
    assert BucketedBatches(items_of(lengths), 9, max_padding=2 / 25).buckets.tolist() == [2, 5, 9]
    assert BucketedBatches(items_of(lengths), 9, max_padding=2 / 25 - 1e-9).buckets.tolist() == [1, 2, 5, 9]


def test_batches_of_a_bucket_have_equal_sizes() -> None:
    stream = BucketedBatches(items_of([4] * 10), 4, shuffle=False)
    assert [len(ns) for _, ns in stream] == [4, 3, 3]


def test_who_meets_whom_changes_from_epoch_to_epoch() -> None:
    stream = BucketedBatches(items_of(list(range(50, 90))), 8, max_padding=0.1)
    epochs = [{frozenset(part.tolist()) for part in stream.order_of(epoch)} for epoch in range(3)]
    assert len(epochs[0]) == len(stream) == 5
    assert len(epochs[0] & epochs[1]) <= 1  # a bucket of one batch is the same in every epoch
    assert len(epochs[1] & epochs[2]) <= 1


def test_pairs_want_a_length_and_a_collate() -> None:
    pairs = [([1, 2], [3]), ([4], [5, 6])]
    with pytest.raises(ValueError, match=r"length: got len for data\[0\], a tuple, want a function for it, such as"):
        BucketedBatches(pairs, 2)
    stream = BucketedBatches(pairs, 2, length=lambda pair: len(pair[1]), collate=lambda batch: batch, shuffle=False)
    assert list(stream) == [[pairs[0]], [pairs[1]]]


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ([], {}, "BucketedBatches: data: got no examples"),
        (np.ones((3, 2)), {}, "data: got arrays, want a list of items"),
        ([[1], []], {}, r"length: got 0 for data\[1\], want a whole number of at least 1"),
        ([[1], [2]], {"length": lambda item: 1.5}, r"length: got 1\.5 for data\[0\]"),
        ([1, 2], {}, r"length: fails for data\[0\], 1: object of type 'int' has no len"),
        ([[1]], {"max_padding": 1.0}, r"max_padding: got 1\.0, want a number in \[0, 1\)"),
    ],
)
def test_what_has_no_buckets(data: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        BucketedBatches(data, 2, **options)


def test_iteration_reads_what_a_subclass_makes_of_a_batch() -> None:
    class Negated(Batches):
        def next_batch(self) -> Any:
            return -super().next_batch()

    stream = Negated(np.arange(1, 8), 3, shuffle=False)
    assert [batch.tolist() for batch in stream] == [[-1, -2, -3], [-4, -5, -6], [-7]]
    assert (stream.epoch, stream.batch) == (1, 0)
