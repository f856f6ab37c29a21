"""Attention: torch's numbers, and padding with weight exactly 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad_rnn import AdditiveAttention, DotAttention, GeneralAttention
from minigrad_rnn.seq2seq import attention

S, T, B = 6, 4, 3
LENGTHS = [4, 6, 1]
KINDS = ["additive", "dot", "scaled", "general"]


def reader(kind: str, Q: int, K: int, seed: int = 0, dtype: str = "float64") -> attention.Attention:
    rng = np.random.default_rng(seed)
    if kind == "additive":
        return AdditiveAttention(Q, K, 5, rng=rng, dtype=dtype)
    if kind == "general":
        return GeneralAttention(Q, K, rng=rng, dtype=dtype)
    return DotAttention(K, scaled=kind == "scaled")


def torch_scores(torch: Any, kind: str, q: Any, m: Any, weights: dict[str, Any]) -> Any:
    """e (B, T, S) from q (B, T, Q) and m (B, S, K)."""
    if kind == "additive":
        z = (q @ weights["query.weight"].T)[:, :, None] + (m @ weights["key.weight"].T)[:, None]
        return (torch.tanh(z) @ weights["score.weight"].T)[..., 0]
    if kind == "general":
        return torch.einsum("btq,qk,bsk->bts", q, weights["key.weight"], m)
    return torch.einsum("btk,bsk->bts", q, m) / (m.shape[-1] ** 0.5 if kind == "scaled" else 1)


@pytest.mark.parametrize("kind", KINDS)
def test_attention_is_torchs(kind: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    Q, K = (3, 4) if kind in ("additive", "general") else (4, 4)
    ours = reader(kind, Q, K)
    q, m = rng.standard_normal((T, B, Q)), rng.standard_normal((S, B, K))
    leaves = [mg.tensor(a, requires_grad=True) for a in (q, m)]
    theirs = [torch.tensor(a, requires_grad=True) for a in (q, m)]
    parameters = {name: torch.tensor(p.numpy(), requires_grad=True) for name, p in ours.named_parameters()}
    e = torch_scores(torch, kind, theirs[0].swapaxes(0, 1), theirs[1].swapaxes(0, 1), parameters)
    outside = torch.arange(S) >= torch.tensor(LENGTHS)[:, None]
    alpha = e.masked_fill(outside[:, None], -torch.inf).softmax(-1)
    c = alpha @ theirs[1].swapaxes(0, 1)
    context, weights = ours(*leaves, LENGTHS)
    np.testing.assert_allclose(context.numpy(), c.detach().numpy().swapaxes(0, 1), atol=1e-12)
    np.testing.assert_allclose(weights.numpy(), alpha.detach().numpy().swapaxes(0, 1), atol=1e-12)
    w, v = rng.standard_normal(c.shape), rng.standard_normal(alpha.shape)
    ((context * w.swapaxes(0, 1)).sum() + (weights * v.swapaxes(0, 1)).sum()).backward()
    ((c * torch.tensor(w)).sum() + (alpha * torch.tensor(v)).sum()).backward()
    for mine, other in zip([*leaves, *ours.parameters()], [*theirs, *parameters.values()]):
        np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), atol=1e-12)
    one, its = ours(q[1], m, LENGTHS)  # one step of queries
    np.testing.assert_allclose(one.numpy(), context.numpy()[1], atol=1e-14)
    np.testing.assert_allclose(its.numpy(), weights.numpy()[1], atol=1e-14)


def padding_is_not_seen(kind: str, lengths: list[int], steps: int, seed: int) -> None:
    rng, many = np.random.default_rng(seed), len(lengths)
    ours = reader(kind, 4, 4, seed)
    q, m = rng.standard_normal((2, many, 4)), rng.standard_normal((steps, many, 4))
    outside = np.arange(steps)[:, None] >= np.array(lengths)
    m[outside] = np.nan
    leaf = mg.tensor(m, requires_grad=True)
    context, weights = ours(q, leaf, lengths)
    mg.sum(mg.square(context)).backward()
    assert (weights.numpy().transpose(2, 1, 0)[outside] == 0).all()
    np.testing.assert_allclose(weights.numpy().sum(-1), 1, atol=1e-14)
    assert (leaf.grad.numpy()[outside] == 0).all()
    for b, n in enumerate(lengths):
        alone, its = ours(q[:, b : b + 1], m[:n, b : b + 1])
        np.testing.assert_allclose(context.numpy()[:, b], alone.numpy()[:, 0], atol=1e-13)
        np.testing.assert_allclose(weights.numpy()[:, b, :n], its.numpy()[:, 0], atol=1e-13)
    assert all(np.isfinite(p.grad.numpy()).all() for p in ours.parameters())


@settings(max_examples=30)
@given(st.data(), st.sampled_from(KINDS), st.integers(1, 6), st.integers(0, 1000))
def test_padding_has_weight_zero_and_no_gradient(data: Any, kind: str, steps: int, seed: int) -> None:
    lengths = data.draw(st.lists(st.integers(1, steps), min_size=1, max_size=4))
    padding_is_not_seen(kind, lengths, steps, seed)


@pytest.mark.parametrize("off", [1, -1, 99], ids=["one late", "one early", "leaks"])
def test_a_wrong_mask_is_caught(off: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Off(attention.Lengths):
        def __init__(self, steps: Any, T: int, *rest: Any) -> None:
            super().__init__(np.clip(np.array(steps) + off, 1, T), T, *rest)

    monkeypatch.setattr(attention, "Lengths", Off)
    with pytest.raises(AssertionError):
        padding_is_not_seen("additive", [3, 5, 2], 5, 0)


@pytest.mark.parametrize(
    ("call", "error", "complaint"),
    [
        (lambda: AdditiveAttention(3, 3, 0), ValueError, "AdditiveAttention: attention_size: got 0"),
        (lambda: look((B, 4)), ValueError, "DotAttention: query: got shape"),
        (lambda: look((B, 3), (S, B, 4)), ValueError, "DotAttention: memory: got shape"),
        (lambda: look((B, 3), lengths=[0, 1, 2]), ValueError, "DotAttention: lengths: got 0"),
        (lambda: look((B, 3), dtype="float32"), TypeError, "DotAttention: query: got dtype float32, want float64"),
        (lambda: DotAttention(3)(np.zeros((B, 3)), np.zeros((S, B, 3), int)), TypeError, "memory: got dtype int64"),
        (lambda: DotAttention(3)([[0.0]], np.zeros((S, B, 3))), TypeError, "DotAttention: query: got list"),
    ],
)
def test_errors_say_what_is_wrong(call: Any, error: type[Exception], complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        call()


def look(query: Any, memory: Any = (S, B, 3), lengths: Any = None, dtype: str = "float64") -> Any:
    return DotAttention(3)(np.zeros(query, dtype), np.zeros(memory), lengths)
