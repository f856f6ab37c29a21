"""Functions whose derivative is written by the user."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from .. import ops
from ..backend import backend_of, fingerprint, is_array
from ..engine import tape
from ..engine.mutation import fingerprint_saved
from ..engine.primitive import JointRule, record
from ..engine.tape import Node
from ..engine.tensor import Tensor, tensor
from ..nn.module import Module
from ..pytree import TreeDef, match_structure, tree_flatten, tree_unflatten
from .tracing import constant, function_name

Rule = Callable[..., Any]


def custom_rule(function: Callable[..., Any] | None = None, rule: Rule | None = None, keeps: bool = False) -> Any:
    """A function that is differentiated by a rule of your own instead of by what it does inside.

    >>> import minigrad as mg
    >>> @mg.custom_rule
    ... def rounded(x):
    ...     return mg.floor(x + 0.5)
    >>> @rounded.rule
    ... def _(g, y, x):
    ...     return g  # straight through
    >>> mg.grad(lambda x: rounded(x * 3.0) ** 2)(0.9).item()
    18.0

    `rule(g, y, *args)` is handed the gradient of the result, the result and the arguments (defaults included, and
    keyword-only ones by name), and returns the gradients of the positional arguments: a tuple with one for each, of
    its structure and shapes, None where there is none to bring; of a single argument that one will do. `function` sees
    its arguments as constants, so that it may hand them to any library. The rule's own operations are recorded where
    the walk is, with g, y and the arguments on the tape: written in minigrad's functions it can be differentiated to
    every order.

    Args:
        function: of trees; returns a tensor or a tree of them. Gradients flow to its positional arguments.
        rule: the rule; or it is given afterwards, by the decorator `.rule`.
        keeps: `function` returns (result, whatever the rule shall be handed in the result's place). In a recorded walk
            it is run again, recorded, so that what it keeps can be differentiated too; then it must be written in
            minigrad's functions.

    Raises (when it is called):
        TypeError: there is no rule, the function returns something else than tensors, or it refers to a tensor on the
            tape that is not among its arguments, to which no rule brings a gradient.
    Raises (when it is walked):
        ValueError: the rule returns another number, structure or shape of gradients than there are arguments.
    """
    if function is None:
        return functools.partial(custom_rule, rule=rule, keeps=keeps)
    if not callable(function):
        raise TypeError(f"custom_rule: function: got {type(function).__name__}, want a function")
    return CustomRule(function, rule, keeps)


class CustomRule:
    """What `custom_rule` makes of a function."""

    def __init__(self, function: Callable[..., Any], rule: Rule | None, keeps: bool) -> None:
        functools.update_wrapper(self, function)
        self._function, self._rule, self._keeps = function, rule, keeps
        self._name = function_name(function)
        try:
            self._signature: inspect.Signature | None = inspect.signature(function)
        except (TypeError, ValueError):  # some built-in functions have none
            self._signature = None

    def rule(self, rule: Rule) -> CustomRule:
        """Give the rule; a decorator."""
        self._rule = rule
        return self

    def __call__(self, *args: Any, **options: Any) -> Any:
        if self._rule is None:
            raise TypeError(f"{self._name}: a custom_rule without a rule; give one with @{self._name}.rule")
        if self._signature is not None:
            bound = self._signature.bind(*args, **options)
            bound.apply_defaults()
            args, options = bound.args, bound.kwargs
        for name, option in options.items():
            if any(isinstance(leaf, Tensor) and leaf.node is not None for leaf in tree_flatten(option)[0]):
                raise TypeError(f"{self._name}: {name}: got a tensor on the tape in a keyword-only argument")
        leaves, tree = tree_flatten(args, is_leaf=lambda value: isinstance(value, Module))
        made, kept = self._run(tree, [constant(x) if isinstance(x, Tensor) else x for x in leaves], options)
        outputs, structure = tree_flatten(made)
        outputs = [Tensor(y) if is_array(y) else y for y in outputs]
        for y in [*outputs, *tree_flatten(kept)[0]]:
            if isinstance(y, Tensor) and y.node is not None:
                raise TypeError(
                    f"{self._name}: refers to a tensor on the tape that is not among its arguments, to which its rule "
                    "brings no gradient; make it an argument, or .detach() it"
                )
        for y in outputs:
            if not isinstance(y, Tensor):
                raise TypeError(f"{self._name}: returned {type(y).__name__}, want a Tensor or a tree of them")
        if tape.mode().recording and any(isinstance(x, Tensor) and x.node is not None for x in leaves):
            outputs = self._entry(leaves, tree, options, outputs, structure, kept)
        return tree_unflatten(structure, outputs)

    def _run(self, tree: TreeDef, leaves: Sequence[Any], options: dict[str, Any]) -> tuple[Any, Any]:
        made = self._function(*tree_unflatten(tree, leaves), **options)
        if not self._keeps:
            return made, None
        if not isinstance(made, tuple) or len(made) != 2:
            raise TypeError(f"{self._name}: keeps: returned {type(made).__name__}, want (result, what the rule needs)")
        return made

    def _entry(
        self,
        leaves: list[Any],
        tree: TreeDef,
        options: dict[str, Any],
        outputs: list[Tensor],
        structure: TreeDef,
        kept: Any,
    ) -> list[Tensor]:
        """The outputs, those of them that are no whole numbers as an entry's."""
        places = [k for k, x in enumerate(leaves) if isinstance(x, Tensor) or is_array(x)]
        arrays = [leaves[k]._data if isinstance(leaves[k], Tensor) else leaves[k] for k in places]
        live = [k for k, y in enumerate(outputs) if y.dtype.kind in "fc"]
        if not live:
            return outputs
        taken = {id(a) for a in arrays}
        values = [outputs[k]._data[...] if id(outputs[k]._data) in taken else outputs[k]._data for k in live]

        single, size = len(values) == 1, len(outputs)
        whole_numbers = {k: y for k, y in enumerate(outputs) if k not in live}

        def rule(xp: Any, g: Any, needs: Sequence[bool], *saved: Any) -> list[Any]:
            recorded = xp is ops
            given = list(leaves) if recorded else [constant(x) if isinstance(x, Tensor) else x for x in leaves]
            seeds, result = _in_places((g,) if single else g, live), _in_places(saved[-len(live) :], live)
            handed: Any = tree_unflatten(
                structure, [result[k] if k in result else whole_numbers[k] for k in range(size)]
            )
            if self._keeps:
                handed = self._run(tree, given, options)[1] if recorded else kept
            assert self._rule is not None
            answer = self._rule(
                tree_unflatten(structure, [seeds.get(k) for k in range(size)]),
                handed,
                *tree_unflatten(tree, given),
                **options,
            )
            found = self._answers(answer, tree)
            contributions = []
            for k, needed in zip(places, needs):
                contribution = self._checked(found[k], leaves[k]) if needed else None
                contributions.append(contribution if contribution is None or recorded else contribution._data)
            return contributions

        parents = [leaves[k].node if isinstance(leaves[k], Tensor) else None for k in places]
        xp = backend_of(values[0]).xp
        value = values[0] if single else tuple(values)
        saved = (*arrays, *values)
        made = record(self._name, Node(), xp, value, saved, JointRule(rule), arrays, parents, tape.mode().time_step)
        made = (made,) if single else made
        users = [not isinstance(leaves[k], Tensor) for k in places]
        fingerprint_saved(made[0].node, self._name, arrays, users, fingerprint)
        recorded = dict(zip(live, made))
        return [recorded.get(k, y) for k, y in enumerate(outputs)]

    def _answers(self, answer: Any, tree: TreeDef) -> list[Any]:
        """The rule's gradients, one for each leaf of the arguments."""
        n = len(tree.children)
        if n == 1 and not (isinstance(answer, tuple) and len(answer) == 1):
            answer = (answer,)
        if not isinstance(answer, (tuple, list)) or len(answer) != n:
            got = len(answer) if isinstance(answer, (tuple, list)) else type(answer).__name__
            raise ValueError(f"{self._name}: its rule returned {got}, want a tuple of {n} gradients")
        found: list[Any] = []
        for k, (part, child) in enumerate(zip(answer, tree.children)):
            whole = part is None
            found += (
                [None] * child.num_leaves
                if whole
                else match_structure(self._name, f"its rule's gradient of argument {k}", child, part)
            )
        return found

    def _checked(self, gradient: Any, x: Tensor) -> Tensor | None:
        if gradient is None:
            return None
        found = gradient if isinstance(gradient, Tensor) else tensor(gradient, dtype=x.dtype, backend=x.backend)
        if found.shape != x.shape:
            raise ValueError(f"{self._name}: its rule returned a gradient of shape {found.shape}, want {x.shape}")
        return found


def _in_places(values: Sequence[Any], places: Sequence[int]) -> dict[int, Tensor]:
    return {k: v if isinstance(v, Tensor) else Tensor(v) for k, v in zip(places, values)}
