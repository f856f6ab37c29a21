"""Checkpoint files: named arrays and JSON in one file, written atomically and checked when read.

A `.npz` file is a zip of `.npy` files, which `numpy.load` opens too; nothing in it is pickled. A `.safetensors` file
is in the format of the safetensors package. Arrays are saved from the host, so any backend loads what another saved.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import secrets
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from .backend import is_array, to_numpy
from .engine.tensor import Tensor
from .validation import as_array

Host = np.ndarray[Any, Any]
Path = str | os.PathLike[str]

FORMAT = "minigrad-1"
HEADER = "metadata.json"
"""The member of a `.npz` file that holds the metadata, and the arrays' names in order."""
REFERENCE = "$array"
"""The key of a reference to an array in a flattened tree."""


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read: it is missing, cut short, damaged, or not a checkpoint. Names the file and why."""


def save(path: Path, arrays: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
    """Write named arrays and metadata to one file.

    The file appears under its name only when it is complete and on the disk: after an error, a full disk or a killed
    process the previous checkpoint is still there.

    Args:
        path: ends in `.safetensors` for that format (needs the package safetensors); anything else is a `.npz`.
        arrays: tensors and arrays of any backend, of numbers or booleans.
        metadata: what JSON can hold; tuples are loaded as lists, and keys as strings.

    Raises:
        TypeError: an array of another dtype, or metadata that JSON cannot hold; nothing was written.
        OSError: the file cannot be written.
    """
    hosts = {name: _host(name, value) for name, value in arrays.items()}
    try:
        text = json.dumps(dict(metadata or {}))
    except (TypeError, ValueError) as error:
        raise TypeError(f"save: metadata: want values that JSON can hold: {error}") from error
    write = _write_safetensors if _is_safetensors(path) else _write_npz
    with atomic_write(path) as file:
        write(file, hosts, {"format": FORMAT, "names": list(hosts), "metadata": json.loads(text)})


def load(path: Path) -> tuple[dict[str, Host], dict[str, Any]]:
    """Return (arrays, metadata) as `save` wrote them: host arrays in C order, in the order in which they were saved.

    A `.safetensors` file of other origin can be read too: its metadata are strings, and it has no checksum. Arrays of
    bfloat16 become float32; other dtypes that NumPy lacks, such as float8, are named in the error.

    Raises:
        CheckpointError: the file is missing, cut short, damaged, or of another kind.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            content = file.read()
    except OSError as error:
        raise CheckpointError(f"load: {name}: cannot be read: {error.strerror or error}") from error
    read = _read_safetensors if _is_safetensors(path) else _read_npz
    try:
        return read(content)
    except ImportError:
        raise
    except CheckpointError as error:
        raise CheckpointError(f"load: {name}: {error}") from error
    except Exception as error:  # a damaged file may make a parser raise anything
        raise CheckpointError(f"load: {name}: {_explanation(content, path)}: {error}") from error


def flatten(tree: Any, prefix: str = "") -> tuple[dict[str, Any], Any]:
    """Split nested dictionaries, lists, numbers and arrays into (arrays by path, JSON), for `save`.

    >>> arrays, plain = flatten({"lr": 0.1, "state": [np.zeros(2)]}, "optimizer")
    >>> list(arrays), plain
    (['optimizer/state/0'], {'lr': 0.1, 'state': [{'$array': 'optimizer/state/0'}]})

    Raises:
        TypeError: a dictionary's key is not a string, or is "$array". ValueError: two arrays have the same path.
    """
    if isinstance(tree, Tensor) or is_array(tree):
        return {prefix: tree}, {REFERENCE: prefix}
    if isinstance(tree, np.generic):
        return {}, tree.item()
    if not isinstance(tree, (Mapping, list, tuple)):
        return {}, tree
    is_mapping = isinstance(tree, Mapping)
    arrays: dict[str, Any] = {}
    plain: dict[Any, Any] = {}
    for key, value in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
        if is_mapping and (not isinstance(key, str) or key == REFERENCE):
            raise TypeError(f"flatten: {prefix or 'tree'}: got the key {key!r}, want a string other than {REFERENCE!r}")
        inner, plain[key] = flatten(value, f"{prefix}/{key}" if prefix else str(key))
        if arrays.keys() & inner.keys():
            raise ValueError(f"flatten: two arrays have the path {min(arrays.keys() & inner.keys())!r}")
        arrays.update(inner)
    return arrays, plain if is_mapping else list(plain.values())


def unflatten(arrays: Mapping[str, Any], plain: Any) -> Any:
    """Return the tree that `flatten` split, with lists for tuples.

    Raises:
        CheckpointError: an array that `plain` refers to is not among `arrays`.
    """
    if isinstance(plain, list):
        return [unflatten(arrays, value) for value in plain]
    if not isinstance(plain, dict):
        return plain
    if plain.keys() == {REFERENCE}:
        if plain[REFERENCE] not in arrays:
            raise CheckpointError(f"unflatten: the array {plain[REFERENCE]!r} is missing")
        return arrays[plain[REFERENCE]]
    return {key: unflatten(arrays, value) for key, value in plain.items()}


