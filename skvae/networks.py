"""Networks: parameter objects that build the encoder's and the decoder's bodies.

A body maps flat rows to flat rows, ``(n, n_in) -> (n, n_out)``.
"""

from itertools import pairwise
from numbers import Integral

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn
from torch.nn.utils import skip_init

from skvae.components import Component

# Names as in MLPRegressor, and three that are usual in generative models.
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


class Network(Component):
    """A pair of network bodies; builds the encoder's and the decoder's."""

    kind = "network"

    def encoder(self, n_features: int, n_raw: int, generator) -> nn.Module:
        """Return a body from rows to the raw parameters of q(z|x)."""
        raise NotImplementedError

    def decoder(self, latent_dim: int, n_raw: int, generator) -> nn.Module:
        """Return a body from codes to the raw parameters of p(x|z)."""
        raise NotImplementedError


class MLP(Network):
    """Fully connected layers, the decoder mirroring the encoder.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(128,)
        Units of the encoder's hidden layers; the decoder has them in reverse. An
        empty tuple gives linear maps: the model is then a factor analysis.
    activation : {"identity", "logistic", "tanh", "relu", "elu", "gelu", "silu"}, \
default="relu"
        Activation of the hidden layers.
    linear_map : bool, default=True
        Whether a linear map from input to output is added to the hidden layers. It
        holds the closed-form start; without it the start is random.

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
    }

    def __init__(self, hidden_layer_sizes=(128,), activation="relu", *, linear_map=True):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.linear_map = linear_map

    def check(self):
        """Raise ValueError when a hyper-parameter is out of range."""
        super().check()
        if any(not isinstance(s, Integral) or s < 1 for s in self._sizes()):
            raise ValueError(
                "hidden_layer_sizes must be positive integers, "
                f"got {self.hidden_layer_sizes!r}."
            )

    def encoder(self, n_features, n_raw, generator):
        """Return the body from rows to raw posterior parameters."""
        return self._body([n_features, *self._sizes(), n_raw], generator)

    def decoder(self, latent_dim, n_raw, generator):
        """Return the body from codes to raw likelihood parameters."""
        return self._body([latent_dim, *self._sizes()[::-1], n_raw], generator)

    def _sizes(self):
        sizes = self.hidden_layer_sizes
        # MLPRegressor takes a bare integer too.
        return (sizes,) if isinstance(sizes, Integral) else tuple(sizes)

    def _body(self, sizes, generator):
        linear_map = self.linear_map and len(sizes) > 2
        return MLPBody(sizes, ACTIVATIONS[self.activation], linear_map, generator)


class MLPBody(nn.Module):
    """Hidden layers and an output layer, with an optional linear map beside them."""

    def __init__(self, sizes, activation, linear_map, generator):
        super().__init__()
        self.hidden = nn.Sequential()
        for n_in, n_out in pairwise(sizes[:-1]):
            self.hidden.append(_he_linear(n_in, n_out, generator))
            self.hidden.append(activation())
        self.output = _he_linear(sizes[-2], sizes[-1], generator)
        self.linear_map = (
            _he_linear(sizes[0], sizes[-1], generator, bias=False) if linear_map else None
        )

    def forward(self, x):
        """Map rows ``(..., n_in)`` to ``(..., n_out)``."""
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
    def start_bias(self, bias):
        """Set the output's bias, the centre of a random start."""
        self.output.bias.copy_(bias)


def _he_linear(n_in, n_out, generator, bias=True):
    """Return a linear layer with He's normal weights and zero biases (He et al. 2015)."""
    # skip_init: torch's own initialisation would draw from its global generator.
    layer = skip_init(nn.Linear, n_in, n_out, bias=bias, dtype=torch.float32)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


NETWORKS: dict[str, type[Network]] = {"mlp": MLP}
