"""Streams: every character is predicted once, chunks follow each other, and a saved position resumes exactly."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from minigrad_rnn.text.streams import Chunk, Streams


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, int, int]:
    """Length of a text, batch size, steps."""
    batch_size = draw(st.integers(1, 7))
    return draw(st.integers(2 * batch_size, 150)), batch_size, draw(st.integers(1, 30))


def rows(chunks: list[Chunk], which: str) -> np.ndarray:
    """Whole streams (B, L) of an epoch's chunks."""
    return np.concatenate([getattr(chunk, which) for chunk in chunks]).T


@given(layouts(), st.booleans())
def test_every_character_is_predicted_once(layout: tuple[int, int, int], rotate: bool) -> None:
    n, batch_size, steps = layout
    streams = Streams(np.arange(n), batch_size, steps, rotate=rotate)
    chunks = list(streams)
    targets = np.concatenate([chunk.targets.ravel() for chunk in chunks])
    assert len(set(targets.tolist())) == targets.size == streams.characters_per_epoch
    assert targets.size == n - 1 - (n - 1) % batch_size
    if not rotate:
        assert sorted(targets.tolist()) == list(range(1, targets.size + 1))
    assert len(chunks) == len(streams)
    # All chunks have `steps` steps but the last one.
    assert {len(chunk.inputs) for chunk in chunks[:-1]} <= {steps}
    assert 1 <= len(chunks[-1].inputs) <= steps


