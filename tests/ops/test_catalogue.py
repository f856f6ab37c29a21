"""Every primitive, against finite differences, NumPy, PyTorch and autograd, on every backend."""

from __future__ import annotations

import importlib
import operator
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import minigrad as mg
from minigrad.engine.primitive import COMPOSED, REGISTRY
from minigrad.engine.tensor import Tensor
from tests.ops.catalogue import CATALOGUE, EDGES, Sample
from tests.support.numpy_version import BEFORE_2_4

CHECKED_ELSEWHERE = {
    "rnn_sequence": "rnn/cells/test_sequences.py",
    "gru_sequence": "rnn/cells/test_sequences.py",
    "lstm_sequence": "rnn/cells/test_sequences.py",
    "ctc_negative_log_likelihood": "rnn/ctc/test_loss.py",
    "kernel_sequences": "rnn/cuda/test_cuda_recurrence.py",
    "linear_over_time": "rnn/classics/test_classics.py",
}
"""Primitives with a test of their own: name → test file, which must name it beside a gradcheck or verify_bptt."""


catalogue = pytest.mark.parametrize("sample", CATALOGUE, ids=lambda s: s.id)
everything = pytest.mark.parametrize("sample", [*CATALOGUE, *EDGES], ids=lambda s: s.id)


def leaves(sample: Sample, dtype: Any = np.float64) -> list[Tensor]:
    return [mg.tensor(a, requires_grad=a.dtype.kind == "f") for a in sample.arrays(dtype)]


def seed_like(y: Any) -> np.ndarray:
    return np.random.default_rng(5).standard_normal(y.shape).astype(y.dtype)


def wanted(tensors: list[Tensor]) -> list[Tensor]:
    return [t for t in tensors if t.requires_grad]


def test_every_primitive_has_a_sample() -> None:
    for package in (mg, importlib.import_module("minigrad_rnn")):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    ours = {
        name
        for name, op in {**REGISTRY, **COMPOSED}.items()
        if op.__module__.partition(".")[0] in ("minigrad", "minigrad_rnn")
    }
    sampled = {sample.name for sample in CATALOGUE}
    assert ours - sampled - CHECKED_ELSEWHERE.keys() == set(), "give these a sample in CATALOGUE"
    assert sampled <= ours
    for name, file in CHECKED_ELSEWHERE.items():
        text = (Path(__file__).resolve().parents[1] / file).read_text(encoding="utf-8")
        assert name in text, f"{file} does not test {name}"
        assert "gradcheck" in text or "verify_bptt" in text, f"{file} checks no gradient"


@catalogue
def test_derivatives_of_first_and_second_order(xp: Any, sample: Sample) -> None:
    tensors = leaves(sample)
    assert mg.gradcheck(lambda *xs: sample.call(mg, *xs), tensors)
    assert mg.gradgradcheck(lambda *xs: sample.call(mg, *xs), tensors)


@everything
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_value_and_dtypes(xp: Any, sample: Sample, dtype: Any) -> None:
    """The value is NumPy's; what is float32 stays float32, back to the leaves; and the device is never waited for."""
    tensors = leaves(sample, dtype)
    with pytest.MonkeyPatch.context() if sample.waits else xp.no_sync():
        y = sample.call(mg, *tensors)
        seed = mg.tensor(seed_like(y))
        found = mg.gradients(y, wanted(tensors), seed)
    expected = np.asarray((sample.numpy or sample.call)(np, *sample.arrays(dtype)))
    assert y.backend == xp.name
    assert y.dtype == dtype
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-6)
    for x, g in zip(wanted(tensors), found):
        assert (g.dtype, g.shape, g.backend) == (dtype, x.shape, xp.name)


