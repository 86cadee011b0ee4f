"""The likelihoods that have a name."""

from skvae.likelihoods.base import Likelihood
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
