"""Estimators on a GPU that torch pretends to have: the same results as on the CPU."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from export_cases import frame_of_kinds, own_module
from marginal_cases import TABLE
from mixed_cases import mixed_likelihood, mixed_table
from model_cases import SMALL, each_model, rows_for
from pretend_cuda import CudaTensor, pretended_cuda
from scipy import sparse
from sklearn.base import clone

from skvae import AutoencoderTransformer, VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.likelihoods import CodedCategorical, Gaussian, Likelihood
from skvae.networks import MLP, ConvNet, ModuleNetwork

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# More than ten batches of a shape, after which steps are captured.
QUICK = {
    "network": MLP((8,)),
    "max_iter": 3,
    "batch_size": 8,
    "early_stopping": False,
    "random_state": 0,
}


def assert_same(model, X, compute):
    """The arrays that `compute` returns for a model and rows are those of the CPU."""
    wanted = compute(clone(model).set_params(device="cpu"), X)
    with pretended_cuda():
        on_cuda = clone(model).set_params(device="cuda")
        found = compute(on_cuda, X)
    on_cuda = getattr(on_cuda, "vae_", on_cuda)
    assert on_cuda.device_ == "cuda:0"
    for part in on_cuda._fitted.module.state_dict().values():
        assert isinstance(part, CudaTensor)
    for found_array, wanted_array in zip(found, wanted, strict=True):
        np.testing.assert_allclose(
            as_numbers(found_array), as_numbers(wanted_array), rtol=1e-4, atol=1e-4
        )


def as_numbers(table):
    if isinstance(table, pd.DataFrame):
        table = table.apply(lambda c: c.cat.codes if c.dtype == "category" else c)
    return np.asarray(table, dtype=float)


def fitted_results(model, X):
    return results(model.fit(X), X)


def results(model, X):
    """Return what all methods of a fitted model return, and its history."""
    some = X[:4]
    codes = model.transform(some)
    found = [codes, model.inverse_transform(codes), model.score_samples(some)]
    found += model.history_.values()
    if isinstance(model, VAETransformer):
        found += [*model.elbo(some), *model.latent_posterior(some), model.latent_kl_]
        found += [model.sample(4, random_state=0), model.sample(4, mean=True, random_state=0)]
    return found


@each_model
def test_every_model(names):
    network, likelihood, posterior = names
    model = VAETransformer(
        likelihood=likelihood,
        posterior=posterior,
        image_shape=(8, 8),
        **QUICK | {"network": SMALL.get(network, network)},
    )
    assert_same(model, rows_for(likelihood, n=32), fitted_results)


NUMBERS = mixed_table(60)[:, :3]


def of_numbers(estimator=VAETransformer, **parameters):
    return estimator(**QUICK | parameters), NUMBERS


def of_images(estimator=VAETransformer, **parameters):
    return estimator(**QUICK | {"image_shape": (8, 8)} | parameters), rows_for(
        "bernoulli", n=32
    )


def of_likelihood(likelihood, X, **parameters):
    return VAETransformer(likelihood=likelihood, **QUICK | parameters), X


CASES = {
    "heteroscedastic": of_numbers(likelihood=Gaussian("heteroscedastic")),
    "fixed noise": of_numbers(likelihood=Gaussian(1.0)),
    "isotropic": of_numbers(likelihood=Gaussian("isotropic")),
    "sigmoid": of_images(likelihood=Gaussian(mean="sigmoid")),
    "scores": of_likelihood(Gaussian(marginals="normal"), TABLE[:40]),
    "bins": of_likelihood(Gaussian(marginals="normal", n_bins=8), TABLE[:40]),
    "mixed": of_likelihood(mixed_likelihood(), mixed_table(60)),
    "mixed scores": of_likelihood(
        mixed_likelihood(Gaussian(marginals="normal", n_bins=8)), mixed_table(60)
    ),
    "mixed heteroscedastic": of_likelihood(
        mixed_likelihood(Gaussian("heteroscedastic")), mixed_table(60)
    ),
    "codes": of_likelihood(CodedCategorical((5,)), mixed_table(60)[:, [5]]),
    "frame": of_likelihood("auto", frame_of_kinds()[:60]),
    "sparse": of_likelihood("poisson", sparse.csr_array(rows_for("poisson", n=32))),
    "constant column": of_likelihood("gaussian", np.c_[NUMBERS, np.ones(60)]),
    "wide": of_likelihood("gaussian", np.tile(NUMBERS[:40], 700)),
    "random start": of_numbers(init="random"),
    "batch norm and dropout": of_numbers(network=MLP((8,), batch_norm=True, dropout=0.2)),
    "convolutions": of_images(network=ConvNet((4,), linear_map=False, batch_norm=True)),
    "own modules": of_numbers(network=ModuleNetwork(own_module, own_module)),
    "iwae": of_numbers(objective="iwae", n_samples=3),
    "monte_carlo": of_numbers(objective="monte_carlo", kl_warmup=2),
    "autoencoder": of_images(AutoencoderTransformer, noise=0.1),
    "masking": of_images(AutoencoderTransformer, noise=0.2, corruption="masking"),
    "autoencoder of columns": (
        AutoencoderTransformer(likelihood=mixed_likelihood(), **QUICK),
        mixed_table(60),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_other_models(name):
    assert_same(*CASES[name], fitted_results)


@pytest.mark.parametrize("early_stopping", ["cv", True])
@pytest.mark.parametrize("name", ["isotropic", "mixed", "own modules", "autoencoder"])
def test_held_out_rows(name, early_stopping):
    model, X = CASES[name]
    model = clone(model).set_params(early_stopping=early_stopping, batch_size=16)
    assert_same(model, X, fitted_results)


def with_gaps(X):
    is_gap = np.random.RandomState(1).uniform(size=X.shape) < 0.3
    # A row without values.
    is_gap[3] = True
    return X.mask(is_gap) if isinstance(X, pd.DataFrame) else np.where(is_gap, np.nan, X)


def imputed(model, X):
    return [model.impute(X[:4]), model.impute(X[:4], sample=True, random_state=0)]


GAPS = ["isotropic", "heteroscedastic", "scores", "bins", "mixed", "frame", "codes"]


@pytest.mark.parametrize(
    ("name", "early_stopping"), [*((name, False) for name in GAPS), ("mixed", "cv")]
)
def test_rows_with_gaps(name, early_stopping):
    model, X = CASES[name]

    def compute(model, X):
        model.fit(X)
        return results(model, X) + imputed(model, X)

    assert_same(clone(model).set_params(early_stopping=early_stopping), with_gaps(X), compute)


class Doubled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("factor", torch.full((3,), 2.0), persistent=False)

    def forward(self, x):
        return self.factor * x


class OfDoubled(Likelihood):
    """A likelihood of the user's own, whose encoder is given other values."""

    def input_transform(self):
        return Doubled()

    def distribution(self, raw):
        return torch.distributions.Normal(raw, 1.0, validate_args=False)


