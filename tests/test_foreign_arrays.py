"""Other libraries' arrays come in, and ours go out, through DLPack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
import minigrad_rnn as mr
from minigrad import nn, optim
from minigrad.engine.tensor import Tensor
from minigrad.foreign_arrays import layout_fault


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.2, 0.9, shape)


def test_memory_goes_out_and_comes_in_without_a_copy() -> None:
    x = mg.tensor(noise(3))
    theirs = np.from_dlpack(x)
    assert np.shares_memory(theirs, x.data)
    back = mg.from_dlpack(theirs)
    assert np.shares_memory(back.data, x.data)
    assert not back.requires_grad


def test_torch_and_back() -> None:
    torch = pytest.importorskip("torch")
    x = mg.tensor(noise(3))
    theirs = torch.from_dlpack(x)
    theirs[0] = 9.0
    assert x.tolist()[0] == 9.0
    ours = mg.from_dlpack(theirs)
    assert ours.dtype == np.float64
    theirs[1] = 8.0
    assert ours.tolist()[:2] == [9.0, 8.0]


def test_a_write_through_shared_memory_is_noticed() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.ones(3, dtype=torch.float64)
    c, w = mg.from_dlpack(theirs), mg.tensor(noise(3), requires_grad=True)
    y = (w * c).sum()
    theirs[0] = 2.0
    with pytest.raises(mg.GraphError, match="written into"):
        y.backward()
    y = (w * c).sum()
    y.backward()
    assert w.grad.tolist() == [2.0, 1.0, 1.0]
    exported = mg.tensor(noise(3))
    outside = torch.from_dlpack(exported)
    y = (w * exported).sum()
    outside[0] = 2.0
    with pytest.raises(mg.GraphError, match="written into"):
        y.backward()


def test_a_tensor_on_the_tape_is_not_exported() -> None:
    x = mg.tensor(noise(3), requires_grad=True)
    with pytest.raises(BufferError, match=r"shape \(3,\) is on the tape; export x\.detach\(\)"):
        np.from_dlpack(x)
    with pytest.raises(BufferError, match="on the tape"):
        np.from_dlpack(x * 2)
    np.testing.assert_array_equal(np.from_dlpack(x.detach()), noise(3))
    with pytest.raises(TypeError, match="from_dlpack: x: got list"):
        mg.from_dlpack([1.0])


# Handing out: what a consumer would get is looked at, by NumPy, and never given to one that may not take it.


def unaligned() -> np.ndarray:
    return np.frombuffer(bytearray(33), np.uint8)[1:].view(np.float64)


def read_only() -> np.ndarray:
    array = noise(4)
    array.flags.writeable = False
    return array


SHARED: dict[str, Callable[[], np.ndarray]] = {
    "C order": lambda: noise(3, 4),
    "Fortran order": lambda: np.asfortranarray(noise(3, 4)),
    "axes exchanged": lambda: noise(2, 3, 4).transpose(1, 2, 0),
    "every second": lambda: noise(8, 4)[::2, 1:3],
    "a single value": lambda: noise()[...],
    "axes of length one": lambda: noise(3)[None, :, None],
    "whole numbers": lambda: np.arange(4, dtype=np.int8),
    "truth values": lambda: noise(4) > 0.5,
    "complex": lambda: noise(4).astype(np.complex64),
}
COPIED: dict[str, Callable[[], np.ndarray]] = {
    "reversed": lambda: noise(4)[::-1],
    "one axis reversed": lambda: noise(3, 4)[:, ::-1],
    "broadcast": lambda: np.broadcast_to(noise(3), (2, 3)).view(),
    "zero strides but writable": lambda: np.lib.stride_tricks.as_strided(noise(3), (2, 3), (0, 8)),
    "overlapping windows": lambda: np.lib.stride_tricks.as_strided(noise(5), (3, 3), (8, 8)),
    "read-only": read_only,
    "big-endian": lambda: noise(4).astype(">f8"),
    "empty": lambda: np.zeros((0, 3)),
    "empty, cut from a larger one": lambda: noise(4, 3)[4:, ::-2],
    "unaligned": unaligned,
    "a field of records": lambda: np.zeros(3, [("a", "i1"), ("b", "f8")])["b"],
    "stride no multiple of the size": lambda: np.zeros(3, [("b", "f4"), ("a", "i2")])["b"],
}


@pytest.mark.parametrize("name", SHARED)
def test_a_plain_layout_is_handed_out_as_it_is(name: str) -> None:
    array = SHARED[name]()
    theirs = np.from_dlpack(Tensor(array))
    assert np.shares_memory(theirs, array)
    assert theirs.strides == array.strides
    np.testing.assert_array_equal(theirs, array)


@pytest.mark.parametrize("name", COPIED)
def test_any_other_layout_is_handed_out_as_a_copy(name: str) -> None:
    array = COPIED[name]()
    x = Tensor(array)
    theirs = np.from_dlpack(x)
    assert not np.shares_memory(theirs, array)
    assert theirs.flags.c_contiguous
    assert theirs.flags.aligned
    assert theirs.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(theirs, array)
    with pytest.raises(BufferError, match="copy=False: the array has no plain layout"):
        np.from_dlpack(x, copy=False)
    assert not np.shares_memory(np.from_dlpack(x, copy=True), array)


@settings(max_examples=25)
@given(data=st.data())
def test_no_layout_gets_through_unnoticed(data: Any) -> None:
    """A consumer sees positive strides, no two elements at one place, and the right values, whatever the view."""
    array = noise(*data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4)))
    view = array[data.draw(hnp.basic_indices(array.shape, allow_ellipsis=False))]
    view = np.asarray(view).transpose(data.draw(st.permutations(range(np.ndim(view)))))
    theirs = np.from_dlpack(Tensor(view))
    np.testing.assert_array_equal(theirs, view)
    assert all(stride > 0 for stride, n in zip(theirs.strides, theirs.shape) if n > 1)
    assert np.shares_memory(theirs, view) == (not layout_fault(view) and view.size > 0)
    places = [p.ctypes.data for p in (theirs[k] for k in np.ndindex(theirs.shape)) if isinstance(p, np.ndarray)]
    assert len(set(places)) == len(places)


# Taking in


def modules() -> dict[str, Callable[[Any], Any]]:
    return {
        "Linear": lambda x: nn.Linear(3, 2, rng=0, dtype="float64")(x),
        "LayerNorm": lambda x: nn.LayerNorm(3, dtype="float64")(x),
        "Dropout": lambda x: nn.Dropout(0.5, rng=0)(x),
        "Tanh": lambda x: nn.Tanh()(x),
        "RNN": lambda x: mr.RNN(3, 2, rng=0, dtype="float64")(x)[0],
        "RNN, batch first": lambda x: mr.RNN(3, 2, rng=0, dtype="float64", batch_first=True)(x[None])[0],
        "Elman": lambda x: mr.Elman(3, 2, 2, rng=0, dtype="float64")(x)[0],
        "ManyToOne": lambda x: mr.ManyToOne(mr.GRU(3, 2, rng=0, dtype="float64"), nn.Identity())(x[:, None]),
        "mse": lambda x: mg.mse(mg.tensor(noise(2, 3)), x),
        "cross_entropy": lambda x: mg.cross_entropy(x, [0, 1]),
        "linalg": lambda x: mg.linalg.norm(x),
        "einsum": lambda x: mg.einsum("ij,kj->ik", x, x),
        "concatenate": lambda x: mg.concatenate([x, noise(1, 3)]),
        "quantile": lambda x: mg.quantile(x, 0.3),
        "number first": lambda x: mg.maximum(0.5, x),
        "operator": lambda x: mg.tensor(noise(3)) * x + x,
        "operator on the right": lambda x: x - mg.tensor(noise(3)),
        "array": lambda x: mg.tensor(x),
        "as a gradient": lambda x: mg.vjp(mg.tanh, mg.tensor(noise(2, 3)))[1](x),
        "comparison": lambda x: mg.less(x, 0.5),
        "sort": lambda x: mg.sort(x, axis=0),
    }


@pytest.mark.parametrize("name", modules())
def test_torchs_tensor_is_taken_where_an_array_is(name: str) -> None:
    torch = pytest.importorskip("torch")
    call, x = modules()[name], noise(2, 3)
    want = call(x)
    for theirs in (torch.tensor(x), torch.tensor(x.T.copy()).T, torch._neg_view(torch.tensor(-x))):
        for got, expected in zip(_all(call(theirs)), _all(want)):
            assert got.dtype == expected.dtype
            np.testing.assert_array_equal(got.numpy(), expected.numpy())
    with pytest.raises(TypeError, match=r"got a torch\.Tensor that requires grad.*pass x\.detach\(\)"):
        call(torch.tensor(x, requires_grad=True))


def _all(result: Any) -> Any:
    return result if isinstance(result, tuple) else (result,)


def test_torchs_whole_numbers() -> None:
    torch = pytest.importorskip("torch")
    x, ids = noise(4, 3), torch.tensor([2, 0])
    t = mg.tensor(x, requires_grad=True)
    np.testing.assert_array_equal(t[ids].numpy(), x[[2, 0]])
    np.testing.assert_array_equal(t[:2][ids > 0].numpy(), x[:1])
    np.testing.assert_array_equal(mg.take(t, ids, axis=0).numpy(), x[[2, 0]])
    np.testing.assert_array_equal(nn.Embedding(3, 2, rng=0)(ids).numpy(), nn.Embedding(3, 2, rng=0)([2, 0]).numpy())
    np.testing.assert_array_equal(mg.one_hot(ids, 3).numpy(), np.eye(3)[[2, 0]])
    assert mg.cross_entropy(t[:2], ids).item() == mg.cross_entropy(t[:2], [2, 0]).item()
    rnn, xs = mr.RNN(3, 2, rng=0, dtype="float64"), noise(4, 2, 3)
    np.testing.assert_array_equal(rnn(xs, lengths=torch.tensor([4, 2]))[0].numpy(), rnn(xs, lengths=[4, 2])[0].numpy())


def test_a_write_by_torch_is_noticed_behind_every_way_in() -> None:
    torch = pytest.importorskip("torch")
    w = mg.tensor(noise(3), requires_grad=True)
    theirs = torch.tensor(noise(3))
    y = (w * theirs).sum()
    theirs[0] = 5.0
    with pytest.raises(mg.GraphError, match="written into"):
        y.backward()
    copied = mg.tensor(theirs)
    theirs[0] = 7.0
    assert copied.numpy()[0] == 5.0


def test_state_dicts_of_torchs_tensors() -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = nn.Linear(3, 2, rng=0), torch.nn.Linear(3, 2)
    ours.load_state_dict(theirs.state_dict())
    np.testing.assert_array_equal(ours.weight.numpy(), theirs.weight.detach().numpy())
    optimizer = optim.SGD(ours.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"got torch\.Tensor"):
        ours.weight.grad = torch.ones(2, 3)
    ours(noise(1, 3).astype(np.float32)).sum().backward()
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    ours.weight.register_hook(lambda g: torch.ones(2, 3))
    loss = ours(noise(1, 3).astype(np.float32)).sum()
    with pytest.raises(TypeError, match=r"returned torch\.Tensor, want None or a Tensor"):
        loss.backward()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda torch: torch.ones(2, 3).bfloat16(), r"torch\.Tensor of torch\.bfloat16, which NumPy.*x\.float"),
        (lambda torch: torch.ones(2, 3).to(torch.float8_e5m2), r"torch\.Tensor of torch\.float8_e5m2, which NumPy"),
        (lambda torch: torch.ones(2, 3).to_sparse(), r"torch\.Tensor of .*x\.to_dense\(\)"),
        (lambda torch: torch.empty(2, 3, device="meta"), r"torch\.Tensor, which cannot be read from here"),
        (lambda torch: torch.nn.Parameter(torch.ones(2, 3)), r"torch\.Parameter that requires grad"),
    ],
)
@pytest.mark.parametrize("way", ["tensor", "from_dlpack", "multiply", "RNN"])
def test_what_numpy_cannot_read_is_refused_by_name(make: Any, words: str, way: str) -> None:
    torch = pytest.importorskip("torch")
    calls: dict[str, Callable[[Any], Any]] = {
        "tensor": mg.tensor,
        "from_dlpack": mg.from_dlpack,
        "multiply": lambda x: mg.tensor(2.0) * x,
        "RNN": lambda x: mr.RNN(3, 2)(x),
    }
    with pytest.raises(TypeError, match=rf"^{way}: \w+: got a {words}"):
        calls[way](make(torch))


def test_a_device_is_named() -> None:
    class OnDevice:
        """Stands for a tensor in a CUDA device's memory."""

        device = "cuda:0"

        def __dlpack__(self, **options: Any) -> Any:
            raise AssertionError("not asked for")

        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, 0

    with pytest.raises(TypeError, match=r"tensor: data: got a tests.OnDevice on cuda:0, want one on the CPU: x\.cpu"):
        mg.tensor(OnDevice())
    with pytest.raises(TypeError, match=r"RNN: xs: got a tests.OnDevice on cuda:0"):
        mr.RNN(3, 2)(OnDevice())


def test_views_that_torch_negates_or_conjugates_later() -> None:
    """Their memory holds other numbers. torch exports the negated one all the same, and refuses the conjugated one."""
    torch = pytest.importorskip("torch")
    z = torch.tensor([1 + 2j, 3 - 4j])
    for lazy in (z.conj(), z.conj().imag, torch._neg_view(z.real), z.conj().conj()):
        for ours in (mg.from_dlpack(lazy), mg.tensor(lazy), mg.tensor(1.0) * lazy):
            np.testing.assert_array_equal(ours.numpy(), np.array(lazy.tolist()))


def test_lists_that_hold_them_and_objects_without_dlpack() -> None:
    torch = pytest.importorskip("torch")
    x = noise(3)
    np.testing.assert_array_equal(mg.stack([torch.tensor(x), x]).numpy(), [x, x])

    class Series:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return noise(3)

    np.testing.assert_array_equal((mg.tensor(x) * Series()).numpy(), x * x)
