"""Modules and layers, under torch.nn's names."""

from . import (
    activations,
    init,
    losses,
    module_pytree as module_pytree,
)  # module_pytree registers Module as a node of trees
from .activations import *
from .convolution import Conv1d
from .init import default_generator, manual_seed
from .layers import Dropout, Embedding, Identity, Linear, Sequential, dropout_mask
from .losses import *
from .module import Module
from .module_dict import ModuleDict
from .module_list import ModuleList
from .normalization import BatchNorm1d, LayerNorm, RMSNorm
from .parameter_containers import ParameterDict, ParameterList

__all__ = ["BatchNorm1d", "Conv1d", "Dropout", "Embedding", "Identity", "LayerNorm", "Linear", "RMSNorm"]
__all__ += ["Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]
__all__ += ["default_generator", "dropout_mask", "init", "manual_seed"]
__all__ += activations.__all__
__all__ += losses.__all__
