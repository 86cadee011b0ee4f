"""Which libraries a model was made with, and a warning where others load it."""

import warnings

import sklearn
import torch
from sklearn.exceptions import InconsistentVersionWarning


class OtherVersionsWarning(InconsistentVersionWarning):
    """A model was saved with other minor versions than those that load it.

    A filter for scikit-learn's own `InconsistentVersionWarning` catches it too.

    Parameters
    ----------
    estimator_name : str
    differences : dict of str to tuple of str
        Library -> (version that saved, version that loads).
    """

    def __init__(self, estimator_name, differences):
        saved, present = differences.get("scikit-learn", (sklearn.__version__,) * 2)
        super().__init__(
            estimator_name=estimator_name,
            current_sklearn_version=present,
            original_sklearn_version=saved,
        )
        self.differences = differences

    def __str__(self):
        changes = ", ".join(
            f"{name} {saved} (here {present})"
            for name, (saved, present) in self.differences.items()
        )
        return (
            f"This {self.estimator_name} was saved with {changes}. Its results may differ or "
            "its methods fail: compare a few rows with known results, or fit it anew."
        )


def present_versions():
    """Return the versions of what a fitted model's results depend on."""
    # Late: the package imports this room before it has its version.
    from skvae import __version__

    return {
        "skvae": __version__,
        "torch": str(torch.__version__),
        "scikit-learn": sklearn.__version__,
    }


def warn_of_other_versions(estimator_name, saved):
    """Warn where a minor version differs from the present one.

    Parameters
    ----------
    estimator_name : str
    saved : dict of str to str
        As `present_versions` gave them at the time.
    """
    differences = {
        name: (saved[name], present)
        for name, present in present_versions().items()
        if name in saved and _minor(saved[name]) != _minor(present)
    }
    if differences:
        # From here through __setstate__ and the unpickler's C code to the caller.
        warnings.warn(OtherVersionsWarning(estimator_name, differences), stacklevel=3)


def _minor(version):
    return str(version).split(".")[:2]
