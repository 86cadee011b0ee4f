"""Log-densities and a divergence whose gradients are written out.

They are evaluated in every step of a training. Left to autograd, the gradients would take two
to three times as many operations, which is most of the time of a small step; and for a large
batch, every operation reads and writes all of its features.
"""

import math

import torch
from torch.autograd import Function


def normal_log_prob(value, loc, scale):
    """Return the log-density of a normal; `scale` can be broadcast to `loc`."""
    return _NormalLogProb.apply(value, loc, scale)


def bernoulli_log_prob(value, logits):
    """Return the log-probability of values in [0, 1] under a Bernoulli distribution."""
    return _BernoulliLogProb.apply(value, logits)


def standard_normal_kl(mean, scale):
    """KL divergence of normals from N(0, 1) (Kingma & Welling 2014, appendix B)."""
    return _StandardNormalKL.apply(mean, scale)


class _NormalLogProb(Function):
    @staticmethod
    def forward(ctx, value, loc, scale):
        standard = (value - loc) / scale
        ctx.save_for_backward(standard, scale)
        ctx.shapes = value.shape, loc.shape
        constant = -0.5 * math.log(2 * math.pi) - scale.log()
        return torch.sub(constant, standard.square(), alpha=0.5)

    @staticmethod
    def backward(ctx, gradient):
        standard, scale = ctx.saved_tensors
        weighted = gradient * standard
        of_loc = weighted / scale
        of_value = -of_loc.sum_to_size(ctx.shapes[0]) if ctx.needs_input_grad[0] else None
        of_scale = torch.addcmul(-gradient, weighted, standard).sum_to_size(scale.shape)
        return of_value, of_loc.sum_to_size(ctx.shapes[1]), of_scale / scale


class _BernoulliLogProb(Function):
    @staticmethod
    def forward(ctx, value, logits):
        probability = logits.sigmoid()
        ctx.save_for_backward(value, logits, probability)
        # log(1 + exp(logit)) is max(logit, 0) minus the logarithm of the larger probability,
        # which is not near zero. In place, as a large batch does not fit the cache.
        larger = 1 - probability
        log_prob = torch.maximum(larger, probability, out=larger).log_()
        return log_prob.sub_(logits.clamp(min=0)).addcmul_(value, logits)

    @staticmethod
    def backward(ctx, gradient):
        value, logits, probability = ctx.saved_tensors
        of_value = gradient * logits if ctx.needs_input_grad[0] else None
        return of_value, (value - probability).mul_(gradient)


class _StandardNormalKL(Function):
    @staticmethod
    def forward(ctx, mean, scale):
        ctx.save_for_backward(mean, scale)
        kl = -0.5 - scale.log()
        return kl.addcmul_(mean, mean, value=0.5).addcmul_(scale, scale, value=0.5)

    @staticmethod
    def backward(ctx, gradient):
        mean, scale = ctx.saved_tensors
        return gradient * mean, (scale - scale.reciprocal()).mul_(gradient)
