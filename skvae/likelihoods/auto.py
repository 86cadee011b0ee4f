"""The default likelihood, chosen by the kinds of the columns."""

from skvae.data.kinds import CATEGORY, FLAG, NUMBER
from skvae.likelihoods.bernoulli import Bernoulli
from skvae.likelihoods.coded import CodedCategorical
from skvae.likelihoods.gaussian import Gaussian
from skvae.likelihoods.mixed import Mixed

# Bins of the scores of numbers in a frame.
_N_BINS = 16


class Auto(Gaussian):
    """A Gaussian for numbers; beside columns of other kinds a `Mixed` likelihood.

    In an array or a frame of numbers it is :class:`Gaussian` with the same parameters. In a
    frame with categories or flags the numbers are Gaussian, by default after a map to normal
    scores; flags (booleans) are Bernoulli, and each column of categories is categorical.

    Parameters
    ----------
    noise, mean, marginals, n_bins
        As in :class:`Gaussian`. In a frame with other kinds of columns ``marginals=None``
        stands for "normal" with 16 bins.

    Examples
    --------
    >>> from skvae import VAETransformer
    >>> VAETransformer().get_params()["likelihood"]
    'auto'
    """

    def for_columns(self, kinds, n_levels, names):
        """Return the likelihood for columns of these kinds."""
        numbers = self._places(kinds, NUMBER)
        if len(numbers) == len(kinds):
            return Gaussian(self.noise, self.mean, self.marginals, self.n_bins)
        numbers_part = Gaussian(self.noise, self.mean, *self._marginals_of_frames())
        categories = self._places(kinds, CATEGORY)
        levels = tuple(n_levels[j] for j in categories)
        parts = [
            ("numbers", numbers_part, numbers),
            ("flags", Bernoulli(), self._places(kinds, FLAG)),
            ("categories", CodedCategorical(levels), categories),
        ]
        return Mixed([part for part in parts if part[2]])

    def _marginals_of_frames(self):
        """Return `marginals` and `n_bins` of the numbers in a frame with other kinds."""
        if self.mean == "sigmoid" or self.marginals is not None:
            return self.marginals, self.n_bins
        has_bins = self.noise != "heteroscedastic"
        return "normal", (self.n_bins or _N_BINS) if has_bins else self.n_bins

    @staticmethod
    def _places(kinds, kind):
        return [j for j, each in enumerate(kinds) if each == kind]
