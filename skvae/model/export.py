"""Encoder and decoder as plain torch modules in the units of the data, for export."""

import copy

import numpy as np
import torch
from torch import nn


class EncoderModule(nn.Module):
    """Maps rows in the units of the data to codes.

    Parameters
    ----------
    model : VAE
        Its encoder is copied.
    units : Units
    likelihood : Likelihood
        Of the rows, which are clipped to its support.
    categories : list or None
        Of each column the list of its categories, in the order of their codes, or None.
    """

    def __init__(self, model, units, likelihood, categories=None):
        super().__init__()
        self.categories = categories
        self.encoder = copy.deepcopy(model.encoder)
        self.to_model, _ = units.modules()
        n_levels = [0 if each is None else len(each) for each in categories or []]
        self.has_categories = any(n_levels)
        # NaN for columns of numbers, with which all comparisons are False.
        n_levels = torch.tensor([n or torch.nan for n in n_levels])
        self.register_buffer("n_levels", n_levels, persistent=False)
        low, high = clipping_bounds(likelihood, units.n_features)
        self.is_bounded = bool(np.isfinite([low, high]).any())
        for name, end in (("low", low), ("high", high)):
            end = torch.as_tensor(end, dtype=torch.float32)
            self.register_buffer(name, end, persistent=False)

    def forward(self, x):
        """Return codes (n, latent_dim) of rows (n, n_features).

        NaN if a value is missing or the code of a category is none.
        """
        missing = x.isnan()
        if self.has_categories:
            # Codes of no category, such as -1 in pandas for a missing one.
            is_code = self.n_levels > 0
            missing = missing | (x >= self.n_levels) | (is_code & ((x < 0) | (x != x.round())))
        missing = missing.any(-1, keepdim=True)
        if self.is_bounded:
            x = x.maximum(self.low).minimum(self.high)
        codes = self.encoder(self.to_model(x)).mean
        # Said here: in some runtimes an activation of NaN is a number.
        return codes.masked_fill(missing, torch.nan)


class DecoderModule(nn.Module):
    """Maps codes to the means of p(x|z) in the units of the data.

    Parameters
    ----------
    model : VAE
        Its decoder is copied.
    units : Units
    categories : list or None
        As in :class:`EncoderModule`.
    """

    def __init__(self, model, units, categories=None):
        super().__init__()
        self.categories = categories
        self.decoder = copy.deepcopy(model.decoder)
        _, to_data = units.modules()
        device = next(model.parameters()).device
        self.to_data = to_data.to(device)
        with torch.inference_mode(False), torch.no_grad():
            # Tables that are computed once; an export would try to compute them.
            self(torch.zeros(1, model.latent_dim, device=device))

    def forward(self, z):
        """Return rows (n, n_features) for codes (n, latent_dim)."""
        z = z.to(next(self.decoder.parameters(), z).dtype)
        head = self.decoder.head
        return self.to_data(head.collapse(head.means(self.decoder(z))))


def clipping_bounds(likelihood, n_features):
    """Return the ends (2, n_features) of the intervals to which new rows are clipped."""
    bounds = np.repeat([[-np.inf], [np.inf]], n_features, axis=1)
    if hasattr(likelihood, "members"):
        for _, part, columns in likelihood.members():
            bounds[:, columns] = clipping_bounds(part, len(columns))
    elif likelihood.can_clip:
        bounds[:] = np.reshape(likelihood.support, (2, 1))
    return bounds
