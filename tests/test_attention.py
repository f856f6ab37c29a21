"""Attention and encoder–decoder: torch's numbers, padding with weight exactly 0, and a task learned."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad import losses
from minigrad.optim import Adam, clip_grad_norm
from minigrad_rnn import (
    GRU,
    LSTM,
    RNN,
    AdditiveAttention,
    Cell,
    Decoder,
    DotAttention,
    Encoder,
    EncoderDecoder,
    GeneralAttention,
    Recurrence,
    TeacherForcing,
    attention,
    constant_schedule,
    greedy_decode,
    load_torch_state_dict,
    torch_state_dict,
)
from minigrad_rnn.sampling import draw

S, T, B, V, E, H = 6, 4, 3, 7, 3, 4
LENGTHS, TARGET_LENGTHS = [4, 6, 1], [4, 2, 3]
KINDS = ["additive", "dot", "scaled", "general"]
NETWORKS: dict[str, type[Recurrence]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


def reader(kind: str, Q: int, K: int, seed: int = 0, dtype: str = "float64") -> attention.Attention:
    rng = np.random.default_rng(seed)
    if kind == "additive":
        return AdditiveAttention(Q, K, 5, rng=rng, dtype=dtype)
    if kind == "general":
        return GeneralAttention(Q, K, rng=rng, dtype=dtype)
    return DotAttention(K, scaled=kind == "scaled")


def network_model(
    name: str = "gru", kind: str | None = "additive", attend: str = "before", dtype: str = "float64", layers: int = 1
) -> EncoderDecoder:
    rng = np.random.default_rng(1)
    shared: dict[str, Any] = {"network": NETWORKS[name], "rng": rng, "dtype": dtype}
    encoder = Encoder(V, E, H, bidirectional=True, **shared)
    look = None if kind is None else reader(kind, 2 * H, 2 * H, dtype=dtype)
    decoder = Decoder(V, E, 2 * H, layers, attention=look, attend=attend, **shared)
    return EncoderDecoder(encoder, decoder, rng=rng, dtype=dtype)


def batch(seed: int = 2) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, V, (S, B)), rng.integers(0, V, (T, B))


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


def torch_model(torch: Any, name: str, kind: str | None, attend: str, layers: int) -> Any:
    """The same network of torch.nn modules, under the same names."""
    net = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[name]
    parts, top = 2 if name == "lstm" else 1, 2 * H
    linear, read = torch.nn.Linear, 0 if kind is None else 2 * H
    model = torch.nn.Module()
    model.encoder, model.bridge, model.decoder = torch.nn.Module(), torch.nn.Module(), torch.nn.Module()
    model.encoder.embedding = torch.nn.Embedding(V, E)
    model.encoder.recurrence = net(E, H, bidirectional=True)
    for part in "hc"[:parts]:
        setattr(model.bridge, part, linear(2 * parts * H, layers * top))
    model.decoder.embedding = torch.nn.Embedding(V, E)
    model.decoder.recurrence = net(E + (read if attend == "before" else 0), top, layers)
    model.decoder.readout = linear(top, V)
    if kind is not None:
        model.decoder.mix = linear(top + read, top)
        model.decoder.attention = torch.nn.Module()
    if kind == "additive":
        model.decoder.attention.query = linear(top, 5, bias=False)
        model.decoder.attention.key = linear(read, 5, bias=False)
        model.decoder.attention.score = linear(5, 1, bias=False)
    if kind == "general":
        model.decoder.attention.key = linear(read, top, bias=False)
    return model.double()


def torch_forward(torch: Any, model: Any, kind: str | None, attend: str, layers: int, source: Any, target: Any) -> Any:
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        model.encoder.embedding(torch.tensor(source)), torch.tensor(LENGTHS), enforce_sorted=False
    )
    memory, state = model.encoder.recurrence(packed)
    m = torch.nn.utils.rnn.pad_packed_sequence(memory)[0].swapaxes(0, 1)
    parts = state if isinstance(state, tuple) else (state,)
    rows = torch.cat([row for part in parts for row in part], -1)
    made = [
        torch.tanh(getattr(model.bridge, part)(rows)).reshape(B, layers, 2 * H).swapaxes(0, 1).contiguous()
        for part, _ in zip("hc", parts)
    ]
    state = tuple(made) if len(made) > 1 else made[0]
    outside = torch.arange(S) >= torch.tensor(LENGTHS)[:, None]
    looks = {} if kind is None else dict(model.decoder.attention.named_parameters())

    def look(query: Any) -> Any:
        e = torch_scores(torch, kind or "", query[:, None], m, looks)
        return (e.masked_fill(outside[:, None], -torch.inf).softmax(-1) @ m)[:, 0]

    every = []
    for t in range(T):
        x = model.decoder.embedding(torch.tensor(target[t]))
        if kind is not None and attend == "before":
            c = look((state[0] if isinstance(state, tuple) else state)[-1])
            x = torch.cat([x, c], -1)
        hs, state = model.decoder.recurrence(x[None], state)
        h = hs[0]
        if kind is not None:
            c = look(h) if attend == "after" else c
            h = torch.tanh(model.decoder.mix(torch.cat([h, c], -1)))
        every.append(model.decoder.readout(h))
    return torch.stack(every)


@pytest.mark.parametrize(
    ("name", "kind", "attend", "layers"),
    [
        ("gru", "additive", "before", 1),
        ("lstm", "additive", "before", 2),
        ("lstm", "general", "after", 2),
        ("rnn", "dot", "after", 1),
        ("gru", "scaled", "before", 2),
        ("lstm", None, "before", 1),
    ],
)
def test_an_encoder_decoder_is_torchs(name: str, kind: str | None, attend: str, layers: int) -> None:
    torch = pytest.importorskip("torch")
    source, target = batch()
    ours = network_model(name, kind, attend, layers=layers)
    theirs = torch_model(torch, name, kind, attend, layers)
    theirs.load_state_dict({k: torch.tensor(a) for k, a in torch_state_dict(ours).items()})
    logits, weights = ours(source, target, LENGTHS, TARGET_LENGTHS)
    want = torch_forward(torch, theirs, kind, attend, layers, source, target)
    inside = np.arange(T)[:, None] < np.array(TARGET_LENGTHS)
    np.testing.assert_allclose(logits.numpy()[inside], want.detach().numpy()[inside], atol=1e-10)
    assert (logits.numpy()[~inside] == 0).all()
    assert (weights is None) == (kind is None)
    w = np.random.default_rng(5).standard_normal((T, B, V)) * inside[:, :, None]
    (logits * w).sum().backward()
    (want * torch.tensor(w)).sum().backward()
    # torch's gradients, written as weights into a twin, stand under our names. Our one bias has one gradient.
    single = name != "gru"
    grads = {k: torch.zeros_like(p) if single and "bias_hh" in k else p.grad for k, p in theirs.named_parameters()}
    twin = network_model(name, kind, attend, layers=layers)
    load_torch_state_dict(twin, grads)
    for (key, mine), other in zip(ours.named_parameters(), twin.parameters()):
        np.testing.assert_allclose(mine.grad.numpy(), other.numpy(), atol=1e-10, err_msg=key)


@pytest.mark.parametrize("attend", ["before", "after"])
def test_lengths_are_each_sequence_alone(attend: str) -> None:
    source, target = batch()
    model = network_model("lstm", "additive", attend)
    outside = np.arange(S)[:, None] >= np.array(LENGTHS)
    source[outside] = 10**6  # ids at padding may be anything
    logits, weights = model(source, target, LENGTHS, TARGET_LENGTHS)
    assert weights is not None
    for b, (n, k) in enumerate(zip(LENGTHS, TARGET_LENGTHS)):
        alone, its = model(source[:n, b : b + 1], target[:k, b : b + 1])
        np.testing.assert_allclose(logits.numpy()[:k, b], alone.numpy()[:, 0], atol=1e-12)
        np.testing.assert_allclose(weights.numpy()[:k, b, :n], its.numpy()[:, 0], atol=1e-12)
        assert (weights.numpy()[:, b, n:] == 0).all()
    _, _, after = model.decoder(target, model.start(source, LENGTHS), TARGET_LENGTHS)
    for b, k in enumerate(TARGET_LENGTHS):  # the state is that after each sequence's own last step
        _, _, its_after = model.decoder(target[:k], model.start(source, LENGTHS))
        for mine, other in zip(after.recurrent, its_after.recurrent):
            np.testing.assert_allclose(mine.numpy()[:, b], other.numpy()[:, b], atol=1e-12)


class Leaky(Cell):
    """A user's own cell."""

    gates, state_names = 1, ("h",)

    def step(self, x: Any, state: tuple[Any, ...], h: Any) -> tuple[mg.Tensor, ...]:
        return (0.9 * state[0] + 0.1 * mg.tanh(mg.linear(x, self.Wc, self.b) + mg.linear(h, self.Wr)),)


