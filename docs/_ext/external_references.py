"""Links to the documentation of other packages, without their inventories.

A name that docstrings refer to, such as `sklearn.decomposition.PCA`, is imported; if it is
there, the link goes to the page at which its project documents such names. So the site
is built without the internet, and a misspelt name is a broken reference.
"""

from importlib import import_module

from docutils import nodes
from sklearn.experimental import enable_iterative_imputer  # noqa: F401

# Package -> page of a name; of scikit-learn's modules another one.
PAGES = {
    "sklearn": "https://scikit-learn.org/stable/modules/generated/{name}.html",
    "torch": "https://docs.pytorch.org/docs/stable/generated/{name}.html",
    "matplotlib": "https://matplotlib.org/stable/api/_as_gen/{name}.html",
    "pickle": "https://docs.python.org/3/library/pickle.html#{name}",
}
MODULES = {"sklearn": "https://scikit-learn.org/stable/api/{name}.html"}


def find(name):
    """Return the object of a dotted name, or None."""
    parts = name.split(".")
    for n_modules in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:n_modules]))
        except ImportError:
            continue
        for part in parts[n_modules:]:
            found = getattr(found, part, None)
        return found
    return None


def resolve(app, env, node, contnode):
    """Return a link for a name of another package, or None."""
    name = node.get("reftarget", "")
    package = name.partition(".")[0]
    if node.get("refdomain") != "py" or package not in PAGES:
        return None
    found = find(name)
    if found is None:
        return None
    pages = MODULES if node["reftype"] == "mod" and package in MODULES else PAGES
    reference = nodes.reference("", "", internal=False, refuri=pages[package].format(name=name))
    reference["reftitle"] = f"{name} (documentation of {package})"
    reference += contnode
    return reference


def setup(app):
    """Register with Sphinx."""
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
