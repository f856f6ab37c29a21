"""Every test of the fused primitives (`tests/rnn/cells/test_sequences.py`) with compiled sequences in their place."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minigrad_rnn.cells import Lengths
from minigrad_rnn.cells.cell import KernelSpec
from minigrad_rnn.native import sequence
from tests.rnn.cells import test_sequences as fused
from tests.support.native_library import num_threads, require_compiler, split_small_calls

NAMES = {
    "rnn tanh": "rnn_tanh", "rnn relu": "rnn_relu", "gru reset after": "gru", "gru reset before": "gru_reset_first",
    "lstm": "lstm", "lstm peephole": "lstm", "lstm projected": "lstm", "lstm all states": "lstm",
}  # fmt: skip
ON_NUMPY = SimpleNamespace(name="numpy", xp=np, array=np.asarray, no_sync=contextlib.nullcontext)
kinds = pytest.mark.parametrize("kind", NAMES)
directions = pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])


class Weights:
    """In the place of a cell: weights that are any tensors."""

    initial_state, _hooks = "zeros", None

    def __init__(self, kind: str, step: Callable[..., Any], weights: tuple[Any, ...]) -> None:
        self._spec = KernelSpec(kind, "", lambda: weights, step)
        self.reference_parameter = lambda: weights[0]

    def kernel_spec(self) -> KernelSpec:
        return self._spec

    step = sequence = kernel_spec


def compiled(kind: str) -> Callable[..., Any]:
    """The compiled sequence, called as the fused primitive is."""
    step, states = fused.SEQUENCES[kind][1:3]

    def run(xs: Any, *inputs: Any, backward: bool = False, lengths: Lengths | None = None) -> Any:
        state, weights = inputs[: len(states)], inputs[len(states) :]
        cell: Any = Weights(NAMES[kind], step, weights)
        return sequence.run_sequences([cell], [(xs, state)], backward, lengths, kind == "lstm all states")[0]

    return run


@pytest.fixture(autouse=True)
def _in_place_of_the_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    require_compiler()
    assert set(NAMES) == set(fused.SEQUENCES)
    for kind in NAMES:
        monkeypatch.setitem(fused.SEQUENCES, kind, (compiled(kind), *fused.SEQUENCES[kind][1:]))


@pytest.fixture(params=[1, 2], ids="{} threads".format, autouse=True)
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    split_small_calls(monkeypatch)
    with num_threads(request.param):
        yield


@kinds
@directions
@pytest.mark.parametrize(("lengths", "bias"), [(None, True), (None, False), ([fused.T - 1, fused.T], True)])
def test_derivatives_of_first_and_second_order(kind: str, backward: bool, lengths: Any, bias: bool) -> None:
    fused.test_derivatives_of_first_and_second_order(ON_NUMPY, kind, backward, lengths, bias)


@kinds
@directions
def test_equal_to_its_steps(kind: str, backward: bool) -> None:
    for batch, steps in itertools.product((1, 4), (1, 5)):
        fused.test_equal_to_its_steps_without_waiting(ON_NUMPY, kind, backward, batch, steps)


@kinds
def test_any_output_may_be_unused_and_any_input_a_constant(kind: str) -> None:
    fused.test_any_output_may_be_unused(ON_NUMPY, kind)
    fused.test_any_input_may_be_a_constant(ON_NUMPY, kind)


@kinds
def test_a_retained_walk_gives_the_same_again(kind: str) -> None:
    fused.test_a_retained_walk_gives_the_same_again(ON_NUMPY, kind)


@kinds
@directions
@pytest.mark.parametrize("lengths", [None, [fused.T - 1, fused.T]], ids=["whole", "lengths"])
def test_the_ledgers_lines_are_those_of_the_steps(kind: str, backward: bool, lengths: Any) -> None:
    fused.test_the_ledgers_lines_are_those_of_the_steps(ON_NUMPY, kind, backward, lengths)


@kinds
@pytest.mark.parametrize("fault", ["a thousandth", "a dropped step"])
def test_a_wrong_sequence_is_caught(kind: str, fault: str) -> None:
    fused.test_a_wrong_sequence_is_caught(kind, fault)


def test_none_was_left_out() -> None:
    assert {name for name in vars(fused) if name.startswith("test_")} == {
        "test_derivatives_of_first_and_second_order", "test_equal_to_its_steps_without_waiting",
        "test_any_output_may_be_unused", "test_any_input_may_be_a_constant",
        "test_a_retained_walk_gives_the_same_again", "test_the_ledgers_lines_are_those_of_the_steps",
        "test_a_wrong_sequence_is_caught",
    }  # fmt: skip
