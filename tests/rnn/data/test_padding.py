"""Padding: torch's arrays, gradients to every sequence, and back again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad_rnn.data import pad_sequence, unpad_sequence


@st.composite
def ragged(draw: st.DrawFn) -> list[np.ndarray]:
    """A few sequences of one kind."""
    rest = draw(st.sampled_from([(), (3,), (2, 1)]))
    dtype = draw(st.sampled_from([np.float32, np.float64, np.int64, np.uint8, bool]))
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    return [
        draw(hnp.arrays(dtype, (n, *rest), elements=hnp.from_dtype(np.dtype(dtype), allow_nan=False))) for n in lengths
    ]


@settings(max_examples=40)
@given(ragged(), st.booleans(), st.sampled_from([0, 1]), st.sampled_from(["right", "left"]))
def test_it_is_torchs(sequences: list[np.ndarray], batch_first: bool, value: int, side: str) -> None:
    torch = pytest.importorskip("torch")
    want = torch.nn.utils.rnn.pad_sequence([torch.tensor(x) for x in sequences], batch_first, value, side)
    got, lengths = pad_sequence(sequences, batch_first, value, side, return_lengths=True)
    assert got.dtype == sequences[0].dtype
    np.testing.assert_array_equal(got, want.numpy())
    assert lengths.tolist() == [len(x) for x in sequences]
    np.testing.assert_array_equal(pad_sequence(sequences, batch_first, value, side), got)
    if side == "right":
        for x, y in zip(unpad_sequence(got, lengths, batch_first), sequences, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("batch_first", [False, True])
def test_gradients_flow_to_each_sequence(xp: Any, batch_first: bool) -> None:
    rng = np.random.default_rng(0)
    xs = [mg.tensor(rng.standard_normal((n, 2)), requires_grad=True) for n in (3, 1, 2)]
    padded, lengths = pad_sequence(xs, batch_first, -1.0, return_lengths=True)
    assert isinstance(padded, mg.Tensor)
    weight = xp.array(rng.standard_normal(padded.shape))
    (padded * padded * mg.tensor(weight)).sum().backward()
    for x, w in zip(xs, unpad_sequence(weight, lengths, batch_first)):
        np.testing.assert_allclose(x.grad.numpy(), 2 * x.numpy() * mg.tensor(w).numpy(), rtol=1e-12)
    parts = unpad_sequence(pad_sequence(xs, batch_first), lengths, batch_first)
    for part, x in zip(parts, xs):
        np.testing.assert_array_equal(part.numpy(), x.numpy())
    x = xs[1]
    x.grad = None
    parts[1].sum().backward()
    assert x.grad.tolist() == [[1.0, 1.0]]


def test_arrays_stay_on_their_backend(xp: Any) -> None:
    with xp.no_sync():
        padded = pad_sequence([xp.array([1, 2, 3]), xp.array([4])], padding_value=-7)
    assert type(padded) is type(xp.array([1]))
    assert mg.tensor(padded).tolist() == [[1, 4], [2, -7], [3, -7]]


def test_sequences_on_two_backends(xp: Any) -> None:
    if xp.name == "numpy":
        return
    with pytest.raises(mg.BackendError, match=rf"sequences\[1\]: is on numpy, the first on {xp.name}"):
        pad_sequence([xp.array([1.0]), np.ones(2)])


def test_lists_become_arrays() -> None:
    assert pad_sequence([[1.5], [2, 3]]).tolist() == [[1.5, 2], [0, 3]]
    assert pad_sequence([[[1, 2]], [[3, 4], [5, 6]]], batch_first=True).shape == (2, 2, 2)
    assert np.isnan(pad_sequence([[1.5], [2, 3]], padding_value=float("nan"))[1, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "pad_sequence: sequences: got none, want at least one"),
        (([[1], 2],), r"sequences\[1\]: got shape \(\), want \(L,\) as the first"),
        (([np.ones((2, 3)), np.ones((2, 4))],), r"sequences\[1\]: got shape \(2, 4\), want \(L, 3\) as the first"),
        (([[1], [2]], False, 0.5), "padding_value: got 0.5, want a number that int64 can hold"),
        (([np.ones(1, np.uint8)], False, -1), "padding_value: got -1, want a number that uint8 can hold"),
        (([[1], ["a"]],), r"sequences\[1\]: got <U1, want numbers"),
        (("ab",), "sequences: got str, want a list of sequences"),
    ],
)
def test_what_cannot_be_padded(arguments: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        pad_sequence(*arguments)


def test_what_cannot_be_taken_apart() -> None:
    with pytest.raises(ValueError, match=r"unpad_sequence: padded: got shape \(3,\), want \(T, B, …\)"):
        unpad_sequence(np.ones(3), [1])
    with pytest.raises(ValueError, match="unpad_sequence: lengths: got 4 for sequence 1, want 1 to 3"):
        unpad_sequence(np.ones((3, 2)), [1, 4])
