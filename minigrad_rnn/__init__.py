"""Recurrent networks whose back-propagation through time falls out of the graph."""

from minigrad import __version__ as __version__

from .cells import (
    Cell,
    CellMasks,
    GRUCell,
    IndRNNCell,
    LayerNormGRUCell,
    LayerNormLSTMCell,
    LayerNormRNNCell,
    LSTMCell,
    MGUCell,
    RNNCell,
)
from .classics import NARX, TDNN, Elman, GeneralRecurrence, Jordan, StateSpace
from .ctc.decoding import Labelling, best_path, prefix_beam_search
from .ctc.loss import CTCLoss, ctc_loss
from .divergence import general_divergence, local_divergence
from .interop.onnx import export_onnx
from .interop.torch_state import load_torch_state_dict, recurrence_from_torch_state_dict, torch_state_dict
from .networks.named import GRU, LSTM, MGU, RNN, IndRNN, LayerNormGRU, LayerNormLSTM, LayerNormRNN
from .networks.recurrence import Recurrence
from .networks.truncation import Truncation, Window
from .seq2seq.attention import AdditiveAttention, Attention, DotAttention, GeneralAttention
from .seq2seq.encoder_decoder import Bridge, Decoder, DecoderState, Encoder, EncoderDecoder
from .seq2seq.io_shapes import ManyToMany, ManyToOne, OneToMany, OneToOne
from .seq2seq.scheduled_sampling import (
    TeacherForcing,
    constant_schedule,
    exponential_schedule,
    inverse_sigmoid_schedule,
    linear_schedule,
)
from .seq2seq.search import Hypothesis, StepModel, beam_search, greedy_decode, sample_decode
from .verification.verify import Verification, verify_bptt

__all__ = [
    "GRU",
    "LSTM",
    "MGU",
    "NARX",
    "RNN",
    "TDNN",
    "AdditiveAttention",
    "Attention",
    "Bridge",
    "CTCLoss",
    "Cell",
    "CellMasks",
    "Decoder",
    "DecoderState",
    "DotAttention",
    "Elman",
    "Encoder",
    "EncoderDecoder",
    "GRUCell",
    "GeneralAttention",
    "GeneralRecurrence",
    "Hypothesis",
    "IndRNN",
    "IndRNNCell",
    "Jordan",
    "LSTMCell",
    "Labelling",
    "LayerNormGRU",
    "LayerNormGRUCell",
    "LayerNormLSTM",
    "LayerNormLSTMCell",
    "LayerNormRNN",
    "LayerNormRNNCell",
    "MGUCell",
    "ManyToMany",
    "ManyToOne",
    "OneToMany",
    "OneToOne",
    "RNNCell",
    "Recurrence",
    "StateSpace",
    "StepModel",
    "TeacherForcing",
    "Truncation",
    "Verification",
    "Window",
    "beam_search",
    "best_path",
    "constant_schedule",
    "ctc_loss",
    "exponential_schedule",
    "export_onnx",
    "general_divergence",
    "greedy_decode",
    "inverse_sigmoid_schedule",
    "linear_schedule",
    "load_torch_state_dict",
    "local_divergence",
    "prefix_beam_search",
    "recurrence_from_torch_state_dict",
    "sample_decode",
    "torch_state_dict",
    "verify_bptt",
]
