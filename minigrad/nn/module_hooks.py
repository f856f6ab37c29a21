"""Functions of the user's around a module's forward pass and its backward one. They are called as torch's are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..backend import backend_of
from ..engine.hooks import Hooks, check_replacement, name_of, read_only_tensor
from ..engine.primitive import JointRule, record
from ..engine.tape import ManyNode, mode
from ..engine.tensor import Tensor


class ModuleHooks:
    """The hooks of one module; of the two around `forward` with whether they take the keyword arguments too."""

    def __init__(self) -> None:
        self.before, self.after, self.backward = Hooks(), Hooks(), Hooks()


def call_with_hooks(module: Any, hooks: ModuleHooks, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """`module.forward` between its hooks."""
    for hook, with_kwargs in tuple(hooks.before.values()):
        answer = hook(module, args, options) if with_kwargs else hook(module, args)
        if answer is None:
            continue
        if not with_kwargs:
            args = answer if isinstance(answer, tuple) else (answer,)
        elif isinstance(answer, tuple) and len(answer) == 2:
            args, options = answer
        else:
            raise TypeError(
                f"{type(module).__name__}: the forward pre-hook {name_of(hook)} returned {type(answer).__name__}, want "
                "None or (args, kwargs)"
            )
    watched = None
    if hooks.backward and mode().recording:
        watched = _WatchedCall(module, tuple(hooks.backward.values()))
        args = watched.inputs(args)
    made = module.forward(*args, **options)
    for hook, with_kwargs in tuple(hooks.after.values()):
        answer = hook(module, args, options, made) if with_kwargs else hook(module, args, made)
        made = made if answer is None else answer
    return made if watched is None else watched.outputs(made)


class _WatchedCall:
    """One call of a module whose gradients go through its backward hooks: an entry before it and one behind."""

    def __init__(self, module: Any, hooks: Sequence[Callable[..., Any]]) -> None:
        self.module, self.hooks = module, hooks
        self.arguments, self.live = 0, False
        self.grad_output: tuple[Tensor | None, ...] = ()

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.arguments = len(args)
        places = [k for k, arg in enumerate(args) if isinstance(arg, Tensor) and arg.node is not None]
        self.live = bool(places)

        def rule(xp: Any, gs: Any, needs: Any) -> tuple[Any, ...]:
            answers = self._through_hooks(dict(zip(places, gs)))
            return tuple(answers[k] for k in places)

        passed = _passed_on("module_inputs", [args[k] for k in places], rule)
        taken = dict(zip(places, passed))
        return tuple(taken.get(k, arg) for k, arg in enumerate(args))

    def outputs(self, made: Any) -> Any:
        found = list(_leaves(made))
        places = [k for k, x in enumerate(found) if isinstance(x, Tensor) and x.node is not None]

        def rule(xp: Any, gs: Any, needs: Any) -> tuple[Any, ...]:
            given = dict(zip(places, map(read_only_tensor, gs)))
            self.grad_output = tuple(given.get(k) for k in range(len(found)))
            if not self.live:
                self._through_hooks({})
            return tuple(gs)

        taken = dict(zip(places, _passed_on("module_outputs", [found[k] for k in places], rule)))
        return _rebuilt(made, iter([taken.get(k, x) for k, x in enumerate(found)]))

    def _through_hooks(self, gs: dict[int, Any]) -> dict[int, Any]:
        for hook in self.hooks:
            given = tuple(None if gs.get(k) is None else read_only_tensor(gs[k]) for k in range(self.arguments))
            answer = hook(self.module, given, self.grad_output)
            if answer is None:
                continue
            caller = f"{type(self.module).__name__}: the backward hook {name_of(hook)}"
            answer = answer if isinstance(answer, tuple) else (answer,)
            if len(answer) != self.arguments:
                raise ValueError(f"{caller} returned {len(answer)} gradients, want {self.arguments}, one per argument")
            for k, g in gs.items():
                if g is not None:
                    gs[k] = None if answer[k] is None else check_replacement(f"{caller}: gradient {k}:", answer[k], g)
        self.grad_output = ()
        return gs


def _passed_on(op: str, tensors: list[Tensor], rule: Callable[..., Any]) -> tuple[Tensor, ...]:
    """The same tensors behind an entry with this rule."""
    if not tensors:
        return ()
    arrays = tuple(x._data for x in tensors)
    xp = backend_of(arrays[0]).xp
    nodes = [x.node for x in tensors]
    views = tuple(a.view() for a in arrays)  # so that a write into a leaf is noticed behind the entry too
    made: tuple[Tensor, ...] = record(op, ManyNode(), xp, views, (), JointRule(rule), arrays, nodes, mode().time_step)
    return made


def _leaves(tree: Any) -> Iterator[Any]:
    """What is in tuples, lists and dicts, one after the other."""
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    if isinstance(tree, (tuple, list)):
        for part in tree:
            yield from _leaves(part)
    else:
        yield tree


def _rebuilt(tree: Any, leaves: Iterator[Any]) -> Any:
    """The same tuples, lists and dicts with other things in them."""
    if isinstance(tree, dict):
        return type(tree)({key: _rebuilt(part, leaves) for key, part in tree.items()})
    if isinstance(tree, (tuple, list)):
        parts = [_rebuilt(part, leaves) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return next(leaves)
