"""Compare a random recurrence's gradients: graph, fused, the BPTT by hand, torch, and each sequence alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad_rnn import CellMasks, Recurrence, Truncation, torch_state_dict
from minigrad_rnn.networks.implementations import native_refusal
from minigrad_rnn.verification.recurrence_case import RecurrenceCase
from tests.fuzz.recurrence_cases import Array, Case

Results = dict[str, Array]
TOLERANCE = 1e-9


class Mismatch(AssertionError):
    """Two ways to one value or gradient differ; the message holds the case."""


def check(case: Case, way: str, torch: Any = None) -> bool:
    """Run the check called `way`; return whether the case allows it.

    Raises:
        Mismatch: with the case; an error inside the library is its cause.
    """
    try:
        pairs = WAYS[way](case, torch) if way == "torch" else WAYS[way](case)
    except Exception as error:
        raise Mismatch(f"{way}: {type(error).__name__}: {error}\n{case}") from error
    for name, (got, want) in pairs.items():
        scale = max(1.0, float(np.max(np.abs(want), initial=0.0)))
        if got.shape != want.shape or not np.allclose(got, want, rtol=0, atol=TOLERANCE * scale):
            raise Mismatch(f"{way}: {name} is\n{got}, want\n{want}\n{case}")
    return bool(pairs)


Pairs = dict[str, tuple[Array, Array]]
"""By name, what a check found and what is right; empty where the case does not allow the check."""


def divergence(seed: int) -> Callable[..., Any]:
    """A weighted sum of y + sin(2y) over everything: of several sequences it is the sum of each one's."""

    def value(xp: Any, *arrays: Any) -> Any:
        total = 0.0
        for k, y in enumerate(arrays):
            w = weights(seed, k, tuple(y.shape))
            w = w if xp is mg else xp.from_numpy(w)
            total = total + (w * (y + xp.sin(y * 2.0))).sum()
        return total

    return value


def weights(seed: int, k: int, shape: tuple[int, ...]) -> Array:
    return np.random.default_rng((seed, k)).uniform(-1, 1, shape)


def in_layout(net: Recurrence, xs: Array) -> Array:
    return np.ascontiguousarray(xs.swapaxes(0, 1)) if net.batch_first else xs


def packed(parts: Any) -> Any:
    return None if parts is None else parts if len(parts) > 1 else parts[0]


def unpacked(state: Any) -> tuple[Any, ...]:
    return state if isinstance(state, tuple) else (state,)


def run(case: Case, net: Recurrence, order: int = 1, every: bool = True) -> Results:
    """Values of every output and state, and the gradients; of second order the gradient of Σ v · gradient."""
    leaves = {"xs": mg.tensor(in_layout(net, case.xs), requires_grad=True)}
    leaves |= {f"state{k}": mg.tensor(a, requires_grad=True) for k, a in enumerate(case.state or ())}
    state = packed([leaves[f"state{k}"] for k in range(len(case.state))]) if case.state is not None else None
    result = net(leaves["xs"], state, lengths=case.lengths, masks=case.masks, return_states=every)
    values = {f"value{k}": a for k, a in enumerate(a for part in result for a in unpacked(part))}
    loss = divergence(case.seed)(mg, *values.values())
    leaves |= dict(net.named_parameters())
    grads = mg.gradients(loss, list(leaves.values()), create_graph=order == 2, allow_unused=True)
    if order == 2:
        live = [(k, g) for k, g in enumerate(grads) if g is not None and g.requires_grad]
        along = sum((g * weights(case.seed, 100 + k, g.shape)).sum() for k, g in live)
        grads = mg.gradients(along, list(leaves.values()), allow_unused=True)
    found = {n: np.zeros(x.shape) if g is None else g.numpy() for (n, x), g in zip(leaves.items(), grads)}
    return {name: a.numpy() for name, a in values.items()} | found


def paired(got: Results, want: Results) -> Pairs:
    assert got.keys() == want.keys()
    return {name: (got[name], want[name]) for name in want}


