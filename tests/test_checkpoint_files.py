"""Checkpoints as people write them, files that are none, and writes that are interrupted or meet a file."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import re
import stat
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import serialize
from minigrad_rnn import LSTM, load_torch_state_dict, torch_state_dict
from tests.support.interrupts import interrupts

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


@pytest.fixture(params=["npz", "safetensors"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"checkpoint.{request.param}"


def trained() -> tuple[mg.nn.Linear, mg.optim.Adam]:
    model = mg.nn.Linear(3, 2, rng=0)
    optimizer = mg.optim.Adam(model.parameters(), lr=0.01)
    mg.sum(model(np.ones((4, 3), "float32")) ** 2).backward()
    optimizer.step()
    return model, optimizer


def same_optimizer(got: mg.optim.Adam, want: mg.optim.Adam) -> None:
    a, b = got.state_dict(), want.state_dict()
    assert a["param_groups"] == b["param_groups"]
    for mine, yours in zip(a["state"], b["state"], strict=True):
        assert mine["step"] == yours["step"] == 1
        for name in ("exp_avg", "exp_avg_sq"):
            np.testing.assert_array_equal(mine[name], yours[name])


# As anyone would write it


def test_a_model_loads_what_load_returns(path: Path) -> None:
    model, _ = trained()
    mg.save(path, model.state_dict())
    other = mg.nn.Linear(3, 2, rng=1)
    assert other.load_state_dict(mg.load(path)) == ([], [])
    np.testing.assert_array_equal(other.weight.numpy(), model.weight.numpy())
    with pytest.raises(ValueError, match="missing: weight"):
        mg.nn.LayerNorm(3).load_state_dict({"bias": mg.load(path)["bias"]})


def test_an_optimizers_state_is_saved_and_loaded(path: Path) -> None:
    _, optimizer = trained()
    mg.save(path, optimizer.state_dict())
    other = mg.optim.Adam(mg.nn.Linear(3, 2).parameters())
    other.load_state_dict(mg.load(path))
    same_optimizer(other, optimizer)


def test_a_dictionary_of_states_and_numbers_comes_back(path: Path) -> None:
    model, optimizer = trained()
    tree = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "name": "é",
        "lr": (0.5, None),
    }
    mg.save(path, tree, {"kind": "a"})
    got = mg.load(path)
    assert (got["epoch"], got["name"], got["lr"], got.metadata) == (3, "é", [0.5, None], {"kind": "a"})
    back = mg.nn.Linear(3, 2)
    back.load_state_dict(got["model"])
    resumed = mg.optim.Adam(back.parameters())
    resumed.load_state_dict(got["optimizer"])
    np.testing.assert_array_equal(back.weight.numpy(), model.weight.numpy())
    same_optimizer(resumed, optimizer)
    again = path.with_name(f"again.{path.name}")
    mg.save(again, got, got.metadata)
    assert again.read_bytes() == path.read_bytes()


def test_a_checkpoint_is_a_pair_and_a_dictionary(tmp_path: Path) -> None:
    mg.save(tmp_path / "c.npz", {"w": np.ones(2), "b": np.zeros(1)}, {"epoch": 1})
    got = mg.load(tmp_path / "c.npz")
    arrays, metadata = got
    assert metadata == got[1] == got.metadata == {"epoch": 1}
    assert arrays is got[0] is got.arrays
    assert isinstance(got, tuple)
    assert len(got) == 2
    assert list(dict(got)) == list(got.keys()) == [name for name, _ in got.items()] == ["w", "b"]
    assert {**got}["w"] is got["w"] is arrays["w"] is got.get("w") is next(iter(got.values()))
    assert "w" in got
    assert "v" not in got
    assert got.get("v", 3) == 3
    with pytest.raises(KeyError):
        got["v"]
    for copied in (pickle.loads(pickle.dumps(got)), copy.deepcopy(got)):
        assert type(copied) is type(got)
        np.testing.assert_array_equal(copied["w"], np.ones(2))
    assert arrays["w"].flags.writeable


def test_torchs_names_are_loaded_from_a_file(path: Path) -> None:
    lstm, other = LSTM(3, 4, rng=0), LSTM(3, 4, rng=1)
    mg.save(path, torch_state_dict(lstm))
    load_torch_state_dict(other, mg.load(path))
    for p, q in zip(lstm.parameters(), other.parameters()):
        np.testing.assert_allclose(q.numpy(), p.numpy(), rtol=1e-6)


def test_another_librarys_arrays_are_saved(path: Path) -> None:
    torch = pytest.importorskip("torch")
    mg.save(path, {"a": torch.arange(3), "nested": {"b": [torch.ones(2)]}})
    got = mg.load(path)
    assert got["a"].tolist() == [0, 1, 2]
    assert got["nested"]["b"][0].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("arrays", "metadata", "message"),
    [
        (
            mg.nn.Linear(1, 1),
            None,
            r"save: arrays: got Linear, want its arrays by name: save\(path, x\.state_dict\(\)\)",
        ),
        (mg.optim.SGD(mg.nn.Linear(1, 1).parameters(), 0.1), None, r"got SGD, want .* save\(path, x\.state_dict\(\)\)"),
        ([np.zeros(2)], None, "save: arrays: got list, want arrays by name"),
        (np.zeros(2), None, "got .*ndarray, want arrays by name"),
        ({"a": {1: np.zeros(2)}}, None, "a: got the key 1, want a string"),
        ({"a": [{"b": {1, 2}}]}, None, "save: arrays: want values that JSON can hold: .*set"),
        ({"$array": np.zeros(2), "n": 3}, None, r"got the name '\$array'"),
        ({"a": [np.array(["x"])]}, None, r"save: arrays\['a/0'\]: got <U1"),
        ({}, {1: "a", "1": "b"}, "save: metadata: want values that JSON can hold: the key '1' comes twice"),
        ({}, {"a": [{None: 1, "null": 2}]}, "the key 'null' comes twice"),
        ({}, {True: 1, "true": 2}, "the key 'true' comes twice"),
        ({"a": {"b": np.zeros(1)}, "a/b": np.zeros(1)}, None, "two arrays have the path 'a/b'"),
    ],
)
def test_what_would_be_lost_is_refused(path: Path, arrays: Any, metadata: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        mg.save(path, arrays, metadata)
    assert os.listdir(path.parent) == []


def test_a_missing_safetensors_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for action in (lambda p: mg.save(p, {}), mg.load):
        with pytest.raises(ImportError, match="needs the package safetensors: pip install safetensors"):
            action(tmp_path / "c.safetensors")
    assert os.listdir(tmp_path) == []


ON_THE_INDEX = {"cupy-cuda12x", "cupy-cuda13x", "cupy-cuda13x[ctk]", "matplotlib", "onnx", "safetensors", "scipy"}
ON_THE_INDEX |= {"espeakng-loader", "jiwer", "mpi4py", "mpich", "nvidia-nccl-cu13", "sacrebleu", "tensorboardX"}
OTHERS = {".", ".[cuda13]", ".[onnx]", ".[safetensors]", ".[plot]", ".[speech]", "{package}[ctk]"}
"""This project's own extras, and a name that tests/rnn/test_doctor.py fills in."""


