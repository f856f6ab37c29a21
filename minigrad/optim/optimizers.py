"""SGD, RMSprop, Adagrad, Adam, AdamW, NAdam and RAdam with torch.optim's names, defaults and update formulas.

Each formula is written once, for arrays of any backend, in place and without synchronising with a device: `w` are the
values, `g` the gradient, `s` the state, `t` the number of the step and `o` the options.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..arguments_of import arguments_of
from .base import Array, Optimizer, Params


@arguments_of(Optimizer)
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum, as torch.optim.SGD (Sutskever et al. 2013).

    g ← g + weight_decay · w;  v ← momentum · v + (1 − dampening) · g, at the first step with momentum v ← g;
    w ← w − lr · v, or with nesterov w ← w − lr · (g + momentum · v)

    Args:
        lr: the step size, at least 0.
        momentum: how much of the last step remains; 0 for none.
        dampening: how much less of the gradient goes into the momentum.
        weight_decay: times the weights it is added to the gradient.
        nesterov: whether to look ahead along the momentum (Nesterov 1983); it needs momentum and no dampening.
    """

    def __init__(
        self,
        params: Params,
        lr: float,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        options = {"momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov}
        super().__init__(params, lr=lr, **options)

    def _check(self, o: Mapping[str, Any]) -> None:
        super()._check(o)
        if o["nesterov"] and (o["momentum"] == 0 or o["dampening"] != 0):
            raise ValueError(
                f"SGD: nesterov: got momentum={o['momentum']}, dampening={o['dampening']}, want momentum above 0 and "
                "no dampening"
            )

    switched = frozenset(("momentum_buffer",))

    def init_state(self, o: Mapping[str, Any]) -> dict[str, float]:
        return {"momentum_buffer": 0.0} if o["momentum"] else {}

    def update(self, xp: Any, w: Array, g: Array, s: Any, t: int, o: Any) -> None:
        if o.weight_decay:
            g = g + o.weight_decay * w
        if o.momentum:
            v = s.momentum_buffer
            v *= o.momentum
            v += g if "momentum_buffer" in s.fresh else (1 - o.dampening) * g
            g = g + o.momentum * v if o.nesterov else v
        w -= o.lr * g


@arguments_of(SGD)
class RMSprop(Optimizer):
    """Divide the gradient by the root of its running mean square (Tieleman & Hinton 2012), as torch.optim.RMSprop.

    g ← g + weight_decay · w;  q ← alpha · q + (1 − alpha) · g²;  centered: m ← alpha · m + (1 − alpha) · g
    d ← g / (√(q − m²) + eps);  v ← momentum · v + d;  w ← w − lr · v

    Args:
        alpha: how slowly the mean square forgets, in [0, 1).
        eps: keeps the divisor from 0.
        centered: whether to divide by the standard deviation, with the mean m taken off.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        options = {"weight_decay": weight_decay, "momentum": momentum, "centered": centered}
        super().__init__(params, lr=lr, alpha=alpha, eps=eps, **options)

    switched = frozenset(("grad_avg", "momentum_buffer"))

    def init_state(self, o: Mapping[str, Any]) -> dict[str, float]:
        names = {"square_avg": True, "grad_avg": o["centered"], "momentum_buffer": o["momentum"]}
        return {name: 0.0 for name, used in names.items() if used}

    def update(self, xp: Any, w: Array, g: Array, s: Any, t: int, o: Any) -> None:
        if o.weight_decay:
            g = g + o.weight_decay * w
        d = g * g  # the only new array
        d *= 1 - o.alpha
        s.square_avg *= o.alpha
        s.square_avg += d
        if o.centered:
            xp.multiply(g, 1 - o.alpha, out=d)
            s.grad_avg *= o.alpha
            s.grad_avg += d
            xp.multiply(s.grad_avg, s.grad_avg, out=d)
            xp.subtract(s.square_avg, d, out=d)
            xp.maximum(d, 0, out=d)  # rounding can bring it below 0, where torch gives NaN
            xp.sqrt(d, out=d)
        else:
            xp.sqrt(s.square_avg, out=d)
        d += o.eps
        xp.divide(g, d, out=d)
        if o.momentum:
            s.momentum_buffer *= o.momentum
            s.momentum_buffer += d
            d = o.lr * s.momentum_buffer
        else:
            d *= o.lr
        w -= d


@arguments_of(SGD)
class Adagrad(Optimizer):
    """Divide the gradient by the root of its summed squares (Duchi, Hazan & Singer 2011), as torch.optim.Adagrad.

    g ← g + weight_decay · w;  q ← q + g²;  w ← w − lr / (1 + (t − 1) · lr_decay) · g / (√q + eps)

    Args:
        lr_decay: how fast the step size falls with the number t of the step.
        initial_accumulator_value: of q before the first step.
        eps: keeps the divisor from 0.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        options = {"weight_decay": weight_decay, "initial_accumulator_value": initial_accumulator_value, "eps": eps}
        super().__init__(params, lr=lr, lr_decay=lr_decay, **options)

    def init_state(self, o: Mapping[str, Any]) -> dict[str, float]:
        return {"sum": float(o["initial_accumulator_value"])}

    def update(self, xp: Any, w: Array, g: Array, s: Any, t: int, o: Any) -> None:
        if o.weight_decay:
            g = g + o.weight_decay * w
        d = g * g
        s.sum += d
        xp.sqrt(s.sum, out=d)
        d += o.eps
        xp.divide(g, d, out=d)
        d *= o.lr / (1 + (t - 1) * o.lr_decay)
        w -= d


@arguments_of(SGD)
class Adam(Optimizer):
    """Step by bias-corrected running means of the gradient and its square (Kingma & Ba 2015), as torch.optim.Adam.

    g ← g + weight_decay · w;  m ← β₁ · m + (1 − β₁) · g;  v ← β₂ · v + (1 − β₂) · g²
    w ← w − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps);  amsgrad takes the largest v so far (Reddi et al. 2018)

    Args:
        betas: β₁ and β₂, how slowly the two means forget, in [0, 1).
        eps: keeps the divisor from 0.
        amsgrad: whether to divide by the largest mean square so far.
    """

    decoupled = False
    switched = frozenset(("max_exp_avg_sq",))

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad)

    def init_state(self, o: Mapping[str, Any]) -> dict[str, float]:
        return dict.fromkeys(("exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if o["amsgrad"] else [])), 0.0)

    def update(self, xp: Any, w: Array, g: Array, s: Any, t: int, o: Any) -> None:
        beta1, beta2 = map(float, o.betas)
        g = _decayed(w, g, o, self.decoupled)
        d = g * (1 - beta1)  # the only new array
        s.exp_avg *= beta1
        s.exp_avg += d
        xp.multiply(g, g, out=d)
        d *= 1 - beta2
        s.exp_avg_sq *= beta2
        s.exp_avg_sq += d
        v = xp.maximum(s.max_exp_avg_sq, s.exp_avg_sq, out=s.max_exp_avg_sq) if o.amsgrad else s.exp_avg_sq
        root = math.sqrt(1 - beta2**t)  # numerator and denominator are multiplied by it
        xp.sqrt(v, out=d)
        d += o.eps * root
        xp.divide(s.exp_avg, d, out=d)
        d *= o.lr * root / (1 - beta1**t)
        w -= d


@arguments_of(Adam)
class AdamW(Adam):
    """Adam with decoupled weight decay, w ← (1 − lr · weight_decay) · w (Loshchilov & Hutter 2019).

    Args:
        weight_decay: times lr it is the share of the weights that a step takes away.
    """

    decoupled = True

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)


@arguments_of(Adam)
class NAdam(Optimizer):
    """Adam with Nesterov's momentum (Dozat 2016), as torch.optim.NAdam; m and v as in Adam.

    μₜ = β₁ · (1 − 0.96^(t · momentum_decay) / 2);  Πₜ = μ₁ ⋯ μₜ
    w ← w − lr · ((1 − μₜ) / (1 − Πₜ) · g + μₜ₊₁ / (1 − Πₜ₊₁) · m) / (√(v / (1 − β₂ᵗ)) + eps)

    Args:
        momentum_decay: how fast the momentum μ reaches β₁.
        decoupled_weight_decay: whether weights decay as in AdamW.
    """

    numbers = {"mu_product": 1.0}  # noqa: RUF012

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
    ) -> None:
        options = {"momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, **options)

    def init_state(self, o: Mapping[str, Any]) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def next_numbers(self, numbers: dict[str, float], t: int, o: Any) -> dict[str, float]:
        return {"mu_product": numbers["mu_product"] * _nesterov_momentum(t, o)}

    def update(self, xp: Any, w: Array, g: Array, s: Any, t: int, o: Any) -> None:
        beta1, beta2 = map(float, o.betas)
        mu, mu_next = _nesterov_momentum(t, o), _nesterov_momentum(t + 1, o)
        g = _decayed(w, g, o, o.decoupled_weight_decay)
        d = g * (1 - beta1)
        s.exp_avg *= beta1
        s.exp_avg += d
        xp.multiply(g, g, out=d)
        d *= 1 - beta2
        s.exp_avg_sq *= beta2
        s.exp_avg_sq += d
        root = math.sqrt(1 - beta2**t)  # numerator and denominator are multiplied by it
        xp.sqrt(s.exp_avg_sq, out=d)
        d += o.eps * root
        step = g * (o.lr * root * (1 - mu) / (1 - s.mu_product))
        step += s.exp_avg * (o.lr * root * mu_next / (1 - s.mu_product * mu_next))
        step /= d
        w -= step


@arguments_of(NAdam)
class RAdam(Optimizer):
    """Adam whose steps are shorter while the mean square is uncertain (Liu et al. 2020), as torch.optim.RAdam.

    m and v are those of Adam.
    ρ∞ = 2 / (1 − β₂) − 1;  ρ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ);  r² = (ρ − 4)(ρ − 2) ρ∞ / ((ρ∞ − 4)(ρ∞ − 2) ρ)
    w ← w − lr · m / (1 − β₁ᵗ) · r · √(1 − β₂ᵗ) / (√v + eps) where ρ > 5, else w ← w − lr · m / (1 − β₁ᵗ)
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        options = {"weight_decay": weight_decay, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, lr=lr, betas=betas, eps=eps, **options)

    def init_state(self, o: Mapping[str, Any]) -> dict[str, float]:
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0}

    def update(self, xp: Any, w: Array, g: Array, s: Any, t: int, o: Any) -> None:
        beta1, beta2 = map(float, o.betas)
        g = _decayed(w, g, o, o.decoupled_weight_decay)
        d = g * (1 - beta1)
        s.exp_avg *= beta1
        s.exp_avg += d
        xp.multiply(g, g, out=d)
        d *= 1 - beta2
        s.exp_avg_sq *= beta2
        s.exp_avg_sq += d
        certain = 2 / (1 - beta2) - 1  # the most steps that the mean square can come from
        rho = certain - 2 * t * beta2**t / (1 - beta2**t)
        rate = o.lr / (1 - beta1**t)
        if rho <= 5:
            xp.multiply(s.exp_avg, rate, out=d)
        else:
            rectified = (rho - 4) * (rho - 2) * certain / ((certain - 4) * (certain - 2) * rho)
            xp.sqrt(s.exp_avg_sq, out=d)
            d += o.eps
            xp.divide(s.exp_avg, d, out=d)
            d *= rate * math.sqrt(rectified * (1 - beta2**t))
        w -= d


def _nesterov_momentum(t: int, o: Any) -> float:
    return float(o.betas[0] * (1 - 0.5 * 0.96 ** (t * o.momentum_decay)))


def _decayed(w: Array, g: Array, o: Any, decoupled: bool) -> Array:
    """The gradient with the weights' decay; decoupled, the weights decay at once."""
    if o.weight_decay and decoupled:
        w *= 1 - o.lr * o.weight_decay
        return g
    return g + o.weight_decay * w if o.weight_decay else g
