"""Name the folder where this user's caches lie."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "MINIGRAD_CACHE"


def cache_folder() -> Path | None:
    """Return the folder, which may not be there yet: MINIGRAD_CACHE, or `minigrad` where this system has its caches.

    None where the user has no home folder.
    """
    if named := os.environ.get(VARIABLE):
        return Path(os.path.realpath(os.path.expanduser(named)))
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.join("~", "AppData", "Local")
    elif sys.platform == "darwin":
        base = os.path.join("~", "Library", "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        base = base if os.path.isabs(base) else os.path.join("~", ".cache")  # the standard: others are ignored
    base = os.path.expanduser(base)
    return Path(os.path.realpath(os.path.join(base, "minigrad"))) if os.path.isabs(base) else None
