"""Save named arrays, or nested dictionaries and lists of them, and JSON metadata to one file; load them again."""

from __future__ import annotations

import json
import os
from collections.abc import ItemsView, KeysView, Mapping, ValuesView
from typing import Any

import numpy as np

from ..backend import to_numpy
from ..foreign_arrays import type_name
from ..validation import as_array, check_path, check_type
from .atomic_files import Path, atomic_write, open_plain
from .header import FORMAT, CheckpointError, in_one_line, parse_json
from .npz import Host, read_npz, write_npz
from .safetensors_format import read_safetensors, require_safetensors, write_safetensors
from .tree import REFERENCE, flatten, unflatten

NESTED = (Mapping, list, tuple, str, bool, int, float, type(None))
"""What `save` keeps as it is, beside arrays."""


class Checkpoint(tuple[dict[str, Any], dict[str, Any]]):
    """What `load` returns: the pair (arrays, metadata), which also gives the arrays by their names, as a dictionary.

    `arrays, metadata = load(path)` is the pair; `load(path)["weight"]`, `load(path).items()` and
    `model.load_state_dict(load(path))` go to the arrays. Iteration and `len` are the pair's.

    >>> checkpoint = Checkpoint({"weight": 1.0}, {"epoch": 3})
    >>> arrays, metadata = checkpoint
    >>> checkpoint["weight"], "weight" in checkpoint, dict(checkpoint), metadata
    (1.0, True, {'weight': 1.0}, {'epoch': 3})
    """

    __slots__ = ()

    def __new__(cls, arrays: dict[str, Any], metadata: dict[str, Any]) -> Checkpoint:
        return super().__new__(cls, (arrays, metadata))

    def __getnewargs__(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.arrays, self.metadata

    @property
    def arrays(self) -> dict[str, Any]:
        """The arrays by name, and all else that was saved with them."""
        return tuple.__getitem__(self, 0)

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata."""
        return tuple.__getitem__(self, 1)

    def __getitem__(self, key: Any) -> Any:
        """An array by its name; one of the two dictionaries, or a slice of the pair, by its position."""
        return self.arrays[key] if isinstance(key, str) else tuple.__getitem__(self, key)

    def __contains__(self, key: object) -> bool:
        return key in self.arrays if isinstance(key, str) else tuple.__contains__(self, key)

    def get(self, name: str, default: Any = None) -> Any:
        """The array of that name, or `default`."""
        return self.arrays.get(name, default)

    def keys(self) -> KeysView[str]:
        """The arrays' names."""
        return self.arrays.keys()

    def values(self) -> ValuesView[Any]:
        """The arrays."""
        return self.arrays.values()

    def items(self) -> ItemsView[str, Any]:
        """The arrays' names and the arrays."""
        return self.arrays.items()


Mapping.register(Checkpoint)


def save(
    path: Path, arrays: Mapping[str, Any], metadata: Mapping[str, Any] | None = None, *, keep_as: Path | None = None
) -> None:
    """Write named arrays and metadata to one file.

    The file appears under its name only when it is complete and on the disk: after an error, a full disk or a killed
    process the previous checkpoint is still there. It keeps the permissions of the one that it replaces.

    >>> import minigrad as mg
    >>> model = mg.nn.Linear(2, 1)
    >>> save("model.npz", model)
    Traceback (most recent call last):
        ...
    TypeError: save: arrays: got Linear, want its arrays by name: save(path, x.state_dict())

    Args:
        path: ends in `.safetensors` for that format (needs the package safetensors); anything else is a `.npz`.
        arrays: tensors and arrays of any backend, of numbers or booleans, by name; such as a `state_dict()`. Values may
            also be strings, numbers, None, and dictionaries and lists of all these, which are loaded as they are, with
            lists for tuples: `{"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}`.
        metadata: what JSON can hold; tuples are loaded as lists, and keys as strings.
        keep_as: the name under which a file that is there already is kept.

    Raises:
        TypeError: an array of another dtype, a name or key that is no string, or metadata that JSON cannot hold, two
            keys of which are the same string for JSON included; nothing was written.
        ImportError: the package safetensors is missing.
        OSError: the file cannot be written, or `path` is a folder, a pipe or a device.
    """
    check_path("save", path=path)
    if keep_as is not None:
        check_path("save", keep_as=keep_as)
    if metadata is not None:
        check_type("save", Mapping, "a dict that JSON can hold", metadata=metadata)
    if not isinstance(arrays, Mapping):
        want = "its arrays by name: save(path, x.state_dict())" if hasattr(arrays, "state_dict") else "arrays by name"
        raise TypeError(f"save: arrays: got {type_name(arrays)}, want {want}")
    hosts, tree = _hosts_and_tree(arrays)
    header = {"format": FORMAT, "names": list(hosts), "metadata": _as_json("metadata", dict(metadata or {}))}
    if tree is not None:
        header["tree"] = _as_json("arrays", tree)
    write = write_npz
    if _is_safetensors(path):
        require_safetensors("save")
        write = write_safetensors
    with atomic_write(path, keep_as) as file:
        write(file, hosts, header)


def load(path: Path) -> Checkpoint:
    """Return (arrays, metadata) as `save` wrote them: host arrays in C order, in the order in which they were saved.

    The pair can be used as the dictionary of the arrays too, so that `model.load_state_dict(load(path))` works; see
    `Checkpoint`. What is read takes no more memory than a small multiple of the file's size.

    A `.safetensors` file of other origin can be read too: its metadata are strings, and it has no checksum. Arrays of
    bfloat16 become float32; other dtypes that NumPy lacks, such as float8, are named in the error.

    Raises:
        CheckpointError: the file is missing, cut short, damaged, of another kind, too large for the memory, or a pipe
            or a device.
        ImportError: the package safetensors is missing.
    """
    check_path("load", path=path)
    name = os.fspath(path)
    read, first = read_npz, b""
    if _is_safetensors(path):
        require_safetensors("load")
        read = read_safetensors
    try:
        with open_plain(name) as (file, size):
            first = file.read(2)
            file.seek(0)
            arrays, header = read(file, size)
        return Checkpoint(unflatten(arrays, header["tree"]) if "tree" in header else arrays, header["metadata"])
    except OSError as error:
        raise CheckpointError(f"load: {name}: cannot be read: {error.strerror or error}") from error
    except CheckpointError as error:
        raise CheckpointError(f"load: {name}: {in_one_line(error)}") from error
    except MemoryError as error:
        raise CheckpointError(f"load: {name}: does not fit into the memory") from error
    except Exception as error:  # a damaged file may make a parser raise anything
        raise CheckpointError(f"load: {name}: {_explanation(first, path)}: {in_one_line(error)}") from error


def _is_safetensors(path: Path) -> bool:
    return os.fspath(path).endswith(".safetensors")


def _hosts_and_tree(arrays: Mapping[str, Any]) -> tuple[dict[str, Host], dict[str, Any] | None]:
    """Host arrays by path, and the flattened tree; None if there are only arrays."""
    hosts: dict[str, Host] = {}
    tree: dict[str, Any] = {}
    for name, value in arrays.items():
        _check_name(name)
        if isinstance(value, NESTED) and not isinstance(value, np.generic):
            inner, tree[name] = flatten(value, name)
        else:
            inner, tree[name] = {name: value}, {REFERENCE: name}
        for path, array in inner.items():
            _check_name(path)
            if path in hosts:
                raise ValueError(f"save: arrays: two arrays have the path {path!r}")
            hosts[path] = _host(path, array)
    if all(value == {REFERENCE: name} for name, value in tree.items()):
        return hosts, None
    if REFERENCE in tree:
        raise TypeError(f"save: arrays: got the name {REFERENCE!r}, want another one beside nested values")
    return hosts, tree


def _check_name(name: Any) -> None:
    """Raise TypeError for a name that neither format can hold."""
    if not isinstance(name, str) or "\0" in name or name == "__metadata__":
        raise TypeError(f"save: arrays: got the name {name!r}, want a string without NUL, other than '__metadata__'")


def _host(name: str, value: Any) -> Host:
    """A host array in C order and native byte order; safetensors would write any other memory as if it were that."""
    host = np.asarray(to_numpy(as_array(value, "save", f"arrays[{name!r}]")))
    if host.dtype.kind not in "biufc":
        raise TypeError(f"save: arrays[{name!r}]: got {host.dtype}, want numbers or booleans")
    return np.asarray(host, dtype=host.dtype.newbyteorder("="), order="C")


def _as_json(argument: str, value: dict[Any, Any]) -> Any:
    """The value as JSON will give it back."""
    try:
        return parse_json(json.dumps(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"save: {argument}: want values that JSON can hold: {error}") from error


def _explanation(first: bytes, path: Path) -> str:
    """Return the likely reason why a file with these first bytes cannot be read."""
    if not first:
        return "the file is empty"
    if _is_safetensors(path):
        return "not a safetensors file, or damaged"
    return "damaged, cut short, or not a checkpoint" if first == b"PK" else "not a checkpoint (no .npz file)"
