"""Sphinx's configuration of the site.

python -m pip install ".[docs]" && make -C docs html
"""

import os
import sys
from pathlib import Path

import skvae

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

# Examples draw without a window.
os.environ.setdefault("MPLBACKEND", "agg")

project = "skvae"
author = "The skvae developers"
copyright = "the skvae developers"
version = release = skvae.__version__

extensions = [
    "benchmark_tables",
    "external_references",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]

# As in scikit-learn's docstrings: `fit` is code.
default_role = "literal"
autosummary_generate = True
autodoc_typehints = "none"
# The members are those of the templates.
numpydoc_show_class_members = False

# Prompts and outputs of the examples are not copied.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    # Other files are shown and not run: they need data or time. See development/site.rst.
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"(quickstart|save_picture)\.py",
    "backreferences_dir": "api/backreferences",
    "doc_module": ("skvae",),
    "within_subsection_order": "ExampleTitleSortKey",
    "remove_config_comments": True,
    "show_memory": False,
    "abort_on_example_error": True,
    # As many processes as Sphinx's own option -j says.
    "parallel": True,
    "default_thumb_file": str(HERE / "_static" / "no_picture.png"),
}

html_theme = "pydata_sphinx_theme"
html_title = "skvae"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "skvae"},
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_context = {"default_mode": "auto"}
toc_object_entries_show_parents = "hide"
# A page without subpages needs no sidebar.
html_sidebars = {"index": []}
