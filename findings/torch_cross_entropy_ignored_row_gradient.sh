#!/usr/bin/env bash
# PyTorch: the loss of a row with target `ignore_index` is 0 even if the row holds NaN, but its gradient is NaN.
#
# Behaviour: `F.cross_entropy(logits, targets)` is finite when an ignored row holds NaN or inf, as padding may. The
# gradient of that row is NaN, not 0, so it reaches every weight in front of the logits. Seen with torch 2.13.0 on a CPU.
# What to do: replace the logits of ignored rows before the loss (`torch.where(mask, logits, 0)`).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import torch

logits = torch.tensor([[1.0, 2.0, 3.0], [float("nan"), 0.0, 0.0]], requires_grad=True)
loss = torch.nn.functional.cross_entropy(logits, torch.tensor([0, -100]))
loss.backward()
print(f"torch {torch.__version__}: loss {loss.item():.4f}, gradient {logits.grad.tolist()}")
assert torch.isfinite(loss), "the loss is no longer finite"
assert torch.isfinite(logits.grad[0]).all()
assert torch.isnan(logits.grad[1]).all(), "the gradient of the ignored row is no longer NaN"
PY
echo "as described"
