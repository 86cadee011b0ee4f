"""Fully connected networks."""

from itertools import pairwise
from numbers import Integral, Real

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from skvae.networks.base import (
    ACTIVATIONS,
    BatchNorm1d,
    Body,
    Dropout,
    Network,
    Plug,
    he_linear,
)


class MLP(Network):
    """Fully connected layers, the decoder mirroring the encoder.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(128,)
        Units of the encoder's hidden layers; the decoder has them in reverse. An
        empty tuple gives linear maps: the model is then a factor analysis.
    activation : {"identity", "logistic", "tanh", "relu", "leaky_relu", "elu", "gelu", \
"silu"}, default="relu"
        Activation of the hidden layers.
    linear_map : bool, default=True
        Whether a linear map from input to output is added to the hidden layers. It
        holds the closed-form start; without it the start is random.
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
        if any(not isinstance(s, Integral) or s < 1 for s in self._sizes()):
            raise ValueError(
                "hidden_layer_sizes must be positive integers, "
                f"got {self.hidden_layer_sizes!r}."
            )

    def build_encoder(self, n_in, n_out, image_shape, generator):
        """Return the body from rows to raw posterior parameters."""
        plug = Plug(n_in, n_out, image_shape, generator)
        return MLPBody(self._sizes(), plug, self)

    def build_decoder(self, n_in, n_out, image_shape, generator):
        """Return the body from codes to raw likelihood parameters."""
        plug = Plug(n_in, n_out, image_shape, generator)
        return MLPBody(self._sizes()[::-1], plug, self)

    def _sizes(self):
        sizes = self.hidden_layer_sizes
        # MLPRegressor takes a bare integer too.
        return (sizes,) if isinstance(sizes, Integral) else tuple(sizes)


class MLPBody(Body):
    """Hidden layers and an output layer, with an optional linear map beside them.

    Parameters
    ----------
    hidden_sizes : tuple of int
    plug : Plug
    options : MLP
        Activation, normalisation, dropout and linear map.
    """

    def __init__(self, hidden_sizes, plug, options):
        super().__init__()
        sizes = (plug.n_in, *hidden_sizes)
        self.hidden = nn.Sequential()
        for n_in, n_out in pairwise(sizes):
            self.hidden.append(he_linear(n_in, n_out, plug.generator))
            if options.batch_norm:
                self.hidden.append(BatchNorm1d(n_out))
            self.hidden.append(ACTIVATIONS[options.activation]())
            if options.dropout > 0:
                self.hidden.append(Dropout(options.dropout, plug.generator))
        self.output = he_linear(sizes[-1], plug.n_out, plug.generator)
        self.linear_map = None
        if options.linear_map and hidden_sizes:
            self.linear_map = he_linear(plug.n_in, plug.n_out, plug.generator, bias=False)

    def run(self, x):
        """Map rows ``(n, n_in)`` to ``(n, n_out)``."""
        raw = self.output(self.hidden(x))
        return raw if self.linear_map is None else raw + self.linear_map(x)

    @property
    def can_start_affine(self):
        """Whether the body can be set to an affine map exactly."""
        return self.linear_map is not None or len(self.hidden) == 0

    @torch.no_grad()
    def start_affine(self, weight, bias):
        """Make the body the affine map ``x -> weight x + bias``.

        The hidden layers keep their random values behind an output layer of zeros: they
        change nothing yet, and receive a gradient from the second step on.
        """
        self.output.weight.zero_()
        (self.linear_map or self.output).weight.copy_(weight)
        self.output.bias.copy_(bias)

    @torch.no_grad()
    def start_output(self, bias, gain=1.0):
        """Set the output's bias, the centre of a random start, and scale its spread."""
        self.output.bias.copy_(bias)
        self.output.weight.mul_(gain)
        if self.linear_map is not None:
            self.linear_map.weight.mul_(gain)
