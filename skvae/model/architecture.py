"""The parameters of a model, and the construction and initialisation of its module."""

from dataclasses import dataclass, field, fields

import torch

from skvae.components import same_parameters
from skvae.likelihoods import Likelihood
from skvae.model.completion import Completion
from skvae.model.corruption import CORRUPTIONS
from skvae.model.modules import VAE, Autoencoder, Conditional
from skvae.networks import Network
from skvae.posteriors import PointHead, Posterior


@dataclass(frozen=True)
class Architecture:
    """The parameters that define a module, independent of the training rows.

    Parameters
    ----------
    latent_dim : int
    image_shape : tuple of int or None
        (H, W, C) of a row, if the rows are flattened images.
    network : Network
    likelihood : Likelihood
        With those parameters set that depend on the data.
    posterior : Posterior or None
        None builds an autoencoder, whose codes have no distribution.
    noise : float, default=0.0
        Strength of the corruption of the rows in training; for autoencoders only.
    corruption : str, default="gaussian"
        Kind of corruption.
    has_missing : bool, default=False
        Whether the module is trained on rows with missing values.
    requested_likelihood : Likelihood, default=None
        The likelihood as the caller gave it, which a model that continues must not change.
    """

    latent_dim: int
    image_shape: tuple[int, int, int] | None
    network: Network
    likelihood: Likelihood = field(compare=False)
    posterior: Posterior | None = None
    noise: float = field(default=0.0, compare=False)
    corruption: str = field(default="gaussian", compare=False)
    has_missing: bool = field(default=False, compare=False)
    requested_likelihood: Likelihood | None = None

    def check_unchanged(self, present):
        """Raise ValueError if a parameter differs from that of the fitted model."""
        for name in (part.name for part in fields(self) if part.compare):
            before, now = getattr(self, name), getattr(present, name)
            if not same_parameters(before, now):
                name = name.removeprefix("requested_")
                raise ValueError(
                    f"The model was fitted with {name}={before!r}; with {name}={now!r} it "
                    "cannot be continued. Call fit with warm_start=False."
                )

    def to_dict(self):
        """Return the fields by name."""
        return {part.name: getattr(self, part.name) for part in fields(self)}

    def build(self, units, generator):
        """Return a module with random weights.

        Parameters
        ----------
        units : Units
            Units of the data; they also define the number of features.
        generator : torch.Generator
            Draws the weights.

        Returns
        -------
        VAE
        """
        network, likelihood = self.network, self.likelihood
        if self.posterior is None:
            encoder_head = PointHead(self.latent_dim)
        else:
            encoder_head = self.posterior.head(self.latent_dim)
        head = likelihood.head(units)
        n_inputs = likelihood.n_inputs(units.n_features)
        encoder = network.build_encoder(
            n_inputs, encoder_head.n_raw, self.image_shape, generator
        )
        decoder = network.build_decoder(
            self.latent_dim, head.n_raw, self.image_shape, generator
        )
        if not likelihood.has_closed_form:
            for body in (encoder, decoder):
                body.train_from_random_start()
        parts = (
            Conditional(encoder, encoder_head, likelihood.input_transform()),
            Conditional(decoder, head),
        )
        if self.posterior is not None:
            completion = Completion(n_inputs, self.latent_dim) if self.has_missing else None
            return VAE(*parts, completion)
        seed = int(torch.randint(2**31, (), generator=generator))
        return Autoencoder(*parts, self.build_corruption(units, seed))

    def build_corruption(self, units, seed):
        """Return the module that corrupts rows in training, or None without noise."""
        if self.noise == 0:
            return None
        if not self.likelihood.can_corrupt:
            raise ValueError(
                f"noise={self.noise} cannot be added to rows of the "
                f"{type(self.likelihood).__name__} likelihood, which may be codes of "
                "categories: use noise=0."
            )
        return CORRUPTIONS[self.corruption](self.noise, units, self.likelihood.support, seed)


@torch.no_grad()
def initialize(module, likelihood, rows, units, closed_form=True):
    """Initialise a module: output centred at the rows' mean or, if possible, closed form.

    Parameters
    ----------
    module : VAE
        With random weights.
    likelihood : Likelihood
    rows : Tensor or StreamedRows of shape (n, n_features)
        Training rows in model units.
    units : Units
    closed_form : bool, default=True
        Whether to start at the likelihood's linear-Gaussian model, if it has one and the
        networks contain a linear map.
    """
    head = module.decoder.head
    centre = likelihood.start(head, rows)
    module.decoder.body.center_output(centre, likelihood.start_gain)
    bodies = (module.encoder.body, module.decoder.body)
    starts_linear = (
        closed_form
        and likelihood.has_closed_form
        and all(body.can_be_affine for body in bodies)
    )
    solution = None
    if module.completion is not None:
        solution = likelihood.model_of_observed(rows, module.latent_dim, units)
        module.completion.set_model(solution, is_aligned=starts_linear)
    elif starts_linear:
        solution = likelihood.closed_form(rows, module.latent_dim, units)
    if starts_linear:
        outputs = (
            module.encoder.head.closed_form_output(solution),
            head.closed_form_output(solution, centre),
        )
        for body, output in zip(bodies, outputs, strict=True):
            body.set_affine(*output)
