"""`LinkedNames` links names in code type, in docstrings and on pages, to where the reference documents them."""

from __future__ import annotations

import re
import sys
from typing import Any

import reference_pages
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform

PREFIXES = {"mg": "minigrad", "nn": "minigrad.nn", "optim": "minigrad.optim", "losses": "minigrad.losses"}
"""The short names of namespaces on the pages."""


def targets() -> dict[str, str]:
    """Return the qualified public name for each text that stands for it.

    A lower-case name without a dot or an underscore, such as `clip`, is as likely an argument: it is no link.
    """
    result: dict[str, str] = {}
    for entry in reversed(reference_pages.entries()):
        for name in (*entry.aliases, entry.name):
            folder, _, short = name.rpartition(".")
            result[name] = name
            result |= {f"{prefix}.{short}": name for prefix, whole in PREFIXES.items() if whole == folder}
            if folder.startswith("minigrad.") and folder.count(".") == 1:
                result[f"mg.{name.removeprefix('minigrad.')}"] = name
            if short[0].isupper() or ("_" in short and folder in ("minigrad", "minigrad_rnn")):
                result[short] = name
    return result


TARGETS = targets()
ARGUMENTS = frozenset(("hidden_size", "time_step"))
"""Names of arguments that are public names too."""


class LinkedNames(SphinxTransform):
    """Turns a literal that is a public name into a link."""

    default_priority = 300

    def apply(self, **options: Any) -> None:
        for annotation in self.document.findall(pending_xref):
            if annotation.get("refdomain") == "py" and "." not in annotation["reftarget"]:
                annotation["reftarget"] = TARGETS.get(annotation["reftarget"], annotation["reftarget"])
        for literal in list(self.document.findall(nodes.literal)):
            text = literal.astext().removesuffix("()")
            target = TARGETS.get(text)
            if target is None or text in ARGUMENTS or not isinstance(literal.parent, nodes.TextElement):
                continue
            if isinstance(literal.parent, (nodes.title, nodes.reference, pending_xref)):
                continue
            link = pending_xref(
                "", refdomain="py", reftype="obj", reftarget=target, refexplicit=True, refwarn=True,
                refdoc=self.env.docname,
            )  # fmt: skip
            literal.replace_self(link)
            link += literal


def _by_home() -> dict[str, str]:
    """The public name for the place where each object is defined."""
    result = {}
    for entry in reference_pages.entries():
        result[f"{entry.home}.{getattr(entry.value, '__qualname__', '')}"] = entry.name
    return result


BY_HOME = _by_home()


def public_target(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> Any:
    """Resolve a reference to the file that defines a public name, as autodoc makes them for bases and annotations.

    A name that our files define and that is not public, such as an alias in an annotation, is shown without a link.
    """
    if node.get("refdomain") != "py":
        return None
    target = str(node["reftarget"])
    name = BY_HOME.get(target) or TARGETS.get(target)
    if name is not None:
        return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, content)
    short = target.rpartition(".")[2]
    modules = [module for path, module in sys.modules.items() if path.partition(".")[0] in PACKAGES]
    if node["reftype"] == "class" and any(short in vars(module) for module in modules):
        return content
    return None


PACKAGES = ("minigrad", "minigrad_rnn")
OBJECT = re.compile(r"<(?:class|function) '?(?:\w+\.)*(\w+)[^>]*>")


def readable_defaults(
    app: Sphinx, what: str, name: str, value: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Replace a default such as `<class 'numpy.float32'>` by its name."""
    return signature and OBJECT.sub(r"\1", signature), returned


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_transform(LinkedNames)
    app.connect("missing-reference", public_target)
    app.connect("autodoc-process-signature", readable_defaults)
    return {"parallel_read_safe": True}
