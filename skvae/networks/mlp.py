"""Fully connected networks."""

from numbers import Integral, Real

import torch
from sklearn.utils._param_validation import Interval, StrOptions

from skvae.networks.base import (
    ACTIVATIONS,
    Body,
    Linear,
    Network,
    check_sizes,
    dense_layers,
    he_layer,
    rate_scale,
)


class MLP(Network):
    """Fully connected layers, in reverse order in the decoder.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(128,)
        Units of the encoder's hidden layers; the decoder has them in reverse. An
        empty tuple gives linear maps: the model is then a factor analysis.
    activation : {"identity", "logistic", "tanh", "relu", "leaky_relu", "elu", "gelu", \
"silu"}, default="relu"
        Activation of the hidden layers.
    linear_map : bool, default=True
        Whether a linear map from input to output is added to the hidden layers. The
        closed-form start needs it; without it the start is random.
    batch_norm : bool, default=False
        Whether each hidden layer is batch-normalised before its activation.
    dropout : float, default=0.0
        Share of hidden units that are dropped in training.

    Examples
    --------
    >>> from skvae.networks import MLP
    >>> MLP(hidden_layer_sizes=(512,), linear_map=False)
    MLP(hidden_layer_sizes=(512,), linear_map=False)
    """

    _parameter_constraints = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "linear_map": ["boolean"],
        "batch_norm": ["boolean"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        hidden_layer_sizes=(128,),
        activation="relu",
        *,
        linear_map=True,
        batch_norm=False,
        dropout=0.0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.linear_map = linear_map
        self.batch_norm = batch_norm
        self.dropout = dropout

    def check(self):
        """Raise ValueError when a hyper-parameter is out of range."""
        super().check()
        check_sizes("hidden_layer_sizes", self._sizes())

    def build_encoder(self, n_in, n_out, image_shape, generator):
        """Return the body from rows to raw posterior parameters."""
        return MLPBody((n_in, *self._sizes()), n_out, generator, self)

    def build_decoder(self, n_in, n_out, image_shape, generator):
        """Return the body from codes to raw likelihood parameters."""
        return MLPBody((n_in, *self._sizes()[::-1]), n_out, generator, self)

    def _sizes(self):
        sizes = self.hidden_layer_sizes
        # An integer is allowed too, as in MLPRegressor.
        return (sizes,) if isinstance(sizes, Integral) else tuple(sizes)


class MLPBody(Body):
    """Hidden layers and an output layer, with an optional linear map beside them.

    Parameters
    ----------
    sizes : tuple of int
        Columns of the rows, then units of the hidden layers.
    n_out : int
    generator : torch.Generator
    options : MLP
        Activation, normalisation, dropout and linear map.
    """

    def __init__(self, sizes, n_out, generator, options):
        super().__init__()
        self.can_batch = not options.batch_norm and options.dropout == 0
        self.hidden = dense_layers(
            sizes, generator, options.activation, options.batch_norm, options.dropout
        )
        self.output = he_layer(Linear, sizes[-1], n_out, generator=generator)
        self.linear_map = None
        if options.linear_map and len(sizes) > 1:
            self.linear_map = he_layer(Linear, sizes[0], n_out, generator=generator, bias=False)
            for layer in (self.hidden[0], self.linear_map):
                layer.rate_scale = rate_scale(sizes[0])

    def run(self, x):
        """Map rows ``(..., n, n_in)`` to ``(..., n, n_out)``."""
        if x.ndim == 4 and self.output.weight.ndim == 3:
            # Several draws for each of several models: products of matrices, not of stacks
            # of them, for which the weights would be copied.
            raw = self.run(x.transpose(0, 1).flatten(1, 2))
            return raw.unflatten(1, (len(x), -1)).transpose(0, 1)
        raw = self.output(self.hidden(x))
        return raw if self.linear_map is None else self.linear_map(x, added=raw)

    @property
    def can_be_affine(self):
        """Whether the body can be set to an affine map exactly."""
        return self.linear_map is not None or len(self.hidden) == 0

    @torch.no_grad()
    def set_affine(self, weight, bias):
        """Make the body the affine map ``x -> weight x + bias``.

        The hidden layers keep their random weights, but the output layer is zero: they have
        no effect yet, and a gradient from the second step on.
        """
        self.output.weight.zero_()
        (self.linear_map or self.output).weight.copy_(weight)
        self.output.bias.copy_(bias)

    @torch.no_grad()
    def center_output(self, bias, gain=1.0):
        """Centre the raw output of a random start at `bias`; scale its spread by `gain`."""
        self.output.bias.copy_(bias)
        self.output.weight.mul_(gain)
        if self.linear_map is not None:
            self.linear_map.weight.mul_(gain)
