"""p(x|z): from the decoder's raw output to a distribution over whole rows.

A likelihood is a parameter object; its head is the torch module with its learned
parameters. A new one is one subclass of :class:`Likelihood` and one line in `LIKELIHOODS`.
"""

from skvae.likelihoods.auto import Auto
from skvae.likelihoods.base import Likelihood, LikelihoodHead
from skvae.likelihoods.bernoulli import Bernoulli, ContinuousBernoulli
from skvae.likelihoods.categorical import Categorical
from skvae.likelihoods.coded import CodedCategorical
from skvae.likelihoods.counts import NegativeBinomial, Poisson
from skvae.likelihoods.gaussian import Gaussian
from skvae.likelihoods.mixed import Mixed
from skvae.likelihoods.registry import LIKELIHOODS

# Not in registry.py, which Mixed imports, and Auto imports Mixed.
LIKELIHOODS["auto"] = Auto

__all__ = [
    "LIKELIHOODS",
    "Auto",
    "Bernoulli",
    "Categorical",
    "CodedCategorical",
    "ContinuousBernoulli",
    "Gaussian",
    "Likelihood",
    "LikelihoodHead",
    "Mixed",
    "NegativeBinomial",
    "Poisson",
]
