"""What an encoder is given in place of missing values."""

import torch
from torch import nn

from skvae.data.missing import IncompleteRows
from skvae.likelihoods.factor_analysis import LinearGaussian
from skvae.model.objectives import quasi_random_normal

# Draws from which the linear-Gaussian model of a decoder is computed.
_N_DRAWS = 1024
_BLOCK_ROWS = 128


class Completion(nn.Module):
    """Fills missing values by their conditional mean in a linear-Gaussian model.

    A linear encoder of rows completed in this way gives exactly the posterior mean of the codes
    given the values that are there, as it is a projection of the conditional mean of the row.
    The posterior is wider for an incomplete row, by a factor that the model gives too.

    The model is not trained. Its parameters are, so that several modules can be batched.

    Parameters
    ----------
    n_inputs, latent_dim : int
        Columns of the encoder's inputs, and dimensions of the code.

    Attributes
    ----------
    mean, noise_variance : Parameter of shape (n_inputs,)
    loadings : Parameter of shape (n_inputs, latent_dim)
    is_aligned : Tensor of dtype bool
        Whether the codes of the encoder's start are those of the model. Else the factor is a
        multiple of the identity.
    """

    def __init__(self, n_inputs, latent_dim):
        super().__init__()
        shapes = {
            "mean": (n_inputs,),
            "noise_variance": (n_inputs,),
            "loadings": (n_inputs, latent_dim),
        }
        for name, shape in shapes.items():
            value = torch.zeros(shape, dtype=torch.float32)
            self.register_parameter(name, nn.Parameter(value, requires_grad=False))
        self.register_buffer("is_aligned", torch.tensor(False))

    @torch.no_grad()
    def set_model(self, model, is_aligned):
        """Set the linear-Gaussian model, a :class:`LinearGaussian`."""
        for name in ("mean", "noise_variance", "loadings"):
            self.get_parameter(name).copy_(torch.as_tensor(getattr(model, name)))
        self.is_aligned.fill_(is_aligned)

    @classmethod
    def of_decoder(cls, module):
        """Return that for a module which was trained on complete rows.

        Its linear-Gaussian model has the mean and variances of rows that the decoder draws, and
        loadings that are the regression of its means on the codes.
        """
        decoder = module.decoder
        codes = _standardized(quasi_random_normal(_N_DRAWS, module.latent_dim))
        codes = codes.to(next(decoder.parameters()))
        means, variances = [], []
        with torch.inference_mode():
            for z in codes.split(_BLOCK_ROWS):
                p = decoder(z)
                means.append(decoder.head.likelihood.mean_as_inputs(p.mean))
                variances.append(p.variance.expand_as(p.mean))
            means, variance = torch.cat(means), torch.cat(variances).mean(0)
            mean = means.mean(0)
            loadings = (means - mean).mT @ codes / len(codes)
            curved = (means - mean - codes @ loadings.mT).square().mean(0)
        own = cls(len(mean), module.latent_dim).to(codes)
        parts = (loadings, variance + curved, mean)
        own.set_model(_unrotated(*(part.double().cpu().numpy() for part in parts)), True)
        return own.eval()

    def forward(self, values, inputs):
        """Return incomplete rows.

        Parameters
        ----------
        values : Tensor of shape (..., n, n_features)
            With NaN for missing values. Of several models (n_some, n, n_features) are for the
            first ones, and (n, n_features) for each.
        inputs : Tensor of shape (..., n, n_inputs)
            The same as the encoder's network takes them: transformed, if the likelihood
            transforms them.
        """
        absent, missing = values.isnan(), inputs.isnan()
        mean, loadings, noise_variance = self._model_for(values)
        weighted = loadings / noise_variance.unsqueeze(-1)
        precision = _precision(weighted, loadings, (~missing).to(values.dtype))
        factor = factor_of_inverse(precision)
        centred = (inputs - mean).masked_fill(missing, 0.0)
        right = (centred @ weighted).to(factor.dtype).unsqueeze(-1)
        codes = (factor @ (factor.mT @ right)).squeeze(-1).to(values.dtype)
        relative = self._relative(factor, weighted, loadings, missing.all(-1))
        filled = torch.where(missing, mean + codes @ loadings.mT, inputs)
        return IncompleteRows(
            values.masked_fill(absent, 0.0),
            absent,
            filled,
            relative.to(values.dtype),
        )

    def _model_for(self, values):
        """Return the mean of rows, loadings and noise of the models that rows belong to."""
        parts = self.mean.unsqueeze(-2), self.loadings, self.noise_variance
        if self.mean.ndim > 1 and values.ndim > 2:
            return tuple(part[: len(values)] for part in parts)
        return parts

    def _relative(self, factor, weighted, loadings, is_empty):
        """Return the factor between the scales of complete and of incomplete rows."""
        everything = torch.ones_like(weighted[..., :1]).mT
        complete = factor_of_inverse(_precision(weighted, loadings, everything))
        relative = torch.linalg.solve_triangular(complete, factor, upper=False)
        k = factor.shape[-1]
        identity = torch.eye(k, dtype=factor.dtype, device=factor.device)
        spread = relative.square().sum((-2, -1), keepdim=True).div(k).sqrt()
        relative = torch.where(self.is_aligned, relative, spread * identity)
        return torch.where(is_empty[..., None, None], identity, relative)


def _precision(weighted, loadings, observed):
    """Return the posterior precision of the codes (..., n, k, k), in float64."""
    outer = weighted.unsqueeze(-1) * loadings.unsqueeze(-2)
    added = (observed @ outer.flatten(-2)).double()
    k = weighted.shape[-1]
    identity = torch.eye(k, dtype=torch.float64, device=added.device)
    return identity + added.unflatten(-1, (k, k))


def _standardized(codes):
    """Return codes with mean 0 and covariance 1 exactly."""
    codes = codes - codes.mean(0)
    factor = torch.linalg.cholesky(codes.mT @ codes / len(codes))
    return torch.linalg.solve_triangular(factor, codes.mT, upper=False).mT


def _unrotated(loadings, noise_variance, mean):
    """Return a model whose codes are those of the decoder; only its parameters are used."""
    model = LinearGaussian.from_loadings(loadings, noise_variance, mean)
    return LinearGaussian(**{**vars(model), "loadings": loadings})


def factor_of_inverse(precision):
    """Return the lower triangular `factor` with ``factor factor' = precision^-1``.

    Parameters
    ----------
    precision : Tensor of shape (..., k, k)
        Symmetric and positive definite.
    """
    # With the order of rows and columns reversed, the Cholesky factor is upper triangular.
    flipped = torch.linalg.cholesky(precision.flip(-2, -1)).flip(-2, -1)
    identity = torch.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    return torch.linalg.solve_triangular(flipped, identity, upper=True).mT
