#!/usr/bin/env bash
# numpy 2.4.6 with its own OpenBLAS (0.3.31), on a CPU with AVX-512 (OpenBLAS's core SkylakeX): float32 products of
# matrices with few rows and columns and a long inner axis are some hundred times less accurate below 10⁶
# multiplications than above. (2, n) @ (n, 2) of equal values is off by about 1e-3 for n = 240,000 and by less than
# 2e-5 for n = 260,000. Below that number OpenBLAS takes its kernels for small matrices, which add along the inner axis
# value by value, where the others divide it into blocks. Exits 1 where this is no longer seen (or on another core).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6
OPENBLAS_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PY'
import numpy as np

print("numpy", np.__version__)


def error(n: int) -> float:
    a = np.full((n, 2), 1e-3, np.float32)
    exact = n * float(a[0, 0]) ** 2
    return abs(float((a.T @ a.copy())[0, 0]) - exact) / exact


below, above = error(240_000), error(260_000)
print(f"relative error: n = 240,000: {below:.1e}, n = 260,000: {above:.1e}")
raise SystemExit(0 if below > 3e-4 and above < 3e-5 else 1)
PY
