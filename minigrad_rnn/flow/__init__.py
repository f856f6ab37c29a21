"""Gradient flow: how a gradient travels back through the steps of a recurrent net, as numbers and figures."""

from .figures import (
    plot_gate_flow,
    plot_gradient_norms,
    plot_jacobian_norms,
    plot_saliency,
    plot_singular_values,
    plot_training,
)
from .gains import state_gains
from .gate_parts import GateFlow, gate_flow
from .gradient_flow import GradientFlow, LayerFlow
from .input_saliency import Saliency, saliency
from .jacobian_probes import ProbedNorms, probe_jacobian_norms, spectral_norm
from .jacobians import JacobianNorms, StepJacobians, jacobian_norms, step_jacobians
from .training_monitor import TrainingMonitor

__all__ = ["GateFlow", "GradientFlow", "JacobianNorms", "LayerFlow", "ProbedNorms", "Saliency", "StepJacobians"]
__all__ += ["TrainingMonitor"]
__all__ += ["gate_flow", "jacobian_norms", "probe_jacobian_norms", "saliency", "spectral_norm", "state_gains"]
__all__ += ["step_jacobians"]
__all__ += ["plot_gate_flow", "plot_gradient_norms", "plot_jacobian_norms", "plot_saliency", "plot_singular_values"]
__all__ += ["plot_training"]
