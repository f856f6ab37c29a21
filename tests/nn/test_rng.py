"""Everything that takes `rng`: a generator, a seed or None; a seed is as good as its generator, and nothing else is."""

from __future__ import annotations

import importlib
import inspect
import itertools
import pkgutil
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad
import minigrad_rnn as rnn
from minigrad import nn
from minigrad_rnn.seq2seq import sampling
from minigrad_rnn.seq2seq.scheduled_sampling import TeacherForcing
from minigrad_rnn.seq2seq.search import sample_decode
from minigrad_rnn.text.model import CharacterModel
from minigrad_rnn.text.subwords import SubwordVocabulary

Numbers = list[Any]


def parameters(module: nn.Module) -> Numbers:
    return [p.numpy() for p in module.parameters()]


def drawn_twice(function: Callable[[], Any]) -> Numbers:
    first, second = function(), function()
    assert not np.array_equal(first, second), "a seed gives the same numbers every time"
    return [first, second]


def dropped(rng: Any) -> Numbers:
    layer = nn.Dropout(0.5, rng=rng)
    return drawn_twice(lambda: layer(minigrad.ones(50)).numpy())


def recurrence(rng: Any) -> Numbers:
    net = rnn.Recurrence(2, 3, 2, cell_type=rnn.LSTM.cell_type, dropout=0.5, zoneout=0.2, rng=rng)
    masks = drawn_twice(lambda: net.draw_masks(9, 4)["forward1"].input)
    return [*parameters(net), *masks]


def masks(rng: Any) -> Numbers:
    return [rnn.RNN(2, 3, 2, dropout=0.5).draw_masks(9, 4, rng)["forward1"].input]


def from_torch(rng: Any) -> Numbers:
    state = rnn.torch_state_dict(rnn.RNN(2, 3, 2, rng=np.random.default_rng(1)))
    net = rnn.recurrence_from_torch_state_dict("rnn", state, dropout=0.5, rng=rng)
    return drawn_twice(lambda: net.draw_masks(9, 4)["forward1"].input)


def text(rng: Any) -> Numbers:
    return [sampling.sample(untrained(), [0], 30, rng=rng)[0]]


def untrained() -> CharacterModel:
    return CharacterModel(40, "rnn", 2, 3, rng=np.random.default_rng(1))


def cut(rng: Any) -> Numbers:
    vocabulary = SubwordVocabulary("abc", [["a", "b"], ["ab", "c"]])
    return [vocabulary.encode("abc" * 50, 0.5, rng)]


class Uniform:
    def step(self, tokens: Any, state: Any) -> tuple[Any, Any]:
        return np.full((len(tokens), 50), -np.log(50.0)), state

    def select(self, state: Any, rows: Any) -> Any:
        return state


def said(rng: Any) -> Numbers:
    tokens = [h.tokens for h in sample_decode(Uniform(), None, 2, 0, max_length=10, rng=rng)]
    assert len(set(tokens[0])) > 1
    return [np.array(tokens)]


def coins(rng: Any) -> Numbers:
    forcing = TeacherForcing(lambda step: 0.5, rng)
    return drawn_twice(lambda: forcing.draw(0, 9, 9))


def whole(rng: Any) -> Numbers:
    return parameters(rnn.EncoderDecoder(rnn.Encoder(5, 2, 3), rnn.Decoder(5, 2, 3), rng=rng).bridge)


def started(start: Callable[..., None], net: Any, steps: int, rng: Any) -> Numbers:
    start(net, steps, rng=rng)
    return [p.numpy() for name, p in net.named_parameters() if name.endswith(("b", "Wr"))][-1:]


def bridge(rng: Any) -> Numbers:
    return parameters(rnn.Bridge(rnn.LSTM(2, 3, 2), rnn.LSTM(2, 3, 2), rng=rng))


