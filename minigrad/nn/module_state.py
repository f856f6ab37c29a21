"""`named_state`, `load_state` and `move`: a module's parameters and buffers go out, come in, and change their place.

`freeze`, `frozen_names` and `freeze_only`: which of its parameters are constants.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ..backend import Backend, backend_of, is_array
from ..engine.hooks import move_hooks
from ..engine.tape import Leaf, new_leaf
from ..engine.tensor import Parameter, Tensor
from ..foreign_arrays import import_array
from ..validation import closest, type_shown

if TYPE_CHECKING:
    from .module import Module

Array = Any
TORCH_RECURRENT = re.compile(r"(^|\.)(weight|bias)_(ih|hh|hr)(_l\d+(_reverse)?)?$")
"""Names in the state of torch's recurrent modules."""


class IncompatibleKeys(NamedTuple):
    """The names that `load_state_dict(strict=False)` skipped: those the state lacks, and those the module lacks."""

    missing: list[str]
    unexpected: list[str]


def check_buffer(place: str, value: Any) -> None:
    """Raise TypeError unless a value can be a buffer: a constant tensor, or None."""
    if value is None or (isinstance(value, Tensor) and value.node is None and not isinstance(value, Parameter)):
        return
    on_tape = isinstance(value, Tensor) and value.node is not None and not isinstance(value, Parameter)
    got = "a tensor on the tape" if on_tape else type_shown(value)
    hint = "; cut it off by .detach()" if on_tape else ""
    raise TypeError(f"{place}: got {got}, want a constant Tensor for a buffer, or None{hint}")


def named_state(module: Module) -> Iterator[tuple[str, Tensor]]:
    """Yield (dotted name, tensor) of what a state dict holds, in torch's order; a shared one once.

    These are the parameters and the persistent buffers of each module.
    """
    seen: set[int] = set()
    for path, part in module.named_modules():
        own = {**part._own_parameters(), **part._own_buffers(persistent=True)}
        for name, tensor in own.items():
            if id(tensor) not in seen:
                seen.add(id(tensor))
                yield (f"{path}.{name}" if path else name), tensor


def load_state(caller: str, module: Module, state_dict: dict[str, Any], strict: bool) -> IncompatibleKeys:
    """Implement `Module.load_state_dict`. After an error nothing has changed."""
    tensors = dict(named_state(module))
    missing = [name for name in tensors if name not in state_dict]
    unexpected = [name for name in state_dict if name not in tensors]
    wrong = [f"missing: {name} {tensors[name].shape}" for name in missing if strict]
    wrong += [f"unexpected: {name}{closest(name, missing)}" for name in unexpected if strict]
    if strict and any(TORCH_RECURRENT.search(name) for name in unexpected):
        wrong.append("these are torch.nn's names: minigrad_rnn.load_torch_state_dict(module, state_dict) knows them")
    arrays: dict[str, Array] = {}
    for name, tensor in tensors.items():
        if name not in state_dict:
            continue
        value = state_dict[name]
        array = value._array if isinstance(value, Tensor) else import_array("load_state_dict", name, value)
        if not is_array(array) or array.dtype.kind not in "fiub":
            got = getattr(array, "dtype", type(array).__name__)
            wrong.append(f"{name}: got {got}, want an array of real numbers")
        elif tuple(array.shape) != tensor.shape:
            wrong.append(f"{name}: got shape {tuple(array.shape)}, want {tensor.shape}")
        else:
            arrays[name] = _converted(array, backend_of(tensor._array), tensor.dtype)
    if wrong:
        raise ValueError(f"{caller}: state_dict: " + "; ".join(wrong))
    for name, array in arrays.items():
        _write(tensors[name], array)
    return IncompatibleKeys(missing, unexpected)


def move(module: Module, target: Backend | None, dtype: Any) -> None:
    """Implement `Module.to`. Everything is converted before anything is changed."""
    moves = []
    for parameter in module.parameters():
        array = _converted(parameter._array, target, dtype)
        if array is not parameter._array:
            grad = None if parameter.grad is None else Tensor(_converted(parameter.grad._array, target, dtype))
            moves.append((parameter, array, grad))
    buffers = []
    for buffer in module.buffers():
        floating = buffer.dtype.kind == "f"  # a counter stays a whole number
        buffers.append((buffer, _converted(buffer._array, target, dtype if floating else None)))
    for buffer, array in buffers:
        buffer._array = array
    for parameter, array, grad in moves:
        old = parameter.node
        parameter._array = array
        if type(old) is Leaf:
            parameter.node = fresh_leaf(array, grad)
            move_hooks(old, parameter.node)
            old.op, old.rules = "parameter before Module.to", None  # a backward pass of an old graph raises
    if moves:
        for part in module.modules():
            part._frozen().clear()


def freeze(module: Module, name: str, frozen: bool) -> None:
    """Freeze or unfreeze a module's own parameter of that name; see `Module.requires_grad_`."""
    parameter = module._own_parameters()[name]
    if frozen and type(parameter.node) is Leaf:
        module._frozen()[name] = parameter.frozen_leaf = parameter.node
        parameter.node = None
    elif not frozen and parameter.node is None:
        leaf, array = module._frozen().pop(name, None), parameter._array
        fits = leaf is not None and leaf.shape == array.shape and leaf.dtype == array.dtype
        parameter.node = leaf if fits else fresh_leaf(array)
        parameter.frozen_leaf = None


def frozen_names(module: Module) -> list[str]:
    """Return the names of the parameters that are frozen, of a module and all below it."""
    return [name for name, parameter in module.named_parameters() if parameter.node is None]


def freeze_only(module: Module, names: Collection[str]) -> None:
    """Freeze the parameters of these names, of a module and all below it, and unfreeze all others."""
    chosen = {id(parameter) for name, parameter in module.named_parameters() if name in names}
    for part in module.modules():
        for name, parameter in part._own_parameters().items():
            freeze(part, name, id(parameter) in chosen)


def fresh_leaf(array: Array, grad: Tensor | None = None) -> Leaf:
    """A new leaf for an array, with a gradient."""
    leaf = new_leaf(tuple(array.shape), array.dtype, backend_of(array).xp)
    leaf.grad = grad
    return leaf


def _converted(array: Array, target: Backend | None, dtype: Any) -> Array:
    """The array on the target backend and in the dtype; itself where nothing changes."""
    source = backend_of(array)
    if dtype is not None and array.dtype != dtype:
        array = array.astype(dtype)
    if target is None or target is source:
        return array
    return target.from_numpy(source.to_numpy(array))


def _write(tensor: Tensor, array: Array) -> None:
    """Write new values into a parameter. The array of what no leaf protects, a buffer or a frozen one, is replaced."""
    if isinstance(tensor, Parameter) and type(tensor.node) is Leaf:
        tensor.written()  # before, for Ctrl-C may come right after the write
        tensor._array[...] = array
        tensor.written()
    else:
        tensor._array = backend_of(array).xp.array(array, copy=True)