def test_install_hints_name_packages_that_the_index_has() -> None:
    root = Path(__file__).resolve().parents[1]
    files = [p for d in ("minigrad", "minigrad_rnn", "examples", "docs") for p in (root / d).rglob("*.[pm][yd]")]
    hints = {
        hint
        for file in [*files, root / "README.md"]
        for hint in re.findall(r"pip install '?([\w.{}\[\]-]*[\w\]}.])", file.read_text(encoding="utf-8"))
    }
    assert hints <= ON_THE_INDEX | OTHERS
    assert {"safetensors", "onnx", "cupy-cuda13x"} <= hints


# Files that are no checkpoints


@needs_pipes
def test_pipes_and_devices_are_neither_read_nor_replaced(path: Path) -> None:
    os.mkfifo(path)
    device = path.with_name(f"device.{path.name}")
    device.symlink_to("/dev/zero")
    for name in (path, device):
        with pytest.raises(mg.CheckpointError, match="cannot be read: it is a pipe or a device"):
            mg.load(name)
        with pytest.raises(OSError, match="it is a pipe or a device"):
            mg.save(name, {"a": np.zeros(2)})
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert sorted(os.listdir(path.parent)) == sorted([path.name, device.name])


def test_a_folder_is_not_replaced(path: Path) -> None:
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        mg.save(path, {})
    assert os.listdir(path.parent) == [path.name]


