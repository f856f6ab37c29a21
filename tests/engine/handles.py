"""Every way in which a tensor's memory can be written into: by the library, and by whoever got hold of the memory."""

from __future__ import annotations

import copy
import ctypes
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn, optim

SHAPE = (3, 4)
Write = Callable[[], Any]


def added(array: Any) -> Write:
    """Adds one to all of an array, in place."""
    return lambda: np.add(array, 1, out=array)


def raised(x: Any) -> Write:
    """Adds one to the first of a tensor's rows, or of an iterator's numbers."""

    def write() -> None:
        x[0] = x[0] + 1

    return write


def writable(view: Any) -> Any:
    """A read-only view, made writable again: NumPy allows that, since its base is."""
    view.flags.writeable = True
    return view


def out_of_band(p: Any) -> Write:
    buffers: list[Any] = []
    pickle.dumps(p, 5, buffer_callback=buffers.append)
    return added(np.frombuffer(memoryview(buffers[0]), p.dtype)) if buffers else (lambda: None)  # or strided: in band


def in_torch(p: Any) -> Write:
    import torch

    x = torch.from_dlpack(p.detach())
    return lambda: x.add_(1)


def by_address(address: int) -> Write:
    """Writes to an address, which leaves no reference to the array."""

    def write() -> None:
        ctypes.c_float.from_address(address).value += 1

    return write


def off_the_tape(function: Callable[[], Any]) -> Any:
    with mg.no_grad():
        return function()


def on_the_users_array(p: Any, array: Any) -> None:
    array[...] = p.numpy()
    p.data = array


def part_of_a_larger(p: Any) -> Write:
    big = np.zeros((7, 9), np.float32)
    on_the_users_array(p, big[1:7:2, 1:5])
    return added(big)


def of_transposed(p: Any) -> Write:
    big = np.zeros(SHAPE[::-1], np.float32)
    on_the_users_array(p, big.T)
    return added(big[1])


def of_the_users_own(p: Any) -> Write:
    own = np.zeros(SHAPE, np.float32)
    on_the_users_array(p, own)
    return added(own)


def in_foreign_memory(p: Any) -> Write:
    buffer = bytearray(4 * 12)
    on_the_users_array(p, np.frombuffer(buffer, np.float32).reshape(SHAPE))
    return added(np.frombuffer(buffer, np.float32))


def by_a_function(p: Any) -> Write:
    """What a function without a rule returns for a constant: a view of its memory."""
    return added(np.trim_zeros(mg.reshape(p.detach(), (-1,))))


HANDLES: dict[str, Callable[[Any], Write]] = {
    "the data": lambda p: added(p.data),
    "a view": lambda p: added(p.data[1:]),
    "a view of a view": lambda p: added(p.data[1:][:, ::2].T),
    "asarray of the data": lambda p: added(np.asarray(p.data)),
    "a memoryview": lambda p: added(np.asarray(memoryview(p.data))),
    "a flat iterator": lambda p: raised(p.data.flat),
    "a buffer": lambda p: added(np.frombuffer((ctypes.c_float * 1).from_buffer(p.data[:1, :1]), np.float32)),
    "an address": lambda p: by_address(p.data.ctypes.data),
    "an address from the interface": lambda p: by_address(p.data.__array_interface__["data"][0]),
    "NumPy by DLPack": lambda p: by_address(np.from_dlpack(p.detach()).ctypes.data),
    "torch by DLPack": in_torch,
    "detached data": lambda p: added(p.detach().data),
    "a detached tensor": lambda p: raised(p.detach()),
    "a detached copy": lambda p: raised(copy.copy(p.detach())),
    "another name": lambda p: added(copy.copy(p).data),
    "a tensor's view": lambda p: raised(off_the_tape(lambda: p[1])),
    "the data of a tensor's view": lambda p: added(off_the_tape(lambda: mg.transpose(p)).data),
    "the data of the same array": lambda p: added(off_the_tape(lambda: mg.real(p)).data),
    "a row": lambda p: added(next(iter(off_the_tape(p.detach))).data),
    "a recorded view made writable": lambda p: added(writable(mg.reshape(p, (-1,)).data)),
    "a recorded view's base": lambda p: added(mg.transpose(p).data.base),
    "a detached recorded view": lambda p: added(writable(mg.transpose(p).detach().data)),
    "a pickle's buffer": out_of_band,
    "the user's own array": of_the_users_own,
    "part of a larger array": part_of_a_larger,
    "a transposed array": of_transposed,
    "another library's memory": in_foreign_memory,
    "a view by a NumPy function": by_a_function,
}
"""By name: takes hold of a tensor's memory; returns what changes it, later, without the tensor."""


