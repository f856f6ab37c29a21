"""Every argument of every public function: bad values are refused in one sentence that names it, and nothing is lost.

A new function, or a new argument, without an example fails here.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as mr
from minigrad import backend, nn, optim, pytree
from minigrad.engine.tape import GraphError
from minigrad_rnn import ctc, data, flow, text, training
from minigrad_rnn.native import threads

from .accepted import ACCEPTED, NOT_WALKED, OTHER_NAMES
from .bad_values import BAD_VALUES, MUST_BE_REFUSED, acceptable, variants
from .data_examples import DATA_EXAMPLES
from .distributed_examples import DISTRIBUTED_EXAMPLES
from .engine_examples import ENGINE_EXAMPLES
from .optim_examples import OPTIM_EXAMPLES
from .recurrent_examples import RECURRENT_EXAMPLES
from .training_examples import TRAINING_EXAMPLES

EXAMPLES = {**ENGINE_EXAMPLES, **RECURRENT_EXAMPLES, **DATA_EXAMPLES, **OPTIM_EXAMPLES, **TRAINING_EXAMPLES}

OURS = (TypeError, ValueError, KeyError, mg.BackendError, GraphError, mg.CheckpointError)
EXAMPLES |= DISTRIBUTED_EXAMPLES


FUNCTIONS = {
    "function",
    "rule",
    "is_leaf",
    "language_model",
    "local",
    "divergence",
    "length",
    "schedule",
    "hook",
    "load",
}
FUNCTIONS |= {
    "flatten",
    "unflatten",
    "front",
    "loss",
    "evaluate",
    "tokens",
    "after_update",
    "collate",
    "closure",
    "lr_lambda",
}
LEFT_OUT = ("minigrad.ops", "minigrad.option_checks", "minigrad.validation")


def public() -> Iterator[tuple[str, Any]]:
    """The public functions and classes that are no operations: those keep NumPy's errors, behind their own names."""
    for module in (mg, nn, nn.init, optim, mr, ctc, data, text, flow, training):
        for name in getattr(module, "__all__", None) or vars(module):
            value = getattr(module, name)
            home = getattr(value, "__module__", "")
            if (
                callable(value)
                and not name.startswith("_")
                and home.startswith("minigrad")
                and not home.startswith(LEFT_OUT)
            ):
                yield name, value


def parameters_of(target: Any) -> dict[str, inspect.Parameter]:
    target = target.forward if isinstance(target, nn.Module) else target
    return dict(inspect.signature(target).parameters)


class Registries:
    """What calls may register, or set as the default, and how it was before."""

    def __init__(self) -> None:
        registries: tuple[dict[Any, Any], ...] = (backend._loaders, backend._by_name, pytree._registered)
        self.before = [(registry, dict(registry)) for registry in registries]
        self.backend, self.threads = backend.default_backend(), threads._chosen

    def restore(self) -> None:
        for registry, content in self.before:
            if registry != content:
                registry.clear()
                registry.update(content)
        backend._default.backend = self.backend
        threads._chosen = self.threads


@pytest.fixture(autouse=True)
def registries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registries]:
    """The registries, as they are before and after each test, in a folder where texts may be paths."""
    monkeypatch.chdir(tmp_path)
    registries = Registries()
    yield registries
    registries.restore()


def refusal(label: str, argument: str, value: Any, parameters: dict[str, inspect.Parameter], name: str) -> str:
    """What is wrong with how a call of the example with one bad value ends; "" if nothing."""
    target, arguments = EXAMPLES[label]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as NumPy's for an imaginary part that is lost
        try:
            target(**{**arguments, argument: value})
        except OURS as error:
            names = (argument, *OTHER_NAMES.get(f"{label}: {argument}", ()))
            message = str(error.args[0])
            named = any(re.search(rf"\b{n}\b", message) for n in names)
            if named and re.match(r"[\w.]+(\(\))?: ", message):
                return ""
            return f"{type(error).__name__}: {message}"
        except OSError as error:
            return "" if "nonexistent" in str(error) or argument in ("path", "source") else repr(error)
        except ImportError as error:  # an optional package
            return "" if "pip install" in str(error) else repr(error)
        except Exception as error:
            return f"{type(error).__name__}, which is not ours: {error}"
    refused = name in MUST_BE_REFUSED or (name in BAD_VALUES and name not in acceptable(parameters, argument))
    return "accepted" if refused else ""


NEED_ONNX = ("export_onnx", "recurrence_from_onnx")


