"""`layout_library`: the JavaScript that lays out graphs in pages: dagre with graphlib, licence included."""

from __future__ import annotations

from .self_contained_page import package_text


def layout_library() -> str:
    """Return a script that defines `dagre`, for a `<script>` element of a page that needs no network.

    Its first lines are dagre's MIT licence, so that a page which embeds the text embeds the licence. The text holds no
    `</script`. `vendor/build.sh` makes the file from what npm offers, and says how to take another version.

    >>> layout_library().startswith("/*! @license dagre")
    True

    Raises:
        FileNotFoundError: the file is missing from the installed package.
    """
    return package_text(__package__, "vendor/dagre.min.js")
