"""A user's script, for type checkers alone: each line marked `# error` must be reported, and no other."""

from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import assert_type

import minigrad as mg
from minigrad import losses, nn, optim
from minigrad_rnn import GRU, LSTM, RNN, ManyToOne, Recurrence, verify_bptt

if TYPE_CHECKING:
    x = mg.tensor(np.ones((8, 3), np.float32), requires_grad=True)
    assert_type(x * 2.0 + np.ones(3) - 1, mg.Tensor)
    assert_type(mg.tanh(x).sum(axis=0), mg.Tensor)
    assert_type(nn.Linear(3, 4)(x), mg.Tensor)
    assert_type(nn.LayerNorm(3)(nn.Dropout(0.5)(x)), mg.Tensor)
    assert_type(mg.grad(lambda v: (v * v).sum())(x), mg.Tensor)
    assert_type(mg.value_and_grad(lambda v: (v * v).sum())(x), tuple[mg.Tensor, mg.Tensor])
    assert_type(mg.hessian(lambda v: (v * v).sum())(x), mg.Tensor)
    assert_type(mg.hessian(lambda v: (v * v).sum())(np.ones(3)), Any)
    u, s, vt = mg.linalg.svd(x)
    assert_type(s, mg.Tensor)
    assert_type(mg.einsum("ij,ij->i", x, x), mg.Tensor)
    mg.tanhh(x)  # error
    mg.linalg.svdd(x)  # error
    x.summ()  # error

    xs = np.ones((5, 2, 3), np.float32)
    lstm = LSTM(3, 4, num_layers=2, bidirectional=True, forget_bias=1.0, zoneout=0.1)
    output, state = lstm(xs, lengths=[5, 3])
    assert_type(output, mg.Tensor)
    assert_type(lstm.forward0.Wr, mg.Parameter)
    lstm(xs, length=[5, 3])  # error
    LSTM(3, 4, layers=2)  # error
    GRU(3, 4, forget_bias=1.0)  # error
    RNN(3)  # error
    nn.Linear(3, 4)(x, x)  # error
    recurrent: Recurrence = GRU(3, 4, 2, reset_after=False)
    model = ManyToOne(recurrent, nn.Linear(4, 1))
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    loss = losses.mse(model(xs), np.zeros((2, 1), np.float32))
    loss.backward(retain=True)  # error
    optimizer.step(3)  # error
    assert_type(loss, mg.Tensor)
    assert_type(verify_bptt(lstm, xs).passed, bool)
