"""The models and sequences that the explorer's tests draw, and what a page holds, read without a browser."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import nn
from minigrad_rnn import (
    GRU,
    LSTM,
    NARX,
    RNN,
    TDNN,
    AdditiveAttention,
    Decoder,
    Elman,
    Encoder,
    EncoderDecoder,
    GeneralAttention,
    GeneralRecurrence,
    Jordan,
    ManyToMany,
    ManyToOne,
    StateSpace,
)
from minigrad_rnn.classics import FIGURES

rng = np.random.default_rng(0)
Case = tuple[Any, Any, Any]
"""A model, xs and targets."""


def series(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def cases() -> dict[str, Case]:
    """A model of each kind that the explorer draws, in float64."""
    f64: Any = {"dtype": "float64", "rng": 0}
    classes = np.array([[0, 3], [1, 2], [4, -100], [2, 2]])
    return {
        "RNN": (RNN(3, 4, **f64), series(5, 1, 3), series(5, 1, 4, seed=2)),
        "relu": (RNN(3, 4, nonlinearity="relu", **f64), series(4, 2, 3), series(4, 2, 4, seed=2)),
        "LSTM": (LSTM(3, 4, 2, bidirectional=True, **f64), series(4, 2, 3), series(4, 2, 8, seed=2)),
        "two depths": (GRU(3, 4, (2, 1), bidirectional=True, **f64), series(4, 2, 3), series(4, 2, 8, seed=2)),
        "reset first": (GRU(3, 4, reset_after=False, reverse=True, **f64), series(4, 2, 3), series(4, 2, 4, seed=2)),
        "learned": (LSTM(3, 4, initial_state="learned", proj_size=2, **f64), series(3, 2, 3), series(3, 2, 2, seed=2)),
        "many to many": (ManyToMany(GRU(3, 4, **f64), nn.Linear(4, 5, **f64)), series(4, 2, 3), classes),
        "many to one": (ManyToOne(RNN(3, 4, **f64), nn.Linear(4, 5, **f64)), series(4, 2, 3), np.array([1, 4])),
    }


def classics() -> dict[str, Case]:
    """The lecture's classics, in float64."""
    f64: Any = {"dtype": "float64", "rng": 0}
    xs, ys = series(5, 2, 3), series(5, 2, 2, seed=2)
    general = GeneralRecurrence({"x": 3, "h1": 4, "h2": 3, "y": 2}, FIGURES["all of these"], {"y": "sigmoid"}, **f64)
    return {
        "Elman": (Elman(3, 4, 2, **f64), xs, ys),
        "state space": (StateSpace(3, 4, 2, None, "softmax", initial_state="learned", **f64), xs, ys),
        "Jordan": (Jordan(3, 4, 2, output_nonlinearity="sigmoid", **f64), xs, ys),
        "NARX": (NARX(3, [4, 5], 2, 1, 2, initial="learned", **f64), xs, ys),
        "NARX without inputs": (NARX(0, 4, 2, 0, 2, initial="zeros", **f64), np.zeros((5, 2, 0)), ys),
        "TDNN": (TDNN(3, [4, 3], 2, 2, output_nonlinearity="tanh", **f64), xs, ys),
        "general": (general, xs, ys),
    }


def translators() -> dict[str, Case]:
    """Encoder-decoders, in float64; xs is the pair of source and fed tokens."""
    f64: Any = {"dtype": "float64", "rng": 0}
    source, fed = np.array([[1, 6], [0, 2], [5, 5], [3, 1]]), np.array([[0, 0], [4, 2], [1, 3]])
    targets = np.array([[4, 2], [1, 3], [5, -100]])
    found = {}
    for attend, attention in (
        ("before", AdditiveAttention(5, 4, 3, **f64)),
        ("after", GeneralAttention(5, 4, **f64)),
        ("without", None),
    ):
        encoder = Encoder(7, 3, 2, bidirectional=True, network=GRU, **f64)
        decoder = Decoder(6, 3, 5, 2, attention=attention, attend="after" if attend == "without" else attend, **f64)
        found[f"attend {attend}"] = (EncoderDecoder(encoder, decoder, **f64), (source, fed), targets)
    encoder = Encoder(None, 3, 5, network=RNN, **f64)
    plain = EncoderDecoder(encoder, Decoder(6, 3, 5, network=RNN, **f64), "copy", **f64)
    found["vectors"] = (plain, (series(4, 2, 3), fed), targets)
    return found


class Page:
    """The head and the arrays of a page, and its text."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text(encoding="utf-8")
        found = re.search(r'<script type="application/json" id="head">(.*?)</script>', self.text, re.DOTALL)
        assert found is not None
        self.head: Any = json.loads(found[1])
        pattern = r'id="a(\d+)" data-kind="(\w+)" data-shape="([\d,]*)">([^<]*)<'
        self.arrays = {
            int(number): np.frombuffer(base64.b64decode(data), kind.lower()).reshape(
                [int(n) for n in shape.split(",") if n]
            )
            for number, kind, shape, data in re.findall(pattern, self.text)
        }

    def quantity(self, lane: str, name: str) -> Any:
        """The entry of a lane's quantity."""
        (found,) = [entry for entry in self.head["lanes"] if entry["name"] == lane]
        return next(entry for entry in found["quantities"] if entry["name"] == name)

    def pool(self, name: str) -> Any:
        return next(entry for entry in self.head["pools"] if entry["name"] == name)
