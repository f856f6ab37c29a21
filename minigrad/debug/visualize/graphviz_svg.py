"""`graphviz_svg`: a diagram as SVG, laid out by Graphviz' program `dot`."""

from __future__ import annotations

import shutil

from .diagram import Diagram
from .dot import dot_of


def graphviz_svg(diagram: Diagram) -> str:
    """Return the diagram as an SVG document.

    Raises:
        RuntimeError: there is no program `dot`, or it failed; nothing else draws SVG.
    """
    import subprocess

    program = shutil.which("dot")
    if program is None:
        raise RuntimeError(
            'draw: format: "svg" is drawn by Graphviz, whose program dot is not on the PATH. Install it (apt-get '
            'install graphviz, brew install graphviz, conda install graphviz), or take "html", "mermaid" or "dot", '
            "which need nothing"
        )
    text = dot_of(diagram).encode("utf-8", "replace")
    done = subprocess.run([program, "-Tsvg"], input=text, capture_output=True, check=False)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["nothing"]
        raise RuntimeError(
            f"draw: format: Graphviz ({program}) ended with status {done.returncode} and said: {said[-1]}"
        )
    return done.stdout.decode("utf-8")
