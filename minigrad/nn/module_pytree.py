"""Modules as nodes of trees: a module is the tree of its parameters, under their dotted names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..engine.tensor import Parameter, Tensor
from ..pytree import NodeFamily, Parts, TreeDef, register_node_family
from .module import Module


def _flatten(module: Module) -> Parts:
    parameters = dict(module.named_parameters())
    names = [f".{name}" for name in parameters]
    return Parts(type(module), tuple(parameters), module, names, list(parameters.values()))


def _unflatten(tree: TreeDef, values: list[Any], plain: bool) -> Any:
    """A dict by name where `plain`, else a twin of the module with other parameters, which shares everything else."""
    if plain:
        return dict(zip(tree.data, values))
    module = tree.template
    parameters = dict(module.named_parameters())
    if tuple(parameters) != tree.data:
        raise ValueError(
            f"tree_unflatten: {type(module).__name__}: its parameters were {list(tree.data)} when it was flattened "
            f"and are {list(parameters)} now"
        )
    pairs = zip(parameters.values(), values)
    return _twin(module, {id(parameter): _replacement(parameter, value) for parameter, value in pairs})


def _substitute(tree: TreeDef, value: Any) -> Sequence[Any] | None:
    """The parameters of another module of these names, or the values of a dict by these names."""
    values: Any = dict(value.named_parameters()) if isinstance(value, Module) else value
    if isinstance(values, Mapping) and values.keys() == set(tree.data):
        return [values[name] for name in tree.data]
    return None


def _twin(value: Any, twins: dict[int, Any]) -> Any:
    """The counterpart of `value` in a copy; `twins` has those of parameters and modules by id, and grows."""
    if id(value) in twins:
        return twins[id(value)]
    if isinstance(value, Module):
        twins[id(value)] = module = type(value).__new__(type(value))
        vars(module).update({name: _twin(v, twins) for name, v in vars(value).items() if name != "_frozen_leaves"})
        return module
    if type(value) in (list, tuple) and any(isinstance(v, (Module, Parameter)) for v in value):
        return type(value)(_twin(v, twins) for v in value)
    if type(value) is dict and any(isinstance(v, (Module, Parameter)) for v in value.values()):
        return {key: _twin(v, twins) for key, v in value.items()}
    return value


def _replacement(parameter: Parameter, value: Any) -> Any:
    """What stands in a parameter's place: a constant becomes a parameter, trainable unless the old one is frozen.

    A tensor on the tape stays on it, so that gradients pass. Anything but a floating-point array is put there as it is.
    """
    if isinstance(value, Parameter):
        return value
    if isinstance(value, Tensor) and value.node is not None:
        on_tape = Parameter.__new__(Parameter)
        on_tape._array, on_tape.node = value._array, value.node
        return on_tape
    if not isinstance(value, float) and getattr(getattr(value, "dtype", None), "kind", "") != "f":
        return value
    constant = Parameter(value, dtype=parameter.dtype if isinstance(value, float) else None)
    if parameter.node is None:
        constant.node = None
    return constant


register_node_family(Module, NodeFamily(_flatten, _unflatten, _substitute))
