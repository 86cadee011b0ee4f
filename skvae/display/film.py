"""A film of the decoded latent plane, recorded while the model is trained."""

import os
from numbers import Integral, Real
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np

from skvae.display.estimator_api import check_dimensions, encode, has_normal_prior
from skvae.display.images import check_image_shape, mosaic, rescale, value_range
from skvae.display.latent_grid import data_range, decode_grid, quantile_function

# The sides of a film with zoom="auto" have at least this many pixels.
_MIN_SIDE = 300
# Those of any film at most this many: GIF allows 65535, but the frames wait in memory.
_MAX_SIDE = 8192
_LAST_DURATION = 2000
# Number of rows from which the distribution of an autoencoder's codes is estimated.
_MAX_ENCODED = 1000


class LatentGridFilm:
    """Callback that films the decoded latent plane while a model is trained.

    Each frame shows the images decoded on a grid over two latent dimensions, the first from
    left to right and the second upwards. The grid is evenly spaced in probability: under
    the prior, or for an autoencoder, which has none, among the codes of the training rows.
    The film begins with the model before training and ends with the model that is kept. It
    is written as a GIF when the training ends, also by an error or an interruption.

    Set it on the estimator itself by ``estimator.set_callbacks``. In a pipeline that is
    the step, and the film is in the units of the data that the step is given. If
    ``early_stopping="cv"`` trains several models, the last is filmed. In a search each fit
    overwrites the film, and that of the last, the refit, stays.

    Parameters
    ----------
    path : str or path-like
        The file to write, ending in ".gif". Its folder must exist; an earlier film is
        replaced as a whole.
    every : int, default=1
        Epochs from one frame to the next.
    first_epoch : int, default=10
        Frames in the first epoch, at steps that become rarer; fewer if it has fewer steps,
        with 0 only one at its end. Other callbacks see as many subtasks.
    n_grid : int, default=15
        Images on a side of the grid. With one latent dimension it is a single row.
    dimensions : tuple of int, default=(0, 1)
        The latent dimensions that are shown. The others are held at 0, in an autoencoder
        at their median.
    vmin, vmax : float, default=None
        Values shown as black and as white. By default the least and the largest of the
        training rows; of RGB images 0 and 1, or 255.
    zoom : int or "auto", default="auto"
        Pixels on a side of each pixel of the data; "auto" enlarges small images.
    duration : int, default=100
        Milliseconds that a frame is shown. The last one is shown for two seconds.

    See Also
    --------
    sklearn.callback.ProgressBar : Shows the progress of the same tasks.

    Notes
    -----
    The estimator needs `image_shape`, of grey or RGB images. A frame costs a copy of the
    model and the decoding of the grid. With `random_state` given, the trained model is the
    same with and without the film. Pickling keeps no frames of a training under way.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from sklearn.datasets import load_digits
    >>> from skvae import VAETransformer
    >>> from skvae.display import LatentGridFilm
    >>> X = load_digits().data[:300]
    >>> vae = VAETransformer(
    ...     image_shape=(8, 8), early_stopping=False, max_iter=20, random_state=0
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     film = LatentGridFilm(f"{folder}/digits.gif", every=2, first_epoch=3)
    ...     _ = vae.set_callbacks(film).fit(X)
    ...     with Image.open(film.path) as image:
    ...         image.size
    (360, 360)
    """

    def __init__(
        self,
        path,
        *,
        every=1,
        first_epoch=10,
        n_grid=15,
        dimensions=(0, 1),
        vmin=None,
        vmax=None,
        zoom="auto",
        duration=100,
    ):
        self.path = path
        self.every = every
        self.first_epoch = first_epoch
        self.n_grid = n_grid
        self.dimensions = dimensions
        self.vmin = vmin
        self.vmax = vmax
        self.zoom = zoom
        self.duration = duration
        # By estimator, as its clones share the callback.
        self._recordings = {}

    @property
    def first_epoch_tasks(self):
        """Subtasks that the first epoch should have."""
        return self.first_epoch

    def setup(self, estimator, context):
        """Raise an error, before any training, if the estimator cannot be filmed."""
        self._check_parameters()
        shape = _image_shape(estimator)
        side = self.n_grid * max(shape[:2]) * (1 if self.zoom == "auto" else self.zoom)
        if side > _MAX_SIDE:
            raise ValueError(
                f"n_grid={self.n_grid} images of {max(shape[:2])} pixels at zoom={self.zoom!r} "
                f"make a film of {side} pixels a side, and at most {_MAX_SIDE} are allowed. "
                "Lower zoom or n_grid of LatentGridFilm."
            )
        n_codes = estimator.latent_dim
        dimensions = (0,) if n_codes == 1 else check_dimensions(self.dimensions, n_codes)
        self._recordings[estimator] = SimpleNamespace(
            image_shape=shape, dimensions=dimensions, limits=None, frames=[]
        )

    def on_fit_task_begin(self, estimator, context, *, X=None, fitted_estimator=None):
        """Record the start; later tasks begin without a fitted estimator."""
        if fitted_estimator is not None:
            self._record(estimator, fitted_estimator, X)

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        """Record the model, unless it is the end of an epoch between frames."""
        between = context.task_name == "epoch" and (context.task_id + 1) % self.every
        if fitted_estimator is not None and not between:
            self._record(estimator, fitted_estimator, X)

    def teardown(self, estimator, context):
        """Write what was recorded, if anything."""
        recording = self._recordings.pop(estimator, None)
        if recording is not None and recording.frames:
            _write_gif(self.path, recording.frames, self.duration)

    def __getstate__(self):
        return {**vars(self), "_recordings": {}}

    def _check_parameters(self):
        least = {"every": 1, "first_epoch": 0, "n_grid": 1, "duration": 1}
        if self.zoom != "auto":
            least["zoom"] = 1
        for name, bound in least.items():
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < bound:
                raise ValueError(
                    f"{name}={value!r} of LatentGridFilm must be an integer from {bound} on."
                )
        _check_path(Path(self.path))
        known = [value for value in (self.vmin, self.vmax) if value is not None]
        finite = all(isinstance(value, Real) and np.isfinite(value) for value in known)
        if not finite or sorted(set(known)) != known:
            raise ValueError(
                f"vmin={self.vmin!r} and vmax={self.vmax!r} of LatentGridFilm must be finite "
                "numbers, the first below the second."
            )

    def _record(self, estimator, model, X):
        recording = self._recordings[estimator]
        shape = recording.image_shape
        if recording.limits is None:
            recording.limits = value_range(data_range(X), shape, self.vmin, self.vmax)
        low, high = recording.limits
        # Images are drawn from the top, codes grow upwards.
        tiles = _decode_plane(model, X, recording.dimensions, self.n_grid)[::-1]
        image = rescale(mosaic(tiles, shape, gap=0), low, max(low, high))
        frame = (255 * image).round().astype(np.uint8)
        enough = max(1, -(-_MIN_SIDE // max(frame.shape[:2])))
        zoom = enough if self.zoom == "auto" else self.zoom
        frame = frame.repeat(zoom, axis=0).repeat(zoom, axis=1)
        # The end of a task is often also the end of its parent.
        if not recording.frames or not np.array_equal(frame, recording.frames[-1]):
            recording.frames.append(frame)


def _check_path(path):
    """Raise an error if no film can be written to the path."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} to write {path} to.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the path of a file.")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no regular file and would be replaced by one.")
    if path.suffix.lower() != ".gif":
        raise ValueError(f"LatentGridFilm writes a GIF: let {path} end in .gif.")


def _image_shape(estimator):
    """Return (H, W) or (H, W, 3) of an estimator's rows."""
    if not hasattr(estimator, "image_shape"):
        raise TypeError(
            f"LatentGridFilm cannot film {type(estimator).__name__}. Set it on the autoencoder "
            "itself, in a pipeline on that step."
        )
    if estimator.image_shape is None:
        raise ValueError(
            f"LatentGridFilm needs the shape of the images: give {type(estimator).__name__} "
            "image_shape=(H, W) or (H, W, C)."
        )
    # Whether it fits the rows is checked by the estimator.
    return check_image_shape(estimator.image_shape, np.prod(estimator.image_shape))


def _decode_plane(model, X, dimensions, n):
    """Return images decoded at codes that are evenly spaced in probability."""
    codes, origin = None, np.zeros(model.latent_dim)
    if not has_normal_prior(model):
        codes = encode(model, X[:: -(-len(X) // _MAX_ENCODED)])
        origin = np.median(codes, axis=0)
    levels = (np.arange(n) + 0.5) / n
    grid = [quantile_function(codes, dimension)(levels) for dimension in dimensions]
    return decode_grid(model, grid, dimensions, origin)


def _write_gif(path, frames, duration):
    """Write a film as a whole or not at all."""
    from PIL import Image

    first, *others = (Image.fromarray(frame) for frame in frames)
    options = {
        "save_all": True,
        "append_images": others,
        "duration": [duration] * len(others) + [max(duration, _LAST_DURATION)],
        "loop": 0,
    }
    # In the same folder: only within a file system is renaming atomic.
    with TemporaryDirectory(dir=Path(path).parent, prefix=".") as folder:
        first.save(f"{folder}/film.gif", **options)
        os.replace(f"{folder}/film.gif", path)
