"""Corruptions of the rows that a denoising autoencoder is trained to undo."""

import numpy as np
import torch

from skvae.randomness import SeededDraws

# The square of the noise, in model units, must not overflow float32.
_MOST_NOISE = 1e9


class Corruption(SeededDraws):
    """Corrupts rows: in training with new draws at each call, else always with the same.

    Held-out rows are thus compared under the same corruption after each epoch.

    Parameters
    ----------
    noise : float
    units : Units
        Units of the rows.
    support : tuple of float
        Smallest and largest value of the data.
    seed : int
    """

    def __init__(self, noise, units, support, seed):
        super().__init__(seed)
        self.noise = noise
        self.support = support
        scale = torch.as_tensor(noise / units.scale, dtype=torch.float32)
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, x):
        """Return the corrupted rows."""
        return self.corrupt(x, self.next_generator(x.device))

    def corrupt(self, x, generator):
        """Return corrupted rows."""
        raise NotImplementedError


class GaussianCorruption(Corruption):
    """Adds normal noise and clips to the support of the likelihood."""

    def __init__(self, noise, units, support, seed):
        relative = noise / units.scale
        worst = int(np.argmax(relative))
        if relative[worst] > _MOST_NOISE:
            raise ValueError(
                f"noise={noise} is a standard deviation in the units of the data, and "
                f"{relative[worst]:.1e} times that of feature {worst} of X, which would be "
                "lost in it. Choose less noise, or scale X."
            )
        super().__init__(noise, units, support, seed)

    def corrupt(self, x, generator):
        """Return rows with normal noise added."""
        draws = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return (x + self.scale * draws).clamp(*self.support)


class MaskingCorruption(Corruption):
    """Sets a random fraction of the values to zero."""

    def __init__(self, noise, units, support, seed):
        if noise >= 1:
            raise ValueError(
                f"noise={noise} masks every value: with corruption='masking' it must be "
                "below 1."
            )
        super().__init__(noise, units, support, seed)

    def corrupt(self, x, generator):
        """Return rows with some values set to zero."""
        draws = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return x * (draws >= self.noise)


CORRUPTIONS = {"gaussian": GaussianCorruption, "masking": MaskingCorruption}
