#!/usr/bin/env bash
# PyTorch: the float64 gradients of celu and hardsigmoid use constants that were rounded to float32.
#
# Behaviour: celu(x, alpha=0.7) at x = -1.3: its gradient is exp(x / alpha), computed with 1 / alpha in float32, so it is off by
# 1e-8 to 1e-7, relatively, where float64 has 1e-16. hardsigmoid's slope is 1/6 as a float32, off by 3e-8. The values themselves
# are right to the last bits, and gradcheck's default tolerances see neither. Seen with torch 2.13.0 on a CPU.
# What to do: compare such gradients in float64 with a tolerance of 1e-6, or write the two functions by exp and clamp.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import math

import torch

print(f"torch {torch.__version__}")
functional = torch.nn.functional
for name, function, at, right in (
    ("celu", lambda x: functional.celu(x, alpha=0.7), -1.3, math.exp(-1.3 / 0.7)),
    ("hardsigmoid", functional.hardsigmoid, 0.5, 1 / 6),
):
    x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    function(x).backward()
    off = abs(x.grad.item() / right - 1)
    print(f"{name}: gradient {x.grad.item():.12f}, exact {right:.12f}, off by {off:.1e}")
    assert 1e-9 < off < 1e-6, f"the gradient of {name} is right to float64 now, or wrong by more"
    assert torch.autograd.gradcheck(function, (x,)), f"gradcheck sees {name} now"
PY
echo "as described"
