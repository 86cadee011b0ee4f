"""The plain and the denoising autoencoder as a scikit-learn transformer."""

from numbers import Real

from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skvae.estimators.base import LatentTransformer
from skvae.likelihoods import LIKELIHOODS
from skvae.model.corruption import CORRUPTIONS
from skvae.model.objectives import Objective, reconstruction
from skvae.networks import NETWORKS


class AutoencoderTransformer(LatentTransformer):
    """Autoencoder: reduces dimensions and reconstructs, without a density of the codes.

    Encoder and decoder are trained to maximise the likelihood of each row given its code.
    With `noise` the encoder is given corrupted rows and the decoder has to restore them
    (Vincent et al. 2008). With a Gaussian likelihood the training starts at the linear
    reconstruction of the factor analysis.

    Parameters
    ----------
    latent_dim : int, default=2
        Dimensions of the code.
    network : {"mlp", "conv"} or object from :mod:`skvae.networks`, default="mlp"
        Encoder and decoder.
    likelihood : str or object from :mod:`skvae.likelihoods`, default="auto"
        Its negative log is the reconstruction loss: "gaussian" a squared error,
        "bernoulli" a cross-entropy. "auto" is by the columns' kinds, as in
        :class:`VAETransformer`: "gaussian" for numbers.
    categorical_features : "from_dtype", array-like of bool, int or str, or None
        As in :class:`VAETransformer`.
    noise : float, default=0.0
        Strength of the corruption, redrawn in each step: the standard deviation in the
        units of the data ("gaussian"), or the share of values that are masked ("masking").
    corruption : {"gaussian", "masking"}, default="gaussian"
        Kind of noise: normal noise is added, or values are set to 0 (to the feature's mean
        if the likelihood centres the data).
    init : {"factor_analysis", "random"}, default="factor_analysis"
        Start of the training, as in :class:`VAETransformer`.
    image_shape : tuple of int, default=None
        (H, W) or (H, W, C) when a row is a flattened image, channels last.
    batch_size, max_iter, learning_rate_init, weight_decay, early_stopping, \
validation_fraction, n_iter_no_change, tol, warm_start, device, precision, random_state, verbose
        As in :class:`VAETransformer`.

    Attributes
    ----------
    n_features_in_, feature_names_in_, n_iter_, history_, likelihood_, loss_curve_, \
validation_scores_, best_validation_score_, noise_variance_, device_
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
    >>> model = AutoencoderTransformer(1, max_iter=50, early_stopping=False, random_state=0)
    >>> model.fit(X).inverse_transform(model.transform(X)).shape
    (150, 4)
    """

    _registries = {"network": NETWORKS, "likelihood": LIKELIHOODS}

    _parameter_constraints = {
        **LatentTransformer._parameter_constraints,
        "noise": [Interval(Real, 0, None, closed="left")],
        "corruption": [StrOptions(set(CORRUPTIONS))],
    }

    def __init__(
        self,
        latent_dim=2,
        *,
        network="mlp",
        likelihood="auto",
        categorical_features="from_dtype",
        noise=0.0,
        corruption="gaussian",
        init="factor_analysis",
        image_shape=None,
        batch_size="auto",
        max_iter="auto",
        learning_rate_init="auto",
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
        self.categorical_features = categorical_features
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
            Nats per row, in the units of the data. Not a log-density of the rows: there is
            no KL term.
        """
        check_is_fitted(self)

        def log_prob(model, x):
            return model.decoder(model.encoder(x).mean).log_prob(x)

        X = self._validate(X)
        return self._apply(log_prob, X) + self._units.log_jacobian_of(X)

    def _objective(self, epochs_before, one_pass):
        return Objective(reconstruction)
