"""Connectionist temporal classification: the loss, its lattice, decoders, and the alignment of a target."""

from .alignment import Alignment, forced_align
from .decoding import Labelling, best_path, prefix_beam_search
from .loss import CTCLoss, ctc_loss

__all__ = ["Alignment", "CTCLoss", "Labelling", "best_path", "ctc_loss", "forced_align", "prefix_beam_search"]