TAKERS: dict[str, Callable[[Any], Numbers]] = {
    "uniform": lambda rng: [nn.init.uniform((9,), rng=rng)],
    "normal": lambda rng: [nn.init.normal((9,), rng=rng)],
    "xavier_uniform": lambda rng: [nn.init.xavier_uniform((3, 3), rng=rng)],
    "xavier_normal": lambda rng: [nn.init.xavier_normal((3, 3), rng=rng)],
    "kaiming_uniform": lambda rng: [nn.init.kaiming_uniform((3, 3), rng=rng)],
    "orthogonal": lambda rng: [nn.init.orthogonal((3, 3), rng=rng)],
    "Linear": lambda rng: parameters(nn.Linear(3, 3, rng=rng)),
    "Conv1d": lambda rng: parameters(nn.Conv1d(3, 3, 3, rng=rng)),
    "Embedding": lambda rng: parameters(nn.Embedding(3, 3, rng=rng)),
    "dropout_mask": lambda rng: [nn.dropout_mask((50,), 0.5, rng)],
    "Dropout": dropped,
    "Recurrence": recurrence,
    "draw_masks": masks,
    "recurrence_from_torch_state_dict": from_torch,
    **{name: lambda rng, name=name: parameters(getattr(rnn, name)(2, 3, rng=rng))
       for name in ("RNN", "LSTM", "GRU", "MGU", "IndRNN", "LayerNormRNN", "LayerNormLSTM", "LayerNormGRU")},
    "chrono_init": lambda rng: started(rnn.chrono_init, rnn.LSTM(2, 3, rng=1), 50, rng),
    "independent_init": lambda rng: started(rnn.independent_init, rnn.IndRNN(2, 3, bias=False, rng=1), 50, rng),
    "Cell": lambda rng: parameters(rnn.LSTM.cell_type(2, 3, rng=rng)),
    "TDNN": lambda rng: parameters(rnn.TDNN(2, (3, 3), 2, 2, rng=rng)),
    "NARX": lambda rng: parameters(rnn.NARX(2, (3, 3), 2, 1, 1, rng=rng)),
    "Jordan": lambda rng: parameters(rnn.Jordan(2, 2, 2, rng=rng)),
    "Elman": lambda rng: parameters(rnn.Elman(2, 2, 2, rng=rng)),
    "StateSpace": lambda rng: parameters(rnn.StateSpace(2, 2, 2, rng=rng)),
    "GeneralRecurrence": lambda rng: parameters(
        rnn.GeneralRecurrence({"x": 2, "h": 3, "y": 2}, {"h": ["x", "h[t-1]"], "y": ["h"]}, rng=rng)
    ),
    "encode": cut,
    "CharacterModel": lambda rng: parameters(CharacterModel(5, "rnn", 2, 3, 2, dropout=0.5, rng=rng)),
    "draw": lambda rng: [sampling.draw(np.zeros(10**6), rng=rng)],
    "sample": text,
    "sample_stream": lambda rng: list(itertools.islice(sampling.sample_stream(untrained(), [0], rng=rng), 30)),
    "sample_decode": said,
    "TeacherForcing": coins,
    "Encoder": lambda rng: parameters(rnn.Encoder(5, 2, 3, rng=rng)),
    "Decoder": lambda rng: parameters(rnn.Decoder(5, 2, 3, rng=rng)),
    "EncoderDecoder": whole,
    "Bridge": bridge,
    "AdditiveAttention": lambda rng: parameters(rnn.AdditiveAttention(3, 3, 3, rng=rng)),
    "GeneralAttention": lambda rng: parameters(rnn.GeneralAttention(3, 3, rng=rng)),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKERS)
def test_a_seed_is_as_good_as_its_generator_and_0_is_one(name: str) -> None:
    take = TAKERS[name]
    for seed in (0, 7, np.int64(7)):
        for a, b in zip(take(seed), take(np.random.default_rng(int(seed))), strict=True):
            np.testing.assert_array_equal(a, b)
    assert not all(np.array_equal(a, b) for a, b in zip(take(0), take(7)))
    if name == "TeacherForcing":
        return
    nn.manual_seed(3)
    first = take(None)
    nn.manual_seed(3)
    for a, b in zip(first, take(None), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", TAKERS)
def test_a_seed_does_not_give_two_parameters_the_same_numbers(name: str) -> None:
    numbers = [np.ravel(a) for a in TAKERS[name](0)]
    for k, a in enumerate(numbers):
        for b in numbers[k + 1 :]:
            n = min(a.size, b.size, 4)
            assert not np.array_equal(a[:n], b[:n]) or np.ptp(a[:n]) == 0


@pytest.mark.parametrize("name", TAKERS)
@pytest.mark.parametrize("bad", [0.5, "0", True, np.random.RandomState(0), np.random, np.random.PCG64(0)])
def test_nothing_else_is_taken(name: str, bad: Any) -> None:
    with (
        warnings.catch_warnings(),
        pytest.raises(TypeError, match=r"^\w+: rng: got \S+, want a numpy.random.Generator"),
    ):
        TAKERS[name](bad)


@pytest.mark.parametrize("name", TAKERS)
def test_a_seed_below_0(name: str) -> None:
    with pytest.raises(ValueError, match=r"^\w+: rng: got -1, want a seed of at least 0"):
        TAKERS[name](-1)


def test_temperature_0_draws_nothing_and_still_says_what_is_no_generator() -> None:
    with pytest.raises(TypeError, match="draw: rng: got float"):
        sampling.draw([0.0, 1.0], 0.0, rng=0.5)  # type: ignore[arg-type]


OWN = {"direction", "joint_divergence", "of", "as_generator", "OneHiddenLayer", "WindowedMLP", "NamedRecurrence"}
OWN |= {"checkpoint", "moved", "rounding", "RoundingNoise"}
"""What is given its generator by the library's own code, bases of those in the table, `as_generator` itself, and
`checkpoint`, which takes no seed: it restores the state of generators that its function draws from."""


def test_all_that_take_one_are_in_the_table() -> None:
    found = set()
    for package in (minigrad, rnn):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("__main__"):
                continue
            loaded = importlib.import_module(module.name)
            for name, thing in vars(loaded).items():
                if getattr(thing, "__module__", None) != module.name or name.startswith("_"):
                    continue
                members = [(name, thing)]
                if inspect.isclass(thing):
                    members += [(k, v) for k, v in vars(thing).items() if inspect.isfunction(v) and k[0] != "_"]
                for called, member in members:
                    try:
                        taken = "rng" in inspect.signature(member).parameters
                    except (TypeError, ValueError):
                        continue
                    if taken:
                        found.add(called)
    cells = {name for name in found if name.endswith("Cell")}
    assert found - OWN - cells <= set(TAKERS)
