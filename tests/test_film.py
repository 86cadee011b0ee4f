"""The film shows what the model decodes, and is written whole however training ends."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from callback_cases import Failing, Stopper
from helpers import assert_same, outputs
from PIL import Image
from scipy.stats import norm
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skvae import AutoencoderTransformer, VAETransformer
from skvae.display import LatentGridFilm

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

LEVELS = np.array([1, 3, 5, 7]) / 8


@pytest.fixture
def path(tmp_path):
    return tmp_path / "film.gif"


@pytest.fixture
def filmed(quick, path):
    """Return a factory of estimators with a film of 4 x 4 images."""

    def build(estimator=VAETransformer, image_shape=(8, 8), film=None, **parameters):
        model = quick(estimator, image_shape=image_shape, **parameters)
        options = {"n_grid": 4, "zoom": 1} | (film or {})
        return model.set_callbacks(LatentGridFilm(path, **options))

    return build


def read(path, mode="L"):
    """Return the frames (n, height, width[, 3]) and their milliseconds."""
    frames, durations = [], []
    with Image.open(path) as film:
        assert film.format == "GIF"
        for number in range(film.n_frames):
            film.seek(number)
            frames.append(np.asarray(film.convert(mode)))
            durations.append(film.info["duration"])
    return np.stack(frames), durations


def grey(images, X):
    return (255 * ((images - X.min()) / (X.max() - X.min())).clip(0, 1)).round()


def cells(frame, n_rows=4, n_columns=4):
    """Return the images of a mosaic, (rows, columns, height, width, ...)."""
    height, width = frame.shape[0] // n_rows, frame.shape[1] // n_columns
    return np.array(
        [
            [
                frame[i * height : (i + 1) * height, j * width : (j + 1) * width]
                for j in range(n_columns)
            ]
            for i in range(n_rows)
        ]
    )


# -- what is shown --------------------------------------------------------------------


def test_the_last_frame_is_the_decoded_plane_first_dimension_right_second_up(
    filmed, path, digits
):
    X = digits[:200]
    model = filmed().fit(X)
    frame = read(path)[0][-1]
    assert frame.shape == (32, 32)
    for i, second in enumerate(norm.ppf(LEVELS)[::-1]):
        for j, first in enumerate(norm.ppf(LEVELS)):
            image = model.inverse_transform([[first, second]]).reshape(8, 8)
            np.testing.assert_array_equal(cells(frame)[i, j], grey(image, X))


def test_the_first_frame_is_the_start(filmed, quick, path, digits):
    X = digits[:200]
    filmed().fit(X)
    frames, _ = read(path)
    filmed(max_iter=0).fit(X)
    start, _ = read(path)
    assert len(start) == 1
    np.testing.assert_array_equal(frames[0], start[0])


@pytest.mark.parametrize(
    ("options", "n_frames"),
    [
        # Of the ten steps of an epoch: start, steps 1, 2, 3, 4, 6, 8 and 10, 5 epochs more.
        ({"first_epoch": 8}, 1 + 7 + 5),
        ({"first_epoch": 1}, 1 + 1 + 5),
        ({"first_epoch": 0}, 1 + 1 + 5),
        ({"first_epoch": 0, "every": 3}, 1 + 2),
        # The model that is kept is shown though the frame is not due.
        ({"first_epoch": 2, "every": 4}, 1 + 2 + 1 + 1),
        ({"first_epoch": 1000, "every": 1000}, 1 + 10 + 1),
    ],
)
def test_frames_come_when_asked_for(options, n_frames, filmed, path, digits):
    filmed(max_iter=6, film=options).fit(digits[:640])
    frames, durations = read(path)
    assert len(frames) == n_frames
    assert durations == [100] * (n_frames - 1) + [2000]


@pytest.mark.parametrize("mode", [True, "cv"])
def test_only_the_final_training_is_filmed_and_ends_with_what_is_kept(
    mode, filmed, path, digits
):
    X = digits[:200]
    model = filmed(early_stopping=mode, max_iter=4, film={"first_epoch": 0}).fit(X)
    frames, _ = read(path)
    assert len(frames) <= 2 + model.n_iter_
    corner = model.inverse_transform(norm.ppf([LEVELS[[0, -1]]])).reshape(8, 8)
    np.testing.assert_array_equal(frames[-1][:8, :8], grey(corner, X))


@pytest.mark.parametrize("scale", [1, 1 / 17])
def test_colours_and_zoom(scale, filmed, path, digits):
    X = scale * digits[:200, :60]
    model = filmed(image_shape=(4, 5, 3), film={"zoom": 2}).fit(X)
    frame = read(path, "RGB")[0][-1]
    assert frame.shape == (32, 40, 3)
    image = model.inverse_transform(norm.ppf(LEVELS[[[0, -1]]])).reshape(4, 5, 3)
    # Colours from 0 to 1 are not stretched, other numbers are.
    expected = grey(image, X if scale == 1 else np.array([0, 1]))
    expected = expected.repeat(2, axis=0).repeat(2, axis=1)
    # A GIF has 256 colours.
    assert np.abs(cells(frame)[0, 0] - expected).mean() < 10


def test_a_single_latent_dimension_is_a_row_and_others_are_held(filmed, path, digits):
    X = digits[:200]
    model = filmed(latent_dim=1).fit(X)
    frame = read(path)[0][-1]
    assert frame.shape == (8, 32)
    images = model.inverse_transform(norm.ppf(LEVELS)[:, None]).reshape(4, 8, 8)
    np.testing.assert_array_equal(cells(frame, n_rows=1)[0], grey(images, X))
    model = filmed(latent_dim=4, film={"dimensions": (3, 1)}).fit(X)
    image = model.inverse_transform([[0, norm.ppf(7 / 8), 0, norm.ppf(1 / 8)]])
    corner = read(path)[0][-1][:8, :8]
    np.testing.assert_array_equal(corner, grey(image.reshape(8, 8), X))


def test_an_autoencoder_is_shown_over_its_own_codes(filmed, path, digits):
    X = digits[:200]
    model = filmed(AutoencoderTransformer).fit(X)
    low, high = (np.quantile(model.transform(X), level, axis=0) for level in LEVELS[[0, -1]])
    image = model.inverse_transform([[low[0], high[1]]]).reshape(8, 8)
    corner = read(path)[0][-1][:8, :8].astype(int)
    np.testing.assert_allclose(corner, grey(image, X), atol=1)


def test_black_and_white_can_be_set_and_small_films_are_enlarged(filmed, path, digits):
    film = {"vmin": -1000, "vmax": 1000, "zoom": "auto"}
    filmed(film=film).fit(digits[:200])
    frames, _ = read(path)
    assert frames.shape[1:] == (320, 320)
    assert ((frames >= 120) & (frames <= 140)).all()


# -- how it is written ----------------------------------------------------------------


def test_training_takes_the_same_course(filmed, quick, digits):
    X = digits[:200]
    alone = quick(image_shape=(8, 8)).fit(X)
    assert_same(outputs(filmed().fit(X), X), outputs(alone, X))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_it_is_written_when_training_is_interrupted(error, filmed, path, digits):
    path.write_bytes(b"an earlier film")
    model = filmed(film={"first_epoch": 3})
    model.set_callbacks(*model._skl_callbacks, Failing("end", error=error))
    with pytest.raises(error, match="the callback's own"):
        model.fit(digits[:640])
    # The start, three steps; then the first epoch's end fails.
    assert len(read(path)[0]) == 4
    assert list(path.parent.iterdir()) == [path]


def test_a_training_that_is_stopped_is_a_shorter_film(filmed, path, digits):
    model = filmed(film={"first_epoch": 0})
    model.set_callbacks(*model._skl_callbacks, Stopper(("epoch", 1))).fit(digits[:200])
    assert len(read(path)[0]) == 3


def test_an_earlier_film_stays_when_writing_fails(filmed, path, digits, monkeypatch):
    def fail(image, file, **_):
        Path(file).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    path.write_bytes(b"an earlier film")
    with pytest.raises(OSError, match="disk full"):
        filmed().fit(digits[:200])
    assert path.read_bytes() == b"an earlier film"
    assert list(path.parent.iterdir()) == [path]


def test_in_a_search_the_refit_is_what_stays(filmed, path, digits):
    X = digits[:200]
    grid = {"network__hidden_layer_sizes": [(8,), ()]}
    search = GridSearchCV(filmed(), grid, cv=2).fit(X)
    corner = search.best_estimator_.inverse_transform(norm.ppf([LEVELS[[0, -1]]]))
    np.testing.assert_array_equal(read(path)[0][-1][:8, :8], grey(corner.reshape(8, 8), X))


def test_it_can_be_pickled_with_its_estimator(filmed, path, digits):
    model = filmed().fit(digits[:200])
    first = path.read_bytes()
    path.unlink()
    pickle.loads(pickle.dumps(model)).fit(digits[:200])
    assert path.read_bytes() == first


# -- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "film", "error", "message"),
    [
        ({"image_shape": None}, {}, ValueError, "give VAETransformer image_shape"),
        ({"image_shape": (4, 8, 2)}, {}, ValueError, "2 channels"),
        ({}, {"dimensions": (0, 2)}, ValueError, "dimensions"),
        ({}, {"dimensions": (1, 1)}, ValueError, "dimensions"),
        ({}, {"dimensions": (0, 1, 2)}, ValueError, "dimensions"),
        ({}, {"every": 0}, ValueError, "every=0"),
        ({}, {"first_epoch": -1}, ValueError, "first_epoch=-1"),
        ({}, {"n_grid": 1.5}, ValueError, "n_grid=1.5"),
        ({}, {"vmin": 5, "vmax": 1}, ValueError, "vmin=5 and vmax=1"),
        ({}, {"vmin": "black"}, ValueError, "vmin='black' and vmax=None"),
        ({}, {"vmin": np.nan}, ValueError, "vmin=nan"),
        ({}, {"path": "."}, IsADirectoryError, "is a folder"),
        ({}, {"path": "film.png"}, ValueError, r"film\.png end in \.gif"),
        ({}, {"dimensions": 1}, ValueError, "dimensions=1 must be"),
        ({}, {"zoom": 10**4}, ValueError, "1200000 pixels a side.* Lower zoom or n_grid"),
        ({}, {"n_grid": 10**4}, ValueError, "80000 pixels a side.* Lower zoom or n_grid"),
        ({}, {"zoom": "large"}, ValueError, "zoom='large'"),
        ({}, {"duration": 0}, ValueError, "duration=0"),
        ({}, {"path": "nowhere/film.gif"}, FileNotFoundError, "no folder nowhere"),
    ],
)
def test_what_cannot_be_filmed_is_refused_before_training(
    parameters, film, error, message, quick, path, digits, monkeypatch
):
    monkeypatch.setattr("torch.Tensor.backward", lambda *_, **__: pytest.fail("trained"))
    model = quick(**{"image_shape": (8, 8)} | parameters)
    model.set_callbacks(LatentGridFilm(**{"path": path} | film))
    with pytest.raises(error, match=message):
        model.fit(digits[:200])
    assert not path.exists()


def test_it_belongs_on_the_estimator_not_on_a_pipeline(quick, path, digits):
    pipeline = make_pipeline(quick(image_shape=(8, 8))).set_callbacks(LatentGridFilm(path))
    with pytest.raises(TypeError, match="on that step"):
        pipeline.fit(digits[:200])
