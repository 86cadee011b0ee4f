"""Base classes of the networks, and the layers that they share."""

from collections.abc import Callable
from contextlib import contextmanager
from itertools import pairwise
from numbers import Integral

import torch
from torch import nn
from torch.nn.functional import linear
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import skip_init

from skvae.components import Component
from skvae.randomness import SeededDraws

# Those of MLPRegressor, and four that are common in generative models.
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    # In place: allocating a new feature map takes longer than computing it.
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(0.2, inplace=True),
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


# Number of columns up to which the weights that read them have the full learning rate.
_FULL_RATE_COLUMNS = 128


class Network(Component):
    """Parameters of a pair of networks; builds the bodies of encoder and decoder.

    A body maps rows with `n_in` columns to `n_out` raw outputs. `image_shape` is (H, W, C)
    of a flat row of the data, channels last, or None; `generator` draws the initial weights.

    Examples
    --------
    >>> import torch
    >>> from skvae.networks import MLP
    >>> encoder = MLP((8,)).build_encoder(4, 6, None, torch.Generator())
    >>> encoder(torch.zeros(10, 4)).shape
    torch.Size([10, 6])
    """

    kind = "network"
    # Rows of a batch, from 1000 rows of data on, if the estimator's `batch_size` is "auto".
    auto_batch_size = 128

    def build_encoder(self, n_in, n_out, image_shape, generator) -> nn.Module:
        """Return a body from rows to the raw parameters of q(z|x)."""
        raise NotImplementedError

    def build_decoder(self, n_in, n_out, image_shape, generator) -> nn.Module:
        """Return a body from codes to the raw parameters of p(x|z)."""
        raise NotImplementedError


def check_sizes(name, sizes):
    """Raise ValueError unless all sizes of layers are positive integers."""
    if any(not isinstance(size, Integral) or size < 1 for size in sizes):
        raise ValueError(f"{name} must be positive integers, got {sizes!r}.")


class Body(nn.Module):
    """A network from flat rows (..., n_in) to flat rows (..., n_out).

    A subclass defines `run`.

    Examples
    --------
    >>> import torch
    >>> from skvae.networks import Body
    >>> class FirstColumns(Body):
    ...     def run(self, x):
    ...         return x[:, :2]
    >>> FirstColumns()(torch.zeros(3, 10, 4)).shape
    torch.Size([3, 10, 2])
    """

    #: Whether the body can be set to an affine map exactly.
    can_be_affine = False

    #: Whether parameters and rows may have leading axes, as (n_models, n_out, n_in), to compute
    #: several models as one. The output may then depend on input and parameters only, and
    #: training repeats its operations without calling its code for every batch.
    can_batch = False

    def forward(self, x):
        """Map rows; leading axes are kept."""
        if self.can_batch:
            return self.run(x)
        rows = x.reshape(-1, x.shape[-1])
        # Not len(rows), which an export would take for a constant.
        with self._inference_norms(rows.shape[0]):
            raw = self.run(rows)
        return raw.reshape(*x.shape[:-1], raw.shape[-1])

    @contextmanager
    def _inference_norms(self, n_rows):
        """Use inference mode of batch norm for a single row, which has no variance."""
        norms = []
        if self.training and n_rows == 1:
            norms = [m for m in self.modules() if isinstance(m, _BatchNorm) and m.training]
        for norm in norms:
            norm.eval()
        try:
            yield
        finally:
            for norm in norms:
                norm.train()

    def run(self, x):
        """Map rows (n, n_in) to (n, n_out); with `can_batch` there may be more axes."""
        raise NotImplementedError

    def train_from_random_start(self):
        """Prepare for a likelihood without a closed form: no start needs to be preserved."""

    def center_output(self, bias, gain=1.0):
        """Centre the raw output of a random start at `bias`; scale its spread by `gain`."""


class Linear(nn.Linear):
    """A linear layer whose parameters can have leading axes, as (n_models, n_out, n_in).

    Attributes
    ----------
    rate_scale : float
        Factor of the learning rate of the weights.
    """

    rate_scale = 1.0

    def forward(self, x, added=None):
        """Return ``x @ weight.T`` plus the bias or, if there is none, plus `added`."""
        weight, bias = self.weight, self.bias
        if weight.ndim == 2 and added is None:
            return linear(x, weight, bias)
        if bias is not None:
            added = bias.unsqueeze(-2)
        if added is not None and x.ndim == weight.ndim:
            # One operation instead of two makes small steps faster.
            if x.ndim == 2:
                return torch.addmm(added, x, weight.mT)
            # Autocast does not reach into the gradients of a function of one's own.
            if torch.is_autocast_enabled(x.device.type):
                return torch.baddbmm(added, x, weight.mT)
            return _LinearOfEach.apply(x, weight, added)
        raw = x @ weight.mT
        return raw if added is None else raw + added


class _LinearOfEach(torch.autograd.Function):
    """The linear layers of several models: rows (n_models, n, n_in), weights (n_models, ...).

    Unlike those of `baddbmm`, its gradients have the layout of the weights and need not be
    copied.
    """

    @staticmethod
    def forward(ctx, x, weight, added):
        ctx.save_for_backward(x, weight)
        ctx.shape = added.shape
        return torch.baddbmm(added, x, weight.mT)

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        of_x = torch.bmm(gradient, weight) if ctx.needs_input_grad[0] else None
        return of_x, torch.bmm(gradient.mT, x), gradient.sum_to_size(ctx.shape)


def rate_scale(n_columns):
    """Return the factor of the learning rate of weights beside a closed-form start.

    Adam changes each weight by the learning rate. Over many similar columns these changes
    add up, and the first steps would destroy a closed-form start.
    """
    return min(1.0, _FULL_RATE_COLUMNS / n_columns)


@torch.no_grad()
def he_layer(kind, n_in, n_out, *sizes, generator, **options):
    """Return a torch layer with He normal weights and zero biases (He et al. 2015)."""
    # skip_init: torch's own initialisation would draw from its global generator.
    layer = skip_init(kind, n_in, n_out, *sizes, dtype=torch.float32, **options)
    fan_in = layer.weight[0].numel()
    if kind is nn.ConvTranspose2d:
        # An output pixel sums only every stride-th weight in either direction.
        height, width = (
            max(1.0, k / s) for k, s in zip(layer.kernel_size, layer.stride, strict=True)
        )
        fan_in = n_in * height * width
    layer.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
    if layer.bias is not None:
        layer.bias.zero_()
    return layer


def dense_layers(sizes, generator, activation, batch_norm=False, dropout=0.0):
    """Return hidden layers; `sizes` are the width of the input and those of the layers."""
    layers = nn.Sequential()
    for n_in, n_out in pairwise(sizes):
        layers.append(he_layer(Linear, n_in, n_out, generator=generator))
        if batch_norm:
            layers.append(nn.BatchNorm1d(n_out, dtype=torch.float32))
        layers.append(ACTIVATIONS[activation]())
        if dropout > 0:
            layers.append(Dropout(dropout, int(torch.randint(2**31, (), generator=generator))))
    return layers


class Dropout(SeededDraws):
    """Zeroes each element with probability `p` in training."""

    def __init__(self, p, seed):
        super().__init__(seed)
        self.p = p

    def forward(self, x):
        """Return the rows with some elements zero and the others scaled up."""
        if not self.training:
            return x
        generator = self.next_generator(x.device)
        draws = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return x * (draws >= self.p) / (1 - self.p)
