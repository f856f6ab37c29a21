#!/usr/bin/env bash
# PyTorch: SequentialLR cannot hold another one after the first place, and a OneCycleLR in it spoils the warm-up before.
#
# Behaviour: a SequentialLR in second place raises NotImplementedError when its turn comes, in the middle of a run. And a
# OneCycleLR anywhere in the list overwrites "initial_lr" in the optimizer's groups, from which SequentialLR starts its
# first schedule: a LinearLR from half of 1.0 begins at 0.06, half of the cycle's own first rate. Seen with torch 2.13.0.
# What to do: put all schedules into one list; in front of a OneCycleLR use its own pct_start as the warm-up.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import torch
from torch.optim.lr_scheduler import ConstantLR, ExponentialLR, LinearLR, OneCycleLR, SequentialLR

print(f"torch {torch.__version__}")


def made():
    return torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0, momentum=0.9)


optimizer = made()
inner = SequentialLR(optimizer, [ConstantLR(optimizer, 0.5, 9), ExponentialLR(optimizer, 0.5)], [2])
outer = SequentialLR(optimizer, [LinearLR(optimizer, 0.5, total_iters=2), inner], [3])
try:
    for step in range(1, 6):
        optimizer.step()
        outer.step()
except NotImplementedError:
    print(f"a sequence in a sequence: NotImplementedError in step {step}")
else:
    raise AssertionError("sequences nest now")
optimizer = made()
parts = [LinearLR(optimizer, 0.5, total_iters=4), OneCycleLR(optimizer, 3.0, total_steps=40)]
first = SequentialLR(optimizer, parts, [5]).get_last_lr()[0]
print(f"the first rate of a warm-up from 0.5: {first}")
assert abs(first - 0.06) < 1e-12, "the warm-up starts from the optimizer's rate now"
PY
echo "as described"
