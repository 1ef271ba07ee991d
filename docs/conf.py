"""Configuration of the documentation."""

import os
import sys
import warnings
from pathlib import Path

import torch

import snn_temporal_plugins

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)

project = "snn_temporal_plugins"
author = copyright = "The snn_temporal_plugins developers"
release = version = snn_temporal_plugins.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "result_files",
    "paper_table",
    "mathml",
    "benchmark_figures",
    "page_checks",
]
templates_path = ["_templates"]
nitpicky = True  # a link that leads nowhere fails the build
nitpick_ignore_regex = [("py:class", r"snn_temporal_plugins\..*State")]  # tuples without a page
suppress_warnings = ["config.cache"]  # the gallery's settings hold a function
exclude_patterns = ["_build", "results", "generated", "examples"]
html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = {page.stem: [] for page in Path(__file__).parent.glob("*.rst")}  # room for tables
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
}
html_math_renderer = "mathml"
toc_object_entries_show_parents = "hide"
autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
# an inventory that cannot be fetched (offline build) leaves plain text instead of a link
intersphinx_mapping = {}
if os.environ.get("SNN_TEMPORAL_DOCS_ONLINE"):
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "numpy": ("https://numpy.org/doc/stable", None),
    }


def reset_torch(gallery_conf, fname):
    """Give every script the same start."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    warnings.resetwarnings()
    for kind in (DeprecationWarning, PendingDeprecationWarning):  # as Python itself does
        warnings.simplefilter("ignore", kind)


sphinx_gallery_conf = {
    "examples_dirs": "../tutorials",
    "gallery_dirs": "auto_tutorials",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"(^|/)(?!plot_)[^/]*\.py$",  # long runs and helpers are no pages
    "within_subsection_order": "FileNameSortKey",
    "subsection_order": [
        "../tutorials/01_basics",
        "../tutorials/02_papers",
        "../tutorials/03_hosts",
    ],
    "backreferences_dir": "api/generated/backreferences",
    "doc_module": ("snn_temporal_plugins",),
    "reset_modules": ("matplotlib", "seaborn", reset_torch),
    "abort_on_example_error": True,
    "show_memory": False,
    "remove_config_comments": True,
    "plot_gallery": os.environ.get("SNN_TEMPORAL_DOCS_PLOT", "1") == "1",
}