# Writing


def _is_safetensors(path: Path) -> bool:
    return os.fspath(path).endswith(".safetensors")


def _host(name: str, value: Any) -> Host:
    """A host array in C order and native byte order; safetensors would write any other memory as if it were that."""
    host = np.asarray(to_numpy(as_array(value, "save", f"arrays[{name!r}]")))
    if not isinstance(name, str) or "\0" in name or name == "__metadata__":  # neither format can hold these names
        raise TypeError(f"save: arrays: got the name {name!r}, want a string without NUL, other than '__metadata__'")
    if host.dtype.kind not in "biufc":
        raise TypeError(f"save: arrays[{name!r}]: got {host.dtype}, want numbers or booleans")
    return np.asarray(host, dtype=host.dtype.newbyteorder("="), order="C")


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`. It is renamed to `path` when the block ends, and removed after an error."""
    target = os.path.realpath(path)  # through symbolic links, which stay
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # the content must be on the disk before the name is
        os.replace(temporary, target)  # atomic: a reader sees the old file or the new one
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise
    with contextlib.suppress(OSError):  # the new name must reach the disk too; not every system can sync a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _write_npz(file: BinaryIO, arrays: Mapping[str, Host], header: dict[str, Any]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            # ZipInfo's own date is fixed: the same content gives the same bytes.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
        archive.writestr(zipfile.ZipInfo(HEADER), json.dumps(header))


def _write_safetensors(file: BinaryIO, arrays: Mapping[str, Host], header: dict[str, Any]) -> None:
    from safetensors.numpy import save as to_bytes

    # One entry: the package writes several in an order that differs from run to run.
    text = json.dumps({**header, "crc32": _checksum(arrays, header)})
    try:
        content = to_bytes(dict(arrays), metadata={"minigrad": text})
    except Exception as error:  # the package's own class; it does not support every dtype
        raise TypeError(f"save: arrays: safetensors cannot hold them: {error}") from error
    file.write(content)


def _checksum(arrays: Mapping[str, Host], header: Any) -> str:
    """A checksum over the header and every array's name, dtype, shape and bytes."""
    crc = zlib.crc32(json.dumps(header).encode())
    for name in sorted(arrays):
        array = arrays[name]
        crc = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), crc)
        crc = zlib.crc32(array.reshape(-1).view(np.uint8).data, crc)
    return f"{crc:08x}"


# Reading


def _read_npz(content: bytes) -> tuple[dict[str, Host], dict[str, Any]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if HEADER not in archive.namelist():
            raise ValueError(f"it holds no {HEADER}, so minigrad.save did not write it")
        header = json.loads(archive.read(HEADER))  # each read checks the member's CRC
        _check_format(header)
        if sorted(archive.namelist()) != sorted([HEADER, *(f"{name}.npy" for name in header["names"])]):
            raise ValueError("its arrays are not those that its header lists")
        arrays = {}
        for name in header["names"]:
            member = io.BytesIO(archive.read(f"{name}.npy"))
            arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
            if member.read(1):
                raise ValueError(f"the array {name!r} is longer than its header says")
    return arrays, header["metadata"]


def _read_safetensors(content: bytes) -> tuple[dict[str, Host], dict[str, Any]]:
    arrays = _safetensors_arrays(content)
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    if "minigrad" not in metadata:
        if any(FORMAT in value for value in metadata.values()):
            raise ValueError("the name of its header is damaged")
        return arrays, metadata
    header = json.loads(metadata["minigrad"])
    if header.pop("crc32") != _checksum(arrays, header):
        raise ValueError("its checksum does not match its content")
    _check_format(header)
    return {name: arrays[name] for name in header["names"]}, header["metadata"]


def _safetensors_arrays(content: bytes) -> dict[str, Host]:
    """The arrays of a file, those of bfloat16 in float32, which holds each of its numbers exactly."""
    import safetensors

    arrays = {}
    read: Any = safetensors.deserialize
    for name, entry in read(content):
        kind, data = entry["dtype"], entry["data"]
        if kind == "BF16":  # the upper half of a float32
            array = (np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
        elif kind == "BOOL" or re.fullmatch(r"[FIUC]\d+", kind):
            array = np.frombuffer(data, "?" if kind == "BOOL" else f"<{kind[0].lower()}{int(kind[1:]) // 8}")
        else:
            raise CheckpointError(f"the array {name!r} is of {kind}, which NumPy lacks; save it in another dtype")
        arrays[name] = array.reshape(entry["shape"])
    return arrays


def _check_format(header: Any) -> None:
    got = header.get("format") if isinstance(header, dict) else header
    if got != FORMAT:
        raise ValueError(f"its format is {got!r}, want {FORMAT!r}")


def _explanation(content: bytes, path: Path) -> str:
    """Return the likely reason why a file cannot be read."""
    if not content:
        return "the file is empty"
    if _is_safetensors(path):
        return "not a safetensors file, or damaged"
    return "damaged, cut short, or not a checkpoint" if content[:2] == b"PK" else "not a checkpoint (no .npz file)"
