"""The documentation site: `make docs` builds it into build/docs with Sphinx, without a network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS / "extensions")]

import reference_pages  # noqa: E402

import minigrad  # noqa: E402

project = "minigrad"
author = "the authors of minigrad"
copyright = author
version = release = minigrad.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_nb",
    "linked_names",
    "page_links",
    "docstring_text",
]
exclude_patterns = ["_build", "extensions"]
default_role = "literal"

# Markdown and notebooks
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 180
nb_execution_show_tb = True

# The reference
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Arguments", "params_style")]  # what `Args` becomes: `Parameters` are a module's weights
nitpicky = True
# Annotations name other libraries' types, which have no page here; `linked_names` knows our own.
nitpick_ignore_regex = [
    ("py:.*", r"(numpy|np|collections|typing|types|pathlib|os|contextlib|inspect|SupportsKeysAndGetItem|Figure)\b.*")
]

html_theme = "furo"
html_title = f"minigrad {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"


def setup(app: Any) -> None:
    reference_pages.write(DOCS / "reference")
