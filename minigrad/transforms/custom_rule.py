"""Functions with a derivative written by the user."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from .. import ops
from ..backend import backend_of, is_array
from ..engine import tape
from ..engine.backward_pass import reachable
from ..engine.modes import mode
from ..engine.primitive import JointRule, record
from ..engine.tape import GraphError
from ..engine.tensor import Tensor, tensor, values_taken_off
from ..foreign_arrays import type_name
from ..nn.module import Module
from ..pytree import TreeDef, match_structure, tree_flatten, tree_unflatten
from ..validation import check_flag, check_function
from .tracing import constant, function_name, record_outputs

Rule = Callable[..., Any]


def custom_rule(function: Callable[..., Any] | None = None, rule: Rule | None = None, keeps: bool = False) -> Any:
    """Return a function that is differentiated by a rule of your own instead of by the operations inside it.

    >>> import minigrad as mg
    >>> @mg.custom_rule
    ... def rounded(x):
    ...     return mg.floor(x + 0.5)
    >>> @rounded.rule
    ... def _(g, y, x):
    ...     return g  # straight through
    >>> mg.grad(lambda x: rounded(x * 3.0) ** 2)(0.9).item()
    18.0

    `rule(g, y, *args)` receives the gradient of the result, the result and the arguments (with defaults, and
    keyword-only ones by name), and returns the gradients of the positional arguments: a tuple with one for each, of
    its structure and shapes, or None for no gradient. For a single argument the tuple may be left out. `function`
    receives its arguments as constants, so that it may pass them to any library. In a recorded backward pass the
    rule's operations are recorded, with g, y and the arguments on the tape: a rule written in minigrad's functions can
    be differentiated to every order. One that computes with `.numpy()` or in another library is differentiated once:
    another derivative through it (`jvp`, `hvp`, `hessian`, a jacobian by columns) raises an error.

    Args:
        function: of trees; returns a tensor or a tree of them. Gradients flow to its positional arguments.
        rule: the rule; it may also be set later, by the decorator `.rule`.
        keeps: `function` returns (result, residuals), and the rule receives the residuals in the result's place. In a
            recorded backward pass the function is run again, recorded, so that the residuals can be differentiated
            too; then it must be written in minigrad's functions.

    Raises (when it is called):
        TypeError: there is no rule, the function returns something other than tensors, or it refers to a tensor on the
            tape that is not among its arguments and for which no rule returns a gradient.
    Raises (from the backward pass):
        ValueError: the rule's gradients differ from the arguments in number, structure or shape.
        GraphError: the rule left the tape, and its gradients are to be differentiated again.
    """
    check_flag("custom_rule", keeps=keeps)
    if rule is not None:
        check_function("custom_rule", rule=rule)
    if function is None:
        return functools.partial(custom_rule, rule=rule, keeps=keeps)
    check_function("custom_rule", function=function)
    return CustomRule(function, rule, keeps)


class CustomRule:
    """A function with its rule, as `custom_rule` returns it."""

    def __init__(self, function: Callable[..., Any], rule: Rule | None, keeps: bool) -> None:
        functools.update_wrapper(self, function)
        self._function, self._rule, self._keeps = function, rule, keeps
        self._name = function_name(function)
        try:
            self._signature: inspect.Signature | None = inspect.signature(function)
        except (TypeError, ValueError):  # some built-in functions have none
            self._signature = None

    def rule(self, rule: Rule) -> CustomRule:
        """Set the rule; a decorator."""
        self._rule = rule
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._rule is None:
            raise TypeError(f"{self._name}: a custom_rule without a rule; give one with @{self._name}.rule")
        if self._signature is not None:
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        for name, value in kwargs.items():
            if any(isinstance(leaf, Tensor) and leaf.node is not None for leaf in tree_flatten(value)[0]):
                raise TypeError(f"{self._name}: {name}: got a tensor on the tape in a keyword-only argument")
        leaves, tree = tree_flatten(args, is_leaf=lambda value: isinstance(value, Module))
        result, residuals = self._run(tree, _constants(leaves), kwargs)
        outputs, structure = tree_flatten(result)
        outputs = [Tensor(y) if is_array(y) else y for y in outputs]
        for y in [*outputs, *tree_flatten(residuals)[0]]:
            if isinstance(y, Tensor) and y.node is not None:
                raise TypeError(
                    f"{self._name}: refers to a tensor on the tape that is not among its arguments, for which its rule "
                    "returns no gradient; make it an argument, or .detach() it"
                )
        for y in outputs:
            if not isinstance(y, Tensor):
                raise TypeError(f"{self._name}: returned {type_name(y)}, want a Tensor or a tree of them")
        if mode().recording and any(isinstance(x, Tensor) and x.node is not None for x in leaves):
            outputs = self._entry(leaves, tree, kwargs, outputs, structure, residuals)
        return tree_unflatten(structure, outputs)

    def _run(self, tree: TreeDef, leaves: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """(result, residuals)"""
        result = self._function(*tree_unflatten(tree, leaves), **kwargs)
        if not self._keeps:
            return result, None
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"{self._name}: keeps: returned {type(result).__name__}, want (result, what the rule needs)"
            )
        return result

    def _entry(
        self,
        leaves: list[Any],
        tree: TreeDef,
        kwargs: dict[str, Any],
        outputs: list[Tensor],
        structure: TreeDef,
        residuals: Any,
    ) -> list[Tensor]:
        """The outputs; those that are not integers as outputs of one node."""
        positions = [k for k, x in enumerate(leaves) if isinstance(x, Tensor) or is_array(x)]
        inputs = [leaves[k] for k in positions]
        live = [k for k, y in enumerate(outputs) if y.dtype.kind in "fc"]
        if not live:
            return outputs
        input_ids = {id(x._array if isinstance(x, Tensor) else x) for x in inputs}
        # An output that is an input's own array becomes a view, so that the two are told apart.
        values = [outputs[k]._array[...] if id(outputs[k]._array) in input_ids else outputs[k]._array for k in live]
        integers = {k: y for k, y in enumerate(outputs) if k not in live}
        single, count = len(values) == 1, len(outputs)

        def rule(xp: Any, g: Any, needs: Sequence[bool], *saved: Any) -> list[Any]:
            recorded = xp is ops
            args = leaves if recorded else _constants(leaves)
            grads = _bind_keywords((g,) if single else g, live)
            result: Any
            with values_taken_off() as taken_off:
                if self._keeps:
                    result = self._run(tree, args, kwargs)[1] if recorded else residuals
                else:
                    by_position = _bind_keywords(saved[-len(live) :], live) | integers
                    result = tree_unflatten(structure, [by_position[k] for k in range(count)])
                assert self._rule is not None
                answer = self._rule(
                    tree_unflatten(structure, [grads.get(k) for k in range(count)]),
                    result,
                    *tree_unflatten(tree, args),
                    **kwargs,
                )
            answers = self._answers(answer, tree)
            contributions = [
                self._checked(answers[k], leaves[k]) if needed else None for k, needed in zip(positions, needs)
            ]
            if not recorded:
                return [None if c is None else c._array for c in contributions]
            of_g = [x.node for x in grads.values() if x.node is not None]
            of_args = [x.node for x in leaves if isinstance(x, Tensor) and x.node is not None]
            for k, c in enumerate(contributions):
                if c is not None and (taken_off or (of_g and not _depends_on(c, of_g))):
                    contributions[k] = self._once_differentiable(c, [*of_g, *of_args], taken_off)
            return contributions

        tensors = record_outputs(self._name, inputs, values, rule, mode().time_step, save_outputs=True)
        by_position = dict(zip(live, tensors))
        return [by_position.get(k, y) for k, y in enumerate(outputs)]

    def _once_differentiable(self, gradient: Tensor, sources: list[tape.Node], taken_off: list[str]) -> Tensor:
        """Return a gradient that the rule computed off the tape, or partly so. Differentiating it raises an error.

        `sources` are the nodes on which it may depend.
        """
        how = f" by .{taken_off[0]}{'' if taken_off[0] == 'data' else '()'}" if taken_off else ""

        def refuse(xp: Any, g: Any, needs: Sequence[bool]) -> Any:
            raise GraphError(
                f"{self._name}: its rule left the tape{how}, so that its gradients cannot be differentiated again; "
                "write it in minigrad's functions, with .detach() for what is meant to be constant, and return None "
                "where there is no gradient"
            )

        parents = [*sources] if gradient.node is None else [gradient.node, *sources]
        xp, value = backend_of(gradient._array).xp, gradient._array[...]
        name = f"rule of {self._name}"
        result: Tensor = record(name, tape.Node(), xp, value, (), JointRule(refuse), (), parents, mode().time_step)
        return result

    def _answers(self, answer: Any, tree: TreeDef) -> list[Any]:
        """The rule's gradients, one for each leaf of the arguments."""
        n = len(tree.children)
        if n == 1 and not (isinstance(answer, tuple) and len(answer) == 1):
            answer = (answer,)
        if not isinstance(answer, (tuple, list)) or len(answer) != n:
            got = len(answer) if isinstance(answer, (tuple, list)) else type(answer).__name__
            raise ValueError(f"{self._name}: its rule returned {got}, want a tuple of {n} gradients")
        answers: list[Any] = []
        for k, (part, child) in enumerate(zip(answer, tree.children)):
            name = f"its rule's gradient of argument {k}"
            answers += [None] * child.num_leaves if part is None else match_structure(self._name, name, child, part)
        return answers

    def _checked(self, gradient: Any, x: Tensor) -> Tensor | None:
        if gradient is None:
            return None
        g = gradient if isinstance(gradient, Tensor) else tensor(gradient, dtype=x.dtype, backend=x.backend)
        if g.shape != x.shape:
            raise ValueError(f"{self._name}: its rule returned a gradient of shape {g.shape}, want {x.shape}")
        return g


def _depends_on(x: Tensor, nodes: Sequence[tape.Node]) -> bool:
    """Return whether x was computed from one of `nodes`."""
    if x.node is None:
        return False
    serials = {node.serial for node in nodes}
    return not serials.isdisjoint(reachable([x.node], min(serials)))


def _constants(leaves: Sequence[Any]) -> list[Any]:
    return [constant(x) if isinstance(x, Tensor) else x for x in leaves]


def _bind_keywords(values: Sequence[Any], positions: Sequence[int]) -> dict[int, Tensor]:
    return {k: v if isinstance(v, Tensor) else Tensor(v) for k, v in zip(positions, values)}
