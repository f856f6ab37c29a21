"""Modules and layers, under torch.nn's names."""

from . import init, module_pytree as module_pytree  # module_pytree registers Module as a node of trees
from .init import default_generator, manual_seed
from .layers import Dropout, Embedding, Identity, LayerNorm, Linear, ReLU, Sequential, Sigmoid, Tanh, dropout_mask
from .module import Module
from .module_list import ModuleList

__all__ = ["Dropout", "Embedding", "Identity", "LayerNorm", "Linear", "default_generator", "init", "manual_seed"]
__all__ += ["Module", "ModuleList", "ReLU", "Sequential", "Sigmoid", "Tanh", "dropout_mask"]