def whole_sequences(case: Case) -> list[str]:
    """The implementations that run a whole sequence at once and serve the case: "fused", "native"."""
    if case.net().fused_refusal() or case.inside_steps:
        return []
    return ["fused"] if native_refusal(case.net()) else ["fused", "native"]


def named(impl: str, pairs: Pairs) -> Pairs:
    return {f"{impl} {name}": pair for name, pair in pairs.items()}


def beside_the_graph(case: Case, order: int = 1) -> Pairs:
    pairs: Pairs = {}
    if implementations := whole_sequences(case):
        want = run(case, case.net("graph"), order)
        for impl in implementations:
            pairs |= named(impl, paired(run(case, case.net(impl), order), want))
    return pairs


def second_order(case: Case) -> Pairs:
    return beside_the_graph(case, order=2)


def by_hand(case: Case) -> Pairs:
    """Every implementation beside the reference, with a truncation in a third of the cases that read forward."""
    net, rng = case.net("graph"), np.random.default_rng(case.seed)
    k1 = int(rng.integers(1, case.sizes[0] + 1))
    truncation = Truncation(k1) if net.directions == ("forward",) and case.seed % 3 == 0 else None
    given = RecurrenceCase.of(
        net, in_layout(net, case.xs), packed(case.state), lambda y, ends: divergence(case.seed)(mg, y, *ends),
        rng, case.lengths, case.masks, truncation,
    )  # fmt: skip
    want = given.by_hand()
    pairs: Pairs = {}
    for name in given.implementations:
        found = given.on_the_tape(name)
        pairs |= {f"{name} {key}": (found[key], want[key]) for key in want}
    return pairs


def windows(case: Case) -> Pairs:
    """Overlapping windows, of whole sequences and op by op; and a single window of all steps beside the plain call."""
    net = case.net("graph")
    if net.directions != ("forward",):
        return {}
    T = case.sizes[0]
    k1 = 1 + case.seed % T

    def found(impl: str, truncation: Truncation | None) -> Results:
        net = case.net(impl)
        xs = mg.tensor(in_layout(net, case.xs), requires_grad=True)
        if truncation is None:
            output, final = net(xs, packed(case.state), lengths=case.lengths, masks=case.masks)
        else:
            output, final = truncation.run(net, xs, packed(case.state), case.masks, case.lengths)
        return {"output": output.numpy()} | gradients(case, net, xs, (output, *unpacked(final)))

    plain, overlapping = found("graph", None), found("graph", Truncation(k1, 2 * k1))
    pairs = {f"whole {n}": pair for n, pair in paired(found("graph", Truncation(T)), plain).items()}
    pairs["output in windows"] = (overlapping["output"], plain["output"])
    for impl in whole_sequences(case):
        pairs |= named(impl, paired(found(impl, Truncation(k1, 2 * k1)), overlapping))
    return pairs


def gradients(case: Case, net: Recurrence, xs: mg.Tensor, values: tuple[Any, ...]) -> Results:
    """Those of the divergence of these values by xs and the parameters."""
    leaves = {"xs": xs, **dict(net.named_parameters())}
    grads = mg.gradients(divergence(case.seed)(mg, *values), list(leaves.values()), allow_unused=True)
    return {n: np.zeros(x.shape) if g is None else g.numpy() for (n, x), g in zip(leaves.items(), grads)}


