"""Every argument is described in the docstring of its own function or class, so that `help` sends nobody elsewhere.

Operations under NumPy's names have a summary and a link to NumPy's page instead (tests/test_reference_pages.py).
"""

from __future__ import annotations

import inspect
import pickle
import pydoc
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import minigrad as mg
import minigrad_rnn as mr
from minigrad import losses, nn, optim, serialize
from minigrad.arguments_of import arguments_of
from minigrad.engine.primitive import FUNCTION_OF
from minigrad_rnn import ctc, data, flow, text

BY_SECTION = ("minigrad.ops", "minigrad.array_api")
"""NumPy's and the standard's functions, whose arguments are documented there."""
MADE_BY_FUNCTIONS = ("CheckpointedRecurrence", "Drawing", "Ledger", "LagLedger", "Summary", "TapeTable", "Verification")
"""Results, which nobody constructs."""
OF_OBSERVERS = ("started", "finished", "rules")
"""Methods that the engine calls, described at `minigrad.engine.observer.Observer`."""
NOT_ARGUMENTS = ("self", "cls", "args", "kwargs")


def public() -> Iterator[tuple[str, Any]]:
    """The public functions and classes, once each, but for operations."""
    seen = set()
    for module in (mg, nn, nn.init, losses, optim, serialize, mr, ctc, data, flow, text):
        for name in getattr(module, "__all__", None) or vars(module):
            value = getattr(module, name)
            home = getattr(value, "__module__", "")
            if name.startswith("_") or not callable(value) or not home.startswith("minigrad"):
                continue
            imported = module is nn.init and home != module.__name__
            if home.startswith(BY_SECTION) or imported or id(value) in seen:
                continue
            seen.add(id(value))
            yield f"{module.__name__}.{name}", value


def undescribed(function: Any, docstring: str | None) -> list[str]:
    """The parameters that a docstring does not name."""
    parameters = [name for name in inspect.signature(function).parameters if name not in NOT_ARGUMENTS]
    return [name for name in parameters if not re.search(rf"(?<!\w){name}(?!\w)", docstring or "")]


def methods(kind: type) -> Iterator[tuple[str, Any]]:
    """The public methods that a class defines."""
    for name, member in vars(kind).items():
        function = member.__func__ if isinstance(member, (staticmethod, classmethod)) else member
        if not name.startswith("_") and inspect.isfunction(function):
            yield name, function


PUBLIC = dict(public())
CLASSES = {name: value for name, value in PUBLIC.items() if inspect.isclass(value)}


def test_there_are_many() -> None:
    assert len(PUBLIC) > 150
    assert len(CLASSES) > 70


@pytest.mark.parametrize("name", PUBLIC)
def test_every_argument_is_described(name: str) -> None:
    value = PUBLIC[name]
    docstring = value.__doc__ or ""
    assert docstring
    if inspect.isclass(value):
        if (
            issubclass(value, BaseException)
            or getattr(value, "_is_protocol", False)
            or name.endswith(MADE_BY_FUNCTIONS)
        ):
            return
        if issubclass(value, tuple) or value.__init__ is object.__init__:  # fields have docstrings of their own
            docstring += inspect.getsource(value)
    assert undescribed(value, docstring) == []


@pytest.mark.parametrize("name", CLASSES)
def test_every_argument_of_a_method_is_described(name: str) -> None:
    kind = CLASSES[name]
    missing = {}
    for method, function in methods(kind):
        own = inspect.getdoc(getattr(kind, method)) or ""  # or that of the base's method
        function = FUNCTION_OF.get(function, function)
        if function.__module__.startswith(BY_SECTION) or method in OF_OBSERVERS:
            continue
        described = f"{own} {kind.__doc__}"
        if found := undescribed(function, described) or ([] if own or method == "forward" else ["no docstring"]):
            missing[method] = found
    assert missing == {}


def test_help_of_an_lstm_sends_nobody_elsewhere() -> None:
    for kind in (mr.RNN, mr.LSTM, mr.GRU, mr.MGU, mr.IndRNN, mr.LayerNormLSTM, mr.LSTMCell, mr.GRUCell):
        assert re.search(r"\b[Ss]ee `|as in `|[Tt]he others", kind.__doc__ or "") is None
        assert "Equations:" in (kind.__doc__ or "")
    assert "forget_bias: the forget gate's bias" in (mr.LSTM.__doc__ or "")
    assert "zoneout: probability" in (mr.LSTM.__doc__ or "")
    assert "lengths: (B,)" in (mr.LSTM.__doc__ or "")


