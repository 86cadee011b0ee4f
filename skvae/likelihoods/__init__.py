"""p(x|z): from the decoder's raw output to a distribution over whole rows.

A likelihood is a parameter object; its head is the torch module with its learned
parameters. A new one is one subclass of :class:`Likelihood` and one line in `LIKELIHOODS`.
"""

from skvae.likelihoods.base import Likelihood, LikelihoodHead
from skvae.likelihoods.bernoulli import Bernoulli, ContinuousBernoulli
from skvae.likelihoods.categorical import Categorical
from skvae.likelihoods.counts import NegativeBinomial, Poisson
from skvae.likelihoods.gaussian import Gaussian

LIKELIHOODS: dict[str, type[Likelihood]] = {
    "gaussian": Gaussian,
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulli,
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
    "categorical": Categorical,
}

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "Gaussian",
    "Likelihood",
    "LikelihoodHead",
    "NegativeBinomial",
    "Poisson",
]
