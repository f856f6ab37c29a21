"""The JSON of a checkpoint file: its format, the arrays' names in order, the metadata, and how the arrays nest."""

from __future__ import annotations

import json
from typing import Any

FORMAT = "minigrad-1"


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read: it is missing, cut short, damaged, or not a checkpoint. Names the file and why."""


def in_one_line(error: BaseException, most: int = 400) -> str:
    """What an error says, in a line of at most `most` characters: of a damaged file a parser may quote all."""
    line = " ".join(str(error).split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is no JSON, or a dictionary has the same key twice, one of which would be lost.
    """
    return json.loads(text, object_pairs_hook=_without_repetition)


def check_header(header: Any) -> dict[str, Any]:
    """Return the header of a file, or raise ValueError if it is not one that `save` writes."""
    got = header.get("format") if isinstance(header, dict) else header
    if not isinstance(header, dict) or got != FORMAT:
        raise ValueError(f"its format is {got!r}, want {FORMAT!r}")
    names, metadata, tree = header.get("names"), header.get("metadata"), header.get("tree", {})
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("its header does not list the arrays' names")
    if len(set(names)) < len(names) or not isinstance(metadata, dict) or not isinstance(tree, dict):
        raise ValueError("its header is not one that minigrad.save writes")
    return header


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        key = next(key for k, key in enumerate(keys) if key in keys[:k])
        raise ValueError(f"the key {key!r} comes twice")
    return result
