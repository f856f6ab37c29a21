"""Repeat measurements until no other program disturbs them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Round = TypeVar("Round")

QUIET = 0.9
"""The least idle share of the processors' time that counts as quiet."""


def quiet_rounds(run_round: Callable[[], Round], count: int, patience: float) -> tuple[list[Round], int]:
    """Run rounds until the machine was quiet before and after `count` of them.

    Args:
        run_round: runs one round.
        count: the number of rounds to keep.
        patience: seconds to repeat rounds and wait for quiet; after that every round is kept.

    Returns:
        the results of the kept rounds, and how many of them were disturbed.
    """
    results: list[Round] = []
    disturbed = 0
    deadline = time.monotonic() + patience
    before = count == 0 or _await_quiet(deadline)
    while len(results) < count:
        result = run_round()
        after = idle_share() >= QUIET
        if (before and after) or time.monotonic() >= deadline:
            results.append(result)
            disturbed += not (before and after)
            before = after
        else:
            before = _await_quiet(deadline)
    return results, disturbed


def _await_quiet(deadline: float) -> bool:
    """Wait until the machine is quiet or the deadline has passed; return whether it is quiet."""
    while idle_share() < QUIET:
        if time.monotonic() >= deadline:
            return False
    return True


def idle_share(seconds: float = 0.15) -> float:
    """Return the idle share of all processors while this process sleeps; 1 where the system does not report it."""
    before = _ticks()
    time.sleep(seconds)
    after = _ticks()
    passed = [b - a for a, b in zip(before, after)]
    return sum(passed[3:5]) / sum(passed) if sum(passed) else 1.0


def _ticks() -> list[int]:
    """Return user, nice, system, idle, iowait, … ticks of all processors since boot; empty if unknown."""
    try:
        first = Path("/proc/stat").read_text().split("\n", 1)[0]
    except OSError:
        return []
    return [int(word) for word in first.split()[1:9]]
