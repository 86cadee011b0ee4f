"""A film of the decoded latent plane, shot while the model is trained."""

import os
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from uuid import uuid4

import numpy as np
from scipy.stats import norm

from skvae.files import check_writable

# Sides of an "auto" film, in pixels, are at least this.
_LEAST_SIDE = 300
# And those of any film at most this: GIF could say 65535, but the frames wait in memory.
_LARGEST_SIDE = 8192
_LAST_FRAME = 2000
# Rows that tell the spread of an autoencoder's codes.
_CODED_ROWS = 1000


class LatentGridFilm:
    """Callback that films the decoded latent plane while a model is trained.

    Each frame is a mosaic of the images that a grid over two latent dimensions is decoded
    to, the first dimension from left to right and the second upwards. The grid is evenly
    spaced in probability: under the prior, or for an autoencoder, which has none, among
    the codes of the training rows. The film begins with the start of the training and ends
    with the model that is kept, and is written as a GIF when the training ends, also when
    an error or an interruption ends it.

    Set it on the estimator itself by ``estimator.set_callbacks``. In a pipeline that is
    the step, and the film is in the units that the step is given. Where
    ``early_stopping="cv"`` trains several models, the last is filmed. In a search each fit
    writes the film anew, and that of the last, the refit, stays.

    Parameters
    ----------
    path : str or path-like
        The file to write, ending in ".gif". Its folder must exist; an earlier film is
        replaced as a whole.
    every : int, default=1
        Epochs from one frame to the next.
    first_epoch : int, default=10
        Frames in the first epoch, at steps that become rarer; fewer where it has fewer
        steps, 0 for none but at its end. Other callbacks see as many subtasks.
    n_grid : int, default=15
        Images on a side of the mosaic. With one latent dimension it is a single row.
    dimensions : tuple of int, default=(0, 1)
        The latent dimensions that are shown. The others are held at 0, in an autoencoder
        at their median.
    vmin, vmax : float, default=None
        Values shown as black and as white, by default the least and the greatest of the
        training rows.
    zoom : int or "auto", default="auto"
        Pixels on a side of each pixel of the data; "auto" makes small mosaics larger.
    duration : int, default=100
        Milliseconds that a frame is shown. The last one is shown for two seconds.

    See Also
    --------
    sklearn.callback.ProgressBar : Shows the progress of the same tasks.

    Notes
    -----
    The estimator needs `image_shape`, of grey or RGB images. A frame costs a copy of the
    model and the decoding of the grid. With `random_state` given, training takes the same
    course with the film and without. It may be pickled; frames of a training that is under
    way are not.

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
        self._reels = {}

    @property
    def first_epoch_tasks(self):
        """Subtasks that the first epoch should have."""
        return self.first_epoch

    # -- scikit-learn's protocol -----------------------------------------------------

    def setup(self, estimator, context):
        """Refuse what cannot be filmed, before any training."""
        self._check_parameters()
        shape, dimensions = _image_shape(estimator), self._dimensions(estimator)
        self._check_size(max(shape[:2]))
        self._reels[estimator] = _Reel(shape, dimensions)

    def on_fit_task_begin(self, estimator, context, *, X=None, fitted_estimator=None):
        """Record the start; the estimator gives a model at no later beginning."""
        if fitted_estimator is not None:
            self._record(estimator, fitted_estimator, X)

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        """Record the model, unless it is the end of an epoch between frames."""
        between = context.task_name == "epoch" and (context.task_id + 1) % self.every
        if fitted_estimator is not None and not between:
            self._record(estimator, fitted_estimator, X)

    def teardown(self, estimator, context):
        """Write what was recorded, if anything."""
        reel = self._reels.pop(estimator, None)
        if reel is not None and reel.frames:
            _write_gif(self.path, reel.frames, self.duration)

    def __getstate__(self):
        return {**vars(self), "_reels": {}}

    # -- frames ----------------------------------------------------------------------

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
        check_writable(self.path)
        if Path(self.path).suffix.lower() != ".gif":
            raise ValueError(f"LatentGridFilm writes a GIF: let {self.path} end in .gif.")
        known = [value for value in (self.vmin, self.vmax) if value is not None]
        numbers = all(isinstance(value, Real) and np.isfinite(value) for value in known)
        if not numbers or sorted(set(known)) != known:
            raise ValueError(
                f"vmin={self.vmin!r} and vmax={self.vmax!r} of LatentGridFilm must be finite "
                "numbers, the first below the second."
            )

    def _check_size(self, side):
        zoom = 1 if self.zoom == "auto" else self.zoom
        pixels = self.n_grid * side * zoom
        if pixels > _LARGEST_SIDE:
            raise ValueError(
                f"n_grid={self.n_grid} images of {side} pixels at zoom={self.zoom!r} make a "
                f"film of {pixels} pixels a side, and it may have {_LARGEST_SIDE}. Lower zoom "
                "or n_grid of LatentGridFilm."
            )

    def _dimensions(self, estimator):
        latent_dim = estimator.latent_dim
        if latent_dim == 1:
            return (0,)
        dimensions = tuple(self.dimensions) if np.iterable(self.dimensions) else ()
        inside = all(isinstance(dim, Integral) and 0 <= dim < latent_dim for dim in dimensions)
        if len(set(dimensions)) != 2 or len(dimensions) != 2 or not inside:
            raise ValueError(
                f"dimensions={self.dimensions!r} of LatentGridFilm must be two different "
                f"latent dimensions from 0 to {latent_dim - 1}."
            )
        return dimensions

    def _record(self, estimator, model, X):
        reel = self._reels[estimator]
        if reel.values is None:
            reel.values = self._values(X)
        codes = _grid_codes(model, X, reel.dimensions, self.n_grid)
        images = model.inverse_transform(codes).reshape(-1, self.n_grid, *reel.image_shape)
        frame = _mosaic(images, *reel.values)
        zoom = self.zoom
        if zoom == "auto":
            zoom = max(1, -(-_LEAST_SIDE // max(frame.shape[:2])))
        frame = frame.repeat(zoom, axis=0).repeat(zoom, axis=1)
        # The end of a task is often also that of the one around it.
        if not reel.frames or not np.array_equal(frame, reel.frames[-1]):
            reel.frames.append(frame)

    def _values(self, X):
        low = np.asarray(X).min() if self.vmin is None else self.vmin
        high = np.asarray(X).max() if self.vmax is None else self.vmax
        return float(low), float(high)


@dataclass
class _Reel:
    """What is recorded of one fit: uint8 frames, and how values become grey."""

    image_shape: tuple
    dimensions: tuple
    values: tuple | None = None
    frames: list = field(default_factory=list)


def _image_shape(estimator):
    """Return (H, W) or (H, W, 3) of an estimator's rows."""
    if not hasattr(estimator, "image_shape"):
        raise TypeError(
            f"LatentGridFilm cannot film {type(estimator).__name__}. Set it on the autoencoder "
            "itself, in a pipeline on that step."
        )
    shape = estimator.image_shape
    if shape is None:
        raise ValueError(
            f"LatentGridFilm needs the shape of the images: give {type(estimator).__name__} "
            "image_shape=(H, W) or (H, W, C)."
        )
    shape = tuple(shape)
    if len(shape) == 3 and shape[2] not in (1, 3):
        raise ValueError(
            f"LatentGridFilm shows grey or RGB images, and image_shape={shape} has "
            f"{shape[2]} channels."
        )
    return shape[:2] if shape[2:] == (1,) else shape


