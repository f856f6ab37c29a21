"""The reference BPTT beside torch's recurrences and finite differences; planted faults; dtypes."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from minigrad_rnn.manual_bptt import ReferenceResult, stack
from tests.support.reference_cells import CELLS
from tests.support.stack_bench import Array, Case, H, I, P, assert_same, packed, parts

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


# --- Planted faults --------------------------------------------------------------------------------------------------
def mutant(monkeypatch: pytest.MonkeyPatch, true: str, false: str) -> Callable[..., ReferenceResult]:
    """`reference_bptt` of a copy of the stack with one expression changed."""
    source = inspect.getsource(stack)
    assert source.count(true) == 1, f"the stack says {true!r} {source.count(true)} times"
    module = types.ModuleType("minigrad_rnn.manual_bptt.spoiled")
    module.__package__ = "minigrad_rnn.manual_bptt"
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look their module up
    exec(compile(source.replace(true, false), module.__name__, "exec"), module.__dict__)
    return module.reference_bptt  # type: ignore[no-any-return]


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


# --- Dtypes and masks -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", CELLS)
def test_float32_stays_float32(name: str) -> None:
    case = Case(name, lengths=[4, 2, 1], masked=True)
    double = case.run()
    single = {n: a.astype(np.float32) for n, a in case.values.items()}
    masks = {n: {k: a.astype(np.float32) for k, a in m.items()} for n, m in case.keywords["masks"].items()}

    def ask(output: Array, final: Any) -> Any:
        d, d_final = case.divergence_gradient(output, final)
        return d.astype(np.float32), packed([g.astype(np.float32) for g in parts(d_final)])

    result = case.run(ask=ask, masks=masks, **single)
    arrays = {"output": result.output, **result.gradients, **dict(zip("hc", parts(result.final_state)))}
    assert {a.dtype for a in arrays.values()} == {np.dtype(np.float32)}, {n: a.dtype for n, a in arrays.items()}
    for n, g in double.gradients.items():
        np.testing.assert_allclose(result.gradients[n], g, rtol=2e-3, atol=1e-3, err_msg=n)


def test_masks_may_be_constant_along_an_axis() -> None:
    """As the probabilities of zoneout in evaluation are."""
    case = Case("lstm", masked=True)
    narrow = {n: {"h": np.full((case.T, 1, 1), 0.3), "c": np.full((case.T, 1, 1), 0.1)} for n in case.names}
    broad = {n: {k: np.broadcast_to(a, (case.T, case.B, H)).copy() for k, a in m.items()} for n, m in narrow.items()}
    for n, g in case.run(masks=narrow).gradients.items():
        np.testing.assert_allclose(g, case.run(masks=broad).gradients[n], rtol=1e-13, atol=1e-15, err_msg=n)