def test_the_signature_names_all_options_and_their_defaults() -> None:
    parameters = inspect.signature(mr.LSTM).parameters
    defaults = {name: p.default for name, p in parameters.items() if p.default is not p.empty}
    assert defaults["forget_bias"] is None
    assert defaults["impl"] == "auto"
    assert not {"options", "cell_options", "cell_type"} & set(parameters)
    lstm = mr.LSTM(2, 3, rng=0, **{k: v for k, v in defaults.items() if k != "rng"})
    assert [p.tolist() for p in lstm.parameters()] == [p.tolist() for p in mr.LSTM(2, 3, rng=0).parameters()]
    assert pickle.loads(pickle.dumps(lstm)).extra_repr() == lstm.extra_repr()


def test_help_shows_the_arguments_of_an_operation() -> None:
    assert str(inspect.signature(mg.cumsum)) == "(x: 'Array', axis: 'int | None' = None, dtype: 'Any' = None)"
    assert list(inspect.signature(mg.conv1d).parameters)[:3] == ["input", "weight", "bias"]
    assert list(inspect.signature(mg.Tensor.cumsum).parameters) == ["x", "axis", "dtype"]
    assert "cumsum(x: 'Array', axis: 'int | None' = None" in pydoc.render_doc(mg.cumsum, renderer=pydoc.plaintext)

    @mg.primitive
    def scaled(xp: Any, x: Any, *, factor: float = 2.0) -> Any:
        return factor * x, (), lambda xp, g: factor * g

    assert inspect.signature(scaled).bind(1.0, factor=3.0).arguments == {"x": 1.0, "factor": 3.0}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = inspect.signature(scaled).nothing  # type: ignore[attr-defined]


def test_a_subclass_has_a_signature_of_its_own() -> None:
    class Forgetful(mr.LSTM):
        """An LSTM that forgets."""

        def __init__(self, size: int) -> None:
            super().__init__(size, size, forget_bias=-1.0)

    assert list(inspect.signature(Forgetful).parameters) == ["size"]
    assert Forgetful(2).hidden_size == 2


def source(x: int, *, scale: float = 1.0, offset: float = 0.0) -> float:
    """The first.

    Args:
        x: a number.
        scale, offset: of the result,
            which is scale · x + offset.

    Returns:
        A number.

    Raises:
        ValueError: x is bad.
    """
    return scale * x + offset


def test_a_docstring_is_completed_from_another() -> None:
    @arguments_of(source)
    def more(x: int, y: int, **options: Any) -> float:
        """The second.

        Args:
            y: another number.

        Raises:
            TypeError: y is bad.
        """
        return source(x, **options) + y

    assert more.__doc__ == (
        "The second.\n\nArgs:\n    x: a number.\n    y: another number.\n    scale, offset: of the result,\n"
        "        which is scale · x + offset.\n\nReturns:\n    A number.\n\nRaises:\n    TypeError: y is bad.\n"
        "    ValueError: x is bad.\n"
    )
    assert str(inspect.signature(more)) == (
        "(x: 'int', y: 'int', *, scale: 'float' = 1.0, offset: 'float' = 0.0) -> 'float'"
    )
    assert more(1, 2, scale=3.0) == 5.0


def test_an_argument_that_nobody_describes_is_an_error() -> None:
    def function(x: int, z: int) -> None:
        """Nothing."""

    decorate: Callable[[Any], Any] = arguments_of(source)
    with pytest.raises(TypeError, match="arguments_of: function: no docstring describes the argument z"):
        decorate(function)
    assert undescribed(function, "Of x.") == ["z"]


def test_without_docstrings_only_the_signature_is_completed() -> None:
    def bare(y: int, **options: Any) -> None:
        pass  # as with `python -OO`

    assert arguments_of(source)(bare).__doc__ is None
    assert list(inspect.signature(bare).parameters) == ["y", "x", "scale", "offset"]
