"""`hold_out` splits a data set into a part for training and parts to measure on, at random or by time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from minigrad.validation import check_flag, check_integer, check_type, is_number, shown, type_shown

from .dataset import Dataset, Indices


def hold_out(
    data: Any,
    fractions: float | tuple[float, ...] = 0.1,
    *,
    seed: int = 0,
    by_time: bool = False,
    gap: int = 0,
    groups: Sequence[Any] | None = None,
) -> tuple[Any, ...]:
    """Return (train, held_out), or (train, validation, test, …) for several fractions; no part is empty.

    >>> train, test = hold_out(np.arange(10), 0.2, by_time=True)
    >>> train.tolist(), test.tolist()
    ([0, 1, 2, 3, 4, 5, 6, 7], [8, 9])

    Args:
        data: an array, or a tuple or dictionary of arrays, with one example in each place of the first axis, each part
            of which has the same form; or a list of items, whose parts are lists.
        fractions: the share of the examples that is held out, or of each held-out part; together below 1.
        seed: of the draw. Every part keeps the data's order.
        by_time: whether to hold out the end of the data: for series, whose future must not be known in training.
        gap: with by_time, how many examples in front of each held-out part belong to no part, so that examples made
            from overlapping stretches of a series do not stand on both sides.
        groups: one label for each example; examples of equal labels stay together, so that near-duplicates, or what
            one speaker said, do not stand on both sides. A part then has about its share.

    Raises:
        TypeError: data that are neither arrays nor a sequence.
        ValueError: a fraction that is not between 0 and 1, fractions of 1 or more together, a part that would be empty,
            a gap without by_time, or groups with it or of another length than the data.
    """
    dataset = Dataset("hold_out", data)
    several = isinstance(fractions, tuple)
    shares: Any = fractions if isinstance(fractions, tuple) else (fractions,)
    if not shares or not all(is_number(share) and 0 < share < 1 for share in shares) or not sum(shares) < 1:
        got = repr(fractions) if several and all(map(is_number, shares)) else shown(fractions)
        raise ValueError(f"hold_out: fractions: got {got}, want numbers between 0 and 1, together below 1")
    check_integer("hold_out", 0, seed=seed, gap=gap)
    check_flag("hold_out", by_time=by_time)
    if gap and not by_time:
        raise ValueError(f"hold_out: gap: got {gap} without by_time, want 0: there is no order to keep a distance in")
    if groups is not None:
        check_type("hold_out", (list, tuple, np.ndarray), "a list of labels", groups=groups)
        if by_time or len(groups) != dataset.size:
            got = "labels with by_time" if by_time else f"{len(groups)} labels"
            want = "None" if by_time else f"{dataset.size}, one for each example"
            raise ValueError(f"hold_out: groups: got {got}, want {want}")
        groups = _labels(groups)
    wanted = [int(dataset.size * share + 0.5) for share in shares]
    if by_time:
        parts = _by_time(dataset.size, wanted, gap)
    else:
        parts = _at_random(dataset.size, wanted, np.random.default_rng(seed), groups)
    sizes = [len(part) for part in parts]
    if not all(sizes):
        got = f"{dataset.size} examples{f' in {len(set(groups))} groups' if groups is not None else ''}"
        want = f"want more, or other fractions than {fractions}{f' or a smaller gap than {gap}' if gap else ''}"
        raise ValueError(f"hold_out: data: got {got}, of which the parts would have {sizes}; {want}")
    return tuple(dataset.pick(part) for part in parts)


def _by_time(size: int, wanted: list[int], gap: int) -> list[Indices]:
    parts, end = [], size
    for count in reversed(wanted):
        start = max(end - count, 0)
        parts.append(np.arange(start, end))
        end = max(start - gap, 0)
    return [np.arange(end), *reversed(parts)]


def _at_random(size: int, wanted: list[int], rng: np.random.Generator, groups: Any) -> list[Indices]:
    """The parts, filled with whole groups in a drawn order; a group that is too large for what is left is passed on."""
    labels = range(size) if groups is None else groups
    members: dict[Any, list[int]] = {}
    for k, label in enumerate(labels):
        members.setdefault(label, []).append(k)
    pending = list(members.values())
    pending = [pending[k] for k in rng.permutation(len(pending))]
    parts: list[list[int]] = []
    for count in wanted:
        part: list[int] = []
        left = []
        for group in pending:
            if len(part) + len(group) <= count:
                part.extend(group)
            else:
                left.append(group)
        parts.append(part)
        pending = left
    train = [k for group in pending for k in group]
    return [np.array(sorted(part), np.int64) for part in (train, *parts)]


def _labels(groups: Any) -> list[Hashable]:
    labels: list[Any] = list(groups)
    for k, label in enumerate(labels):
        if not isinstance(label, Hashable):
            raise TypeError(f"hold_out: groups: got {type_shown(label)} for example {k}, want labels, one for each")
    return labels
