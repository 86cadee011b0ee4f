"""The torch modules: a body, then a head, is a conditional distribution."""

import copy

import torch
from torch import nn


class Conditional(nn.Module):
    """A conditional distribution: a body that computes, a head that interprets.

    Parameters
    ----------
    body : Module
        Maps rows (n, n_in) to raw parameters (n, head.n_raw).
    head : Module
        Maps raw parameters to a ``torch.distributions`` object over whole rows.
    lens : Module or None
        Maps rows to what the body sees of them.

    Attributes
    ----------
    training_dtype : torch.dtype or None
        Dtype of the body's products in training; the head always sees float32.
    """

    training_dtype = None

    def __init__(self, body, head, lens=None):
        super().__init__()
        self.lens = lens
        self.body = body
        self.head = head

    def forward(self, x):
        """Return the distribution given `x`."""
        seen = x if self.lens is None else self.lens(x)
        if self.training_dtype is None or not self.training:
            return self.head(self.body(seen))
        with torch.autocast(x.device.type, self.training_dtype):
            raw = self.body(seen)
        return self.head(raw.float())


class VAE(nn.Module):
    """Encoder q(z|x), decoder p(x|z) and prior p(z) = N(0, I).

    Rows and densities are in model units.
    """

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    @property
    def latent_dim(self):
        """Dimensions of the latent space."""
        return self.encoder.head.latent_dim

    @property
    def stackable(self):
        """Whether several are trained faster as a :class:`skvae.model.stack.Stack`."""
        return self.encoder.body.can_batch and self.decoder.body.can_batch

    def train_in(self, dtype):
        """Set the dtype of the bodies' products in training, None for that of the rows."""
        self.encoder.training_dtype = self.decoder.training_dtype = dtype

    def encode(self, x):
        """Return q(z|x) as the objective sees it."""
        return self.encoder(x)

    def prior(self, q):
        """Return p(z) on the device and in the dtype of the posterior `q`."""
        return self.encoder.head.prior(q)


class Autoencoder(VAE):
    """Encoder and decoder alone; the encoder is trained on corrupted rows."""

    def __init__(self, encoder, decoder, corruption=None):
        super().__init__(encoder, decoder)
        self.corruption = corruption

    @property
    def stackable(self):
        """Whether several are trained faster as a stack; fresh noise cannot be."""
        return super().stackable and self.corruption is None

    def encode(self, x):
        """Return the codes of rows that were corrupted first."""
        return self.encoder(x if self.corruption is None else self.corruption(x))


def build_vae(network, likelihood, posterior, rows, units, latent_dim, image_shape, generator):
    """Build a VAE from its parameter objects, at its random start.

    Parameters
    ----------
    network, likelihood, posterior : Component
    rows : Tensor or StreamedRows of shape (n, n_features)
        Training rows in model units; the output's bias starts at their mean.
    units : Units
    latent_dim : int
    image_shape : tuple of int or None
        (H, W, C) of a row, where the rows are flattened images.
    generator : torch.Generator
        Source of the initial weights.

    Returns
    -------
    VAE
    """
    encoder_head = posterior.head(latent_dim)
    decoder_head = likelihood.head(units)
    width = rows.shape[1]
    encoder = network.build_encoder(width, encoder_head.n_raw, image_shape, generator)
    decoder = network.build_decoder(latent_dim, decoder_head.n_raw, image_shape, generator)
    with torch.no_grad():
        start = likelihood.start(decoder_head, rows)
    decoder.start_output(start, likelihood.start_gain)
    return VAE(
        Conditional(encoder, encoder_head, likelihood.input_transform()),
        Conditional(decoder, decoder_head),
    )


def can_start_affine(vae):
    """Whether both bodies can be set to affine maps."""
    return vae.encoder.body.can_start_affine and vae.decoder.body.can_start_affine


@torch.no_grad()
def start_affine(vae, solution):
    """Set a VAE to a closed-form linear-Gaussian model, where there is one."""
    if solution is None:
        return
    for part in (vae.encoder, vae.decoder):
        part.body.start_affine(*part.head.affine_start(solution))


@torch.no_grad()
def widest_layer(module, n_features):
    """Return the elements per row of the largest intermediate result.

    The module is left in inference mode.
    """
    module.eval()
    sizes = [n_features]

    def note(_, inputs, output):
        if isinstance(output, torch.Tensor):
            sizes.append(output.numel())

    hooks = [part.register_forward_hook(note) for part in module.modules()]
    try:
        device = next(module.parameters()).device
        row = torch.zeros(1, n_features, device=device, dtype=torch.float32)
        module.decoder(module.encoder(row).mean)
    finally:
        for hook in hooks:
            hook.remove()
    return max(sizes)


class Fitted:
    """A trained module in each precision it is asked for.

    Training is in float32. A float64 copy is made at the first request, so that float64
    rows are computed in float64; it is left out of pickles.
    """

    def __init__(self, module):
        # What the user has frozen stays so when training continues.
        self._frozen = [n for n, p in module.named_parameters() if not p.requires_grad]
        self.module = module.eval().requires_grad_(False)
        self._float64 = None

    def __call__(self, dtype):
        """Return the module in `dtype`, float32 or float64."""
        if dtype == torch.float32:
            return self.module
        if self._float64 is None:
            self._float64 = copy.deepcopy(self.module).double()
        return self._float64

    def trainable_copy(self):
        """Return an independent float32 copy that can be trained further."""
        module = copy.deepcopy(self.module).train().requires_grad_(True)
        for name in self._frozen:
            module.get_parameter(name).requires_grad_(False)
        return module

    def __getstate__(self):
        # Tensors of a device would not load where that device is missing.
        on_cpu = all(p.device.type == "cpu" for p in self.module.parameters())
        module = self.module if on_cpu else copy.deepcopy(self.module).cpu()
        return {"module": module, "_frozen": self._frozen, "_float64": None}
