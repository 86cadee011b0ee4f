"""What every network shares."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.utils import skip_init

from skvae.components import Component

# Names as in MLPRegressor, and four that are usual in generative models.
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    # In place: a new feature map for each costs more time in page faults than in arithmetic.
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(0.2, inplace=True),
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


class Plug(NamedTuple):
    """What a body must fit between.

    Attributes
    ----------
    n_in, n_out : int
        Columns of its rows and of its raw output.
    image_shape : tuple of int or None
        (H, W, C) of a flat row of the data, channels last.
    generator : torch.Generator
        Source of the initial weights.
    """

    n_in: int
    n_out: int
    image_shape: tuple[int, int, int] | None
    generator: torch.Generator


class Network(Component):
    """A pair of network bodies; builds the encoder's and the decoder's."""

    kind = "network"

    def build_encoder(self, n_in, n_out, image_shape, generator):
        """Return a body from rows to the raw parameters of q(z|x)."""
        raise NotImplementedError

    def build_decoder(self, n_in, n_out, image_shape, generator):
        """Return a body from codes to the raw parameters of p(x|z)."""
        raise NotImplementedError


class Body(nn.Module):
    """A network from flat rows (..., n_in) to flat rows (..., n_out)."""

    #: Whether the body can be set to an affine map exactly.
    can_start_affine = False

    #: Whether several are trained faster as one stack (), and can be: the
    #: output follows from input and parameters alone.
    can_batch = False

    def forward(self, x):
        """Map rows; leading axes are kept."""
        if x.ndim == 2:
            return self.run(x)
        flat = self.run(x.reshape(-1, x.shape[-1]))
        return flat.reshape(*x.shape[:-1], flat.shape[-1])

    def run(self, x):
        """Map rows (n, n_in) to (n, n_out)."""
        raise NotImplementedError

    def start_output(self, bias, gain=1.0):
        """Centre a random start at raw output `bias`, and scale its spread by `gain`."""


@torch.no_grad()
def he_start(layer, generator):
    """Give a layer He's normal weights and zero biases (He et al. 2015), in place."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def he_linear(n_in, n_out, generator, bias=True):
    """Return a linear layer with He's start."""
    # skip_init: torch's own initialisation would draw from its global generator.
    return he_start(
        skip_init(nn.Linear, n_in, n_out, bias=bias, dtype=torch.float32), generator
    )


class _SkipsOneRow:
    """A batch of one row has no variance: it is normalised as in inference."""

    def forward(self, x):
        if self.training and len(x) == 1:
            self.eval()
            try:
                return super().forward(x)
            finally:
                self.train()
        return super().forward(x)


class BatchNorm1d(_SkipsOneRow, nn.BatchNorm1d):
    """Batch normalisation of rows, also of a batch of one."""


class BatchNorm2d(_SkipsOneRow, nn.BatchNorm2d):
    """Batch normalisation of images, also of a batch of one."""


class Dropout(nn.Module):
    """Dropout that draws from a generator of its own, not from torch's global one."""

    def __init__(self, p, generator):
        super().__init__()
        self.p = p
        # Drawn once; a generator itself could not be copied or pickled.
        self.seed = int(torch.randint(2**31, (), generator=generator))
        self.step = 0

    def forward(self, x):
        """Zero each element with probability `p` in training."""
        if not self.training or self.p == 0:
            return x
        self.step += 1
        generator = torch.Generator(x.device).manual_seed(self.seed + self.step)
        keep = (
            torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype) >= self.p
        )
        return x * keep / (1 - self.p)