@given(layouts(), st.booleans())
def test_streams_are_contiguous_and_targets_are_the_next_characters(layout: tuple[int, int, int], rotate: bool) -> None:
    n, batch_size, steps = layout
    chunks = list(Streams(np.arange(n), batch_size, steps, rotate=rotate))
    inputs, targets = rows(chunks, "inputs"), rows(chunks, "targets")
    assert inputs.shape == targets.shape == (batch_size, (n - 1) // batch_size)
    np.testing.assert_array_equal(targets, (inputs + 1) % n)
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
    assert [chunk.fresh for chunk in chunks] == [True] + [False] * (len(chunks) - 1)


@given(layouts())
def test_drop_last_leaves_out_the_short_chunk_only(layout: tuple[int, int, int]) -> None:
    n, batch_size, steps = layout
    whole = (n - 1) // batch_size // steps
    if whole == 0:
        with pytest.raises(ValueError, match="drop_last"):
            Streams(np.arange(n), batch_size, steps, drop_last=True)
        return
    streams = Streams(np.arange(n), batch_size, steps, drop_last=True)
    chunks = list(streams)
    assert len(chunks) == len(streams) == whole
    assert streams.characters_per_epoch == whole * steps * batch_size
    for chunk, full in zip(chunks, Streams(np.arange(n), batch_size, steps)):
        assert chunk.inputs.shape == (steps, batch_size)
        np.testing.assert_array_equal(chunk.targets, full.targets)


@given(layouts(), st.booleans(), st.integers(0, 40))
def test_a_saved_position_resumes_exactly(layout: tuple[int, int, int], rotate: bool, before: int) -> None:
    n, batch_size, steps = layout

    def make() -> Streams:
        return Streams(np.arange(n), batch_size, steps, rotate=rotate, seed=5)

    first, second = make(), make()
    for _ in range(before):
        first.next_chunk()
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for _ in range(5):
        ours, theirs = first.next_chunk(), second.next_chunk()
        np.testing.assert_array_equal(ours.inputs, theirs.inputs)
        np.testing.assert_array_equal(ours.targets, theirs.targets)
        assert ours.fresh == theirs.fresh


def test_state_saved_in_the_loop_names_the_next_chunk() -> None:
    streams = Streams(np.arange(21), 2, 3)
    assert len(streams) == 4
    positions = [(streams.state_dict()["epoch"], streams.state_dict()["chunk"]) for _ in streams]
    assert positions == [(0, 1), (0, 2), (0, 3), (1, 0)]


def test_a_broken_loop_goes_on_where_it_stopped() -> None:
    streams = Streams(np.arange(21), 2, 3)
    for _ in streams:
        break
    assert (streams.epoch, streams.chunk) == (0, 1)
    assert len(list(streams)) == 3
    assert (streams.epoch, streams.chunk) == (1, 0)
    assert next(iter(streams)).fresh


def test_rotation_depends_on_seed_and_epoch_alone() -> None:
    def beginnings(seed: int, epochs: int = 6) -> list[int]:
        streams = Streams(np.arange(1000), 4, 50, rotate=True, seed=seed)
        return [int(rows(list(streams), "inputs")[0, 0]) for _ in range(epochs)]

    assert beginnings(1) == beginnings(1)
    assert len(set(beginnings(1))) == 6
    assert beginnings(1) != beginnings(2)
    jumped = Streams(np.arange(1000), 4, 50, rotate=True, seed=1)
    jumped.load_state_dict({**jumped.state_dict(), "epoch": 4})
    assert jumped.next_chunk().inputs[0, 0] == beginnings(1)[4]


def test_without_rotation_epochs_are_equal() -> None:
    streams = Streams(np.arange(30), 2, 4)
    np.testing.assert_array_equal(rows(list(streams), "inputs"), rows(list(streams), "inputs"))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_chunks_keep_the_dtype_and_own_their_memory(dtype: Any) -> None:
    ids = np.arange(30, dtype=dtype)
    chunk = Streams(ids, 1, 4).next_chunk()
    assert chunk.inputs.dtype == chunk.targets.dtype == dtype
    assert chunk.inputs.flags.c_contiguous
    assert chunk.targets.flags.c_contiguous
    chunk.inputs[...] = 0
    np.testing.assert_array_equal(ids, np.arange(30))


@pytest.mark.parametrize(
    ("error", "arguments", "message"),
    [
        (ValueError, (np.arange(7), 4, 2), "ids: got 7 characters for batch_size 4, want at least 8"),
        (ValueError, (np.arange(9), 0, 2), "batch_size: got 0, want a whole number"),
        (ValueError, (np.arange(9), 2, 0), "steps: got 0, want a whole number"),
        (ValueError, (np.arange(9), 2.0, 2), r"batch_size: got 2\.0, want a whole number"),
        (ValueError, (np.arange(9), 2, None), "steps: got None, want a whole number"),
        (ValueError, (np.zeros((3, 3), int), 2, 2), r"ids: got shape \(3, 3\), want one dimension"),
        (TypeError, (np.zeros(9), 2, 2), "ids: got float64, want integers"),
        (TypeError, (np.zeros(9, bool), 2, 2), "ids: got bool, want integers"),
    ],
)
def test_constructor_errors(error: type[Exception], arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(error, match=message):
        Streams(*arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 3}, "batch_size: got 3, want 2 as here"),
        ({"characters": 22}, "characters: got 22, want 21 as here"),
        ({"seed": 1}, "seed: got 1"),
        ({"chunk": 4}, "got chunk 4 of epoch 0, want a chunk of 0 to 3"),
        ({"epoch": -1}, "chunk 0 of epoch -1"),
        ({"chunk": None}, "want chunk too"),
        ({"chunk": 1.5}, "got chunk 1.5 of epoch 0"),
        ({"chunk": "1"}, "got chunk '1' of epoch 0"),
        ({"epoch": True}, "of epoch True"),
    ],
)
def test_a_position_of_another_layout_is_refused(change: dict[str, Any], message: str) -> None:
    streams = Streams(np.arange(21), 2, 3)
    state = {key: value for key, value in {**streams.state_dict(), **change}.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        streams.load_state_dict(state)
    assert (streams.epoch, streams.chunk) == (0, 0)


def test_iteration_reads_what_a_subclass_makes_of_a_chunk() -> None:
    class Shifted(Streams):
        def next_chunk(self) -> Chunk:
            return super().next_chunk()._replace(fresh=True)

    assert [chunk.fresh for chunk in Shifted(np.arange(9), batch_size=2, steps=2)] == [True, True]
    assert [chunk.fresh for chunk in Streams(np.arange(9), batch_size=2, steps=2)] == [True, False]
