"""Loss and its terms during training."""

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skvae.display.estimator_api import model_of
from skvae.display.panels import check_plot, draw_panels

_TITLES = {"loss": "Loss", "reconstruction": "Reconstruction", "kl": "KL divergence"}
# Up to this many epochs have a marker, so that one between gaps is visible too.
_FEW_EPOCHS = 30


class TrainingDisplay:
    """Loss, reconstruction and KL divergence per epoch.

    Use :meth:`from_estimator` to create one.

    Parameters
    ----------
    history : dict of str to ndarray of shape (n_epochs,)
        ``loss``, ``reconstruction`` and ``kl``, and the same on held-out rows with the
        prefix ``validation_``, in nats per row. NaN where an epoch has none.
    best_epoch : int, default=None
        Epoch whose state was kept, the first being 1 and the start 0. None where nothing
        was held out.

    Attributes
    ----------
    lines_ : dict of str to matplotlib Line2D
        Under the names of the history.
    best_lines_ : list of matplotlib Line2D
        Marks of the best epoch.
    axes_ : list of matplotlib Axes
        One for each term.
    ax_ : matplotlib Axes
        The hidden Axes whose place the panels take.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAETransformer
    >>> from skvae.display import TrainingDisplay
    >>> X = load_iris().data
    >>> vae = VAETransformer(random_state=0, early_stopping=True, max_iter=30).fit(X)
    >>> display = TrainingDisplay.from_estimator(vae)
    >>> [panel.get_title() for panel in display.axes_]
    ['Loss', 'Reconstruction', 'KL divergence']
    """

    def __init__(self, *, history, best_epoch=None):
        self.history = history
        self.best_epoch = best_epoch

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **kwargs):
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : object
            A fitted estimator with `history_`, or a fitted Pipeline that ends in one.
        ax : matplotlib Axes, default=None
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        TrainingDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        model = model_of(estimator)
        history = getattr(model, "history_", None)
        if history is None:
            raise AttributeError(
                f"{type(model).__name__} has no attribute history_, needed to draw a training."
            )
        history = {name: np.asarray(values, dtype=float) for name, values in history.items()}
        best = _find_best(history, getattr(model, "best_validation_score_", None))
        return cls(history=history, best_epoch=best).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, terms=None, **kwargs):
        """Draw a panel for each term.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            By default those of a new figure. The panels take its place.
        terms : list of {"loss", "reconstruction", "kl"}, default=None
            What to draw. By default all three, the KL divergence where it is not 0
            throughout, as an autoencoder's.
        **kwargs : dict
            For `Axes.plot`.

        Returns
        -------
        TrainingDisplay
        """
        check_plot(self, ax)
        terms = self._check_terms(terms)
        self.lines_, self.best_lines_ = {}, []
        self.ax_, self.axes_ = draw_panels(
            ax,
            [_TITLES[term] for term in terms],
            lambda panel, i: self._plot_term(panel, terms[i], kwargs),
            size=(2.9, 2.5),
            legend=True,
        )
        self.figure_ = self.ax_.figure
        return self

    def _check_terms(self, terms):
        """Return the terms to draw; raise ValueError if they are not in the history."""
        if not len(self.history.get("loss", ())):
            raise ValueError("The history holds no epoch: fit the estimator with max_iter > 0.")
        if terms is None:
            trained = [name for name in _TITLES if name in self.history]
            return [name for name in trained if name != "kl" or np.any(self.history[name] != 0)]
        terms = [terms] if isinstance(terms, str) else list(terms)
        if not terms or any(term not in _TITLES or term not in self.history for term in terms):
            raise ValueError(f"terms={terms!r} must list some of {', '.join(_TITLES)}.")
        return terms

    def _plot_term(self, panel, term, options):
        """Draw the lines of a term and return them."""
        from matplotlib.ticker import MaxNLocator

        epochs, drawn = np.arange(1, len(self.history["loss"]) + 1), []
        marker = "." if len(epochs) <= _FEW_EPOCHS else None
        validation = {"label": "validation", "linestyle": "--"}
        for name, style in {
            term: {"label": "training"},
            f"validation_{term}": validation,
        }.items():
            values = self.history.get(name)
            if values is not None and np.isfinite(values).any():
                drawn += panel.plot(epochs, values, **{"marker": marker, **style, **options})
                self.lines_[name] = drawn[-1]
        if self.best_epoch is not None:
            label = "best epoch" if self.best_epoch else "best: the start"
            mark = {"color": "0.4", "linewidth": 1, "linestyle": ":", "label": label}
            drawn.append(panel.axvline(self.best_epoch, **mark))
            self.best_lines_.append(drawn[-1])
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        panel.set(xlabel="epoch", ylabel="nats per row")
        return drawn


def _find_best(history, score):
    """Return the epoch with the held-out score that was kept, 0 for the start."""
    losses = history.get("validation_loss")
    if score is None or losses is None or not np.isfinite(losses).any():
        return None
    gaps = np.where(np.isfinite(losses), np.abs(losses + score), np.inf)
    best = int(np.argmin(gaps))
    # History and score differ by rounding only; the start is in no history.
    return best + 1 if gaps[best] <= 1e-9 * max(1.0, abs(score)) else 0
