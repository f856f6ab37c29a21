"""Hooks on a recurrence's cells: called at every step, as in a loop over the cell by hand; refused by one primitive."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import GRU, LSTM, RNN, Truncation
from tests.support.native_library import fastest

I, H, T, B = 3, 4, 5, 2
KINDS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


def drawn(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("impl", ["auto", "graph"])
def test_hooks_see_every_step(kind: str, impl: str) -> None:
    net = KINDS[kind](I, H, impl=impl, dtype="float64")
    xs = mg.tensor(drawn(T, B, I), requires_grad=True)
    want, _ = net(xs)
    seen: list[Any] = []
    before = net.forward0.register_forward_pre_hook(lambda cell, args: seen.append(("before", args[0].numpy())))
    after = net.forward0.register_forward_hook(lambda cell, args, result: seen.append(("after", result[0].numpy())))
    output, _ = net(xs)
    assert net.implementation == "graph"
    assert [name for name, _ in seen] == ["before", "after"] * T
    np.testing.assert_array_equal([x for name, x in seen if name == "before"], xs.numpy())
    np.testing.assert_array_equal([h for name, h in seen if name == "after"], output.numpy())
    np.testing.assert_allclose(output.numpy(), want.numpy(), rtol=1e-12)
    assert net.fused_refusal() == "forward0 has hooks, which are called at every step"
    before.remove()
    after.remove()
    assert not net.fused_refusal()
    net(xs)
    assert net.implementation == ("graph" if impl == "graph" else fastest())


@pytest.mark.parametrize("impl", ["fused", "native"])
def test_naming_fused_refuses_hooks(impl: str) -> None:
    net = LSTM(I, H, 2, impl=impl)
    with net.forward1.register_full_backward_hook(lambda *args: None):  # noqa: SIM117
        with pytest.raises(ValueError, match=f"LSTM: impl: got '{impl}', but forward1 has hooks, which are called at"):
            net(drawn(T, B, I).astype("f4"))
    net(drawn(T, B, I).astype("f4"))
    assert net.implementation == impl


def replace(net: Any) -> None:
    """Hooks that change arguments, the output alone, and gradients."""
    net.forward0.register_forward_pre_hook(lambda cell, args: (args[0] * 1.5, *args[1:]))
    net.forward0.register_forward_hook(lambda cell, args, result: (result[0] * 2.0, result[1]))
    net.forward0.register_full_backward_hook(lambda cell, into, out: (into[0] * 3.0, *into[1:]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_recurrence_equals_the_loop_by_hand(kind: str) -> None:
    net = KINDS[kind](I, H, dtype="float64")
    replace(net)
    calls: list[Any] = []
    net.forward0.register_full_backward_hook(lambda cell, into, out: calls.append([g.numpy() for g in out]))
    weights, results = drawn(T, B, H), []
    for by_hand in (False, True):
        xs = mg.tensor(drawn(T, B, I), requires_grad=True)
        calls.clear()
        if by_hand:
            state, ys = net.forward0.initial(B), []
            state = state if len(state) > 1 else state[0]
            for t in range(T):
                y, state = net.forward0(xs[t], state)
                ys.append(y)
            output = mg.stack(ys)
        else:
            output, _ = net(xs)
        parameters = list(net.parameters())
        grads = mg.gradients((output * weights).sum(), [xs, *parameters])
        results.append([output.numpy(), *(g.numpy() for g in grads), *(g for call in calls for g in call)])
        assert len(calls) == T
    for got, want in zip(*results):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


def test_under_masks_lengths_directions_and_layers() -> None:
    """Hooks that change nothing change nothing; each cell's run once a step, also at padding."""
    net = LSTM(I, H, 2, bidirectional=True, recurrent_dropout=0.4, zoneout=0.3, dropout=0.2, dtype="float64")
    masks, xs = net.draw_masks(T, B, 1), drawn(T, B, I)
    want = net(xs, lengths=[5, 2], masks=masks, return_states=True)
    calls: dict[str, int] = {}
    for name in net.cell_names:
        getattr(net, name).register_forward_hook(
            lambda cell, args, result, name=name: calls.update({name: calls.get(name, 0) + 1})
        )
        getattr(net, name).register_full_backward_hook(lambda *args: None)
    got = net(xs, lengths=[5, 2], masks=masks, return_states=True)
    assert calls == dict.fromkeys(net.cell_names, T)
    np.testing.assert_array_equal(got[0].numpy(), want[0].numpy())
    for parts in (1, 2):
        for a, b in zip(got[parts], want[parts]):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_an_output_of_a_hook_is_zoned_like_h() -> None:
    """Doubling the output alone doubles the outputs of a net with zoneout where nothing is kept, and not the state."""
    net = RNN(I, H, zoneout=0.5, dtype="float64")
    xs, masks = drawn(T, B, I), net.draw_masks(T, B, 3)
    plain, last = net(xs, masks=masks)
    net.forward0.register_forward_hook(lambda cell, args, result: (result[0] * 2.0, result[1]))
    output, state = net(xs, masks=masks)
    kept = masks["forward0"].zoneout[0] > 0
    np.testing.assert_allclose(output.numpy()[kept], plain.numpy()[kept], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(output.numpy()[~kept], 2 * plain.numpy()[~kept], rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(state.numpy(), last.numpy())


def test_in_windows() -> None:
    net, calls = GRU(I, H), []
    net.forward0.register_forward_hook(lambda *args: calls.append(args))
    Truncation(2).run(net, drawn(T, B, I).astype("f4"))
    assert len(calls) == T


@pytest.mark.parametrize(
    ("hook", "error", "message"),
    [
        (lambda *args: args[2][0], TypeError, r"a forward hook returned Tensor, want \(output, state\)"),
        (lambda *args: (args[2][0], None), TypeError, "LSTMCell: a forward hook: got 1 result, want 2 tensors"),
        (lambda *args: (args[2][0][:1], args[2][1]), ValueError, r"hook: output: got shape \(1, 4\), want \(2,"),
    ],
)
def test_what_a_hook_returns_is_checked(hook: Any, error: Any, message: str) -> None:
    net = LSTM(I, H)
    net.forward0.register_forward_hook(hook)
    with pytest.raises(error, match=message):
        net(drawn(T, B, I).astype("f4"))