# The library's own writes, and the user's brief ones


def step(optimizer: str) -> Callable[[Any], Any]:
    def write(p: Any) -> None:
        if p.node is not None:
            p.grad = mg.tensor(np.full(p.shape, 0.5, p.dtype))
            getattr(optim, optimizer)([p], lr=0.1).step()
            p.grad = None

    return write


def augmented(method: str, other: Any) -> Callable[[Any], Any]:
    return lambda p: off_the_tape(lambda: getattr(p, method)(other))


def loaded(p: Any) -> None:
    module = nn.Module()
    if isinstance(p, mg.Parameter):
        module.p = p  # type: ignore[attr-defined]
        module.load_state_dict({"p": p.numpy() + 1})


def frozen(p: Any) -> None:
    """Writes nothing."""
    module = nn.Module()
    if isinstance(p, mg.Parameter):
        module.p = p  # type: ignore[attr-defined]
        module.requires_grad_(p.node is None)


def halfway(p: Any) -> None:
    """Converts the parameter, and back, so that its values are rounded."""
    module = nn.Module()
    if isinstance(p, mg.Parameter):
        module.p = p  # type: ignore[attr-defined]
        module.to(dtype="float16")
        module.to(dtype="float32")


def replaced(p: Any) -> None:
    p.data = p.numpy() + 1


def subtracted(p: Any) -> None:
    p.data -= 1


def item(p: Any) -> None:
    p.data[0] = 5 + p.numpy()[0]


OPTIMIZERS = [
    name
    for name in optim.__all__
    if isinstance(kind := getattr(optim, name), type)
    and issubclass(kind, optim.Optimizer)
    and name not in ("Optimizer", "LBFGS")  # which takes a closure, and writes as the others do
]
WRITES: dict[str, Callable[[Any], Any]] = {
    **{f"a step of {name}": step(name) for name in OPTIMIZERS},
    **{f"p.{m}": augmented(m, 1.5) for m in ("__iadd__", "__isub__", "__imul__", "__itruediv__", "__ipow__")},
    "load_state_dict": loaded,
    "to": halfway,
    "data = other": replaced,
    "data -= 1": subtracted,
    "data[0] = 5": item,
    "data.flat[0] = 1": lambda p: p.data.flat.__setitem__(0, 1 + p.numpy()[0, 0]),
    "data.fill": lambda p: p.data.fill(p.numpy()[0, 0] + 1),
    "memset": lambda p: ctypes.memset(p.data.ctypes.data, p.numpy().tobytes()[0] ^ 1, 1),
    "a detached item": lambda p: p.detach().__setitem__(0, 7 + p.numpy()[0]),
    "exchange of byte order": lambda p: p.data.byteswap(inplace=True),
}
"""By name: changes a tensor's values at once."""


def saved(p: Any) -> None:
    (p * p).sum().backward() if p.node is not None else p * p


READS: dict[str, Callable[[Any], Any]] = {
    "numpy": lambda p: added(p.numpy())(),
    "asarray": lambda p: added(np.asarray(p.detach()))(),
    "tolist": lambda p: p.tolist(),
    "repr": repr,
    "detach": lambda p: p.detach(),
    "an operation": saved,
    "views": lambda p: (p.T, p[0], p[:, 1:], mg.reshape(p, (-1,)).sum(), off_the_tape(lambda: p.T)),
    "comparison": lambda p: off_the_tape(lambda: (p > 0).numpy()),
    "NumPy's functions": lambda p: (np.tanh(p), np.sum(p), np.allclose(p, p), np.array_str(p.detach())),
    "state_dict": lambda p: nn.Module.state_dict(module_of(p)),
    "deepcopy": lambda p: added(copy.deepcopy(p).data)(),
    "copy": copy.copy,
    "pickle": lambda p: [pickle.dumps(p, protocol) for protocol in range(2, 5)],
    "frozen and back": lambda p: (frozen(p), frozen(p)),
    "zero_grad": lambda p: module_of(p).zero_grad(),
    "clip": lambda p: optim.clip_grad_norm([p], 0.1),
    "a graph": lambda p: mg.gradients((p * p).sum(), [p]) if p.node is not None else None,
}
"""By name: reads a tensor, and leaves it as it was."""


def module_of(p: Any) -> nn.Module:
    module = nn.Module()
    if isinstance(p, mg.Parameter):
        module.p = p  # type: ignore[attr-defined]
    return module
