#!/usr/bin/env bash
# Everything that needs a GPU, in one script for machines that are lent for minutes: no stage stops another, each has a
# limit, and what it wrote is in $OUT as soon as it is there.
#
#     tests/on_a_gpu.sh [--dry-run] [--list] [STAGE or GROUP ...]
#
# Groups: first, second (the default is both, in at most $BUDGET seconds), test, bench. --list prints the commands of
# the stages. --dry-run runs the same stages without a device: kernels as C++, NumPy in CuPy's place, and no sanitizer.
# Environment: PY (python3), OUT (build/on_a_gpu), BUDGET (720), WORKERS (12), and PATIENCE, a factor on every limit.
set -u
cd "$(dirname "$0")/.." || exit 2
PY=${PY:-python3} OUT=${OUT:-build/on_a_gpu} BUDGET=${BUDGET:-720} WORKERS=${WORKERS:-12} PATIENCE=${PATIENCE:-1}
export PYTHONPATH=. PYTHONUNBUFFERED=1 OPENBLAS_NUM_THREADS=2 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
export CUPY_CACHE_DIR=${CUPY_CACHE_DIR:-build/cupy_cache}
FIRST="facts smoke kernels probe memcheck racecheck"
SECOND="lstm step rnn gru graph ncu doctor rest cache"
TEST="facts smoke kernels memcheck racecheck doctor verify rest"
BENCH="page-rnn page-lstm page-gru page-step"
SIZES="100,1,64 1000,1,64 100,16,256 1000,16,256 100,64,512 1000,64,512 100,64,1024 1000,64,1024"
FEW="1000,1,64 1000,16,256 100,64,512 100,64,1024"

dry= list= wanted=
for word in "$@"; do
  case $word in
    --dry-run) dry=1 ;;
    --list) list=1 ;;
    first) wanted="$wanted $FIRST" ;;
    second) wanted="$wanted $SECOND" ;;
    test) wanted="$wanted $TEST" ;;
    bench) wanted="$wanted $BENCH" ;;
    -*) echo "on_a_gpu.sh: got $word, want --dry-run, --list, stages or groups" >&2; exit 2 ;;
    *) wanted="$wanted $word" ;;
  esac
done
wanted=${wanted:-$FIRST $SECOND}

# What a command is without a device.
if [ -n "$dry" ]; then
  CUPY=numpy ON=--dry-run WHICH="shim and (float32 or sanitizer)" REST="strict and tanh" MEMCHECK= RACECHECK= NCU=
else
  CUPY=cupy ON= WHICH=cupy REST=cupy
  MEMCHECK="compute-sanitizer --tool memcheck --error-exitcode 1"
  RACECHECK="compute-sanitizer --tool racecheck --error-exitcode 1"
  NCU="ncu --clock-control none --set full -c 2 -k regex:^(forward|backward)$"