def _grid_codes(model, X, dimensions, n):
    """Return codes of a grid that is evenly spaced in probability, row by row."""
    levels = (np.arange(n) + 0.5) / n
    if hasattr(model, "sample"):
        axes = [norm.ppf(levels)] * len(dimensions)
        middle = np.zeros(model.latent_dim)
    else:
        step = -(-len(X) // _CODED_ROWS)
        known = np.asarray(model.transform(X[::step]))
        axes = [np.quantile(known[:, dim], levels) for dim in dimensions]
        middle = np.median(known, axis=0)
    # Upwards: the first row of a picture is its top.
    heights = axes[1][::-1] if len(dimensions) == 2 else [0.0]
    codes = np.tile(middle, (len(heights) * n, 1))
    codes[:, dimensions[0]] = np.tile(axes[0], len(heights))
    if len(dimensions) == 2:
        codes[:, dimensions[1]] = np.repeat(heights, n)
    return codes


def _mosaic(images, low, high):
    """Return images (rows, columns, H, W[, 3]) side by side, as uint8."""
    n_rows, n_columns, height, width = images.shape[:4]
    whole = images.swapaxes(1, 2).reshape(n_rows * height, n_columns * width, *images.shape[4:])
    scaled = (whole - low) / (high - low if high > low else 1.0)
    return (255 * scaled.clip(0, 1)).round().astype(np.uint8)


def _write_gif(path, frames, duration):
    """Write a film as a whole or not at all."""
    from PIL import Image

    first, *others = (Image.fromarray(frame) for frame in frames)
    durations = [duration] * len(others) + [max(duration, _LAST_FRAME)]
    # Beside the film: only within a file system is a renaming atomic.
    draft = Path(path).with_name(f".{uuid4().hex}.part")
    try:
        first.save(
            draft,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=durations,
            loop=0,
        )
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