def each_alone(case: Case) -> Pairs:
    """The batch beside each sequence by itself, without its padding, lengths or batch."""
    net = case.net("auto", batch_first=False)
    T, B, _, _ = case.sizes
    lengths = case.lengths or (T,) * B
    xs = mg.tensor(case.xs, requires_grad=True)
    output, final = net(xs, packed(case.state), lengths=case.lengths, masks=case.masks)
    finals = unpacked(final)
    W = [weights(case.seed, k, tuple(y.shape)) for k, y in enumerate((output, *finals))]

    def total(ys: Any, ws: Any) -> Any:
        return sum((w * (y + mg.sin(y * 2.0))).sum() for y, w in zip(ys, ws))

    parameters = dict(net.named_parameters())
    grads = mg.gradients(total((output, *finals), W), [xs, *parameters.values()], allow_unused=True)
    want_xs, want_output = np.zeros(case.xs.shape), np.zeros(output.shape)
    sums = {name: np.zeros(p.shape) for name, p in parameters.items()}
    want_finals = [np.zeros(part.shape) for part in finals]
    for b, n in enumerate(lengths):
        x = mg.tensor(case.xs[:n, b : b + 1], requires_grad=True)
        state = None if case.state is None else packed([part[:, b : b + 1] for part in case.state])
        y, last = net(x, state, masks={name: _of_one(mask, b, n) for name, mask in case.masks.items()})
        loss = total((y, *unpacked(last)), [W[0][:n, b : b + 1], *(w[:, b : b + 1] for w in W[1:])])
        found = mg.gradients(loss, [x, *parameters.values()], allow_unused=True)
        want_output[:n, b : b + 1] = y.numpy()
        for whole, part in zip(want_finals, unpacked(last)):
            whole[:, b : b + 1] = part.numpy()
        want_xs[:n, b : b + 1] = found[0].numpy()
        for name, g in zip(sums, found[1:]):
            sums[name] += 0.0 if g is None else g.numpy()
    pairs = {"output": (output.numpy(), want_output), "xs": (grads[0].numpy(), want_xs)}
    pairs |= {f"final{k}": (a.numpy(), b) for k, (a, b) in enumerate(zip(finals, want_finals))}
    return pairs | {n: (np.zeros_like(w) if g is None else g.numpy(), w) for (n, w), g in zip(sums.items(), grads[1:])}


def _of_one(mask: CellMasks, b: int, n: int) -> CellMasks:
    def part(a: Any) -> Any:
        return None if a is None else a[:n, b : b + 1] if a.shape[1] > 1 else a[:n]

    recurrent = None if mask.recurrent is None else mask.recurrent[b : b + 1]
    return CellMasks(part(mask.input), recurrent, tuple(map(part, mask.zoneout)))


def by_time_step(case: Case) -> Pairs:
    """The ledger's lines of a step, of whole sequences and op by op; and their sum."""
    implementations = whole_sequences(case)
    if not implementations:
        return {}
    books = []
    for impl in ("graph", *implementations):
        net = case.net(impl)
        output, final = net(in_layout(net, case.xs), packed(case.state), lengths=case.lengths, masks=case.masks)
        parameters = {n: p for n, p in net.named_parameters() if not n.endswith("_init")}
        loss = divergence(case.seed)(mg, output, *unpacked(final))
        book = mg.ledger(loss, list(parameters.values()))
        lines: dict[str, Array] = {}
        for name, parameter in parameters.items():
            for step, g in book[parameter]:
                key = f"{name} at {step}"
                lines[key] = lines.get(key, 0.0) + g.numpy()
        books.append(lines)
    zero = np.zeros(())
    keys = {key for book in books for key in book}
    graph, *others = (
        {k: book.get(k, zero) + 0.0 * next(b[k] for b in books if k in b) for k in keys} for book in books
    )
    pairs: Pairs = {}
    for impl, other in zip(implementations, others):
        pairs |= named(impl, paired(other, graph))
    return pairs


def in_two_calls(case: Case) -> Pairs:
    """The steps in two calls, the state carried from the first to the second, beside one call."""
    net = case.net("auto", batch_first=False)
    T = case.sizes[0]
    if net.directions != ("forward",) or T < 2 or case.masks:
        return {}
    cut, results = 1 + case.seed % (T - 1), list[Results]()
    for pieces in ([(0, T)], [(0, cut), (cut, T)]):
        xs = mg.tensor(case.xs, requires_grad=True)
        state, outputs = packed(case.state), []
        for begin, stop in pieces:
            y, state = net(xs[begin:stop], state)
            outputs.append(y)
        output, last = mg.concatenate(outputs), unpacked(state)
        results.append({"output": output.numpy(), "final": last[-1].numpy()})
        results[-1] |= gradients(case, net, xs, (output, *last))
    return paired(results[1], results[0])


