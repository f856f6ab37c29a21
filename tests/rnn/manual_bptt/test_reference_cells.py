"""The reference's cells and stack: beside the slides' procedures, beside differences, and with planted faults.

That they agree with the tape, and the tape with torch and finite differences, stands in test_verify and test_lengths.
"""

from __future__ import annotations

import inspect
import types
from typing import Any

import numpy as np
import pytest

from minigrad_rnn.manual_bptt import lecture, normalized_cells, plain_cells, reference_bptt, stack
from tests.support.reference_cells import CELLS
from tests.support.slides_bench import by_the_slides

I, H, P, T, B = 3, 4, 2, 5, 2
every_cell = pytest.mark.parametrize(("cell", "options", "optional"), CELLS.values(), ids=CELLS.keys())


def drawn(cell: str, options: Any, optional: set[str], names: list[str], widths: dict[str, int]) -> Any:
    """Parameters by full name, and the states' sizes."""
    step, rng = stack.step_of(cell, options), np.random.default_rng(1)
    width = P if "Wp" in optional else H
    parameters = {}
    for name in names:
        for part, shape in step.shapes(widths[name], H, width).items():
            if part in optional or part not in step.optional:
                parameters[f"{name}.{part}"] = rng.uniform(-0.8, 0.8, shape)
    return parameters, [width, H][: len(step.states)]


def asked(shapes: list[Any]) -> Any:
    """A divergence's gradients that depend on all outputs and final states at once."""
    rng = np.random.default_rng(3)
    weights = [rng.uniform(-1, 1, shape) for shape in shapes]

    def gradient(output: Any, final: Any) -> Any:
        seen = [output, *(final if isinstance(final, tuple) else (final,))]
        inner = sum(float((a * w).sum()) for a, w in zip(seen, weights))
        d = [(2 * inner + 1) * w for w in weights]
        return d[0], tuple(d[1:]) if len(d) > 2 else d[1]

    return gradient


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_stack_agrees_with_the_slides_procedures(cell: str, bidirectional: bool) -> None:
    directions = ("forward", "backward") if bidirectional else ("forward",)
    names = [f"{d}{l}" for l in range(2) for d in directions]
    widths = {name: I if name.endswith("0") else H * len(directions) for name in names}
    parameters, sizes = drawn(cell, {}, {"b"}, names, widths)
    rng = np.random.default_rng(2)
    start = [rng.standard_normal((len(names), B, size)) for size in sizes]
    state = tuple(start) if len(start) > 1 else start[0]
    xs, ask = rng.standard_normal((T, B, I)), asked([(T, B, H * len(directions)), *(a.shape for a in start)])
    kind = lecture.RNN if cell == "rnn" else lecture.LSTM
    by_slides = by_the_slides(lecture, kind, parameters, xs, start, ask, 2, bidirectional)
    by_stack = reference_bptt(cell, parameters, xs, state, ask, num_layers=2, bidirectional=bidirectional)
    assert by_slides.gradients.keys() == by_stack.gradients.keys()
    np.testing.assert_allclose(by_stack.output, by_slides.output, rtol=1e-13)
    for name, g in by_stack.gradients.items():
        np.testing.assert_allclose(g, by_slides.gradients[name], rtol=1e-10, atol=1e-13, err_msg=name)


def one_layer(cell: str, options: Any, optional: set[str]) -> Any:
    parameters, sizes = drawn(cell, options, optional, ["forward0"], {"forward0": I})
    rng = np.random.default_rng(4)
    start = [rng.standard_normal((1, B, size)) for size in sizes]
    return parameters, rng.standard_normal((T, B, I)), start, rng.standard_normal((T, B, sizes[0]))


@pytest.mark.parametrize("module", [plain_cells, normalized_cells])
def test_a_wrong_sign_in_any_derivative_is_noticed(module: types.ModuleType) -> None:
    """Each `+`, `-` and `*` of each derivative by hand becomes another in turn: central differences must see it."""
    source = inspect.getsource(module)
    steps = {n: f for n, f in vars(module).items() if n.endswith("_back") and f.__module__ == module.__name__}
    tried = 0
    for name, function in steps.items():
        body = inspect.getsource(function)
        head = body.index('"""', body.index('"""') + 3) if '"""' in body else body.index(":\n")
        swap = {"+": "-", "-": "+", "*": "+"}
        places = [k for k, c in enumerate(body) if c in swap and k > head and body[k - 1] == body[k + 1] == " "]
        for k in places:
            spoiled = types.ModuleType(module.__name__)
            spoiled.__package__ = module.__package__
            wrong = source.replace(body, body[:k] + swap[body[k]] + body[k + 1 :])
            exec(compile(wrong, module.__name__, "exec"), spoiled.__dict__)
            assert wrong_somewhere(getattr(spoiled, name), name), f"{name}: {body[max(0, k - 30) : k + 30]!r}"
            tried += 1
    assert tried >= 10


