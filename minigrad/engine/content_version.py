"""Tell at once whether a tensor's values are the same as earlier, so that what was made of them can be used again.

A network's weights are kept in another order between calls, and must never be stale. Nothing of the values is read for
an answer, so it can be that there is none: where somebody may have written who is not seen, values are to be compared.

What is seen are the library's own writes, which are noted for the memory (`mutation`), and another array in the
tensor's place. Not seen are writes by whoever can reach the memory: the user to whom `.data`, DLPack or a pickle handed
it, at any time later, since an address leaves no trace; or who made a tensor on memory of their own. So only a leaf and
a Parameter whose array the library made, and handed to nobody, are known to be the same. What is lent to an operation's
function or an optimizer's `update` for the length of the call counts as given back.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np

from .mutation import exposed, owner_of, pickled, viewed, writes
from .tape import Leaf
from .tensor import Parameter, Tensor


class ContentVersion:
    """A tensor's array and the latest write into its memory, at the time of `content_version`. Keeps no array alive."""

    __slots__ = ("array", "key", "private", "serial")
    array: weakref.ref[Any]
    key: int
    """The id of the array that owns the memory."""
    private: bool
    """Whether nobody but the library could reach the memory when it was new."""
    serial: int


def content_version(tensor: Tensor) -> ContentVersion:
    """Return the present version of a tensor's values, for `same_content`.

    Take it before the values are read: of a write in between, on another thread, `same_content` then knows.
    """
    array = tensor._array
    version = ContentVersion()
    version.array = weakref.ref(array)
    node = tensor.node
    version.private = (
        (type(node) is Leaf or (node is None and isinstance(tensor, Parameter)))
        and type(array) is np.ndarray
        and array.base is None
        and array.flags.owndata
    )
    version.key = id(array) if version.private else id(owner_of(array))
    write = writes.get(version.key)
    version.serial = 0 if write is None else write.serial
    return version


def same_content(tensor: Tensor, version: ContentVersion) -> bool | None:
    """Return whether a tensor's values are, to the bit, those of which `version` was taken.

    True is certain. False: the tensor has another array, or the library has written into its memory. None: it has not,
    but others can, so compare the values themselves. After either, take the version again.
    """
    if version.array() is not tensor._array:
        return False
    key = version.key
    write = writes.get(key)
    if write is not None and write.serial != version.serial:
        return False
    if not version.private or key in exposed or key in viewed or key in pickled:
        return None
    return True


def same_contents(tensors: Iterable[Tensor], versions: Iterable[ContentVersion]) -> bool | None:
    """Return the answer of `same_content` for several tensors at once: False if one is False, else None if one is."""
    same: bool | None = True
    for tensor, version in zip(tensors, versions):
        answer = same_content(tensor, version)
        if answer is False:
            return False
        if answer is None:
            same = None
    return same
