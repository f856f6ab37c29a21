"""Module: parameters and submodules, named by their attributes, and a forward function."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

import numpy as np

from ..backend import Backend, get_backend
from ..engine.hooks import Handle
from ..engine.modes import mode
from ..engine.tape import Leaf
from ..engine.tensor import Parameter, Tensor, tensor as new_tensor
from ..validation import as_array, as_dictionary, check_dtype, check_flag, check_function, check_text
from .module_hooks import ModuleHooks, call_with_hooks
from .module_state import IncompatibleKeys, check_buffer, freeze, load_state, move, named_state

if TYPE_CHECKING:
    from _typeshed import SupportsKeysAndGetItem

M = TypeVar("M", bound="Module")
P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class HasForward(Protocol[P, R]):
    """What a type checker needs to check a module's calls: the signature of `forward`."""

    @property
    def forward(self) -> Callable[P, R]: ...


class Module:
    """The base class of everything with parameters. A subclass assigns Parameters and Modules, and defines `forward`.

    Parameters and Modules that are attributes belong to the module, in the order of first assignment; several modules
    go into a `ModuleList` or a `ModuleDict`, several parameters into a `ParameterList` or a `ParameterDict`. A
    parameter that several modules share is one parameter, under its first name. A tensor that belongs to the module and
    is not trained is a buffer: `register_buffer`.

    >>> import minigrad as mg
    >>> class Scale(mg.nn.Module):
    ...     def __init__(self):
    ...         self.factor = mg.Parameter([2.0])
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> [name for name, _ in Scale().named_parameters()]
    ['factor']
    """

    training: bool = True
    """Whether the module is in training mode, which matters to `Dropout`."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's output."""
        raise NotImplementedError(f"{type(self).__name__}: forward: this module does not define one")

    _hooks: ModuleHooks | None = None
    _buffer_names: Mapping[str, bool] = MappingProxyType({})
    """Whether each buffer, by its name, is persistent. Replaced, never changed: copies of a module share it."""

    if TYPE_CHECKING:

        @property
        def __call__(self: HasForward[P, R]) -> Callable[P, R]:
            """Call `forward` and return its result; hooks and observers see the arguments and the result."""

    else:

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            observer = mode().observer
            if observer is None and self._hooks is None:
                return self.forward(*args, **kwargs)
            with nullcontext() if observer is None else observer.inside(self):
                if self._hooks is None:
                    return self.forward(*args, **kwargs)
                return call_with_hooks(self, self._hooks, args, kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute. One that is a Parameter, a Module or a buffer is only replaced by another, or by None.

        Raises:
            TypeError: anything else would take it out of `parameters()` and `state_dict()`; or the value is a list,
                tuple or dict of parameters or modules, which would never get there; or a buffer would be on the tape.
        """
        owned = self.__dict__.get(name)
        if isinstance(owned, (Parameter, Module)) and not (value is None or isinstance(value, (Parameter, Module))):
            raise TypeError(f"{type(self).__name__}: {name}: {_not_replaced(name, owned, value)}")
        if name in self._buffer_names:
            check_buffer(f"{type(self).__name__}: {name}", value)
        if type(value) in (list, tuple, dict) and not name.startswith("_"):
            elements = value.values() if type(value) is dict else value
            if any(isinstance(v, (Module, Parameter)) for v in elements):
                raise TypeError(
                    f"{type(self).__name__}: {name}: got a {type(value).__name__} of modules or parameters, which "
                    "would not be trained; want a ModuleList, ModuleDict, ParameterList or ParameterDict, or an "
                    "attribute for each"
                )
        super().__setattr__(name, value)

    # Hooks

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False, with_kwargs: bool = False
    ) -> Handle:
        """Call `hook(module, args)` before each forward pass; unless it returns None, it replaces the arguments.

        With `with_kwargs` the call is `hook(module, args, kwargs)`, which returns both or None. `prepend` puts the hook
        before those registered earlier. Returns a handle whose `remove()` removes the hook.

        >>> import numpy as np, minigrad as mg
        >>> layer = mg.nn.Linear(2, 1)
        >>> with layer.register_forward_pre_hook(lambda module, args: print(args[0].shape)):
        ...     y = layer(np.ones((3, 2), np.float32))
        (3, 2)
        """
        return self._add_hook("before", hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Callable[..., Any], prepend: bool = False, with_kwargs: bool = False
    ) -> Handle:
        """Call `hook(module, args, output)` after each forward pass; unless it returns None, it replaces the output.

        With `with_kwargs` the call is `hook(module, args, kwargs, output)`. `prepend` puts the hook before those
        registered earlier. Returns a handle whose `remove()` removes the hook.

        >>> import numpy as np, minigrad as mg
        >>> layer = mg.nn.Linear(2, 1)
        >>> with layer.register_forward_hook(lambda module, args, output: output * 0 + 5):
        ...     layer(np.ones((1, 2), np.float32)).tolist()
        [[5.0]]
        """
        return self._add_hook("after", hook, prepend, with_kwargs)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Handle:
        """Call `hook(module, grad_input, grad_output)` after a backward pass through the module.

        `grad_input` holds the gradient of each positional argument (None where it is not on the tape), `grad_output`
        that of each tensor in the output: of tuples and lists in order, of dicts by sorted keys, zeros for one that was
        not used. Unless the hook returns None, it replaces `grad_input`. As in torch it is called if the backward pass
        reaches an argument, or, where no argument is on the tape, an output. `prepend` puts the hook before others.

        >>> import numpy as np, minigrad as mg
        >>> layer = mg.nn.Linear(2, 1)
        >>> x = mg.tensor(np.ones((3, 2), np.float32), requires_grad=True)
        >>> with layer.register_full_backward_hook(lambda m, into, out: print(into[0].shape, out[0].shape)):
        ...     layer(x).sum().backward()
        (3, 2) (3, 1)
        """
        return self._add_hook("backward", hook, prepend)

    def _add_hook(self, when: str, hook: Any, prepend: bool, with_kwargs: bool = False) -> Handle:
        name = type(self).__name__
        check_function(name, hook=hook)
        check_flag(name, prepend=prepend)
        check_flag(name, with_kwargs=with_kwargs)
        if when != "backward":
            hook = (hook, with_kwargs)
        if self._hooks is None:
            self._hooks = ModuleHooks()
        hooks = getattr(self._hooks, when)
        return Handle(hooks, hooks.add(hook, prepend))

    # Parameters and submodules

    def _own_parameters(self) -> dict[str, Parameter]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Parameter)}

    def _own_buffers(self, persistent: bool = False) -> dict[str, Tensor]:
        """The module's own buffers by name, those that are not None; or the persistent ones only."""
        names = [name for name, kept in self._buffer_names.items() if kept or not persistent]
        return {name: vars(self)[name] for name in names if isinstance(vars(self).get(name), Tensor)}

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Make a tensor that is not trained part of the module, such as a running mean; it becomes an attribute.

        `to` moves and converts it, `state_dict` holds it, and pickling and copying keep it. It is no parameter: no
        gradient, no optimizer. In a tree a module consists of its parameters; a copy with other parameters, such as the
        one that `minigrad.grad` passes to the function, shares its buffers.

        >>> module = Module()
        >>> module.register_buffer("steps", np.float32([3.0]))
        >>> module.state_dict()
        {'steps': array([3.], dtype=float32)}

        Args:
            name: of the attribute.
            tensor: a constant tensor, taken as it is; an array, of which a copy is made; or None for no buffer yet.
            persistent: whether `state_dict` holds it.

        Raises:
            TypeError: the value is something else, is on the tape, or is a Parameter; or the name is no text.
            ValueError: the name is empty, has a dot, or is that of another attribute.
        """
        caller = f"{type(self).__name__}.register_buffer"
        check_text(caller, name=name)
        check_flag(caller, persistent=persistent)
        if not name or "." in name or (hasattr(self, name) and name not in self._buffer_names):
            raise ValueError(f"{caller}: name: got {name!r}, want a name without a dot that is no other attribute's")
        if tensor is not None and not isinstance(tensor, Tensor):
            tensor = new_tensor(as_array(tensor, caller, "tensor"))
        check_buffer(f"{caller}: tensor", tensor)
        self._buffer_names = {**self._buffer_names, name: bool(persistent)}
        setattr(self, name, tensor)

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Yield (dotted name, buffer), after `prefix` if given, of this module and all below; a shared one once."""
        seen: set[int] = set()
        for path, module in self.named_modules(prefix):
            for name, buffer in module._own_buffers().items():
                if id(buffer) not in seen:
                    seen.add(id(buffer))
                    yield (f"{path}.{name}" if path else name), buffer

    def buffers(self) -> Iterator[Tensor]:
        """Yield the buffers of this module and all below it, each once."""
        return (buffer for _, buffer in self.named_buffers())

    def apply(self: M, function: Callable[[Module], Any]) -> M:
        """Call `function` with every module below this one, children first, then with this one; return the module.

        >>> import minigrad as mg
        >>> def narrow(module):
        ...     if isinstance(module, mg.nn.Linear):
        ...         module.weight.data *= 0.1
        >>> model = mg.nn.Sequential(mg.nn.Linear(2, 3), mg.nn.Tanh()).apply(narrow)
        """
        check_function(f"{type(self).__name__}.apply", function=function)
        for module in _children_first(self, set()):
            function(module)
        return self

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for each module that is an attribute of this one; a shared one once."""
        seen: set[int] = set()
        for name, value in list(vars(self).items()):
            if isinstance(value, Module) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def children(self) -> Iterator[Module]:
        """Yield the modules that are attributes of this one."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield (dotted name, module) for this module, named `prefix`, and all below it, each once."""
        check_text("named_modules", prefix=prefix)
        seen: set[int] = set()
        pending = [(prefix, self)]
        while pending:
            path, module = pending.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield path, module
                children = [(f"{path}.{name}" if path else name, child) for name, child in module.named_children()]
                pending += reversed(children)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it."""
        return (module for _, module in self.named_modules())

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Yield (dotted name, parameter), after `prefix` if given, of this module and all below; a shared one once."""
        seen: set[int] = set()
        for path, module in self.named_modules(prefix):
            for name, parameter in module._own_parameters().items():
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    yield (f"{path}.{name}" if path else name), parameter

    def parameters(self) -> Iterator[Parameter]:
        """Yield the parameters of this module and all below it, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def num_parameters(self) -> int:
        """Return the number of elements of all parameters."""
        return sum(parameter.size for parameter in self.parameters())

    # Training

    def train(self: M, mode: bool = True) -> M:
        """Set `training` of this module and all below it to `mode`; return the module."""
        check_flag(f"{type(self).__name__}.train", mode=mode)
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self: M) -> M:
        """Switch to evaluation mode: `train(False)`."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to None."""
        for module in self.modules():
            for leaf in [p.node for p in module._own_parameters().values()] + list(module._frozen().values()):
                if type(leaf) is Leaf:
                    leaf.grad = None

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Freeze the parameters of this module and all below it (`requires_grad=False`), or unfreeze them.

        A frozen parameter is a constant: it is not recorded on the tape, has no `.grad`, and an optimizer skips it. Its
        leaf is kept aside with the gradient so far, and is put back when the parameter is unfrozen; a graph recorded
        before still ends in that leaf. Returns the module.
        """
        check_flag(f"{type(self).__name__}.requires_grad_", requires_grad=requires_grad)
        for module in self.modules():
            for name in module._own_parameters():
                freeze(module, name, not requires_grad)
        return self

    def _frozen(self) -> dict[str, Leaf]:
        """The leaves of parameters frozen by `requires_grad_(False)`."""
        leaves: dict[str, Leaf] = vars(self).setdefault("_frozen_leaves", {})
        return leaves

    def to(self: M, backend: str | Backend | None = None, dtype: Any = None) -> M:
        """Move and convert all parameters, their gradients and all buffers in place: they stay the same objects.

        A buffer that is not floating point keeps its dtype. A graph recorded before raises an error in its backward
        pass. Returns the module.

        Raises:
            BackendError: the backend is unknown or has no device. TypeError: dtype is not floating point. After an
                error nothing has changed.
        """
        target = None if backend is None else get_backend(backend)
        move(self, target, None if dtype is None else check_dtype(f"{type(self).__name__}.to", dtype))
        return self

    # Save and load

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return host copies of all parameters and persistent buffers by name."""
        return {name: tensor.numpy() for name, tensor in named_state(self)}

    def load_state_dict(self, state_dict: SupportsKeysAndGetItem[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Write the arrays or tensors of `state_dict` into the parameters and buffers, in each one's dtype and backend.

        They stay the same objects, so that an optimizer keeps working. After an error nothing has changed.

        Args:
            state_dict: arrays by name, also what `minigrad.load` returns.
            strict: whether the names must be exactly the module's.

        Raises:
            ValueError: listing every name that is missing or unexpected (if strict) and every wrong shape or type.
        """
        caller = f"{type(self).__name__}.load_state_dict"
        check_flag(caller, strict=strict)
        return load_state(caller, self, as_dictionary(caller, "state_dict", state_dict), strict)

    def __copy__(self: M) -> M:
        """Return a module with the same parameters and submodules, whose attributes and hooks are its own."""
        module = type(self).__new__(type(self))
        own = ("_hooks", "_frozen_leaves")
        vars(module).update({name: copy.copy(value) if name in own else value for name, value in vars(self).items()})
        return module

    def extra_repr(self) -> str:
        """Return what `repr` shows in the brackets besides submodules, usually the constructor's arguments."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        extra = self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({extra})"
        return "\n  ".join([f"{type(self).__name__}({extra}", *lines]) + "\n)"


def _children_first(module: Module, seen: set[int]) -> Iterator[Module]:
    if id(module) not in seen:
        seen.add(id(module))
        for child in module.children():
            yield from _children_first(child, seen)
        yield module


def _not_replaced(name: str, owned: Parameter | Module, value: Any) -> str:
    got = f"got {type(value).__name__}, want a"
    if isinstance(owned, Module):
        return f"{got} Module, or None for none"
    return (
        f"{got} Parameter, or None for none; to change its values write module.{name}.data = array, or module.{name} "
        "-= step inside `with minigrad.no_grad():`"
    )
