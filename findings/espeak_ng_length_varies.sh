#!/usr/bin/env bash
# eSpeak NG: the same text, voice and settings give another length at each call within a process.
#
# Behaviour: with the library of espeakng-loader 0.2.4 (eSpeak NG 1.52), synthesising "seven" four times in one process gives
# different numbers of samples, so no two of them are the same sound, and espeak_ng_SetRandSeed before each call does not
# change that. The same calls in a fresh process give the same lengths again: it depends on what was said before.
# What to do: to be reproducible, make a data set of sounds in one process, in a fixed order; keep the sounds, not the settings.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q espeakng-loader==0.2.4
cat > "$folder/lengths.py" <<'PY'
import ctypes

import espeakng_loader

library = ctypes.CDLL(espeakng_loader.get_library_path())
heard = []
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@CALLBACK
def hear(samples, count, events):
    heard.append(max(count, 0))
    return 0


assert library.espeak_Initialize(1, 0, espeakng_loader.get_data_path().encode(), 0) > 0  # 1: to the callback, synchronously
library.espeak_SetSynthCallback(hear)
assert library.espeak_SetVoiceByName(b"en-us") == 0
lengths = []
for _ in range(4):
    heard.clear()
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    library.espeak_Synth(b"seven", 6, 0, 0, 0, 1, None, None)
    library.espeak_Synchronize()
    lengths.append(sum(heard))
print(*lengths)
PY
first=$("$folder/venv/bin/python" "$folder/lengths.py")
second=$("$folder/venv/bin/python" "$folder/lengths.py")
echo "espeakng-loader 0.2.4, samples of each call: $first; in another process: $second"
[ "$first" = "$second" ] || { echo "the lengths differ between processes now"; exit 1; }
[ "$(echo "$first" | tr ' ' '\n' | sort -u | wc -l)" -gt 1 ] || { echo "the lengths are equal now"; exit 1; }
echo "as described"
