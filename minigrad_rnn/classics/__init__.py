"""The classics of the lecture by name: time-delay, NARX, Jordan, Elman, state-space, and general recurrences."""

from .base import Classic
from .connection_table import FIGURES
from .elman import Elman
from .general_recurrence import GeneralRecurrence
from .jordan import Jordan
from .narx import NARX
from .state_space import StateSpace
from .tdnn import TDNN

__all__ = ["FIGURES", "NARX", "TDNN", "Classic", "Elman", "GeneralRecurrence", "Jordan", "StateSpace"]
