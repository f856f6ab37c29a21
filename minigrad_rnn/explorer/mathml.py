"""mathml writes an equation in the lecture's notation, such as "z(t) = Wc x(t) + b", as MathML."""

from __future__ import annotations

import re
from html import escape

TOKEN = re.compile(r"\s+|(?P<name>[A-Za-zα-ωΑ-Ω]+(_[A-Za-z0-9]+)?)|(?P<number>\d+(\.\d+)?)|(?P<sign>.)", re.DOTALL)
WEIGHT = re.compile(r"(?P<d>d?)(?P<letter>[Wb])(?P<index>[a-z]\w*)?")
"""A weight or bias: its second letter is an index, and a leading d makes its gradient."""
FUNCTIONS = ("tanh", "softmax", "relu", "sigmoid", "score", "clone", "f", "g")
RAISED = {"²": "2", "ᵀ": "T"}


def mathml(equation: str) -> str:
    """Return the equation as one `<math>` element.

    Names may have an index after `_`; `Wc` is W with the index c, `zo` z with the index o; `dz` is d and z; `²` and `ᵀ`
    are raised.
    """
    parts: list[str] = []
    for match in TOKEN.finditer(equation):
        if match["name"]:
            parts.append(_name(match["name"]))
        elif match["number"]:
            parts.append(f"<mn>{match['number']}</mn>")
        elif match["sign"] in RAISED and parts:
            raised = RAISED[match["sign"]]
            parts[-1] = f"<msup>{parts[-1]}<mi>{raised}</mi></msup>"
        elif match["sign"] == "′" and parts:
            parts[-1] = f"<msup>{parts[-1]}<mo>′</mo></msup>"
        elif match["sign"]:
            parts.append(f"<mo>{escape(match['sign'])}</mo>")
    body = "".join(parts).replace("<mo>+</mo><mo>=</mo>", "<mo>+=</mo>")
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML"><mrow>{body}</mrow></math>'


def _name(name: str) -> str:
    base, _, index = ("z_o" if name == "zo" else "dz_o" if name == "dzo" else name).partition("_")
    weight = WEIGHT.fullmatch(base)
    if weight and not index:
        inner = _with_index(weight["letter"], weight["index"] or "")
        return f"<mrow><mi>d</mi>{inner}</mrow>" if weight["d"] else inner
    if base in FUNCTIONS:
        return _with_index(base, index)
    if len(base) > 1 and base[0] == "d":
        return f"<mrow><mi>d</mi>{_with_index(base[1:], index)}</mrow>"
    return _with_index(base, index)


def _with_index(base: str, index: str) -> str:
    letter = f"<mi>{escape(base)}</mi>"
    return f"<msub>{letter}<mi>{escape(index)}</mi></msub>" if index else letter
