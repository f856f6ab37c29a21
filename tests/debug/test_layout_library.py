"""`layout_library`: the vendored file is the one that its script builds, with its licence."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from minigrad.debug.visualize import layout_library as module
from minigrad.debug.visualize.layout_library import layout_library

VENDOR = Path(module.__file__).parent / "vendor"
NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ECONNREFUSED", "ECONNRESET", "ENETUNREACH", "EHOSTUNREACH")


def digests(folder: Path) -> dict[str, str]:
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def build(folder: Path, script: Path) -> subprocess.CompletedProcess[str]:
    """Run the script; skip where npm or the network is missing."""
    if shutil.which("npm") is None or shutil.which("bash") is None:
        pytest.skip("layout library: no npm to rebuild it")
    done = subprocess.run(["bash", str(script), str(folder)], capture_output=True, text=True, check=False, timeout=120)
    if done.returncode and any(code in done.stderr for code in NO_NETWORK):
        pytest.skip("layout library: no network to rebuild it")
    return done


def test_the_files_are_those_that_the_script_recorded() -> None:
    recorded = digests(VENDOR)
    assert sorted(recorded) == ["dagre.LICENSE.txt", "dagre.min.js"]
    for name, digest in recorded.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest


def test_the_script_builds_them_again_byte_for_byte(tmp_path: Path) -> None:
    done = build(tmp_path, VENDOR / "build.sh")
    assert done.returncode == 0, done.stderr
    for name in ("dagre.min.js", "dagre.LICENSE.txt", "SHA256SUMS"):
        assert (tmp_path / name).read_bytes() == (VENDOR / name).read_bytes()


def test_a_package_with_another_hash_is_refused(tmp_path: Path) -> None:
    """The planted fault: npm offers something else than what was locked."""
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(VENDOR, source)
    out.mkdir()
    lock = (source / "package-lock.json").read_text()
    wrong = re.sub(r'("integrity": "sha512-).{8}', r"\1AAAAAAAA", lock, count=1)
    assert wrong != lock
    (source / "package-lock.json").write_text(wrong)
    done = build(out, source / "build.sh")
    assert done.returncode != 0
    assert "EINTEGRITY" in done.stderr
    assert list(out.iterdir()) == []


def test_the_licence_goes_where_the_text_goes() -> None:
    text, licence = layout_library(), (VENDOR / "dagre.LICENSE.txt").read_text()
    version = json.loads((VENDOR / "package.json").read_text())["dependencies"]["@dagrejs/dagre"]
    head, _, code = text.partition("*/\n")
    assert head.startswith(f"/*! @license dagre {version} ")
    assert licence in head
    assert "Permission is hereby granted" in licence
    assert code.startswith('"use strict";var dagre=')
    assert "</script" not in text.lower()


def test_the_lock_names_no_server() -> None:
    lock = json.loads((VENDOR / "package-lock.json").read_text())
    packages = {name: p for name, p in lock["packages"].items() if name}
    assert sorted(packages) == ["node_modules/@dagrejs/dagre", "node_modules/@dagrejs/graphlib"]
    assert all(p["integrity"].startswith("sha512-") and "resolved" not in p for p in packages.values())
