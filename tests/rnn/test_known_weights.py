"""Ordinary use of a network leaves its weights known: without a comparison they are the same, or have changed.

A layer that took its own `.data` would make them unknown for good, and each call of the compiled sequences slower.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as mr
from minigrad import nn, optim
from minigrad.engine.content_version import content_version, same_content
from minigrad_rnn import text

XS = np.ones((5, 2, 3), np.float32)

NETWORKS: dict[str, Callable[[], Any]] = {
    "RNN": lambda: mr.RNN(3, 4, two_biases=True),
    "LSTM": lambda: mr.LSTM(3, 4, forget_bias=1.0),
    "LSTM, peephole": lambda: mr.LSTM(3, 4, peephole=True),
    "LSTM, projection": lambda: mr.LSTM(3, 4, proj_size=2),
    "LSTM, both ways": lambda: mr.LSTM(3, 4, num_layers=2, bidirectional=True, dropout=0.1),
    "GRU": lambda: mr.GRU(3, 4, initial_state="learned"),
    "GRU, reset first": lambda: mr.GRU(3, 4, reset_after=False),
    "MGU": lambda: mr.MGU(3, 4),
    "IndRNN": lambda: mr.IndRNN(3, 4),
    "LayerNormRNN": lambda: mr.LayerNormRNN(3, 4),
    "LayerNormLSTM": lambda: mr.LayerNormLSTM(3, 4),
    "LayerNormGRU": lambda: mr.LayerNormGRU(3, 4),
    "Elman": lambda: mr.Elman(3, 4, 2),
    "OneToOne": lambda: mr.OneToOne(mr.GRU(3, 4), nn.Linear(4, 2)),
    "CharacterModel": lambda: text.CharacterModel(5, "lstm", 3, 4),
}


def unknown(model: nn.Module) -> list[str]:
    return [name for name, p in model.named_parameters() if not same_content(p, content_version(p))]


def output(model: Any) -> mg.Tensor:
    xs = np.zeros((5, 2), int) if isinstance(model, text.CharacterModel) else XS
    if isinstance(model, mr.OneToOne):
        xs = XS[0]
    result = model(xs)
    return result[0] if isinstance(result, tuple) else result


def train(model: Any) -> None:
    for kind in (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad):
        model.zero_grad()
        mg.sum(output(model) ** 2).backward()
        optim.clip_grad_norm(model.parameters(), 1.0)
        kind(model.parameters(), lr=0.01).step()


def infer(model: Any) -> None:
    model.eval()
    with mg.no_grad():
        output(model).numpy()
    model.train()


def reloaded(model: Any, path: Path) -> None:
    mg.save(path, model.state_dict())
    model.load_state_dict(mg.load(path))


def frozen_and_back(model: Any) -> None:
    model.requires_grad_(False)
    infer(model)
    assert not unknown(model)
    model.load_state_dict(model.state_dict())
    assert not unknown(model)
    model.requires_grad_()


@pytest.mark.parametrize("network", NETWORKS)
def test_ordinary_use(network: str, tmp_path: Path) -> None:
    model = NETWORKS[network]()
    uses: list[Callable[[Any], Any]] = [
        infer,
        train,
        lambda m: reloaded(m, tmp_path / "weights.npz"),
        frozen_and_back,
        lambda m: [p.numpy() for p in m.parameters()],
        lambda m: [p.detach() for p in m.parameters()],
        lambda m: [repr(p) for p in m.parameters()],
        copy.deepcopy,
        lambda m: pickle.dumps(m, 4),
        lambda m: m.to(dtype="float64").to(dtype="float32"),
    ]
    assert not unknown(model)
    for use in uses:
        use(model)
        assert not unknown(model)
    versions = [(p, content_version(p)) for p in model.parameters()]
    infer(model)
    assert all(same_content(p, version) is True for p, version in versions)
    train(model)
    assert not any(same_content(p, version) for p, version in versions)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, *(lambda m, k=k: pickle.loads(pickle.dumps(m, k)) for k in (2, 4, 5))]
)
def test_copies(network: str, copied: Callable[[Any], Any]) -> None:
    model = NETWORKS[network]()
    twin = copied(copied(model))
    assert not unknown(twin)
    train(twin)
    assert not unknown(twin)


def test_other_libraries_weights_and_verification() -> None:
    model = mr.LSTM(3, 4, num_layers=2)
    mr.load_torch_state_dict(model, mr.torch_state_dict(model))
    assert not unknown(model)
    assert mr.verify_bptt(model, XS)
    assert not unknown(model)
    cell = mr.RNNCell(3, 4)
    mr.load_keras_weights(cell, [np.ones((3, 4), np.float32), np.ones((4, 4), np.float32), np.ones(4, np.float32)])
    assert not unknown(cell)
