"""`session_folder` gives a folder that all workers of a session share: what one has compiled, the others load."""

from __future__ import annotations

from pathlib import Path

import pytest


def session_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> Path:
    """Return the session's folder of this name; a file there is written under another name and renamed."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / name
    folder.mkdir(exist_ok=True)
    return folder
