"""Convolutional networks for flattened images, channels last."""

import math
from itertools import pairwise
from numbers import Integral

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

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

# Factor of the learning rate beside a closed-form start. At the full rate dense layers and
# feature maps learn a few thousand rows by heart before the refinement has learned anything.
_BESIDE_RATE = 0.25


class ConvNet(Network):
    """Strided convolutions, mirrored in the decoder by transposed convolutions.

    The encoder has convolutions, each of which divides the sides by `stride`, and dense
    layers; the decoder a dense layer to the last feature map, transposed convolutions with
    the channels in reverse, and a last convolution to the image's channels. Images of any
    height and width keep their size: each side is padded by ``(kernel_size - 1) // 2``. All
    layers have the same kernel and stride; for others, use :class:`ModuleNetwork`.

    Parameters
    ----------
    channels : tuple of int, default=(32, 64)
        Output channels of the encoder's convolutions.
    kernel_size : int, default=3
    stride : int, default=2
    hidden_layer_sizes : tuple of int, default=(16,)
        Dense layers of the encoder after the convolutions.
    linear_map : bool, default=True
        Whether a linear map from input to output is added to the convolutions, and in the
        decoder two more convolutions that refine the image. The closed-form start needs
        it; without it the start is random.
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

    auto_batch_size = 64  # Lower losses than larger ones, which take as long.
    _parameter_constraints = {
        "channels": ["array-like"],
        "kernel_size": [Interval(Integral, 1, None, closed="left")],
        "stride": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like"],
        "linear_map": ["boolean"],
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
        linear_map=True,
        batch_norm=False,
        activation="relu",
    ):
        self.channels = channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.hidden_layer_sizes = hidden_layer_sizes
        self.linear_map = linear_map
        self.batch_norm = batch_norm
        self.activation = activation

    def check(self):
        """Raise ValueError when a hyper-parameter is out of range."""
        super().check()
        check_sizes("channels", self.channels)
        check_sizes("hidden_layer_sizes", self.hidden_layer_sizes)
        if len(self.channels) == 0:
            raise ValueError("channels must have at least one layer; for none, use MLP.")
        if self.stride > self.kernel_size:
            raise ValueError(
                f"stride={self.stride} is larger than kernel_size={self.kernel_size}: "
                "pixels would be skipped."
            )

    def build_encoder(self, n_in, n_out, image_shape, generator):
        """Return the body from rows to raw posterior parameters."""
        return ConvEncoder(n_out, image_shape, self._sides(image_shape), generator, self)

    def build_decoder(self, n_in, n_out, image_shape, generator):
        """Return the body from codes to raw likelihood parameters."""
        sides = self._sides(image_shape)
        return ConvDecoder(n_in, n_out, image_shape, sides, generator, self)

    def _sides(self, image_shape):
        """Return (H, W) before the first and after each convolution."""
        if image_shape is None:
            raise ValueError(
                "ConvNet needs the shape of the images: set image_shape=(H, W) or (H, W, C)."
            )
        # 0 for an odd kernel, -1 for an even one.
        slack = 2 * self._padding + 1 - self.kernel_size
        sides = [image_shape[:2]]
        for _ in self.channels:
            sides.append(tuple((s - 1 + slack) // self.stride + 1 for s in sides[-1]))
        if min(sides[-1]) < 1:
            raise ValueError(
                f"image_shape={image_shape} is too small for kernel_size="
                f"{self.kernel_size} and {len(self.channels)} layers of stride {self.stride}."
            )
        return sides

    @property
    def _padding(self):
        return (self.kernel_size - 1) // 2

    def _layer(self, kind, n_in, n_out, generator, **options):
        """Return a hidden layer of convolutions, normalised and activated."""
        options |= {"stride": self.stride, "padding": self._padding}
        layer = he_layer(kind, n_in, n_out, self.kernel_size, generator=generator, **options)
        norms = [nn.BatchNorm2d(n_out, dtype=torch.float32)] if self.batch_norm else []
        return nn.Sequential(layer, *norms, ACTIVATIONS[self.activation]())

    def _dense(self, sizes, generator):
        return dense_layers(sizes, generator, self.activation, self.batch_norm)

    def _linear_map(self, n_in, n_out, generator):
        """Return the map beside the convolutions, or None. It is zero without a closed form."""
        if not self.linear_map:
            return None
        layer = _zeroed(he_layer(Linear, n_in, n_out, generator=generator))
        layer.rate_scale = rate_scale(n_in)
        return layer


class ConvBody(Body):
    """Convolutions, with an optional linear map beside them.

    Attributes
    ----------
    output : Module
        Last layer of the convolutions' path. With a linear map it has no bias.
    linear_map : Linear or None
        From flat rows to flat rows. Its bias has one value per output, where that of a
        convolution has one per channel.
    """

    convolutions: nn.Sequential
    dense: nn.Sequential
    output: nn.Module
    linear_map: Linear | None

    def finish(self):
        """Set the memory layout, and the rates of the layers beside a linear map."""
        self.to(memory_format=torch.channels_last)
        if self.linear_map is not None:
            for layer in (*self.convolutions.modules(), *self.dense.modules()):
                layer.rate_scale = _BESIDE_RATE

    def train_from_random_start(self):
        """Train all layers at the full rate."""
        for layer in self.modules():
            if hasattr(layer, "rate_scale"):
                layer.rate_scale = 1.0

    @property
    def can_be_affine(self):
        """Whether the body can be set to an affine map exactly."""
        return self.linear_map is not None

    @torch.no_grad()
    def set_affine(self, weight, bias):
        """Make a body at its start the affine map ``x -> weight x + bias``.

        The convolutions keep their random weights, but the last layer is zero: they have
        no effect yet, and a gradient from the second step on.
        """
        self.output.weight.zero_()
        self.linear_map.weight.copy_(weight)
        self.linear_map.bias.copy_(bias)

    @torch.no_grad()
    def center_output(self, bias, gain=1.0):
        """Centre the raw output of a random start at `bias`; scale its spread by `gain`."""
        if self.linear_map is None:
            self.output.bias.copy_(self.shared_bias(bias))
        else:
            self.linear_map.bias.copy_(bias)
        self.output.weight.mul_(gain)

    def shared_bias(self, bias):
        """Return the bias of `output` for this bias of the flat rows."""
        return bias


class ConvEncoder(ConvBody):
    """Convolutions, dense layers and an output layer."""

    def __init__(self, n_out, image_shape, sides, generator, options):
        super().__init__()
        # int: shapes may be NumPy integers, which torch does not accept here.
        height, width, n_channels = map(int, image_shape)
        self.image = nn.Unflatten(1, (height, width, n_channels))
        self.convolutions = nn.Sequential(
            *(
                options._layer(nn.Conv2d, *channels, generator)
                for channels in pairwise((n_channels, *options.channels))
            )
        )
        n_last = options.channels[-1] * sides[-1][0] * sides[-1][1]
        sizes = (n_last, *options.hidden_layer_sizes)
        self.dense = options._dense(sizes, generator)
        bias = not options.linear_map
        self.output = he_layer(Linear, sizes[-1], n_out, generator=generator, bias=bias)
        self.linear_map = options._linear_map(height * width * n_channels, n_out, generator)
        if self.linear_map is not None:
            self.linear_map.rate_scale *= _BESIDE_RATE
        self.finish()

    def run(self, x):
        """Map flat images (n, H * W * C) to (n, n_out)."""
        # Channels last is the fast layout of torch, so this view needs no copies.
        images = self.image(x).permute(0, 3, 1, 2)
        maps = self.convolutions(images).permute(0, 2, 3, 1)
        raw = self.output(self.dense(maps.flatten(1)))
        return raw if self.linear_map is None else raw + self.linear_map(x)


class ConvDecoder(ConvBody):
    """A dense layer, transposed convolutions, and a convolution to the image.

    With a linear map two convolutions refine the image, the sum of both paths. They see the
    same at every pixel and so learn from few images, for example how sharp an edge is.
    """

    def __init__(self, n_in, n_out, image_shape, sides, generator, options):
        super().__init__()
        # One image for each parameter of the likelihood, the means first.
        height, width, n_channels = map(int, image_shape)
        if n_out % (height * width):
            raise ValueError(
                f"The likelihood needs {n_out} raw outputs per row, which is no multiple "
                f"of the {height * width} pixels of image_shape={image_shape}."
            )
        channels = options.channels[::-1]
        first = tuple(map(int, (*sides[-1], channels[0])))
        self.dense = options._dense((n_in, math.prod(first)), generator)
        self.feature_map = nn.Unflatten(1, first)
        self.convolutions = nn.Sequential()
        widths = pairwise((channels[0], *channels))
        for small, large, pair in zip(sides[:0:-1], sides[-2::-1], widths, strict=True):
            padding = _output_padding(small, large, options)
            layer = options._layer(nn.ConvTranspose2d, *pair, generator, output_padding=padding)
            self.convolutions.append(layer)
        self.n_channels, n_maps = n_channels, n_out // (height * width)
        bias = not options.linear_map
        self.output = _same_size(channels[-1], n_maps, generator, bias=bias)
        self.image = nn.Unflatten(1, (-1, height, width, n_channels))
        self.linear_map = options._linear_map(n_in, n_out, generator)
        self.refinement = None
        if options.linear_map:
            self.refinement = nn.Sequential(
                _same_size(n_maps, channels[-1], generator),
                ACTIVATIONS[options.activation](),
                _zeroed(_same_size(channels[-1], n_maps, generator, bias=False)),
            )
        self.finish()

    def run(self, z):
        """Map codes (n, latent_dim) to concatenated flat images (n, n_out)."""
        maps = self.feature_map(self.dense(z)).permute(0, 3, 1, 2)
        images = self.output(self.convolutions(maps))
        if self.linear_map is not None:
            linear = self.image(self.linear_map(z)).permute(0, 1, 4, 2, 3)
            images = images + linear.flatten(1, 2)
            images = images + self.refinement(images)
        parameters = images.unflatten(1, (-1, self.n_channels))
        return parameters.permute(0, 1, 3, 4, 2).flatten(1)

    def shared_bias(self, bias):
        """Return the mean over pixels, as `output` has one bias per channel."""
        pixels = bias.reshape(len(self.output.bias) // self.n_channels, -1, self.n_channels)
        return pixels.mean(1).flatten()


def _same_size(n_in, n_out, generator, **options):
    """Return a convolution of 3 by 3 pixels to images of the same size."""
    return he_layer(nn.Conv2d, n_in, n_out, 3, padding=1, generator=generator, **options)


@torch.no_grad()
def _zeroed(layer):
    """Return a layer with its weights set to zero."""
    layer.weight.zero_()
    return layer


def _output_padding(small, large, options):
    """Return the padding with which a transposed convolution maps `small` to `large` sides."""
    lost = 2 * options._padding - options.kernel_size
    return tuple(b - (a - 1) * options.stride + lost for a, b in zip(small, large, strict=True))