@catalogue
def test_inputs_that_are_not_contiguous(xp: Any, sample: Sample) -> None:
    """Strided views give the same value and gradients as compact arrays."""

    def strided(x: Tensor) -> Tensor:
        return mg.transpose(mg.stack([x, x, x]), (*range(1, x.ndim + 1), 0))[..., 1]

    tensors = leaves(sample)
    views = [strided(x) if x.requires_grad else x for x in tensors]
    plain, viewed = sample.call(mg, *tensors), sample.call(mg, *views)
    np.testing.assert_allclose(viewed.numpy(), plain.numpy(), rtol=1e-13)
    seed = mg.tensor(seed_like(plain))
    pairs = zip(mg.gradients(plain, wanted(tensors), seed), mg.gradients(viewed, wanted(views), seed))
    for g, viewed_g in pairs:
        np.testing.assert_allclose(viewed_g.numpy(), g.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("sample", [s for s in CATALOGUE if s.torch is not False], ids=lambda s: s.id)
def test_against_torch(sample: Sample) -> None:
    torch = pytest.importorskip("torch")
    tensors = leaves(sample)
    theirs = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in sample.arrays()]
    y, their_y = sample.call(mg, *tensors), (sample.torch or sample.call)(torch, *theirs)
    np.testing.assert_allclose(y.numpy(), their_y.detach().numpy(), rtol=1e-12, atol=1e-14)
    seed = seed_like(y)
    found = mg.gradients(y, wanted(tensors), mg.tensor(seed))
    their_found = torch.autograd.grad(their_y, [t for t in theirs if t.requires_grad], torch.tensor(seed))
    for g, their_g in zip(found, their_found):
        np.testing.assert_allclose(g.numpy(), their_g.numpy(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("sample", [s for s in CATALOGUE if s.autograd], ids=lambda s: s.id)
def test_against_autograd(sample: Sample) -> None:
    autograd = pytest.importorskip("autograd")
    anp = importlib.import_module("autograd.numpy")
    tensors, arrays = leaves(sample), sample.arrays()
    y = sample.call(mg, *tensors)
    seed = seed_like(y)
    found = mg.gradients(y, wanted(tensors), mg.tensor(seed))
    places = [k for k, a in enumerate(arrays) if a.dtype.kind == "f"]
    for g, k in zip(found, places):
        their_g = autograd.grad(lambda *xs: anp.sum(seed * (sample.numpy or sample.call)(anp, *xs)), k)(*arrays)
        np.testing.assert_allclose(g.numpy(), their_g, rtol=1e-10, atol=1e-12)


def summed_to(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`g` summed over the axes along which `shape` was stretched, written independently of the engine."""
    padded = (1,) * (g.ndim - len(shape)) + shape
    for axis, n in enumerate(padded):
        if n == 1:
            g = g.sum(axis=axis, keepdims=True)
    return g.reshape(shape)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "where"])
@settings(max_examples=30)
@given(shapes=mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0, max_side=3))
def test_broadcasting(xp: Any, name: str, shapes: Any) -> None:
    """Broadcasting gives what stretched copies give, and gradients summed back to each input's shape."""
    rng = np.random.default_rng(3)
    arrays = [rng.uniform(0.5, 2.0, shape) for shape in shapes.input_shapes][: 3 if name == "where" else 2]
    full = np.broadcast_shapes(*(a.shape for a in arrays))
    condition = [rng.uniform(size=shapes.input_shapes[2]) > 0.5] if name == "where" else []
    arrays = arrays[:2]

    def result(values: list[np.ndarray]) -> tuple[Tensor, list[Tensor]]:
        xs = [mg.tensor(v, requires_grad=True) for v in values]
        y = getattr(mg, name)(*map(mg.tensor, condition), *xs)
        seed = np.random.default_rng(5).standard_normal(full)
        return y, mg.gradients(y, xs, mg.tensor(seed))

    y, found = result(arrays)
    stretched_y, stretched = result([np.broadcast_to(a, full) for a in arrays])
    assert y.shape == full
    np.testing.assert_array_equal(y.numpy(), stretched_y.numpy())
    np.testing.assert_array_equal(y.numpy(), getattr(np, name)(*condition, *arrays))
    for a, g, whole in zip(arrays, found, stretched):
        assert g.shape == a.shape
        np.testing.assert_allclose(g.numpy(), summed_to(whole.numpy(), a.shape), rtol=1e-12, atol=1e-12)


@settings(max_examples=60)
@given(shapes=mutually_broadcastable_shapes(signature="(n?,k),(k,m?)->(n?,m?)", max_dims=2, min_side=0, max_side=3))
def test_matmul_of_any_shapes(xp: Any, shapes: Any) -> None:
    """matmul is linear in each factor, so <seed, dA @ B> = <gradient of A, dA> exactly, for any dA."""
    rng = np.random.default_rng(4)
    a, b, da, db = (rng.standard_normal(shape) for shape in shapes.input_shapes * 2)
    expected = np.matmul(a, b)
    xs = [mg.tensor(v, requires_grad=True) for v in (a, b)]
    y = mg.matmul(*xs)
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-12)
    seed = rng.standard_normal(expected.shape)
    ga, gb = mg.gradients(y, xs, mg.tensor(seed))
    np.testing.assert_allclose(np.sum(seed * np.matmul(da, b)), np.sum(ga.numpy() * da), atol=1e-12)
    np.testing.assert_allclose(np.sum(seed * np.matmul(a, db)), np.sum(gb.numpy() * db), atol=1e-12)


OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
OPERANDS = {
    "float": 1.5,
    "int": 2,
    "bool": True,
    "float32 scalar": np.float32(1.5),
    "float64 scalar": np.float64(1.5),
    "int64 scalar": np.int64(2),
    "float32 array": np.array([1.5, 0.5, 2.0], np.float32),
    "float64 array": np.array([1.5, 0.5, 2.0]),
    "int array": np.array([1, 2, 3]),
    "0-d array": np.array(1.5),
    "list": [1.5, 0.5, 2.0],
}


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("operand", OPERANDS)
@pytest.mark.parametrize("symbol", OPERATORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_operators_and_operands(xp: Any, symbol: str, operand: str, swapped: bool, dtype: Any) -> None:
    """A tensor beside anything else, on either side, gives NumPy's value and NumPy's dtype (NEP 50)."""
    host = np.array([[0.5, 1.5, 2.0], [1.0, 3.0, 0.25]], dtype)
    other = OPERANDS[operand]
    apply = OPERATORS[symbol]
    if BEFORE_2_4 and (symbol, operand) == ("**", "int64 scalar"):
        pytest.skip("NumPy before 2.4 takes a whole scalar exponent for a weak one")
    x = mg.tensor(host, requires_grad=True)
    placed = xp.array(other) if isinstance(other, np.ndarray) else other
    y = apply(placed, x) if swapped else apply(x, placed)
    # A list of Python floats is as weak as they are.
    beside = np.asarray(other, dtype) if operand == "list" else other
    expected = apply(beside, host) if swapped else apply(host, beside)
    assert type(y) is Tensor
    assert y.dtype == expected.dtype
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)
    if y.dtype == bool:
        assert not y.requires_grad
        return
    (g,) = mg.gradients(y, [x], mg.tensor(np.ones_like(expected)))
    assert (g.dtype, g.shape) == (dtype, x.shape)


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/", "**", "@", "<", "=="])
@pytest.mark.parametrize("swapped", [False, True])
def test_host_arrays_beside_a_device_tensor_are_refused(symbol: str, swapped: bool) -> None:
    apply = {**OPERATORS, "@": operator.matmul}[symbol]
    host = np.ones((2, 2), np.float32)
    x = mg.tensor(host, backend="strict", requires_grad=True)
    with pytest.raises(mg.BackendError, match=r"on (strict|numpy).* on (strict|numpy).*\.to\(backend\)"):
        apply(host, x) if swapped else apply(x, host)
    other = mg.tensor(host, backend="numpy")
    with pytest.raises(mg.BackendError, match="argument 1 of shape"):
        apply(other, x) if swapped else apply(x, other)


def test_matmul_operator_both_ways(xp: Any) -> None:
    host = np.arange(6.0).reshape(2, 3)
    x = mg.tensor(host, requires_grad=True)
    np.testing.assert_allclose((x @ xp.array(host.T)).numpy(), host @ host.T)
    np.testing.assert_allclose((xp.array(host.T) @ x).numpy(), host.T @ host)


def test_methods_are_the_functions(xp: Any) -> None:
    host = np.random.default_rng(0).standard_normal((2, 3, 4))
    x = mg.tensor(host, requires_grad=True)
    calls: dict[str, Callable[[Any], Any]] = {
        "sum": lambda a: a.sum(axis=1),
        "mean": lambda a: a.mean(axis=(0, 2), keepdims=True),
        "max": lambda a: a.max(axis=-1),
        "min": lambda a: a.min(),
        "var": lambda a: a.var(axis=1),
        "T": lambda a: a.T,
        "reshape": lambda a: a.reshape(6, -1),
        "reshape to a tuple": lambda a: a.reshape((4, 6)),
        "transpose": lambda a: a.transpose(1, 2, 0),
        "transpose by a tuple": lambda a: a.transpose((1, 2, 0)),
        "transpose all": lambda a: a.transpose(),
        "swapaxes": lambda a: a.swapaxes(0, 1),
        "squeeze": lambda a: a[:1].squeeze(0),
        "astype": lambda a: a.astype("float32"),
        "abs": abs,
        "neg": operator.neg,
        "pos": operator.pos,
        "std": lambda a: a.std(axis=1),
        "prod": lambda a: a.prod(axis=0),
        "cumsum": lambda a: a.cumsum(axis=2),
        "cumprod": lambda a: a.cumprod(1),
        "ravel": lambda a: a.ravel(),
        "flatten": lambda a: a.flatten(),
        "repeat": lambda a: a.repeat(2, axis=1),
        "take": lambda a: a.take(np.array([0, 2]), axis=1) if isinstance(a, np.ndarray) else a.take([0, 2], axis=1),
        "trace": lambda a: a.trace(0, 1, 2),
        "diagonal": lambda a: a.diagonal(1, 0, 2),
        "dot": lambda a: a[0].dot(a[0].T),
        "clip": lambda a: a.clip(-0.5, 0.5),
        "copy": lambda a: a.copy(),
        "conj": lambda a: a.conj(),
        "real": lambda a: a.real,
        "mT": lambda a: a.mT,
        "mod": lambda a: a % 0.7,
        "rmod": lambda a: 0.7 % a,
        "divmod": lambda a: divmod(a, 0.7)[1],
        "iter": lambda a: list(a)[1],
    }
    for name, call in calls.items():
        ours, theirs = call(x), call(host)
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-12, err_msg=name)
        assert ours.dtype == theirs.dtype, name
        assert ours.requires_grad, name
    constants: list[Callable[[Any], Any]] = [
        lambda a: a.argmax(axis=1),
        lambda a: a.argmin(axis=1),
        lambda a: a.argsort(axis=1),
        lambda a: a // 0.7,
        lambda a: (a > 0).any(axis=1),
        lambda a: (a > 0).all(),
        lambda a: (a > 0) & (a < 1) | ~(a > -1) ^ (a > 0.5),
        lambda a: a.round(1),
    ]
    for call in constants:
        np.testing.assert_array_equal(call(x).numpy(), call(host))
        assert not call(x).requires_grad
    assert len(x) == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: m.sign(x),
        lambda m, x: m.floor(x),
        lambda m, x: m.isnan(x),
        lambda m, x: m.isfinite(x),
        lambda m, x: m.argmax(x, axis=0),
        lambda m, x: m.argmin(x),
        lambda m, x: m.argsort(x, axis=-1),
        lambda m, x: m.zeros_like(x),
        lambda m, x: m.ones_like(x),
        lambda m, x: m.logical_and(x > 0, m.logical_not(m.logical_or(x > 1, x < -1))),
        lambda m, x: m.zeros((2, 3), dtype=np.float32),
        lambda m, x: m.ones(3, dtype=np.float64),
        lambda m, x: m.arange(1, 7, 2),
    ],
)
def test_constants_are_off_the_tape(xp: Any, call: Any) -> None:
    host = np.random.default_rng(0).standard_normal((3, 4))
    found, expected = call(mg, mg.tensor(host, requires_grad=True)), np.asarray(call(np, host))
    np.testing.assert_array_equal(found.numpy(), expected)
    assert found.dtype == expected.dtype
    assert found.backend == xp.name
    assert not found.requires_grad


