"""What a newcomer writes from habit: it works, or the error says what to do."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as mr
from minigrad import nn

W = mg.tensor([1.0, 2.0], requires_grad=True)


def two_losses() -> list[Any]:
    return [(W * W).sum(), W.sum()]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: mg.Tensor([1.0]), TypeError, r"Tensor: data: got list, want an array; minigrad\.tensor\(data\) makes"),
        (lambda: mg.Tensor(1.0), TypeError, r"Tensor: data: got float, want an array; minigrad\.tensor"),
        (lambda: mg.Tensor("a"), TypeError, "Tensor: data: got str"),
        (lambda: mg.tensor(two_losses()), TypeError, r"^tensor: data: .*minigrad\.stack\(tensors\) to join tensors"),
        (lambda: mg.tensor([two_losses()]), TypeError, r"^tensor: data: .*minigrad\.stack"),
        (lambda: np.array(two_losses()), TypeError, r"minigrad\.stack\(tensors\)"),
        (lambda: np.sin(two_losses()), TypeError, r"minigrad\.stack\(tensors\)"),
        (lambda: W * two_losses(), TypeError, r"^multiply: .*minigrad\.stack\(tensors\)"),
        (lambda: setattr(mg.tensor([1.0]), "requires_grad", True), AttributeError, r"tensor\(x, requires_grad=True\)"),
        (lambda: setattr(W, "requires_grad", False), AttributeError, r"module\.requires_grad_\(False\)"),
        (lambda: W.to("cuda"), mg.BackendError, r"backend: got 'cuda', .*'cuda' is 'cupy' here"),
        (lambda: W.to("cuda:0"), mg.BackendError, r"'cuda:0' is 'cupy' here"),
        (lambda: nn.Linear(1, 1).to("cpu"), mg.BackendError, r"'cpu' is 'numpy' here"),
        (lambda: mg.jvp(np.sin, [1.0], 2.0), ValueError, "jvp: tangents: got float, want one for each of 1 primals"),
        (lambda: mg.gradients(np.ones(2), W), TypeError, r"gradients: outputs: got ndarray, want a tensor or a list"),
        (lambda: mg.gradients(W.sum(), 1.0), TypeError, r"gradients: inputs: got float, want a tensor or a list"),
        (lambda: mg.ledger(W.sum(), {"W": 1.0}), TypeError, r"ledger: inputs: got dict, want a tensor, a list"),
    ],
)
def test_the_error_says_what_to_do(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_asking_a_computed_tensor_for_its_gradient_warns() -> None:
    y = W * 2.0
    loss = (y * y).sum()
    with pytest.warns(UserWarning, match=r"computed by 'multiply'.*minigrad\.gradients\(loss, \[y\]\)") as caught:
        assert y.grad is None
    assert caught[0].filename == __file__
    assert mg.gradients(loss, [y])[0].tolist() == [4.0, 8.0]  # type: ignore[union-attr]
    assert (W.detach().grad, mg.tensor([1.0]).grad) == (None, None)  # a constant: nothing to say
    assert mg.grad(lambda x: (x.grad is None) * x * x)(3.0) == 6.0


def test_a_requires_grad_that_is_so_already_may_be_set() -> None:
    W.requires_grad = True
    constant = mg.tensor([1.0])
    constant.requires_grad = False


def test_jvp_takes_one_argument_without_a_list() -> None:
    """As hvp does. An array was taken for a list of numbers, each an argument."""
    for x, v in ((0.5, 2.0), (np.array([0.5, 1.0]), np.array([2.0, 3.0])), (mg.tensor([0.5]), mg.tensor([2.0]))):
        value, along = mg.jvp(np.sin, x, v)
        np.testing.assert_allclose(value, np.sin(np.asarray(x)), rtol=1e-6)
        np.testing.assert_allclose(along, np.cos(np.asarray(x)) * np.asarray(v), rtol=1e-6)
    value, along = mg.jvp(lambda t: t["a"] ** 2, {"a": 3.0}, {"a": 1.0})
    assert (value, along) == (9.0, 6.0)


def test_a_ledger_of_one_tensor() -> None:
    with mg.time_step(4):
        loss = (W * 3.0).sum()
    assert [(t, g.tolist()) for t, g in mg.ledger(loss, W)[W]] == [(4, [3.0, 3.0])]


def test_help_of_primitive_shows_two_inputs() -> None:
    """The page's example is run by the doctests; here: that it has two rules."""
    assert re.search(r"def hypotenuse\(xp, a, b\):", mg.primitive.__doc__ or "")


@pytest.mark.parametrize("impl", ["graph", "fused", "native"])
def test_the_gradient_of_a_recurrences_output_is_the_direct_term(impl: Any) -> None:
    """As its docstring says: a loss of h(T) alone has no gradient in the earlier rows of the output."""
    rnn = mr.RNN(2, 3, impl=impl)
    output, _ = rnn(np.ones((4, 1, 2), np.float32))
    (g,) = mg.gradients(output[3].sum(), [output])
    assert g is not None
    np.testing.assert_array_equal(g.numpy()[:3], 0.0)
    assert "direct term" in (mg.gradients.__doc__ or "")
    assert "direct term" in (mr.Recurrence.forward.__doc__ or mr.Recurrence.__doc__ or "")
