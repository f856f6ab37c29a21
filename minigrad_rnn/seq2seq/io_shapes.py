"""The shapes of input and output on top of any recurrence (slides 65–67).

One-to-one, one-to-many, many-to-one, many-to-many synchronous are here; many-to-many delayed is
`EncoderDecoder`. Each is a recurrence and a readout: a module that works along the last axis, such
as `Linear`, or several in `Sequential`. The layout is the recurrence's: (T, B, F), or (B, T, F) with batch_first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.backend import backend_of

from ..cells import CellMasks, Lengths
from ..networks.recurrence import Recurrence
from ..validation import as_tensor, check_whole

State = Any
POOLS = ("last", "mean", "max")
FEEDBACKS = ("output", "input", "zeros")


class OneToOne(nn.Module):
    """One step: y = readout(h), h from x and a state. Without a recurrence an MLP, y = readout(x).

    Call: `y, state = model(x, state)`: x (B, I); y (B, O); state as the recurrence's, None without one.
    """

    def __init__(self, recurrence: Recurrence | None, readout: nn.Module) -> None:
        super().__init__()
        self.recurrence, self.readout = recurrence, readout

    def forward(self, x: Any, state: State = None) -> tuple[Tensor, State]:
        x = as_tensor("OneToOne", "x", x)
        if x.ndim != 2:
            raise ValueError(f"OneToOne: x: got shape {x.shape}, want (B, I)")
        if self.recurrence is None:
            if state is not None:
                raise ValueError("OneToOne: state: got one, want None: there is no recurrence")
            return self.readout(x), None
        time = 1 if self.recurrence.batch_first else 0
        hs, state = self.recurrence(x[:, None] if time else x[None], state)
        return self.readout(hs[:, 0] if time else hs[0]), state


class OneToMany(nn.Module):
    """A sequence from one input: x enters at t = 0; after that comes what `feedback` says.

    Args:
        recurrence: in one direction.
        readout: y(t) (B, O) from h(t).
        feedback: what is read at t ≥ 1. "output": y(t−1), where O = I; "input": x again; "zeros"; or a module that
            makes the next input (B, I) of y(t−1). Gradients pass through what is fed back.

    Call: `ys, state = model(x, steps, state, lengths, targets, forced)`.
        x: (B, I). steps: T, at least 1.
        lengths: (B,), outputs beyond which are zero.
        targets, forced: teacher forcing, for a feedback of outputs: targets (T, B, O) and booleans (T, B) on the host,
            as `TeacherForcing.draw` gives them; where forced[t] is True, step t reads targets[t−1] for y(t−1). Without
            `forced` all are True. With batch_first both are (B, T, …). Targets at padding may be anything.
        ys: (T, B, O), or (B, T, O) with batch_first. The state is that after each sequence's last step.
    """

    def __init__(self, recurrence: Recurrence, readout: nn.Module, feedback: str | nn.Module = "output") -> None:
        super().__init__()
        if not isinstance(feedback, nn.Module) and feedback not in FEEDBACKS:
            raise ValueError(f"OneToMany: feedback: got {feedback!r}, want one of {list(FEEDBACKS)} or a Module")
        if recurrence.bidirectional:
            raise ValueError("OneToMany: recurrence: got two directions, want one: what comes next is not known yet")
        self.recurrence, self.readout, self.feedback = recurrence, readout, feedback

    def forward(
        self,
        x: Any,
        steps: int,
        state: State = None,
        lengths: Any = None,
        targets: Any = None,
        forced: Any = None,
    ) -> tuple[Tensor, State]:
        net, x = self.recurrence, as_tensor("OneToMany", "x", x)
        if x.ndim != 2:
            raise ValueError(f"OneToMany: x: got shape {x.shape}, want (B, I)")
        check_whole("OneToMany", "steps", steps)
        xp, B = backend_of(x._data).xp, x.shape[0]
        turn = net.batch_first
        if self.feedback in ("input", "zeros"):
            if targets is not None or forced is not None:
                raise ValueError(
                    f"OneToMany: targets: got some with feedback={self.feedback!r}, want 'output' or a Module"
                )
            others = mg.broadcast_to(x, (steps - 1, *x.shape)) if self.feedback == "input" else None
            if others is None:
                others = Tensor(xp.zeros((steps - 1, *x.shape), dtype=x.dtype))
            xs = mg.concatenate([x[None], others]) if steps > 1 else x[None]
            hs, state = net(mg.swapaxes(xs, 0, 1) if turn else xs, state, lengths=lengths)
            return _without_padding("OneToMany", self.readout(hs), lengths, turn), state
        truth, coins = self._teacher(targets, forced, steps, x)
        spans = None if lengths is None else Lengths(lengths, steps, B, backend_of(x._data), "OneToMany")
        masks = net.draw_masks(steps, B)
        ys: list[Tensor] = []
        for t in range(steps):
            valid = spans.valid[t] if spans is not None and t >= spans.shortest else None
            if t:
                fed = ys[-1]
                if truth is not None:
                    if truth.shape[2:] != fed.shape[1:]:
                        raise ValueError(f"OneToMany: targets: got {truth.shape[2:]} features, want {fed.shape[1:]}")
                    fed = truth[t - 1] if coins is None else mg.where(coins[t][:, None], truth[t - 1], fed)
                if (
                    valid is not None
                ):  # what a padded target holds, NaN for one, would come back in the weights' gradients
                    fed = mg.where(valid, fed, xp.zeros((), dtype=fed.dtype))
                if self.feedback == "output" and fed.shape != x.shape:
                    raise ValueError(
                        f"OneToMany: feedback: got 'output' for y(t) of shape {fed.shape}, want {x.shape}, that of x"
                    )
                x = self.feedback(fed) if isinstance(self.feedback, nn.Module) else fed
            hs, new = net(x[:, None] if turn else x[None], state, masks=at_step(masks, t))
            if valid is not None:
                parts = tuple(mg.where(valid, a, b) for a, b in zip(parts_of(new), parts_of(state)))
                new = parts if isinstance(new, tuple) else parts[0]
            state = new
            ys.append(self.readout(hs[:, 0] if turn else hs[0]))
        return _without_padding("OneToMany", mg.stack(ys, axis=1 if turn else 0), lengths, turn), state

    def _teacher(self, targets: Any, forced: Any, steps: int, x: Tensor) -> tuple[Tensor | None, Any]:
        """The true outputs and the coins, time first, where x lives."""
        if targets is None:
            if forced is not None:
                raise ValueError("OneToMany: forced: got some without targets, want both")
            return None, None
        backend, turn = backend_of(x._data), self.recurrence.batch_first
        truth = as_tensor("OneToMany", "targets", targets)
        truth = mg.swapaxes(truth, 0, 1) if turn else truth
        if truth.ndim != 3 or truth.shape[:2] != (steps, x.shape[0]):
            raise ValueError(f"OneToMany: targets: got (T, B, …) = {truth.shape}, want ({steps}, {x.shape[0]}, O)")
        if truth.dtype != x.dtype:
            raise TypeError(f"OneToMany: targets: got dtype {truth.dtype}, want {x.dtype} like x")
        if forced is None:
            return truth, None
        coins = np.asarray(forced).swapaxes(0, 1) if turn else np.asarray(forced)
        if coins.shape != truth.shape[:2] or coins.dtype != bool:
            raise ValueError(
                f"OneToMany: forced: got {coins.dtype} of shape {coins.shape}, want booleans of {truth.shape[:2]}"
            )
        return truth, backend.from_numpy(np.ascontiguousarray(coins))


class ManyToOne(nn.Module):
    """One output for a sequence: y = readout(what is left of h(0 … T−1)).

    Args:
        recurrence: in one direction or two.
        readout: y (B, O) from (B, F), F the features of the recurrence's output.
        pool: "last": the top layer's h after the last step, read backward that after the first one; "mean" or "max"
            over time. Padding is excluded from all three.

    Call: `y = model(xs, state, lengths)`: xs as the recurrence's.
    """

    def __init__(self, recurrence: Recurrence, readout: nn.Module, pool: str = "last") -> None:
        super().__init__()
        if pool not in POOLS:
            raise ValueError(f"ManyToOne: pool: got {pool!r}, want one of {list(POOLS)}")
        self.recurrence, self.readout, self.pool = recurrence, readout, pool

    def forward(self, xs: Any, state: State = None, lengths: Any = None) -> Tensor:
        _batched("ManyToOne", xs)
        net = self.recurrence
        hs, final = net(xs, state, lengths=lengths)
        if self.pool == "last":
            return self.readout(self._last(parts_of(final)[0]))  # type: ignore[no-any-return]
        hs = mg.swapaxes(hs, 0, 1) if net.batch_first else hs
        T, B = hs.shape[:2]
        backend = backend_of(hs._data)
        spans = None if lengths is None else Lengths(lengths, T, B, backend, "ManyToOne")
        if self.pool == "max":
            if spans is not None and not spans.full:
                hs = mg.where(spans.valid, hs, backend.xp.full((), -np.inf, dtype=hs.dtype))
            return self.readout(mg.max(hs, axis=0))  # type: ignore[no-any-return]
        if spans is None:
            return self.readout(mg.mean(hs, axis=0))  # type: ignore[no-any-return]
        steps = backend.from_numpy(spans.host.astype(hs.dtype)[:, None])
        return self.readout(mg.sum(hs, axis=0) / steps)  # type: ignore[no-any-return]

    def _last(self, h: Tensor) -> Tensor:
        """From the state's rows (cells, B, H): those of the top layer, merged as the recurrence merges them."""
        net, tops = self.recurrence, [h[row] for row in top_rows(self.recurrence)]
        if len(tops) == 1:
            return tops[0]
        if net.merge == "concat":
            return mg.concatenate(tops, axis=-1)
        total = tops[0] + tops[1]
        return total if net.merge == "sum" else total * 0.5


