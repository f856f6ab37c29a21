"""The array API's namespace against array-api-strict: names, arguments, values, and gradients through it."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import array_api
from minigrad.engine.primitive import FUNCTION_OF

strict = pytest.importorskip("array_api_strict")

SPACES = {"": (strict, array_api), "linalg": (strict.linalg, array_api.linalg), "fft": (strict.fft, array_api.fft)}
OF_STRICT = {"Device", "ArrayAPIStrictFlags", "__version__", *(n for n in strict.__all__ if n.endswith("_flags"))}
"""Names that array-api-strict has beside the standard's."""


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.2, 0.9, shape)


def functions() -> Iterator[tuple[str, Any, Any]]:
    for space, (theirs, ours) in SPACES.items():
        for name in theirs.__all__:
            function = getattr(theirs, name)
            if name not in OF_STRICT and inspect.isfunction(function):
                yield f"{space}.{name}".strip("."), function, getattr(ours, name)


def test_every_name_is_there() -> None:
    for theirs, ours in SPACES.values():
        assert [n for n in theirs.__all__ if n not in OF_STRICT and not hasattr(ours, n)] == []
    assert array_api.__array_api_version__ >= strict.__array_api_version__
    for name in ("e", "inf", "pi", "newaxis"):
        assert getattr(array_api, name) == getattr(strict, name)
    assert np.isnan(array_api.nan)
    for name, dtype in strict.__array_namespace_info__().dtypes().items():
        assert getattr(array_api, name) == dtype._np_dtype
    methods = {n for n in dir(strict.ones(1)) if not n.startswith("_") or n.endswith("__")}
    in_place = {n for n in methods if n.startswith("__i") and f"__{n[3:]}" in methods}  # Python does without
    missing = {n for n in methods - in_place if not hasattr(mg.tensor(np.ones((2, 2))), n)}
    assert missing <= {"__buffer__", "__annotations__", "__index__"}  # not the standard's, or of whole numbers alone


def test_every_argument_is_there() -> None:
    """The standard's positional arguments can be passed by position, its keywords by name, with its defaults."""
    wrong = {}
    for name, theirs, ours in functions():
        own = list(inspect.signature(FUNCTION_OF.get(ours, ours)).parameters.values())[int(ours in FUNCTION_OF) :]
        if found := list(_differences(list(inspect.signature(theirs).parameters.values()), own)):
            wrong[name] = found
    assert wrong == {}