@pytest.mark.parametrize("attend", ["before", "after"])
def test_any_cell_and_differences(attend: str) -> None:
    rng = np.random.default_rng(3)
    shared: dict[str, Any] = {"network": Recurrence, "cell_type": Leaky, "rng": rng, "dtype": "float64"}
    decoder = Decoder(V, E, H, attention=reader("general", H, H), attend=attend, **shared)
    model = EncoderDecoder(Encoder(None, E, H, **shared), decoder, bridge="copy")
    target = batch()[1]
    xs = mg.tensor(rng.standard_normal((S, B, E)), requires_grad=True)

    def loss(x: Any) -> mg.Tensor:
        return mg.mean(mg.square(model(x, target, LENGTHS, TARGET_LENGTHS)[0]))

    assert mg.gradcheck(loss, [xs])
    parameters = list(model.parameters())
    for p, g in zip(parameters, mg.gradients(loss(xs), parameters)):
        v, at_rest, ends = rng.standard_normal(p.shape), p.data.copy(), []
        for step in (1e-5, -1e-5):
            p.data = at_rest + step * v
            ends.append(loss(xs).item())
        p.data = at_rest
        np.testing.assert_allclose((g.numpy() * v).sum(), (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("attend", ["before", "after"])
def test_scheduled_sampling_feeds_what_it_said(attend: str, xp: Any) -> None:
    source, target = batch()
    model = network_model("gru", "additive", attend).to(xp.name)
    coins = TeacherForcing(constant_schedule(0.5), np.random.default_rng(0)).draw(0, T, B)
    assert coins[1:].any()
    assert not coins[1:].all()

    def run(fed: Any, forced: Any) -> tuple[Any, list[Any]]:
        model.zero_grad()
        logits, _ = model(source, fed, LENGTHS, forced=forced)
        losses.cross_entropy(logits, target).backward()
        return logits.numpy(), [p.grad.numpy() for p in model.parameters()]

    logits, grads = run(target, coins)
    said = np.concatenate([target[:1], logits.argmax(-1)[:-1]])
    coins[0] = True
    again, wanted = run(np.where(coins, target, said), None)
    np.testing.assert_allclose(logits, again, atol=1e-12)
    for mine, other in zip(grads, wanted):
        np.testing.assert_allclose(mine, other, atol=1e-12)
    always, _ = run(target, np.ones((T, B), bool))
    np.testing.assert_allclose(always, run(target, None)[0], atol=1e-12)


class At:
    """A generator that gives one number."""

    def __init__(self, u: float) -> None:
        self.u = u

    def random(self) -> float:
        return self.u


@pytest.mark.parametrize("attend", ["before", "after"])
def test_scheduled_sampling_feeds_what_it_drew(attend: str, xp: Any) -> None:
    """From the model's own distribution, as `sampling.draw` does it with the same numbers."""
    source, target = batch()
    model, rng = network_model("gru", "additive", attend).to(xp.name), np.random.default_rng(4)
    coins, draws = rng.random((T, B)) < 0.3, rng.random((T, B))
    draws[1, 0], draws[2, 0] = 0, np.nextafter(1, 0)  # the first token and the last one that may come
    logits, _ = model(source, target, LENGTHS, forced=coins, draws=draws)
    fed = target.copy()
    for t, b in zip(*np.nonzero(~coins)):
        if t:
            fed[t, b] = draw(logits.numpy()[t - 1, b], rng=At(draws[t, b]))  # type: ignore[arg-type]
    again, _ = model(source, fed, LENGTHS)
    np.testing.assert_allclose(logits.numpy(), again.numpy(), atol=1e-12)
    likeliest, _ = model(source, target, LENGTHS, forced=coins)
    assert np.abs(likeliest.numpy() - logits.numpy()).max() > 1e-3
    turned = EncoderDecoder(model.encoder, model.decoder, model.bridge or "copy", batch_first=True)
    got, _ = turned(source.T.copy(), target.T.copy(), LENGTHS, forced=coins.T, draws=draws.T)
    np.testing.assert_allclose(got.numpy().swapaxes(0, 1), logits.numpy(), atol=1e-12)


@pytest.mark.parametrize(("kind", "attend"), list(itertools.product(["additive", "scaled"], ["before", "after"])))
def test_on_a_device_nobody_waits(kind: str, attend: str, xp: Any) -> None:
    source, target = batch()
    model = network_model("lstm", kind, attend, "float32").to(xp.name)
    coins = TeacherForcing(constant_schedule(0.5), np.random.default_rng(0)).draw(0, T, B)
    draws = np.random.default_rng(1).random((T, B))
    there = [xp.array(a) for a in (source, target)]
    with xp.no_sync():
        logits, _ = model(there[0], there[1], LENGTHS, TARGET_LENGTHS, coins, draws)
        losses.cross_entropy(logits, there[1]).backward()
    assert logits.dtype == np.float32
    host = network_model("lstm", kind, attend, "float32").to("numpy")
    np.testing.assert_allclose(
        logits.numpy(), host(source, target, LENGTHS, TARGET_LENGTHS, coins, draws)[0].numpy(), atol=1e-4
    )


def test_batch_first_is_the_same_turned() -> None:
    source, target = batch()
    model = network_model()
    logits, weights = model(source, target, LENGTHS)
    turned = EncoderDecoder(model.encoder, model.decoder, model.bridge or "copy", batch_first=True)
    got, its = turned(source.T.copy(), target.T.copy(), LENGTHS)
    assert weights is not None
    np.testing.assert_allclose(got.numpy().swapaxes(0, 1), logits.numpy(), atol=1e-13)
    np.testing.assert_allclose(its.numpy().swapaxes(0, 1), weights.numpy(), atol=1e-13)


def test_reversing_is_learned() -> None:
    rng = np.random.default_rng(0)
    symbols, begin, most = 5, 0, 5
    encoder = Encoder(symbols, 12, 24, bidirectional=True, network=GRU, rng=rng)
    decoder = Decoder(symbols, 12, 32, network=GRU, attention=GeneralAttention(32, 48, rng=rng), rng=rng)
    model = EncoderDecoder(encoder, decoder, rng=rng)

    def draw(n: int) -> tuple[Any, Any, Any]:
        lengths = rng.integers(2, most + 1, n)
        source, wanted = np.zeros((2, most, n), np.int64)
        for b, k in enumerate(lengths):
            source[:k, b] = rng.integers(1, symbols, k)
            wanted[:k, b] = source[:k, b][::-1]
        return source, wanted, lengths

    optimizer = Adam(model.parameters(), lr=0.01)
    for _ in range(300):
        source, wanted, lengths = draw(32)
        target = np.concatenate([np.full((1, 32), begin), wanted[:-1]])
        logits, _ = model(source, target, lengths, lengths)
        loss = losses.cross_entropy(logits, np.where(np.arange(most)[:, None] < lengths, wanted, -100))
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
    source, wanted, lengths = draw(200)
    said = greedy_decode(model, model.start(source, lengths), 200, begin, None, most)
    exact = np.mean([h.tokens[:n] == wanted[:n, b].tolist() for b, (h, n) in enumerate(zip(said, lengths))])
    assert exact > 0.95


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: AdditiveAttention(3, 3, 0), "AdditiveAttention: attention_size: got 0"),
        (lambda: DotAttention(3)(np.zeros((B, 4)), np.zeros((S, B, 3))), "DotAttention: query: got shape"),
        (lambda: DotAttention(3)(np.zeros((B, 3)), np.zeros((S, B, 4))), "DotAttention: memory: got shape"),
        (lambda: DotAttention(3)(np.zeros((B, 3)), np.zeros((S, B, 3)), [0, 1, 2]), "DotAttention: lengths: got 0"),
        (lambda: Decoder(V, E, H, attend="between"), "Decoder: attend: got 'between'"),
        (lambda: Decoder(V, E, H, attention=DotAttention(3)), "Decoder: attention: got query_size 3"),
        (lambda: Decoder(V, E, H, bidirectional=True), "Decoder: bidirectional: got True"),
        (lambda: EncoderDecoder(Encoder(V, E, H), Decoder(V, E, 2 * H), "copy"), "EncoderDecoder: bridge: got 'copy'"),
        (lambda: network_model()(np.full((S, B), V), batch()[1]), "Encoder: source: got ids from 7"),
        (lambda: network_model()(*batch(), forced=np.ones((T, B))), "Decoder: forced: got float64"),
        (lambda: network_model()(*batch(), draws=np.zeros((T, B))), "Decoder: draws: got some without forced"),
        (lambda: drawing(np.ones((T, B))), r"Decoder: draws: got float64 of shape \(4, 3\), want numbers of \[0, 1\)"),
        (lambda: drawing(np.zeros((B, T))), r"Decoder: draws: got float64 of shape \(3, 4\)"),
        (lambda: network_model()(batch()[0], batch()[1][:, :2]), "Decoder: ids: got 2 sequences, want 3"),
    ],
)
def test_errors_say_what_is_wrong(call: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()


def drawing(draws: Any) -> Any:
    return network_model()(*batch(), forced=np.zeros((T, B), bool), draws=draws)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: DotAttention(3)(np.zeros((B, 3), "float32"), np.zeros((S, B, 3))), "DotAttention: query: got dtype"),
        (lambda: DotAttention(3)(np.zeros((B, 3)), np.zeros((S, B, 3), int)), "DotAttention: memory: got dtype int64"),
        (lambda: network_model().decoder(batch()[1], None), "Decoder: state: got NoneType, want a DecoderState"),
    ],
)
def test_a_wrong_type_is_named(call: Any, complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        call()
