"""Samples of every operation, in one file for each file of `minigrad/ops`."""

import importlib
import pkgutil

from tests.ops.catalogue.sample import Sample as Sample

_FILES = [importlib.import_module(f"{__name__}.{file.name}") for file in pkgutil.iter_modules(__path__)]
CATALOGUE = [sample for file in _FILES for sample in getattr(file, "CATALOGUE", [])]
EDGES = [sample for file in _FILES for sample in getattr(file, "EDGES", [])]

CHECKED_ELSEWHERE = {
    "rnn_sequence": "rnn/cells/test_sequences.py",
    "gru_sequence": "rnn/cells/test_sequences.py",
    "lstm_sequence": "rnn/cells/test_sequences.py",
    "heaviside": "ops/test_learned_arguments.py",
    "unique": "ops/test_learned_arguments.py",
    "by_fraction": "ops/test_learned_arguments.py",
    "ctc_negative_log_likelihood": "rnn/ctc/test_loss.py",
    "huber": "losses/test_regression.py",
    "binary_cross_entropy": "losses/test_binary.py",
    "kernel_sequences": "rnn/cuda/test_cuda_recurrence.py",
    "native_sequences": "rnn/verification/test_native_column.py",
    "without_derivative": "ops/test_equal_values.py",
    "linear_over_time": "rnn/classics/test_classics.py",
}
"""Primitives with a test of their own: name → test file, which must name it beside a gradcheck or verify_bptt."""
