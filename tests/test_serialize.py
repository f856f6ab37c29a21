"""Checkpoints: what goes out comes back, on any backend; nothing is lost by an interruption, or misread unnoticed."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import minigrad as mg
from minigrad import serialize

DTYPES = ["float16", "float32", "float64", "int8", "uint8", "int32", "int64", "uint16", "bool", ">f4", ">i8"]


@pytest.fixture(params=["npz", "safetensors"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"checkpoint.{request.param}"


def example(scale: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"b": rng.standard_normal(3) * scale, "a/w.x": np.arange(6, dtype="float32").reshape(2, 3)}


def same(got: dict[str, np.ndarray], want: dict[str, Any]) -> None:
    assert list(got) == list(want)
    for name, array in want.items():
        host = np.asarray(array)
        assert type(got[name]) is np.ndarray
        assert got[name].dtype == host.dtype.newbyteorder("=")
        assert got[name].flags.c_contiguous
        np.testing.assert_array_equal(got[name], host)


@given(st.data())
def test_arrays_come_back(path: Path, data: st.DataObject) -> None:
    names = data.draw(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1), unique=True, max_size=3)
    )
    shapes = array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    kinds = st.sampled_from(DTYPES)
    want = {name: data.draw(arrays(data.draw(kinds), data.draw(shapes))) for name in names}
    serialize.save(path, want)
    got, metadata = mg.load(path)
    same(got, want)
    assert metadata == {}


@pytest.mark.parametrize(
    "view",
    [lambda a: a.T, lambda a: a[::2], lambda a: a[:, ::-1], np.asfortranarray, lambda a: a[1:, 1:], lambda a: a[0, :1]],
)
def test_memory_in_any_order_comes_back_right(path: Path, view: Any) -> None:
    a = view(np.arange(20.0).reshape(4, 5))
    mg.save(path, {"a": a, "broadcast": np.broadcast_to(a, (2, *a.shape))})
    same(mg.load(path)[0], {"a": a, "broadcast": np.broadcast_to(a, (2, *a.shape))})


def test_complex_numbers(path: Path) -> None:
    mg.save(path, {"z": np.array([1 + 2j], "complex64")})
    same(mg.load(path)[0], {"z": np.array([1 + 2j], "complex64")})


def test_a_dtype_that_safetensors_lacks_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    with pytest.raises(TypeError, match="safetensors cannot hold them"):
        mg.save(tmp_path / "c.safetensors", {"z": np.array([1j])})
    assert os.listdir(tmp_path) == []


def test_metadata_come_back(path: Path) -> None:
    metadata = {"step": 3, "lr": 0.1, "none": None, "names": ["h", "é\n"], "rng": {"state": 2**127 + 1}, "ok": True}
    mg.save(path, example(), metadata)
    assert mg.load(path)[1] == metadata
    mg.save(path, {}, {"t": (1, 2)})
    assert mg.load(path) == ({}, {"t": [1, 2]})


def test_one_backend_reads_what_another_wrote(xp: Any, path: Path) -> None:
    rng = np.random.default_rng(0)
    model = mg.nn.Linear(3, 2, rng=rng)
    optimizer = mg.optim.Adam(model.parameters())
    for p in model.parameters():
        p.grad = mg.tensor(np.ones(p.shape, "float32"))
    optimizer.step()
    arrays_, plain = serialize.flatten(optimizer.state_dict(), "optimizer")
    mg.save(path, {**dict(model.named_parameters()), **arrays_, "device": xp.array([1.0])}, {"optimizer": plain})
    with mg.use_backend("numpy"):
        back = mg.nn.Linear(3, 2)
        resumed = mg.optim.Adam(back.parameters())
    got, metadata = mg.load(path)
    back.load_state_dict({name: got[name] for name in ("weight", "bias")})
    resumed.load_state_dict(serialize.unflatten(got, metadata["optimizer"]))
    for p, q in zip(model.parameters(), back.parameters()):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
        assert q.backend == "numpy"
    assert resumed.param_groups[0]["betas"] == (0.9, 0.999)
    np.testing.assert_array_equal(
        resumed.state_dict()["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"]
    )


def test_others_can_read_the_files(tmp_path: Path) -> None:
    mg.save(tmp_path / "c.npz", example())
    with np.load(tmp_path / "c.npz") as file:
        np.testing.assert_array_equal(file["a/w.x"], example()["a/w.x"])
    safetensors = pytest.importorskip("safetensors.numpy")
    mg.save(tmp_path / "c.safetensors", example())
    same(dict(sorted(safetensors.load_file(tmp_path / "c.safetensors").items())), dict(sorted(example().items())))
    safetensors.save_file(example(), tmp_path / "other.safetensors", metadata={"format": "pt"})
    got, metadata = mg.load(tmp_path / "other.safetensors")
    same(dict(sorted(got.items())), dict(sorted(example().items())))
    assert metadata == {"format": "pt"}


def test_the_same_content_gives_the_same_bytes(path: Path) -> None:
    mg.save(path, example(), {"a": 1})
    first = path.read_bytes()
    mg.save(path, example(), {"a": 1})
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("arrays_", "metadata", "message"),
    [
        ({"a": np.array([None])}, {}, "save: arrays['a']: got object, want numbers"),
        ({"a": np.array(["x"])}, {}, "save: arrays['a']: got <U1"),
        ({3: np.zeros(2)}, {}, "save: arrays: got the name 3"),
        ({"a\0b": np.zeros(2)}, {}, "save: arrays: got the name 'a\\x00b'"),
        ({"__metadata__": np.zeros(2)}, {}, "save: arrays: got the name '__metadata__'"),
        ({}, {"a": np.zeros(2)}, "save: metadata: want values that JSON can hold"),
        ({}, {"a": {1, 2}}, "save: metadata: want values that JSON can hold"),
    ],
)
def test_what_cannot_be_saved_is_refused(path: Path, arrays_: Any, metadata: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        mg.save(path, arrays_, metadata)
    assert message in str(caught.value)
    assert os.listdir(path.parent) == []


# Whole or not at all


@pytest.mark.parametrize("where", ["fsync", "replace", "write"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_save_leaves_the_one_before(
    path: Path, where: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    mg.save(path, example(), {"step": 1})

    def fail(*args: Any, **options: Any) -> Any:
        raise error

    def fail_half_way(file: Any, *args: Any) -> None:
        file.write(b"PK" + bytes(100))
        raise error

    if where == "write":
        monkeypatch.setattr(serialize.checkpoint, "write_npz", fail_half_way)
        monkeypatch.setattr(serialize.checkpoint, "write_safetensors", fail_half_way)
    else:
        monkeypatch.setattr(os, where, fail)
    with pytest.raises(type(error)):
        mg.save(path, example(2.0), {"step": 2})
    monkeypatch.undo()
    assert os.listdir(path.parent) == [path.name]
    got, metadata = mg.load(path)
    same(got, example())
    assert metadata == {"step": 1}


def test_a_killed_process_leaves_the_one_before(path: Path) -> None:
    mg.save(path, example())
    code = (
        "import os, sys, numpy as np, minigrad as mg\n"
        "os.fsync = lambda handle: os._exit(9)\n"
        "mg.save(sys.argv[1], {'b': np.zeros(3)})\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 9
    same(mg.load(path)[0], example())


def test_links_and_permissions_are_respected(path: Path) -> None:
    link = path.with_name(f"latest.{path.name}")
    link.symlink_to(path.name)
    before = os.umask(0o027)
    try:
        mg.save(link, example())
    finally:
        os.umask(before)
    assert link.is_symlink()
    same(mg.load(path)[0], example())
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_missing_folder_is_the_callers_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        mg.save(tmp_path / "nowhere" / "c.npz", {})


# Never misread


def test_missing_and_foreign_files(path: Path) -> None:
    with pytest.raises(mg.CheckpointError, match=r"load: .*checkpoint\.\w+: cannot be read: No such file"):
        mg.load(path)
    path.mkdir()
    with pytest.raises(mg.CheckpointError, match="cannot be read: Is a directory"):
        mg.load(path)
    path.rmdir()
    for content, complaint in [(b"", "is empty"), (b"hello, world: no checkpoint at all", "not a"), (b"PK\3\4", "")]:
        path.write_bytes(content)
        with pytest.raises(mg.CheckpointError, match=rf"{path.name}: .*{complaint}"):
            mg.load(path)


def test_foreign_zip_files(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(mg.CheckpointError, match=r"no metadata\.json, so minigrad\.save did not write it"):
        mg.load(path)
    np.save(tmp_path / "plain.npy", np.zeros(3))
    with pytest.raises(mg.CheckpointError, match=r"not a checkpoint \(no \.npz file\)"):
        mg.load(tmp_path / "plain.npy")

    def rewrite(header: Any, extra: dict[str, bytes]) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("metadata.json", json.dumps(header))
            for name, content in extra.items():
                archive.writestr(name, content)

    whole = io.BytesIO()
    np.save(whole, np.zeros(3))
    pickled = io.BytesIO()
    np.save(pickled, np.array([{}]), allow_pickle=True)
    good = {"format": "minigrad-1", "names": ["a"], "metadata": {}}
    for header, extra, complaint in [
        ({**good, "format": "minigrad-9"}, {"a.npy": whole.getvalue()}, "its format is 'minigrad-9'"),
        ([], {}, "its format is"),
        (good, {}, "not those that its header lists"),
        (good, {"a.npy": whole.getvalue(), "b.npy": whole.getvalue()}, "not those that its header lists"),
        (good, {"a.npy": whole.getvalue() + b"x"}, "'a' is longer than its header says"),
        (good, {"a.npy": whole.getvalue()[:-1]}, "damaged"),
        (good, {"a.npy": pickled.getvalue()}, "pickle"),
    ]:
        rewrite(header, extra)
        with pytest.raises(mg.CheckpointError, match=complaint):
            mg.load(path)
    rewrite(good, {"a.npy": whole.getvalue()})
    same(mg.load(path)[0], {"a": np.zeros(3)})


def test_a_file_cut_anywhere_is_noticed(path: Path) -> None:
    mg.save(path, example(), {"step": 1})
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(mg.CheckpointError):
            mg.load(path)


def test_a_flipped_bit_is_noticed_or_harmless(path: Path) -> None:
    mg.save(path, example(), {"step": 1})
    content = path.read_bytes()
    noticed = 0
    for k in range(len(content)):
        for bit in (0, 5, 7):
            path.write_bytes(content[:k] + bytes([content[k] ^ 1 << bit]) + content[k + 1 :])
            try:
                got, metadata = mg.load(path)
            except mg.CheckpointError:
                noticed += 1
            else:
                same(got, example())
                assert metadata == {"step": 1}
    assert noticed > len(content)


# Trees


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda below: st.lists(below) | st.dictionaries(st.text().filter(lambda k: k != "$array"), below),
)


@given(JSON)
def test_trees_come_back(tree: Any) -> None:
    arrays_, plain = serialize.flatten(tree)
    assert arrays_ == {}
    assert serialize.unflatten({}, json.loads(json.dumps(plain))) == tree


def test_trees_with_arrays() -> None:
    a, t = np.zeros(2), mg.tensor([1.0])
    tree = {"x": [a, {"y": t}], "n": np.float32(0.5), "pair": (1, a)}
    arrays_, plain = serialize.flatten(tree, "top")
    assert list(arrays_) == ["top/x/0", "top/x/1/y", "top/pair/1"]
    back = serialize.unflatten(arrays_, json.loads(json.dumps(plain)))
    assert back["x"][0] is a
    assert back["x"][1]["y"] is t
    assert back["n"] == 0.5
    assert back["pair"][1] is a
    with pytest.raises(mg.CheckpointError, match="'top/x/0' is missing"):
        serialize.unflatten({}, plain)
    with pytest.raises(TypeError, match="got the key 1, want a string"):
        serialize.flatten({1: a})
    with pytest.raises(TypeError, match="got the key '\\$array'"):
        serialize.flatten({"$array": a})
    with pytest.raises(ValueError, match="two arrays have the path 'a/b'"):
        serialize.flatten({"a": {"b": a}, "a/b": a})


def of_other_origin(path: Path, kind: str, shape: list[int], data: bytes) -> None:
    """Write a safetensors file by the format's definition: the header's length, the header, the data."""
    header = json.dumps({"w": {"dtype": kind, "shape": shape, "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def test_bfloat16_of_another_origin_becomes_float32(tmp_path: Path) -> None:
    """All 65,536 numbers, against the definition: sign, eight bits of exponent, seven of fraction."""
    pytest.importorskip("safetensors")
    words = np.arange(1 << 16, dtype="<u2")
    of_other_origin(tmp_path / "c.safetensors", "BF16", [256, 256], words.tobytes())
    arrays, metadata = mg.load(tmp_path / "c.safetensors")
    assert metadata == {}
    assert arrays["w"].dtype == np.float32
    assert arrays["w"].shape == (256, 256)
    sign, exponent, fraction = words >> 15, (words >> 7 & 255).astype(int), (words & 127) / 128
    values = np.where(exponent == 0, fraction * 2.0**-126, (1 + fraction) * 2.0 ** (exponent - 127.0))
    values = np.where(exponent == 255, np.where(fraction, np.nan, np.inf), values) * np.where(sign, -1.0, 1.0)
    np.testing.assert_array_equal(arrays["w"].reshape(-1), values)


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2"])
def test_a_dtype_that_numpy_lacks_is_named(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("safetensors")
    of_other_origin(tmp_path / "c.safetensors", kind, [3], b"\0\1\2")
    with pytest.raises(mg.CheckpointError, match=rf"c\.safetensors: the array 'w' is of {kind}, which NumPy lacks"):
        mg.load(tmp_path / "c.safetensors")
