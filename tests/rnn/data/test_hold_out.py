"""hold_out: parts that are disjoint and complete, drawn by a seed, cut by time, or in whole groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad_rnn.data import hold_out


@settings(max_examples=40)
@given(st.integers(10, 60), st.sampled_from([0.1, 0.25, 0.5, (0.1, 0.2), (0.2, 0.2, 0.3)]), st.booleans())
def test_parts_are_disjoint_complete_and_of_the_size_asked_for(n: int, fractions: Any, by_time: bool) -> None:
    parts = [part.tolist() for part in hold_out(np.arange(n), fractions, by_time=by_time)]
    assert sorted(k for part in parts for k in part) == list(range(n))
    assert all(part == sorted(part) for part in parts)
    shares = fractions if isinstance(fractions, tuple) else (fractions,)
    assert [len(part) for part in parts[1:]] == [int(n * share + 0.5) for share in shares]
    if by_time:
        assert [k for part in parts for k in part] == list(range(n))


def test_the_draw_depends_on_the_seed() -> None:
    assert hold_out(np.arange(50), seed=1)[1].tolist() == hold_out(np.arange(50), seed=1)[1].tolist()
    assert hold_out(np.arange(50), seed=1)[1].tolist() != hold_out(np.arange(50), seed=2)[1].tolist()


def test_parts_have_the_form_of_the_data(xp: Any) -> None:
    x, y = xp.array(np.ones((10, 2))), xp.array(np.arange(10))
    for part in hold_out((x, y), 0.3):
        assert type(part) is tuple
        assert type(part[0]) is type(x)
        assert len(part[0]) == len(part[1]) in (7, 3)
    train, test = hold_out({"y": y}, 0.3)
    assert sorted([*mg.tensor(train["y"]).tolist(), *mg.tensor(test["y"]).tolist()]) == list(range(10))
    train, test = hold_out(list("abcdefghij"), 0.3, by_time=True)
    assert (train, test) == (list("abcdefg"), list("hij"))


def test_a_gap_belongs_to_no_part() -> None:
    parts = hold_out(np.arange(20), (0.2, 0.2), by_time=True, gap=3)
    assert [part.tolist() for part in parts] == [list(range(6)), [9, 10, 11, 12], [16, 17, 18, 19]]


@settings(max_examples=40)
@given(st.lists(st.integers(0, 12), min_size=30, max_size=60), st.integers(0, 5))
def test_groups_stay_together(labels: list[int], seed: int) -> None:
    if max(labels.count(label) for label in labels) > len(labels) // 4:
        return
    parts = hold_out(list(enumerate(labels)), (0.3, 0.3), groups=np.array(labels), seed=seed)
    found = [{label for _, label in part} for part in parts]
    assert not found[0] & found[1]
    assert not found[0] & found[2]
    assert not found[1] & found[2]
    assert sorted(item for part in parts for item in part) == list(enumerate(labels))
    assert all(len(part) <= 0.3 * len(labels) + 1 for part in parts[1:])


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (np.arange(3), {}, r"data: got 3 examples, of which the parts would have \[3, 0\]; want more, or other"),
        (np.arange(2), {"fractions": (0.5, 0.4)}, r"would have \[0, 1, 1\]"),
        (np.arange(10), {"by_time": True, "gap": 9}, r"would have \[0, 1\]; want .* or a smaller gap than 9"),
        (np.arange(4), {"groups": [1, 1, 1, 1]}, r"got 4 examples in 1 groups, of which the parts would have \[4, 0\]"),
        (np.arange(9), {"fractions": 1.0}, r"fractions: got 1\.0, want numbers between 0 and 1, together below 1"),
        (np.arange(9), {"fractions": (0.5, 0.5)}, r"fractions: got \(0\.5, 0\.5\), want"),
        (np.arange(9), {"fractions": ()}, r"fractions: got \(\), want"),
        (np.arange(9), {"gap": 2}, "gap: got 2 without by_time, want 0"),
        (np.arange(9), {"groups": [1]}, "groups: got 1 labels, want 9, one for each example"),
        (np.arange(9), {"groups": [1] * 9, "by_time": True}, "groups: got labels with by_time, want None"),
        ([], {}, "data: got no examples, want at least one"),
    ],
)
def test_a_split_that_leaves_nothing(data: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^hold_out: .*{message}"):
        hold_out(data, **options)
