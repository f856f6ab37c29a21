"""A valid call of every public function, constructor and method of minigrad that is no operation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import minigrad as mg
from minigrad import nn, optim, serialize

from .example import IDS, MODEL, XS, Arguments, Example, H, I, K, New, call, function, leaf, loss, method, square
from .module_examples import MODULE_EXAMPLES

ADAM: Arguments = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False}


class Record:
    """A type to be registered."""


def trained() -> optim.Optimizer:
    p = mg.Parameter(np.ones(2, np.float32))
    optimizer = optim.Adam([p])
    (p * p).sum().backward()
    optimizer.step()
    return optimizer


ENGINE_EXAMPLES: dict[str, Callable[[], Example]] = {
    # minigrad
    "JointRule": function(mg.JointRule, rule=lambda xp, g: (g,)),
    "Parameter": function(mg.Parameter, data=XS, dtype=None, backend=None),
    "Tensor": function(mg.Tensor, data=XS, node=None),
    "tensor": function(mg.tensor, data=XS, dtype=None, requires_grad=False, backend=None),
    "from_dlpack": function(mg.from_dlpack, x=XS),
    "Tensor.astype": method(leaf, "astype", dtype="float64"),
    "Tensor.to": method(leaf, "to", backend="numpy"),
    "Tensor.to_device": lambda: (lambda device: leaf().to_device(device), {"device": "cpu"}),
    "Tensor.backward": method(loss, "backward", gradient=None, retain_graph=False, create_graph=False),
    "Tensor.register_hook": method(leaf, "register_hook", function=lambda g: g),
    "gradients": lambda: (
        mg.gradients,
        {"outputs": square(x := leaf()), "inputs": [x], "grad_outputs": None, "create_graph": False,
         "retain_graph": None, "allow_unused": False},
    ),
    "ledger": function(mg.ledger, output=New(loss), inputs=New(leaf), gradient=None, retain_graph=False, keep="full"),
    "record_ledger": function(mg.record_ledger, inputs=New(leaf), keep="norms"),
    "lag_ledger": function(mg.lag_ledger, losses=New(lambda: [loss()]), inputs=New(leaf), times=None, keep="norms"),
    "assign_gradients": function(mg.assign_gradients, tree=New(leaf), gradients=np.ones(2, np.float32)),
    "call_in": lambda: (lambda xp, operation: mg.call_in(xp, operation, XS), {"xp": np, "operation": mg.sigmoid}),
    "checkpoint": function(mg.checkpoint, function=square, rng=None),
    "custom_rule": function(mg.custom_rule, function=square, rule=None, keeps=False),
    "detect_anomaly": function(mg.detect_anomaly, warn=False),
    "draw": function(mg.draw, result=New(loss), format="html", names=None, fold=True, limit=5000),
    "tape_table": function(mg.tape_table, result=New(loss), names=None, fold=None),
    "enable_grad": function(mg.enable_grad),
    "no_grad": function(mg.no_grad),
    "time_step": function(mg.time_step, t=3),
    "profile": function(mg.profile, module=None),
    "grad": function(mg.grad, function=square, argnums=0, has_aux=False, create_graph=None),
    "value_and_grad": function(mg.value_and_grad, function=square, argnums=0, has_aux=False, create_graph=None),
    "elementwise_grad": function(mg.elementwise_grad, function=mg.tanh, argnums=0, create_graph=None),
    "vmap": function(mg.vmap, function=square, in_axes=0, out_axes=0),
    "summary": function(mg.summary, model=nn.Linear(I, H), depth=None),
    "jacobian": function(mg.jacobian, function=square, argnums=0, has_aux=False, create_graph=None),
    "hessian": function(mg.hessian, function=square, argnums=0, create_graph=None),
    "hvp": function(mg.hvp, function=square, primals=XS, vector=XS, create_graph=None),
    "jvp": function(mg.jvp, function=square, primals=XS, tangents=XS, create_graph=None),
    "vjp": lambda: (
        lambda function, **options: mg.vjp(function, XS, **options),
        {"function": square, "has_aux": False, "create_graph": None},
    ),
    "gradcheck": function(
        mg.gradcheck, function=square, inputs=[mg.tensor(np.ones(2), requires_grad=True)], eps=1e-6, atol=1e-7,
        rtol=1e-6,
    ),
    "gradgradcheck": function(
        mg.gradgradcheck, function=square, inputs=[mg.tensor(np.ones(2), requires_grad=True)], eps=1e-6, atol=1e-6,
        rtol=1e-5,
    ),
    "manual_seed": function(mg.manual_seed, seed=0),
    "primitive": function(mg.primitive, function=lambda xp, x: (x, lambda xp, g: g)),
    "primitive_with_outputs": function(mg.primitive_with_outputs, function=lambda xp, x: ((x,), lambda xp, g: g)),
    "register_backend": function(mg.register_backend, name="bad values", load=lambda: None),
    "register_pytree": function(mg.register_pytree, kind=Record, flatten=lambda x: x, unflatten=lambda x: x),
    "synchronize": function(mg.synchronize, backend="numpy"),
    "use_backend": function(mg.use_backend, name="numpy"),
    "tree_flatten": function(mg.tree_flatten, tree=[1], is_leaf=None),
    "tree_map": function(mg.tree_map, function=lambda x: x, tree=[1], is_leaf=None),
    "tree_unflatten": lambda: (mg.tree_unflatten, {"treedef": mg.tree_flatten([1])[1], "leaves": [1], "plain": False}),
    "save": function(mg.save, path="/nonexistent/folder/a.npz", arrays={"x": XS}, metadata=None, keep_as=None),
    "load": function(mg.load, path="/nonexistent/folder/a.npz"),
    "flatten": function(serialize.flatten, tree={"x": XS}, prefix=""),
    # minigrad.nn
    "Linear": function(nn.Linear, in_features=I, out_features=H, bias=True, **MODEL),
    "Linear()": call(lambda: nn.Linear(I, H), x=XS),
    "Embedding": function(nn.Embedding, num_embeddings=K, embedding_dim=I, padding_idx=None, **MODEL),
    "Embedding()": call(lambda: nn.Embedding(K, I), ids=IDS),
    "Dropout": function(nn.Dropout, p=0.5, rng=0),
    "Dropout()": call(nn.Dropout, x=XS),
    "LayerNorm": function(
        nn.LayerNorm, normalized_shape=I, eps=1e-5, elementwise_affine=True, bias=True, dtype="float32"
    ),
    "LayerNorm()": call(lambda: nn.LayerNorm(I), x=XS),
    "Identity": function(nn.Identity),
    "Module": function(nn.Module),
    "ReLU": function(nn.ReLU),
    "Sigmoid": function(nn.Sigmoid),
    "Tanh": function(nn.Tanh),
    "ReLU()": call(nn.ReLU, x=XS),
    "ModuleList": function(nn.ModuleList, modules=[nn.Tanh()]),
    "ModuleList.append": method(nn.ModuleList, "append", module=nn.Tanh()),
    "Sequential": lambda: (lambda modules: nn.Sequential(nn.Tanh(), modules), {"modules": nn.Tanh()}),
    "dropout_mask": function(nn.dropout_mask, shape=(2, 3), p=0.5, **MODEL),
    "default_generator": function(nn.default_generator),
    "zeros": function(nn.init.zeros, shape=(2, 3), dtype="float32"),
    "uniform": function(nn.init.uniform, shape=(2, 3), low=0.0, high=1.0, **MODEL),
    "normal": function(nn.init.normal, shape=(2, 3), mean=0.0, std=1.0, **MODEL),
    "xavier_uniform": function(nn.init.xavier_uniform, shape=(2, 3), gain=1.0, **MODEL),
    "xavier_normal": function(nn.init.xavier_normal, shape=(2, 3), gain=1.0, **MODEL),
    "kaiming_uniform": function(nn.init.kaiming_uniform, shape=(2, 3), a=0.0, mode="fan_in", **MODEL),
    "orthogonal": function(nn.init.orthogonal, shape=(2, 3), gain=1.0, **MODEL),
    "Module.load_state_dict": lambda: (
        (module := nn.Linear(I, H)).load_state_dict,
        {"state_dict": module.state_dict(), "strict": True},
    ),
    "Module.named_modules": lambda: (
        lambda prefix: list(nn.Linear(I, H).named_modules(prefix)), {"prefix": ""}
    ),
    "Module.named_parameters": lambda: (
        lambda prefix: list(nn.Linear(I, H).named_parameters(prefix)), {"prefix": ""}
    ),
    "Module.register_forward_hook": method(
        nn.Tanh, "register_forward_hook", hook=lambda *_: None, prepend=False, with_kwargs=False
    ),
    "Module.register_forward_pre_hook": method(
        nn.Tanh, "register_forward_pre_hook", hook=lambda *_: None, prepend=False, with_kwargs=False
    ),
    "Module.register_full_backward_hook": method(
        nn.Tanh, "register_full_backward_hook", hook=lambda *_: None, prepend=False
    ),
    "Module.requires_grad_": method(nn.Tanh, "requires_grad_", requires_grad=True),
    "Module.to": method(lambda: nn.Linear(I, H), "to", backend=None, dtype=None),
    "Module.train": method(nn.Tanh, "train", mode=True),
    # minigrad.optim
    "Optimizer": function(optim.Optimizer, params=[leaf()]),
    "SGD": function(
        optim.SGD, params=[leaf()], lr=0.1, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False
    ),
    "Adagrad": function(
        optim.Adagrad, params=[leaf()], lr=0.1, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10
    ),
    "Adam": function(optim.Adam, params=[leaf()], **ADAM),
    "AdamW": function(optim.AdamW, params=[leaf()], **ADAM),
    "RMSprop": function(
        optim.RMSprop, params=[leaf()], lr=0.1, alpha=0.9, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False
    ),
    "Optimizer.add_param_group": method(lambda: optim.Adam([leaf()]), "add_param_group", group={"params": [leaf()]}),
    "Optimizer.load_state_dict": lambda: (trained().load_state_dict, {"state_dict": trained().state_dict()}),
    "clip_grad_norm": function(
        optim.clip_grad_norm, parameters=[leaf()], max_norm=1.0, norm_type=2.0, error_if_nonfinite=False
    ),
    "clip_grad_value": function(optim.clip_grad_value, parameters=[leaf()], clip_value=1.0),
    **MODULE_EXAMPLES,
}  # fmt: skip
