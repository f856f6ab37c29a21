"""The lecture's procedures beside PyTorch and finite differences; what they import, their dtypes."""

from __future__ import annotations

import ast
import inspect
import itertools
from typing import Any

import numpy as np
import pytest

from minigrad_rnn.manual_bptt import lecture
from tests.support.slides_bench import CELLS, IDS, Case, H, I, guilty, make_case, parts, reference_errors


# --- Against PyTorch -------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch, the outside opinion on the reference, is not installed")


def torch_opinion(torch: Any, case: Case, d_output: np.ndarray, d_final: Any) -> tuple[Any, Any, dict[str, Any]]:
    """torch.nn's output, final state and gradients, under the reference's names."""
    options = {"nonlinearity": case.nonlinearity} if case.cell == "rnn" else {}
    net = getattr(torch.nn, case.cell.upper())(
        I, H, case.num_layers, bias="forward0.b" in case.values, bidirectional=case.bidirectional, **options
    ).double()
    theirs = {}
    for layer, (direction, suffix) in itertools.product(
        range(case.num_layers), [("forward", ""), ("backward", "_reverse")][: 1 + case.bidirectional]
    ):
        for ours, name in (("Wc", "weight_ih"), ("Wr", "weight_hh"), ("b", "bias_ih")):
            if f"{direction}{layer}.{ours}" in case.values:
                theirs[f"{direction}{layer}.{ours}"] = getattr(net, f"{name}_l{layer}{suffix}")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()  # torch has a second bias, bias_hh: it stays 0
        for name, parameter in theirs.items():
            parameter.copy_(torch.from_numpy(case.values[name]))
    for name in case.values.keys() - theirs.keys():
        theirs[name] = torch.from_numpy(case.values[name].copy()).requires_grad_()
    states = tuple(theirs[name] for name in ("h_init", "c_init") if name in theirs)
    output, final_state = net(theirs["xs"], states if case.cell == "lstm" else states[0])
    arriving = [torch.from_numpy(g) for g in (d_output, *parts(d_final))]
    torch.autograd.backward([output, *parts(final_state)], arriving)
    return output, final_state, {name: a.grad for name, a in theirs.items()}


@pytest.mark.parametrize("T", [1, 2, 17])
@pytest.mark.parametrize("B", [1, 5])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize(("cell", "nonlinearity"), CELLS, ids=IDS)
def test_agrees_with_torch(torch, cell, nonlinearity, num_layers, bidirectional, bias, B, T):
    case = make_case(cell, nonlinearity, num_layers, bidirectional, bias, B, T)
    ours = case.run()
    output, final_state, gradients = torch_opinion(
        torch, case, *case.divergence_gradient(ours.output, ours.final_state)
    )
    pairs = {"output": (ours.output, output), **{name: (ours.gradients[name], g) for name, g in gradients.items()}}
    for part, a, b in zip("hc", parts(ours.final_state), parts(final_state)):
        pairs[f"final {part}"] = (a, b)
    assert ours.gradients.keys() == case.values.keys() == gradients.keys()
    for name, (a, b) in pairs.items():
        expected = b.detach().numpy()
        np.testing.assert_allclose(a, expected, rtol=0, atol=1e-10 * max(1.0, np.abs(expected).max()), err_msg=name)


# --- Against finite differences --------------------------------------------------------------------------------------
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize(("cell", "nonlinearity"), CELLS, ids=IDS)
def test_agrees_with_finite_differences(cell, nonlinearity, num_layers, bidirectional, bias):
    errors = reference_errors(make_case(cell, nonlinearity, num_layers, bidirectional, bias))
    assert guilty(errors) == set(), errors


# --- Manners ---------------------------------------------------------------------------------------------------------
def test_imports_numpy_and_typing_only():
    allowed = {"__future__", "collections.abc", "dataclasses", "typing", "numpy", "numpy.typing"}
    result = set()
    for node in ast.walk(ast.parse(inspect.getsource(lecture))):
        if isinstance(node, ast.Import):
            result |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            result.add("." * node.level + (node.module or ""))
        elif isinstance(node, ast.Name):
            assert node.id not in {"__import__", "exec", "eval"}
    assert result <= allowed


@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
@pytest.mark.parametrize(("cell", "nonlinearity"), CELLS, ids=IDS)
def test_float32_stays_float32_and_nothing_given_is_changed(cell, nonlinearity, bidirectional):
    case = make_case(cell, nonlinearity, bidirectional=bidirectional, dtype=np.float32)
    before = {name: a.copy() for name, a in case.values.items()}
    single = case.run()
    double = make_case(cell, nonlinearity, bidirectional=bidirectional).run()
    for name, a in before.items():
        np.testing.assert_array_equal(case.values[name], a)
        assert single.gradients[name].dtype == np.float32, name
        np.testing.assert_allclose(single.gradients[name], double.gradients[name], rtol=1e-3, atol=1e-4)
    assert single.output.dtype == np.float32
    assert {a.dtype for a in parts(single.final_state)} == {np.dtype(np.float32)}


def test_nothing_overflows_far_from_zero():
    extremes = np.array([[-1e4, 0.0, 1e4]])
    np.testing.assert_array_equal(lecture.sigma(extremes), [[0.0, 0.5, 1.0]])
    np.testing.assert_array_equal(lecture.softmax(extremes), [[0.0, 0.0, 1.0]])


def test_an_unknown_activation_is_an_error():
    with pytest.raises(ValueError, match="nonlinearity: got 'sigmoid', want 'tanh' or 'relu'"):
        lecture.activation(np.zeros((1, 1)), "sigmoid")
