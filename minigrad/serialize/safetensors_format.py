"""Checkpoints in the `.safetensors` format, read and written by the safetensors package, which is imported on use."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from .header import FORMAT, CheckpointError, check_header, parse_json

Host = np.ndarray[Any, Any]

LARGEST_HEADER = 100_000_000
"""Bytes; the safetensors package refuses more."""


def require_safetensors(caller: str) -> None:
    """Raise ImportError, saying what to do, unless the safetensors package is installed."""
    try:
        import safetensors  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{caller}: a .safetensors file needs the package safetensors: pip install safetensors; a .npz file needs "
            "none"
        ) from error


def write_safetensors(file: BinaryIO, arrays: Mapping[str, Host], header: dict[str, Any]) -> None:
    """Write host arrays in C order, and the header. Raises TypeError for a dtype that the format lacks."""
    from safetensors.numpy import save as to_bytes

    # One entry: the package writes several in an order that differs from run to run.
    text = json.dumps({**header, "crc32": _checksum(arrays, header)})
    try:
        content = to_bytes(dict(arrays), metadata={"minigrad": text})
    except Exception as error:  # the package's own class; it does not support every dtype
        raise TypeError(f"save: arrays: safetensors cannot hold them: {error}") from error
    file.write(content)


def read_safetensors(file: BinaryIO, size: int) -> tuple[dict[str, Host], dict[str, Any]]:
    """Return the arrays and the header of a file of `size` bytes; for one of other origin a header that holds its
    metadata. Raises ValueError, or what a parser raises.
    """
    metadata = _metadata(file, size)
    file.seek(0)
    arrays = _arrays(file.read())
    if "minigrad" not in metadata:
        if any(FORMAT in value for value in metadata.values()):
            raise ValueError("the name of its header is damaged")
        return arrays, {"metadata": metadata}
    header = parse_json(metadata["minigrad"])
    if header.pop("crc32") != _checksum(arrays, header):
        raise ValueError("its checksum does not match its content")
    check_header(header)
    return {name: arrays[name] for name in header["names"]}, header


def _metadata(file: BinaryIO, size: int) -> dict[str, str]:
    """The metadata of a file, once its parts are known to be as large as the file."""
    length = int.from_bytes(file.read(8), "little")
    if length > min(size - 8, LARGEST_HEADER):
        raise ValueError("its header is larger than the file, or than safetensors allows")
    entries = parse_json(file.read(length))
    metadata = entries.pop("__metadata__", {})
    end = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    if end != size - 8 - length:
        raise ValueError(f"its arrays have {end} bytes and the file has {size - 8 - length} for them")
    return dict(metadata)


def _arrays(content: bytes) -> dict[str, Host]:
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


def _checksum(arrays: Mapping[str, Host], header: Any) -> str:
    """A checksum over the header and every array's name, dtype, shape and bytes."""
    crc = zlib.crc32(json.dumps(header).encode())
    for name in sorted(arrays):
        array = arrays[name]
        crc = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), crc)
        crc = zlib.crc32(array.reshape(-1).view(np.uint8).data, crc)
    return f"{crc:08x}"
