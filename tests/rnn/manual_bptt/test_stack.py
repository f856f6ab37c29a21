"""The reference's stack, itself under test: torch's recurrences, finite differences, sequences alone, windows alone."""

from __future__ import annotations

import inspect
import itertools
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from minigrad_rnn.manual_bptt import ReferenceResult, reference_stack, stack
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

    def divergence(self, said: ReferenceResult) -> float:
        """sin⟨u, everything⟩ + ½⟨v, everything²⟩: no sum over time."""
        seen = [said.output, *parts(said.final_state)]
        inner = sum(float((u * a).sum()) for u, a in zip(self.u, seen))
        return float(np.sin(inner)) + sum(0.5 * float((v * a * a).sum()) for v, a in zip(self.v, seen))

    def divergence_gradient(self, output: Array, final: Any) -> Any:
        seen = [output, *parts(final)]
        cos = np.cos(sum(float((u * a).sum()) for u, a in zip(self.u, seen)))
        d = [cos * u + v * a for u, v, a in zip(self.u, self.v, seen)]
        return d[0], packed(d[1:])

    def run(self, procedure: Any = reference_stack, ask: Any = None, **changed: Any) -> ReferenceResult:
        values = {**self.values, **{n: a for n, a in changed.items() if n in self.values}}
        keywords = {**self.keywords, **{n: a for n, a in changed.items() if n not in self.values}}
        state = packed([values[s] for s in self.state_names])
        parameters = {n: a for n, a in values.items() if "." in n}
        ask = ask or self.divergence_gradient
        return procedure(self.cell, parameters, values["xs"], state, ask, **keywords)

    def wrong(self, procedure: Any = reference_stack) -> set[str]:
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


# --- Against torch ---------------------------------------------------------------------------------------------------
THEIRS = {"Wc": "weight_ih", "Wr": "weight_hh", "b": "bias_ih", "br": "bias_hh", "Wp": "weight_hr"}
TORCHS = ["rnn", "rnn relu, two biases", "lstm", "lstm, projection", "gru"]