fi
have() { "$PY" -c "import $1" > /dev/null 2>&1; }
pytest=("$PY" -m pytest -q -p no:cacheprovider -W default)
if have pytest_timeout; then pytest+=(-p pytest_timeout --timeout 60); fi
parallel=()
if have xdist; then parallel=(-p xdist.plugin -n); fi
workers() { if [ ${#parallel[@]} -gt 0 ]; then echo "${parallel[@]}" "$1"; fi; }

# The command of a stage in the array `command`, and its seconds in `limit`.
stage() {
  local bench=("$PY" -m benchmarks.gpu $ON --write "$OUT/gpu.md" --without-graph --seconds 0.03 --rounds 7 --only)
  local page=("$PY" -m benchmarks.gpu $ON --write --only)
  [ -n "$dry" ] && page=("$PY" -m benchmarks.gpu $ON --write "$OUT/gpu.md" --only)
  case $1 in
    facts) limit=30 command=("$PY" -m benchmarks.gpu_probe facts $ON --out "$OUT/facts.jsonl") ;;
    smoke) limit=90 command=("$PY" tests/support/cuda_on_gpu.py $ON) ;;
    kernels) limit=120 command=("${pytest[@]}" $(workers 6) -k "$WHICH" tests/rnn/cuda/test_device.py) ;;
    probe) limit=90 command=("$PY" -m benchmarks.gpu_probe steps tiles $ON --seconds 80 --out "$OUT/probe.jsonl") ;;
    memcheck) limit=70 command=($MEMCHECK "$PY" tests/support/cuda_on_gpu.py $ON) ;;
    racecheck) limit=70 command=($RACECHECK "$PY" tests/support/cuda_on_gpu.py $ON) ;;
    lstm) limit=90 command=("${bench[@]}" LSTM --sizes $SIZES) ;;
    step) limit=40 command=("${bench[@]}" step) ;;
    rnn) limit=45 command=("${bench[@]}" RNN --sizes $FEW) ;;
    gru) limit=45 command=("${bench[@]}" GRU --sizes $FEW) ;;
    graph) limit=40 command=("$PY" -m benchmarks.gpu $ON --seconds 0.03 --rounds 5 --only LSTM --sizes 1000,16,256) ;;
    ncu) limit=45 command=($NCU "$PY" -m benchmarks.gpu_probe once $ON --out "$OUT/once.jsonl") ;;
    doctor) limit=40 command=("$PY" -m minigrad_rnn doctor --backend "$CUPY") ;;
    verify) limit=600 command=("$PY" -m minigrad_rnn verify --backend "$CUPY") ;;
    rest) limit=180 command=("${pytest[@]}" $(workers "$WORKERS") -m "not soak" -k "$REST" --maxfail 200
        --junitxml "$OUT/rest.xml" --ignore tests/rnn/cuda/test_device.py tests) ;;
    cache) limit=20 command=(tar -cf "$OUT/cupy_cache.tar" "$CUPY_CACHE_DIR") ;;
    page-rnn) limit=400 command=("${page[@]}" RNN) ;;
    page-lstm) limit=400 command=("${page[@]}" LSTM) ;;
    page-gru) limit=400 command=("${page[@]}" GRU) ;;
    page-step) limit=60 command=("${page[@]}" step) ;;
    *) echo "on_a_gpu.sh: got the stage $1, want one of: $FIRST $SECOND verify $BENCH" >&2; return 2 ;;
  esac
}

for name in $wanted; do stage "$name" || exit 2; done
if [ -n "$list" ]; then
  for name in $wanted; do
    stage "$name"
    printf '%s %s' "$name" "$limit"
    printf ' %q' "${command[@]}"
    echo
  done
  exit 0
fi

mkdir -p "$OUT" "$CUPY_CACHE_DIR" || exit 2
: > "$OUT/summary"
say() { printf "$@" | tee -a "$OUT/summary"; }
failed=0 wrong=
for name in $wanted; do
  stage "$name"
  limit=$((limit * PATIENCE)) left=$((BUDGET - SECONDS)) begun=$SECONDS
  [ "$left" -lt "$limit" ] && limit=$left
  case "$wrong $name" in
    " "*|*" facts"|*" memcheck"|*" racecheck"|*" doctor") ;;
    *) say '%-10s not run: the smoke test failed, and no time means anything before it is right\n' "$name"; continue ;;
  esac
  if [ "$limit" -lt 1 ]; then say '%-10s not run: %s s are over\n' "$name" "$BUDGET"; failed=1; continue; fi
  timeout -k 5 "$limit" "${command[@]}" > "$OUT/$name.log" 2>&1 < /dev/null
  rc=$?
  why=$(tail -n 1 "$OUT/$name.log" | cut -c -80)
  [ "$rc" -eq 124 ] && why="cut after $limit s; $why"
  say '%-10s rc %-3s %4s s  %s\n' "$name" "$rc" "$((SECONDS - begun))" "$why"
  [ "$rc" -eq 0 ] || failed=1
  [ "$name" = smoke ] && [ "$rc" -ne 0 ] && wrong=wrong
done
echo "logs: $OUT"
exit "$failed"
