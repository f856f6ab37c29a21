"""one_line makes a name printable: nothing in it can move the cursor, change colours or begin a new line."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Return the text with a question mark for each character that cannot be shown, such as a control character."""
    return "".join(c if c.isprintable() else "?" for c in text)
