"""The shapes of input and output on top of any recurrence (slides 65–67).

One-to-one, one-to-many, many-to-one and synchronous many-to-many; delayed many-to-many is `EncoderDecoder`. Each is a
recurrence and a readout: a module that works along the last axis, such as `Linear`, or several in `Sequential`. The
layout is the recurrence's: (T, B, F), or (B, T, F) with batch_first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.backend import backend_of
from minigrad.engine.summation import half_to_single
from minigrad.validation import as_array, as_tensor, check_choice, check_integer, check_type, shown

from ..cells import CellMasks, Lengths
from ..networks.recurrence import Recurrence

State = Any
POOLS = ("last", "mean", "max")
FEEDBACKS = ("output", "input", "zeros")


class OneToOne(nn.Module):
    """One step: y = readout(h), h from x and a state. Without a recurrence an MLP, y = readout(x).

    Call: `y, state = model(x, state)`: x (B, I); y (B, O); state as the recurrence's, None without one.
    """

    def __init__(self, recurrence: Recurrence | None, readout: nn.Module) -> None:
        super().__init__()
        if recurrence is not None:
            check_type("OneToOne", Recurrence, "a recurrence or None", recurrence=recurrence)
        check_type("OneToOne", nn.Module, "a Module", readout=readout)
        self.recurrence, self.readout = recurrence, readout

    def forward(self, x: Any, state: State = None) -> tuple[Tensor, State]:
        x = _check_ndim("OneToOne", "x", x, 2)
        if self.recurrence is None:
            if state is not None:
                raise ValueError("OneToOne: state: got one, want None: there is no recurrence")
            return self.readout(x), None
        time = 1 if self.recurrence.batch_first else 0
        hs, state = self.recurrence(x[:, None] if time else x[None], state)
        return self.readout(hs[:, 0] if time else hs[0]), state


class OneToMany(nn.Module):
    """A sequence from one input: x is the input at t = 0; `feedback` determines the later ones.

    Args:
        recurrence: one that reads forward only.
        readout: y(t) (B, O) from h(t).
        feedback: the input at t ≥ 1. "output": y(t−1), if O = I; "input": x again; "zeros"; or a module that computes
            the next input (B, I) from y(t−1). Gradients pass through what is fed back.

    Call: `ys, state = model(x, steps, state, lengths, targets, forced)`.
        x: (B, I). steps: T, at least 1.
        lengths: (B,); outputs beyond them are zero.
        targets, forced: teacher forcing, for a feedback of outputs: targets (T, B, O) and booleans (T, B) on the host,
            as from `TeacherForcing.draw`; where forced[t] is True, step t reads targets[t−1] in place of y(t−1).
            Without `forced` all are True. With batch_first both are (B, T, …). Targets at padding may be anything.
        ys: (T, B, O), or (B, T, O) with batch_first. The state is that after each sequence's last step.
    """

    def __init__(self, recurrence: Recurrence, readout: nn.Module, feedback: str | nn.Module = "output") -> None:
        super().__init__()
        check_type("OneToMany", Recurrence, "a recurrence", recurrence=recurrence)
        check_type("OneToMany", nn.Module, "a Module", readout=readout)
        if not isinstance(feedback, nn.Module) and not (isinstance(feedback, str) and feedback in FEEDBACKS):
            raise ValueError(f"OneToMany: feedback: got {shown(feedback)}, want one of {list(FEEDBACKS)} or a Module")
        if recurrence.directions != ("forward",):
            got = "two directions" if recurrence.bidirectional else "reverse=True"
            raise ValueError(
                f"OneToMany: recurrence: got {got}, want one that reads forward: later outputs are not known yet"
            )
        self.recurrence, self.readout, self.feedback = recurrence, readout, feedback

    def forward(
        self, x: Any, steps: int, state: State = None, lengths: Any = None, targets: Any = None, forced: Any = None
    ) -> tuple[Tensor, State]:
        net, x = self.recurrence, _check_ndim("OneToMany", "x", x, 2)
        check_integer("OneToMany", steps=steps)
        xp, B, batch_first = backend_of(x._array).xp, x.shape[0], net.batch_first
        if self.feedback in ("input", "zeros"):
            if targets is not None or forced is not None:
                got = f"some with feedback={self.feedback!r}"
                raise ValueError(f"OneToMany: targets: got {got}, want 'output' or a Module")
            later = x if self.feedback == "input" else Tensor(xp.zeros(x.shape, dtype=x.dtype))
            xs = mg.concatenate([x[None], mg.broadcast_to(later, (steps - 1, *x.shape))]) if steps > 1 else x[None]
            hs, state = net(mg.swapaxes(xs, 0, 1) if batch_first else xs, state, lengths=lengths)
            return _zero_padding("OneToMany", self.readout(hs), lengths, batch_first), state
        targets, forced = self._check_targets(targets, forced, steps, x)
        spans = None if lengths is None else Lengths(lengths, steps, B, backend_of(x._array), "OneToMany")
        masks = net.draw_masks(steps, B)
        ys: list[Tensor] = []
        for t in range(steps):
            valid = spans.valid[t] if spans is not None and t >= spans.shortest else None
            if t:
                target = None if targets is None else targets[t - 1]
                x = self._next_input(ys[-1], target, None if forced is None else forced[t], valid, x.shape)
            hs, next_state = net(x[:, None] if batch_first else x[None], state, masks=at_step(masks, t))
            if valid is not None:  # a sequence that has ended keeps its last state
                parts = tuple(mg.where(valid, a, b) for a, b in zip(parts_of(next_state), parts_of(state)))
                next_state = parts if isinstance(next_state, tuple) else parts[0]
            state = next_state
            ys.append(self.readout(hs[:, 0] if batch_first else hs[0]))
        return _zero_padding("OneToMany", mg.stack(ys, axis=int(batch_first)), lengths, batch_first), state

    def _next_input(self, y: Tensor, target: Tensor | None, forced: Any, valid: Any, shape: tuple[int, ...]) -> Tensor:
        """The next input from y(t−1) and, with teacher forcing, the target (B, O) where forced (B, 1)."""
        if target is not None:
            if target.shape[1:] != y.shape[1:]:
                raise ValueError(f"OneToMany: targets: got {target.shape[1:]} features, want {y.shape[1:]}")
            y = target if forced is None else mg.where(forced, target, y)
        if valid is not None:  # a NaN in a padded target would reach the weights' gradients
            y = fill(y, valid, 0)
        if isinstance(self.feedback, nn.Module):
            return self.feedback(y)  # type: ignore[no-any-return]
        if y.shape != shape:
            raise ValueError(f"OneToMany: feedback: got 'output' for y(t) of shape {y.shape}, want {shape}, that of x")
        return y

    def _check_targets(self, targets: Any, forced: Any, steps: int, x: Tensor) -> tuple[Tensor | None, Any]:
        """Targets (T, B, O) and forced (T, B, 1), on the backend of x."""
        if targets is None:
            if forced is not None:
                raise ValueError("OneToMany: forced: got some without targets, want both")
            return None, None
        batch_first = self.recurrence.batch_first
        targets = as_tensor("OneToMany", "targets", targets)
        targets = mg.swapaxes(targets, 0, 1) if batch_first else targets
        shape = (steps, x.shape[0])
        if targets.ndim != 3 or targets.shape[:2] != shape:
            raise ValueError(f"OneToMany: targets: got (T, B, …) = {targets.shape}, want ({shape[0]}, {shape[1]}, O)")
        if targets.dtype != x.dtype:
            raise TypeError(f"OneToMany: targets: got dtype {targets.dtype}, want {x.dtype} like x")
        if forced is None:
            return targets, None
        forced = np.asarray(forced).swapaxes(0, 1) if batch_first else forced
        forced = check_per_token("OneToMany", "forced", forced, "b", shape)
        return targets, backend_of(x._array).from_numpy(np.ascontiguousarray(forced)[:, :, None])


class ManyToOne(nn.Module):
    """One output for a sequence: y = readout(pool(h(0 … T−1))).

    Args:
        recurrence: in one direction or two.
        readout: y (B, O) from (B, F), F the features of the recurrence's output.
        pool: "last": the top layer's h after the last step, of the backward direction that after the first step; "mean"
            or "max" over time. Padding is excluded from all three.

    Call: `y = model(xs, state, lengths)`: xs as the recurrence's.
    """

    def __init__(self, recurrence: Recurrence, readout: nn.Module, pool: str = "last") -> None:
        super().__init__()
        check_choice("ManyToOne", POOLS, pool=pool)
        check_type("ManyToOne", Recurrence, "a recurrence", recurrence=recurrence)
        check_type("ManyToOne", nn.Module, "a Module", readout=readout)
        self.recurrence, self.readout, self.pool = recurrence, readout, pool

    def forward(self, xs: Any, state: State = None, lengths: Any = None) -> Tensor:
        _check_ndim("ManyToOne", "xs", xs, 3)
        hs, final = self.recurrence(xs, state, lengths=lengths)
        if self.pool == "last":
            h = parts_of(final)[0]
            pooled = self.recurrence.merge_directions([h[row] for row in top_rows(self.recurrence)])
        else:
            pooled = self._over_time(hs, lengths)
        return self.readout(pooled)  # type: ignore[no-any-return]

    def _over_time(self, hs: Tensor, lengths: Any) -> Tensor:
        """The mean or maximum of hs over each sequence's own steps."""
        hs = mg.swapaxes(hs, 0, 1) if self.recurrence.batch_first else hs
        backend = backend_of(hs._array)
        spans = None if lengths is None else Lengths(lengths, hs.shape[0], hs.shape[1], backend, "ManyToOne")
        if self.pool == "max":
            hs = hs if spans is None or spans.full else fill(hs, spans.valid, -np.inf)
            return mg.max(hs, axis=0)
        if spans is None:
            return mg.mean(hs, axis=0)
        wide = half_to_single(hs)  # a float16 cannot hold every length
        mean = mg.divide(mg.sum(wide, axis=0), backend.from_numpy(spans.host.astype(wide.dtype)[:, None]))
        return mean if wide is hs else mean.astype(hs.dtype)


