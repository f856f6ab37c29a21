#!/usr/bin/env bash
# Everything that needs a GPU, in one script for machines that are lent for minutes: no stage stops another, each has a
# limit, and what it wrote is in $OUT as soon as it is there.
#
#     tests/on_a_gpu.sh [--dry-run] [--list] [STAGE or GROUP ...]
#
# Groups: first, second (the default is both, in at most $BUDGET seconds), test, bench. --list prints the stages: name,
# expected seconds, limit, command. --dry-run runs the same stages without a device: kernels as C++, NumPy in CuPy's
# place, and no sanitizer. Where a command may take ten minutes, `first` and `second` are two of six minutes, each with
# BUDGET=570.
#
# If the smoke test fails, nothing after it is run: its first wrong case is narrowed to one block and two, one step and
# two, and memcheck runs that case alone. If memcheck fails it runs again without what it says of calls of the driver,
# which may be CuPy's.
#
# $OUT holds at most eight files: summary (one screen, with the predictions that held or did not), log (what all stages
# printed), facts.jsonl, probe.jsonl, gpu_costs.json, gpu.md, rest.xml, and cupy_cache.tar.gz: CuPy's compiled kernels,
# below 16 MB. Given as $CACHE (build/cupy_cache.tar.gz) to the next run, it is unpacked first.
#
# Environment: PY (python3), OUT (build/on_a_gpu), BUDGET (720), WORKERS (12), CACHE, and PATIENCE, a factor on limits.
set -u
cd "$(dirname "$0")/.." || exit 2
PY=${PY:-python3} OUT=${OUT:-build/on_a_gpu} BUDGET=${BUDGET:-720} WORKERS=${WORKERS:-12} PATIENCE=${PATIENCE:-1}
CACHE=${CACHE:-build/cupy_cache.tar.gz}
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1 OPENBLAS_NUM_THREADS=2 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
export CUPY_CACHE_DIR=${CUPY_CACHE_DIR:-$PWD/build/cupy_cache}
FIRST="facts smoke kernels reruns probe tune memcheck racecheck predictions"
SECOND="lstm step rnn gru graph ncu doctor rest predictions cache"
TEST="facts smoke kernels reruns memcheck racecheck doctor verify rest"
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
    -* | "") echo "on_a_gpu.sh: got ${word:-an empty word}, want --dry-run, --list, stages or groups" >&2; exit 2 ;;
    *) wanted="$wanted $word" ;;
  esac
done
wanted=${wanted:-$FIRST $SECOND}

# What a command is without a device.
if [ -n "$dry" ]; then
  CUPY=numpy ON=--dry-run WHICH="shim and (float32 or sanitizer or gave_up)" REST="strict and tanh" RERUNS=3
  MEMCHECK= QUIET= RACECHECK= NCU=
else
  CUPY=cupy ON= WHICH=cupy REST=cupy RERUNS=50
  MEMCHECK="compute-sanitizer --tool memcheck --error-exitcode 1"
  QUIET="$MEMCHECK --report-api-errors no"
  RACECHECK="compute-sanitizer --tool racecheck --error-exitcode 1"
  NCU="ncu --clock-control none --set full -c 4 -k regex:^(forward|backward)$"
