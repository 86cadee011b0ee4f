"""The variational autoencoder as a scikit-learn transformer."""

from numbers import Integral, Real

import torch
from sklearn.utils._param_validation import Interval, StrOptions

from skvae.data.rows import Subset, batches
from skvae.estimators.base import LatentTransformer
from skvae.estimators.density import DensityMixin
from skvae.likelihoods import LIKELIHOODS
from skvae.model.modules import build_vae, can_start_affine, start_affine
from skvae.model.objectives import OBJECTIVES
from skvae.networks import NETWORKS
from skvae.posteriors import POSTERIORS, marginal_kl

# So many rows tell a mean KL well enough; all of them would cost an epoch's fifth.
_KL_ROWS = 4096
# Below this many nats a dimension carries no information to speak of.
_COLLAPSED_KL = 0.01


class VAETransformer(DensityMixin, LatentTransformer):
    """Variational autoencoder: reduces, reconstructs, scores and samples.

    The model is ``p(z) = N(0, I)`` and ``p(x|z)`` by a decoder network and a likelihood;
    an encoder network gives the approximate posterior ``q(z|x)``. Both are trained on the
    reparameterised evidence lower bound (ELBO). With a Gaussian likelihood the training
    starts at the closed-form factor analysis of the data and improves on it.

    Parameters
    ----------
    latent_dim : int, default=2
        Dimensions of the latent space.
    network : {"mlp", "conv"} or object from :mod:`skvae.networks`, default="mlp"
        Encoder and decoder.
    likelihood : {"gaussian", "bernoulli", "continuous_bernoulli", "poisson", \
"negative_binomial", "categorical"} or object from :mod:`skvae.likelihoods`, \
default="gaussian"
        Distribution p(x|z) of a row given its code.
    posterior : {"diagonal", "full"} or object from :mod:`skvae.posteriors`, \
default="diagonal"
        Family of the approximate posterior q(z|x).
    objective : {"elbo", "monte_carlo", "iwae"}, default="elbo"
        What is maximised: the ELBO with its KL divergence in closed form or by the draws
        too (estimators B and A of Kingma & Welling), or the importance-weighted bound.
    n_samples : int, default=1
        Monte-Carlo draws per row and step; with "iwae" the importance samples.
    beta : float, default=1.0
        Weight of the KL term in training (Higgins et al. 2017). Scores are not weighted.
    kl_warmup : int, default=0
        Epochs in which that weight rises from 0 (Bowman et al. 2016). Early stopping
        begins after them.
    init : {"factor_analysis", "random"}, default="factor_analysis"
        Start of the training. The closed form needs a Gaussian likelihood and a network
        that holds a linear map; elsewhere, and with "random", the start is He's normal
        initialisation with the output centred at the data's mean.
    image_shape : tuple of int, default=None
        (H, W) or (H, W, C) when a row is a flattened image, channels last. Needed by
        convolutional networks.
    batch_size : int or "auto", default="auto"
        Rows per step; "auto" is 64 below 1000 rows and 128 from there on.
    max_iter : int or "auto", default="auto"
        Epochs; "auto" gives about 800 steps below 1000 rows and 6000 from there on, in
        at least 10 and at most 400 (200 from 1000 rows on) epochs. 0 keeps the start.
    learning_rate_init : float, default=5e-3
        Peak of the one-cycle schedule, which rises to it and falls to 0.
    weight_decay : float, default=0.01
        Decoupled decay of the weight matrices (AdamW).
    early_stopping : {"auto", "cv"} or bool, default="auto"
        What judges when to stop:

        - True: a part `validation_fraction` of the rows, on which the best state is kept.
        - "cv": five-fold cross-validation finds the number of epochs, and the model is
          then trained on all rows. It costs about five times as much. A learned noise is
          finally set from the residuals of the held-out rows, since on the training rows
          it comes out too small.
        - False: nothing; all epochs are done on all rows.
        - "auto": "cv" below 1000 rows, else True.

        Rows passed as `X_val` to `fit` take precedence.
    validation_fraction : float, default=0.1
        Part of the rows that is held out when `early_stopping` is True.
    n_iter_no_change : int, default=25
        Epochs without an improvement of the held-out bound by `tol` after which a
        training with held-out rows stops.
    tol : float, default=1e-4
        That least improvement, in nats per row.
    warm_start : bool, default=False
        Whether `fit` continues from the present state, with the optimiser's moments: those
        of the state that was kept. It does up to `max_iter` further epochs, under a one-cycle
        schedule of their own and with other draws, and appends to the history; two fits of
        10 epochs are not one of 20. With an integer `random_state` the same rows are held
        out again. A model that was pickled or saved in between goes on
        to the same bits. Cross-validation would judge rows that the model has seen, and
        all epochs are done instead.
    device : str or torch.device, default="auto"
        "cpu", "cuda", "cuda:<number>"; "auto" is CUDA where there is one.
    precision : {"float32", "tf32", "bfloat16"}, default="float32"
        Of the networks' products in training. "bfloat16", and on CUDA "tf32" (then in all of
        `fit`), are faster and rougher where the device has the instructions, else an error;
        weights, likelihoods and the fitted model stay in float32. "float32" is exact on
        CUDA too, where torch would by default round what convolutions are given to TF32.
    random_state : int, RandomState instance or None, default=None
        Seeds initial weights, order of rows and draws. The same integer gives the same
        bits on the same machine. Global generators are not touched.
    verbose : bool, default=False
        Whether to print one line an epoch.

    Attributes
    ----------
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where all are strings.
    n_iter_ : int
        Epochs done; in "cv" mode those of the final training. The state that is kept is the
        best on held-out rows, which may be an earlier one or the start.
    history_ : dict of str to ndarray of shape (n_iter_,)
        Per epoch ``loss`` (minus the objective), ``reconstruction`` and ``kl``, and the same
        on held-out rows with the prefix ``validation_``; nats per row, units of the data.
    loss_curve_ : list of float
        ``history_["loss"]``.
    validation_scores_ : list of float
        Held-out objective per epoch; empty without held-out rows.
    best_validation_score_ : float or None
        Held-out objective of the state that was kept.
    noise_variance_ : ndarray of shape (n_features_in_,)
        Noise variance of a Gaussian likelihood, in squared units of the data.
    latent_kl_ : ndarray of shape (latent_dim,)
        Mean KL divergence of each latent dimension from the prior on the training rows
        (on 4096 evenly spaced ones of more), in nats. A dimension near 0 carries no
        information (posterior collapse); `fit` warns where all are below 0.01.
    device_ : str
        Where the model was trained.

    See Also
    --------
    sklearn.decomposition.PCA : Linear, one noise for all features.
    sklearn.decomposition.FactorAnalysis : Linear, one noise per feature; the start.

    Notes
    -----
    Rows are computed in their own precision, float64 or float32; training is in float32.

    References
    ----------
    D. P. Kingma and M. Welling (2014), Auto-encoding variational Bayes, ICLR, eq. (7).

    D. J. Rezende, S. Mohamed and D. Wierstra (2014), Stochastic backpropagation and
    approximate inference in deep generative models, ICML.

    Y. Burda, R. Grosse and R. Salakhutdinov (2016), Importance weighted autoencoders, ICLR.

    I. Higgins et al. (2017), beta-VAE: learning basic visual concepts with a constrained
    variational framework, ICLR.

    S. R. Bowman et al. (2016), Generating sentences from a continuous space, CoNLL.

    J. Lucas, G. Tucker, R. Grosse and M. Norouzi (2019), Don't blame the ELBO! A linear
    VAE perspective on posterior collapse, NeurIPS.

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

    _registries = {"network": NETWORKS, "likelihood": LIKELIHOODS, "posterior": POSTERIORS}

    _parameter_constraints = {
        **LatentTransformer._parameter_constraints,
        "posterior": [str, object],
        "objective": [StrOptions(set(OBJECTIVES))],
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "kl_warmup": [Interval(Integral, 0, None, closed="left")],
        "init": [StrOptions({"factor_analysis", "random"})],
    }

    def __init__(
        self,
        latent_dim=2,
        *,
        network="mlp",
        likelihood="gaussian",
        posterior="diagonal",
        objective="elbo",
        n_samples=1,
        beta=1.0,
        kl_warmup=0,
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

    # -- fitting ---------------------------------------------------------------------

    def _objective(self, continues):
        return {
            "objective": OBJECTIVES[self.objective],
            "n_samples": int(self.n_samples),
            "beta": self.beta,
            # What is continued is past its warm-up.
            "kl_warmup": 0 if continues else self.kl_warmup,
        }

    def _start(self, components, units, image_shape):
        latent_dim, closed_form = int(self.latent_dim), self.init == "factor_analysis"
        network, likelihood, posterior = (
            components[name] for name in ("network", "likelihood", "posterior")
        )

        def start(rows, seed):
            generator = torch.Generator().manual_seed(seed)
            vae = build_vae(
                network, likelihood, posterior, rows, units, latent_dim, image_shape, generator
            )
            if closed_form and can_start_affine(vae):
                start_affine(vae, likelihood.linear_start(rows, latent_dim, units))
            return vae.to(rows.device)

        return start

    def _store_more(self, recipe, outcome):
        """Mean KL per latent dimension over the training rows, or evenly spaced ones."""
        chosen = torch.arange(0, len(recipe.rows), -(-len(recipe.rows) // _KL_ROWS))
        rows = Subset(recipe.rows, chosen)
        with torch.inference_mode():
            parts = [marginal_kl(outcome.module.encoder(rows[part])) for part in batches(rows)]
        self.latent_kl_ = torch.cat(parts).mean(0, dtype=torch.float64).cpu().numpy()

    def _has_collapsed(self):
        return bool((self.latent_kl_ < _COLLAPSED_KL).all())
