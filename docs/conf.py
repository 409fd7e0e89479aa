"""The documentation as a site: `sphinx-build -W docs build/site`.

Sphinx with MyST, as JAX, Flax and optax have it: the pages stay Markdown that reads well where it stands, the reference
comes out of the docstrings, and notebooks are shown as they are.
"""

import mtljax

project, author, release = "mtljax", "the authors of mtljax", mtljax.__version__
root_doc = "index"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["README.md", "launch/*"]  # index.md shows README.md
html_theme, html_title = "furo", "mtljax"
default_role = "code"  # one backtick, as in Markdown
myst_heading_anchors = 3
nb_execution_mode = "off"  # the tests run them
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # they stand in the signature
napoleon_use_rtype = False
napoleon_use_ivar = True

# Pages that stand above docs/ are shown by one in site/, and links to them lead there.
_ABOVE = {"README.md": "front", "benchmarks/README.md": "benchmarks", "CONTRIBUTING.md": "contributing"}


def _lead_to_shown(app, name, source, *, from_above=False):
    above, place = ("", "") if from_above else ("../", "site/")
    for page, shown in _ABOVE.items():
        for end in ")#":  # of the link, or what begins the place in the page
            source[0] = source[0].replace(f"]({above}{page}{end}", f"]({place}{shown}.md{end}")
    source[0] = source[0].replace("](docs/README.md)", "](../index.md)")


def _lead_to_shown_in_included(app, path, name, source):
    _lead_to_shown(app, name, source, from_above=path.parts[0] == "..")


def setup(app):
    """Connects what is done to pages before they are read."""
    app.connect("source-read", _lead_to_shown)
    app.connect("include-read", _lead_to_shown_in_included)
