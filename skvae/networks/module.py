"""The user's own torch modules as networks."""

import copy
import inspect
import warnings

import torch
from torch import nn

from skvae.callers import stacklevel_of_user
from skvae.networks.base import Body, Network
from skvae.randomness import seed_torch

# What the width of the raw outputs is, for error messages.
_ENCODER_N_OUT = "latent_dim for an autoencoder, for a VAE the number of posterior parameters"
_DECODER_N_OUT = "the number of likelihood parameters"
# Steps of a graph of gradients: those that bound all outputs, and those that only move them.
_BOUNDING = {"SigmoidBackward0": "a sigmoid", "SoftmaxBackward0": "a softmax"}
_MOVING = ("View", "UnsafeView", "ReshapeAlias", "Permute", "Transpose", "Clone")


class ModuleNetwork(Network):
    """Encoder and decoder from the user's own torch modules.

    Parameters
    ----------
    encoder, decoder : Module or callable
        A module from flat rows ``(n, n_in)`` to flat rows ``(n, n_out)``, which is copied
        and not changed, or a callable ``(n_in, n_out) -> Module``. The encoder's ``n_out``
        is the number of posterior parameters (2 * latent_dim for "diagonal"), the decoder's
        that of likelihood parameters (n_features for most). Images are flat rows, channels
        last: begin with ``nn.Unflatten`` and end with ``nn.Flatten``.

    Notes
    -----
    The encoder's output is first all means, then the logarithms of all standard deviations,
    half of log-variances. The decoder's is raw: logits for "bernoulli", so without a final
    ``nn.Sigmoid``, log-rates for "poisson", means in model units for "gaussian".

    A callable is called under a seed from the estimator's `random_state`. Layers that draw in
    training, such as ``nn.Dropout``, draw from torch's global generator.

    Examples
    --------
    >>> from torch import nn
    >>> from skvae import VAETransformer
    >>> from skvae.networks import ModuleNetwork
    >>> def net(n_in, n_out):
    ...     return nn.Sequential(nn.Linear(n_in, 8), nn.Tanh(), nn.Linear(8, n_out))
    >>> vae = VAETransformer(network=ModuleNetwork(encoder=net, decoder=net))
    """

    def __init__(self, encoder, decoder):
        self.encoder = encoder
        self.decoder = decoder

    def check(self):
        """Raise TypeError if encoder or decoder is neither a module nor a callable."""
        for name in ("encoder", "decoder"):
            if not callable(getattr(self, name)):
                raise TypeError(
                    f"ModuleNetwork's {name} must be a torch.nn.Module or a callable "
                    f"(n_in, n_out) -> Module. Got {getattr(self, name)!r} instead."
                )

    def build_encoder(self, n_in, n_out, image_shape, generator):
        """Return the body from rows to raw posterior parameters."""
        return ModuleBody(self.encoder, n_in, n_out, generator, "encoder", _ENCODER_N_OUT)

    def build_decoder(self, n_in, n_out, image_shape, generator):
        """Return the body from codes to raw likelihood parameters."""
        return ModuleBody(self.decoder, n_in, n_out, generator, "decoder", _DECODER_N_OUT)


class ModuleBody(Body):
    """A copy of the user's module, tested on two rows before it is trained."""

    def __init__(self, part, n_in, n_out, generator, name, n_out_is):
        super().__init__()
        # For callables that draw weights, and for layers that do so at their first rows.
        seed = int(torch.randint(2**31, (), generator=generator))
        with seed_torch(seed):
            if isinstance(part, nn.Module):
                self.module = copy.deepcopy(part)
            else:
                self.module = _call_factory(part, n_in, n_out, name)
        if not isinstance(self.module, nn.Module):
            raise TypeError(f"ModuleNetwork's {name} returned {self.module!r}, not a Module.")
        self.module.float()
        with seed_torch(seed), torch.no_grad():
            rows = self._check_output(n_in, n_out, name, n_out_is)
        if name == "decoder":
            with seed_torch(seed):
                _warn_of_bounded(self.module, rows)

    def run(self, x):
        """Map rows (n, n_in) to (n, n_out)."""
        return self.module(x)

    def _check_output(self, n_in, n_out, name, n_out_is):
        """Return two rows that are mapped to raw outputs, or raise ValueError or TypeError."""
        parameters = list(self.module.parameters())
        device = parameters[0].device if parameters else torch.device("cpu")
        rows = torch.zeros(2, n_in, device=device, dtype=torch.float32)
        try:
            raw = self.module.eval()(rows)
        except RuntimeError as error:
            raise ValueError(
                f"ModuleNetwork's {name} does not accept rows of width {n_in}: {error}"
            ) from error
        if not isinstance(raw, torch.Tensor):
            raise TypeError(
                f"ModuleNetwork's {name} returned a {type(raw).__name__}, not one tensor of "
                f"width {n_out}: {n_out_is}."
            )
        shape = tuple(raw.shape)
        if shape != (2, n_out):
            raise ValueError(
                f"ModuleNetwork's {name} maps rows of width {n_in} to shape "
                f"(n, {', '.join(map(str, shape[1:]))}), but must give width {n_out}: "
                f"{n_out_is}."
            )
        return rows


def _warn_of_bounded(module, rows):
    """Warn if a decoder's raw outputs are those of a sigmoid or softmax, whatever its layers.

    A stored model is rebuilt without gradients, and not warned of again.
    """
    # Of a copy: some layers, such as `weight_norm`, keep the graph and then cannot be copied.
    step = copy.deepcopy(module)(rows).grad_fn
    while step is not None and step.name().startswith(_MOVING):
        step = step.next_functions[0][0]
    bound = None if step is None else _BOUNDING.get(step.name())
    if bound is not None:
        warnings.warn(
            f"ModuleNetwork's decoder ends in {bound}, so that its outputs are between 0 and "
            "1. A likelihood takes raw outputs, such as logits, and applies it itself: leave "
            "it out.",
            UserWarning,
            stacklevel=stacklevel_of_user(),
        )


def _call_factory(factory, n_in, n_out, name):
    """Return the result of the user's callable."""
    try:
        inspect.signature(factory).bind(n_in, n_out)
    except TypeError as error:
        raise TypeError(
            f"ModuleNetwork's {name} must be a torch.nn.Module or a callable "
            f"(n_in, n_out) -> Module, but {factory!r} cannot be called like this: {error}."
        ) from error
    except ValueError:
        # Some functions written in C have no signature.
        pass
    return factory(n_in, n_out)
