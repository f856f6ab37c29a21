"""Encoder–decoder: torch's numbers, lengths, whole and step by step, differences, and a task learned."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import losses
from minigrad.optim import Adam, clip_grad_norm
from minigrad_rnn import (
    GRU,
    LSTM,
    RNN,
    Cell,
    Decoder,
    DotAttention,
    Encoder,
    EncoderDecoder,
    GeneralAttention,
    Recurrence,
    TeacherForcing,
    constant_schedule,
    greedy_decode,
    load_torch_state_dict,
    local_divergence,
    torch_state_dict,
)
from minigrad_rnn.seq2seq import validation
from tests.rnn.seq2seq.test_attention import reader, torch_scores

S, T, B, V, E, H = 6, 4, 3, 7, 3, 4
LENGTHS, TARGET_LENGTHS = [4, 6, 1], [4, 2, 3]
NETWORKS: dict[str, type[Recurrence]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


def network_model(
    name: str = "gru",
    kind: str | None = "additive",
    attend: str = "before",
    dtype: str = "float64",
    layers: int = 1,
    **options: Any,
) -> EncoderDecoder:
    rng = np.random.default_rng(1)
    shared: dict[str, Any] = {"network": NETWORKS[name], "rng": rng, "dtype": dtype}
    encoder = Encoder(V, E, H, bidirectional=True, **shared)
    look = None if kind is None else reader(kind, 2 * H, 2 * H, dtype=dtype)
    decoder = Decoder(V, E, 2 * H, layers, attention=look, attend=attend, **shared, **options)
    return EncoderDecoder(encoder, decoder, rng=rng, dtype=dtype)


def batch(seed: int = 2) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, V, (S, B)), rng.integers(0, V, (T, B))


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


@pytest.mark.parametrize("attend", ["before", "after"])
@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_the_state_is_that_after_each_last_step(name: str, attend: str) -> None:
    model, (source, target) = network_model(name, "dot", attend, layers=2), batch()
    for coins in (None, np.ones((T, B), bool), np.zeros((T, B), bool)):
        start = model.start(source, LENGTHS)
        _, _, state = model.decoder(target, start, TARGET_LENGTHS, coins)
        for b, n in enumerate(TARGET_LENGTHS):
            own = model.select(start, [b])
            _, _, alone = model.decoder(target[:n, b : b + 1], own, None, None if coins is None else coins[:n, :1])
            for part, one in zip(state.recurrent, alone.recurrent):
                np.testing.assert_allclose(part.numpy()[:, b], one.numpy()[:, 0], atol=1e-13)


def test_a_state_that_runs_on_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    class Longer(validation.Lengths):
        def __init__(self, steps: Any, T: int, *rest: Any) -> None:
            super().__init__(np.full(len(steps), T), T, *rest)

    monkeypatch.setattr(validation, "Lengths", Longer)
    with pytest.raises(AssertionError):
        test_the_state_is_that_after_each_last_step("gru", "before")


OPTIONS: list[dict[str, Any]] = [
    {}, {"dropout": 0.4, "recurrent_dropout": 0.4, "zoneout": 0.2}, {"embedding_dropout": 0.4, "output_dropout": 0.4}
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_step_by_step_is_the_whole(options: dict[str, Any]) -> None:
    source, target = batch()
    coins = np.ones((T, B), bool)
    coins[1, 0] = False  # one token of its own, so that it goes step by step, and it is the true one

    def run(forced: Any) -> Any:
        return network_model("gru", "dot", "after", layers=2, **options)(source, target, LENGTHS, forced=forced)

    target[1, 0] = run(None)[0].numpy()[0, 0].argmax()
    for stepped, whole in zip(run(coins), run(None)):
        np.testing.assert_allclose(stepped.numpy(), whole.numpy(), atol=1e-13)


def parameters_agree_with_differences(model: EncoderDecoder, loss: Any) -> None:
    """Each one along a random direction."""
    parameters, rng = dict(model.named_parameters()), np.random.default_rng(3)
    for (name, p), g in zip(parameters.items(), mg.gradients(loss(), list(parameters.values()))):
        v, at_rest, ends = rng.standard_normal(p.shape), p.numpy(), []
        for step in (1e-6, -1e-6):
            p.data = at_rest + step * v
            with mg.no_grad():
                ends.append(loss().item())
        p.data = at_rest
        assert np.any(g.numpy()), name
        np.testing.assert_allclose((g.numpy() * v).sum(), (ends[0] - ends[1]) / 2e-6, rtol=0, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("attend", ["before", "after"])
@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_every_parameter_agrees_with_a_difference(name: str, attend: str) -> None:
    model, (source, target) = network_model(name, "additive", attend, layers=2), batch()
    coins = np.random.default_rng(2).random((T, B)) < 0.5

    def loss() -> Any:
        logits, _ = model(source, target, LENGTHS, TARGET_LENGTHS, coins)
        return local_divergence("cross_entropy", logits, target, TARGET_LENGTHS)

    parameters_agree_with_differences(model, loss)


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
    parameters_agree_with_differences(model, lambda: loss(xs))


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


def test_batch_first_is_the_same_transposed() -> None:
    source, target = batch()
    model = network_model()
    logits, weights = model(source, target, LENGTHS)
    batch_first_model = EncoderDecoder(model.encoder, model.decoder, model.bridge or "copy", batch_first=True)
    got, its = batch_first_model(source.T.copy(), target.T.copy(), LENGTHS)
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
        source, reversed_ = np.zeros((2, most, n), np.int64)
        for b, k in enumerate(lengths):
            source[:k, b] = rng.integers(1, symbols, k)
            reversed_[:k, b] = source[:k, b][::-1]
        return source, reversed_, lengths

    steps = 400
    optimizer = Adam(model.parameters())
    for step in range(steps):
        # The learning rate falls to 0, so that the result depends little on the machine: 0.9975 or more on eight seeds.
        optimizer.param_groups[0]["lr"] = 0.015 * (1 - step / steps)
        source, reversed_, lengths = draw(32)
        target = np.concatenate([np.full((1, 32), begin), reversed_[:-1]])
        logits, _ = model(source, target, lengths, lengths)
        loss = losses.cross_entropy(logits, np.where(np.arange(most)[:, None] < lengths, reversed_, -100))
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
    source, reversed_, lengths = draw(200)
    results = greedy_decode(model, model.start(source, lengths), 200, begin, None, most)
    exact = np.mean([h.tokens[:n] == reversed_[:n, b].tolist() for b, (h, n) in enumerate(zip(results, lengths))])
    assert exact > 0.95


def fed(**options: Any) -> Any:
    source, target = batch()
    return network_model()(source, options.pop("target", target), **options)


@pytest.mark.parametrize(
    ("call", "error", "complaint"),
    [
        (lambda: Decoder(V, E, H, attend="between"), ValueError, "Decoder: attend: got 'between'"),
        (lambda: Decoder(V, E, H, attention=3), TypeError, "Decoder: attention: got int"),
        (lambda: Decoder(V, E, H, attention=DotAttention(3)), ValueError, "Decoder: attention: got query_size 3"),
        (lambda: Decoder(V, E, H, bidirectional=True), ValueError, "Decoder: bidirectional: got True"),
        (lambda: Decoder(V, E, H, batch_first=True), ValueError, "Decoder: batch_first: got True"),
        (lambda: EncoderDecoder(Encoder(V, E, H), Decoder(V, E, 2 * H), "copy"), ValueError, "bridge: got 'copy'"),
        (lambda: network_model()(np.full((S, B), V), batch()[1]), ValueError, "Encoder: source: got ids from 7"),
        (lambda: fed(target=np.ones((T, B))), TypeError, "Decoder: ids: got dtype float64"),
        (lambda: fed(target=np.ones((T, 2), int)), ValueError, "Decoder: ids: got 2 sequences, want 3"),
        (lambda: fed(forced=np.ones((T, B))), ValueError, "Decoder: forced: got float64"),
        (lambda: fed(draws=np.zeros((T, B))), ValueError, "Decoder: draws: got some without forced"),
        (
            lambda: fed(forced=np.zeros((T, B), bool), draws=np.ones((T, B))),
            ValueError,
            r"Decoder: draws: got float64 of shape \(4, 3\), want numbers in \[0, 1\)",
        ),
        (
            lambda: fed(forced=np.zeros((T, B), bool), draws=np.zeros((B, T))),
            ValueError,
            r"Decoder: draws: got float64 of shape \(3, 4\)",
        ),
        (lambda: network_model().decoder(batch()[1], None), TypeError, "Decoder: state: got NoneType"),
    ],
)
def test_errors_say_what_is_wrong(call: Any, error: type[Exception], complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        call()
