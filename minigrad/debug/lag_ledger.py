"""The lag ledger: what the loss of each time step contributes to a gradient through the uses of every other step.

In the sum over a sequence's losses the short lags hide the long ones: a weight's use at step s receives from the losses
at s, s + 1, s + 2 … together. Here each of them is kept apart, so that a vanishing gradient is seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from ..backend import backend_of
from ..differentiate import run_backward
from ..engine.account import Account, Label, NormAccount
from ..engine.norms import norm
from ..engine.tape import GraphError
from ..engine.tensor import Tensor
from ..option_checks import shown
from ..validation import check_choice, check_integer
from .ledger import KEEPS, Inputs, Keep, Named, in_order, new_accounts
from .norm_bars import NormBars, html_of, text_of

Array = Any
LIMIT = 1 << 31
"""Bytes of contributions that are kept in full at most."""


class LagNorms(NamedTuple):
    """Norms by the time t of the loss and the lag k = t − s."""

    times: list[int]
    """The time t of each row."""
    lags: list[int]
    """The lag k of each column, rising: from 0 for a weight that is used forward in time, to 0 for a backward one."""
    norms: Array
    """(times, lags) in float64; NaN where step t − k does not exist."""


class LagLedger:
    """The gradient of shared tensors, split by the time t of the loss and the time step s of the use; lag k = t − s.

    >>> import minigrad as mg
    >>> w, h, losses = mg.tensor([0.5], requires_grad=True), mg.tensor([1.0]), []
    >>> for t in range(3):
    ...     with mg.time_step(t):
    ...         h = h * w
    ...     losses.append(h.sum())
    >>> book = mg.lag_ledger(losses, {"w": w})
    >>> book.norms("w")  # row t, column s: L(t) = w³ at t = 2, and each of three uses contributes w²
    array([[1.  , 0.  , 0.  ],
           [0.5 , 0.5 , 0.  ],
           [0.25, 0.25, 0.25]])
    >>> book.by_lag("w").norms
    array([[1.  ,  nan,  nan],
           [0.5 , 0.5 ,  nan],
           [0.25, 0.25, 0.25]])

    All contributions together add up to the gradient of the sum of the losses. A tensor x may be given by its name.

    Attributes:
        times: the time t of each loss.
        steps: the time steps s under which uses were recorded, rising.
    """

    def __init__(self, named: Named, keep: Keep, times: list[int], passes: list[dict[int, Account]]) -> None:
        self._named, self.keep, self.times, self._passes = named, keep, times, passes
        labels = {t for accounts in passes for account in accounts.values() for t in _labels(account)}
        self.steps: list[int] = sorted(t for t in labels if t is not None)

    @property
    def names(self) -> list[str]:
        """The names of the tensors, as given or as a module names its parameters."""
        return list(self._named.name_of.values())

    def norms(self, x: Tensor | str) -> Array:
        """Return (times, steps) in float64: the norm of what the loss at t contributes through the uses at s.

        0 where nothing is contributed, as for s > t in a network that reads forward. A matrix for a heat map.
        """
        column = {s: k for k, s in enumerate(self.steps)}
        result = np.zeros((len(self.times), len(self.steps)))
        for row, norms in zip(result, self._norms(x)):
            for s, size in norms.items():
                if s is not None:
                    row[column[s]] = size
        return result

    def unlabelled(self, x: Tensor | str) -> Array:
        """Return (times,) in float64: the norms of what the losses contribute through uses without a time step."""
        return np.array([norms.get(None, 0.0) for norms in self._norms(x)])

    def by_lag(self, x: Tensor | str) -> LagNorms:
        """Return `norms` by lag instead of by step; the matrix (times, lags) has NaN where there is no step t − k.

        Lags are negative where a loss depends on later steps, as in a net that reads backward. Of a stacked
        bidirectional net both occur in one weight.
        """
        norms, lags = self.norms(x), self._lags
        present = lags[norms != 0]
        found = np.unique(lags)
        if not (present < 0).any():
            found = found[found >= 0]
        elif not (present > 0).any():
            found = found[found <= 0]
        kept = np.isin(lags, found)
        result = np.full((len(self.times), len(found)), np.nan)
        result[np.nonzero(kept)[0], np.searchsorted(found, lags[kept])] = norms[kept]
        return LagNorms(self.times, found.tolist(), result)

    def largest_by_lag(self, x: Tensor | str) -> dict[int, float]:
        """Return for each lag the largest norm over all losses: how far back anything is learned. NaN if one is NaN."""
        norms, lags = self.norms(x), self._lags
        return {k: float(norms[lags == k].max()) for k in self.by_lag(x).lags}

    @property
    def _lags(self) -> Array:
        """(times, steps): the lag of each of `norms`."""
        return np.array(self.times, int)[:, None] - np.array(self.steps, int)[None, :]

    def contributions(self, x: Tensor | str, t: int) -> dict[Label, Tensor]:
        """Return what the loss at time t contributes through the uses of each step, rising, with `keep="full"`.

        Uses without a time step come last, under None.

        Raises:
            ValueError: `keep` is "norms". KeyError: there is no loss at t, or x is not in this ledger.
        """
        serial = self._named.serial(x)
        if self.keep == "norms":
            raise ValueError("LagLedger: keep: got 'norms', want 'full' where contributions themselves are asked for")
        if t not in self.times:
            raise KeyError(f"LagLedger: t: got {t}, want the time of a loss, one of {shown(self.times)}")
        return {s: Tensor(g) for s, g in _by_step(self._passes[self.times.index(t)][serial]).items()}

    def by_time_step(self, x: Tensor | str) -> dict[Label, Tensor]:
        """Return the sum over all losses, as `Ledger.by_time_step`, with `keep="full"`. Raises as `contributions`."""
        totals: dict[Label, Tensor] = {}
        for t in self.times:
            for s, g in self.contributions(x, t).items():
                totals[s] = totals[s] + g if s in totals else g
        return in_order(totals)

    def _norms(self, x: Tensor | str) -> list[dict[Label, float]]:
        serial = self._named.serial(x)
        if self.keep == "norms":
            return [cast(NormAccount, accounts[serial]).norms for accounts in self._passes]
        return [{s: norm(g) for s, g in _by_step(accounts[serial]).items()} for accounts in self._passes]

    def _bars(self) -> list[tuple[str, NormBars]]:
        tables = []
        for serial, x in self._named.tensors.items():
            bars = NormBars(self.largest_by_lag(x), "lag")
            tables.append((f"{self._named.title(serial)}; {bars.scale}", bars))
        return tables

    @property
    def _head(self) -> str:
        n, losses = len(self._named.tensors), len(self.times)
        return (
            f"LagLedger of {n} tensor{'s' * (n != 1)} and {losses} loss{'es' * (losses != 1)}: the largest norm of a "
            "contribution at each lag"
        )

    def __repr__(self) -> str:
        return text_of(self._head, self._bars(), "no use has a time step")

    def _repr_html_(self) -> str:
        return html_of(self._head, self._bars())


def _labels(account: Account) -> Iterable[Label]:
    return account.norms if isinstance(account, NormAccount) else [s for s, _ in account.lines]


def _by_step(account: Account) -> dict[Label, Array]:
    totals: dict[Label, Array] = {}
    for s, g in account.lines:
        totals[s] = totals[s] + g if s in totals else g
    return in_order(totals)


def lag_ledger(
    losses: Tensor | Sequence[Tensor], inputs: Inputs, times: Sequence[int] | None = None, keep: Keep = "norms"
) -> LagLedger:
    """Split the gradient of a sum of losses by the time t of the loss and the lag k = t − s back to the use at step s.

    One backward pass for each loss: for T losses over T steps O(T²) steps in time. The graph is kept, so that
    `backward()` may follow; no `.grad` is touched. With `keep="norms"` the memory is O(T²) numbers beside one pass's.

    Args:
        losses: a list of scalars, or one tensor (T,), one loss for each time. A list is faster op by op, where a pass
            visits the steps up to t only; a sequence that runs as one operation goes back through all of its steps.
        inputs: a tensor on the tape, a list of them, a dict of them by name, or a module: its trainable parameters.
        times: the time of each loss; by default 0, 1, 2 …
        keep: "norms", or "full" for the contributions themselves.

    Raises:
        ValueError: a loss is no scalar, there is none, `times` are not as many or not distinct, or the contributions in
            full would take more than 2 GiB.
        GraphError: a loss or an input is not on the tape, or the graph was consumed.
        TypeError: as `ledger`.
    """
    check_choice("lag_ledger", KEEPS, keep=keep)
    outputs, seeds = _terms(losses)
    when = _times(times, len(outputs))
    named = Named("lag_ledger", inputs)
    passes: list[dict[int, Account]] = [{} for _ in outputs]
    for k in reversed(range(len(outputs))):  # the last loss first: it meets the most steps
        passes[k] = accounts = new_accounts(named.tensors, keep)
        run_backward(
            "lag_ledger", [outputs[k]], [seeds[k]], set(accounts), True, False, {s: [a] for s, a in accounts.items()}
        )
        if k == len(outputs) - 1:
            _check_size(accounts, len(outputs))
    return LagLedger(named, keep, when, passes)


def _terms(losses: Any) -> tuple[list[Tensor], list[Any]]:
    """Return for each loss the tensor from which its backward pass starts, and the gradient it starts with."""
    wanted = "want a list of scalar tensors, or one tensor (T,)"
    if isinstance(losses, Tensor):
        if losses.ndim != 1 or not losses.size:
            raise ValueError(f"lag_ledger: losses: got a tensor of shape {losses.shape}, {wanted}")
        if losses.node is None:
            raise GraphError("lag_ledger: losses: the tensor is not on the tape: nothing in it requires a gradient")
        one_at_a_time = backend_of(losses._array).from_numpy(np.eye(losses.shape[0], dtype=losses.dtype))
        return [losses] * losses.shape[0], [one_at_a_time[t] for t in range(losses.shape[0])]
    if not isinstance(losses, (list, tuple)) or not all(isinstance(loss, Tensor) for loss in losses):
        raise TypeError(f"lag_ledger: losses: got {shown(losses)}, {wanted}")
    if not losses:
        raise ValueError(f"lag_ledger: losses: got none, {wanted}")
    for k, loss in enumerate(losses):
        if loss.size != 1:
            raise ValueError(f"lag_ledger: losses[{k}]: got shape {loss.shape}, {wanted}")
        if loss.node is None:
            raise GraphError(f"lag_ledger: losses[{k}] is not on the tape: nothing in it requires a gradient")
    return list(losses), [None] * len(losses)


def _times(times: Any, count: int) -> list[int]:
    if times is None:
        return list(range(count))
    if isinstance(times, (str, dict, set)) or not hasattr(times, "__len__"):
        raise TypeError(f"lag_ledger: times: got {shown(times)}, want whole numbers")
    for t in times:
        check_integer("lag_ledger", None, times=t)
    when = [int(t) for t in times]
    if len(when) != count or len(set(when)) < count:
        raise ValueError(f"lag_ledger: times: got {shown(times)}, want {count} different ones, one for each loss")
    return when


def _check_size(accounts: dict[int, Account], losses: int) -> None:
    nbytes = losses * sum(g.nbytes for account in accounts.values() for _, g in account.lines)
    if nbytes > LIMIT:
        raise ValueError(
            f"lag_ledger: keep: got 'full', which would take up to {nbytes / 2**30:.1f} GiB for {losses} losses; want "
            "'norms', or fewer losses or inputs"
        )
