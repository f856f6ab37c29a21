"""Damage to checkpoints, drawn at random: bits, cuts, and files that are whole and say something else."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

HEADER = "metadata.json"
Members = dict[str, bytes]


class Trap:
    """Unpickled, it would be noticed."""

    sprung = False

    def __reduce__(self) -> Any:
        return _spring, ()


def _spring() -> None:
    Trap.sprung = True


def members_of(file: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def file_of(members: Members, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=compression)
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def flipped(file: bytes, rng: np.random.Generator) -> bytes:
    """One to eight bits are others."""
    damaged = bytearray(file)
    for _ in range(rng.integers(1, 9)):
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
    return bytes(damaged)


def cut(file: bytes, rng: np.random.Generator) -> bytes:
    return file[: rng.integers(len(file))]


def spliced(file: bytes, rng: np.random.Generator) -> bytes:
    """A piece is missing, is there twice, or is noise."""
    a, b = sorted(int(k) for k in rng.integers(0, len(file), 2))
    middle = (b"", file[a:b] * 2, rng.bytes(b - a))[rng.integers(3)]
    return file[:a] + middle + file[b:]


def swapped(file: bytes, rng: np.random.Generator) -> bytes:
    """Two members have each other's names."""
    members = members_of(file)
    a, b = rng.choice(sorted(members), 2, replace=False)
    members[a], members[b] = members[b], members[a]
    return file_of(members)


def another_member(file: bytes, rng: np.random.Generator) -> bytes:
    """A member is missing, there are more of them, or one holds another array, a pickle, or says it is gigantic."""
    members = members_of(file)
    name = str(rng.choice(sorted(set(members) - {HEADER})))
    said = b"{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999,), }"
    gigantic = b"\x93NUMPY\x01\x00v\x00" + said.ljust(117)
    replacements: list[Callable[[], bytes]] = [
        lambda: npy(np.array([Trap()], dtype=object)),
        lambda: npy(np.zeros(3, "M8[s]")),
        lambda: npy(np.asfortranarray(rng.standard_normal((3, 2)))),
        lambda: npy(rng.integers(0, 9, (2, 2))),
        lambda: npy(np.full((1,) * 4, np.nan)),
        lambda: gigantic + b"\n",
        lambda: members[name][:-1],
        lambda: rng.bytes(int(rng.integers(200))),
    ]
    kind = rng.integers(len(replacements) + 2)
    if kind == len(replacements):
        del members[name]
    elif kind > len(replacements):
        members[f"../{rng.integers(9)}.npy"] = members[name]
    else:
        members[name] = replacements[kind]()
    return file_of(members)


def compressed(file: bytes, rng: np.random.Generator) -> bytes:
    """Members are compressed; one holds a hundred times the file in zeros."""
    members = members_of(file)
    name = str(rng.choice(sorted(set(members) - {HEADER})))
    members[name] = npy(np.zeros(100 * len(file), "u1"))
    return file_of(members, zipfile.ZIP_DEFLATED)


VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0.5,
    10**40,
    float("nan"),
    "text",
    [],
    {},
    [[1]],
    {"$array": "model/x"},
    "\ud800",
)
"""What a place in the header may say instead."""


def another_header(file: bytes, rng: np.random.Generator) -> bytes:
    """One place in the header says something else, is missing, or is there once more."""
    members = members_of(file)
    header = json.loads(members[HEADER])
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            if isinstance(value[key], (dict, list)):
                walk(value[key])

    walk(header)
    holder, key = places[rng.integers(len(places))]
    kind = rng.integers(4)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.append(holder[key])
    elif kind == 2:
        other, other_key = places[rng.integers(len(places))]
        holder[key] = json.loads(json.dumps(other[other_key]))
    else:
        holder[key] = VALUES[rng.integers(len(VALUES))]
    members[HEADER] = json.dumps(header).encode()
    return file_of(members)


def no_header(file: bytes, rng: np.random.Generator) -> bytes:
    """The header is no JSON, nests too deep, or is that of something else."""
    members = members_of(file)
    texts = (
        b"",
        b"{",
        b"[" * 100_000,
        b'{"a": 1, "a": 2}',
        b"\xff\xfe",
        b"null",
        b'{"format": "minigrad-1"}',
        b"1e999",
    )
    members[HEADER] = texts[rng.integers(len(texts))]
    return file_of(members)


DAMAGES = (flipped, cut, spliced, swapped, another_member, compressed, another_header, another_header, no_header)