@pytest.mark.parametrize("lengths", [None, [4, 1, 3]], ids=["all steps", "lengths"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
@pytest.mark.parametrize("name", TORCHS)
def test_agrees_with_torch(name: str, bidirectional: bool, lengths: list[int] | None) -> None:
    torch = pytest.importorskip("torch")
    case = Case(name, bidirectional=bidirectional, lengths=lengths)
    ours = case.run()
    more = {"proj_size": P} if "projection" in name else {}
    more |= {"nonlinearity": case.keywords["options"].get("nonlinearity", "tanh")} if case.cell == "rnn" else {}
    bias = "forward0.b" in case.values
    net = getattr(torch.nn, case.cell.upper())(I, H, 2, bias=bias, bidirectional=bidirectional, **more).double()
    leaves: dict[str, Any] = {}
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
        for full, a in case.values.items():
            cell, _, part = full.rpartition(".")
            if cell:
                suffix = "_reverse" if cell.startswith("backward") else ""
                leaves[full] = getattr(net, f"{THEIRS[part]}_l{cell[-1]}{suffix}")
                leaves[full].copy_(torch.from_numpy(a))
    for full in ("xs", *case.state_names):
        leaves[full] = torch.from_numpy(case.values[full].copy()).requires_grad_()
    given: Any = leaves["xs"]
    if lengths is not None:
        given = torch.nn.utils.rnn.pack_padded_sequence(given, torch.tensor(lengths), enforce_sorted=False)
    output, final = net(given, packed([leaves[s] for s in case.state_names]))
    if lengths is not None:
        output, _ = torch.nn.utils.rnn.pad_packed_sequence(output, total_length=case.T)
    d_output, d_final = case.divergence_gradient(ours.output, ours.final_state)
    arriving = [torch.from_numpy(g) for g in (d_output, *parts(d_final))]
    torch.autograd.backward([output, *parts(final)], arriving)
    assert_same(ours.output, output.detach().numpy(), "output")
    for ours_end, end in zip(parts(ours.final_state), parts(final)):
        assert_same(ours_end, end.detach().numpy(), "final state")
    assert ours.gradients.keys() == leaves.keys()
    for full, leaf in leaves.items():
        assert_same(ours.gradients[full], leaf.grad.numpy(), full)


# --- Against finite differences --------------------------------------------------------------------------------------
FORMS: dict[str, dict[str, Any]] = {
    "one-way": {"bidirectional": False},
    "two-way, lengths": {"lengths": [2, 4, 1]},
    "masks and lengths": {"masked": True, "lengths": [3, 1, 4]},
    "mean": {"merge": "mean"},
    "two depths, sum": {"num_layers": (1, 2), "merge": "sum", "masked": True},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CELLS)
def test_agrees_with_finite_differences(name: str, form: str) -> None:
    assert Case(name, **FORMS[form]).wrong() == set()


@settings(max_examples=25)
@given(
    st.sampled_from(sorted(CELLS)), st.integers(1, 4), st.integers(1, 3), st.sampled_from(["concat", "sum", "mean"]),
    st.one_of(st.integers(1, 2), st.tuples(st.integers(1, 2), st.integers(1, 2))), st.booleans(), st.data(),
)  # fmt: skip
def test_every_form_agrees_with_finite_differences(
    name: str, T: int, B: int, merge: str, depth: Any, masked: bool, data: st.DataObject
) -> None:
    lengths = data.draw(st.one_of(st.none(), st.lists(st.integers(1, T), min_size=B, max_size=B)))
    assert Case(name, depth, True, merge, T, B, lengths, masked).wrong() == set()


# --- Padding, windows, depths ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", CELLS)
def test_nothing_at_padding_matters(name: str) -> None:
    """NaN and infinity in the input, in masks and in what arrives at padding; each sequence is as if it were alone."""
    lengths = [4, 2, 1]
    case = Case(name, lengths=lengths, masked=True)
    padding = np.arange(case.T)[:, None] >= np.array(lengths)
    clean = case.run()
    spoiled_masks = {
        n: {k: np.where(padding[..., None], np.nan, a) if a.ndim == 3 else a for k, a in of_cell.items()}
        for n, of_cell in case.keywords["masks"].items()
    }

    def ask(output: Array, final: Any) -> Any:
        d, d_final = case.divergence_gradient(output, final)
        return np.where(padding[..., None], np.nan, d), d_final

    for bad in (np.nan, np.inf):
        xs = np.where(padding[..., None], bad, case.values["xs"])
        spoiled = case.run(ask=ask, xs=xs, masks=spoiled_masks)
        np.testing.assert_array_equal(spoiled.output, clean.output)
        for n, g in clean.gradients.items():
            np.testing.assert_array_equal(spoiled.gradients[n], g, err_msg=n)
    assert not clean.output[padding].any()
    assert not clean.gradients["xs"][padding].any()

    d_output, d_final = case.divergence_gradient(clean.output, clean.final_state)
    pooled = {n: np.zeros_like(a) for n, a in case.values.items() if "." in n}
    for b, n in enumerate(lengths):
        one, here = slice(b, b + 1), slice(0, n)
        masks = {
            cell: {k: a[here, one] if a.ndim == 3 else a[one] for k, a in of_cell.items()}
            for cell, of_cell in case.keywords["masks"].items()
        }
        d_alone = (d_output[here, one], packed([d[:, one] for d in parts(d_final)]))
        alone = case.run(
            ask=lambda *_, d=d_alone: d, xs=case.values["xs"][here, one], masks=masks, lengths=None,
            **{s: case.values[s][:, one] for s in case.state_names},
        )  # fmt: skip
        assert_same(alone.output, clean.output[here, one], "output")
        for end, whole in zip(parts(alone.final_state), parts(clean.final_state)):
            assert_same(end, whole[:, one], "final state")
        assert_same(alone.gradients["xs"], clean.gradients["xs"][here, one], "xs")
        for s in case.state_names:
            assert_same(alone.gradients[s], clean.gradients[s][:, one], s)
        for full in pooled:
            pooled[full] += alone.gradients[full]
    for full, g in pooled.items():
        assert_same(g, clean.gradients[full], full)


@pytest.mark.parametrize("cut_every", [1, 2, 3, 7])
@pytest.mark.parametrize("name", CELLS)
def test_cut_every_is_windows_with_detached_states(name: str, cut_every: int) -> None:
    """Each window run by itself from the last one's state, which is a constant to it; the gradients added."""
    T = 7
    case = Case(name, 2, False, T=T, cut_every=cut_every)
    cut = case.run()
    d_output, d_final = case.divergence_gradient(cut.output, cut.final_state)
    pooled = {n: np.zeros_like(a) for n, a in case.values.items()}
    state = [case.values[s] for s in case.state_names]
    for begin in range(0, T, cut_every):
        window = slice(begin, begin + cut_every)
        ends = [d if begin + cut_every >= T else np.zeros_like(d) for d in parts(d_final)]
        d_one = (d_output[window], packed(ends))
        one = case.run(
            ask=lambda *_, d=d_one: d, xs=case.values["xs"][window], cut_every=None,
            **dict(zip(case.state_names, state)),
        )  # fmt: skip
        assert_same(one.output, cut.output[window], "output")
        state = list(parts(one.final_state))
        for n, g in one.gradients.items():
            if n == "xs":
                pooled[n][window] = g
            elif begin == 0 or "." in n:
                pooled[n] += g
    for n, g in pooled.items():
        assert_same(cut.gradients[n], g, n)
    if cut_every < T:
        uncut = case.run(cut_every=None)
        assert not np.allclose(uncut.gradients["forward0.Wr"], cut.gradients["forward0.Wr"])


@pytest.mark.parametrize("name", CELLS)
def test_cut_every_with_lengths_is_each_sequence_alone(name: str) -> None:
    lengths = [7, 3, 4]
    case = Case(name, 2, False, T=7, lengths=lengths, cut_every=3)
    whole = case.run()
    d_output, d_final = case.divergence_gradient(whole.output, whole.final_state)
    pooled = {n: np.zeros_like(a) for n, a in case.values.items()}
    for b, n in enumerate(lengths):
        one, here = slice(b, b + 1), slice(0, n)
        d_alone = (d_output[here, one], packed([d[:, one] for d in parts(d_final)]))
        alone = case.run(
            ask=lambda *_, d=d_alone: d, xs=case.values["xs"][here, one], lengths=None,
            **{s: case.values[s][:, one] for s in case.state_names},
        )  # fmt: skip
        for full, g in alone.gradients.items():
            pooled[full][(here, one) if full == "xs" else (slice(None), one) if full in case.state_names else ...] += g
    for full, g in pooled.items():
        assert_same(whole.gradients[full], g, full)


@pytest.mark.parametrize("merge", ["concat", "sum", "mean"])
def test_two_depths_are_two_nets_merged_at_their_tops(merge: str) -> None:
    case = Case("gru", (1, 3), True, merge, lengths=[4, 2, 3])
    whole = case.run()
    d_output, d_final = case.divergence_gradient(whole.output, whole.final_state)
    halves = [d_output[..., :H], d_output[..., H:]] if merge == "concat" else [d_output * (0.5, 1)[merge == "sum"]] * 2
    outputs, dx = [], np.zeros_like(case.values["xs"])
    for direction, rows, half in zip(("forward", "backward"), (slice(0, 1), slice(1, 4)), halves):
        turned = direction == "backward"

        def flip(a: Array, turned: bool = turned) -> Array:
            """Each sequence mirrored within its own length."""
            mirrored = a.copy()
            for b, n in enumerate(case.keywords["lengths"]):
                mirrored[:n, b] = a[:n, b][::-1] if turned else a[:n, b]
            return mirrored

        parameters = {n.replace("backward", "forward"): a for n, a in case.values.items() if n.startswith(direction)}
        alone = reference_stack(
            "gru", parameters, flip(case.values["xs"]), case.values["h_init"][rows],
            lambda *_, half=half, rows=rows, flip=flip: (flip(half), d_final[rows]),
            num_layers=rows.stop - rows.start, bidirectional=False, lengths=case.keywords["lengths"],
        )  # fmt: skip
        outputs.append(flip(alone.output))
        dx += flip(alone.gradients["xs"])
        assert_same(alone.final_state, whole.final_state[rows], "final state")
        for n in parameters:
            assert_same(alone.gradients[n], whole.gradients[n.replace("forward", direction)], n)
    together = {"concat": np.concatenate(outputs, -1), "sum": sum(outputs), "mean": sum(outputs) / 2}[merge]
    assert_same(whole.output, together, "output")
    assert_same(whole.gradients["xs"], dx, "xs")


# --- Planted faults --------------------------------------------------------------------------------------------------
def mutant(monkeypatch: pytest.MonkeyPatch, true: str, false: str) -> Callable[..., ReferenceResult]:
    """`reference_stack` of a copy of the stack with one expression changed."""
    source = inspect.getsource(stack)
    assert source.count(true) == 1, f"the stack says {true!r} {source.count(true)} times"
    module = types.ModuleType("minigrad_rnn.manual_bptt.spoiled")
    module.__package__ = "minigrad_rnn.manual_bptt"
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look their module up
    exec(compile(source.replace(true, false), module.__name__, "exec"), module.__dict__)
    return module.reference_stack  # type: ignore[no-any-return]


FAULTS = {
    "the first time step is dropped": ("in self.times()[::-1]:", "in self.times()[:0:-1]:"),
    "backward runs in the order of forward": ("in self.times()[::-1]:", "in self.times():"),
    "zoneout's old value is not heard": ("s + m * g + np.where", "s + np.where"),
    "zoneout's new value is heard in full": ("(1.0 - m) * g for", "g for"),
    "what stays at padding is lost": ("[s + m * g", "[m * g"),
    "the final state arrives at padding": ("arrived = [np.where(here, g, 0.0) for g in d]", "arrived = d"),
    "the recurrent weights' share is missing": ("d[0] = d[0] + np.where(here, dhr", "_ = d[0] + np.where(here, dhr"),
    "the halves are exchanged": ("[d[..., :P], d[..., P:]]", "[d[..., P:], d[..., :P]]"),
    "one direction's dx is forgotten": ("below[0] + below[1]", "below[0]"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_stack_is_noticed(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    case = Case("lstm, all", lengths=[2, 4, 3], masked=True)
    assert case.wrong(mutant(monkeypatch, *FAULTS[fault])), fault


def test_an_unchanged_copy_is_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("lstm, all", lengths=[2, 4, 3], masked=True)
    assert case.wrong(mutant(monkeypatch, "below[0] + below[1]", "below[0] + below[1]")) == set()


@pytest.mark.parametrize("name", CELLS)
def test_float32_stays_float32(name: str) -> None:
    case = Case(name, lengths=[4, 2, 1], masked=True)
    double = case.run()
    single = {n: a.astype(np.float32) for n, a in case.values.items()}
    masks = {n: {k: a.astype(np.float32) for k, a in m.items()} for n, m in case.keywords["masks"].items()}

    def ask(output: Array, final: Any) -> Any:
        d, d_final = case.divergence_gradient(output, final)
        return d.astype(np.float32), packed([g.astype(np.float32) for g in parts(d_final)])

    said = case.run(ask=ask, masks=masks, **single)
    arrays = {"output": said.output, **said.gradients, **dict(zip("hc", parts(said.final_state)))}
    assert {a.dtype for a in arrays.values()} == {np.dtype(np.float32)}, {n: a.dtype for n, a in arrays.items()}
    for n, g in double.gradients.items():
        np.testing.assert_allclose(said.gradients[n], g, rtol=2e-3, atol=1e-3, err_msg=n)


def test_masks_may_be_constant_along_an_axis() -> None:
    """As the probabilities of zoneout in evaluation are."""
    case = Case("lstm", masked=True)
    narrow = {n: {"h": np.full((case.T, 1, 1), 0.3), "c": np.full((case.T, 1, 1), 0.1)} for n in case.names}
    broad = {n: {k: np.broadcast_to(a, (case.T, case.B, H)).copy() for k, a in m.items()} for n, m in narrow.items()}
    for n, g in case.run(masks=narrow).gradients.items():
        np.testing.assert_allclose(g, case.run(masks=broad).gradients[n], rtol=1e-13, atol=1e-15, err_msg=n)


# --- Manners ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_layers": 0}, "num_layers is 0"),
        ({"num_layers": (1, 0)}, r"num_layers is \(1, 0\)"),
        ({"lengths": [1, 2]}, r"lengths is \[1, 2\]; it wants 3 whole numbers"),
        ({"lengths": [1, 2, 5]}, r"lengths is \[1, 2, 5\]"),
        ({"lengths": [1, 2, 0]}, r"lengths is \[1, 2, 0\]"),
        ({"lengths": [1.0, 2.0, 3.0]}, "lengths is"),
        ({"masks": {"forward0": {"c": np.ones((4, 3, H))}}}, r"masks\['forward0'\] has 'c'"),
        ({"masks": {"forward0": {"h": np.ones((3, H))}}}, r"masks\['forward0'\]\['h'\] is float64 \(3, 4\)"),
        ({"cut_every": 2}, "cut_every is 2; it wants .* one direction"),
        ({"options": {"nonlinearity": "tanh"}}, r"options has \['nonlinearity'\]"),
        ({"forward1.Wc": np.zeros((12, 5))}, r"parameters\['forward1.Wc'\] is float64 \(12, 5\); .* \(12, 8\)"),
        ({"forward1.Wr": np.zeros((12, 4), np.float32)}, r"parameters\['forward1.Wr'\] is float32"),
        ({"xs": np.zeros((4, 3, 3), int)}, r"xs is int64 \(4, 3, 3\)"),
        ({"h_init": np.zeros((4, 3, 5))}, r"initial_state's h is float64 \(4, 3, 5\); .* \(4, 3, 4\)"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_arguments_that_do_not_fit_are_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"reference: {message}"):
        Case("gru").run(**changed)


def test_a_parameter_that_is_missing_or_unknown_is_named() -> None:
    case = Case("layer_norm_rnn", 1, False)
    for gone, more in itertools.product(("forward0.gain", "forward0.Wc"), (False, True)):
        given = {n: a for n, a in case.values.items() if "." in n and (more or n != gone)}
        if more:
            given["forward0.br"] = np.zeros(H)
        with pytest.raises(ValueError, match=f"reference: parameters {'has' if more else 'lacks'} '"):
            reference_stack(
                case.cell, given, case.values["xs"], case.values["h_init"], case.divergence_gradient,
                num_layers=1, bidirectional=False,
            )  # fmt: skip
