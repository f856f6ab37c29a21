"""A recurrence that reads backward only is the forward one on mirrored sequences, in every implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.backend import Backend
from minigrad_rnn import (
    GRU,
    LSTM,
    MGU,
    RNN,
    Decoder,
    IndRNN,
    LayerNormGRU,
    LayerNormLSTM,
    LayerNormRNN,
    OneToMany,
    Truncation,
    torch_state_dict,
    verify_bptt,
)

KINDS = (RNN, LSTM, GRU, LayerNormRNN, LayerNormLSTM, LayerNormGRU, MGU, IndRNN)
T, B, I, H = 5, 3, 2, 4
LENGTHS = [5, 2, 4]


def make(kind: Any, reverse: bool, **options: Any) -> Any:
    return kind(I, H, 2, reverse=reverse, rng=np.random.default_rng(1), dtype="float64", **options)


def draw(*shape: int) -> Any:
    return np.random.default_rng(2).standard_normal(shape)


def mirror(a: Any, lengths: Any) -> Any:
    """(T, B, F) with each sequence's own steps in reverse order."""
    result = np.array(a)
    for b, n in enumerate(lengths or [len(a)] * a.shape[1]):
        result[:n, b] = result[:n, b][::-1]
    return result


def parts(state: Any) -> list[Any]:
    return [part.numpy() for part in (state if isinstance(state, tuple) else (state,))]


@pytest.mark.parametrize("impl", ["graph", "fused", "native"])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_forward_one_on_mirrored_sequences(kind: Any, lengths: Any, impl: str, xp: Any) -> None:
    if impl != "graph" and kind not in (RNN, LSTM, GRU):
        with pytest.raises(ValueError, match=rf"impl: got '{impl}', but .* defines no sequence"):
            make(kind, True, impl=impl)
        return
    if impl == "native" and xp.name != "numpy":
        with pytest.raises(mg.BackendError, match=f"impl: got 'native' on {xp.name}, want 'auto' or numpy"):
            make(kind, True, impl=impl)(xp.array(draw(T, B, I)))
        return
    backward, forward = make(kind, True, impl=impl), make(kind, False, impl=impl)
    assert backward.cell_names == ["backward0", "backward1"]
    xs, weights = draw(T, B, I), draw(T, B, H)
    # Each layer reads what the one below wrote, in the order of time; both are mirrored, so the stack is too.
    want, want_state = forward(xp.array(mirror(xs, lengths)), lengths=lengths)
    got, state = backward(xp.array(xs), lengths=lengths)
    assert backward.implementation == impl
    np.testing.assert_allclose(got.numpy(), mirror(want.numpy(), lengths), atol=1e-13)
    for a, b in zip(parts(state), parts(want_state), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)
    (got * xp.array(weights)).sum().backward()
    (want * xp.array(mirror(weights, lengths))).sum().backward()
    for p, q in zip(backward.parameters(), forward.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_verify_bptt_passes(kind: Any) -> None:
    model = make(kind, True, batch_first=True, initial_state="learned", zoneout=0.1 if kind is MGU else 0.0)
    result = verify_bptt(model, draw(B, T, I), lengths=LENGTHS)
    assert result.passed, str(result)
    assert (result.rows[0].fused_reference is not None) is (kind in (RNN, LSTM, GRU))
    assert "reverse=True" in result.title


@pytest.mark.parametrize("kind", [RNN, LSTM, GRU])
def test_kernels_read_backward(kernels_on_cpu: Backend, kind: Any) -> None:
    on_numpy, on_device = make(kind, True), make(kind, True).to("strict")
    xs = draw(T, B, I)
    want, _ = on_numpy(xs, lengths=LENGTHS)
    got, _ = on_device(kernels_on_cpu.from_numpy(xs), lengths=LENGTHS)
    assert "persistent (" in on_device.implementation
    np.testing.assert_allclose(got.numpy(), want.numpy(), atol=1e-12)
    mg.sin(want).sum().backward()
    mg.sin(got).sum().backward()
    for p, q in zip(on_device.parameters(), on_numpy.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), atol=1e-12)


def test_where_the_future_is_not_known_it_is_refused() -> None:
    with pytest.raises(ValueError, match="GRU: reverse: got True with bidirectional=True, want one or the other"):
        GRU(I, H, bidirectional=True, reverse=True)
    with pytest.raises(ValueError, match="Truncation: rnn: got reverse=True, want one that reads forward only"):
        Truncation(2).run(make(GRU, True), draw(T, B, I))
    with pytest.raises(ValueError, match="OneToMany: recurrence: got reverse=True, want one that reads forward"):
        OneToMany(make(GRU, True), nn.Linear(H, I))
    with pytest.raises(ValueError, match="Decoder: reverse: got True, want False"):
        Decoder(7, I, H, network=GRU, reverse=True)
    with pytest.raises(ValueError, match=r"GRU: reverse: got True, want False, which torch\.nn has"):
        torch_state_dict(make(GRU, True))
