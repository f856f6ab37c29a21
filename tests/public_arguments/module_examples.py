"""A valid call of every activation, layer and container of `minigrad.nn` beyond the basic ones, and of every loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigrad import losses, nn

from .example import IDS, MODEL, XS, YS, Example, H, I, call, function, method

SIGNALS = np.linspace(-1, 1, 30, dtype=np.float32).reshape(2, 3, 5)
PROBABILITIES = np.full(YS.shape, 0.25, np.float32)
WITHOUT_ARGUMENTS = (
    nn.Hardsigmoid, nn.Hardswish, nn.LogSigmoid, nn.Mish, nn.ReLU6, nn.SELU, nn.SiLU, nn.Softsign, nn.Tanhshrink,
)  # fmt: skip

MODULE_EXAMPLES: dict[str, Callable[[], Example]] = {
    **{kind.__name__: function(kind) for kind in WITHOUT_ARGUMENTS},
    "CELU": function(nn.CELU, alpha=1.0),
    "ELU": function(nn.ELU, alpha=1.0),
    "GELU": function(nn.GELU, approximate="none"),
    "GLU": function(nn.GLU, dim=-1),
    "Hardshrink": function(nn.Hardshrink, lambd=0.5),
    "Hardtanh": function(nn.Hardtanh, min_val=-1.0, max_val=1.0),
    "LeakyReLU": function(nn.LeakyReLU, negative_slope=0.01),
    "PReLU": function(nn.PReLU, num_parameters=1, init=0.25, dtype="float32"),
    "PReLU()": call(lambda: nn.PReLU(3), x=SIGNALS),
    "Softmax": function(nn.Softmax, dim=-1),
    "Softmin": function(nn.Softmin, dim=-1),
    "LogSoftmax": function(nn.LogSoftmax, dim=-1),
    "Softplus": function(nn.Softplus, beta=1.0, threshold=20.0),
    "Softshrink": function(nn.Softshrink, lambd=0.5),
    "Threshold": function(nn.Threshold, threshold=0.0, value=0.0),
    "BatchNorm1d": function(
        nn.BatchNorm1d, num_features=3, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True, dtype="float32"
    ),
    "BatchNorm1d()": call(lambda: nn.BatchNorm1d(3), x=SIGNALS),
    "RMSNorm": function(nn.RMSNorm, normalized_shape=I, eps=None, elementwise_affine=True, dtype="float32"),
    "RMSNorm()": call(lambda: nn.RMSNorm(I), x=XS),
    "Conv1d": function(
        nn.Conv1d, in_channels=4, out_channels=2, kernel_size=3, stride=1, padding=0, dilation=1, groups=2, bias=True,
        padding_mode="zeros", **MODEL,
    ),
    "Conv1d()": call(lambda: nn.Conv1d(3, 2, 2), x=SIGNALS),
    "ModuleDict": function(nn.ModuleDict, modules={"a": nn.Tanh()}),
    "ModuleDict.update": method(nn.ModuleDict, "update", modules={"a": nn.Tanh()}),
    "ParameterDict": function(nn.ParameterDict, parameters={"a": XS}),
    "ParameterDict.update": method(nn.ParameterDict, "update", parameters={"a": XS}),
    "ParameterList": function(nn.ParameterList, values=[XS]),
    "ParameterList.append": method(nn.ParameterList, "append", value=XS),
    "ParameterList.extend": method(nn.ParameterList, "extend", values=[XS]),
    "CrossEntropyLoss": function(
        nn.CrossEntropyLoss, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0
    ),
    "NLLLoss": function(nn.NLLLoss, weight=None, ignore_index=-100, reduction="mean"),
    "MSELoss": function(nn.MSELoss, reduction="mean"),
    "L1Loss": function(nn.L1Loss, reduction="mean"),
    "HuberLoss": function(nn.HuberLoss, reduction="mean", delta=1.0),
    "SmoothL1Loss": function(nn.SmoothL1Loss, reduction="mean", beta=1.0),
    "KLDivLoss": function(nn.KLDivLoss, reduction="mean", log_target=False),
    "BCELoss": function(nn.BCELoss, weight=None, reduction="mean"),
    "BCEWithLogitsLoss": function(nn.BCEWithLogitsLoss, weight=None, reduction="mean", pos_weight=None),
    "bce": function(losses.bce, probabilities=PROBABILITIES, targets=YS > 0, weight=None, reduction="mean"),
    "bce_with_logits": function(
        losses.bce_with_logits, logits=YS, targets=YS > 0, pos_weight=None, reduction="mean", weight=None
    ),
    "cross_entropy": function(
        losses.cross_entropy, logits=YS, targets=IDS, weight=None, ignore_index=-100, reduction="mean",
        label_smoothing=0.0,
    ),
    "nll_loss": function(losses.nll_loss, log_probs=YS, targets=IDS, weight=None, ignore_index=-100, reduction="mean"),
    "mse": function(losses.mse, prediction=YS, target=YS, reduction="mean"),
    "l1": function(losses.l1, prediction=YS, target=YS, reduction="mean"),
    "huber": function(losses.huber, prediction=YS, target=YS, reduction="mean", delta=1.0),
    "smooth_l1": function(losses.smooth_l1, prediction=YS, target=YS, reduction="mean", beta=1.0),
    "kl_div": function(losses.kl_div, log_probs=YS, target=PROBABILITIES, reduction="mean", log_target=False),
    "Module.named_buffers": lambda: (lambda prefix: list(nn.Linear(I, H).named_buffers(prefix)), {"prefix": ""}),
    "Module.register_buffer": lambda: (nn.Tanh().register_buffer, {"name": "b", "tensor": XS, "persistent": True}),
    "Module.apply": method(nn.Tanh, "apply", function=lambda m: None),
}  # fmt: skip
