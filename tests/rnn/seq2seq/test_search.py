"""Decoding: greedy, drawn, and by beam, on models so small that every sequence can be listed."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from minigrad_rnn import (
    GRU,
    Decoder,
    DotAttention,
    Encoder,
    EncoderDecoder,
    TeacherForcing,
    beam_search,
    constant_schedule,
    exponential_schedule,
    greedy_decode,
    inverse_sigmoid_schedule,
    linear_schedule,
    sample_decode,
)
from minigrad_rnn.seq2seq import search as decoding
from minigrad_rnn.seq2seq.search import length_penalty

END, BEGIN = 0, 1


class Table:
    """A user's own model: the next token's log probabilities depend on the whole prefix, by a hash of it."""

    def __init__(self, V: int, seed: int = 0, sharp: float = 2.0) -> None:
        self.V, self.seed, self.sharp = V, seed, sharp

    def log_probs(self, prefix: tuple[int, ...]) -> Any:
        z = np.random.default_rng([self.seed, *prefix]).standard_normal(self.V) * self.sharp
        return z - np.log(np.exp(z).sum())

    def step(self, tokens: Any, state: Any) -> Any:
        state = [(*message, int(t)) for message, t in zip(state, tokens, strict=True)]
        return np.stack([self.log_probs(message) for message in state]), state

    def select(self, state: Any, rows: Any) -> Any:
        return [state[k] for k in rows]

    def start(self, batch: int) -> Any:
        return [(b,) for b in range(batch)]  # each sequence of the batch has distributions of its own

    def everything(self, b: int, L: int, alpha: float) -> list[tuple[float, float, list[int]]]:
        """Each sequence that ends, or has length L: (score, log probability, tokens), the best first."""
        result = []
        for n in range(1, L + 1):
            for message in itertools.product(range(self.V), repeat=n):
                if END in message[:-1] or (message[-1] != END and n < L):
                    continue
                prefixes = [(b, BEGIN, *message[:k]) for k in range(n)]
                total = sum(self.log_probs(p)[t] for p, t in zip(prefixes, message))
                result.append((total / ((5 + n) / 6) ** alpha, total, list(message)))
        return sorted(result, key=lambda f: -f[0])


@settings(max_examples=20)
@given(st.integers(2, 3), st.integers(1, 4), st.sampled_from([0.0, 0.6, 1.5]), st.integers(0, 10**6))
def test_a_beam_as_wide_as_everything_is_the_exhaustive_search(V: int, L: int, alpha: float, seed: int) -> None:
    model, n = Table(V, seed), min(5, V**L)
    result = beam_search(model, model.start(2), 2, BEGIN, END, L, V**L, alpha, n)
    for b in range(2):
        want = model.everything(b, L, alpha)[:n]
        assert [h.tokens for h in result[b]] == [w[2] for w in want]
        np.testing.assert_allclose([(h.score, h.log_prob) for h in result[b]], [w[:2] for w in want], rtol=1e-12)
        assert all(h.finished == (h.tokens[-1] == END) for h in result[b])


@given(st.lists(st.sampled_from([-math.inf, -3.0, -1.5, -1.0, 0.0]), min_size=1, max_size=12), st.integers(1, 14))
def test_the_largest_are_those_of_a_sort_of_all_and_of_equals_the_first(values: list[float], k: int) -> None:
    want = np.argsort(-np.array(values), kind="stable")[:k]
    assert decoding._largest(np.array(values), k).tolist() == want.tolist()


@settings(max_examples=20)
@given(st.integers(2, 6), st.integers(1, 8), st.integers(0, 10**6))
def test_a_beam_of_one_is_greedy(V: int, L: int, seed: int) -> None:
    model = Table(V, seed)
    greedy = greedy_decode(model, model.start(3), 3, BEGIN, END, L)
    beam = beam_search(model, model.start(3), 3, BEGIN, END, L, 1)
    assert [b[0].tokens for b in beam] == [g.tokens for g in greedy]
    np.testing.assert_allclose([b[0].log_prob for b in beam], [g.log_prob for g in greedy], rtol=1e-12)


def test_a_batch_is_each_alone() -> None:
    model = Table(4, 3)
    together = beam_search(model, model.start(4), 4, BEGIN, END, 6, 3, 0.7, 3)
    for b in range(4):
        assert beam_search(model, [(b,)], 1, BEGIN, END, 6, 3, 0.7, 3)[0] == together[b]


def test_a_beam_that_forgets_finished_hypotheses_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    ranked = decoding._ranked
    monkeypatch.setattr(decoding, "_ranked", lambda hs: ranked([h for h in hs if not h.finished]))
    with pytest.raises(AssertionError):
        test_a_beam_as_wide_as_everything_is_the_exhaustive_search()


def test_the_length_penalty_is_the_published_one() -> None:
    assert length_penalty(7, 0.0) == 1
    assert length_penalty(7, 0.6) == pytest.approx((12 / 6) ** 0.6)
    model = Table(3, sharp=0.0)
    short = beam_search(model, model.start(1), 1, BEGIN, END, 6, 3**6, 0.0)[0][0]
    long = beam_search(model, model.start(1), 1, BEGIN, END, 6, 3**6, 5.0)[0][0]
    assert len(short.tokens) == 1
    assert len(long.tokens) == 6


def test_no_end_means_every_sequence_is_full() -> None:
    model = Table(3)
    for h in [
        *greedy_decode(model, model.start(2), 2, BEGIN, None, 5),
        *beam_search(model, [(0,)], 1, BEGIN, None, 5)[0],
    ]:
        assert len(h.tokens) == 5
        assert not h.finished


def test_draws_follow_the_model_and_repeat() -> None:
    model, n = Table(3, 1, sharp=1.0), 4000
    draws = sample_decode(model, [(0,)] * n, n, BEGIN, END, 3, rng=np.random.default_rng(0))
    again = sample_decode(model, [(0,)] * n, n, BEGIN, END, 3, rng=np.random.default_rng(0))
    assert draws == again
    for _, log_prob, tokens in model.everything(0, 3, 0.0)[:4]:
        share, p = sum(h.tokens == tokens for h in draws) / n, math.exp(log_prob)
        assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / n)
    for h in draws[:20]:
        known = {tuple(t): lp for _, lp, t in model.everything(0, 3, 0.0)}
        assert h.log_prob == pytest.approx(known[tuple(h.tokens)], rel=1e-12)
    cold = sample_decode(model, model.start(3), 3, BEGIN, END, 5, temperature=0)
    assert cold == greedy_decode(model, model.start(3), 3, BEGIN, END, 5)
    assert cold == sample_decode(model, model.start(3), 3, BEGIN, END, 5, top_k=1)


def test_a_network_decodes_as_its_forward_says(xp: Any) -> None:
    rng = np.random.default_rng(0)
    encoder = Encoder(5, 3, 4, bidirectional=True, network=GRU, rng=rng)
    decoder = Decoder(5, 3, 8, network=GRU, attention=DotAttention(8), rng=rng)
    model = EncoderDecoder(encoder, decoder, rng=rng).to(xp.name)
    source, lengths = rng.integers(0, 5, (6, 3)), [4, 6, 2]
    state = model.start(source, lengths)
    model.encoder.eval()  # as one may who trains the decoder alone
    result = beam_search(model, state, 3, BEGIN, END, 5, 3, 0.6, 2)
    assert model.training
    assert model.decoder.recurrence.training
    assert not model.encoder.recurrence.training
    for b, mine in enumerate(result):
        for h in mine:
            target = np.array([BEGIN, *h.tokens[:-1]])[:, None]
            with mg.no_grad():
                logits, _ = model(source[: lengths[b], b : b + 1], target)
            log_probs = mg.log_softmax(logits[:, 0]).numpy()
            assert h.log_prob == pytest.approx(log_probs[np.arange(len(h.tokens)), h.tokens].sum(), abs=1e-4)
    greedy = greedy_decode(model, state, 3, BEGIN, END, 5)
    assert [g.tokens for g in greedy] == [b[0].tokens for b in beam_search(model, state, 3, BEGIN, END, 5, 1)]


def test_schedules_are_the_published_ones() -> None:
    assert [constant_schedule(0.3)(i) for i in (0, 9)] == [0.3, 0.3]
    assert [linear_schedule(1.0, 0.25, 0.4)(i) for i in (0, 1, 9)] == [1.0, 0.75, 0.4]
    assert exponential_schedule(0.5)(3) == 0.125
    assert inverse_sigmoid_schedule(10)(20) == pytest.approx(10 / (10 + math.exp(2)))
    assert inverse_sigmoid_schedule(1)(10**6) == 0
    coins = TeacherForcing(linear_schedule(1.0, 0.01), np.random.default_rng(0))
    assert coins.draw(0, 5, 4).all()
    assert not coins.draw(100, 5, 4).any()
    assert abs(coins.draw(70, 100, 100).mean() - 0.3) < 0.03


class Odd(Table):
    """What a step gives, changed."""

    def __init__(self, change: Any) -> None:
        super().__init__(3)
        self.change = change

    def step(self, tokens: Any, state: Any) -> Any:
        log_probs, state = super().step(tokens, state)
        return self.change(log_probs), state


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda m: beam_search(m, m.start(1), 1, 1, beam_width=0), "beam_search: beam_width: got 0"),
        (lambda m: beam_search(m, m.start(1), 1, 1, beam_width=2.5), "beam_search: beam_width: got 2.5"),
        (lambda m: beam_search(m, m.start(1), 1, 1, n_best=0), "beam_search: n_best: got 0"),
        (lambda m: beam_search(m, m.start(1), 1, 1, end=3), "beam_search: end: got 3, want a token from 0 to 2"),
        (lambda m: greedy_decode(m, m.start(1), 1, 1, end=-1), "greedy_decode: end: got -1"),
        (lambda m: greedy_decode(m, m.start(1), 0, 1), "greedy_decode: batch: got 0"),
        (lambda m: greedy_decode(Odd(lambda p: p[:, 0]), [()], 1, 1), "greedy_decode: model.step: got .* shape"),
        (lambda m: greedy_decode(Odd(lambda p: p * np.nan), [()], 1, 1), "greedy_decode: model.step: got NaN"),
        (lambda m: greedy_decode(Odd(np.exp), [()], 1, 1), "greedy_decode: model.step: got .* above 0"),
        (lambda m: beam_search(m, m.start(1), 1, 1, alpha=-1.0), "beam_search: alpha: got -1.0"),
        (lambda m: beam_search(m, m.start(1), 1, 1, n_best=5), "beam_search: n_best: got 5"),
        (lambda m: greedy_decode(m, m.start(1), 1, 1, max_length=0), "greedy_decode: max_length: got 0"),
        (lambda m: sample_decode(m, m.start(1), 1, 1, top_k=0), "likely: top_k: got 0"),
        (lambda m: sample_decode(m, m.start(1), 1, 1, top_k=1.5), "likely: top_k: got 1.5"),
        (lambda m: sample_decode(m, m.start(1), 1, 1, top_p=0.0), "likely: top_p: got 0.0"),
        (lambda m: exponential_schedule(1.5), "exponential_schedule: k: got 1.5"),
        (lambda m: inverse_sigmoid_schedule(0.5), "inverse_sigmoid_schedule: k: got 0.5"),
        (lambda m: linear_schedule(0.5, least=0.6), "linear_schedule: least: got 0.6, want a number from 0 to 0.5"),
        (lambda m: constant_schedule(math.nan), "constant_schedule: p: got nan"),
        (lambda m: tossing(constant_schedule(0.5)).draw(-1, 2, 2), "TeacherForcing.draw: step: got -1"),
        (lambda m: tossing(lambda i: i * 1.5).draw(1, 2, 2), r"TeacherForcing.draw: schedule\(1\): got 1.5"),
    ],
)
def test_errors_say_what_is_wrong(call: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call(Table(3))


def tossing(schedule: Any) -> TeacherForcing:
    return TeacherForcing(schedule, np.random.default_rng(0))


def test_coins_need_a_schedule_and_a_generator() -> None:
    with pytest.raises(TypeError, match="TeacherForcing: schedule: got float, want a function"):
        tossing(0.5)
    with pytest.raises(TypeError, match=r"TeacherForcing: rng: got None, want a numpy\.random\.Generator"):
        TeacherForcing(constant_schedule(0.5), None)  # type: ignore[arg-type]
