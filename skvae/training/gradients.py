"""The loss of a batch and its gradients."""

from collections import Counter

import torch

from skvae.training.graphs import capture
from skvae.training.recording import record

# Number of batches of a shape after which one is recorded, which takes as long as some steps.
_PATIENCE = 4


class Gradients:
    """Computes the terms of a batch, and the gradients of the parameters.

    A loss that says that it can be recorded is recorded after some batches of a shape: on the
    CPU its operations, on a GPU its kernels. On the CPU the next one is computed in both ways:
    unless they agree to the bit, nothing is repeated.

    Parameters
    ----------
    loss_terms : callable or BatchLoss
        As :func:`~skvae.training.loop.train_epochs` takes it.
    parameters : list of Parameter
    """

    def __init__(self, loss_terms, parameters):
        self.loss_terms, self.parameters = loss_terms, parameters
        self._can_record = getattr(loss_terms, "can_record", False)
        # By the shape of a batch.
        self._counts, self._repeats, self._trusted = Counter(), {}, set()

    def __call__(self, x, epoch):
        """Set the gradients of the parameters, and return the detached terms, stacked."""
        if not self._can_record or self.loss_terms.warms_up(epoch):
            return self._by_autograd(self.loss_terms(x, epoch))
        inputs = x, self.loss_terms.draw(x)
        if x.shape in self._trusted:
            terms, *gradients = self._repeats[x.shape](*inputs)
            self._set(gradients)
            # The next step changes what it returned.
            return terms.clone()
        if x.shape in self._repeats:
            return self._compare(inputs)
        self._counts[x.shape] += 1
        if self._counts[x.shape] > _PATIENCE:
            return self._record(inputs)
        return self._by_autograd(self.loss_terms.means(*inputs))

    def clear(self):
        """Set no gradients, for a step without rows."""
        self._set([None] * len(self.parameters))

    def _by_autograd(self, terms):
        self.clear()
        _scalar(terms[0]).backward()
        return _stacked(terms)

    def _record(self, inputs):
        """Record a step, and take it."""

        def step(*inputs):
            terms = self.loss_terms.means(*inputs)
            trained = [p for p in self.parameters if p.requires_grad]
            found = torch.autograd.grad(_scalar(terms[0]), trained, allow_unused=True)
            found = dict(zip(map(id, trained), found, strict=True))
            return [
                _stacked(terms),
                *(_in_layout(found.get(id(p)), p) for p in self.parameters),
            ]

        on_gpu, shape = inputs[0].is_cuda, inputs[0].shape
        results, self._repeats[shape] = (capture if on_gpu else record)(step, inputs)
        self._can_record = self._repeats[shape] is not None
        if on_gpu:
            # Sums on a GPU may round differently each time.
            self._trusted.add(shape)
        self._set(results[1:])
        return results[0]

    def _compare(self, inputs):
        """Compute a step in both ways, and note whether they agree."""
        repeated = self._repeats[inputs[0].shape](*inputs)
        terms = self._by_autograd(self.loss_terms.means(*inputs))
        expected = [terms, *(parameter.grad for parameter in self.parameters)]
        if all(map(_same, repeated, expected)):
            self._trusted.add(inputs[0].shape)
        else:
            self._can_record = False
        return terms

    def _set(self, gradients):
        # zero_grad does the same, but takes a twentieth of a small step.
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient


def _scalar(loss):
    """Return the loss to minimise: that of one model, or the sum of those of several."""
    return loss.sum() if loss.ndim else loss


def _stacked(terms):
    return torch.stack([term.detach() for term in terms])


def _in_layout(gradient, parameter):
    """Return a gradient in the layout of its parameter, on which the optimiser relies."""
    if gradient is None or gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


def _same(one, other):
    return one is other or (
        one is not None
        and other is not None
        and one.stride() == other.stride()
        and torch.equal(one, other)
    )