@pytest.mark.parametrize("label", EXAMPLES)
def test_bad_values_are_refused_by_name(label: str, registries: Registries) -> None:
    if label in NEED_ONNX:
        pytest.importorskip("onnx")
    target, arguments = EXAMPLES[label]()
    parameters = parameters_of(target)
    wrong = []
    for argument, good in arguments.items():
        for name, value in {**BAD_VALUES, **variants(good)}.items():
            problem = refusal(label, argument, value, parameters, name)
            registries.restore()
            accepted = ACCEPTED.get(f"{label}: {argument}", ((), ""))[0]
            if name == "type" and argument in FUNCTIONS:  # a class can be called; what comes of it is another matter
                continue
            if problem and name not in accepted and "*" not in accepted:
                wrong.append(f"{argument} = {name}: {problem[:200]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("label", EXAMPLES)
def test_the_examples_are_valid(label: str) -> None:
    """Otherwise every bad value would seem to be refused."""
    if label in NEED_ONNX:
        pytest.importorskip("onnx")
    target, arguments = EXAMPLES[label]()
    reads_or_writes = arguments.get("path") is not None or label == "recurrence_from_onnx"
    with pytest.raises((OSError, mg.CheckpointError), match="nonexistent") if reads_or_writes else nullcontext():
        target(**arguments)


def test_every_public_function_has_an_example_with_all_its_arguments() -> None:
    missing = []
    for name, value in public():
        if name in NOT_WALKED or (isinstance(value, type) and issubclass(value, Exception)):
            continue
        wanted = {
            p.name
            for p in inspect.signature(value).parameters.values()
            if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name != "self"
        }
        if name not in EXAMPLES:
            missing.append(f"{name}: no example")
        elif lacking := wanted - set(EXAMPLES[name]()[1]):
            missing.append(f"{name}: {sorted(lacking)}")
    assert not missing, "\n".join(missing)


def test_an_argument_that_is_not_checked_is_found(monkeypatch: pytest.MonkeyPatch, registries: Registries) -> None:
    """A planted function takes any text for its flag, and NumPy's own error for a size."""

    def careless(size: int, flag: bool = False) -> Any:
        return np.zeros(size) if flag else np.ones(size)

    monkeypatch.setitem(EXAMPLES, "careless", lambda: (careless, {"size": 2, "flag": False}))
    with pytest.raises(AssertionError) as caught:
        test_bad_values_are_refused_by_name("careless", registries)
    assert "flag = 'False': accepted" in str(caught.value)
    assert "size = text: TypeError" in str(caught.value)


GENERATOR = np.random.default_rng(5)


@pytest.mark.parametrize("label", [label for label in EXAMPLES if "rng" in EXAMPLES[label]()[1] and label != "sample"])
def test_a_refused_call_draws_no_numbers(label: str) -> None:
    """Neither from the generator that it was given, nor from the library's own."""
    target, arguments = EXAMPLES[label]()
    for argument in set(arguments) - {"rng"}:
        for value in (None, "False", -1, 2.5, BAD_VALUES["object"]):
            for rng, generator in ((GENERATOR, GENERATOR), (None, nn.default_generator())):
                before = generator.bit_generator.state
                try:
                    target(**{**arguments, argument: value, "rng": rng})
                except Exception:
                    assert generator.bit_generator.state == before, (argument, value)


@pytest.mark.parametrize(
    "call",
    [
        lambda net, adam: net.load_state_dict({**net.state_dict(), "bias": "text"}),
        lambda net, adam: net.load_state_dict({**net.state_dict(), "bias": np.ones(3, complex)}),
        lambda net, adam: net.load_state_dict(net.state_dict(), strict="False"),
        lambda net, adam: net.to(dtype="nope"),
        lambda net, adam: net.train("False"),
        lambda net, adam: net.requires_grad_("False"),
        lambda net, adam: adam.add_param_group({"params": [mg.Parameter(np.ones(2))], "amsgrad": "False"}),
        lambda net, adam: adam.load_state_dict({**adam.state_dict(), "state": "text"}),
        lambda net, adam: optim.clip_grad_norm(net.parameters(), "1"),
        lambda net, adam: optim.clip_grad_value([*net.parameters(), None], 0.1),
    ],
)
def test_a_refused_call_leaves_the_module_and_the_optimizer_as_they_were(call: Any) -> None:
    net = nn.Linear(2, 3, rng=0)
    adam = optim.Adam(net.parameters())
    mg.mse(net(np.ones((4, 2), np.float32)), np.zeros((4, 3))).backward()
    adam.step()
    weights, grads = net.state_dict(), [p.grad.numpy() for p in net.parameters() if p.grad is not None]
    groups, training = len(adam.param_groups), net.training
    with pytest.raises((TypeError, ValueError)):
        call(net, adam)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, weights[name])
    for p, grad in zip(net.parameters(), grads):
        assert p.grad is not None
        np.testing.assert_array_equal(p.grad.numpy(), grad)
    assert len(adam.param_groups) == groups
    assert net.training == training