def hooked(case: Case) -> Pairs:
    """Hooks that change nothing, beside none."""
    net, calls = case.net("auto"), []
    for name in net.cell_names:
        getattr(net, name).register_forward_hook(lambda *args: calls.append(1))
        getattr(net, name).register_full_backward_hook(lambda *args: None)
    pairs = paired(run(case, net), run(case, case.net("graph")))
    return pairs | {"calls": (np.array(len(calls)), np.array(case.sizes[0] * len(net.cells)))}


def with_torch(case: Case, torch: Any) -> Pairs:
    """torch's module with the same weights, where it has the options."""
    allowed = {"bias", "batch_first", "bidirectional", "initial_state", "merge", "two_biases", "nonlinearity",
               "reset_after", "proj_size", "forget_bias", "dropout", "reverse"}  # fmt: skip
    o = case.options
    usual = all(name in allowed or value in (None, False, 0.0) for name, value in o.items())
    nonlinearity, both = o.get("nonlinearity", "tanh"), o["bidirectional"]
    if case.kind not in ("rnn", "lstm", "gru") or not usual or nonlinearity not in ("tanh", "relu"):
        return {}
    if (both and o.get("merge", "concat") != "concat") or isinstance(case.num_layers, tuple) or case.masks:
        return {}
    if o.get("initial_state") == "learned" or not o.get("reset_after", True) or (o["reverse"] and case.lengths):
        return {}
    net = case.net()
    _, _, I, H = case.sizes
    extra = {"proj_size": o["proj_size"]} if o.get("proj_size") else {}
    extra |= {"nonlinearity": nonlinearity} if case.kind == "rnn" else {}
    theirs = getattr(torch.nn, case.kind.upper())(
        I, H, case.num_layers, bias=o["bias"], batch_first=o["batch_first"], bidirectional=both, **extra
    ).double()
    forward = case.net(reverse=False)
    forward.load_state_dict({n.replace("backward", "forward") if o["reverse"] else n: p.numpy()
                             for n, p in net.named_parameters()})  # fmt: skip
    theirs.load_state_dict({n: torch.from_numpy(a) for n, a in torch_state_dict(forward).items()})
    time = 1 if o["batch_first"] else 0
    xs = torch.from_numpy(in_layout(net, case.xs).copy()).requires_grad_()
    start = None if case.state is None else [torch.from_numpy(a.copy()).requires_grad_() for a in case.state]
    read = xs.flip(time) if o["reverse"] else xs
    if case.lengths is not None:
        read = torch.nn.utils.rnn.pack_padded_sequence(read, case.lengths, bool(time), enforce_sorted=False)
    output, final = theirs(read, packed(start))
    if case.lengths is not None:
        output, _ = torch.nn.utils.rnn.pad_packed_sequence(output, bool(time), total_length=case.sizes[0])
    output = output.flip(time) if o["reverse"] else output
    values = (output, *unpacked(final))
    divergence(case.seed)(torch, *values).backward()
    want = {f"value{k}": a.detach().numpy() for k, a in enumerate(values)} | {"xs": xs.grad.numpy()}
    want |= {f"state{k}": a.grad.numpy() for k, a in enumerate(start or ())}
    short = {"Wc": "weight_ih", "Wr": "weight_hh", "b": "bias_ih", "br": "bias_hh", "Wp": "weight_hr"}
    for name, _ in net.named_parameters():
        cell, part = name.split(".")
        suffix = f"_l{cell[-1]}" + "_reverse" * (both and cell.startswith("backward"))
        want[name] = getattr(theirs, short[part] + suffix).grad.numpy()
    return paired(run(case, net, every=False), want)


WAYS: dict[str, Callable[..., Pairs]] = {
    "by hand": by_hand,
    "beside the graph": beside_the_graph,
    "each alone": each_alone,
    "by time step": by_time_step,
    "second order": second_order,
    "windows": windows,
    "in two calls": in_two_calls,
    "hooked": hooked,
    "torch": with_torch,
}
