"""Checkpoints in the `.npz` format: members are stored as they are, so none is larger than the file."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from .header import check_header, parse_json

Host = np.ndarray[Any, Any]

HEADER = "metadata.json"
"""The member that holds the header."""
PIECE = 1 << 20
"""Bytes read at a time into an array."""


def write_npz(file: BinaryIO, arrays: Mapping[str, Host], header: dict[str, Any]) -> None:
    """Write host arrays in C order, and the header."""
    archive = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)
    try:
        for name, array in arrays.items():
            # ZipInfo's own date is fixed: the same content gives the same bytes.
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
        archive.writestr(zipfile.ZipInfo(HEADER), json.dumps(header))
    except BaseException:
        archive.fp = None  # closing it would complete the file, and fail on a member that Ctrl-C left open
        raise
    archive.close()


def read_npz(file: BinaryIO, size: int) -> tuple[dict[str, Host], dict[str, Any]]:
    """Return the arrays and the header of a file of `size` bytes. Raises ValueError, or what a parser raises."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        names = sorted(member.filename for member in members)
        if HEADER not in names:
            raise ValueError(f"it holds no {HEADER}, so minigrad.save did not write it")
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
                raise ValueError(f"its member {member.filename!r} is compressed, which minigrad.save never does")
        if sum(member.file_size for member in members) > size:
            raise ValueError("its members together are larger than the file")
        header = check_header(parse_json(archive.read(HEADER)))  # each read checks the member's CRC
        if names != sorted([HEADER, *(f"{name}.npy" for name in header["names"])]):
            raise ValueError("its arrays are not those that its header lists")
        return {name: _read_array(archive, name) for name in header["names"]}, header


def _read_array(archive: zipfile.ZipFile, name: str) -> Host:
    """Read a `.npy` file, once its size is known to be the one that its header says."""
    info = archive.getinfo(f"{name}.npy")
    member: Any
    with archive.open(info) as member:
        if np.lib.format.read_magic(member) != (1, 0):
            raise ValueError(f"the array {name!r} is in a version of the format that minigrad.save never writes")
        shape, in_fortran_order, dtype = np.lib.format.read_array_header_1_0(member)
        if dtype.kind not in "biufc" or in_fortran_order or min(shape, default=0) < 0:
            kind = "pickled objects" if dtype.hasobject else f"{dtype}, shape {shape}"
            raise ValueError(f"the array {name!r} holds {kind}, which minigrad.save never writes so")
        given, said = info.file_size - member.tell(), math.prod(shape) * dtype.itemsize
        if given != said:
            raise ValueError(f"the array {name!r} is {'longer' if given > said else 'shorter'} than its header says")
        array = np.empty(shape, dtype)
        left = array.reshape(-1).view(np.uint8).data
        while left:
            count = member.readinto(left[:PIECE])
            if not count:
                raise ValueError(f"the array {name!r} is cut short")
            left = left[count:]
        member.read(1)  # at its end the CRC is checked
    return array.astype(dtype.newbyteorder("="), copy=False)
