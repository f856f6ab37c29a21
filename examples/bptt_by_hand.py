"""Compute BPTT with nothing but the graph: no network class, just Wc, Wr and b, used at every step.

Run it: python examples/bptt_by_hand.py
"""

import numpy as np

import minigrad as mg
from minigrad_rnn.manual_bptt import RNN_bptt, RNN_forward

T, B, I, H = 6, 2, 3, 4
rng = np.random.default_rng(0)
xs = rng.standard_normal((T, B, I))
weigh = rng.standard_normal((T, B, H))  # the divergence: a weighted sum of all h(t)

# One tape entry for each parameter, and for h(−1)
Wc = mg.tensor(rng.standard_normal((H, I)) / 2, requires_grad=True)
Wr = mg.tensor(rng.standard_normal((H, H)) / 2, requires_grad=True)
b = mg.tensor(np.zeros(H), requires_grad=True)
h_init = mg.tensor(rng.standard_normal((B, H)) / 2, requires_grad=True)

# The forward pass of slide 73, step by step. Nothing here knows about time but the loop.
h, loss = h_init, mg.tensor(np.float64(0))
for t in range(T):
    with mg.time_step(t):
        h = mg.tanh(xs[t] @ Wc.T + h @ Wr.T + b)
        loss = loss + (h * weigh[t]).sum()

# Before the sum: what each use of Wr, one per time step, adds to its gradient
book = mg.ledger(loss, [Wr], retain_graph=True)
loss.backward()

# The lecture's procedure by hand (slides 107 and 116)
hs, zs = RNN_forward(1, [Wc.numpy()], [Wr.numpy()], [b.numpy()], [h_init.numpy()], xs, T)
dx, dWc, dWr, db, dh_init = RNN_bptt(1, [Wc.numpy()], [Wr.numpy()], [b.numpy()], [h_init.numpy()], xs, T, weigh, hs, zs)

print("largest difference between loss.backward() and the BPTT written by hand")
for name, tape, hand in (("Wc", Wc, dWc[0]), ("Wr", Wr, dWr[0]), ("b", b, db[0]), ("h(−1)", h_init, dh_init[0])):
    assert tape.grad is not None
    print(f"  d{name:6} {np.abs(tape.grad.numpy() - hand).max():.1e}")

print("what each time step contributes to dWr, before it is pooled")
steps = book.by_time_step(Wr)
for step, g in steps.items():
    size = float(np.linalg.norm(g.numpy()))
    print(f"  t = {step}  |dWr(t)| = {size:.3f}  {'▇' * round(8 * size)}")
total = np.sum([g.numpy() for g in steps.values()], axis=0)
print(f"  their sum minus dWr of the reference: {np.abs(total - dWr[0]).max():.1e}")
