#!/usr/bin/env bash
# torch exports a lazily negated view through DLPack as if it were not negated: the consumer reads the numbers with the
# wrong sign, and no error. (A lazily conjugated one is refused with a BufferError.) Such views arise from ordinary
# calls: z.conj().imag. Tensor.numpy() refuses them, so a consumer that changes over to DLPack loses the check.
# Way round: x.resolve_neg() before the export, or is_neg() on the consumer's side.
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

print("torch", torch.__version__, "numpy", np.__version__)
x = torch.tensor([1 + 2j, 3 + 4j]).conj().imag
print("values:              ", x.tolist(), " is_neg:", x.is_neg())
theirs = np.from_dlpack(x)
print("numpy.from_dlpack:   ", theirs.tolist())
print("torch.from_dlpack:   ", torch.from_dlpack(x).tolist())
print("after resolve_neg(): ", np.from_dlpack(x.resolve_neg()).tolist())
try:
    np.from_dlpack(torch.tensor([1 + 2j]).conj())
    print("a conjugated view:    exported")
except BufferError as error:
    print("a conjugated view:    BufferError:", error)
wrong = theirs.tolist() == [-v for v in x.tolist()]
print("the sign is wrong" if wrong else "no longer seen")
sys.exit(0 if wrong else 1)
PYTHON
