#!/usr/bin/env bash
# mpich 5.0.2 (through mpi4py 4.1.2): after an Allreduce with MPI.MAX of two float64 numbers of which one is NaN, the
# ranks hold different results: the one that gave NaN has the number, the other one NaN. So ranks that ask
# "is the largest loss finite?" go different ways, and the next collective call never ends. MPI.SUM gives NaN to both.
# Exits 1 where the ranks agree.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 mpi4py==4.1.2 mpich==5.0.2
cat > "$folder/program.py" <<'PY'
import numpy as np
from mpi4py import MPI

ranks = MPI.COMM_WORLD
found = {}
for name in ("MAX", "SUM"):
    result = np.empty(1)
    ranks.Allreduce(np.array([np.nan if ranks.rank == 0 else 1.0]), result, op=getattr(MPI, name))
    found[name] = ranks.gather(float(result[0]))
if ranks.rank == 0:
    print("of NaN on rank 0 and 1.0 on rank 1, ranks 0 and 1 hold", found)
    finite = np.isfinite(found["MAX"])
    raise SystemExit(0 if finite[0] != finite[1] and not np.isfinite(found["SUM"]).any() else 1)
PY
"$folder/venv/bin/mpiexec" -n 2 "$folder/venv/bin/python" "$folder/program.py"
