"""What `implementation` says where a compiled sequence did not run, and the errors of impl="native" by name."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad_rnn import GRU, LSTM, MGU, RNN, NativeError, Recurrence
from minigrad_rnn.cells import RNNCell
from minigrad_rnn.native import shared_library
from tests.support.native_library import require_compiler

XS = np.ones((4, 2, 3), np.float32)
WORDS = (
    "cc (some compiler) failed (exit status 1): fatal error: math.h: not there\nIn file included from\nand more words"
)


class OtherCell(RNNCell):
    """A cell of one's own with a sequence, which no compiled one stands for."""

    def kernel_spec(self) -> None:
        return None


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the compiler fails."""
    monkeypatch.setattr(shared_library, "_found", dict.fromkeys(shared_library.DEFINITIONS, WORDS))


def ran(net: Any, dtype: str = "float32") -> str:
    net(mg.tensor(XS.astype(dtype), backend=net.forward0.Wc.backend))
    return str(net.implementation)


def test_native_runs() -> None:
    require_compiler()
    assert [ran(kind(3, 5)) for kind in (RNN, LSTM, GRU)] == ["native"] * 3
    assert ran(GRU(3, 5, impl="native", dtype="float64"), "float64") == "native"
    assert RNN(3, 5).implementation is None


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (RNN(3, 5, nonlinearity="softplus"), "fused (native: no kernel serves nonlinearity='softplus')"),
        (Recurrence(3, 5, cell_type=OtherCell), "fused (native: no compiled sequence is written for OtherCell)"),
        (LSTM(3, 5, zoneout=0.1), "graph"),
        (MGU(3, 5), "graph"),
        (GRU(3, 5, impl="fused"), "fused"),
        (GRU(3, 5, impl="graph"), "graph"),
    ],
)
def test_options(net: Any, said: str) -> None:
    assert ran(net) == said


def test_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIGRAD_NATIVE", raising=False)
    monkeypatch.setattr(shared_library, "_found", {})
    assert ran(LSTM(3, 5, dtype="float16"), "float16") == "fused (native: dtype float16: want float32 or float64)"


def test_on_a_device_nothing_is_said_of_it() -> None:
    assert ran(LSTM(3, 5).to("strict")) == "fused"


def test_a_failing_compiler(no_library: None) -> None:
    assert ran(GRU(3, 5, 2, bidirectional=True)) == f"fused (native: {WORDS.splitlines()[0]})"
    assert ran(GRU(3, 5, impl="fused")) == "fused"
    assert ran(GRU(3, 5, impl="graph")) == "graph"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"MINIGRAD_NATIVE": "0"}, "fused (native: MINIGRAD_NATIVE=0 turns it off)"),
        ({"MINIGRAD_NATIVE": "off"}, "fused (native: MINIGRAD_NATIVE=off turns it off (want 0 or 1))"),
        (
            {"CC": "", "PATH": "/nowhere"},
            "fused (native: no C compiler: CC is not set, and none of cc, gcc and clang is on the PATH)",
        ),
        (
            {"CC": "no_such_cc"},
            "fused (native: no C compiler: CC='no_such_cc', and no_such_cc is not a program on the PATH)",
        ),
        (
            {"MINIGRAD_CACHE": "/dev/null"},
            "fused (native: the cache /dev/null is not a folder; MINIGRAD_CACHE can name",
        ),
    ],
)
def test_the_environment(variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIGRAD_NATIVE", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(shared_library, "_found", {})
    net = LSTM(3, 5)
    want = LSTM(3, 5, impl="fused")
    want.load_state_dict(net.state_dict())
    assert ran(net).startswith(said)
    np.testing.assert_array_equal(net(XS)[0].numpy(), want(XS)[0].numpy())
    with pytest.raises(NativeError, match="LSTM: impl: got 'native', but "):
        LSTM(3, 5, impl="native")


# By name


def test_the_compilers_words(no_library: None) -> None:
    first, words = WORDS.split("\n", 1)
    with pytest.raises(NativeError) as caught:
        LSTM(3, 5, impl="native")
    assert str(caught.value) == f"LSTM: impl: got 'native', but {first}; want 'fused' or 'auto'\n{words}"
    assert isinstance(caught.value, RuntimeError)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (MGU, {}, "MGU: impl: got 'native', but MGUCell defines no sequence; want 'graph' or 'auto'"),
        (
            RNN,
            {"nonlinearity": "softplus"},
            "RNN: impl: got 'native', but no kernel serves nonlinearity='softplus'; want 'fused' or 'auto'",
        ),
        (
            GRU,
            {"dtype": "float16"},
            "GRU: impl: got 'native', but no compiled sequence is written for float16; want 'fused' or 'auto'",
        ),
        (
            LSTM,
            {"recurrent_dropout": 0.5},
            "LSTM: impl: got 'native', but recurrent_dropout=0.5 acts inside the steps; want 'graph' or 'auto'",
        ),
        (
            LSTM,
            {"activation": "relu"},
            "LSTM: impl: got 'native', but activation='relu' has no fused sequence; want 'graph' or 'auto'",
        ),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_options_that_it_does_not_serve(kind: Any, options: dict[str, Any], message: str, late: bool) -> None:
    """Also where it is set later: no other net's numbers are returned. The compiler is not asked."""

    def ask() -> None:
        net = kind(3, 5, impl="auto" if late else "native", **options)
        net.impl = "native"
        net.eval()(XS.astype(options.get("dtype", "float32")))

    with pytest.raises(ValueError) as caught:  # noqa: PT011
        ask()
    assert str(caught.value) == message


def test_set_later_where_it_cannot_be_compiled(no_library: None) -> None:
    net = GRU(3, 5)
    net.impl = "native"
    with pytest.raises(NativeError, match=r"GRU: impl: got 'native', but cc .* not there; want 'fused' or 'auto'"):
        net(XS)


def test_brought_from_a_machine_where_it_could_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    require_compiler()
    net = GRU(3, 5, impl="native")
    net(XS)
    packed = pickle.dumps(net)
    monkeypatch.setattr(shared_library, "_found", dict.fromkeys(shared_library.DEFINITIONS, WORDS))
    for twin in (pickle.loads(packed), copy.deepcopy(net)):
        with pytest.raises(NativeError, match="GRU: impl: got 'native', but cc "):
            twin(XS)
        twin.impl = "auto"
        assert ran(twin).startswith("fused (native: cc ")


def test_on_another_backend() -> None:
    require_compiler()
    net = LSTM(3, 5, impl="native").to("strict")
    with pytest.raises(mg.BackendError, match="LSTM: impl: got 'native' on strict, want 'auto' or numpy"):
        net(mg.tensor(XS, backend="strict"))
    assert ran(net.to("numpy")) == "native"
