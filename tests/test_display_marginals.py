"""Displays of frames with columns of several kinds: histograms and bars."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from test_frames_of_columns import fitted, make_frame, with_holes

from skvae.display import (
    InterpolationDisplay,
    LatentGridDisplay,
    LatentSpaceDisplay,
    ReconstructionDisplay,
    SampleDisplay,
)
from skvae.display.marginals import robust_limits

pytestmark = [
    pytest.mark.usefixtures("closed_figures"),
    pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning"),
]

draw_samples = SampleDisplay.from_estimator


@pytest.fixture(scope="module")
def frame():
    return make_frame()


@pytest.fixture(scope="module")
def model(frame):
    return fitted(frame, max_iter=0)


def bars(panel):
    """Return the widths of the bars of each table, by the label of its legend."""
    return {
        each.get_label(): [bar.get_width() for bar in each.patches] for each in panel.containers
    }


def labels(panel):
    return [text.get_text() for text in panel.get_yticklabels()]


def texts(drawn):
    (legend,) = [ax.get_legend() for ax in drawn.figure_.axes if ax.get_legend()]
    return [text.get_text() for text in legend.get_texts()]


def test_categories_and_flags_are_bars_of_their_shares(model, frame):
    drawn = draw_samples(model, frame, random_state=0)
    assert [panel.get_title() for panel in drawn.axes_] == list(frame)
    assert texts(drawn) == ["samples", "data"]
    for i, levels in ((3, [False, True]), (4, ["cook", "clerk", "chief"])):
        panel, name = drawn.axes_[i], frame.columns[i]
        assert labels(panel) == [str(level) for level in levels]
        for label, table in (("samples", drawn.samples), ("data", frame)):
            shares = [(table[name] == level).mean() for level in levels]
            np.testing.assert_allclose(bars(panel)[label], shares)
    pd.testing.assert_series_equal(drawn.samples.dtypes, frame.dtypes)
    drawn.plot(color="C3", bins=10).figure_.canvas.draw()


def test_numbers_are_histograms_with_common_bins(model, frame):
    drawn = draw_samples(model, frame, random_state=0)
    panel = drawn.axes_[2]
    bins = np.array([*(bar.get_x() for bar in panel.patches[:-1])])
    assert len(bins) == 30
    heights = [bar.get_height() for bar in panel.patches[:-1]]
    edges = np.append(bins, 2 * bins[-1] - bins[-2])
    expected = np.histogram(drawn.samples["weight"].astype(float), edges, density=True)[0]
    np.testing.assert_allclose(heights, expected, rtol=1e-5)


def test_a_bin_for_each_whole_number_if_there_are_few(frame):
    table = pd.DataFrame({"n": [0, 1, 1, 3], "c": pd.Categorical(list("abab"))})
    panel = SampleDisplay(samples=table).plot().axes_[0]
    np.testing.assert_allclose(
        [bar.get_height() for bar in panel.patches], [0.25, 0.5, 0, 0.25]
    )
    assert panel.patches[0].get_x() == -0.5


def test_long_tails_are_in_the_last_bin_and_spikes_are_logarithmic():
    n = 1000
    rng = np.random.RandomState(0)
    gain = np.where(np.arange(n) < 900, 0.0, rng.uniform(1, 100, n))
    gain[-1] = 1e5
    table = pd.DataFrame({"gain": gain, "c": pd.Categorical(["a", "b"] * (n // 2))})
    panel = SampleDisplay(samples=table).plot().axes_[0]
    assert panel.get_xlim()[1] < 120
    assert panel.get_yscale() == "log"
    (note,) = panel.texts
    assert note.get_text() == "largest 1e+05\nlog scale"
    shares = np.array([bar.get_height() * bar.get_width() for bar in panel.patches])
    assert shares.sum() == pytest.approx(1), "no value is left out"
    plain = SampleDisplay(samples=table).plot(bins=5).axes_[0]
    assert plain.get_xlim()[1] > 1e5
    assert plain.texts[0].get_text() == "log scale"


@pytest.mark.parametrize("side", [1, -1])
def test_limits_leave_out_long_tails_only(side):
    values = np.arange(101.0)
    assert robust_limits(values) == (None, None)
    assert robust_limits(np.full(5, 2.0)) == (None, None)
    assert robust_limits(np.array([np.nan])) == (None, None)
    low, high = robust_limits(side * np.append(values, 1e6))
    assert (low, high)[side == -1] is None
    assert abs((low, high)[side == 1]) <= 101


def test_of_many_categories_the_most_frequent_are_shown():
    counts = np.arange(1, 13)
    names = [f"a very long name of town {k}" for k in counts]
    table = pd.DataFrame({"town": pd.Categorical(np.repeat(names, counts)), "n": 1.5})
    panel = SampleDisplay(samples=table).plot().axes_[0]
    assert labels(panel) == ["a very long n…"] * 7 + ["5 others"]
    widths = bars(panel)["samples"]
    np.testing.assert_allclose(widths, [*counts[:4:-1] / 78, 15 / 78])


def test_decoded_rows_and_values_filled_in_are_beside_the_data(model, frame):
    holes = with_holes(frame)
    drawn = ReconstructionDisplay.from_estimator(model, holes)
    assert texts(drawn) == ["reconstruction", "filled in", "data"]
    pd.testing.assert_frame_equal(drawn.X_filled, model.impute(holes))
    missing = holes["job"].isna()
    shown, filled = bars(drawn.axes_[4]), drawn.X_filled["job"][missing]
    levels = ["cook", "clerk", "chief"]
    np.testing.assert_allclose(shown["filled in"], [(filled == v).mean() for v in levels])
    known = holes["job"].dropna()
    np.testing.assert_allclose(shown["data"], [(known == v).mean() for v in levels])
    decoded = model.inverse_transform(model.transform(holes))["job"]
    np.testing.assert_allclose(shown["reconstruction"], [(decoded == v).mean() for v in levels])
    complete = ReconstructionDisplay.from_estimator(model, frame, X_noisy=holes)
    assert texts(complete) == ["reconstruction", "corrupted", "filled in", "data"]
    assert texts(ReconstructionDisplay.from_estimator(model, frame)) == [
        "reconstruction",
        "data",
    ]


def test_polars_and_a_pipeline():
    plain = make_frame().astype({"age": "int64", "owner": bool, "job": str})
    frame = pl.DataFrame(plain.to_dict("list")).with_columns(pl.col("job").cast(pl.Categorical))
    model = make_pipeline(FunctionTransformer(), fitted(frame, max_iter=0)).fit(frame)
    drawn = draw_samples(model, frame, random_state=0)
    assert labels(drawn.axes_[4]) == ["chief", "clerk", "cook"]
    ReconstructionDisplay.from_estimator(model, frame).figure_.canvas.draw()
    coloured = LatentSpaceDisplay.from_estimator(model, frame, "job")
    assert coloured.legend_.get_title().get_text() == "job"


def test_a_path_between_two_rows_goes_from_category_to_category(model, frame):
    ends = frame.iloc[[0, 5]]
    drawn = InterpolationDisplay.from_estimator(model, ends, n_steps=4)
    panel = drawn.axes_[4]
    line, circles = panel.lines
    shown = np.array(labels(panel))
    assert shown[line.get_ydata()].tolist() == drawn.decoded["job"].tolist()
    assert shown[circles.get_ydata()].tolist() == ends["job"].tolist()
    np.testing.assert_array_equal(drawn.axes_[2].lines[0].get_ydata(), drawn.decoded["weight"])


def test_a_grid_of_such_rows_is_refused_with_what_to_use(model, frame):
    with pytest.raises(ValueError, match=r"categories or flags.* use LatentSpaceDisplay"):
        LatentGridDisplay.from_estimator(model, frame)
    assert not plt.get_fignums()


def test_codes_are_coloured_by_any_column(model, frame):
    holes = frame.assign(job=frame["job"].mask(frame.index < 9))
    drawn = LatentSpaceDisplay.from_estimator(model, holes, "job")
    texts = [text.get_text() for text in drawn.legend_.get_texts()]
    # In the order of the dtype.
    assert texts == ["cook", "clerk", "chief", "missing"]
    assert drawn.classes == ["cook", "clerk", "chief"]
    flags = LatentSpaceDisplay.from_estimator(model, frame, "owner")
    assert [text.get_text() for text in flags.legend_.get_texts()] == ["False", "True"]
    numbers = LatentSpaceDisplay.from_estimator(model, frame, "gain")
    assert numbers.colorbar_.ax.get_ylabel() == "gain"
    with pytest.raises(ValueError, match=r"y='town' must be the name.*age, gain"):
        LatentSpaceDisplay.from_estimator(model, frame, "town")
