"""Rows as images: their shape, and a grid of images drawn as one image."""

from numbers import Integral

import numpy as np

from skvae.display.estimator_api import model_of

# Missing pixels are of one grey with lines of another; a plain one could be taken for a value.
_GROUND, _LINES = 0.88, "0.55"


def find_image_shape(estimator, image_shape, n_features):
    """Return (H, W) or (H, W, 3), or None if rows are no images.

    By default it is the estimator's own, if it fits the rows: earlier steps of a Pipeline
    may have changed their width.
    """
    if image_shape is None:
        image_shape = getattr(model_of(estimator), "image_shape", None)
        if image_shape is None or np.prod(image_shape) != n_features:
            return None
    return check_image_shape(image_shape, n_features)


def check_image_shape(image_shape, n_features):
    """Return a shape as (H, W) or (H, W, 3); raise ValueError if it does not fit the rows."""
    shape = tuple(image_shape) if np.iterable(image_shape) else (image_shape,)
    whole = all(isinstance(side, Integral) and side > 0 for side in shape)
    if len(shape) not in (2, 3) or not whole or np.prod(shape) != n_features:
        raise ValueError(
            f"image_shape={image_shape!r} must be (H, W) or (H, W, C) with a product equal to "
            f"the {n_features} features of a row."
        )
    if len(shape) == 3 and shape[2] not in (1, 3):
        raise ValueError(
            f"image_shape={image_shape!r} has {shape[2]} channels, but pictures are grey (1) "
            "or RGB (3)."
        )
    return tuple(int(side) for side in (shape[:2] if shape[-1:] == (1,) else shape))


def square_grid(rows):
    """Return rows line by line in a nearly square grid, (n_rows, n_cols, n_features).

    Cells without a row are NaN.
    """
    n_cols = int(np.ceil(np.sqrt(len(rows))))
    n_rows = -(-len(rows) // n_cols)
    tiles = np.full((n_rows * n_cols, rows.shape[1]), np.nan)
    tiles[: len(rows)] = rows
    return tiles.reshape(n_rows, n_cols, -1)


def mosaic(tiles, image_shape, gap):
    """Return a grid of images as one, (height, width) or (height, width, 3).

    `tiles` has shape (n_rows, n_cols, n_features). The `gap` pixels between two images
    are NaN.
    """
    (n_rows, n_cols), (height, width, *channels) = tiles.shape[:2], image_shape
    canvas = np.full((n_rows, height + gap, n_cols, width + gap, *channels), np.nan)
    images = tiles.reshape(n_rows, n_cols, *image_shape)
    canvas[:, :height, :, :width] = images.swapaxes(1, 2)
    whole = canvas.reshape(n_rows * (height + gap), n_cols * (width + gap), *channels)
    return whole[: len(whole) - gap, : whole.shape[1] - gap]


def value_range(reference, image_shape, vmin=None, vmax=None):
    """Return the values drawn as black and as white (or full colour).

    Grey values span those of the reference. Colours are not stretched if they look like
    numbers up to 1 or up to 255.
    """
    reference = np.asarray(reference)
    finite = reference[np.isfinite(reference)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if len(image_shape) == 3:
        for top in (1.0, 255.0):
            # Decoded means may be slightly outside the range of the data.
            if -0.5 * top <= low and 0.1 * top <= high <= 1.5 * top:
                low, high = 0.0, top
                break
    return low if vmin is None else vmin, high if vmax is None else vmax


def rescale(image, low, high):
    """Return values as fractions of a range, from 0 to 1."""
    return np.clip((image - low) / ((high - low) or 1.0), 0, 1)


def draw_images(
    ax,
    tiles,
    image_shape,
    *,
    reference=None,
    missing=None,
    gap=None,
    margins=(0.2, 0.2),
    xlabels=None,
    ylabels=None,
    **options,
):
    """Draw a grid of images as one image, all in the same range of values, and return it.

    Parameters
    ----------
    ax : matplotlib Axes or None
        None makes a new figure, with `margins` in inches beside the images.
    tiles : ndarray of shape (n_rows, n_cols, n_features)
        The first row is drawn on top.
    image_shape : (H, W) or (H, W, 3)
    reference : array-like, default=None
        Values that set the range; by default those of the images.
    missing : ndarray of the shape of `tiles`, dtype bool, default=None
        Values that are missing; their pixels are hatched.
    gap : int, default=None
        Pixels between images.
    xlabels, ylabels : dict of int to str, default=None
        Labels of columns and of rows.
    **options : dict
        `vmin` and `vmax` set the range; the others are for `Axes.imshow`.
    """
    gap = max(1, round(min(image_shape[:2]) / 20)) if gap is None else gap
    if not isinstance(gap, Integral) or gap < 0:
        raise ValueError(f"gap={gap!r} must be a number of pixels, an integer from 0 on.")
    if ax is None:
        ax = _new_axes(*tiles.shape[:2], image_shape, margins)
    image, (height, width) = mosaic(tiles, image_shape, gap), image_shape[:2]
    limits = options.pop("vmin", None), options.pop("vmax", None)
    low, high = value_range(tiles if reference is None else reference, image_shape, *limits)
    if len(image_shape) == 3:
        # Gaps are transparent; a colour out of range would be drawn as another.
        alpha = np.isfinite(image).all(axis=-1, keepdims=True)
        colours = np.where(alpha, rescale(image, low, high), 1.0)
        image = np.concatenate([colours, alpha], axis=-1)
    artist = ax.imshow(image, vmin=low, vmax=high, **options)
    if missing is not None and missing.any():
        # Between images there is nothing, NaN, which is not missing.
        places = mosaic(missing, image_shape, gap) == 1
        _hatch(ax, places if places.ndim == 2 else places.any(axis=-1))
    for axis, side, labels in ((ax.yaxis, height, ylabels), (ax.xaxis, width, xlabels)):
        centres = np.array([*(labels or ())]) * (side + gap) + (side - 1) / 2
        axis.set_ticks(centres, (labels or {}).values())
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return artist


def _hatch(ax, pixels):
    """Hatch pixels, given by a boolean array of an image's shape (height, width)."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    # One rectangle for each run of pixels in a line.
    steps = np.diff(np.pad(pixels.astype(int), ((0, 0), (1, 1))), axis=1)
    lines, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    x = np.stack([starts, ends, ends, starts], axis=1)
    y = np.stack([lines, lines, lines + 1, lines + 1], axis=1)
    path = Path.make_compound_path_from_polys(np.stack([x, y], axis=-1) - 0.5)
    # As an image, behind the other: pixels smaller than the screen's mix with their neighbours.
    ground = np.where(pixels[..., None], [_GROUND, _GROUND, _GROUND, 1.0], 0.0)
    ax.imshow(ground, zorder=-1)
    ax.add_patch(PathPatch(path, fill=False, edgecolor=_LINES, hatch="//////", linewidth=0))


def _new_axes(n_rows, n_cols, image_shape, margins, *, tile=0.8, largest=8.0):
    """Return Axes of a new figure that is as large as a grid of images needs, in inches."""
    import matplotlib.pyplot as plt

    height, width = np.array(image_shape[:2]) / max(image_shape[:2])
    size = tile * np.array([n_cols * width, n_rows * height])
    size = size * min(1.0, largest / size.max()) + margins
    _, ax = plt.subplots(figsize=tuple(np.maximum(size, 1.0)), layout="constrained")
    return ax
