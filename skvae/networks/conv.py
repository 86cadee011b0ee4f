"""Convolutional networks for flattened images, channels last."""

from itertools import pairwise
from numbers import Integral

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn
from torch.nn.utils import skip_init

from skvae.networks.base import (
    ACTIVATIONS,
    BatchNorm1d,
    BatchNorm2d,
    Body,
    Network,
    Plug,
    he_linear,
    he_start,
)


class ConvNet(Network):
    """Strided convolutions, the decoder mirroring them by transposed convolutions.

    The encoder is the convolutions, each of which divides the sides by `stride`, then
    the dense layers. The decoder is a dense layer to the last feature map, transposed
    convolutions back through the channels, and a last convolution to the image's
    channels. Any height and width is given back exactly.

    Parameters
    ----------
    channels : tuple of int, default=(32, 64)
        Output channels of the encoder's convolutions.
    kernel_size : int, default=3
    stride : int, default=2
    hidden_layer_sizes : tuple of int, default=(16,)
        Dense layers of the encoder after the convolutions.
    batch_norm : bool, default=False
        Whether each hidden layer is batch-normalised before its activation.
    activation : {"identity", "logistic", "tanh", "relu", "leaky_relu", "elu", "gelu", \
"silu"}, default="relu"
        Activation of the hidden layers.

    Examples
    --------
    >>> from skvae import VAETransformer
    >>> from skvae.networks import ConvNet
    >>> VAETransformer(network=ConvNet(channels=(8, 16)), image_shape=(8, 8))
    VAETransformer(image_shape=(8, 8), network=ConvNet(channels=(8, 16)))
    """

    _parameter_constraints = {
        "channels": ["array-like"],
        "kernel_size": [Interval(Integral, 1, None, closed="left")],
        "stride": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like"],
        "batch_norm": ["boolean"],
        "activation": [StrOptions(set(ACTIVATIONS))],
    }

    def __init__(
        self,
        channels=(32, 64),
        kernel_size=3,
        stride=2,
        hidden_layer_sizes=(16,),
        *,
        batch_norm=False,
        activation="relu",
    ):
        self.channels = channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.hidden_layer_sizes = hidden_layer_sizes
        self.batch_norm = batch_norm
        self.activation = activation

    def check(self):
        """Raise ValueError when a hyper-parameter is out of range."""
        super().check()
        for name in ("channels", "hidden_layer_sizes"):
            sizes = getattr(self, name)
            if any(not isinstance(s, Integral) or s < 1 for s in sizes):
                raise ValueError(f"{name} must be positive integers, got {sizes!r}.")
        if len(self.channels) == 0:
            raise ValueError("channels must name at least one layer; for none, use MLP.")
        if self.stride > self.kernel_size:
            raise ValueError(
                f"stride={self.stride} is larger than kernel_size={self.kernel_size}: "
                "pixels would be left out."
            )

    def build_encoder(self, n_in, n_out, image_shape, generator):
        """Return the body from rows to raw posterior parameters."""
        plug = Plug(n_in, n_out, image_shape, generator)
        return ConvEncoder(plug, self, self._sides(plug))

    def build_decoder(self, n_in, n_out, image_shape, generator):
        """Return the body from codes to raw likelihood parameters."""
        plug = Plug(n_in, n_out, image_shape, generator)
        return ConvDecoder(plug, self, self._sides(plug))

    def _sides(self, plug):
        """Return (H, W) before the first and after each convolution."""
        if plug.image_shape is None:
            raise ValueError(
                "ConvNet needs to know the image's shape: set image_shape=(H, W) or (H, W, C)."
            )
        sides = [plug.image_shape[:2]]
        for _ in self.channels:
            sides.append(tuple((s - 1 + self._slack) // self.stride + 1 for s in sides[-1]))
        if min(sides[-1]) < 1:
            raise ValueError(
                f"image_shape={plug.image_shape} is too small for kernel_size="
                f"{self.kernel_size} and {len(self.channels)} layers of stride {self.stride}."
            )
        return sides

    @property
    def _padding(self):
        return (self.kernel_size - 1) // 2

    @property
    def _slack(self):
        # 0 for an odd kernel, -1 for an even one.
        return 2 * self._padding + 1 - self.kernel_size

    def _hidden(self, layer, n_channels, norm):
        """Return a hidden layer with its normalisation and activation."""
        norms = [norm(n_channels)] if self.batch_norm else []
        return nn.Sequential(layer, *norms, ACTIVATIONS[self.activation]())


class ConvEncoder(Body):
    """Convolutions, dense layers and an output layer."""

    def __init__(self, plug, options, sides):
        super().__init__()
        # int: shapes come as NumPy's integers too, which torch refuses here.
        height, width, n_channels = map(int, plug.image_shape)
        self.image = nn.Unflatten(1, (height, width, n_channels))
        self.convolutions = nn.Sequential()
        for n_in, n_out in pairwise((n_channels, *options.channels)):
            layer = skip_init(
                nn.Conv2d,
                n_in,
                n_out,
                options.kernel_size,
                stride=options.stride,
                padding=options._padding,
            )
            he_start(layer, plug.generator)
            self.convolutions.append(options._hidden(layer, n_out, BatchNorm2d))
        last = options.channels[-1] * sides[-1][0] * sides[-1][1]
        sizes = (last, *options.hidden_layer_sizes)
        self.dense = nn.Sequential(
            *(
                options._hidden(he_linear(n_in, n_out, plug.generator), n_out, BatchNorm1d)
                for n_in, n_out in pairwise(sizes)
            )
        )
        self.output = he_linear(sizes[-1], plug.n_out, plug.generator)
        self.to(memory_format=torch.channels_last)

    def run(self, x):
        """Map flat images (n, H * W * C) to (n, n_out)."""
        # The rows' own order is torch's fast one: a view, and no copy between the layers.
        images = self.image(x).permute(0, 3, 1, 2)
        maps = self.convolutions(images).permute(0, 2, 3, 1)
        return self.output(self.dense(maps.flatten(1)))

    @torch.no_grad()
    def start_output(self, bias, gain=1.0):
        """Set the output's bias, the centre of a random start, and scale its spread."""
        self.output.bias.copy_(bias)
        self.output.weight.mul_(gain)


class ConvDecoder(Body):
    """A dense layer, transposed convolutions, and a convolution to the image."""

    def __init__(self, plug, options, sides):
        super().__init__()
        first = tuple(map(int, (*sides[-1], options.channels[-1])))
        n_first = first[0] * first[1] * first[2]
        dense = he_linear(plug.n_in, n_first, plug.generator)
        self.dense = options._hidden(dense, n_first, BatchNorm1d)
        self.feature_map = nn.Unflatten(1, first)
        self.convolutions = nn.Sequential()
        n_in = options.channels[-1]
        steps = zip(sides[:0:-1], sides[-2::-1], options.channels[::-1], strict=True)
        for small, large, n_out in steps:
            layer = _transposed(n_in, n_out, options, small, large)
            he_start_transposed(layer, options.stride, plug.generator)
            self.convolutions.append(options._hidden(layer, n_out, BatchNorm2d))
            n_in = n_out
        # One image of means, and one more for every further parameter of the likelihood.
        self.n_channels = plug.image_shape[2]
        n_pixels = plug.image_shape[0] * plug.image_shape[1]
        if plug.n_out % n_pixels:
            raise ValueError(
                f"The likelihood needs {plug.n_out} raw outputs per row, which is no multiple "
                f"of the {n_pixels} pixels of image_shape={plug.image_shape}."
            )
        output = skip_init(nn.Conv2d, n_in, plug.n_out // n_pixels, 3, padding=1)
        self.output = he_start(output, plug.generator)
        self.to(memory_format=torch.channels_last)

    def run(self, z):
        """Map codes (n, latent_dim) to flat images, one after the other (n, n_out)."""
        maps = self.feature_map(self.dense(z)).permute(0, 3, 1, 2)
        images = self.output(self.convolutions(maps))
        parameters = images.unflatten(1, (-1, self.n_channels))
        return parameters.permute(0, 1, 3, 4, 2).flatten(1)

    @torch.no_grad()
    def start_output(self, bias, gain=1.0):
        """Set the bias to the mean over pixels, as it has one value per channel."""
        parts = bias.reshape(-1, self.n_channels)
        n_parameters = len(self.output.bias) // self.n_channels
        means = parts.reshape(n_parameters, -1, self.n_channels).mean(1)
        self.output.bias.copy_(means.flatten())
        self.output.weight.mul_(gain)


def _transposed(n_in, n_out, options, small, large):
    """Return the transposed convolution from sides `small` to exactly `large`."""
    padding = options._padding
    smallest = [(s - 1) * options.stride - 2 * padding + options.kernel_size for s in small]
    return skip_init(
        nn.ConvTranspose2d,
        n_in,
        n_out,
        options.kernel_size,
        stride=options.stride,
        padding=padding,
        output_padding=tuple(goal - side for goal, side in zip(large, smallest, strict=True)),
    )


@torch.no_grad()
def he_start_transposed(layer, stride, generator):
    """He's start for a transposed convolution.

    Each output pixel sums only every `stride`-th weight in either direction, and torch
    takes the fan-in of the transposed weight from the output channels.
    """
    n_in, _, height, width = layer.weight.shape
    fan_in = n_in * max(1.0, height / stride) * max(1.0, width / stride)
    layer.weight.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
    layer.bias.zero_()
    return layer
