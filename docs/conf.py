"""Configuration of Sphinx.  Nothing is fetched: no intersphinx, no remote fonts or scripts."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import pymmio

project = "pymmio"
author = "The pymmio developers"
copyright = "The pymmio developers, MIT licence"
release = version = pymmio.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx_click",
    "click_examples",
    "pymmio_docs",
    "pymmio_screen",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build", "examples"]
root_doc = "index"
default_role = "code"
highlight_language = "python"
smartquotes_action = "qe"  # no dashes: they would spoil options of commands

autodoc_class_signature = "mixed"
autodoc_default_options = {"member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_display_short_literal_types = True
python_maximum_signature_line_length = 88

# A reference to something of pymmio that does not exist is an error.  Names of others (typing,
# the standard library) and type variables have no page here.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!pymmio).*"), (r"py:class", r".*\.[A-Z]")]
# Short names in signatures, such as Namespace, may exist in a driver and in a model.
suppress_warnings = ["ref.python"]

# `sphinx-build -b doctest` runs every ``doctest`` and ``testcode`` block (tests/docs).
doctest_global_setup = "import pymmio"

myst_heading_anchors = 2

html_theme = "furo"
html_title = f"pymmio {release}"
html_static_path = ["_static"]
html_css_files = ["pymmio.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {"font-stack": "system-ui, sans-serif"},
}