class ManyToMany(nn.Module):
    """One output at every step, y(t) = readout(h(t)); zero at padding.

    Call: `ys, state = model(xs, state, lengths)`: xs as the recurrence's; ys (T, B, O) in the layout of xs.
    """

    def __init__(self, recurrence: Recurrence, readout: nn.Module) -> None:
        super().__init__()
        self.recurrence, self.readout = recurrence, readout

    def forward(self, xs: Any, state: State = None, lengths: Any = None) -> tuple[Tensor, State]:
        _batched("ManyToMany", xs)
        hs, state = self.recurrence(xs, state, lengths=lengths)
        return _without_padding("ManyToMany", self.readout(hs), lengths, self.recurrence.batch_first), state


def top_rows(net: Recurrence) -> list[int]:
    """Which rows of the state (cells, B, H) are the top layer's, read forward and, if it is, backward."""
    if not net.bidirectional:
        return [-1]
    return [net.num_layers[0] - 1, -1] if isinstance(net.num_layers, tuple) else [-2, -1]


def at_step(masks: dict[str, CellMasks], t: int) -> dict[str, CellMasks]:
    """What the masks of a whole sequence are for step t alone."""
    return {
        name: CellMasks(
            None if m.input is None else m.input[t : t + 1],
            m.recurrent,
            tuple(None if z is None else z[t : t + 1] for z in m.zoneout),
        )
        for name, m in masks.items()
    }


def parts_of(state: State) -> tuple[Tensor, ...]:
    """The arrays of a recurrence's state: (h, c) of an LSTM, (h,) of those that give h alone."""
    return tuple(state) if isinstance(state, (tuple, list)) else (state,)


def _without_padding(name: str, ys: Tensor, lengths: Any, batch_first: bool) -> Tensor:
    """Outputs with zeros at padding, where a readout's bias would stand."""
    if lengths is None:
        return ys
    T, B = (ys.shape[1], ys.shape[0]) if batch_first else ys.shape[:2]
    backend = backend_of(ys._data)
    spans = Lengths(lengths, T, B, backend, name)
    valid = spans.valid.swapaxes(0, 1) if batch_first else spans.valid
    return ys if spans.full else mg.where(valid, ys, backend.xp.zeros((), dtype=ys.dtype))


def _batched(name: str, xs: Any) -> None:
    if as_tensor(name, "xs", xs).ndim != 3:
        raise ValueError(f"{name}: xs: got shape {tuple(xs.shape)}, want three axes: time, batch and features")
