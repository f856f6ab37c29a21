"""The ledger: what each use of a shared tensor contributes to its gradient, before the contributions are pooled.

`ledger` runs a backward pass of its own; `record_ledger` listens to those that `backward()` runs inside its block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np

from ..differentiate import run_backward
from ..engine.account import Account, Label, NormAccount
from ..engine.modes import Mode, ModeContext
from ..engine.norms import norm
from ..engine.tape import GraphError
from ..engine.tensor import Operand, Tensor
from ..validation import check_choice, check_flag, check_type
from .norm_bars import NormBars, html_of, text_of
from .one_line import one_line

Keep = Literal["full", "norms"]
KEEPS = ("full", "norms")
Inputs = Any
"""A tensor, a list of them, a dict of them by name, or a module, whose trainable parameters are meant."""


class Named:
    """The tensors of a ledger and their names; a tensor is found by itself or by its name.

    Raises:
        GraphError: a tensor is not on the tape. TypeError: something is no tensor.
    """

    def __init__(self, caller: str, inputs: Inputs) -> None:
        self.caller = caller
        self.tensors: dict[int, Tensor] = {}
        self.name_of: dict[int, str] = {}
        for name, x in _named(caller, inputs):
            if x.node is None:
                raise GraphError(f"{caller}: {name} of shape {x.shape} is not on the tape; requires_grad is off")
            self.tensors.setdefault(x.node.serial, x)
            self.name_of.setdefault(x.node.serial, name)

    def serial(self, x: Tensor | str) -> int:
        """The serial number under which a ledger keeps what is asked for. Raises KeyError if it is not there."""
        if isinstance(x, str):
            found = next((serial for serial, name in self.name_of.items() if name == x), None)
            if found is None:
                raise KeyError(f"Ledger: got {x!r}, want a tensor, or one of {list(self.name_of.values())}")
            return found
        if x.node is None or x.node.serial not in self.tensors:
            raise KeyError(f"Ledger: the tensor of shape {x.shape} is not among the inputs of this ledger")
        return x.node.serial

    def title(self, serial: int) -> str:
        x = self.tensors[serial]
        return f"{one_line(self.name_of[serial])} {x.shape} {x.dtype}"


def _named(caller: str, inputs: Inputs) -> list[tuple[str, Tensor]]:
    if isinstance(inputs, Tensor):
        return [("inputs", inputs)]
    pairs: list[tuple[str, Any]]
    if hasattr(inputs, "named_parameters") and not isinstance(inputs, type):
        pairs = [(name, p) for name, p in inputs.named_parameters() if p.node is not None]
    elif isinstance(inputs, Mapping):
        pairs = [(str(name), x) for name, x in inputs.items()]
    elif isinstance(inputs, Iterable) and not isinstance(inputs, (str, np.ndarray, type)):
        pairs = [(f"inputs[{k}]", x) for k, x in enumerate(inputs)]
    else:
        pairs = [("", None)]
    if not all(isinstance(x, Tensor) for _, x in pairs):
        got = type(inputs).__name__
        raise TypeError(f"{caller}: inputs: got {got}, want a tensor, a list of tensors, a dict of them or a module")
    return pairs


class Ledger:
    """The gradient of shared tensors before it is pooled: what each use contributed, with its time step.

    >>> import minigrad as mg
    >>> w = mg.tensor([2.0], requires_grad=True)
    >>> with mg.time_step(0):
    ...     y = w * 3.0
    >>> with mg.time_step(1):
    ...     y = y * w
    >>> book = mg.ledger(y.sum(), {"w": w})
    >>> [(t, g.tolist()) for t, g in book[w]]
    [(1, [6.0]), (0, [6.0])]
    >>> book
    Ledger of 1 tensor: the norms of what each time step contributes
    w (1,) float32: the gradient's norm is 1.2e+01; bars: from 0
      t  norm
      0  6.0e+00  ████████████████████████████████
      1  6.0e+00  ████████████████████████████████

    The contributions of one tensor add up to its gradient. `book[x]` lists them, the newest use first. A tensor may be
    given by its name.
    """

    def __init__(self, named: Named, keep: Keep) -> None:
        self._named, self.keep = named, keep
        self._accounts: dict[int, list[Account]] = {serial: [] for serial in named.tensors}

    @property
    def names(self) -> list[str]:
        """The names of the tensors, as given or as a module names its parameters."""
        return list(self._named.name_of.values())

    def __getitem__(self, x: Tensor | str) -> list[tuple[Label, Tensor]]:
        serial = self._named.serial(x)
        if self.keep == "norms":
            raise ValueError("Ledger: keep: got 'norms', want 'full' where the contributions themselves are asked for")
        return [(t, Tensor(g)) for account in self._accounts[serial] for t, g in account.lines]

    def by_time_step(self, x: Tensor | str) -> dict[Label, Tensor]:
        """Return the sum of the contributions of each time step, in rising order; unlabelled uses under None, last."""
        totals: dict[Label, Tensor] = {}
        for t, g in self[x]:
            totals[t] = totals[t] + g if t in totals else g
        return in_order(totals)

    def norms(self, x: Tensor | str) -> dict[Label, float]:
        """Return the norm of each time step's contribution, ‖∂L/∂x through the uses at t‖, in the same order."""
        if self.keep == "full":
            return {t: norm(g._array) for t, g in self.by_time_step(x).items()}
        accounts = self._accounts[self._named.serial(x)]
        return in_order(cast(NormAccount, accounts[0]).norms) if accounts else {}

    def gradient_norm(self, x: Tensor | str) -> float:
        """Return the norm of the gradient, the sum of all contributions."""
        accounts = self._accounts[self._named.serial(x)]
        if self.keep == "norms":
            return cast(NormAccount, accounts[0]).total if accounts else 0.0
        arrays = [g for account in accounts for _, g in account.lines]
        return norm(sum(arrays[1:], arrays[0])) if arrays else 0.0

    def open_pass(self) -> dict[int, Account]:
        """Return new accounts for a backward pass."""
        if self.keep == "norms" and any(self._accounts.values()):
            raise ValueError(
                "record_ledger: keep: got 'norms' and a second backward(), whose norms cannot be added to the first's; "
                "open a block for each, or want keep='full'"
            )
        return new_accounts(self._named.tensors, self.keep)

    def close_pass(self, accounts: Mapping[int, Account]) -> None:
        """Take the accounts of a complete backward pass."""
        self._accounts = {serial: [*kept, accounts[serial]] for serial, kept in self._accounts.items()}

    def _bars(self) -> list[tuple[str, NormBars]]:
        tables = []
        for serial, x in self._named.tensors.items():
            bars = NormBars(self.norms(x))
            tables.append(
                (f"{self._named.title(serial)}: the gradient's norm is {self.gradient_norm(x):.1e}; {bars.scale}", bars)
            )
        return tables

    @property
    def _head(self) -> str:
        n = len(self._named.tensors)
        return f"Ledger of {n} tensor{'s' * (n != 1)}: the norms of what each time step contributes"

    def __repr__(self) -> str:
        return text_of(self._head, self._bars(), "nothing has been contributed")

    def _repr_html_(self) -> str:
        return html_of(self._head, self._bars())


