"""The base class of optimizers: parameter groups with options, the state of each parameter, and the step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import backend_of, to_numpy
from ..engine.tape import Leaf
from ..engine.tensor import Parameter, Tensor
from ..validation import as_array, check_flag, check_type, closest, is_number, shown
from .undo import Update, all_or_nothing

if TYPE_CHECKING:
    from _typeshed import SupportsKeysAndGetItem

Array = Any
Params = Iterable[Tensor] | Iterable[Mapping[str, Any]]

BLOCK = 1 << 17
"""Elements updated at a time on the host: an update passes over its arrays several times, and a block of each stays
in the cache from pass to pass."""


class Optimizer:
    """The base of all optimizers. A subclass defines `init_state` and `update`.

    `param_groups` is a list of dictionaries: "params", and an entry for each option, which may be changed between
    steps (`optimizer.param_groups[0]["lr"] *= 0.5`).

    Args:
        params: parameters, or dictionaries {"params": …, option: …} for groups with options of their own.
        options: the defaults of every group's options.

    Raises:
        ValueError: there is no parameter, one is given twice, or an option is unknown or out of range.
        TypeError: something other than a tensor made with requires_grad=True.
    """

    switched: frozenset[str] = frozenset()
    """The names in `init_state` that an option switches on and off: a saved state may lack them or still hold them."""
    numbers: Mapping[str, float] = {}
    """What the state of a parameter holds beside arrays and the number of the step: names and initial values."""
    flags: frozenset[str] = frozenset(("nesterov", "amsgrad", "centered", "decoupled_weight_decay"))
    """The options that are True or False."""

    def __init__(self, params: Params, **options: Any) -> None:
        self.defaults = options
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.param_groups: list[dict[str, Any]] = []
        members: list[Any] = [params] if isinstance(params, Mapping) else self._listed(params)
        if not members:
            raise ValueError(f"{self._name}: params: got none, want at least one parameter")
        for group in members if isinstance(members[0], Mapping) else [{"params": members}]:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _listed(self, params: Any) -> list[Any]:
        if isinstance(params, Tensor):
            return [params]
        if hasattr(params, "parameters") or not isinstance(params, Iterable):
            want = (
                "its parameters: pass model.parameters()" if hasattr(params, "parameters") else "a list of parameters"
            )
            raise TypeError(f"{self._name}: params: got {type(params).__name__}, want {want}")
        return list(params)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add a group of parameters, {"params": …, option: …}. Raises as the constructor does."""
        if not isinstance(group, Mapping) or "params" not in group:
            raise TypeError(f"{self._name}: params: got {type(group).__name__} for a group, want {{'params': …, …}}")
        members = group["params"]
        members = self._listed(members)
        known = {id(p) for p in self._parameters()}
        for k, p in enumerate(members):
            if not isinstance(p, Tensor) or not (type(p.node) is Leaf or isinstance(p, Parameter)):
                got = "a computed tensor or a constant" if isinstance(p, Tensor) else type(p).__name__
                raise TypeError(f"{self._name}: params[{k}]: got {got}, want a Parameter or a leaf that requires grad")
            if id(p) in known:
                raise ValueError(f"{self._name}: params[{k}]: the parameter of shape {p.shape} is given twice")
            known.add(id(p))
        unknown = group.keys() - {"params", "initial_lr", *self.defaults}
        if unknown:
            hint = closest(min(unknown, key=str), self.defaults)
            want = f"want some of {sorted(self.defaults)}{hint}"
            raise ValueError(f"{self._name}: got options {sorted(unknown, key=str)}, {want}")
        group = {**self.defaults, **group, "params": members}
        self._check(group)
        self.param_groups.append({**_options(group), "params": members})

    def _parameters(self) -> Iterator[Tensor]:
        return (p for group in self.param_groups for p in group["params"])

    def _check(self, o: Mapping[str, Any]) -> None:
        """Raise for options out of range. All numbers must be at least 0, and those called betas or alpha below 1."""
        for name, value in o.items():
            if name == "params":
                continue
            if name in self.flags:
                check_flag(self._name, **{name: value})
            if isinstance(value, bool):
                continue
            numbers = value if name == "betas" and isinstance(value, (tuple, list)) else (value,)
            below = 1.0 if name in ("betas", "alpha") else math.inf
            if not all(is_number(v) and 0 <= v < below for v in numbers):
                want = f"in [0, {below:g})" if below < math.inf else "of at least 0"
                raise ValueError(f"{self._name}: {name}: got {shown(value)}, want a number {want}")
            if name == "betas" and (numbers is not value or len(numbers) != 2):
                raise ValueError(f"{self._name}: betas: got {value!r}, want two numbers in [0, 1)")

    # The formula

    def init_state(self, o: Mapping[str, Any]) -> dict[str, float]:
        """Return the arrays that `update` keeps with the options `o`: the name and initial value of each."""
        return {}

    def next_numbers(self, numbers: dict[str, float], t: int, o: Any) -> dict[str, float]:
        """Return what `self.numbers` names in step number `t` with options `o`, from the last ones, `numbers`."""
        return numbers

    def update(self, xp: Any, w: Array, g: Array, s: Any, t: int, o: Any) -> None:
        """Take step number t: change `w` and the arrays in `s` in place, element by element; `g` is only read.

        `xp` is the arrays' namespace, `o` holds the group's options; `s` also has the numbers of `next_numbers`, and as
        `s.fresh` the names of the arrays in `s` that were made for this step.
        """
        raise NotImplementedError(f"{self._name}: update: this optimizer does not define its formula")

    def step(self) -> None:
        """Update every parameter that has a gradient.

        After an error or Ctrl-C weights, state and numbers of steps agree: nothing has changed; or, where the copies
        for that would take more than 1 MiB, the step was completed first.

        Raises:
            ValueError: a parameter's array is read-only.
        """
        updates: list[Update] = []
        entries: list[tuple[int, Tensor, dict[str, Any]]] = []
        for group in self.param_groups:
            o = SimpleNamespace(**{k: _python_number(v) for k, v in group.items() if k != "params"})
            start = self.init_state(group)
            for p in group["params"]:
                grad, w = p.grad, p._array
                if grad is None:
                    continue
                self._check_writable(p)
                t, arrays, numbers, fresh = self._next_state_of(p, start)
                numbers = self.next_numbers(numbers, t, o)
                xp = backend_of(w).xp
                for w_part, g, block in _blocks(w, grad._array, arrays):
                    part = SimpleNamespace(**block, **numbers, fresh=fresh)
                    updates.append(((w_part, *block.values()), partial(self._write, p, xp, w_part, g, part, t, o)))
                entries.append((len(updates), p, {"step": t, **numbers, **arrays}))
        before = self.state  # entries are replaced, never changed

        def publish(made: int) -> None:
            self.state = {**before, **{p: entry for end, p, entry in entries if end <= made}}

        all_or_nothing(updates, publish)

    def _check_writable(self, p: Tensor) -> None:
        if type(p._array) is np.ndarray and not p._array.flags.writeable:
            raise ValueError(
                f"{self._name}.step: the array of the parameter of shape {p.shape} is read-only; want one that can be "
                "written into: p.data = p.numpy()"
            )

    def _write(self, p: Tensor, xp: Any, w: Array, g: Array, s: Any, t: int, o: Any) -> None:
        """Update a part `w` of a parameter's array, and note the write."""
        self.update(xp, w, g, s, t, o)
        p.written()

    def _next_state_of(
        self, p: Tensor, start: Mapping[str, float]
    ) -> tuple[int, dict[str, Array], dict[str, float], Sequence[str]]:
        """The number of the parameter's next step; its arrays, on its backend and in its dtype; its numbers so far; and
        the names of new arrays.

        The arrays are the ones that it has, to be changed in place; where it lacks some, `start` has their values.
        """
        arrays = dict(self.state.get(p, {"step": 0}))
        t, fresh, w = arrays.pop("step") + 1, [], p._array
        numbers = {name: arrays.pop(name, first) for name, first in self.numbers.items()}
        for name, value in start.items():
            array = arrays.get(name)
            if array is None:
                arrays[name] = backend_of(w).xp.full(w.shape, value, dtype=w.dtype)
                fresh.append(name)
            elif array.dtype != w.dtype or type(array) is not type(w):  # the module was moved since
                arrays[name] = backend_of(w).from_numpy(to_numpy(array).astype(w.dtype))
        return t, arrays, numbers, fresh

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to None, also of frozen ones, which keep theirs aside."""
        for p in self._parameters():
            leaf = p.node if type(p.node) is Leaf else getattr(p, "frozen_leaf", None)
            if leaf is not None:
                leaf.grad = None

    # Save and load

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to continue: numbers, and host copies of arrays.

        {"param_groups": [{option: …, "params": [positions]}], "state": [{"step": …, name: array} per position]};
        a parameter that was never updated has an empty entry. Positions count through all groups.
        """
        groups: list[dict[str, Any]] = []
        state: list[dict[str, Any]] = []
        for group in self.param_groups:
            first = len(state)
            for p in group["params"]:
                state.append(self._saved(self.state.get(p, {})))
            options = {k: _python_number(v) for k, v in group.items() if k != "params"}
            groups.append({**options, "params": list(range(first, len(state)))})
        return {"param_groups": groups, "state": state}

    def _saved(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """The entry of a parameter in a state dict: numbers, and host copies of arrays."""
        return {k: v if is_number(v) else np.array(to_numpy(v)) for k, v in entry.items()}

    def load_state_dict(self, state_dict: SupportsKeysAndGetItem[str, Any]) -> None:
        """Load the options and state of an optimizer of the same class over parameters of the same shapes.

        `state_dict` may also be what `minigrad.load` returns. The parameters are in the order of the constructor. After
        an error nothing has changed.

        Raises:
            ValueError: the numbers of groups or parameters, an option's name, or an array's shape do not match.
        """
        wrong = f"{self._name}.load_state_dict: "
        check_type(f"{self._name}.load_state_dict", Mapping, "what state_dict() returned", state_dict=state_dict)
        try:
            groups, state = list(state_dict["param_groups"]), list(state_dict["state"])
            got, want = ([len(group["params"]) for group in side] for side in (groups, self.param_groups))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{wrong}state_dict: want 'param_groups' and 'state', as state_dict() gives") from error
        if got != want or len(state) != sum(want):
            raise ValueError(f"{wrong}got groups of {got} parameters and {len(state)} entries, want groups of {want}")
        options = []
        members = []
        for k, (own, group) in enumerate(zip(self.param_groups, groups)):
            if group.keys() - {"initial_lr"} != own.keys() - {"initial_lr"}:
                raise ValueError(f"{wrong}group {k}: got options {sorted(group)}, want {sorted(own)}")
            for name, value in group.items():
                like = own.get(name, own.get("lr"))  # "initial_lr" is there once a schedule was made
                if name != "params" and _kind(value) != _kind(like):
                    raise ValueError(f"{wrong}group {k}: {name}: got {value!r}, want {_kind(like)}")
            options.append(_options(group))
            self._check(options[-1])
            members += [(p, options[-1]) for p in own["params"]]
        pairs = enumerate(zip(members, state))
        new_state = {p: self._loaded(f"{wrong}parameter {k}: ", p, o, s) for k, ((p, o), s) in pairs if s}
        for own, o in zip(self.param_groups, options):
            own.update(o)
        self.state = new_state

    def _loaded(self, wrong: str, p: Tensor, o: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
        """The state of one parameter from its entry in a state dict."""
        names = {"step", *self.numbers, *self.init_state(o)}
        if not isinstance(entry, Mapping):
            raise ValueError(f"{wrong}got {entry!r}, want {sorted(names)}")
        if not names - self.switched <= entry.keys() <= names | self.switched:
            raise ValueError(f"{wrong}got {sorted(entry)}, want {sorted(names)}")
        s: dict[str, Any] = {"step": _step_number(wrong, entry["step"])}
        for name in self.numbers:
            if not is_number(entry[name]) or not math.isfinite(entry[name]):
                raise ValueError(f"{wrong}{name}: got {shown(entry[name])}, want a finite number")
            s[name] = float(entry[name])
        for name in dict.fromkeys((*self.init_state(o), *sorted(self.switched))):
            if name not in entry:
                continue
            array = as_array(entry[name], wrong, name)
            if array.dtype.kind not in "fiub":
                raise ValueError(f"{wrong}{name}: got {array.dtype}, want an array of real numbers")
            if tuple(array.shape) != p.shape:
                raise ValueError(f"{wrong}{name}: got shape {tuple(array.shape)}, want {p.shape}")
            s[name] = backend_of(p._array).from_numpy(np.array(to_numpy(array), dtype=p.dtype))
        return s

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Own the arrays of a pickled optimizer, which its loader may have mapped read-only, as joblib does."""
        vars(self).update(state)
        for s in self.state.values():
            s.update({k: np.require(v, requirements=["W", "E"]) for k, v in s.items() if isinstance(v, np.ndarray)})

    def __repr__(self) -> str:
        lines = ""
        for k, group in enumerate(self.param_groups):
            options = ", ".join(f"{name}={value!r}" for name, value in group.items() if name != "params")
            lines += f"  group {k}: {len(group['params'])} parameters, {options}\n"
        return f"{self._name}(\n{lines})"


def _options(group: Mapping[str, Any]) -> dict[str, Any]:
    """A group's options without its parameters, lists as tuples: JSON makes a list of a tuple."""
    return {n: tuple(v) if isinstance(v, list) else v for n, v in group.items() if n != "params"}


def _kind(value: Any) -> str:
    """What kind of option a value is, in words."""
    if isinstance(value, (bool, np.bool_)):
        return "True or False"
    if isinstance(value, (list, tuple)):
        return f"{len(value)} numbers"
    return "a number" if isinstance(value, (int, float, np.number)) else type(value).__name__


def _step_number(wrong: str, value: Any) -> int:
    """A saved number of steps, in whatever kind of number it was saved. Raises ValueError unless it is one."""
    number = getattr(value, "item", lambda: value)() if np.ndim(value) == 0 else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or number < 0 or number % 1:
        raise ValueError(f"{wrong}step: got {value!r}, want a whole number of at least 0")
    return int(number)


def _python_number(value: Any) -> Any:
    """A NumPy scalar as a Python number: a numpy.float64 would make float64 of float32 arrays."""
    return value.item() if isinstance(value, np.generic) else value


def _blocks(w: Array, g: Array, arrays: dict[str, Array]) -> Iterator[tuple[Array, Array, dict[str, Array]]]:
    """The arrays as they are, or flat, a block at a time; also for shape (), where NumPy would return scalars."""
    in_one = not isinstance(w, np.ndarray) or (0 < w.size <= BLOCK and w.ndim)
    if in_one or not all(a.flags.c_contiguous for a in (w, *arrays.values())):
        yield w, g, arrays
        return
    w, g, arrays = w.reshape(-1), g.reshape(-1), {name: a.reshape(-1) for name, a in arrays.items()}
    for start in range(0, w.size, BLOCK):
        block = slice(start, start + BLOCK)
        yield w[block], g[block], {name: a[block] for name, a in arrays.items()}
