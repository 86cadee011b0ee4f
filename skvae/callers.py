"""The line of the user's own code that a warning points to."""

import os
import sys
from itertools import count
from pathlib import Path

import sklearn

# scikit-learn's too: its wrappers of methods, pipelines and searches call this package.
_PACKAGES = tuple(f"{Path(file).parent}{os.sep}" for file in (__file__, sklearn.__file__))


def stacklevel_of_user():
    """Return the `stacklevel` with which a warning of the calling function names that line.

    Python shows a warning once for each line: with one of this package only the first model of
    a session would be warned of.
    """
    frame = sys._getframe(1)
    for level in count(1):
        if frame is None or not frame.f_code.co_filename.startswith(_PACKAGES):
            return level
        frame = frame.f_back