def test_a_change_to_integers_leaves_the_tape(xp: Any) -> None:
    x = mg.tensor([1.5, 2.5], requires_grad=True)
    whole = x.astype(np.int64)
    assert whole.tolist() == [1, 2]
    assert not whole.requires_grad


@pytest.mark.parametrize("axis", [np.int64(1), (np.int64(0), 1)])
def test_axes_may_be_numpy_integers(xp: Any, axis: Any) -> None:
    for function in (mg.sum, mg.mean, mg.max, mg.logsumexp):
        x = mg.tensor(np.ones((2, 3)), requires_grad=True)
        function(x, axis=axis).sum().backward()
        assert x.grad.shape == (2, 3)


@pytest.mark.parametrize("k", [0, 1])
def test_bounds_of_clip_get_their_gradient(xp: Any, k: int) -> None:
    x = mg.tensor([-2.0, 0.0, 2.0, 3.0], dtype=np.float64)
    bound = mg.tensor([-1.0, 1.0][k], dtype=np.float64, requires_grad=True)
    clipped = mg.clip(x, bound, 1.0) if k == 0 else mg.clip(x, -1.0, bound)
    clipped.sum().backward()
    assert x.grad is None
    assert bound.grad.item() == [1.0, 2.0][k]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: x + mg.tensor(np.ones((3, 2))), r"add: got \(\(2, 3\) float64, \(3, 2\) float64\)"),
        (lambda x: x @ x, r"matmul: got .*\(2, 3\) float64"),
        (lambda x: x.reshape(4, 2), r"reshape: got \(\(2, 3\) float64, \(4, 2\)\)"),
        (lambda x: x.sum(axis=2), r"sum: got \(\(2, 3\)"),
        (lambda x: x[5], r"getitem: got \(\(2, 3\)"),
        (lambda x: mg.concatenate([]), "concatenate: arrays: got none"),
        (lambda x: mg.stack([]), "stack: arrays: got none"),
        (lambda x: mg.stack([x, x[0]]), r"stack: got \(\(2, 3\) float64, \(3,\) float64\)"),
    ],
)
def test_errors_name_the_operation_and_the_shapes(xp: Any, call: Any, words: str) -> None:
    with pytest.raises((ValueError, IndexError), match=words):
        call(mg.tensor(np.ones((2, 3)), requires_grad=True))


