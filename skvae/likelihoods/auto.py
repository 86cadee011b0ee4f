"""The default likelihood, chosen by the kinds of the columns."""

from skvae.data.kinds import CATEGORY, FLAG, NUMBER
from skvae.likelihoods.bernoulli import Bernoulli
from skvae.likelihoods.coded import CodedCategorical
from skvae.likelihoods.gaussian import Gaussian
from skvae.likelihoods.mixed import Mixed


class Auto(Gaussian):
    """A Gaussian for numbers; beside columns of other kinds a `Mixed` likelihood.

    In an array or a frame of numbers it is :class:`Gaussian` with the same parameters. In a
    frame with categories or flags the numbers are Gaussian, by default after a map to normal
    scores; flags (booleans) are Bernoulli, and each column of categories is categorical.

    Parameters
    ----------
    noise, mean, marginals
        As in :class:`Gaussian`. In a frame with other kinds of columns ``marginals=None``
        stands for "normal".

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
            return Gaussian(self.noise, self.mean, self.marginals)
        marginals = None if self.mean == "sigmoid" else self.marginals or "normal"
        categories = self._places(kinds, CATEGORY)
        levels = tuple(n_levels[j] for j in categories)
        parts = [
            ("numbers", Gaussian(self.noise, self.mean, marginals), numbers),
            ("flags", Bernoulli(), self._places(kinds, FLAG)),
            ("categories", CodedCategorical(levels), categories),
        ]
        return Mixed([part for part in parts if part[2]])

    @staticmethod
    def _places(kinds, kind):
        return [j for j, each in enumerate(kinds) if each == kind]