def _differences(theirs: list[inspect.Parameter], own: list[inspect.Parameter]) -> Iterator[str]:
    by_position = [p for p in own if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    starred = any(p.kind is p.VAR_POSITIONAL for p in own)
    named = {p.name: p for p in own if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    any_name = any(p.kind is p.VAR_KEYWORD for p in own)
    for k, p in enumerate(theirs):
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and k >= len(by_position) and not starred:
            yield f"position of {p.name}"
        if p.kind is p.POSITIONAL_OR_KEYWORD and not any_name and [q.name for q in by_position[k : k + 1]] != [p.name]:
            yield f"{p.name} by position and by name"
        if p.kind is p.KEYWORD_ONLY and p.name not in named and not any_name:
            yield f"keyword {p.name}"
        if p.kind is p.KEYWORD_ONLY and p.name in named:
            default = named[p.name].default
            if default != p.default and (default is not None or p.default not in ALIKE):
                yield f"default of {p.name}: {default}, want {p.default}"


ALIKE = ("backward", inspect.signature(strict.astype).parameters["device"].default)
"""Defaults that None stands for; the second is array-api-strict's mark for an argument of later versions."""
A, B, V = noise(3, 4), noise(4, 3, seed=1), noise(5, seed=2)
SQUARE = noise(3, 3) + 3 * np.eye(3)
SYMMETRIC = SQUARE + SQUARE.T
WHOLE = np.array([[3, 1, 2], [1, 3, 3]])
Z = noise(4) + 1j * noise(4, seed=1)
CALLS: dict[str, Callable[[Any, Callable[[Any], Any]], Any]] = {
    "asarray": lambda xp, a: xp.asarray(a(A), dtype=xp.float32, copy=True),
    "asarray of numbers": lambda xp, a: xp.asarray([[1, 2], [3, 4]], dtype=xp.float64),
    "astype": lambda xp, a: xp.astype(a(WHOLE), xp.float64, copy=False),
    "arange": lambda xp, a: xp.arange(2, 9, 3),
    "arange of one": lambda xp, a: xp.arange(4, dtype=xp.float64),
    "arange with a step": lambda xp, a: xp.arange(5, step=2),
    "linspace": lambda xp, a: xp.linspace(0, 1, 7, dtype=xp.float64, endpoint=False),
    "linspace of whole numbers": lambda xp, a: xp.linspace(0, 10, 5, dtype=xp.float64),
    "linspace, complex": lambda xp, a: xp.linspace(0j, 1j, 3, dtype=xp.complex128),
    "eye": lambda xp, a: xp.eye(3, 4, k=1, dtype=xp.float64),
    "full": lambda xp, a: xp.full((2, 3), 5, dtype=xp.int64),
    "full of whole numbers": lambda xp, a: xp.full((2,), 5),
    "full of truth": lambda xp, a: xp.full(3, True),
    "full_like": lambda xp, a: xp.full_like(a(A), 2.5),
    "zeros": lambda xp, a: xp.zeros((2, 0), dtype=xp.int8),
    "ones_like": lambda xp, a: xp.ones_like(a(A), dtype=xp.int32),
    "zeros_like": lambda xp, a: xp.zeros_like(a(WHOLE)),
    "tril": lambda xp, a: xp.tril(a(A), k=1),
    "meshgrid": lambda xp, a: xp.meshgrid(a(V), a(A[0]), indexing="ij"),
    "clip": lambda xp, a: xp.clip(a(A), max=0.5),
    "clip both": lambda xp, a: xp.clip(a(A), 0.1, a(A[0])),
    "sort": lambda xp, a: xp.sort(a(WHOLE), axis=0),
    "sort descending": lambda xp, a: xp.sort(a(WHOLE), descending=True),
    "argsort": lambda xp, a: xp.argsort(a(WHOLE)),
    "argsort descending": lambda xp, a: xp.argsort(a(WHOLE), axis=1, descending=True, stable=True),
    "std": lambda xp, a: xp.std(a(A), axis=1, correction=1),
    "var": lambda xp, a: xp.var(a(A), axis=(0, 1), keepdims=True),
    "sum": lambda xp, a: xp.sum(a(WHOLE), axis=0, dtype=xp.float64),
    "sum of bytes": lambda xp, a: xp.sum(a(WHOLE.astype("int8")), axis=1),
    "prod": lambda xp, a: xp.prod(a(WHOLE), axis=1, keepdims=True),
    "mean": lambda xp, a: xp.mean(a(A), axis=0),
    "max": lambda xp, a: xp.max(a(A), axis=(0, 1)),
    "argmax": lambda xp, a: xp.argmax(a(A), axis=1, keepdims=True),
    "all": lambda xp, a: xp.all(a(WHOLE), axis=0),
    "count_nonzero": lambda xp, a: xp.count_nonzero(a(WHOLE - 3), axis=1),
    "cumulative_sum": lambda xp, a: xp.cumulative_sum(a(WHOLE), axis=1, include_initial=True),
    "cumulative_sum of a vector": lambda xp, a: xp.cumulative_sum(a(V)),
    "cumulative_prod": lambda xp, a: xp.cumulative_prod(a(A), axis=0, dtype=xp.float64, include_initial=True),
    "diff": lambda xp, a: xp.diff(a(V), n=2, prepend=a(V[:1])),
    "unique_all": lambda xp, a: xp.unique_all(a(WHOLE)),
    "unique_counts": lambda xp, a: xp.unique_counts(a(WHOLE)),
    "unique_inverse": lambda xp, a: xp.unique_inverse(a(WHOLE)),
    "unique_values": lambda xp, a: xp.unique_values(a(WHOLE)),
    "unique_values of NaN": lambda xp, a: xp.unique_values(a(np.array([np.nan, 1.0, np.nan]))),
    "isin": lambda xp, a: xp.isin(a(WHOLE), a(np.array([1, 2]))),
    "searchsorted": lambda xp, a: xp.searchsorted(a(np.sort(V)), a(A[0]), side="right"),
    "nextafter": lambda xp, a: xp.nextafter(a(V), a(2 * V)),
    "where": lambda xp, a: xp.where(a(A) > 0.5, a(A), 0.0),
    "take": lambda xp, a: xp.take(a(A), a(np.array([1, 0])), axis=1),
    "take_along_axis": lambda xp, a: xp.take_along_axis(a(A), a(np.array([[0], [1], [2]])), axis=1),
    "nonzero": lambda xp, a: xp.nonzero(a(WHOLE - 3)),
    "concat": lambda xp, a: xp.concat([a(A), a(2 * A)], axis=None),
    "stack": lambda xp, a: xp.stack([a(A), a(A)], axis=-1),
    "unstack": lambda xp, a: xp.unstack(a(A), axis=1),
    "reshape": lambda xp, a: xp.reshape(a(A), (2, -1), copy=True),
    "squeeze": lambda xp, a: xp.squeeze(a(A[None]), 0),
    "expand_dims": lambda xp, a: xp.expand_dims(a(A), axis=-1),
    "permute_dims": lambda xp, a: xp.permute_dims(a(A), (1, 0)),
    "moveaxis": lambda xp, a: xp.moveaxis(a(A), 0, -1),
    "flip": lambda xp, a: xp.flip(a(A)),
    "roll": lambda xp, a: xp.roll(a(A), (1, 2), axis=(0, 1)),
    "repeat": lambda xp, a: xp.repeat(a(A), 2, axis=0),
    "tile": lambda xp, a: xp.tile(a(V), (2, 2)),
    "broadcast_to": lambda xp, a: xp.broadcast_to(a(V), (2, 5)),
    "broadcast_arrays": lambda xp, a: xp.broadcast_arrays(a(A), a(A[:1])),
    "tensordot": lambda xp, a: xp.tensordot(a(A), a(B), axes=1),
    "vecdot": lambda xp, a: xp.vecdot(a(Z), a(Z)),
    "matmul": lambda xp, a: xp.matmul(a(A), a(B)),
    "shifts": lambda xp, a: (a(WHOLE) << 2, a(WHOLE) >> 1),
    "remainder": lambda xp, a: xp.remainder(a(WHOLE), -2),
    "number first": lambda xp, a: xp.maximum(0.5, a(A)),
    "linalg.cholesky": lambda xp, a: xp.linalg.cholesky(a(SYMMETRIC), upper=True),
    "linalg.cross": lambda xp, a: xp.linalg.cross(a(B), a(2 * B[::-1].copy())),
    "linalg.det": lambda xp, a: xp.linalg.det(a(SQUARE)),
    "linalg.diagonal": lambda xp, a: xp.linalg.diagonal(a(np.stack([A, A])), offset=1),
    "linalg.eigvalsh": lambda xp, a: xp.linalg.eigvalsh(a(SYMMETRIC)),
    "linalg.matrix_norm": lambda xp, a: xp.linalg.matrix_norm(a(A), ord="nuc", keepdims=True),
    "linalg.matrix_rank": lambda xp, a: xp.linalg.matrix_rank(a(A), rtol=1e-3),
    "linalg.outer": lambda xp, a: xp.linalg.outer(a(V), a(V)),
    "linalg.pinv": lambda xp, a: xp.linalg.pinv(a(A)),
    "linalg.pinv of low rank": lambda xp, a: xp.linalg.pinv(a(np.outer(V, V) + 1e-9 * np.eye(5)), rtol=1e-6),
    "linalg.slogdet": lambda xp, a: xp.linalg.slogdet(a(SQUARE)),
    "linalg.solve": lambda xp, a: xp.linalg.solve(a(SQUARE), a(B[:3])),
    "linalg.svdvals": lambda xp, a: xp.linalg.svdvals(a(A)),
    "linalg.trace": lambda xp, a: xp.linalg.trace(a(np.stack([WHOLE, WHOLE])), offset=1, dtype=xp.float64),
    "linalg.vector_norm": lambda xp, a: xp.linalg.vector_norm(a(A), axis=1, ord=3, keepdims=True),
    "fft.rfft": lambda xp, a: xp.fft.rfft(a(V), n=8, norm="ortho"),
    "fft.fftn": lambda xp, a: xp.fft.fftn(a(A + 0j), s=(3, 3), axes=(0, 1)),
    "fft.hfft": lambda xp, a: xp.fft.hfft(a(Z), n=5),
    "fft.fftfreq": lambda xp, a: xp.fft.fftfreq(5, d=0.5, dtype=xp.float64),
    "fft.rfftfreq": lambda xp, a: xp.fft.rfftfreq(5),
    "fft.fftshift": lambda xp, a: xp.fft.fftshift(a(V), axes=0),
}


def parts(result: Any) -> list[np.ndarray]:
    if isinstance(result, (tuple, list)):
        return [part for x in result for part in parts(x)]
    return [result.numpy() if isinstance(result, mg.Tensor) else np.asarray(result)]


@pytest.mark.parametrize("name", CALLS)
def test_values_are_stricts(name: str) -> None:
    want = parts(CALLS[name](strict, lambda x: strict.asarray(x.copy())))
    result = CALLS[name](array_api, lambda x: mg.tensor(x))
    got = parts(result)
    assert len(got) == len(want)
    for a, b in zip(got, want):
        assert a.shape == b.shape
        kinds = (a.dtype, b.dtype)
        assert a.dtype == b.dtype or kinds == (np.float32, np.float64), kinds  # our default is float32
        np.testing.assert_allclose(a, b, rtol=1e-6 if a.dtype == np.float32 else 1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "call",
    [
        lambda xp, x: xp.sort(x, descending=True),
        lambda xp, x: xp.cumulative_sum(x, axis=1, include_initial=True),
        lambda xp, x: xp.cumulative_prod(x, axis=0),
        lambda xp, x: xp.unique_values(x),
        lambda xp, x: xp.unique_all(xp.concat([x, x])).values,
        lambda xp, x: xp.asarray(x, copy=True),
        lambda xp, x: xp.asarray([x[0, 0], 1.0, x[1, 1]]),
        lambda xp, x: xp.astype(x, xp.float64),
        lambda xp, x: xp.reshape(x, (4, 3), copy=True),
        lambda xp, x: xp.std(x, axis=0, correction=1.0),
        lambda xp, x: xp.clip(x, min=0.4),
        lambda xp, x: xp.full((2, 2), x[0, 0]),
        lambda xp, x: xp.linspace(x[0, 0], x[0, 1], 3, dtype=xp.float64),
        lambda xp, x: xp.linalg.pinv(x),
        lambda xp, x: xp.linalg.trace(x),
        lambda xp, x: x.to_device("cpu"),
    ],
)
def test_gradients_flow(call: Any) -> None:
    assert mg.gradcheck(lambda x: call(x.__array_namespace__(), x), [mg.tensor(A, requires_grad=True)])


def test_the_namespace(xp: Any) -> None:
    x = mg.tensor(noise(3), requires_grad=True)
    assert x.__array_namespace__() is (x * 2).__array_namespace__(api_version="2023.12") is array_api
    with pytest.raises(ValueError, match=r"api_version: got '2099\.12', want '20\d\d\.12' or older"):
        x.__array_namespace__(api_version="2099.12")
    device = "cpu" if xp.name == "numpy" else xp.name
    assert x.device == device
    info = array_api.__array_namespace_info__()
    assert info.default_device() == device
    assert device in info.devices()
    assert info.default_dtypes()["real floating"] == array_api.zeros(1).dtype == array_api.asarray([0.5]).dtype
    assert info.default_dtypes()["complex floating"] == array_api.asarray(1j).dtype == array_api.full(2, 1j).dtype
    assert info.default_dtypes()["integral"] == array_api.asarray(1).dtype
    assert info.dtypes().keys() == strict.__array_namespace_info__().dtypes().keys()
    for kind in ("bool", "integral", "numeric", ("real floating", "unsigned integer")):
        assert info.dtypes(kind=kind).keys() == strict.__array_namespace_info__().dtypes(kind=kind).keys()
    with pytest.raises(ValueError, match="dtypes: kind: got 'text'"):
        info.dtypes(kind="text")


def test_devices(xp: Any) -> None:
    device = "cpu" if xp.name == "numpy" else xp.name
    host = mg.tensor(noise(3), backend="numpy", requires_grad=True)
    moved = host.to_device(device)
    assert moved.device == device
    mg.sum(moved * moved).backward()
    np.testing.assert_allclose(host.grad.numpy(), 2 * noise(3))
    assert moved.to_device("cpu").device == "cpu"
    for make in (
        lambda: array_api.zeros(2, device=device),
        lambda: array_api.ones_like(host, device=device),
        lambda: array_api.full_like(moved, 2.0),
        lambda: array_api.asarray(noise(3), device=device),
        lambda: array_api.arange(3, device=device),
        lambda: array_api.sort(moved, descending=True),
        lambda: array_api.unique_all(moved).counts,
        lambda: array_api.cumulative_sum(moved, include_initial=True),
        lambda: array_api.fft.fftfreq(4, device=device),
    ):
        assert make().device == device
    with pytest.raises(mg.BackendError, match="got 'tpu'"):
        array_api.zeros(2, device="tpu")


def test_asarray_shares_what_it_may() -> None:
    host = noise(3)
    x = array_api.asarray(host)
    assert np.shares_memory(x.data, host)
    assert not np.shares_memory(array_api.asarray(host, copy=True).data, host)
    assert np.shares_memory(array_api.asarray(host, copy=False).data, host)
    w = mg.tensor(noise(3), requires_grad=True)
    assert array_api.asarray(w) is w
    assert array_api.asarray(w, copy=True) is not w
    y = (w * x).sum()
    host[0] = 5.0
    with pytest.raises(mg.GraphError, match="written into"):
        y.backward()
    for call in (
        lambda: array_api.asarray([1.0], copy=False),
        lambda: array_api.asarray(host, dtype=np.float32, copy=False),
        lambda: array_api.reshape(array_api.asarray(noise(2, 3).T), (6,), copy=False),
    ):
        with pytest.raises(ValueError, match="copy=False"):
            call()
    with pytest.raises(TypeError, match=r"nextafter: minigrad has no rule for it; take \.detach\(\)"):
        array_api.nextafter(w, x)


def test_dtypes() -> None:
    xp, x = array_api, mg.tensor(noise(2).astype(np.float32))
    assert xp.result_type(x, xp.float64, 1.0) == np.float64
    assert xp.result_type(x, 1.0) == np.float32
    assert xp.can_cast(x, xp.float64)
    assert not xp.can_cast(xp.float64, xp.int8)
    assert xp.finfo(x).eps == np.finfo(np.float32).eps == xp.finfo(xp.complex64).eps
    assert xp.iinfo(xp.int8).max == 127
    assert xp.isdtype(x.dtype, ("integral", "real floating"))
    assert not xp.isdtype(xp.bool, "numeric")
    assert xp.isdtype(xp.int8, xp.int8)
    assert xp.isin(x, x, invert=True).tolist() == [False, False]
    assert xp.sum(x > 0).dtype == np.int64
    assert xp.broadcast_shapes((2, 1), (3,)) == (2, 3)
    assert complex(mg.tensor(2.0 + 1j)) == 2 + 1j
    with pytest.raises(ValueError, match=r"cumulative_sum: axis: got None for shape \(1, 2\)"):
        xp.cumulative_sum(x[None])


# Writing into constants, which the standard asks for


def test_an_item_of_a_constant_is_written() -> None:
    x, host = mg.tensor(noise(3, 4)), noise(3, 4)
    rows = ([0, 2], [1, 1])
    for index, value in ((0, 1.5), ((slice(None), 1), noise(3)), (host > 0.5, 0.0), (rows, [7.0, 8.0]), (..., 2)):
        x[index], host[index] = value, value
        np.testing.assert_array_equal(x.numpy(), host)
    x[mg.tensor(host) > 1] = mg.tensor(-1.0)
    x[mg.tensor([0, 2]), 3] = mg.tensor(noise(2))
    host[host > 1] = -1
    host[[0, 2], 3] = noise(2)
    np.testing.assert_array_equal(x.numpy(), host)
    x[0][1] = 5.0  # a view's memory is the tensor's, as in NumPy
    assert x[0, 1].item() == 5.0
    for made in (array_api.full((2, 2), 3.0), array_api.full_like(x, 1.0), array_api.zeros(3), array_api.empty_like(x)):
        made[0] = 4.0
        assert (made[0] == 4).all()


def test_a_written_constant_is_noticed() -> None:
    w, c = mg.tensor(noise(3), requires_grad=True), mg.tensor(noise(3))
    y = (w * c).sum()
    c[0] = 5.0
    with pytest.raises(mg.GraphError, match="'multiply' saved a tensor"):
        y.backward()
    (w * c).sum().backward()
    assert w.grad.tolist()[0] == 5.0
    z = (w * w.grad).sum()
    w.grad[1] = 0.0
    with pytest.raises(mg.GraphError, match="'multiply' saved a tensor"):
        z.backward()


def test_what_is_not_written(xp: Any) -> None:
    w, c = mg.tensor(noise(3), requires_grad=True), mg.tensor(noise(3))
    for x in (w, w * 2, *([c] if xp.name != "numpy" else [])):
        with pytest.raises(TypeError, match=r"not written in place; minigrad\.at\(x\)\[\.\.\.\]\.set"):
            x[0] = 1.0
    if xp.name == "numpy":
        with pytest.raises(
            TypeError, match=r"value of shape \(\) is on the tape and a constant would lose its gradient"
        ):
            c[0] = (w * w).sum()
        with pytest.raises(ValueError, match="read-only"):
            (w * 2).detach()[0] = 1.0
    np.testing.assert_array_equal(c.numpy(), noise(3))
    np.testing.assert_array_equal(w.numpy(), noise(3))


def test_scipy_computes_in_this_namespace() -> None:
    """Its functions of the array API take a tensor and return one, with the values of NumPy's arrays."""
    pytest.importorskip("scipy")
    code = """
import numpy as np, scipy, minigrad as mg
from scipy import cluster, fft, integrate, signal, special, stats
a = np.random.default_rng(0).uniform(0.2, 0.9, (6, 4))
for f in (stats.zscore, stats.skew, stats.gmean, stats.variation, special.logsumexp, special.softmax, special.entr,
          fft.dct, fft.rfftn, cluster.vq.whiten, signal.detrend, integrate.trapezoid):
    y = f(mg.tensor(a))
    assert isinstance(y, mg.Tensor), f
    np.testing.assert_allclose(y.numpy(), f(a), rtol=1e-10, err_msg=str(f))
"""
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "SCIPY_ARRAY_API": "1"}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
