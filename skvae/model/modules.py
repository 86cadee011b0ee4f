"""The torch modules of models: encoder and decoder are a network body, then a head."""

import copy

import torch
from torch import nn

from skvae.data.missing import IncompleteRows
from skvae.model.completion import Completion


class Conditional(nn.Module):
    """A conditional distribution: a network body, then a head that returns a distribution.

    Parameters
    ----------
    body : Module
        Maps rows (n, n_in) to raw parameters (n, head.n_raw).
    head : Module
        Maps raw parameters to a ``torch.distributions`` object over whole rows.
    input_transform : Module or None
        Applied to the rows before the body.

    Attributes
    ----------
    training_dtype : torch.dtype or None
        Dtype of the body's matrix products in training; the head's input is float32.
    """

    training_dtype = None

    def __init__(self, body, head, input_transform=None):
        super().__init__()
        self.input_transform = input_transform
        self.body = body
        self.head = head

    def inputs(self, x):
        """Return rows as the body takes them."""
        return x if self.input_transform is None else self.input_transform(x)

    def forward(self, x):
        """Return the distribution given `x`."""
        return self.of_inputs(self.inputs(x))

    def of_inputs(self, x):
        """Return the distribution given inputs of the body."""
        if self.training_dtype is None or not self.training:
            return self.head(self.body(x))
        with torch.autocast(x.device.type, self.training_dtype):
            raw = self.body(x)
        return self.head(raw.float())


class VAE(nn.Module):
    """Encoder q(z|x), decoder p(x|z) and prior p(z) = N(0, I).

    Rows and densities are in model units.

    Parameters
    ----------
    encoder, decoder : Conditional
    completion : Completion, default=None
        Needed for rows with missing values.

    Attributes
    ----------
    n_batch_axes : int
        Leading axes of the parameters: 1 if several models are trained together
        (`batch_modules`), else 0.
    """

    n_batch_axes = 0

    def __init__(self, encoder, decoder, completion=None):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.completion = completion

    @property
    def latent_dim(self):
        """Dimensions of the latent space."""
        return self.encoder.head.latent_dim

    @property
    def can_batch(self):
        """Whether several such modules can be combined by `batch_modules`."""
        return self.encoder.body.can_batch and self.decoder.body.can_batch

    def set_training_dtype(self, dtype):
        """Set the dtype of matrix products in training; None is that of the rows."""
        self.encoder.training_dtype = self.decoder.training_dtype = dtype

    def complete(self, x):
        """Return rows as the other methods take them: as IncompleteRows if some may be."""
        return x if self.completion is None else self.completion(x, self.encoder.inputs(x))

    @torch.no_grad()
    def prepare(self, x):
        """Return rows as trainings keep them, with all that the training does not change.

        Parameters
        ----------
        x : Tensor of shape (..., n, n_features)

        Returns
        -------
        Tensor of shape (..., n, prepared_width)
            Of several models with as many or, for rows without the axis, for each model.
        """
        return x if self.completion is None else self.complete(x).side_by_side()

    @property
    def prepared_width(self):
        """Number of columns that `prepare` returns."""
        head = self.decoder.head
        if self.completion is None:
            return head.n_features
        return head.n_features + head.n_inputs + self.latent_dim**2

    def from_prepared(self, x):
        """Return what `complete` gives for the rows from which `prepare` made these."""
        if self.completion is None:
            return x
        head = self.decoder.head
        return IncompleteRows.from_side_by_side(x, head.n_features, head.n_inputs)

    def posterior(self, x):
        """Return q(z|x)."""
        if not isinstance(x, IncompleteRows):
            return self.encoder(x)
        q = self.encoder.of_inputs(x.inputs)
        return self.encoder.head.widen(q, x.factor, x.is_empty)

    def encode(self, x):
        """Return the q(z|x) that the objectives use."""
        return self.posterior(x)

    def decoded_rows(self, z):
        """Return the means of p(x|z), of categories the most likely, as rows."""
        head = self.decoder.head
        return head.collapse(head.means(self.decoder(z)))

    def prior(self, q):
        """Return p(z) on the device and in the dtype of the posterior `q`."""
        return self.encoder.head.prior(q)


class Autoencoder(VAE):
    """Encoder and decoder without a prior; the encoder can be trained on corrupted rows."""

    def __init__(self, encoder, decoder, corruption=None):
        super().__init__(encoder, decoder)
        self.corruption = corruption

    @property
    def can_batch(self):
        """Whether several can be combined: not with corruptions, as each has its own."""
        return super().can_batch and self.corruption is None

    def encode(self, x):
        """Return the codes of rows, which are corrupted first if there is a corruption."""
        return self.encoder(x if self.corruption is None else self.corruption(x))


@torch.no_grad()
def batch_modules(modules):
    """Return one module with the parameters of several, stacked along a leading axis.

    Small steps spend more time on calls of operations than on arithmetic: training several
    models together takes little more time than training one.
    """
    batched = copy.deepcopy(modules[0])
    for name, parameter in batched.named_parameters():
        parameter.data = torch.stack([module.get_parameter(name) for module in modules])
    batched.n_batch_axes = 1
    return batched


def member_state(module, member):
    """Return a copy of a module's state dictionary; of one model if several are batched."""
    batched = {name for name, _ in module.named_parameters() if module.n_batch_axes}
    return {
        name: (value[member] if name in batched else value).clone()
        for name, value in module.state_dict().items()
    }


@torch.no_grad()
def widest_layer(module, n_features):
    """Return the elements per row of the largest intermediate result.

    The module is left in inference mode.
    """
    module.eval()
    sizes = [n_features]

    def record_size(_, inputs, output):
        if isinstance(output, torch.Tensor):
            sizes.append(output.numel())

    hooks = [part.register_forward_hook(record_size) for part in module.modules()]
    try:
        device = next(module.parameters()).device
        row = torch.zeros(1, n_features, device=device, dtype=torch.float32)
        module.decoder(module.encoder(row).mean)
    finally:
        for hook in hooks:
            hook.remove()
    return max(sizes)


class FittedModule:
    """A trained module in float32 and float64.

    Training is in float32. The float64 copy, for rows in float64, is made when it is first
    needed.

    Parameters
    ----------
    module : VAE
    n_features : int
        Columns of its rows.
    frozen : list of str, default=None
        Names of the parameters that are not trained; by default those without gradient.

    Attributes
    ----------
    width : int
        Elements per row of the widest layer.
    """

    def __init__(self, module, n_features, frozen=None):
        if frozen is None:
            frozen = [name for name, p in module.named_parameters() if not p.requires_grad]
        self.frozen = frozen
        self.module = module.eval().requires_grad_(False)
        self.width = widest_layer(module, n_features)
        self._float64 = None
        self._completions = {}

    def __call__(self, dtype):
        """Return the module in `dtype`, float32 or float64."""
        if dtype == torch.float32:
            return self.module
        if self._float64 is None:
            self._float64 = copy.deepcopy(self.module).double()
        return self._float64

    def complete(self, x):
        """Return the rows of a tensor as the module takes them, if values are missing."""
        if not x.isnan().any():
            return x
        module = self(x.dtype)
        if module.completion is not None:
            return module.complete(x)
        if x.dtype not in self._completions:
            self._completions[x.dtype] = Completion.of_decoder(module)
        return self._completions[x.dtype](x, module.encoder.inputs(x))

    def trainable_copy(self):
        """Return an independent float32 copy that can be trained further."""
        module = copy.deepcopy(self.module).train().requires_grad_(True)
        for name in self.frozen:
            module.get_parameter(name).requires_grad_(False)
        return module
