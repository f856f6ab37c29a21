"""A valid call of every public function, constructor and method of minigrad_rnn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
import minigrad_rnn as mr
from minigrad import nn
from minigrad_rnn import flow
from minigrad_rnn.seq2seq import sampling

from .example import (
    HS,
    IDS,
    LENGTHS,
    LOG_PROBS,
    MODEL,
    XS,
    YS,
    Arguments,
    B,
    Example,
    H,
    I,
    K,
    New,
    T,
    call,
    function,
    method,
)
from .text_examples import TEXT_EXAMPLES, character_model

SIZES: Arguments = {"input_size": I, "hidden_size": H}
CELL: Arguments = {**SIZES, "bias": True, "initial_state": "zeros", **MODEL, "two_biases": False}
NETWORK: Arguments = {
    **SIZES,
    "num_layers": 1,
    "bias": True,
    "batch_first": False,
    "dropout": 0.0,
    "bidirectional": False,
    "impl": "graph",
    "initial_state": "zeros",
    "recurrent_dropout": 0.0,
    "zoneout": 0.0,
    "merge": "concat",
    "reverse": False,
    **MODEL,
}
OWN_OPTIONS: dict[str, Arguments] = {
    "RNN": {"nonlinearity": "tanh", "clip": None, "two_biases": False},
    "IndRNN": {"nonlinearity": "relu"},
    "GRU": {"reset_after": True, "gate_activation": "sigmoid", "activation": "tanh", "clip": None, "two_biases": True},
    "LSTM": {
        "proj_size": 0,
        "peephole": False,
        "forget_bias": None,
        "gate_activation": "sigmoid",
        "activation": "tanh",
        "output_activation": None,
        "clip": None,
        "coupled_gates": False,
        "two_biases": False,
    },
}
NAMED = ("RNN", "LSTM", "GRU", "MGU", "IndRNN", "LayerNormRNN", "LayerNormLSTM", "LayerNormGRU")
CLASSIC: Arguments = {
    **SIZES,
    "output_size": K,
    "nonlinearity": "tanh",
    "output_nonlinearity": None,
    "bias": True,
    "batch_first": False,
    **MODEL,
}
NARX: Arguments = {**CLASSIC, "input_lags": 1, "output_lags": 1, "initial": "zeros"}
GENERAL: Arguments = {
    "sizes": {"x": I, "h": H, "y": K},
    "connections": {"h": ["x", "h[t-1]"], "y": ["h"]},
    "nonlinearities": {"h": "tanh"},
    "input": "x",
    "output": "y",
    "initial_state": "zeros",
    "bias": True,
    "batch_first": False,
    **MODEL,
}


def rnn(**options: Any) -> mr.Recurrence:
    return mr.GRU(I, H, rng=0, **options)


def encoder() -> mr.Encoder:
    return mr.Encoder(K, I, H, network=mr.GRU, rng=0)


def decoder(attention: bool = False) -> mr.Decoder:
    return mr.Decoder(K, I, H, network=mr.GRU, attention=mr.DotAttention(H) if attention else None, rng=1)


def translator() -> mr.EncoderDecoder:
    return mr.EncoderDecoder(encoder(), decoder(attention=True), rng=2)


def layer_flow() -> mr.LayerFlow:
    model = rnn()
    with mr.GradientFlow(model) as collected:
        model(XS)[0].sum().backward()
    return collected["forward0"]


def monitor() -> mr.TrainingMonitor:
    model = rnn()
    with mr.TrainingMonitor(model) as watching:
        model(XS)[0].sum().backward()
    return watching


SEARCH: Arguments = {"batch": B, "begin": 0, "end": 1, "max_length": 2}


def search(function: Callable[..., Any], **options: Any) -> Callable[[], Example]:
    def example() -> Example:
        model = translator()
        return function, {"model": model, "state": model.start(IDS), **SEARCH, **options}

    return example


RECURRENT_EXAMPLES: dict[str, Callable[[], Example]] = {
    # Cells and networks
    **{
        f"{name}Cell": function(
            getattr(mr, f"{name}Cell"), **{**CELL, **OWN_OPTIONS.get(name, {}), "two_biases": name == "GRU"}
        )
        for name in NAMED
    },
    **{name: function(getattr(mr, name), **NETWORK, **OWN_OPTIONS.get(name, {}), cell_type=None) for name in NAMED},
    "Recurrence": function(mr.Recurrence, **NETWORK, cell_type=mr.GRUCell),
    "Cell": lambda: (type("OwnCell", (mr.Cell,), {"gates": 1, "state_names": ("h",)}), CELL),
    "Recurrence()": call(rnn, xs=XS, state=None, lengths=LENGTHS, masks=None, return_states=False),
    "Recurrence() of LSTM": call(
        lambda: mr.LSTM(I, H), xs=XS, state=(HS[:1], HS[:1]), lengths=None, masks=None, return_states=False
    ),
    "Recurrence.draw_masks": method(rnn, "draw_masks", T=T, B=B, rng=0),
    "Cell()": call(lambda: mr.GRUCell(I, H), x=XS[0], state=HS[0]),
    "Cell.initial": method(lambda: mr.GRUCell(I, H), "initial", batch=B),
    "Truncation": function(mr.Truncation, k1=1, k2=2),
    "Truncation.run": method(
        lambda: mr.Truncation(1, 2), "run", rnn=rnn(), xs=XS, state=None, masks=None, lengths=None, front=None
    ),
    "Truncation.windows": lambda: (
        lambda **arguments: list(mr.Truncation(1, 2).windows(**arguments)),
        {"rnn": rnn(), "xs": XS, "state": None, "masks": None, "lengths": None, "front": None},
    ),
    "checkpointed": function(
        mr.checkpointed, rnn=rnn(), segments=2, front=None, loss=New(lambda: lambda output, start, stop: output.sum())
    ),
    "CheckpointedRecurrence": function(mr.CheckpointedRecurrence, rnn=rnn(), segments=2, front=None, loss=None),
    "CheckpointedRecurrence()": call(
        lambda: mr.checkpointed(rnn()), xs=XS, state=None, lengths=None, masks=None
    ),
    "truncation_bias": function(
        mr.truncation_bias, rnn=rnn(), xs=XS, loss=New(lambda: lambda output, start, stop: output.sum()), k2s=[1, 3],
        k1=1, state=None, masks=None, lengths=None, front=None,
    ),
    "chrono_init": function(mr.chrono_init, network=New(rnn), longest=9, rng=0),
    "identity_init": function(mr.identity_init, network=New(lambda: mr.RNN(I, H)), scale=1.0),
    "independent_init": function(mr.independent_init, network=New(lambda: mr.IndRNN(I, H)), steps=9, shortest=0.5,
                                 rng=0),
    "get_num_threads": function(mr.get_num_threads),
    "set_num_threads": function(mr.set_num_threads, n=2),
    # classics
    "NARX": function(mr.NARX, **NARX),
    "NARX()": call(lambda: mr.NARX(I, H, K, 1, 1, initial="zeros"), xs=XS, state=None, targets=YS),
    "NARX.forecast": lambda: (
        (net := mr.NARX(I, H, K, 1, 1, initial="zeros")).forecast,
        {"n": 2, "state": net(XS, targets=YS)[1], "xs": XS[:2]},
    ),
    "TDNN": function(mr.TDNN, **CLASSIC, delays=1),
    "Elman": function(mr.Elman, **CLASSIC),
    "Jordan": function(mr.Jordan, **CLASSIC, mu=0.5),
    "StateSpace": function(mr.StateSpace, **CLASSIC, initial_state="zeros"),
    "Classic()": call(lambda: mr.Elman(I, H, K), xs=XS, state=None),
    "GeneralRecurrence": function(mr.GeneralRecurrence, **GENERAL),
    "GeneralRecurrence.weight": method(
        lambda: mr.GeneralRecurrence(**GENERAL), "weight", target="h", connection="x"
    ),
    # CTC and losses over time
    "best_path": function(mr.best_path, log_probs=LOG_PROBS, input_lengths=LENGTHS, blank=0),
    "prefix_beam_search": function(
        mr.prefix_beam_search, log_probs=LOG_PROBS, input_lengths=LENGTHS, beam_width=2, blank=0, language_model=None,
        weight=1.0,
    ),
    "forced_align": function(
        mr.forced_align, log_probs=LOG_PROBS, targets=np.array([[1], [2]]), input_lengths=LENGTHS,
        target_lengths=np.array([1, 1]), blank=0,
    ),
    "CTCLoss": function(mr.CTCLoss, blank=0, reduction="mean", zero_infinity=False),
    "CTCLoss()": call(
        mr.CTCLoss, log_probs=LOG_PROBS, targets=np.array([[1], [2]]), input_lengths=LENGTHS,
        target_lengths=np.array([1, 1]),
    ),
    "ctc_loss": function(
        mr.ctc_loss, log_probs=LOG_PROBS, targets=np.array([[1], [2]]), input_lengths=LENGTHS,
        target_lengths=np.array([1, 1]), blank=0, reduction="mean", zero_infinity=False,
    ),
    "general_divergence": function(
        mr.general_divergence, function=lambda outputs, targets: mg.mse(outputs, targets), outputs=YS, targets=YS,
        lengths=LENGTHS, reduction="mean", batch_first=False,
    ),
    "local_divergence": function(
        mr.local_divergence, local="cross_entropy", outputs=YS, targets=IDS, lengths=LENGTHS,
        weights=np.ones((T, B), np.float32), reduction="mean", batch_first=False,
    ),
    "explore": function(
        mr.explore, model=New(rnn), xs=XS, targets=HS, path="/nonexistent/folder/a.html", loss="squared_error",
        state=None, reduction="mean", title=None,
    ),
    # interop
    "export_onnx": function(
        mr.export_onnx, model=New(rnn), path="/nonexistent/folder/a.onnx", sequence_length=None, batch=None,
        state=False,
        lengths=False, dtype="float32", opset=17,
    ),
    "recurrence_from_onnx": function(mr.recurrence_from_onnx, source="/nonexistent/a.onnx", arrays=None, node=None),
    "load_keras_weights": function(
        mr.load_keras_weights, module=mr.RNNCell(I, H),
        weights=[np.ones((I, H), np.float32), np.ones((H, H), np.float32), np.ones(H, np.float32)],
    ),
    "load_torch_state_dict": lambda: (
        mr.load_torch_state_dict, {"module": (m := rnn()), "state": mr.torch_state_dict(m), "prefix": ""}
    ),
    "recurrence_from_torch_state_dict": lambda: (
        mr.recurrence_from_torch_state_dict,
        {"kind": "gru", "state": mr.torch_state_dict(rnn()), "prefix": ""},
    ),
    "torch_state_dict": function(mr.torch_state_dict, module=New(rnn), prefix=""),
    # sequence to sequence
    "Attention": function(mr.Attention, query_size=I, key_size=H),
    "AdditiveAttention": function(mr.AdditiveAttention, query_size=I, key_size=H, attention_size=2, **MODEL),
    "DotAttention": function(mr.DotAttention, size=H, scaled=False),
    "GeneralAttention": function(mr.GeneralAttention, query_size=I, key_size=H, **MODEL),
    "Attention()": call(lambda: mr.DotAttention(H), query=HS, memory=HS, lengths=LENGTHS),
    "Attention.prepare": method(lambda: mr.DotAttention(H), "prepare", memory=HS, lengths=LENGTHS),
    "Attention.read": lambda: ((a := mr.DotAttention(H)).read, {"query": HS, "memory": a.prepare(HS)}),
    "Encoder": function(
        mr.Encoder, vocab_size=K, embedding_size=I, hidden_size=H, num_layers=1, bidirectional=False, network=mr.GRU,
        embedding_dropout=0.0, output_dropout=0.0, **MODEL,
    ),
    "Encoder()": call(encoder, source=IDS, lengths=LENGTHS),
    "Bridge": function(mr.Bridge, encoder=New(rnn), decoder=New(rnn), **MODEL),
    "Bridge()": call(lambda: mr.Bridge(rnn(), rnn()), state=HS[:1]),
    "Decoder": function(
        mr.Decoder, vocab_size=K, embedding_size=I, hidden_size=H, num_layers=1, network=mr.GRU, attention=None,
        attend="before", embedding_dropout=0.0, output_dropout=0.0, **MODEL,
    ),
    "Decoder()": call(
        decoder, ids=IDS, state=mr.DecoderState((mg.tensor(HS[:1]),), None), lengths=LENGTHS,
        forced=np.ones((T, B), bool), draws=np.zeros((T, B)),
    ),
    "Decoder.step": method(decoder, "step", tokens=IDS[0], state=mr.DecoderState((mg.tensor(HS[:1]),), None)),
    "Decoder.select": method(
        decoder, "select", state=mr.DecoderState((mg.tensor(HS[:1]),), None), rows=np.array([1, 0])
    ),
    "EncoderDecoder": function(
        mr.EncoderDecoder, encoder=New(encoder), decoder=New(decoder), bridge="linear", batch_first=False, **MODEL
    ),
    "EncoderDecoder()": call(
        translator, source=IDS, target=IDS, source_lengths=LENGTHS, target_lengths=LENGTHS,
        forced=np.ones((T, B), bool), draws=np.zeros((T, B)),
    ),
    "EncoderDecoder.start": method(translator, "start", source=IDS, source_lengths=LENGTHS),
    "OneToOne": lambda: (mr.OneToOne, {"recurrence": rnn(), "readout": nn.Linear(H, K)}),
    "OneToMany": lambda: (
        mr.OneToMany, {"recurrence": rnn(), "readout": nn.Linear(H, I), "feedback": "output"}
    ),
    "ManyToOne": lambda: (mr.ManyToOne, {"recurrence": rnn(), "readout": nn.Linear(H, K), "pool": "last"}),
    "ManyToMany": lambda: (mr.ManyToMany, {"recurrence": rnn(), "readout": nn.Linear(H, K)}),
    "OneToOne()": call(lambda: mr.OneToOne(rnn(), nn.Linear(H, K)), x=XS[0], state=HS[:1]),
    "OneToMany()": call(
        lambda: mr.OneToMany(rnn(), nn.Linear(H, I)), x=XS[0], steps=T, state=None, lengths=LENGTHS, targets=XS,
        forced=np.ones((T, B), bool),
    ),
    "ManyToOne()": call(lambda: mr.ManyToOne(rnn(), nn.Linear(H, K)), xs=XS, state=None, lengths=LENGTHS),
    "ManyToMany()": call(lambda: mr.ManyToMany(rnn(), nn.Linear(H, K)), xs=XS, state=None, lengths=LENGTHS),
    "TeacherForcing": function(mr.TeacherForcing, schedule=mr.constant_schedule(0.5), rng=0),
    "TeacherForcing.draw": method(lambda: mr.TeacherForcing(mr.constant_schedule(0.5), 0), "draw", step=1, T=T, B=B),
    "constant_schedule": function(mr.constant_schedule, p=0.5),
    "exponential_schedule": function(mr.exponential_schedule, k=0.9),
    "inverse_sigmoid_schedule": function(mr.inverse_sigmoid_schedule, k=10.0),
    "linear_schedule": function(mr.linear_schedule, start=1.0, slope=0.1, least=0.0),
    "beam_search": search(mr.beam_search, beam_width=2, alpha=0.0, n_best=1),
    "greedy_decode": search(mr.greedy_decode),
    "sample_decode": search(mr.sample_decode, temperature=1.0, top_k=None, top_p=None, rng=0),
    "probabilities": function(sampling.probabilities, logits=YS, temperature=1.0),
    "likely": function(sampling.likely, logits=YS, temperature=1.0, top_k=2, top_p=0.5),
    "sampling.draw": function(sampling.draw, logits=YS[0, 0], temperature=1.0, rng=0, top_k=2, top_p=0.5),
    "sample": lambda: (
        sampling.sample,
        {
            "model": character_model(), "prime": IDS[:, 0], "length": 2, "temperature": 1.0, "top_k": 2, "top_p": 0.5,
            "exclude": [0], "rng": 0, "state": None,
        },
    ),
    "sample_stream": lambda: (
        sampling.sample_stream,
        {
            "model": character_model(), "prime": IDS, "temperature": 1.0, "top_k": 2, "top_p": 0.5, "exclude": [0],
            "rng": 0, "state": None,
        },
    ),
    # verification
    "verify_bptt": function(
        mr.verify_bptt, model=New(rnn), xs=XS[:2, :1], state=None, divergence=None, seed=0, lengths=None, masks=None,
        truncation=None, targets=None,
    ),
    # flow
    "GradientFlow": function(mr.GradientFlow, model=New(rnn), values=True),
    "TrainingMonitor": function(
        mr.TrainingMonitor, model=New(rnn), every=10, vanishing=1e-3, exploding=1e3, contributions=True
    ),
    "gate_flow": lambda: (flow.gate_flow, {"layer": layer_flow()}),
    "state_gains": lambda: (flow.state_gains, {"layer": layer_flow()}),
    "step_jacobians": lambda: (flow.step_jacobians, {"layer": layer_flow()}),
    "jacobian_norms": lambda: (
        flow.jacobian_norms, {"layer": layer_flow(), "of": "h", "wrt": "h", "norm": "spectral", "sequence": 0}
    ),
    "probe_jacobian_norms": function(
        flow.probe_jacobian_norms, model=New(rnn), xs=XS, t=-1, layer=None, of="h", wrt="h", probes=2, seed=0,
        state=None,
    ),
    "spectral_norm": function(
        flow.spectral_norm, model=New(rnn), xs=XS, s=0, t=-1, layer=None, of="h", wrt="h", iterations=2, tolerance=1e-3,
        seed=0, state=None,
    ),
    "saliency": function(flow.saliency, model=New(rnn), xs=XS, t=-1, batch_first=False),
    "plot_gradient_norms": lambda: (flow.plot_gradient_norms, {"flow": layer_flow(), "name": None}),
    "plot_jacobian_norms": lambda: (flow.plot_jacobian_norms, {"norms": flow.jacobian_norms(layer_flow())}),
    "plot_singular_values": lambda: (
        flow.plot_singular_values, {"steps": flow.step_jacobians(layer_flow()), "of": None, "wrt": None}
    ),
    "plot_gate_flow": lambda: (flow.plot_gate_flow, {"gates": flow.gate_flow(layer_flow())}),
    "plot_saliency": lambda: (flow.plot_saliency, {"result": flow.saliency(rnn(), XS), "features": ["a", "b"]}),
    "plot_training": lambda: (flow.plot_training, {"monitor": monitor()}),
    **TEXT_EXAMPLES,
}  # fmt: skip
