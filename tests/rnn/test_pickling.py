"""Every module of minigrad and minigrad_rnn, pickled and copied, computes what the original computes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as mr
from minigrad import nn
from minigrad.pytree import tree_flatten
from minigrad_rnn.text.model import CharacterModel

T, B, I, H, K = 4, 2, 3, 4, 5
XS = np.random.default_rng(0).standard_normal((T, B, I)).astype(np.float32)
IDS = np.random.default_rng(1).integers(0, K, (T, B))
X, HIDDEN, MEMORY = XS[0], np.ones((B, H), np.float32), np.ones((T, B, H), np.float32)


def forcing() -> mr.TeacherForcing:
    return mr.TeacherForcing(mr.linear_schedule(), rng=0)


def translator(attention: Any = None) -> mr.EncoderDecoder:
    encoder = mr.Encoder(K, I, H, network=mr.GRU, rng=0)
    return mr.EncoderDecoder(encoder, mr.Decoder(K, I, H, network=mr.GRU, attention=attention, rng=1), rng=2)


def translate(model: Any) -> Any:
    return model(IDS, IDS)


def rnn() -> mr.Recurrence:
    return mr.RNN(I, H, rng=0)


def containers() -> nn.ModuleDict:
    parameters = nn.ParameterDict({"scale": np.ones(1, np.float32)})
    parameters.shifts = nn.ParameterList([np.ones(1, np.float32)])
    return nn.ModuleDict({"a": nn.Linear(I, H, rng=0), "b": parameters})


CASES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    **{
        name: (
            lambda name=name: getattr(mr, name)(I, H, num_layers=2, dropout=0.3, zoneout=0.1, rng=0),
            lambda m: m(XS),
        )
        for name in ("RNN", "LSTM", "GRU", "MGU", "IndRNN", "LayerNormRNN", "LayerNormLSTM", "LayerNormGRU")
    },
    "learned state, both directions": (
        lambda: mr.LSTM(I, H, bidirectional=True, initial_state="learned", rng=0),
        lambda m: m(XS, lengths=[4, 2]),
    ),
    "Elman": (lambda: mr.Elman(I, H, K, rng=0), lambda m: m(XS)),
    "Jordan": (lambda: mr.Jordan(I, H, K, rng=0), lambda m: m(XS)),
    "TDNN": (lambda: mr.TDNN(I, H, K, 1, rng=0), lambda m: m(XS)),
    "NARX": (lambda: mr.NARX(I, H, K, 1, 1, initial="learned", rng=0), lambda m: m(XS)),
    "StateSpace": (lambda: mr.StateSpace(I, H, K, rng=0), lambda m: m(XS)),
    "GeneralRecurrence": (
        lambda: mr.GeneralRecurrence({"x": I, "h": H, "y": K}, {"h": ["x", "h[t-1]"], "y": ["h"]}, rng=0),
        lambda m: m(XS),
    ),
    "OneToOne": (lambda: mr.OneToOne(rnn(), nn.Linear(H, K, rng=1)), lambda m: m(X)),
    "OneToMany": (lambda: mr.OneToMany(rnn(), nn.Linear(H, I, rng=1)), lambda m: m(X, 3)),
    "ManyToOne": (lambda: mr.ManyToOne(rnn(), nn.Linear(H, K, rng=1), "max"), lambda m: m(XS)),
    "ManyToMany": (lambda: mr.ManyToMany(rnn(), nn.Linear(H, K, rng=1)), lambda m: m(XS)),
    "AdditiveAttention": (lambda: mr.AdditiveAttention(H, H, 3, rng=0), lambda m: m.read(HIDDEN, m.prepare(MEMORY))),
    "DotAttention": (lambda: mr.DotAttention(H, scaled=True), lambda m: m.read(HIDDEN, m.prepare(MEMORY))),
    "GeneralAttention": (lambda: mr.GeneralAttention(H, H, rng=0), lambda m: m.read(HIDDEN, m.prepare(MEMORY))),
    "Encoder": (lambda: mr.Encoder(K, I, H, rng=0), lambda m: m(IDS)),
    "EncoderDecoder": (translator, translate),
    "EncoderDecoder with attention": (lambda: translator(mr.GeneralAttention(H, H, rng=0)), translate),
    "CTCLoss": (lambda: mr.CTCLoss(), lambda m: m(mg.log_softmax(XS), np.array([[1], [2]]), [4, 4], [1, 1])),
    "CharacterModel": (lambda: CharacterModel(K, "gru", I, H, rng=0), lambda m: m(IDS)),
    "Sequential": (
        lambda: nn.Sequential(
            nn.Linear(I, H, rng=0), nn.LayerNorm(H), nn.Tanh(), nn.Sigmoid(), nn.ReLU(), nn.Identity(), nn.Dropout()
        ),
        lambda m: m(X),
    ),
    "every activation": (
        lambda: nn.Sequential(
            *(getattr(nn, name)() for name in nn.activations.__all__ if name not in ("GLU", "Threshold")),
            nn.GLU(),
            nn.Threshold(0.1, 2.0),
        ),
        lambda m: m(X[:, :2]),
    ),
    "normalisation, convolution": (
        lambda: nn.Sequential(nn.BatchNorm1d(B, momentum=None), nn.Conv1d(B, H, 2, rng=0), nn.RMSNorm(2)),
        lambda m: m(XS),
    ),
    "every loss": (
        lambda: nn.ModuleDict({name: getattr(nn, name)() for name in nn.losses.__all__}),
        lambda m: [loss(np.full((2, 2), 0.3), np.full((2, 2), 0.5)) for k, loss in m.items() if k != "NLLLoss"],
    ),
    "containers": (containers, lambda m: m["a"](X) * m["b"]["scale"] + m["b"].shifts[0]),
    "Embedding": (lambda: nn.Embedding(K, I, padding_idx=0, rng=0), lambda m: m(IDS)),
}


def outputs(result: Any) -> list[Any]:
    leaves, _ = tree_flatten(result)
    return [x.numpy() if isinstance(x, mg.Tensor) else x for x in leaves]


@pytest.mark.parametrize("name", CASES)
def test_every_module(name: str) -> None:
    make, call = CASES[name]
    model = make()
    nn.manual_seed(3)
    want = outputs(call(model))  # also what a first call leaves in the module must not stand in the way
    for twin in (make(), *(pickle.loads(pickle.dumps(make(), k)) for k in range(6)), copy.deepcopy(make())):
        nn.manual_seed(3)
        assert [n for n, _ in twin.named_parameters()] == [n for n, _ in model.named_parameters()]
        for got, value in zip(outputs(call(twin)), want, strict=True):
            np.testing.assert_array_equal(got, value)
        assert repr(twin) == repr(model)
    twin = pickle.loads(pickle.dumps(model))
    assert twin.state_dict().keys() == model.state_dict().keys()


def test_every_public_module_has_a_case() -> None:
    kinds = {c for c in (getattr(mr, n) for n in mr.__all__) if isinstance(c, type) and issubclass(c, nn.Module)}
    kinds |= {c for c in (getattr(nn, n) for n in nn.__all__) if isinstance(c, type)}
    covered = {type(m) for make, _ in CASES.values() for m in make().modules()}
    assert {c.__name__ for c in kinds - covered} == {"Attention", "Cell", "Module", "ModuleList", "Recurrence"}  # bases


def test_operations_are_pickled_by_name() -> None:
    """So that a module may hold one as its activation."""
    for name in mg.ops.__all__:
        operation = getattr(mg.ops, name)
        if callable(operation):
            assert pickle.loads(pickle.dumps(operation)) is operation


def test_what_stands_beside_the_modules() -> None:
    names = ("linear_schedule", "exponential_schedule", "inverse_sigmoid_schedule")
    for schedule in (mr.constant_schedule(0.3), *(getattr(mr, name)() for name in names)):
        teacher = mr.TeacherForcing(schedule, rng=0)
        for twin in (pickle.loads(pickle.dumps(teacher)), copy.deepcopy(teacher)):
            np.testing.assert_array_equal(twin.draw(7, T, B), mr.TeacherForcing(schedule, rng=0).draw(7, T, B))
    truncation = mr.Truncation(3, 6)
    assert vars(pickle.loads(pickle.dumps(truncation))) == vars(truncation)
    model = mr.LSTM(I, H, dropout=0.5, zoneout=0.1, num_layers=2, rng=0)
    masks = model.draw_masks(T, B, rng=0)
    np.testing.assert_array_equal(
        model(XS, masks=pickle.loads(pickle.dumps(masks)))[0].numpy(), model(XS, masks=masks)[0].numpy()
    )
