"""The user's own torch modules as networks."""

import copy
import inspect
import threading
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from skvae.networks.base import Body, Network, Plug

# torch's global generator belongs to all threads of a process.
_GLOBAL_GENERATOR = threading.RLock()

# Whom the raw outputs serve.
_CODES = "latent_dim for an autoencoder, of a VAE what its posterior takes"
_ROWS = "what the likelihood takes"


class ModuleNetwork(Network):
    """Encoder and decoder from the user's own torch modules.

    Parameters
    ----------
    encoder, decoder : Module or callable
        A module from flat rows ``(n, n_in)`` to flat rows ``(n, n_out)``, which is copied
        and never changed, or a callable ``(n_in, n_out) -> Module``. The encoder's
        ``n_out`` is what the posterior needs (2 * latent_dim for "diagonal"); the decoder's is
        what the likelihood needs (n_features for most). Images come as flat rows, channels
        last: begin with ``nn.Unflatten`` and end with ``nn.Flatten``.

    Notes
    -----
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
        """Raise TypeError when a part is neither a module nor makes one."""
        for name in ("encoder", "decoder"):
            if not callable(getattr(self, name)):
                raise TypeError(
                    f"ModuleNetwork's {name} must be a torch.nn.Module or a callable "
                    f"(n_in, n_out) -> Module. Got {getattr(self, name)!r} instead."
                )

    def build_encoder(self, n_in, n_out, image_shape, generator):
        """Return the body from rows to raw posterior parameters."""
        plug = Plug(n_in, n_out, image_shape, generator)
        return ModuleBody(self.encoder, plug, "encoder", _CODES)

    def build_decoder(self, n_in, n_out, image_shape, generator):
        """Return the body from codes to raw likelihood parameters."""
        plug = Plug(n_in, n_out, image_shape, generator)
        return ModuleBody(self.decoder, plug, "decoder", _ROWS)


class ModuleBody(Body):
    """A copy of the user's module, tried on two rows before it is trained."""

    def __init__(self, part, plug, name, wanted_by):
        super().__init__()
        # Factories draw under it, and layers that are initialised by their first rows.
        seed = int(torch.randint(2**31, (), generator=plug.generator))
        if isinstance(part, nn.Module):
            self.module = copy.deepcopy(part)
        else:
            self.module = _made(part, plug, name, seed)
        if not isinstance(self.module, nn.Module):
            raise TypeError(f"ModuleNetwork's {name} gave {self.module!r}, not a Module.")
        self.module.float()
        self._try(plug, name, wanted_by, seed)

    def run(self, x):
        """Map rows (n, n_in) to (n, n_out)."""
        if not self.training or len(x) > 1:
            return self.module(x)
        # One row has no variance: it is normalised as in inference.
        norms = [m for m in self.module.modules() if isinstance(m, _BatchNorm) and m.training]
        for norm in norms:
            norm.eval()
        try:
            return self.module(x)
        finally:
            for norm in norms:
                norm.train()

    @torch.no_grad()
    def _try(self, plug, name, wanted_by, seed):
        parameters = list(self.module.parameters())
        device = parameters[0].device if parameters else torch.device("cpu")
        try:
            with _own_draws(seed):
                raw = self.module.eval()(torch.zeros(2, plug.n_in, device=device))
        except RuntimeError as error:
            raise ValueError(
                f"ModuleNetwork's {name} does not take rows of width {plug.n_in}: {error}"
            ) from error
        if not isinstance(raw, torch.Tensor):
            raise TypeError(
                f"ModuleNetwork's {name} gave a {type(raw).__name__}, not one tensor of width "
                f"{plug.n_out}: {wanted_by}."
            )
        shape = tuple(raw.shape)
        if shape != (2, plug.n_out):
            raise ValueError(
                f"ModuleNetwork's {name} maps rows of width {plug.n_in} to shape "
                f"(n, {', '.join(map(str, shape[1:]))}), but must give width {plug.n_out}: "
                f"{wanted_by}."
            )


def _made(factory, plug, name, seed):
    """Call the user's factory under a seed."""
    try:
        inspect.signature(factory).bind(plug.n_in, plug.n_out)
    except TypeError as error:
        raise TypeError(
            f"ModuleNetwork's {name} must be a torch.nn.Module or a callable "
            f"(n_in, n_out) -> Module, but {factory!r} cannot be called so: {error}."
        ) from error
    except ValueError:
        # Written in C, some do not tell their signature.
        pass
    with _own_draws(seed):
        return factory(plug.n_in, plug.n_out)


@contextmanager
def _own_draws(seed):
    """Seed torch's global generator and put it back after the body, in turn with others."""
    with _GLOBAL_GENERATOR, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