def wrong_somewhere(back: Any, name: str) -> bool:
    """Whether the derivative called `name` disagrees with central differences of its step in any case that uses it."""
    for cell, options, optional in CELLS.values():
        step = stack.step_of(cell, options)
        used = getattr(step.backward, "func", step.backward)
        if used.__name__ != name:
            continue
        parameters, xs, start, _ = one_layer(cell, options, optional)
        own = {n.rpartition(".")[2]: a for n, a in parameters.items()}
        before = tuple(a[0] for a in start)
        rng = np.random.default_rng(6)
        mask, ds = rng.uniform(0.5, 1.5, before[0].shape), [rng.standard_normal(a.shape) for a in before]

        def value(x: Any, hr: Any, states: Any, p: Any, step: Any = step, ds: Any = ds) -> float:
            after, _ = step.forward(p, x, hr, states)
            return sum(float((a * d).sum()) for a, d in zip(after, ds))

        _, kept = step.forward(own, xs[0], before[0] * mask, before)
        pooled = {n: np.zeros_like(a) for n, a in own.items()}
        keywords = getattr(step.backward, "keywords", {})
        try:
            dx, dhr, dbefore = back(own, kept, tuple(ds), pooled, **keywords)
        except (ValueError, KeyError):
            return True
        places = {"x": xs[0], "hr": before[0] * mask, **{f"s{k}": a for k, a in enumerate(before)}, **own}
        claimed = {"x": dx, "hr": dhr, **{f"s{k}": g for k, g in enumerate(dbefore)}, **pooled}
        for place, a in places.items():
            v, h = np.random.default_rng(7).standard_normal(a.shape), 1e-6
            ends = []
            for sign in (1, -1):
                moved = {**places, place: a + sign * h * v}
                states = tuple(moved[f"s{k}"] for k in range(len(before)))
                ends.append(value(moved["x"], moved["hr"], states, {n: moved[n] for n in own}))
            slope = (ends[0] - ends[1]) / (2 * h)
            if not np.isclose(float((claimed[place] * v).sum()), slope, rtol=1e-5, atol=1e-6):
                return True
    return False


@every_cell
def test_each_derivative_by_hand_is_right(cell: str, options: Any, optional: set[str]) -> None:
    back = stack.step_of(cell, options).backward
    function = getattr(back, "func", back)
    assert not wrong_somewhere(function, function.__name__)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cell": "qru"}, "cell: got 'qru'"),
        ({"options": {"slope": 1}}, r"options: got \['slope'\]"),
        ({"merge": "product"}, "merge: got 'product'"),
        ({"num_layers": (1, 1)}, r"num_layers: got \(1, 1\)"),
        ({"cut_every": 0}, "cut_every: got 0"),
        ({"masks": {"forward7": {}}}, r"masks: got \['forward7'\]"),
        ({"initial_state": np.zeros((1, B, H + 1))}, "initial_state's h: got"),
        ({"divergence_gradient": lambda output, final: (output[0], final)}, "the divergence's d_output: got"),
        ({"divergence_gradient": lambda output, final: (output, final[0])}, "the divergence's d_final_state's h: got"),
    ],
)
def test_errors(changed: dict[str, Any], message: str) -> None:
    parameters, xs, start, dhs = one_layer("gru", {}, {"b", "br"})
    given: dict[str, Any] = {
        "cell": "gru", "parameters": parameters, "xs": xs, "initial_state": start[0],
        "divergence_gradient": lambda output, final: (dhs, np.zeros_like(final)),
        "num_layers": 1, "bidirectional": False,
    }  # fmt: skip
    reference_bptt(**given)
    with pytest.raises(ValueError, match=message):
        reference_bptt(**{**given, **changed})
