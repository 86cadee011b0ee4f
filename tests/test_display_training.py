"""TrainingDisplay draws the history and marks the state that was kept."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from skvae.display import TrainingDisplay

pytestmark = [
    pytest.mark.usefixtures("closed_figures"),
    pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning"),
]

draw = TrainingDisplay.from_estimator


@pytest.fixture(scope="module")
def stopped(quick, iris):
    return quick(init="random", max_iter=12, early_stopping=True).fit(iris)


def labels(drawn):
    (legend,) = [ax.get_legend() for ax in drawn.figure_.axes if ax.get_legend()]
    return [text.get_text() for text in legend.get_texts()]


def test_lines_are_the_history(stopped):
    drawn = draw(stopped)
    assert set(drawn.lines_) == set(stopped.history_)
    for name, line in drawn.lines_.items():
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 13))
        np.testing.assert_array_equal(line.get_ydata(), stopped.history_[name])
        assert line.get_linestyle() == ("--" if name.startswith("validation") else "-")
    titles = [panel.get_title() for panel in drawn.axes_]
    assert titles == ["Loss", "Reconstruction", "KL divergence"]
    assert [panel.get_ylabel() for panel in drawn.axes_] == ["nats per row", "", ""]
    assert labels(drawn) == ["training", "validation", "best epoch"]


def test_the_best_epoch_is_the_one_that_was_kept(stopped):
    drawn = draw(stopped)
    assert drawn.best_epoch == np.argmin(stopped.history_["validation_loss"]) + 1
    for mark in drawn.best_lines_:
        assert set(mark.get_xdata()) == {drawn.best_epoch}


@pytest.mark.parametrize("early_stopping", [True, "cv"])
def test_a_start_that_was_never_beaten_is_epoch_0(early_stopping, quick, iris):
    # A rate this high leaves the closed form for good.
    model = quick(learning_rate_init=0.5, max_iter=2, early_stopping=early_stopping).fit(iris)
    drawn = draw(model)
    assert drawn.best_epoch == 0
    assert labels(drawn)[-1] == "best: the start"


def test_cross_validation_keeps_its_last_epoch(quick, iris):
    model = quick(init="random", max_iter=8, early_stopping="cv").fit(iris)
    assert draw(model).best_epoch == model.n_iter_


def test_without_held_out_rows_there_is_no_best_epoch(quick, iris):
    drawn = draw(quick().fit(iris))
    assert drawn.best_epoch is None
    assert drawn.best_lines_ == []
    assert set(drawn.lines_) == {"loss", "reconstruction", "kl"}
    assert labels(drawn) == ["training"]


def test_gaps_of_a_history_stay_gaps(quick, iris):
    model = quick(early_stopping=True, warm_start=True).fit(iris)
    model.set_params(early_stopping=False).fit(iris)
    drawn = draw(model)
    values = drawn.lines_["validation_loss"].get_ydata()
    assert np.isfinite(values[:3]).all()
    assert np.isnan(values[3:]).all()
    assert drawn.best_epoch is None
    # One epoch between gaps is seen by its mark.
    assert drawn.lines_["validation_loss"].get_marker() == "."
    drawn.figure_.canvas.draw()


def test_an_autoencoder_has_no_panel_of_a_kl_divergence(autoencoder, iris):
    model = autoencoder().fit(iris)
    assert len(draw(model).axes_) == 2
    assert len(draw(model, terms=["kl"]).axes_) == 1


def test_terms_may_be_chosen(stopped):
    drawn = draw(stopped, terms="kl")
    assert set(drawn.lines_) == {"kl", "validation_kl"}
    for terms in (["elbo"], []):
        with pytest.raises(ValueError, match=r"terms=.* must list some of loss, reconstruc"):
            draw(stopped, terms=terms)


def test_a_model_without_an_epoch_has_nothing_to_draw(quick, iris):
    plt.close("all")
    with pytest.raises(ValueError, match="holds no epoch: fit the estimator with max_iter > 0"):
        draw(quick(max_iter=0).fit(iris))
    assert not plt.get_fignums()


def test_a_diverged_history_is_drawn_where_it_is_finite():
    history = {"loss": np.array([3.0, np.inf, np.nan]), "kl": np.array([1.0, 2.0, np.nan])}
    drawn = TrainingDisplay(history=history, best_epoch=1).plot()
    drawn.figure_.canvas.draw()
    assert [panel.get_title() for panel in drawn.axes_] == ["Loss", "KL divergence"]
