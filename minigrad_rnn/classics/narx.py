"""The NARX network: its memory is in the output that is fed back (slides 31–44)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import minigrad as mg
from minigrad import Tensor, nn

from .base import State, one_of, whole
from .linear_over_time import lagged, last_steps, linear_over_time
from .windowed_mlp import SlidingPerceptron

INITIAL = ("given", "zeros", "learned")


class NARX(SlidingPerceptron):
    """The nonlinear autoregressive net with exogenous inputs: Y(t) = f(X(t), …, X(t−L), Y(t−1), …, Y(t−K)).

    With K ≥ 1 one input influences the output for ever. (Slides 31–44; Leontaritis & Billings 1985; Lin, Horne, Tiño
    & Giles 1996.) Called without targets it runs in *parallel*: its own outputs are fed back, and the gradient flows
    through them. With `targets` it runs *series-parallel*: the true outputs are fed back, there is no loop, and all
    steps are computed at once.

    >>> import numpy as np
    >>> from minigrad_rnn import NARX
    >>> net = NARX(1, 8, 1, input_lags=2, output_lags=3)
    >>> xs = np.ones((20, 5, 1), np.float32)
    >>> ys = np.zeros((20, 5, 1), np.float32)
    >>> state, xs, ys = net.take_initial(xs, ys)
    >>> xs.shape
    (17, 5, 1)
    >>> predicted, state = net(xs, state, targets=ys)
    >>> ahead, state = net.forecast(6, state, xs=np.ones((6, 5, 1), np.float32))
    >>> predicted.shape, ahead.shape
    ((17, 5, 1), (6, 5, 1))

    Args:
        input_size: features I of X(t); 0 for a series without exogenous inputs.
        hidden_size: H, or the sizes of several hidden layers, the one above the lags first.
        output_size: O.
        input_lags, output_lags: L ≥ 0 and K ≥ 0.
        nonlinearity: of the hidden layers: "tanh", "relu", "sigmoid", "softmax", or None for the identity.
        output_nonlinearity: the same for the output, before it is fed back; by default none.
        initial: where Y(−1) … Y(−K) come from if no state says: "given", which refuses to guess, "zeros", or
            "learned". X(−1) … X(−L) are zeros unless the state says otherwise.
        bias, batch_first, rng, dtype: as in `TDNN`.

    Parameters: `Wc1` (H, (L+1)·I), whose columns meet X(t), …, X(t−L); `Wr` (H, K·O), whose columns meet Y(t−1), …,
        Y(t−K); `b1` (H,); with several hidden layers `Wc2`, `b2`, …; `Wo` (O, H), `bo` (O,); `y_init` (K, O), or (O,)
        for K = 1, if it is learned. There is no `Wc1` for I = 0 and no `Wr` for K = 0.
    State: (x, y): X(t−L) … X(t−1) (L, B, I) and Y(t−K) … Y(t−1) (K, B, O), oldest first; of the two only what there
        is. After a series-parallel call y holds true outputs.
    Call: xs (T, B, I), state, targets (T, B, O) or None; gives (output (T, B, O), state). For I = 0, xs is (T, B, 0),
        or None beside targets.

    Raises:
        ValueError: an argument, a shape, T = 0 or B = 0; no initial outputs where they are to be given; targets where
            K = 0 feeds nothing back. TypeError: something is no array, or of another dtype.
    """

    Wc1: mg.Parameter
    Wr: mg.Parameter

    def __init__(
        self,
        input_size: int,
        hidden_size: int | Sequence[int],
        output_size: int,
        input_lags: int,
        output_lags: int,
        nonlinearity: str | None = "tanh",
        output_nonlinearity: str | None = None,
        initial: str = "given",
        bias: bool = True,
        batch_first: bool = False,
        rng: nn.init.Rng = None,
        dtype: Any = "float32",
    ) -> None:
        whole("NARX", 0, input_size=input_size, input_lags=input_lags, output_lags=output_lags)
        whole("NARX", 1, output_size=output_size)
        one_of("NARX", "initial", initial, INITIAL)
        if not input_size and not output_lags:
            raise ValueError("NARX: input_size, output_lags: got 0 and 0, want something that the net reads")
        if not input_size and input_lags:
            raise ValueError(f"NARX: input_lags: got {input_lags} with input_size=0, want 0")
        if initial == "learned" and not output_lags:
            raise ValueError("NARX: initial: got 'learned' with output_lags=0, want 'given' or 'zeros'")
        self.input_lags, self.output_lags, self.initial = int(input_lags), int(output_lags), initial
        reads = {"Wc1": (self.input_lags + 1) * input_size, "Wr": self.output_lags * output_size}
        super().__init__(
            input_size, hidden_size, output_size, {name: n for name, n in reads.items() if n},
            {"x": (self.input_lags, input_size), "y": (self.output_lags, output_size)},
            nonlinearity, output_nonlinearity, bias, batch_first, rng, dtype,
        )  # fmt: skip
        if initial == "learned":
            self._learn_initial("y", dtype)

    def forward(self, xs: Any, state: State = None, targets: Any = None) -> tuple[Tensor, State]:
        K, unbatched = self.output_lags, False
        if targets is not None:
            if not K:
                raise ValueError("NARX: targets: got some, want None: with output_lags=0 no output is fed back")
            targets, unbatched = self._series("targets", targets, self.output_size)
        if xs is None and not self.input_size and targets is not None:
            xs = self._zeros(*targets.shape[:2], 0)
        else:
            xs, without_batch = self._series("xs", xs, self.input_size)
            if targets is not None and (targets.shape[:2] != xs.shape[:2] or unbatched != without_batch):
                raise ValueError(
                    f"NARX: targets: got T = {targets.shape[0]} steps and B = {targets.shape[1]}, want "
                    f"{xs.shape[0]} and {xs.shape[1]}, in the layout of xs"
                )
            unbatched = without_batch
        start = self._start(state, xs.shape[1], unbatched)
        ys, finals = self._run(xs, start, targets)
        return self._out(ys, unbatched), self._packed(finals, unbatched)

    def _run(self, xs: Any, start: dict[str, Tensor], targets: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """(T, B, O) and the state's arrays from xs (T, B, I)."""
        T, L, K = xs.shape[0], self.input_lags, self.output_lags
        finals: dict[str, Tensor] = {}
        zs: Any = None
        if self.input_size:
            series = mg.concatenate([start["x"], xs]) if L else xs
            zs = linear_over_time(lagged(series, range(L + 1), T), self.Wc1, self._bias("b1"))
            if L:
                finals["x"] = last_steps(series, L)
        if not K:
            return self._above(zs, linear_over_time), finals
        b = None if self.input_size else self._bias("b1")
        if targets is not None:
            series = mg.concatenate([start["y"], targets])
            fed_back = linear_over_time(lagged(series, range(1, K + 1), T), self.Wr, b)
            finals["y"] = last_steps(series, K)
            return self._above(fed_back if zs is None else zs + fed_back, linear_over_time), finals
        zs = mg.unstack(zs) if zs is not None else None
        ys = list(mg.unstack(start["y"]))
        for t in range(T):
            with mg.time_step(t):
                z = mg.linear(mg.concatenate(ys[: -K - 1 : -1], axis=-1), self.Wr, b)
                ys.append(self._above(z if zs is None else zs[t] + z, mg.linear))
        finals["y"] = mg.stack(ys[-K:])
        return mg.stack(ys[K:]), finals

    def _initial(self, called: str, batch: int) -> Tensor:
        if called == "y" and self.initial == "given":
            K, O = self.state_sizes["y"]
            raise ValueError(
                f"NARX: state: got no initial outputs, want Y(−1) … Y(−{K}) of shape {(K, batch, O)} as its y (oldest "
                "first; take_initial cuts them from a series), or a net with initial='zeros' or 'learned'"
            )
        return super()._initial(called, batch)

    def take_initial(self, xs: Any, targets: Any) -> tuple[State, Any, Any]:
        """The first max(L, K) steps of a series as the initial state; returns (state, the rest of xs and of targets).

        Args:
            xs: (T, B, I) or in the net's other layouts; None for input_size = 0.
            targets: (T, B, O), the true outputs.

        Raises:
            ValueError: T is not above max(L, K); the shapes do not fit. TypeError: as in the call.
        """
        n = max(self.input_lags, self.output_lags)
        ys, unbatched = self._series("targets", targets, self.output_size)
        series = {"y": ys}
        if xs is not None or self.input_size:
            series["x"], without_batch = self._series("xs", xs, self.input_size)
            if series["x"].shape[:2] != ys.shape[:2] or without_batch != unbatched:
                raise ValueError(
                    f"NARX: targets: got shape {tuple(targets.shape)}, want T and B of xs, {tuple(xs.shape)}"
                )
        if ys.shape[0] <= n:
            raise ValueError(
                f"NARX: targets: got T = {ys.shape[0]} steps, want more than {n}: input_lags={self.input_lags} and "
                f"output_lags={self.output_lags} reach beyond the series"
            )
        finals = {name: last_steps(series[name][:n], lags) for name, (lags, _) in self.state_sizes.items()}
        axis = 1 if self.batch_first and not unbatched else 0
        rest = (slice(None),) * axis + (slice(n, None),)
        return self._packed(finals, unbatched), None if xs is None else xs[rest], targets[rest]

    def forecast(self, n: int, state: State, xs: Any = None) -> tuple[Tensor, State]:
        """n steps ahead in a closed loop: every output is fed back. Returns (output (n, B, O), state).

        Args:
            n: how many steps.
            state: as the call returned it, or as the call takes it.
            xs: (n, B, I), the inputs of those steps; None for input_size = 0.

        Raises:
            ValueError: n is no whole number of at least 1, xs has another number of steps, or is missing.
        """
        whole("NARX.forecast", 1, n=n)
        if self.input_size:
            if xs is None:
                raise ValueError(f"NARX.forecast: xs: got None, want the inputs of {n} steps, {self.input_size} each")
            T = self._series("xs", xs, self.input_size)[0].shape[0]
            if n != T:
                raise ValueError(f"NARX.forecast: xs: got T = {T} steps, want n = {n}")
            return self.forward(xs, state)
        if xs is not None:
            raise ValueError("NARX.forecast: xs: got inputs, want None: the net has input_size=0")
        y = state[0] if isinstance(state, (tuple, list)) and len(state) == 1 else state
        if y is None or isinstance(y, (tuple, list)):
            raise ValueError(
                f"NARX.forecast: state: got {type(y).__name__}, want the past outputs y, of shape "
                f"({self.output_lags}, B, {self.output_size}); nothing else says how many series there are"
            )
        self._beside_parameters("state: y", y)
        unbatched = y.ndim == 2
        B = 1 if unbatched else y.shape[1] if y.ndim == 3 else 0
        start = self._start(y, B, unbatched)
        ys, finals = self._run(self._zeros(n, B, 0), start, None)
        return self._out(ys, unbatched), self._packed(finals, unbatched)

    def extra_repr(self) -> str:
        return (
            f"{self.input_size}, {self.hidden_size}, {self.output_size}, input_lags={self.input_lags}, "
            f"output_lags={self.output_lags}, initial={self.initial!r}"
        )
