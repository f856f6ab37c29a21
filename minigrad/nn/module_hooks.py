"""Forward and backward hooks of modules, called as torch's are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..backend import backend_of
from ..engine.hooks import Hooks, check_replacement, name_of, read_only_tensor
from ..engine.modes import mode
from ..engine.primitive import JointRule, record
from ..engine.tape import ManyNode
from ..engine.tensor import Tensor
from ..pytree import is_no_container, tree_flatten, tree_unflatten


class ModuleHooks:
    """The hooks of one module. Those before and after `forward` come with whether they take keyword arguments."""

    def __init__(self) -> None:
        self.before, self.after, self.backward = Hooks(), Hooks(), Hooks()

    def __bool__(self) -> bool:
        return bool(self.before or self.after or self.backward)

    def __copy__(self) -> ModuleHooks:
        twin = ModuleHooks()
        for name, hooks in vars(self).items():
            vars(twin)[name].update(hooks)
        return twin


def call_with_hooks(module: Any, hooks: ModuleHooks, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call `module.forward` and its hooks."""
    for hook, with_kwargs in tuple(hooks.before.values()):
        answer = hook(module, args, kwargs) if with_kwargs else hook(module, args)
        if answer is None:
            continue
        if not with_kwargs:
            args = answer if isinstance(answer, tuple) else (answer,)
        elif isinstance(answer, tuple) and len(answer) == 2:
            args, kwargs = answer
        else:
            raise TypeError(
                f"{type(module).__name__}: the forward pre-hook {name_of(hook)} returned {type(answer).__name__}, want "
                "None or (args, kwargs)"
            )
    call = None
    if hooks.backward and mode().recording:
        call = _HookedCall(module, tuple(hooks.backward.values()))
        args = call.inputs(args)
    result = module.forward(*args, **kwargs)
    for hook, with_kwargs in tuple(hooks.after.values()):
        answer = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
        result = result if answer is None else answer
    return result if call is None else call.outputs(result)


class _HookedCall:
    """One call of a module with backward hooks: a node before it and one after it pass gradients to them."""

    def __init__(self, module: Any, hooks: Sequence[Callable[..., Any]]) -> None:
        self.module, self.hooks = module, hooks
        self.num_args, self.live = 0, False
        self.grad_output: tuple[Tensor | None, ...] = ()

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.num_args = len(args)
        positions = _on_tape(args)
        self.live = bool(positions)

        def rule(xp: Any, gs: Any, needs: Any) -> tuple[Any, ...]:
            answers = self._call_hooks(dict(zip(positions, gs)))
            return tuple(answers[k] for k in positions)

        return tuple(_pass_through("module_inputs", args, positions, rule))

    def outputs(self, result: Any) -> Any:
        leaves, structure = tree_flatten(result, is_leaf=is_no_container)
        positions = _on_tape(leaves)
        count = len(leaves)

        def rule(xp: Any, gs: Any, needs: Any) -> tuple[Any, ...]:
            grads = dict(zip(positions, map(read_only_tensor, gs)))
            self.grad_output = tuple(grads.get(k) for k in range(count))
            if not self.live:
                self._call_hooks({})
            return tuple(gs)

        return tree_unflatten(structure, _pass_through("module_outputs", leaves, positions, rule))

    def _call_hooks(self, gs: dict[int, Any]) -> dict[int, Any]:
        for hook in self.hooks:
            grad_input = tuple(None if gs.get(k) is None else read_only_tensor(gs[k]) for k in range(self.num_args))
            answer = hook(self.module, grad_input, self.grad_output)
            if answer is None:
                continue
            caller = f"{type(self.module).__name__}: the backward hook {name_of(hook)}"
            answer = answer if isinstance(answer, tuple) else (answer,)
            if len(answer) != self.num_args:
                raise ValueError(f"{caller} returned {len(answer)} gradients, want {self.num_args}, one per argument")
            for k, g in gs.items():
                if g is not None:
                    gs[k] = None if answer[k] is None else check_replacement(f"{caller}: gradient {k}:", answer[k], g)
        self.grad_output = ()
        return gs


def _on_tape(values: Sequence[Any]) -> list[int]:
    return [k for k, x in enumerate(values) if isinstance(x, Tensor) and x.node is not None]


def _pass_through(op: str, values: Sequence[Any], positions: list[int], rule: Callable[..., Any]) -> list[Any]:
    """The same values, with the tensors at `positions` as outputs of a node with this rule."""
    values = list(values)
    if not positions:
        return values
    arrays = tuple(values[k]._array for k in positions)
    nodes = [values[k].node for k in positions]
    views = tuple(a.view() for a in arrays)
    xp = backend_of(arrays[0]).xp
    outputs = record(op, ManyNode(), xp, views, (), JointRule(rule), arrays, nodes, mode().time_step)
    for k, y in zip(positions, outputs):
        values[k] = y
    return values
