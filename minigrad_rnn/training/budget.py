"""`Budget` says how much of a run's epochs, updates and seconds is used."""

from __future__ import annotations

from typing import NamedTuple

from minigrad.option_checks import check_integer, is_number, shown


class Budget(NamedTuple):
    """How long a run goes on, counted from its beginning. It ends with what is used up first."""

    epochs: float | None = None
    updates: int | None = None
    seconds: float | None = None

    def fraction_done(self, epoch: float, update: int, seconds: float) -> float:
        """Return the part that is used, from 0 to 1, after so many epochs, updates and seconds."""
        pairs = ((epoch, self.epochs), (update, self.updates), (seconds, self.seconds))
        parts = [used / budget if budget else 1.0 for used, budget in pairs if budget is not None]
        return min(1.0, max(parts, default=0.0))


def budget_of(caller: str, epochs: float | None, updates: int | None, seconds: float | None) -> Budget:
    """Check the three and return the budget.

    Raises:
        ValueError: none is given, or one is negative or no number.
    """
    for name, value in {"epochs": epochs, "seconds": seconds}.items():
        if value is not None and not (is_number(value) and value >= 0):
            raise ValueError(f"{caller}: {name}: got {shown(value)}, want a number of at least 0")
    if updates is not None:
        check_integer(caller, 0, updates=updates)
    if epochs is None and updates is None and seconds is None:
        raise ValueError(f"{caller}: got no budget, want epochs, updates or seconds")
    return Budget(epochs, updates, seconds)
