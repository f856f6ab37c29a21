#!/usr/bin/env bash
# PyTorch: the gradient of ctc_loss in float32 loses its digits over long inputs.
#
# Behaviour: beside torch's own float64, the largest error of an entry of the gradient, which is a probability, is about
# 0.01 at 2,000 frames and 0.1 at 6,000, while the loss is right to 1e-5. The forward and backward variables reach
# thousands, so that their sum minus the loss has few digits left. Seen with torch 2.13.0 on a CPU.
# What to do: compute the loss in float64, or cut the input.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import torch

torch.manual_seed(0)
print(f"torch {torch.__version__}")
errors = {}
for T in (200, 2000, 6000):
    log_probs = torch.log_softmax(torch.randn(T, 2, 20) * 3, -1)
    targets = torch.randint(1, 20, (2, T // 10))
    gradients, losses = {}, {}
    for dtype in (torch.float32, torch.float64):
        x = log_probs.to(dtype).clone().detach().requires_grad_()
        lengths = torch.full((2,), T), torch.full((2,), T // 10)
        loss = torch.nn.functional.ctc_loss(x, targets, *lengths, reduction="sum")
        loss.backward()
        gradients[dtype], losses[dtype] = x.grad.double(), loss.item()
    errors[T] = (gradients[torch.float32] - gradients[torch.float64]).abs().max().item()
    wide = losses[torch.float64]
    print(f"{T} frames: loss off by {abs(losses[torch.float32] / wide - 1):.0e}, gradient by {errors[T]:.1e}")
assert errors[200] < 0.005, errors
assert errors[6000] > 0.02, "the gradient keeps its digits now"
PY
echo "as described"
