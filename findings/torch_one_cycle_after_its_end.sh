#!/usr/bin/env bash
# PyTorch: OneCycleLR's step after the last one sets a rate thousands of times too large, and short cycles divide by 0.
#
# Behaviour: with total_steps=10 the usual loop calls step() ten times. The ninth reaches the end of the cycle, 4e-6; the
# tenth sets 0.0495, since the share of the last phase is then above 1 and the cosine comes up again. Only the eleventh
# raises. And where pct_start * total_steps is 1 the constructor raises ZeroDivisionError. Seen with torch 2.13.0.
# What to do: ask for one step more than are trained, or stop calling step() at the end.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import torch

print(f"torch {torch.__version__}")


def made(**options):
    optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0, momentum=0.9)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, **options)


optimizer, schedule = made(total_steps=10)
rates = schedule.get_last_lr()
for _ in range(10):
    optimizer.step()
    schedule.step()
    rates += schedule.get_last_lr()
print(f"of the last update: {rates[9]:.2e}, after it: {rates[10]:.2e}")
assert rates[10] > 1000 * rates[9], "the rate stays at its end now"
try:
    made(total_steps=2, pct_start=0.5)
except ZeroDivisionError as error:
    print(f"two steps, pct_start=0.5: ZeroDivisionError: {error}")
else:
    raise AssertionError("a rise of one step works now")
PY
echo "as described"
