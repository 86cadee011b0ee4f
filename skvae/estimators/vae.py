"""The variational autoencoder as a scikit-learn transformer."""

from numbers import Integral, Real

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skvae.estimators.base import LatentTransformer
from skvae.estimators.sampling import SamplingMixin
from skvae.estimators.validation import check_positive_integer
from skvae.likelihoods import LIKELIHOODS
from skvae.model.objectives import OBJECTIVES, Bound, Objective, draws_for_all_rows, elbo, iwae
from skvae.networks import NETWORKS
from skvae.posteriors import POSTERIORS

_N_DRAWS = 128  # per row, for scores


class VAETransformer(SamplingMixin, LatentTransformer):
    """Variational autoencoder: reduces, reconstructs, scores and samples.

    The model is ``p(z) = N(0, I)`` and ``p(x|z)`` by a decoder network and a likelihood; an
    encoder network gives the approximate posterior ``q(z|x)``. Both are trained on the
    evidence lower bound (ELBO). With a Gaussian likelihood the training starts at the
    closed-form factor analysis of the data and improves on it.

    Rows may have missing values (NaN). They are left out of ``p(x|z)``, so that every density
    is one of the values that are there, and `impute` fills them.

    Parameters
    ----------
    latent_dim : int, default=2
        Dimensions of the latent space.
    network : {"mlp", "conv"} or object from :mod:`skvae.networks`, default="mlp"
        Encoder and decoder.
    likelihood : str or object from :mod:`skvae.likelihoods`, default="auto"
        Distribution p(x|z) of a row given its code: "auto" (Gaussian for numbers, with one
        noise for images and one per feature for other tables; in a frame Bernoulli for flags
        and categorical for categories), "gaussian", "bernoulli", "continuous_bernoulli",
        "poisson", "negative_binomial", "categorical", or :class:`~skvae.likelihoods.Mixed`.
    categorical_features : "from_dtype", array-like of bool, int or str, or None
        Columns of categories, as in :class:`~sklearn.ensemble.HistGradientBoostingClassifier`:
        those of a frame with a categorical dtype, or a mask, positions or names. A category
        that does not occur in `fit` counts as missing later, with a warning, also if the
        dtype declares it (in `partial_fit`, where chunks may differ, declared ones are known).
    posterior : str or object from :mod:`skvae.posteriors`, default="diagonal"
        Family of the approximate posterior q(z|x): "diagonal" or "full".
    objective : {"elbo", "monte_carlo", "iwae"}, default="elbo"
        Objective to maximise: the ELBO with its KL divergence in closed form or estimated from
        draws (estimators B and A of Kingma & Welling), or the importance-weighted bound.
    n_samples : int, default=1
        Monte-Carlo draws per row and step; with "iwae" the number of importance samples.
    beta : float, default=1.0
        Weight of the KL term in training (Higgins et al. 2017), and in full in
        `best_validation_score_` and all else of held-out rows, also during the warm-up.
        Scores are not weighted: compare betas by `score` or `elbo`.
    kl_warmup : int, default=0
        Epochs in which that weight rises from 0 (Bowman et al. 2016); early stopping begins
        after them. They count from the first of `history_`, also with `warm_start`.
    init : {"factor_analysis", "random"}, default="factor_analysis"
        Start of the training. The closed form needs a Gaussian likelihood and a network
        with a linear map; otherwise, and with "random", the start is He normal
        initialisation with the output centred at the data's mean.
    image_shape : tuple of int, default=None
        (H, W) or (H, W, C) of rows that are flattened images, channels last; for "conv".
    batch_size : int or "auto", default="auto"
        Rows per step; "auto" is 64 with fewer than 1000 rows or for "conv", else 128.
    max_iter : int or "auto", default="auto"
        Epochs; "auto" gives about 600 steps with fewer than 1000 rows, else 6000 of 128 rows,
        in at least 10 and at most 400 (from 1000 rows on 200) epochs. With 0 the start is kept.
    learning_rate_init : float or "auto", default="auto"
        Peak of the one-cycle schedule, which rises to it and falls to 0; "auto" is 8e-3 with
        fewer than 1000 rows, else 5e-3.
    weight_decay : float, default=0.01
        Decoupled decay of the weight matrices (AdamW).
    early_stopping : {"auto", "cv"} or bool, default="auto"
        How the number of epochs is chosen, unless `X_val` is passed to `fit`:

        - True: by a held-out part of the rows; the best state on these is kept.
        - "cv": five-fold cross-validation finds the number of epochs for all rows, at five
          times the cost or more. A learned noise is set from the held-out residuals at the end.
        - False: all epochs are done, on all rows.
        - "auto": "cv" below 1000 rows, 1000 columns and 262,144 cells, else True.
    validation_fraction : float, default=0.1
        Part of the rows that is held out when `early_stopping` is True.
    n_iter_no_change : int, default=25
        Epochs without an improvement of the held-out bound by `tol` after which to stop.
    tol : float, default=1e-4
        Minimum improvement of the held-out bound, in nats per row.
    warm_start : bool, default=False
        Whether `fit` continues for up to `max_iter` more epochs from the state it has (after
        a fit the one that was kept, in the file of a killed one the last), with the
        optimiser's moments and a new schedule, and appends to the history: two fits of 10
        epochs differ from one of 20. With an integer `random_state` the same rows are held
        out again, and storing the model in between changes nothing. Cross-validation is
        replaced by all epochs.
    device : str or torch.device, default="auto"
        "cpu", "cuda", "cuda:<number>"; "auto" is CUDA if it is available. No Apple GPU.
    precision : {"float32", "tf32", "bfloat16"}, default="float32"
        Precision of the networks' matrix products in training. "bfloat16", and on CUDA
        "tf32" (in all of `fit`), are faster, less exact, and refused where the device lacks
        them. "float32" is exact on CUDA too, unlike torch's default for convolutions. Fitted
        models compute rows in their own precision, float64 or float32.
    random_state : int, RandomState instance or None, default=None
        Seeds initial weights, order of rows and draws. The same integer gives exactly the
        same result on the same machine. Global generators are not changed.
    verbose : bool, default=False
        Whether to print one line per epoch.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if all are strings.
    n_iter_ : int
        Epochs done; in "cv" mode those of the final training. The state that is kept is the
        best on held-out rows, which may be an earlier one or the start.
    history_ : dict of str to ndarray of shape (`n_iter_`,)
        Per epoch ``loss`` (minus the objective), ``reconstruction`` and ``kl``, and the same
        on held-out rows with the prefix ``validation_``; nats per row, units of the data.
    likelihood_ : object from :mod:`skvae.likelihoods`
        The likelihood that was fitted: a noise "auto" is replaced by the choice.
    loss_curve_ : list of float
        ``history_["loss"]``.
    validation_scores_ : list of float
        Held-out objective per epoch; empty without held-out rows.
    best_validation_score_ : float or None
        Held-out objective of the state that was kept.
    noise_variance_ : ndarray of shape (`n_features_in_`,)
        Noise variance of a Gaussian likelihood, in squared units of the data; with
        ``marginals="normal"`` that of the scores. NaN for columns of other kinds.
    latent_kl_ : ndarray of shape (latent_dim,)
        Mean KL divergence of each latent dimension from the prior on the training rows
        (on at most 1024 of them, evenly spaced), in nats. A dimension near 0 carries no
        information (posterior collapse); `fit` warns if all are below 0.01.
    device_ : str
        Where the model was trained.

    See Also
    --------
    sklearn.decomposition.PCA : Linear, one noise for all features.
    sklearn.decomposition.FactorAnalysis : Linear, one noise per feature; the start.

    References
    ----------
    D. P. Kingma and M. Welling, Auto-encoding variational Bayes, ICLR 2014, eq. (7).
    D. J. Rezende et al., Stochastic backpropagation and approximate inference, ICML 2014.
    Y. Burda, R. Grosse and R. Salakhutdinov, Importance weighted autoencoders, ICLR 2016.
    I. Higgins et al., beta-VAE, ICLR 2017; S. R. Bowman et al., CoNLL 2016.
    J. Lucas et al., Don't blame the ELBO!, NeurIPS 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.decomposition import FactorAnalysis
    >>> from skvae import VAETransformer
    >>> X = load_wine().data
    >>> vae = VAETransformer(latent_dim=2, random_state=0).fit(X)
    >>> vae.transform(X).shape
    (178, 2)
    >>> bool(vae.score(X) > FactorAnalysis(2).fit(X).score(X))
    True
    >>> vae.sample(3, random_state=0).shape
    (3, 13)
    """

    _allow_missing = True
    _registries = {"network": NETWORKS, "likelihood": LIKELIHOODS, "posterior": POSTERIORS}

    _parameter_constraints = {
        **LatentTransformer._parameter_constraints,
        "posterior": [str, object],
        "objective": [StrOptions(set(OBJECTIVES))],
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "kl_warmup": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        latent_dim=2,
        *,
        network="mlp",
        likelihood="auto",
        categorical_features="from_dtype",
        posterior="diagonal",
        objective="elbo",
        n_samples=1,
        beta=1.0,
        kl_warmup=0,
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
        self.posterior = posterior
        self.objective = objective
        self.n_samples = n_samples
        self.beta = beta
        self.kl_warmup = kl_warmup
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

    def score_samples(self, X, n_samples=_N_DRAWS):
        """Importance-weighted bound on the log-likelihood of each row (Burda et al., eq. 8).

        The draws are one fixed set of quasi-random normal numbers, the same for every row:
        the result is deterministic and does not depend on the order or batching of rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        n_samples : int, default=128
            Importance samples per row. The bound rises with them towards log p(x); with
            1 it is the ELBO, up to the error of the draws.

        Returns
        -------
        ndarray of shape (n_samples,)
            Nats per row, in the units of the data: comparable with the
            ``score_samples`` of PCA, FactorAnalysis and GaussianMixture.
        """
        check_is_fitted(self)
        check_positive_integer(n_samples, "n_samples")
        # With fewer samples per bound, the mean of several bounds is returned.
        n_draws = n_samples * max(1, _N_DRAWS // n_samples)

        def bound(model, x):
            return iwae(model, x, draws_for_all_rows(model, n_draws), n_samples).value

        X = self._validate(X)
        return self._apply(bound, X, n_draws=n_draws) + self._units.log_jacobian_of(X)

    def elbo(self, X):
        """Evidence lower bound of each row and its two parts.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        Bound
            A named tuple of arrays of shape (n_samples,): ``value``, ``reconstruction``
            and ``kl``, in nats, with ``value = reconstruction - kl``.
        """
        check_is_fitted(self)

        def bound(model, x):
            return torch.stack(elbo(model, x, draws_for_all_rows(model, _N_DRAWS)), dim=1)

        X = self._validate(X)
        value, reconstruction, kl = self._apply(bound, X, n_draws=_N_DRAWS).T
        shift = self._units.log_jacobian_of(X)
        return Bound(value + shift, reconstruction + shift, kl)

    def latent_posterior(self, X):
        """Return mean and scale of the posterior q(z|x) of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        mean : ndarray of shape (n_samples, latent_dim)
            What `transform` returns.
        scale : ndarray of shape (n_samples, latent_dim) or (n_samples, latent_dim, latent_dim)
            Standard deviations; with ``posterior="full"`` Cholesky factors of covariances.
        """
        check_is_fitted(self)
        X = self._validate(X)
        mean = self._apply(lambda model, x: model.posterior(x).mean, X)
        scale = self._apply(lambda model, x: model.encoder.head.spread(model.posterior(x)), X)
        return mean, scale

    def _objective(self, epochs_before, one_pass):
        bound, n_samples = OBJECTIVES[self.objective], int(self.n_samples)
        warmup = 0 if one_pass else self.kl_warmup
        return Objective(bound, n_samples, self.beta, warmup, epochs_before)


def vae_with_parameters_of(estimator):
    """Return a VAETransformer with those parameters that an estimator shares with it."""
    shared = set(VAETransformer._get_param_names())
    parameters = estimator.get_params(deep=False)
    return VAETransformer(**{name: parameters[name] for name in shared & set(parameters)})
