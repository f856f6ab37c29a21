"""Series of numbers: `stocks` and `japanese_vowels`."""

from __future__ import annotations

import csv
import gzip
import io
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .members import read_member

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Stocks(NamedTuple):
    """Daily closing prices."""

    dates: npt.NDArray[np.datetime64]
    """(days,), ascending, trading days only."""
    tickers: tuple[str, ...]
    prices: Floats
    """(days, tickers), in dollars, adjusted for splits and dividends."""


class Utterances(NamedTuple):
    """Spoken vowels and who spoke them."""

    cepstra: list[Floats]
    """Each (steps, 12): linear-prediction cepstra."""
    speakers: Ints
    """(utterances,), 0 to 8."""


class JapaneseVowels(NamedTuple):
    """The official split: 270 utterances to train on and 370 to test."""

    train: Utterances
    test: Utterances


def stocks() -> Stocks:
    """Return the prices of 20 American stocks on 8,313 days from 1990 to 2022."""
    packed = read_member("skfolio", "skfolio/datasets/data/sp500_dataset.csv.gz")
    head, *rows = csv.reader(io.StringIO(gzip.decompress(packed).decode("utf-8")))
    days = np.array([row[0] for row in rows], dtype="datetime64[D]")
    return Stocks(days, tuple(head[1:]), np.array([row[1:] for row in rows], dtype=np.float64))


def japanese_vowels() -> JapaneseVowels:
    """Return utterances of two vowels by nine speakers (Kudo, Toyama, Shimbo 1999); the task is to tell the speaker."""
    parts = (read_member("sktime", f"*/JapaneseVowels/JapaneseVowels_{part}.ts") for part in ("TRAIN", "TEST"))
    return JapaneseVowels(*(_read_ts(part.decode("utf-8")) for part in parts))


def _read_ts(text: str) -> Utterances:
    """Read a .ts file: a series on each line, its dimensions and then its class divided by colons."""
    cepstra, speakers = [], []
    _, _, body = text.partition("@data")
    for line in body.split():
        *dimensions, speaker = line.split(":")
        cepstra.append(np.array([row.split(",") for row in dimensions], dtype=np.float64).T.copy())
        speakers.append(int(speaker) - 1)
    return Utterances(cepstra, np.array(speakers, dtype=np.int64))
