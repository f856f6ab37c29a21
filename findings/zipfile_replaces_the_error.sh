#!/usr/bin/env bash
# zipfile of Python's standard library: an exception raised while a member is open for writing leaves the `with` block of
# the archive as a ValueError about the open member. `except KeyboardInterrupt` around it, or `except OSError`, does not
# see the Ctrl-C or the full disk, which is only the ValueError's context. (The member's own `with` block avoids it, but
# not for a signal that arrives inside ZipFile.open.)
# Exits 0 while this is seen, 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
"$folder/venv/bin/python" - "$folder/a.zip" <<'PYTHON'
import sys
import zipfile

print("Python", sys.version.split()[0])
seen = "nothing"
try:
    with zipfile.ZipFile(sys.argv[1], "w") as archive:
        member = archive.open("member", "w")
        raise KeyboardInterrupt
except KeyboardInterrupt:
    seen = "KeyboardInterrupt"
except ValueError as error:
    seen = f"ValueError: {error}; its context: {error.__context__!r}"
print("raised: KeyboardInterrupt")
print("seen:  ", seen)
member.close()
sys.exit(0 if seen.startswith("ValueError") else 1)
PYTHON