def in_order(by_step: Mapping[Label, Any]) -> dict[Label, Any]:
    """The same by rising time step; None last."""
    return {t: by_step[t] for t in sorted(by_step, key=lambda t: (t is None, t))}


def new_accounts(serials: Iterable[int], keep: Keep) -> dict[int, Account]:
    return {serial: NormAccount() if keep == "norms" else Account() for serial in serials}


def ledger(
    output: Tensor,
    inputs: Tensor | Sequence[Tensor] | Mapping[str, Tensor] | Any,
    gradient: Operand = None,
    retain_graph: bool = False,
    keep: Keep = "full",
) -> Ledger:
    """Run a backward pass that keeps apart what each use of `inputs` contributed to their gradients.

    No `.grad` is touched. Only direct uses of an input count: with `WT = W.T` outside the loop, W has one use, and the
    time steps are in WT's lines. In a network of several layers and directions every cell has weights of its own, and
    so its own lines.

    Args:
        output, gradient: as for `backward`.
        inputs: a tensor on the tape, a list of them, a dict of them by name, or a module: its trainable parameters.
        retain_graph: keep the graph for another backward pass.
        keep: "full": every contribution, so that memory grows with the number of uses. "norms": a number for each time
            step, computed as the contributions pass; no array of a weight's size is kept for each step.

    Raises:
        ValueError, GraphError, TypeError: as `gradients`.
    """
    check_type("ledger", Tensor, "a tensor", output=output)
    check_flag("ledger", retain_graph=retain_graph)
    check_choice("ledger", KEEPS, keep=keep)
    named = Named("ledger", inputs)
    book = Ledger(named, keep)
    accounts = book.open_pass()
    run_backward(
        "ledger", [output], [gradient], set(accounts), retain_graph, False, {k: [a] for k, a in accounts.items()}
    )
    book.close_pass(accounts)
    return book


class record_ledger(ModeContext):
    """Take note, inside a `with` block, of what each use contributes to the gradients that `backward()` writes.

    `.grad` is written as always. The block's value is the `Ledger`; after a backward pass that raised an error it is as
    it was before. Passes of `gradients`, `ledger` and the transformations are not noted, nor those of other threads.

    >>> import minigrad as mg
    >>> w = mg.tensor([2.0], requires_grad=True)
    >>> with mg.time_step(3):
    ...     loss = (w * w).sum()
    >>> with mg.record_ledger(w, keep="norms") as book:
    ...     loss.backward()
    >>> book.norms(w), w.grad.tolist()
    ({3: 4.0}, [4.0])

    Used for another block it has a new ledger there.

    Args:
        inputs, keep: as for `ledger`.

    Raises:
        TypeError, GraphError: as `ledger`. ValueError: another `keep`; and from a second `backward()` in one block with
            "norms", before it does anything: norms of two passes do not add up.
    """

    def __init__(self, inputs: Inputs, keep: Keep = "full") -> None:
        check_choice("record_ledger", KEEPS, keep=keep)
        self._named, self._keep = Named("record_ledger", inputs), keep

    def opening(self) -> Ledger:
        self._book = Ledger(self._named, self._keep)
        return self._book

    def changed(self, before: Mode) -> Mode:
        now = Mode(before.recording, before.time_step, before.observer, before)
        if self._book not in before.ledgers:
            now.ledgers = (*before.ledgers, self._book)
        return now
