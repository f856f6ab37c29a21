"""Gradient flow: how a gradient travels back through the steps of a recurrent net, as numbers and figures."""

from .gradient_flow import GradientFlow, LayerFlow

__all__ = ["GradientFlow", "LayerFlow"]
