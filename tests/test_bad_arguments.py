"""Arguments that were accepted silently, or ended in an error of Python's or NumPy's: each is named in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
import minigrad_rnn as mr
from minigrad import nn, optim
from minigrad.option_checks import check_integer, closest, shown
from minigrad_rnn import text
from minigrad_rnn.seq2seq.sampling import draw, sample

LOGITS = np.zeros((2, 3), np.float32)
IDS = np.array([0, 1])
ROWS = np.arange(24) % 4


def decoder_state() -> tuple[Any, Any]:
    encoder, decoder = mr.Encoder(4, 2, 3, network=mr.GRU), mr.Decoder(4, 2, 3, network=mr.GRU)
    model = mr.EncoderDecoder(encoder, decoder)
    return model, model.start(np.zeros((2, 1), int))


def streams_state(**changes: Any) -> None:
    streams = text.Streams(ROWS, 2, 3)
    streams.load_state_dict({**streams.state_dict(), **changes})


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        # accepted before
        (lambda: nn.Linear(2, 3, bias="False"), TypeError, "Linear: bias: got 'False', want True or False"),
        (lambda: mr.LSTM(2, 3, bidirectional="False"), TypeError, "LSTM: bidirectional: got 'False', want True or"),
        (lambda: mr.Jordan(2, 3, 4, batch_first="no"), TypeError, "Jordan: batch_first: got 'no', want True or False"),
        (lambda: optim.Adam([mg.Parameter([1.0])], amsgrad="no"), TypeError, "Adam: amsgrad: got 'no', want True"),
        (lambda: mr.DotAttention(4, 4), TypeError, "DotAttention: scaled: got 4, want True or False"),
        (lambda: mr.greedy_decode(*decoder_state(), 1, 1.5), ValueError, r"greedy_decode: begin: got 1\.5, want a"),
        (lambda: mr.beam_search(*decoder_state(), 1, 0, end=-1), ValueError, "beam_search: end: got -1, want a whole"),
        (lambda: mg.mse(LOGITS, LOGITS + 1j), TypeError, "mse: target: got dtype complex64, want real numbers"),
        (lambda: mg.bce_with_logits(LOGITS, LOGITS * 1j), TypeError, "bce_with_logits: targets: got dtype complex64"),
        (lambda: mg.mse(LOGITS, LOGITS.astype(str)), TypeError, "mse: target: got <U32, want numbers"),
        (lambda: mg.cross_entropy(LOGITS, IDS, ignore_index="x"), ValueError, "cross_entropy: ignore_index: got 'x'"),
        (lambda: mg.jvp(np.sin, np.ones(2), np.ones(2) * 1j), TypeError, r"jvp: tangents.*complex128.*real numbers"),
        (lambda: streams_state(epoch=-1), ValueError, r"Streams\.load_state_dict: state: got chunk 0 of epoch -1"),
        (lambda: streams_state(chunk=1.5), ValueError, r"Streams\.load_state_dict: state: got chunk 1\.5 of epoch 0"),
        (lambda: draw(np.full(3, -np.inf)), ValueError, "probabilities: logits: got a row of -inf, want a probability"),
        (lambda: draw(LOGITS), ValueError, r"draw: logits: got shape \(2, 3\), want \(V,\)"),
        (lambda: text.Vocabulary.from_text("ab", max_size=np.nan), ValueError, "max_size: got nan, want a whole"),
        (lambda: mr.LSTM(2, 3, dtype=None), TypeError, "LSTM: dtype: got None, want a floating-point dtype"),
        (lambda: mr.LSTM(2, 3, dtype=">f4"), TypeError, "LSTM: dtype: got >f4, want a floating-point dtype"),
        # an error that did not say what was wrong
        (lambda: mr.LSTM(3, None), ValueError, "LSTM: hidden_size: got None, want a whole number of at least 1"),
        (lambda: mr.GRU(3, hidden_size="3"), ValueError, "GRU: hidden_size: got '3', want a whole number"),
        (lambda: mr.GRU(3, 4, 10**30), ValueError, "GRU: num_layers: got 1000.*, want a whole number of at most"),
        (lambda: nn.Linear(2, 3, dtype="nope"), TypeError, "Linear: dtype: got 'nope', want a floating-point dtype"),
        (lambda: mr.GeneralRecurrence(None, {}), TypeError, "GeneralRecurrence: sizes: got None, want sizes by the"),
        (lambda: mr.GRU(2, 3)(np.ones((3, 2, 2), "f4"), lengths=[[1], [1, 2]]), TypeError, "GRU: lengths: got nested"),
        (lambda: mr.EncoderDecoder(None, None), TypeError, "EncoderDecoder: encoder: got None, want an Encoder"),
        (lambda: sample(nn.Tanh(), [0], 2.5), ValueError, r"sample: length: got 2\.5, want a whole number of at least"),
        (lambda: optim.SGD([mg.Parameter([1.0])], lr=[0.1]), ValueError, r"SGD: lr: got \[0\.1\], want a number of at"),
        # close names
        (lambda: mr.LSTM(3, 4, num_layer=2), TypeError, "LSTM: num_layer: .*; did you mean 'num_layers'\\?"),
        (lambda: mr.LSTM(3, 4, peepholes=True), TypeError, "LSTM: peepholes: .*; did you mean 'peephole'\\?"),
        (lambda: mr.LSTM(3, 4, impl="fuse"), ValueError, "LSTM: impl: got 'fuse', .*; did you mean 'fused'\\?"),
        (lambda: optim.Adam([{"params": [mg.Parameter([1.0])], "beta": 0.9}]), ValueError, "'beta'.*mean 'betas'"),
        (
            lambda: nn.Linear(2, 3).load_state_dict({"weights": np.ones((3, 2)), "bias": np.ones(3)}),
            ValueError,
            "unexpected: weights; did you mean 'weight'",
        ),
        # the table's mistake, and not the default output's name
        (
            lambda: mr.GeneralRecurrence({"x": 2, "hidden": 3, "out": 1}, {"hiden": ["x"], "out": ["hidden"]}),
            ValueError,
            "connections: got the unknown layer 'hiden', .*; did you mean 'hidden'",
        ),
        (
            lambda: mr.GeneralRecurrence({"x": 2, "h": 3, "out": 1}, {"h": ["x"], "out": ["h"]}),
            ValueError,
            "output: got 'y', want one of the layers .*; pass output= with the name of the layer",
        ),
    ],
)
def test_the_argument_is_named(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_what_is_no_model_is_named_by_export_onnx() -> None:
    pytest.importorskip("onnx")
    with pytest.raises(TypeError, match="export_onnx: model: got NoneType, want"):
        mr.export_onnx(None, "a.onnx")


def test_numbers_in_the_other_byte_order_are_read_as_they_are_meant() -> None:
    logits = np.arange(6.0).reshape(2, 3).astype(">f4")
    want = mg.cross_entropy(logits.astype("f4"), IDS).item()
    assert mg.cross_entropy(logits, IDS.astype(">i8")).item() == want
    assert mg.cross_entropy(mg.tensor(logits), IDS).item() == want
    np.testing.assert_array_equal(mg.mse(logits, logits, reduction="none").numpy(), np.zeros((2, 3)))


def test_numpys_numbers_and_flags_are_accepted() -> None:
    assert nn.Linear(np.int64(2), np.uint8(3), bias=np.False_).bias is None
    assert mr.GRU(np.int32(2), 3, dropout=np.float32(0), dtype=np.float64).forward0.Wc.dtype == np.float64
    assert optim.SGD([mg.Parameter([1.0])], lr=np.float64(0.1)).param_groups[0]["lr"] == 0.1


def test_what_an_error_shows() -> None:
    assert [shown(x) for x in (None, "a", 2.5, [1, 2], int, np.ones(2))] == [
        "None", "'a'", "2.5", "[1, 2]", "the class int", "numpy.ndarray",
    ]  # fmt: skip
    assert len(shown("a" * 1000)) == 60
    assert closest("zz", ["hidden_size"]) == ""
    with pytest.raises(ValueError, match="f: n: got True, want a whole number of at least 1"):
        check_integer("f", n=True)
