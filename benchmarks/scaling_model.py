"""A cost model of data-parallel training: how long an update takes on P ranks, from times measured on one and two.

    T(P) = compute(b) · slowest(P) + pack + meetings(P) + all_reduce(P, n)

with b streams of text on each rank and n bytes of gradients. The all-reduce is the cheapest of three algorithms, in the
alpha-beta-gamma model of Thakur, Rabenseifner & Gropp 2005, "Optimization of collective communication operations in
MPICH": a message of n bytes takes alpha + n · beta seconds, adding n bytes to others n · gamma.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MEETINGS = 4
"""Small exchanges of an update: the pooling's, and those with which a Trainer's ranks agree on time and signals."""
RECORD = 56
"""Bytes that a rank says in a meeting."""


@dataclass(frozen=True)
class Link:
    """What connects the ranks: seconds of a message, alpha, and of each of its bytes, beta."""

    name: str
    alpha: float
    beta: float


NOMINAL = (Link("100 Gbit/s InfiniBand", 2e-6, 1 / 12.5e9), Link("10 Gbit/s Ethernet", 30e-6, 1 / 1.25e9))
"""Links between machines, one rank on each: round figures, and not measured."""


def fit_link(nbytes: Sequence[float], seconds: Sequence[float], name: str = "shared memory") -> Link:
    """Return the line alpha + n · beta through the times of messages, with the least squares of relative errors."""
    n, t = np.asarray(nbytes, float), np.asarray(seconds, float)
    columns = np.stack([1 / t, n / t], axis=1)
    alpha, beta = np.linalg.lstsq(columns, np.ones_like(t), rcond=None)[0]
    if alpha < 0:  # then the line through the origin
        alpha, beta = 0.0, float((n / t).sum() / ((n / t) ** 2).sum())
    return Link(name, float(alpha), float(beta))


def all_reduce_seconds(ranks: int, nbytes: float, link: Link, gamma: float) -> tuple[float, str]:
    """Return the seconds of the cheapest algorithm for the sum of `nbytes` over the ranks, and its name."""
    if ranks == 1:
        return 0.0, "none"
    rounds, share = math.ceil(math.log2(ranks)), (ranks - 1) / ranks
    data = nbytes * share * (2 * link.beta + gamma)
    costs = {
        "recursive doubling": rounds * (link.alpha + nbytes * (link.beta + gamma)),
        "halving and doubling": 2 * rounds * link.alpha + data,
        "ring": 2 * (ranks - 1) * link.alpha + data,
    }
    name = min(costs, key=lambda known: costs[known])
    return costs[name], name


def expected_maximum(samples: Sequence[float], count: int) -> float:
    """Return the mean of the largest of `count` draws from the samples: at most the largest of these."""
    ordered = np.sort(np.asarray(samples, float))
    ranks = np.arange(len(ordered) + 1) / len(ordered)
    return float(ordered @ np.diff(ranks**count))


@dataclass(frozen=True)
class Measured:
    """What was measured: seconds, unless it says otherwise."""

    streams: tuple[int, ...]
    compute: tuple[float, ...]
    """Of an update on one rank without pooling, the median for each number of streams."""
    spread: tuple[float, ...]
    """Times of single updates, each over the median of them."""
    pack: float
    """Of laying gradients into the bucket and taking them out."""
    meeting: float
    """Of a meeting of two ranks."""
    gradient_bytes: int
    gamma: float
    """Of adding one byte."""
    link: Link

    def compute_seconds(self, streams: float) -> float:
        """Return the seconds of an update on one rank: between the measured points, and beyond them, straight lines."""
        b, t = np.asarray(self.streams, float), np.asarray(self.compute, float)
        if streams > b[-1]:
            return float(t[-1] + (streams - b[-1]) * (t[-1] - t[-2]) / (b[-1] - b[-2]))
        return float(np.interp(streams, b, t))

    def update_seconds(self, ranks: int, streams: float, link: Link) -> dict[str, float]:
        """Return the parts of an update's time on so many ranks, each with so many streams."""
        compute = self.compute_seconds(streams)
        rounds = math.ceil(math.log2(ranks)) if ranks > 1 else 0
        calls = self.meeting - self.link.alpha  # Python's part
        meeting = max(calls, 0.0) + rounds * link.alpha + (ranks - 1) * RECORD * link.beta
        return {
            "compute": compute,
            "wait": compute * max(0.0, expected_maximum(self.spread, ranks) - expected_maximum(self.spread, 1)),
            "pack": self.pack,
            "meetings": MEETINGS * meeting if ranks > 1 else 0.0,
            "all-reduce": all_reduce_seconds(ranks, self.gradient_bytes, link, self.gamma)[0],
        }

    def efficiency(self, ranks: int, streams: float, link: Link, strong: bool = False) -> float:
        """Return the share of P times one rank's speed that P ranks reach.

        Args:
            ranks: their number P.
            streams: of each rank; or with `strong` of all ranks together.
            link: what connects them.
            strong: whether the ranks share the streams.
        """
        together = sum(self.update_seconds(ranks, streams / ranks if strong else streams, link).values())
        alone = sum(self.update_seconds(1, streams, link).values())
        return alone / (ranks * together) if strong else alone / together


def measured_of(exchanges: dict[str, Any], alone: Sequence[tuple[int, dict[str, Any]]]) -> Measured:
    """Return what the programs of `ranks` measured, as the model wants it.

    Args:
        exchanges: of `exchanges` on two ranks.
        alone: of `updates` on one rank, for each number of streams, in ascending order.
    """
    compute = [np.subtract(times["update"], times["pooling"]) for _, times in alone]
    largest = int(np.argmax(exchanges["bytes"]))
    spread = compute[-1] / np.median(compute[-1])
    return Measured(
        streams=tuple(streams for streams, _ in alone),
        compute=tuple(float(np.median(times)) for times in compute),
        spread=tuple(map(float, spread)),
        pack=float(np.median(alone[-1][1]["pooling"])),
        meeting=exchanges["meeting"],
        gradient_bytes=alone[-1][1]["gradient_bytes"],
        gamma=exchanges["sum"][largest] / exchanges["bytes"][largest],
        link=fit_link(exchanges["bytes"], exchanges["message"]),
    )
