"""Rows as pictures: their shape, and many of them as one image in one Axes."""

from numbers import Integral

import numpy as np

from skvae.display._estimator import model_of


def find_image_shape(estimator, image_shape, n_features):
    """Return (H, W) or (H, W, 3), or None where rows are no images.

    Without one given it is the estimator's own, if that fits the rows: steps before the
    estimator may have changed their width.
    """
    if image_shape is not None:
        return check_image_shape(image_shape, n_features)
    # Of other estimators it is the same parameter, or none.
    model = model_of(estimator)
    own = model.get_params(deep=False).get("image_shape") if _has_params(model) else None
    if own is None or np.prod(own) != n_features:
        return None
    return check_image_shape(own, n_features)


def _has_params(model):
    return hasattr(model, "get_params")


def check_image_shape(image_shape, n_features):
    """Return a shape as (H, W) or (H, W, 3); refuse one that is not that of the rows."""
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


def near_square(n_images):
    """Return numbers of rows and columns that hold so many images."""
    n_cols = int(np.ceil(np.sqrt(n_images)))
    return -(-n_images // n_cols), n_cols


def fill_grid(rows, n_rows, n_cols):
    """Return rows laid out line by line, (n_rows, n_cols, n_features); NaN where none is."""
    tiles = np.full((n_rows * n_cols, rows.shape[1]), np.nan)
    tiles[: len(rows)] = rows
    return tiles.reshape(n_rows, n_cols, -1)


def gap_of(image_shape):
    """Return the pixels between images: one, and more between large ones."""
    return max(1, round(min(image_shape[:2]) / 20))


def mosaic(tiles, image_shape, gap):
    """Return a grid of images as one.

    Parameters
    ----------
    tiles : ndarray of shape (n_rows, n_cols, n_features)
    image_shape : (H, W) or (H, W, 3)
    gap : int
        Pixels between two images, NaN.

    Returns
    -------
    ndarray of shape (height, width) or (height, width, 3)
    """
    (n_rows, n_cols), (height, width, *channels) = tiles.shape[:2], image_shape
    canvas = np.full((n_rows, height + gap, n_cols, width + gap, *channels), np.nan)
    images = tiles.reshape(n_rows, n_cols, *image_shape)
    canvas[:, :height, :, :width] = images.swapaxes(1, 2)
    whole = canvas.reshape(n_rows * (height + gap), n_cols * (width + gap), *channels)
    return whole[: len(whole) - gap, : whole.shape[1] - gap]


def centres(n_images, side, gap):
    """Return the pixel coordinates of the centres of images in a line."""
    return np.arange(n_images) * (side + gap) + (side - 1) / 2


def value_range(reference, image_shape, vmin=None, vmax=None):
    """Return the values drawn as black and as white (or full colour).

    Grey values span those of the reference. Colours are not stretched where they are
    recognised as numbers up to 1 or up to 255.
    """
    reference = np.asarray(reference)
    finite = reference[np.isfinite(reference)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if len(image_shape) == 3:
        for top in (1.0, 255.0):
            # Decoded means may leave the range of the data a little.
            if -0.5 * top <= low and 0.1 * top <= high <= 1.5 * top:
                low, high = 0.0, top
                break
    return low if vmin is None else vmin, high if vmax is None else vmax


def show_mosaic(ax, tiles, image_shape, *, reference=None, gap=None, vmin, vmax, **kwargs):
    """Draw a grid of images as one, all in the same range of values.

    Parameters
    ----------
    ax : matplotlib Axes
    tiles : ndarray of shape (n_rows, n_cols, n_features)
        The first row is drawn on top.
    image_shape : (H, W) or (H, W, 3)
    reference : array-like, default=None
        Values that set the range; by default those drawn.
    gap : int, default=None
        Pixels between images.
    vmin, vmax : float or None
        The range, where it is chosen.
    **kwargs : dict
        For `Axes.imshow`.

    Returns
    -------
    matplotlib AxesImage
    """
    gap = gap_of(image_shape) if gap is None else gap
    if not isinstance(gap, Integral) or gap < 0:
        raise ValueError(f"gap={gap!r} must be a number of pixels, an integer from 0 on.")
    image = mosaic(tiles, image_shape, gap)
    reference = tiles if reference is None else reference
    low, high = value_range(reference, image_shape, vmin, vmax)
    if len(image_shape) == 3:
        # Gaps are transparent; a colour out of range would be drawn as another.
        alpha = np.isfinite(image).all(axis=-1, keepdims=True)
        colours = np.clip((image - low) / ((high - low) or 1.0), 0, 1)
        image = np.concatenate([np.where(alpha, colours, 1.0), alpha], axis=-1)
    artist = ax.imshow(image, vmin=low, vmax=high, **kwargs)
    ax.set(xticks=[], yticks=[])
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return artist


def new_axes(n_rows, n_cols, image_shape, *, tile=0.8, largest=8.0, margins=(0.2, 0.2)):
    """Return Axes of a new figure that is as large as a grid of images needs, in inches."""
    import matplotlib.pyplot as plt

    height, width = np.array(image_shape[:2]) / max(image_shape[:2])
    size = tile * np.array([n_cols * width, n_rows * height])
    size = size * min(1.0, largest / size.max()) + margins
    _, ax = plt.subplots(figsize=tuple(np.maximum(size, 1.0)), layout="constrained")
    return ax
