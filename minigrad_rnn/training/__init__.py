"""Training of any model on any stream of batches: progress, evaluation, checkpoints, and runs that survive a kill.

`Trainer` does it all; `load_weights` reads what it saved.
"""

from .checkpoint_file import load_weights
from .trainer import Trainer

__all__ = ["Trainer", "load_weights"]