class ManyToMany(nn.Module):
    """One output at every step, y(t) = readout(h(t)); zero at padding.

    Call: `ys, state = model(xs, state, lengths)`: xs as the recurrence's; ys (T, B, O) in the layout of xs.
    """

    def __init__(self, recurrence: Recurrence, readout: nn.Module) -> None:
        super().__init__()
        check_type("ManyToMany", Recurrence, "a recurrence", recurrence=recurrence)
        check_type("ManyToMany", nn.Module, "a Module", readout=readout)
        self.recurrence, self.readout = recurrence, readout

    def forward(self, xs: Any, state: State = None, lengths: Any = None) -> tuple[Tensor, State]:
        _check_ndim("ManyToMany", "xs", xs, 3)
        hs, state = self.recurrence(xs, state, lengths=lengths)
        return _zero_padding("ManyToMany", self.readout(hs), lengths, self.recurrence.batch_first), state


def top_rows(net: Recurrence) -> list[int]:
    """Return the rows of the state (cells, B, H) that are the top layer's: forward and, if there is one, backward."""
    if not net.bidirectional:
        return [-1]
    return [net.num_layers[0] - 1, -1] if isinstance(net.num_layers, tuple) else [-2, -1]


def at_step(masks: dict[str, CellMasks], t: int) -> dict[str, CellMasks]:
    """Return the part of a sequence's masks that belongs to step t."""

    def step(a: Any) -> Any:
        return None if a is None else a[t : t + 1]

    return {name: CellMasks(step(m.input), m.recurrent, tuple(map(step, m.zoneout))) for name, m in masks.items()}


