"""Data sets: padding, batches that resume at any position, buckets by length, and parts to hold out."""

from .batches import Batches
from .bucketed_batches import BucketedBatches
from .padding import pad_sequence, unpad_sequence
from .splitting import hold_out
from .stream import Stream

__all__ = ["Batches", "BucketedBatches", "Stream", "hold_out", "pad_sequence", "unpad_sequence"]
