#!/usr/bin/env bash
# mpi4py 4.1.2 (with mpich 5.0.2): an array in Fortran order is sent as its memory lies, without a word. A transposed
# weight that rank 0 broadcasts into an array in C order of the same shape arrives with its entries permuted, and an
# all-reduce of the two adds entries of different places. Strided arrays are refused ("buffer is not contiguous");
# Fortran order counts as contiguous, and neither the order nor the shapes of the two sides are compared.
# Exits 1 where this is no longer seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 mpi4py==4.1.2 mpich==5.0.2
cat > "$folder/program.py" <<'PY'
import numpy as np
from mpi4py import MPI

ranks = MPI.COMM_WORLD
weight = np.arange(6.0).reshape(2, 3)
mine = np.asfortranarray(weight) if ranks.rank == 0 else np.zeros((2, 3))
ranks.Bcast(mine, root=0)
total = np.asfortranarray(weight) if ranks.rank == 0 else weight.copy()
ranks.Allreduce(MPI.IN_PLACE, total)
if ranks.rank == 1:
    print("sent     ", weight.tolist())
    print("arrived  ", mine.tolist())
    print("twice it?", total.tolist())
    raise SystemExit(0 if mine.tolist() != weight.tolist() and total.tolist() != (2 * weight).tolist() else 1)
PY
"$folder/venv/bin/mpiexec" -n 2 "$folder/venv/bin/python" "$folder/program.py"
