"""Checkpoint files: named arrays and JSON in one file, written atomically and checked when read.

A `.npz` file is a zip of `.npy` files, which `numpy.load` opens too; nothing in it is pickled. A `.safetensors` file
is in the format of the safetensors package. Arrays are saved from the host, so any backend loads what another saved.
"""

from .atomic_files import atomic_write, remove_drafts
from .checkpoint import Checkpoint, load, save
from .header import CheckpointError
from .tree import flatten, unflatten

__all__ = ["Checkpoint", "CheckpointError", "atomic_write", "flatten", "load", "remove_drafts", "save", "unflatten"]