def npy(shape: str, data: bytes = b"\0" * 24, descr: str = "<f8") -> bytes:
    """A `.npy` file by the format's definition, with any shape written into it."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


GOOD = {"format": "minigrad-1", "names": ["a"], "metadata": {}}


def archive(path: Path, header: Any, member: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    text = header if isinstance(header, str) else json.dumps(header)
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("metadata.json", text)
        file.writestr("a.npy", member)


@pytest.mark.parametrize(
    ("shape", "complaint"),
    [
        ("(3,)", None),
        ("(4,)", "shorter than its header says"),
        ("(2,)", "longer than its header says"),
        ("(1125899906842624,)", "shorter than its header says"),  # 8 PiB: allocated, it would be a MemoryError
        ("(1099511627776, 1099511627776)", "shorter"),
        ("(-3,)", "never writes so"),
        ("(-1, -3)", "never writes so"),
    ],
)
def test_a_declared_size_is_compared_with_the_file_first(tmp_path: Path, shape: str, complaint: str | None) -> None:
    path = tmp_path / "c.npz"
    archive(path, GOOD, npy(shape))
    tracemalloc.start()
    if complaint is None:
        np.testing.assert_array_equal(mg.load(path)["a"], np.zeros(3))
    else:
        with pytest.raises(mg.CheckpointError, match=complaint):
            mg.load(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ({**GOOD, "names": "a"}, "does not list the arrays' names"),
        ({**GOOD, "names": [["a"]]}, "does not list the arrays' names"),
        ({**GOOD, "names": ["a", "a"]}, "not one that minigrad.save writes"),
        ({**GOOD, "metadata": [1]}, "not one that minigrad.save writes"),
        ({**GOOD, "tree": [1]}, "not one that minigrad.save writes"),
        ({**GOOD, "tree": {"x": {"$array": "b"}}}, "the array 'b' is missing"),
        ({**GOOD, "tree": {"x": {"$array": ["a"]}}}, "is missing"),
        ('{"format": "minigrad-1", "names": ["a"], "metadata": {}, "metadata": {}}', "the key 'metadata' comes twice"),
    ],
)
def test_headers_that_save_never_writes(tmp_path: Path, header: Any, complaint: str) -> None:
    archive(tmp_path / "c.npz", header, npy("(3,)"))
    with pytest.raises(mg.CheckpointError, match=complaint):
        mg.load(tmp_path / "c.npz")


def test_members_that_save_never_writes(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    archive(path, GOOD, npy("(3,)"), zipfile.ZIP_DEFLATED)
    with pytest.raises(mg.CheckpointError, match=r"'metadata\.json' is compressed, which minigrad.save never does"):
        mg.load(path)
    archive(path, GOOD, npy("(3,)", descr="|S8"))
    with pytest.raises(mg.CheckpointError, match=r"holds \|S8, shape \(3,\), which minigrad.save never writes"):
        mg.load(path)
    whole = io.BytesIO()
    np.save(whole, np.zeros((2, 3), order="F"))
    archive(path, GOOD, whole.getvalue())
    with pytest.raises(mg.CheckpointError, match="never writes so"):
        mg.load(path)
    with zipfile.ZipFile(path, "w") as file:  # one member, listed many times
        file.writestr("metadata.json", json.dumps(GOOD))
        file.writestr("a.npy", npy("(3,)"))
        file.filelist += [file.filelist[1]] * 50
    with pytest.raises(mg.CheckpointError, match="its members together are larger than the file"):
        mg.load(path)


@pytest.mark.parametrize(
    ("length", "offsets", "complaint"),
    [(None, 24, None), (None, 1 << 50, "its arrays have"), (1 << 40, 24, "its header is larger"), (None, 8, "")],
)
def test_declared_sizes_of_safetensors(tmp_path: Path, length: int | None, offsets: int, complaint: str | None) -> None:
    pytest.importorskip("safetensors")
    path = tmp_path / "c.safetensors"
    header = json.dumps({"a": {"dtype": "F64", "shape": [3], "data_offsets": [0, offsets]}}).encode()
    path.write_bytes((length or len(header)).to_bytes(8, "little") + header + bytes(24))
    if complaint is None:
        assert mg.load(path)["a"].tolist() == [0, 0, 0]
    else:
        with pytest.raises(mg.CheckpointError, match=rf"c\.safetensors: .*{complaint}"):
            mg.load(path)


def test_a_file_beyond_the_memory_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise MemoryError

    mg.save(path, {})
    for name in ("read_npz", "read_safetensors"):
        monkeypatch.setattr(serialize.checkpoint, name, full)
    with pytest.raises(mg.CheckpointError, match="does not fit into the memory"):
        mg.load(path)


# Writing


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_a_file_keeps_its_permissions(path: Path, mode: int) -> None:
    mg.save(path, {})
    path.chmod(mode)
    with serialize.atomic_write(path) as file:
        assert stat.S_IMODE(os.stat(file.name).st_mode) & ~mode == 0  # no other user reads the draft of a private file
        file.write(b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("links", [True, False])
def test_the_one_before_is_kept_under_another_name(path: Path, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    kept = path.with_name(f"kept.{path.name}")
    for k in range(4):
        mg.save(path, {"k": np.array(k)}, keep_as=kept)
        assert kept.exists() == (k > 0)
        assert not k or mg.load(kept)["k"] == k - 1
    os.replace(path, kept)
    os.link(kept, path) if links else path.write_bytes(kept.read_bytes())
    mg.save(path, {"k": np.array(9)}, keep_as=kept)
    assert mg.load(kept)["k"] == 3
    assert sorted(os.listdir(path.parent)) == sorted([path.name, kept.name])

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        mg.save(path, {"k": np.array(10)}, keep_as=kept)
    assert [int(mg.load(name)["k"]) for name in (path, kept)] == [9, 3]


def test_drafts_of_killed_processes_are_removed(tmp_path: Path) -> None:
    names = [".c.npz.12-0123abcd.tmp", ".c.npz.99999-ffffffff.tmp"]
    others = [".d.npz.12-0123abcd.tmp", ".c.npz.tmp", "c.npz", ".c.npz.12-0123abcd.tmp.bak", ".cxnpz.12-0123abcd.tmp"]
    for name in (*names, *others):
        (tmp_path / name).touch()
    serialize.remove_drafts(tmp_path / "c.npz")
    assert sorted(os.listdir(tmp_path)) == sorted(others)
    serialize.remove_drafts(tmp_path / "nowhere" / "c.npz")


def test_ctrl_c_anywhere_in_a_save_stays_ctrl_c(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # for speed
    mg.save(path, {"step": np.array(0)})
    before, kept, complete, points = path.read_bytes(), path.with_name("kept"), 0, 0
    for k in interrupts(lambda: mg.save(path, {"step": np.array(1)}, keep_as=kept), "serialize", "zipfile"):
        assert set(os.listdir(path.parent)) <= {path.name, kept.name}, f"point {k}"
        complete += path.read_bytes() != before
        path.write_bytes(before)
        points = k
    assert points > 60
    assert 0 < complete < points  # those that came when the new file was in its place