fi
have() { "$PY" -c "import $1" > /dev/null 2>&1; }
pytest=("$PY" -m pytest -q -p no:cacheprovider -W default)
if have pytest_timeout; then pytest+=(-p pytest_timeout --timeout 60); fi
parallel=()
if have xdist; then parallel=(-p xdist.plugin -n); fi
workers() { if [ ${#parallel[@]} -gt 0 ]; then echo "${parallel[@]}" "$1"; fi; }

# The command of a stage in the array `command`, the seconds that it should take in `expect`, its most in `limit`.
wrong_case=
stage() {
  local bench=("$PY" -m benchmarks.gpu $ON --write "$OUT/gpu.md" --without-graph --seconds 0.03 --rounds 7 --only)
  local page=("$PY" -m benchmarks.gpu $ON --write --only)
  [ -n "$dry" ] && page=("$PY" -m benchmarks.gpu $ON --write "$OUT/gpu.md" --only)
  local smoke=("$PY" tests/support/cuda_on_gpu.py $ON)
  [ -n "$wrong_case" ] && smoke+=(--only "$wrong_case")
  local ours=(tests/rnn/cuda/test_device.py tests/rnn/cuda/test_reported_errors.py)
  case $1 in
    facts) expect=10 limit=30 command=("$PY" -m benchmarks.gpu_probe facts $ON --out "$OUT/facts.jsonl") ;;
    smoke) expect=35 limit=90 command=("${smoke[@]}") ;;
    narrow) expect=10 limit=60 command=("${smoke[@]}" --narrow) ;;
    kernels) expect=45 limit=120 command=("${pytest[@]}" $(workers 6) -k "$WHICH" "${ours[@]}") ;;
    reruns) expect=30 limit=60 command=("${smoke[@]}" --reruns $RERUNS) ;;
    probe) expect=80 limit=90
      command=("$PY" -m benchmarks.gpu_probe steps tiles $ON --seconds 80 --out "$OUT/probe.jsonl") ;;
    tune) expect=65 limit=90
      command=("$PY" -m minigrad_rnn.cuda.tune $ON --seconds 60 --out "$OUT/gpu_costs.json") ;;
    memcheck) expect=40 limit=80 command=($MEMCHECK "${smoke[@]}") ;;
    quiet) expect=40 limit=80 command=($QUIET "${smoke[@]}") ;;
    racecheck) expect=40 limit=80 command=($RACECHECK "${smoke[@]}") ;;
    lstm) expect=45 limit=90 command=("${bench[@]}" LSTM --sizes $SIZES) ;;
    step) expect=12 limit=40 command=("${bench[@]}" step) ;;
    rnn) expect=15 limit=45 command=("${bench[@]}" RNN --sizes $FEW) ;;
    gru) expect=15 limit=45 command=("${bench[@]}" GRU --sizes $FEW) ;;
    graph) expect=12 limit=40
      command=("$PY" -m benchmarks.gpu $ON --seconds 0.03 --rounds 5 --only LSTM --sizes 1000,16,256) ;;
    ncu) expect=25 limit=45 command=($NCU "$PY" -m benchmarks.gpu_probe once $ON) ;;
    doctor) expect=10 limit=40 command=("$PY" -m minigrad_rnn doctor --backend "$CUPY") ;;
    verify) expect=400 limit=600 command=("$PY" -m minigrad_rnn verify --backend "$CUPY") ;;
    rest) expect=170 limit=180 command=("${pytest[@]}" $(workers "$WORKERS") -m "not soak" -k "$REST" --maxfail 200
        --junitxml "$OUT/rest.xml" --ignore "${ours[0]}" --ignore "${ours[1]}" tests) ;;
    predictions) expect=1 limit=10 command=("$PY" -m benchmarks.gpu_predictions $ON "$OUT") ;;
    cache) expect=5 limit=20
      command=("$PY" tests/support/cupy_cache.py pack "$CUPY_CACHE_DIR" "$OUT/cupy_cache.tar.gz") ;;
    page-rnn) expect=240 limit=400 command=("${page[@]}" RNN) ;;
    page-lstm) expect=240 limit=400 command=("${page[@]}" LSTM) ;;
    page-gru) expect=240 limit=400 command=("${page[@]}" GRU) ;;
    page-step) expect=20 limit=60 command=("${page[@]}" step) ;;
    *) echo "on_a_gpu.sh: got the stage $1, want one of: $FIRST narrow quiet $SECOND verify $BENCH" >&2; return 2 ;;
  esac
}

for name in $wanted; do stage "$name" || exit 2; done
if [ -n "$list" ]; then
  for name in $wanted; do
    stage "$name"
    printf '%s %s %s' "$name" "$expect" "$limit"
    printf ' %q' "${command[@]}"
    echo
  done
  exit 0
fi

mkdir -p "$OUT" "$CUPY_CACHE_DIR" || exit 2
{ : > "$OUT/summary" && : > "$OUT/log"; } || exit 2
say() { printf "$@" | tee -a "$OUT/summary"; }
if [ -f "$CACHE" ]; then
  "$PY" tests/support/cupy_cache.py unpack "$CUPY_CACHE_DIR" "$CACHE" >> "$OUT/log" 2>&1
  say '%-11s %s\n' cache "$(tail -n 1 "$OUT/log" | cut -c -80)"
fi
failed=0 queue=($wanted)
while [ ${#queue[@]} -gt 0 ]; do
  name=${queue[0]} queue=("${queue[@]:1}")
  case " ${queue[*]} " in *" $name "*) continue ;; esac  # of two groups: it comes again
  stage "$name"
  limit=$((limit * PATIENCE)) left=$((BUDGET - SECONDS)) begun=$SECONDS
  [ "$left" -lt "$limit" ] && limit=$left
  if [ "$limit" -lt 1 ]; then say '%-11s not run: %s s are over\n' "$name" "$BUDGET"; failed=1; continue; fi
  printf '\n== %s\n' "$name" >> "$OUT/log"
  from=$(wc -l < "$OUT/log")
  timeout -k 5 "$limit" "${command[@]}" >> "$OUT/log" 2>&1 < /dev/null
  rc=$?
  if [ "$name" = predictions ]; then tail -n +$((from + 1)) "$OUT/log" | tee -a "$OUT/summary"; continue; fi
  why=$(grep . "$OUT/log" | tail -n 1 | cut -c -100)
  [ "$rc" -eq 124 ] && why="cut after $limit s; $why"
  say '%-11s rc %-3s %4s s (%s expected)  %s\n' "$name" "$rc" "$((SECONDS - begun))" "$expect" "$why"
  [ "$rc" -eq 0 ] || failed=1
  [ "$name" = memcheck ] && [ "$rc" -ne 0 ] && queue=(quiet "${queue[@]}")
  if [ "$name" = smoke ] && [ "$rc" -ne 0 ]; then
    [ ${#queue[@]} -gt 0 ] && say 'not run, since the smoke test failed: %s\n' "${queue[*]}"
    wrong_case=$(sed -n 's/^WRONG: \([^:]*\):.*/\1/p' "$OUT/log" | head -n 1)
    queue=(narrow memcheck)
  fi
done
echo "logs: $OUT"
exit "$failed"
