"""Connectionist temporal classification: the loss, its lattice, and decoders."""

from .decoding import Labelling, best_path, prefix_beam_search
from .loss import CTCLoss, ctc_loss

__all__ = ["CTCLoss", "Labelling", "best_path", "ctc_loss", "prefix_beam_search"]