def parts_of(state: State) -> tuple[Tensor, ...]:
    """Return a recurrence's state as a tuple: (h, c) of an LSTM, (h,) of a cell whose only state is h."""
    return tuple(state) if isinstance(state, (tuple, list)) else (state,)


def check_per_token(name: str, argument: str, value: Any, kind: str, shape: tuple[int, int]) -> Any:
    """Return a host array with a boolean (kind "b") or a number in [0, 1) (kind "f") for each token (T, B)."""
    array = as_array(value, name, argument)
    in_range = kind == "b" or (array.dtype.kind == "f" and ((array >= 0) & (array < 1)).all())
    if array.shape != shape or array.dtype.kind != kind or not in_range:
        want = "booleans" if kind == "b" else "numbers in [0, 1)"
        raise ValueError(f"{name}: {argument}: got {array.dtype} of shape {array.shape}, want {want} of shape {shape}")
    return array


def fill(x: Tensor, valid: Any, value: float) -> Tensor:
    """Return x with `value` wherever `valid` is False."""
    return mg.where(valid, x, backend_of(x._array).xp.full((), value, dtype=x.dtype))


def _zero_padding(name: str, ys: Tensor, lengths: Any, batch_first: bool) -> Tensor:
    """The outputs of a readout with zeros at padding, where otherwise its bias would show."""
    if lengths is None:
        return ys
    T, B = (ys.shape[1], ys.shape[0]) if batch_first else ys.shape[:2]
    spans = Lengths(lengths, T, B, backend_of(ys._array), name)
    return ys if spans.full else fill(ys, spans.valid.swapaxes(0, 1) if batch_first else spans.valid, 0)


def _check_ndim(name: str, argument: str, value: Any, ndim: int) -> Tensor:
    x = as_tensor(name, argument, value)
    if x.ndim != ndim:
        want = "(B, I)" if ndim == 2 else "three axes: time, batch and features"
        raise ValueError(f"{name}: {argument}: got shape {x.shape}, want {want}")
    return x
