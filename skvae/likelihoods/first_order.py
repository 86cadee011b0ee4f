"""Raw output that is linear in the code, and gives a mean that is so to first order.

The slopes are those of the natural parameter. The intercepts are lower than at the mean of the
rows, as an exponential or a probability is a curved function of the code: over codes from the
prior the mean of the rows is kept.
"""

# The length of a slope, in nats per standard deviation of the code: with a longer one a rare
# category would be certain, or a rate enormous, at codes that are not rare.
_MOST_SLOPE = 3.0


def linear_log_rates(slopes, centre):
    """Return weight and bias of log-rates, or of the log-probabilities of categories.

    Parameters
    ----------
    slopes : Tensor of shape (n_raw, latent_dim)
    centre : Tensor of shape (n_raw,)
        Logarithm of the mean over codes from the prior.
    """
    slopes = _shortened(slopes)
    return slopes, centre.to(slopes) - 0.5 * slopes.square().sum(1)


def linear_logits(loadings, centre):
    """Return weight and bias of logits.

    They are the log-ratio of the densities of the codes with a 1 and with a 0, which are
    normal around the means that the loadings give.

    Parameters
    ----------
    loadings : Tensor of shape (n_features, latent_dim)
        Slopes of the probability.
    centre : Tensor of shape (n_features,)
        Logit of the mean probability.
    """
    p = centre.double().sigmoid()
    ones = _shortened(loadings / p[:, None])
    zeros = _shortened(-loadings / (1 - p[:, None]))
    curvature = ones.square().sum(1) - zeros.square().sum(1)
    return ones - zeros, centre.double() - 0.5 * curvature


def _shortened(slopes):
    """Return slopes whose length is at most `_MOST_SLOPE`."""
    length = slopes.norm(dim=1, keepdim=True)
    return slopes * (_MOST_SLOPE / length.clamp(min=_MOST_SLOPE))