@given(ids=st.lists(st.integers(-4, 3), max_size=12))
def test_rows_are_summed_for_any_ids(xp: Any, ids: list[int]) -> None:
    W = mg.tensor(np.ones((4, 2)), requires_grad=True)
    seed = np.random.default_rng(1).standard_normal((len(ids), 2))
    y = mg.take(W, xp.array(np.array(ids, int)), axis=0)
    (g,) = mg.gradients(y, [W], mg.tensor(seed))
    expected = np.zeros((4, 2))
    np.add.at(expected, np.array(ids, int), seed)
    np.testing.assert_allclose(g.numpy(), expected, atol=1e-14)


def test_logsumexp_of_infinities(xp: Any) -> None:
    """Masking in the log domain feeds −inf: no NaN, no warning, and no gradient where there is nothing but mask."""
    x = mg.tensor(xp.array([[-np.inf, -np.inf], [-np.inf, 2.0], [1.0, np.inf]]), requires_grad=True)
    y = mg.logsumexp(x, axis=1)
    np.testing.assert_array_equal(y.numpy(), [-np.inf, 2.0, np.inf])
    mg.logsumexp(x[:2], axis=1).backward(xp.array([1.0, 1.0]))
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 0], [0, 1], [0, 0]])


@pytest.mark.parametrize("extremum", [mg.max, mg.min])
def test_the_largest_of_a_nan_is_nan_and_passes_no_gradient(extremum: Any, xp: Any) -> None:
    x = mg.tensor(xp.array([[np.nan, 1.0], [3.0, 3.0]]), requires_grad=True)
    y = extremum(x, axis=1)
    np.testing.assert_array_equal(y.numpy(), [np.nan, 3.0])
    y.backward(xp.array([1.0, 1.0]))
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 0], [0.5, 0.5]])
