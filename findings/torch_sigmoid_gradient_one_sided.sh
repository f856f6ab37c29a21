#!/usr/bin/env bash
# torch.sigmoid is symmetric, its derivative in float32 is not: at x = -20 it is 2.06e-9, at x = +20 it is 0, and so from
# x = 17 on. The backward pass computes (1 - y) * y from the rounded y = 1, where exp(-x) is still a good number. A gate
# that has been driven open learns nothing any more, one that has been driven shut goes on learning.
# Exits 0 while this is seen, 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "numpy==2.4.6" "torch==2.13.0"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import torch

print("torch", torch.__version__)
x = torch.tensor([-20.0, -17.5, -15.0, 15.0, 17.5, 20.0], requires_grad=True)
torch.sigmoid(x).sum().backward()
exact = 1 / (4 * np.cosh(x.detach().double().numpy() / 2) ** 2)
got = x.grad.numpy()
for at, g, want in zip(x.tolist(), got, exact):
    print(f"x = {at:6.1f}   torch {g:.3e}   exact {want:.3e}   relative error {abs(g / want - 1):.1e}")
seen = bool((abs(got[:3] / exact[:3] - 1) < 1e-5).all()) and not got[4:].any()
print("the derivative is lost on one side" if seen else "no longer seen")
sys.exit(0 if seen else 1)
PYTHON
