"""Recurrent networks; back-propagation through time is the ordinary backward pass over their graph."""

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
from .ctc.alignment import Alignment, forced_align
from .ctc.decoding import Labelling, best_path, prefix_beam_search
from .ctc.loss import CTCLoss, ctc_loss
from .divergence import general_divergence, local_divergence
from .explorer import explore
from .flow import GradientFlow, LayerFlow, TrainingMonitor
from .interop.keras_weights import load_keras_weights
from .interop.onnx import export_onnx
from .interop.onnx_import import recurrence_from_onnx
from .interop.torch_state import load_torch_state_dict, recurrence_from_torch_state_dict, torch_state_dict
from .native.errors import NativeError
from .native.threads import get_num_threads, set_num_threads
from .networks.bias_of_truncation import TruncationBias, truncation_bias
from .networks.checkpointed_recurrence import CheckpointedRecurrence, checkpointed
from .networks.initial_weights import chrono_init, identity_init, independent_init
from .networks.named import GRU, LSTM, MGU, RNN, IndRNN, LayerNormGRU, LayerNormLSTM, LayerNormRNN
from .networks.recurrence import Recurrence
from .networks.truncation import Truncation, Window
from .seq2seq.attention import AdditiveAttention, Attention, DotAttention, GeneralAttention
from .seq2seq.decoder import Decoder, DecoderState
from .seq2seq.encoder import Encoder
from .seq2seq.encoder_decoder import Bridge, EncoderDecoder
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

__all__ = ["Cell", "CellMasks", "GRUCell", "IndRNNCell", "LSTMCell", "LayerNormGRUCell", "LayerNormLSTMCell"]
__all__ += ["LayerNormRNNCell", "MGUCell", "RNNCell"]
__all__ += ["NARX", "TDNN", "Elman", "GeneralRecurrence", "Jordan", "StateSpace"]
__all__ += ["Alignment", "Labelling", "best_path", "forced_align", "prefix_beam_search"]
__all__ += ["CTCLoss", "ctc_loss"]
__all__ += ["general_divergence", "local_divergence"]
__all__ += ["explore"]
__all__ += ["GradientFlow", "LayerFlow", "TrainingMonitor"]
__all__ += ["export_onnx", "recurrence_from_onnx"]
__all__ += ["load_keras_weights"]
__all__ += ["load_torch_state_dict", "recurrence_from_torch_state_dict", "torch_state_dict"]
__all__ += ["NativeError", "get_num_threads", "set_num_threads"]
__all__ += ["GRU", "LSTM", "MGU", "RNN", "IndRNN", "LayerNormGRU", "LayerNormLSTM", "LayerNormRNN"]
__all__ += ["Recurrence"]
__all__ += ["CheckpointedRecurrence", "Truncation", "TruncationBias", "Window", "checkpointed"]
__all__ += ["chrono_init", "identity_init", "independent_init"]
__all__ += ["truncation_bias"]
__all__ += ["AdditiveAttention", "Attention", "DotAttention", "GeneralAttention"]
__all__ += ["Bridge", "Decoder", "DecoderState", "Encoder", "EncoderDecoder"]
__all__ += ["ManyToMany", "ManyToOne", "OneToMany", "OneToOne"]
__all__ += ["TeacherForcing", "constant_schedule", "exponential_schedule", "inverse_sigmoid_schedule"]
__all__ += ["linear_schedule"]
__all__ += ["Hypothesis", "StepModel", "beam_search", "greedy_decode", "sample_decode"]
__all__ += ["Verification", "verify_bptt"]
