"""The character model, Embedding → LSTM → Linear, in minigrad and in torch, with the same weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .sizes import numbers

VOCABULARY, EMBEDDING = 128, 64
"""V characters, and the length E of a character's vector: those of examples/char_rnn.py --demo."""


def weights(V: int, E: int, H: int) -> dict[str, Any]:
    """Return float32 embedding (V, E), Wc (4H, E), Wr (4H, H), b (4H,), Wo (V, H) and bo (V,)."""
    arrays, rng = numbers(1, 1, E, H, 4), np.random.default_rng(1)
    embedding = rng.standard_normal((V, E)).astype(np.float32)
    readout = {"Wo": (V, H), "bo": (V,)}
    drawn = {name: rng.uniform(-(H**-0.5), H**-0.5, shape).astype(np.float32) for name, shape in readout.items()}
    return {"embedding": embedding, **{name: arrays[name] for name in ("Wc", "Wr", "b")}, **drawn}


def ours(impl: str, V: int, E: int, H: int) -> tuple[Any, dict[str, Any]]:
    """Return minigrad's model, whose LSTM runs with `impl`, and its parameters by the names of `weights`."""
    from minigrad_rnn.text.model import CharacterModel

    model = CharacterModel(V, "lstm", E, H)
    lstm = model.recurrence.forward0
    named = {"embedding": model.embedding.weight, "Wc": lstm.Wc, "Wr": lstm.Wr, "b": lstm.b}
    named |= {"Wo": model.readout.weight, "bo": model.readout.bias}
    values = weights(V, E, H)
    owners = {id(parameter): name for name, parameter in model.named_parameters()}
    model.load_state_dict({owners[id(parameter)]: values[name] for name, parameter in named.items()})
    if impl != "auto":
        type(model.recurrence)(E, H, impl=impl)  # says why, if this implementation cannot run
        model.recurrence.impl = impl
    return model, named


class Torchs(NamedTuple):
    """torch's modules, and their parameters by the names of `weights`."""

    embedding: Any
    recurrence: Any
    readout: Any
    named: dict[str, Any]


def torch_lstm(arrays: dict[str, Any], one_step: bool = False) -> Any:
    """Return torch's nn.LSTM, or nn.LSTMCell, with Wc, Wr and b. Its second bias is zero and constant."""
    import torch

    gates, I = arrays["Wc"].shape
    lstm = (torch.nn.LSTMCell if one_step else torch.nn.LSTM)(I, gates // 4)
    *weights, second = lstm.parameters()
    with torch.no_grad():
        for weight, name in zip(weights, ("Wc", "Wr", "b"), strict=True):
            weight.copy_(torch.from_numpy(arrays[name]))
        second.zero_()
    second.requires_grad_(False)
    return lstm


def torchs(V: int, E: int, H: int, one_step: bool = False) -> Torchs:
    """Return torch's modules; the recurrence is that of `torch_lstm`."""
    import torch

    arrays = weights(V, E, H)
    embedding, lstm, readout = torch.nn.Embedding(V, E), torch_lstm(arrays, one_step), torch.nn.Linear(H, V)
    with torch.no_grad():
        embedding.weight.copy_(torch.from_numpy(arrays["embedding"]))
        readout.weight.copy_(torch.from_numpy(arrays["Wo"]))
        readout.bias.copy_(torch.from_numpy(arrays["bo"]))
    of_lstm = zip(("Wc", "Wr", "b"), lstm.parameters())
    named = {"embedding": embedding.weight, **dict(of_lstm), "Wo": readout.weight, "bo": readout.bias}
    return Torchs(embedding, lstm, readout, named)
