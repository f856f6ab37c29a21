"""Account notes what each use of one value contributes to its gradient in a backward pass, before it is pooled.

The contributions are kept in full, or as their norms by time step; the ledger shows them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .gradient_pool import UNFINISHED, OuterProduct, PerStepSum, Pool, in_dtype, unbroadcast
from .norms import norm, norm_of_product
from .tape import Node

Array = Any
Label = int | None
"""The time step of a use, None for none."""


class Account:
    """The contributions to one value in full, in `lines`: pairs of the use's time step and an array, the newest first.

    The backward pass calls `open` before the first contribution, `note` for each, and `close` after the last one.
    """

    def __init__(self) -> None:
        self.lines: list[tuple[Label, Array]] = []

    def open(self, uses: Counter[Label]) -> None:
        """Take note of how many uses each time step has."""

    def note(self, label: Label, parent: Node, contribution: Any, xp: Any) -> None:
        """Take a contribution to `parent`, in its shape and dtype, or a `PerStepSum`."""
        if type(contribution) is PerStepSum:
            self.lines += [(t, _part(contribution, t, parent, xp, copy=True)) for t in contribution.steps]
            return
        dense = contribution.dense() if type(contribution) in UNFINISHED else contribution
        self.lines.append((label, xp.array(dense, copy=True)))  # the pool may go on adding into the array

    def pooled(self, total: Any) -> None:
        """Take the sum of all contributions."""

    def close(self, parent: Node) -> None:
        """No contribution follows."""


class NormAccount(Account):
    """The norms of the contributions to one value, by time step, in `norms`; `total` is that of their sum.

    No more is kept than what waits for the other uses of its time step: factors, or one array of the value's size. What
    a whole sequence contributes waits for the end where the value has other uses, as a `PerStepSum`.
    """

    total = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.norms: dict[Label, float] = {}
        self._left: Counter[Label] = Counter()
        self._waiting: dict[Label, Pool] = {}
        self._sequences: list[PerStepSum] = []
        self._alone = False
        self._xp: Any = None

    def open(self, uses: Counter[Label]) -> None:
        self._left = uses
        self._alone = uses.total() == 1

    def note(self, label: Label, parent: Node, contribution: Any, xp: Any) -> None:
        self._xp = xp
        if type(contribution) is PerStepSum:
            if not self._alone:
                self._sequences.append(contribution)
            elif _as_it_is(contribution, parent):
                self.norms = dict(contribution.norms())
            else:
                self.norms = {t: norm(_part(contribution, t, parent, xp)) for t in contribution.steps}
            return
        self._left[label] -= 1
        waiting = self._waiting.get(label)
        if waiting is None:
            if self._left[label] <= 0:  # the step's only use, as that of a weight by its cell
                self.norms[label] = _norm(contribution)
                return
            waiting = self._waiting[label] = Pool(xp)
            # The pool borrows its first array, which waits here beyond the rule that made it.
            if type(contribution) not in UNFINISHED:
                contribution = xp.array(contribution, copy=True)
        waiting.add(contribution)
        if self._left[label] <= 0:
            del self._waiting[label]
            self.norms[label] = _norm(waiting.result(keep_factors=True)[0])

    def pooled(self, total: Any) -> None:
        self.total = norm(total)

    def close(self, parent: Node) -> None:
        for label, pool in self._waiting.items():  # of a use that did not reach the result
            self.norms[label] = _norm(pool.result(keep_factors=True)[0])
        self._waiting = {}
        if self._sequences:
            self._add_sequences(parent)

    def _add_sequences(self, parent: Node) -> None:
        """The norms of several sequences' parts; where steps coincide, of the sums of their parts."""
        xp, sequences = self._xp, self._sequences
        self._sequences = []
        found = [
            dict(s.norms()) if _as_it_is(s, parent) else {t: norm(_part(s, t, parent, xp)) for t in s.steps}
            for s in sequences
        ]
        steps = Counter(t for norms in found for t in norms)
        twice = next((t for t in steps if t in self.norms), math.nan)
        if not isinstance(twice, float):
            raise ValueError(
                f"ledger: keep='norms': a tensor of shape {parent.shape} was used at time step {twice} both inside a "
                "sequence that runs as one operation and outside it, and the norm of the sum of the two is not kept; "
                "want keep='full'"
            )
        for t, count in steps.items():
            if count == 1:
                self.norms[t] = next(norms[t] for norms in found if t in norms)
            else:
                parts = [_part(s, t, parent, xp) for s, norms in zip(sequences, found) if t in norms]
                self.norms[t] = norm(sum(parts[1:], parts[0]))


def _as_it_is(contribution: PerStepSum, parent: Node) -> bool:
    """Whether the parts have the parent's shape, and real or complex numbers as it has."""
    total = contribution.total
    return bool(tuple(total.shape) == parent.shape and (total.dtype.kind == "c") is (parent.dtype.kind == "c"))


def _part(contribution: PerStepSum, t: int, parent: Node, xp: Any, copy: bool = False) -> Array:
    """Step t's part in the parent's shape and dtype."""
    g = contribution.at(t)
    if g.shape != parent.shape:
        g = unbroadcast(xp, g, parent.shape, defer=False)
    g = in_dtype(g, parent.dtype, xp)
    return xp.array(g, copy=True) if copy else g


def _norm(contribution: Any) -> float:
    kind = type(contribution)
    if kind is OuterProduct:
        return norm_of_product(contribution.left, contribution.right)
    return norm(contribution.dense() if kind in UNFINISHED else contribution)


Accounts = Mapping[int, Sequence[Account]]
"""For each value, by its node's serial number, the accounts that a backward pass keeps of it."""


def open_accounts(accounts: Accounts, nodes: Mapping[int, Node]) -> None:
    """Open the accounts for a backward pass over `nodes`."""
    uses: dict[int, Counter[Label]] = {serial: Counter() for serial in accounts}
    for node in nodes.values():
        for parent in node.parents:
            if parent is not None and parent.serial in uses:
                uses[parent.serial][node.time_step] += 1
    for serial, kept in accounts.items():
        for account in kept:
            account.open(Counter(uses[serial]))


def close_accounts(accounts: Accounts, parents: Mapping[int, Node]) -> None:
    """Close the accounts; `parents` are the values' nodes that the pass has reached."""
    for serial, parent in parents.items():
        for account in accounts[serial]:
            account.close(parent)
