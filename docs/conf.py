"""The documentation site: ``sphinx-build -n -W docs FOLDER``, with the extra ``nsbox[docs]``."""

import importlib.metadata
import sys
from pathlib import Path

import nsbox

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "nsbox"
author = "the authors of nsbox"
release = version = importlib.metadata.version("nsbox")

extensions = ["myst_nb", "sphinx.ext.autodoc", "names", "standard_library"]
exclude_patterns = ["_ext", "examples/*.py"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

default_role = "name"  # what docstrings put between single backticks
add_module_names = False
python_maximum_signature_line_length = 90
autodoc_default_options = {"members": True, "undoc-members": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

nb_execution_mode = (
    "force"  # a picture in these pages is what the library drew while they were made
)
nb_execution_raise_on_error = True
nb_execution_timeout = 120
if not nsbox.probe().cgroups.writable:  # then it stays without pictures
    nb_execution_excludepatterns = ["notebooks/groups-drawn.ipynb"]

html_theme = "furo"
html_title = f"nsbox {release}"
html_theme_options = {"navigation_with_keys": True}
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False

# The package's own types that signatures name: each is described where it is returned or taken.
nitpick_ignore_regex = [
    ("py:class", r"nsbox\.rootfs\.(root\.\w+Root|mount\.\w+Mount)"),
    ("py:class", r"nsbox\.[\w.]+\.(HasPid|HasAddress|Watchable|Bar|Span|BlockStream|Compression)"),
    ("py:class", r"nsbox\.(_native\.operations\.Operation|plan\.Slot|link\.Port|options\.Options)"),
    ("py:(class|obj)", r"nsbox\.(frozen\.(Key|Value)|(namespace\.handle|fleet\.fleet)\.Result)"),
    ("py:class", r"nsbox\.(launch\.Command|ahead\.Ahead|commands\.Invocation|beneath\.Beneath)"),
    ("py:class", r"Handler|nsbox\.oci\.(state\.(Folder|Record)|config\.Description)"),
]