def test_own_likelihoods_with_gaps():
    def compute(model, X):
        model.fit(X)
        return results(model, X) + imputed(model, X)

    model, X = CASES["isotropic"]
    assert_same(clone(model).set_params(likelihood=OfDoubled()), with_gaps(X), compute)


def test_gaps_in_new_rows_only():
    def compute(model, X):
        model.fit(X)
        return results(model, with_gaps(X)) + imputed(model, with_gaps(X))

    assert_same(*CASES["mixed scores"], compute)


def test_validation_rows_and_a_training_that_continues():
    def compute(model, X):
        model.set_params(warm_start=True).fit(X[:40], X_val=X[40:])
        return results(model.fit(X[:40], X_val=X[40:]), X)

    assert_same(*CASES["mixed"], compute)


@pytest.mark.parametrize("name", ["mixed", "own modules", "batch norm and dropout", "masking"])
def test_chunks_and_stored_models(name):
    def compute(model, X):
        model = pickle.loads(pickle.dumps(model.partial_fit(X[:30])))
        return results(model.partial_fit(with_gaps(X[30:]) if name == "mixed" else X[30:]), X)

    assert_same(*CASES[name], compute)


def test_a_model_moves_to_a_machine_without_a_gpu():
    model, X = CASES["mixed"]
    with pretended_cuda():
        model = clone(model).set_params(device="auto").fit(X)
        codes, stored = model.transform(X), pickle.dumps(model)
    model = pickle.loads(stored)
    assert model.device_ == "cpu"
    np.testing.assert_allclose(model.transform(X), codes, rtol=1e-4, atol=1e-5)
    model.partial_fit(X)


@pytest.mark.parametrize("name", ["isotropic", "bins", "mixed scores", "frame"])
def test_exported_modules(name):
    def compute(model, X):
        model.fit(X)
        codes = model.transform(X[:4])
        decoder = model.decoder_module()
        z = torch.as_tensor(codes).to(model.device_)
        found = [decoder(z).detach().cpu()]
        if not isinstance(X, pd.DataFrame):
            encoder = model.encoder_module()
            found.append(encoder(torch.as_tensor(X[:4]).to(model.device_)).detach().cpu())
        return found

    assert_same(*CASES[name], compute)


@pytest.mark.parametrize("early_stopping", [False, True, "cv"])
@pytest.mark.parametrize("name", ["mixed", "sparse"])
def test_rows_that_do_not_fit_the_device(name, early_stopping, monkeypatch):
    def compute(model, X):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 2**40))
        found = fitted_results(model, X)
        monkeypatch.undo()
        return found

    model, X = CASES[name]
    model = clone(model).set_params(early_stopping=early_stopping, batch_size=16)
    assert_same(model, X, compute)


class Noting:
    """Uses the model of each epoch."""

    def __init__(self, X):
        self.X, self.found = X, []

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if fitted_estimator is not None:
            self.found.append(fitted_estimator.transform(self.X))

    def teardown(self, estimator, context):
        pass


@pytest.mark.parametrize("early_stopping", [False, True, "cv"])
def test_callbacks(early_stopping):
    def compute(model, X):
        noting = Noting(X)
        model.set_callbacks(noting).fit(X)
        assert noting.found
        return noting.found

    model, X = CASES["mixed"]
    assert_same(model.set_params(early_stopping=early_stopping, batch_size=16), X, compute)


def test_a_training_that_diverges():
    def compute(model, X):
        return fitted_results(model.set_params(learning_rate_init=10.0, batch_size=60), X)

    assert_same(*CASES["isotropic"], compute)


@pytest.mark.parametrize("name", ["isotropic", "frame"])
def test_imputers_and_detectors(name):
    model, X = CASES[name]
    parts = {"likelihood": model.likelihood, **QUICK}

    def fill(model, X):
        return [model.fit(X).transform(X[:4])]

    def detect(model, X):
        return [model.fit(X).decision_function(with_gaps(X[:4]))]

    assert_same(VAEImputer(**parts), with_gaps(X), fill)
    assert_same(VAEOutlierDetector(**parts), X, detect)
