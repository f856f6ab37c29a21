"""What the tests of the reference BPTT share: a stack with its data, a divergence, and differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad_rnn.manual_bptt import ReferenceResult, reference_bptt, stack
from tests.support.reference_cells import CELLS

Array = np.ndarray[Any, Any]
I, H, P = 3, 4, 2


class Case:
    """A stack with random weights, input, initial states and masks, and a divergence over everything it puts out."""

    def __init__(
        self, name: str, num_layers: Any = 2, bidirectional: bool = True, merge: str = "concat", T: int = 4, B: int = 3,
        lengths: list[int] | None = None, masked: bool = False, cut_every: int | None = None,
    ) -> None:  # fmt: skip
        self.cell, options, optional = CELLS[name]
        self.T, self.B, self.P = T, B, P if "Wp" in optional else H
        self.step, rng = stack.step_of(self.cell, options), np.random.default_rng([T, B, len(name), masked])
        directions = ("forward", "backward") if bidirectional else ("forward",)
        if isinstance(num_layers, tuple):
            self.names = [f"{d}{l}" for d, n in zip(directions, num_layers) for l in range(n)]
            above = self.P
        else:
            self.names = [f"{d}{l}" for l in range(num_layers) for d in directions]
            above = self.P * (len(directions) if merge == "concat" else 1)
        widths = {n: I if n in ("forward0", "backward0") else above for n in self.names}
        self.values: dict[str, Array] = {}
        for n in self.names:
            for part, shape in self.step.shapes(widths[n], H, self.P).items():
                if part in optional or part not in self.step.optional:
                    self.values[f"{n}.{part}"] = rng.uniform(-0.9, 0.9, shape)
        self.values["xs"] = rng.standard_normal((T, B, I))
        self.state_names = [f"{s}_init" for s in self.step.states]
        sizes = dict(zip(self.step.states, (self.P, H)))
        for s, size in sizes.items():
            self.values[f"{s}_init"] = rng.uniform(-1, 1, (len(self.names), B, size))
        self.keywords: dict[str, Any] = {
            "num_layers": num_layers, "bidirectional": bidirectional, "merge": merge, "lengths": lengths,
            "cut_every": cut_every, "options": options,
        }  # fmt: skip
        if masked:
            self.keywords["masks"] = {
                n: {
                    "input": rng.uniform(0, 2, (T, B, widths[n])), "recurrent": rng.uniform(0, 2, (B, self.P)),
                    **{s: rng.uniform(0, 1, (T, B, size)) for s, size in sizes.items()},
                }
                for n in self.names
            }  # fmt: skip
        self.output_width = self.P * (len(directions) if merge == "concat" else 1)
        seen = [(T, B, self.output_width), *(self.values[s].shape for s in self.state_names)]
        self.u, self.v = ([rng.uniform(-0.5, 0.5, shape) for shape in seen] for _ in range(2))

    def divergence(self, result: ReferenceResult) -> float:
        """sin⟨u, everything⟩ + ½⟨v, everything²⟩: no sum over time."""
        seen = [result.output, *parts(result.final_state)]
        inner = sum(float((u * a).sum()) for u, a in zip(self.u, seen))
        return float(np.sin(inner)) + sum(0.5 * float((v * a * a).sum()) for v, a in zip(self.v, seen))

    def divergence_gradient(self, output: Array, final: Any) -> Any:
        seen = [output, *parts(final)]
        cos = np.cos(sum(float((u * a).sum()) for u, a in zip(self.u, seen)))
        d = [cos * u + v * a for u, v, a in zip(self.u, self.v, seen)]
        return d[0], packed(d[1:])

    def run(self, procedure: Any = reference_bptt, ask: Any = None, **changed: Any) -> ReferenceResult:
        values = {**self.values, **{n: a for n, a in changed.items() if n in self.values}}
        keywords = {**self.keywords, **{n: a for n, a in changed.items() if n not in self.values}}
        state = packed([values[s] for s in self.state_names])
        parameters = {n: a for n, a in values.items() if "." in n}
        ask = ask or self.divergence_gradient
        return procedure(self.cell, parameters, values["xs"], state, ask, **keywords)

    def wrong(self, procedure: Any = reference_bptt) -> set[str]:
        """The quantities whose gradients, by `procedure`, differences of the true forward pass contradict."""
        gradients = self.run(procedure).gradients
        assert gradients.keys() == self.values.keys()
        rng, found = np.random.default_rng(7), set()
        for name, a in self.values.items():
            assert gradients[name].shape == a.shape, name
            v = rng.standard_normal(a.shape)

            def off(h: float, name: str = name, a: Array = a, v: Array = v) -> bool:
                near, far = (
                    self.divergence(self.run(**{name: a + k * h * v}))
                    - self.divergence(self.run(**{name: a - k * h * v}))
                    for k in (1, 2)
                )
                numeric, exact = (8 * near - far) / (12 * h), float((gradients[name] * v).sum())
                return not abs(numeric - exact) <= 1e-7 * max(abs(numeric), abs(exact), 1e-1)

            if off(1e-4) and off(1e-6):  # the shorter step for where the longer one met relu's kink
                found.add(name)
        return found


def parts(state: Any) -> tuple[Any, ...]:
    return state if isinstance(state, tuple) else (state,)


def packed(states: list[Any]) -> Any:
    return tuple(states) if len(states) > 1 else states[0]


def assert_same(ours: Array, theirs: Array, name: str) -> None:
    """Within 1e-10 of the largest entry."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10 * max(1.0, np.abs(theirs).max()), err_msg=name)
