"""The NARX network: past outputs are fed back as inputs (slides 31–44)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minigrad import Tensor, nn
from minigrad.arguments_of import arguments_of
from minigrad.validation import check_choice, check_integer, check_like

from .base import Classic, State
from .linear_over_time import last_steps
from .windowed_mlp import WindowedMLP


@arguments_of(Classic)
class NARX(WindowedMLP):
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
        input_lags, output_lags: L ≥ 0 and K ≥ 0.
        nonlinearity: of the hidden layers: "tanh", "relu", "sigmoid", "softmax", or None for the identity.
        output_nonlinearity: the same for the output, before it is fed back; by default none.
        initial: where Y(−1) … Y(−K) come from if no state says: "given", an error, "zeros", or
            "learned". X(−1) … X(−L) are zeros unless the state says otherwise.

    Parameters: `Wc1` (H, (L+1)·I), whose columns meet X(t), …, X(t−L); `Wr` (H, K·O), whose columns meet Y(t−1), …,
        Y(t−K); `b1` (H,); with several hidden layers `Wc2`, `b2`, …; `Wo` (O, H), `bo` (O,); `y_init` (K, O), or (O,)
        for K = 1, if it is learned. There is no `Wc1` for I = 0 and no `Wr` for K = 0.
    State: (x, y): X(t−L) … X(t−1) (L, B, I) and Y(t−K) … Y(t−1) (K, B, O), oldest first; of the two only what there
        is. After a series-parallel call y holds true outputs.

    Call: `output, state = net(xs, state, targets)`.
        xs: (T, B, I), or (B, T, I) with batch_first, or (T, I) for one series. For I = 0 (T, B, 0), or None beside
            targets.
        state: (x, y) as above; None, also as a part, is the initial one.
        targets: the true outputs (T, B, O), or None.
        output: (T, B, O), in the layout of xs; the state returned is the one to pass to the next call.

    Raises:
        ValueError: a bad argument or shape, T = 0, B = 0; no initial outputs where they are to be given; targets where
            K = 0 feeds nothing back. TypeError: something is not an array of `dtype`.
    """

    def __init__(
        self, input_size: int, hidden_size: int | Sequence[int], output_size: int, input_lags: int, output_lags: int,
        nonlinearity: str | None = "tanh", output_nonlinearity: str | None = None, initial: str = "given",
        bias: bool = True, batch_first: bool = False, rng: nn.init.Rng = None, dtype: Any = "float32",
    ) -> None:  # fmt: skip
        check_integer("NARX", least=0, input_size=input_size, input_lags=input_lags, output_lags=output_lags)
        check_integer("NARX", output_size=output_size)
        check_choice("NARX", ("given", "zeros", "learned"), initial=initial)
        if not input_size and not output_lags:
            raise ValueError("NARX: input_size, output_lags: got 0 and 0, want at least one of them above 0")
        if not input_size and input_lags:
            raise ValueError(f"NARX: input_lags: got {input_lags} with input_size=0, want 0")
        if initial == "learned" and not output_lags:
            raise ValueError("NARX: initial: got 'learned' with output_lags=0, want 'given' or 'zeros'")
        super().__init__(
            input_size, hidden_size, output_size, input_lags, output_lags,
            nonlinearity, output_nonlinearity, bias, batch_first, rng, dtype,
        )  # fmt: skip
        self.initial = initial
        if initial == "learned":
            self._learn_initial("y", dtype)

    def forward(self, xs: Any, state: State = None, targets: Any = None) -> tuple[Tensor, State]:
        if targets is None:
            return super().forward(xs, state)
        if not self.output_lags:
            raise ValueError("NARX: targets: got some, want None: with output_lags=0 no output is fed back")
        xs, targets, unbatched = self._check_pair(xs, targets)
        return self._to_layout(*self._run(xs, self._start(state, xs.shape[1], unbatched), targets), unbatched)

    def _check_pair(self, xs: Any, targets: Any) -> tuple[Any, Any, bool]:
        """xs (T, B, I) and targets (T, B, O), and whether they came without a batch axis."""
        targets, unbatched = self._check_series("targets", targets, self.output_size)
        T, B = targets.shape[:2]
        if xs is None and not self.input_size:
            return self._zeros(T, B, 0), targets, unbatched
        xs, xs_unbatched = self._check_series("xs", xs, self.input_size)
        if tuple(xs.shape[:2]) != (T, B) or unbatched != xs_unbatched:
            raise ValueError(
                f"NARX: targets: got T = {T} steps and B = {B}, want {xs.shape[0]} and {xs.shape[1]}, in the layout of "
                "xs"
            )
        return xs, targets, unbatched

    def _initial(self, name: str, batch: int) -> Tensor:
        if name == "y" and self.initial == "given":
            K, O = self.state_sizes["y"]
            raise ValueError(
                f"NARX: state: got no initial outputs, want Y(−1) … Y(−{K}) of shape {(K, batch, O)} as its y (oldest "
                "first; take_initial cuts them from a series), or a net with initial='zeros' or 'learned'"
            )
        return super()._initial(name, batch)

    def take_initial(self, xs: Any, targets: Any) -> tuple[State, Any, Any]:
        """Cut the first max(L, K) steps of a series off as the initial state; returns (state, rest of xs, of targets).

        Args:
            xs: (T, B, I) or in the net's other layouts; None for input_size = 0.
            targets: (T, B, O), the true outputs.

        Raises:
            ValueError: T is not above max(L, K); the shapes do not fit. TypeError: as in the call.
        """
        n = max(self.input_lags, self.output_lags)
        inputs, outputs, unbatched = self._check_pair(xs, targets)
        if outputs.shape[0] <= n:
            raise ValueError(
                f"NARX: targets: got T = {outputs.shape[0]} steps, want more than {n}: input_lags={self.input_lags} "
                f"and output_lags={self.output_lags} reach beyond the series"
            )
        series = {"x": inputs, "y": outputs}
        finals = {name: last_steps(series[name][:n], lags) for name, (lags, _) in self.state_sizes.items()}
        rest = (slice(None), slice(n, None)) if self.batch_first and not unbatched else slice(n, None)
        return self._packed(finals, unbatched), None if xs is None else xs[rest], targets[rest]

    def forecast(self, n: int, state: State, xs: Any = None) -> tuple[Tensor, State]:
        """Predict n steps in a closed loop: every output is fed back. Returns (output (n, B, O), state).

        Args:
            n: how many steps.
            state: as a call takes or returns it.
            xs: (n, B, I), the inputs of those steps; None for input_size = 0.

        Raises:
            ValueError: n is not a whole number of at least 1, xs has another number of steps, or is missing.
        """
        check_integer("NARX.forecast", n=n)
        if self.input_size:
            if xs is None:
                raise ValueError(f"NARX.forecast: xs: got None, want the inputs of {n} steps, {self.input_size} each")
            T = self._check_series("xs", xs, self.input_size)[0].shape[0]
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
        y = check_like("NARX", "state: y", y, next(self.parameters()))
        if y.ndim == 2:
            return self.forward(self._zeros(n, 0), y)
        B = y.shape[1] if y.ndim == 3 else 1
        return self.forward(self._zeros(*((B, n) if self.batch_first else (n, B)), 0), y)

    def extra_repr(self) -> str:
        return (
            f"{self.input_size}, {self.hidden_size}, {self.output_size}, input_lags={self.input_lags}, "
            f"output_lags={self.output_lags}, initial={self.initial!r}"
        )
