#!/usr/bin/env bash
# array_api_strict.isin accepts invert=True (array API 2025.12) and ignores it: it answers "is among" where "is not
# among" was asked. A library that is tested against it would copy the error.
# Exits 0 while this is seen, 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "numpy==2.4.6" "array-api-strict==2.6.1"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import array_api_strict as xp
import numpy as np

print("array-api-strict", xp.__version__, "numpy", np.__version__)
x, among = [1, 2, 3], [1]
want = np.isin(x, among, invert=True).tolist()
got = [bool(v) for v in xp.isin(xp.asarray(x), xp.asarray(among), invert=True)]
print("numpy.isin(..., invert=True):           ", want)
print("array_api_strict.isin(..., invert=True):", got)
ignored = got == [not v for v in want]
print("invert is ignored" if ignored else "no longer seen")
sys.exit(0 if ignored else 1)
PYTHON
