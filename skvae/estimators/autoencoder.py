"""The plain and the denoising autoencoder as a scikit-learn transformer."""

from functools import partial
from numbers import Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skvae.estimators.base import LatentTransformer
from skvae.likelihoods import LIKELIHOODS
from skvae.model.corruption import CORRUPTIONS
from skvae.model.modules import Autoencoder, Conditional, can_start_affine, start_affine
from skvae.model.objectives import reconstruction
from skvae.networks import NETWORKS
from skvae.posteriors import PointHead


class AutoencoderTransformer(LatentTransformer):
    """Autoencoder: reduces dimensions and reconstructs, without a density of the codes.

    Encoder and decoder are trained to make each row likely given its code. With `noise`
    the encoder is given corrupted rows and the decoder has to restore them (Vincent et al.
    2008). With a Gaussian likelihood the training starts at the linear reconstruction of
    the factor analysis.

    Parameters
    ----------
    latent_dim : int, default=2
        Dimensions of the code.
    network : {"mlp", "conv"} or object from :mod:`skvae.networks`, default="mlp"
        Encoder and decoder.
    likelihood : str or object from :mod:`skvae.likelihoods`, default="gaussian"
        Its negative log is the reconstruction loss: "gaussian" a squared error,
        "bernoulli" a cross-entropy.
    noise : float, default=0.0
        Strength of the corruption, redrawn in each step: the standard deviation in the
        units of the data ("gaussian"), or the share of values that are masked ("masking").
    corruption : {"gaussian", "masking"}, default="gaussian"
        What the noise does: adds normal numbers, or sets values to 0 (to the feature's mean
        where the likelihood centres the data).
    init : {"factor_analysis", "random"}, default="factor_analysis"
        Start of the training, as in :class:`VAETransformer`.
    image_shape : tuple of int, default=None
        (H, W) or (H, W, C) when a row is a flattened image, channels last.
    batch_size, max_iter, learning_rate_init, weight_decay, early_stopping, \
validation_fraction, n_iter_no_change, tol, warm_start, device, precision, random_state, verbose
        As in :class:`VAETransformer`.

    Attributes
    ----------
    n_features_in_, feature_names_in_, n_iter_, history_, loss_curve_, validation_scores_, \
best_validation_score_, noise_variance_, device_
        As in :class:`VAETransformer`; the KL terms of the history are 0.

    References
    ----------
    P. Vincent, H. Larochelle, Y. Bengio and P.-A. Manzagol (2008), Extracting and composing
    robust features with denoising autoencoders, ICML.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvae import AutoencoderTransformer
    >>> X = load_iris().data
    >>> model = AutoencoderTransformer(1, max_iter=20, early_stopping=False, random_state=0)
    >>> model.fit(X).inverse_transform(model.transform(X)).shape
    (150, 4)
    """

    _registries = {"network": NETWORKS, "likelihood": LIKELIHOODS}

    _parameter_constraints = {
        **LatentTransformer._parameter_constraints,
        "noise": [Interval(Real, 0, None, closed="left")],
        "corruption": [StrOptions({"gaussian", "masking"})],
        "init": [StrOptions({"factor_analysis", "random"})],
    }

    def __init__(
        self,
        latent_dim=2,
        *,
        network="mlp",
        likelihood="gaussian",
        noise=0.0,
        corruption="gaussian",
        init="factor_analysis",
        image_shape=None,
        batch_size="auto",
        max_iter="auto",
        learning_rate_init=5e-3,
        weight_decay=0.01,
        early_stopping="auto",
        validation_fraction=0.1,
        n_iter_no_change=25,
        tol=1e-4,
        warm_start=False,
        device="auto",
        precision="float32",
        random_state=None,
        verbose=False,
    ):
        self.latent_dim = latent_dim
        self.network = network
        self.likelihood = likelihood
        self.noise = noise
        self.corruption = corruption
        self.init = init
        self.image_shape = image_shape
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    def score_samples(self, X):
        """Log-likelihood of each row given its code: minus its reconstruction loss.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            Nats per row, in the units of the data. Not a density of the rows: no price is
            paid for the code.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)

        def log_prob(x):
            module, x = self._fitted(x.dtype), self._enter(x)
            return module.decoder(module.encoder(x).mean).log_prob(x)

        scores = self._by_blocks(log_prob, X)
        return scores + np.asarray(self._units.log_jacobian, scores.dtype)

    def score(self, X, y=None):
        """Minus the mean reconstruction loss of the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        float
            Nats per row; higher is better.
        """
        return float(np.mean(self.score_samples(X), dtype=np.float64))

    # -- fitting ---------------------------------------------------------------------

    def _objective(self, continues):
        return {"objective": reconstruction, "n_samples": 1}

    def _start(self, components, units, image_shape):
        latent_dim, closed_form = int(self.latent_dim), self.init == "factor_analysis"
        network, likelihood = components["network"], components["likelihood"]
        corrupt = self._corrupter(likelihood, units)

        def start(rows, seed):
            generator = torch.Generator().manual_seed(seed)
            width, decoder_head = rows.shape[1], likelihood.head(units)
            plugs = [(width, latent_dim), (latent_dim, decoder_head.n_raw)]
            encoder, decoder = (
                build(n_in, n_out, image_shape, generator)
                for build, (n_in, n_out) in zip(
                    (network.build_encoder, network.build_decoder), plugs, strict=True
                )
            )
            with torch.no_grad():
                start_output = likelihood.start(decoder_head, rows)
            decoder.start_output(start_output, likelihood.start_gain)
            module = Autoencoder(
                Conditional(encoder, PointHead(latent_dim), likelihood.input_transform()),
                Conditional(decoder, decoder_head),
                corrupt(int(torch.randint(2**31, (), generator=generator))),
            )
            if closed_form and can_start_affine(module):
                start_affine(module, likelihood.linear_start(rows, latent_dim, units))
            return module.to(rows.device)

        return start

    def _corrupter(self, likelihood, units):
        """Return a function from a seed to the corruption, or to None."""
        if self.noise == 0:
            return lambda seed: None
        return partial(CORRUPTIONS[self.corruption], self.noise, units, likelihood.support)

    def _resume(self, recipe, units):
        module, optimizer = super()._resume(recipe, units)
        # The noise may have been changed; its draws go on.
        module.corruption = self._corrupter(self._likelihood, units)(recipe.stream_seed(5))
        return module.to(recipe.rows.device), optimizer
