"""The user's own torch modules: any architecture, copied, cloned, searched and pickled."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from skvae import VAETransformer
from skvae.likelihoods import Gaussian
from skvae.networks import ModuleNetwork

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

LATENT_DIM, SIDE = 2, 12


def image_encoder(n_in=SIDE * SIDE, n_out=2 * LATENT_DIM):
    """Valid 5 x 5 convolutions and pooling, as in autoencoders of Fashion-MNIST."""
    return nn.Sequential(
        nn.Unflatten(1, (1, SIDE, SIDE)),
        nn.Conv2d(1, 4, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 4 * 4, n_out),
    )


def image_decoder(n_in=LATENT_DIM, n_out=SIDE * SIDE):
    """Upsampling and convolutions back to the image."""
    return nn.Sequential(
        nn.Linear(n_in, 4 * 6 * 6),
        nn.ReLU(),
        nn.Unflatten(1, (4, 6, 6)),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(4, 1, 5, padding=2),
        nn.Flatten(),
    )


def dense(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, 8), nn.Tanh(), nn.Linear(8, n_out))


def wide(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, 32), nn.Tanh(), nn.Linear(32, n_out))


def no_module(n_in, n_out):
    return n_in + n_out


NETWORKS = {
    "modules": lambda: ModuleNetwork(image_encoder(), image_decoder()),
    "factories": lambda: ModuleNetwork(image_encoder, image_decoder),
    "mixed": lambda: ModuleNetwork(image_encoder, image_decoder()),
}
each_network = pytest.mark.parametrize("make", NETWORKS.values(), ids=list(NETWORKS))


@pytest.fixture(scope="module")
def images():
    """Images of two kinds of shapes in noise, as flat rows in [0, 1]."""
    rng = np.random.RandomState(0)
    X = 0.3 * rng.random_sample((40, SIDE, SIDE))
    X[::2, :6] += 0.6
    X[1::2, :, :4] += 0.6
    return X.reshape(40, -1)


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same_weights(module, before):
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name


# -- any architecture -----------------------------------------------------------------


@each_network
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_image_modules_train_as_a_network(make, likelihood, images, quick):
    vae = quick(network=make(), likelihood=likelihood).fit(images)
    assert vae.transform(images).shape == (40, LATENT_DIM)
    assert vae.sample(3, random_state=0).shape == (3, SIDE * SIDE)
    assert np.isfinite(vae.score_samples(images)).all()
    assert vae.loss_curve_[-1] < vae.loss_curve_[0]


@pytest.mark.parametrize("posterior", ["diagonal", "full"])
def test_a_factory_is_told_the_widths(posterior, iris, quick):
    widths = []

    def note(n_in, n_out):
        widths.append((n_in, n_out))
        return dense(n_in, n_out)

    network = ModuleNetwork(encoder=note, decoder=note)
    quick(network=network, posterior=posterior, latent_dim=3).fit(iris)
    assert widths == [(4, 6 if posterior == "diagonal" else 9), (3, 4)]


def test_a_layer_class_is_a_factory(iris, quick):
    vae = quick(network=ModuleNetwork(nn.Linear, nn.Linear)).fit(iris)
    # Linear maps in the model's units are linear maps in the data's.
    middle = vae.transform(iris[:2]).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(vae.transform(iris[:2].mean(axis=0, keepdims=True)), middle)


# -- nothing of the user's is changed ---------------------------------------------------


def test_modules_are_copied_and_never_changed(images, quick):
    encoder, decoder = image_encoder().eval(), image_decoder().double()
    decoder[0].requires_grad_(False)
    before = weights(encoder), weights(decoder)
    vae = quick(network=ModuleNetwork(encoder, decoder)).fit(images)
    assert_same_weights(encoder, before[0])
    assert_same_weights(decoder, before[1])
    assert not encoder.training
    assert decoder.training
    assert decoder[0].weight.dtype == torch.float64
    assert not decoder[0].weight.requires_grad
    assert encoder[1].weight.requires_grad
    # A given module is where the training starts.
    start = clone(vae).set_params(max_iter=0).fit(images)
    fitted = start._fitted.module.encoder.body.module
    assert_same_weights(fitted, before[0])
    assert fitted[1].weight.data_ptr() != encoder[1].weight.data_ptr()


def test_statistics_of_batch_normalisation_are_not_touched_by_the_trial(iris, quick):
    encoder = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
    vae = quick(network=ModuleNetwork(encoder, dense), max_iter=0).fit(iris)
    norm = vae._fitted.module.encoder.body.module[1]
    assert norm.num_batches_tracked == 0
    trained = clone(vae).set_params(max_iter=3).fit(iris)
    assert trained._fitted.module.encoder.body.module[1].num_batches_tracked > 0
    assert encoder[1].num_batches_tracked == 0


def test_factories_are_seeded_and_leave_the_global_generator(iris, quick):
    network = ModuleNetwork(dense, dense)
    before = torch.get_rng_state()
    first, again, other = (
        quick(network=network, random_state=seed).fit(iris).transform(iris)
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_the_global_generator_does_not_reach_into_factories(iris, quick):
    results = []
    for seed in (3, 4):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            results.append(quick(network=ModuleNetwork(dense, dense)).fit(iris).transform(iris))
    np.testing.assert_array_equal(*results)


# -- scikit-learn ----------------------------------------------------------------------


@each_network
def test_clones_and_pickles_agree(make, images, quick):
    vae = quick(network=make()).fit(images)
    restored = pickle.loads(pickle.dumps(vae))
    np.testing.assert_array_equal(restored.transform(images), vae.transform(images))
    refitted = clone(vae).fit(images)
    np.testing.assert_array_equal(refitted.transform(images), vae.transform(images))


def test_a_fitted_model_continues(images, quick):
    vae = quick(network=ModuleNetwork(image_encoder, image_decoder), warm_start=True)
    first = vae.fit(images).transform(images)
    vae.fit(images)
    assert vae.n_iter_ == 6
    assert not np.allclose(vae.transform(images), first)


def test_a_grid_search_may_choose_between_modules(iris, quick):
    grid = {
        "network": [ModuleNetwork(dense, dense), ModuleNetwork(wide, dense)],
        "likelihood__noise": ["isotropic", "per_feature"],
    }
    search = GridSearchCV(quick(likelihood=Gaussian()), grid, cv=2, error_score="raise")
    search.fit(iris)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    nested = {"network__encoder": [dense, wide]}
    search = GridSearchCV(quick(network=ModuleNetwork(dense, dense)), nested, cv=2)
    assert search.fit(iris).best_params_["network__encoder"] in (dense, wide)


# -- what does not fit is refused before the training -----------------------------------


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_a_wrong_output_width_is_named_with_the_right_one(side, iris, quick):
    n_in = 4 if side == "encoder" else 2
    parts = {"encoder": dense, "decoder": dense} | {side: nn.Linear(n_in, 7)}
    wanted = {
        "encoder": "width 4: latent_dim for an",
        "decoder": "width 4: the number of likelihood",
    }
    with pytest.raises(
        ValueError, match=rf"{side} maps rows of width {n_in}.*7.*{wanted[side]}"
    ):
        quick(network=ModuleNetwork(**parts)).fit(iris)


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_a_wrong_input_width_is_named_with_the_right_one(side, iris, quick):
    n_in = 4 if side == "encoder" else 2
    parts = {"encoder": dense, "decoder": dense} | {side: nn.Linear(5, 4)}
    with pytest.raises(ValueError, match=rf"{side} does not accept rows of width {n_in}: .*5"):
        quick(network=ModuleNetwork(**parts)).fit(iris)


def test_a_module_that_keeps_its_image_axes_is_refused(images, quick):
    decoder = image_decoder()[:-1]
    with pytest.raises(ValueError, match=r"decoder maps.*\(n, 1, 12, 12\).*width 144"):
        quick(network=ModuleNetwork(image_encoder, decoder)).fit(images)


@pytest.mark.parametrize("side", ["encoder", "decoder"])
@pytest.mark.parametrize("part", [None, "dense", 3])
def test_a_part_that_is_not_callable_is_a_type_error(side, part, iris):
    parts = {"encoder": dense, "decoder": dense} | {side: part}
    with pytest.raises(TypeError, match=rf"ModuleNetwork's {side} must be.*{part!r}"):
        VAETransformer(network=ModuleNetwork(**parts)).fit(iris)


def test_a_factory_that_makes_no_module_is_a_type_error(iris):
    with pytest.raises(TypeError, match="ModuleNetwork's encoder returned 8, not a Module"):
        VAETransformer(network=ModuleNetwork(no_module, dense)).fit(iris)


def test_a_body_takes_several_draws_of_each_row():
    generator = torch.Generator().manual_seed(0)
    network = ModuleNetwork(image_encoder, image_decoder)
    body = network.build_decoder(LATENT_DIM, SIDE * SIDE, None, generator)
    z = torch.randn(3, 5, LATENT_DIM, generator=generator)
    expected = torch.stack([body(draw) for draw in z])
    torch.testing.assert_close(body(z), expected)


@pytest.mark.parametrize("n_rows", [65, 64])
def test_a_last_batch_of_one_row_does_not_break_batch_normalisation(n_rows, iris):
    encoder = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    model = VAETransformer(
        network=ModuleNetwork(encoder, nn.Linear(2, 4)),
        early_stopping=False,
        batch_size=64,
        max_iter=3,
        random_state=0,
    ).fit(iris[:n_rows])
    model.partial_fit(iris[:1])
    assert np.isfinite(model.score(iris))


def test_what_the_user_has_frozen_stays_so(iris):
    encoder = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
    encoder[0].requires_grad_(False)
    model = VAETransformer(
        network=ModuleNetwork(encoder, nn.Linear(2, 4)), early_stopping=False, max_iter=3
    ).fit(iris)
    model.partial_fit(iris)
    trained = model._fitted.module.encoder.body.module
    assert torch.equal(trained[0].weight, encoder[0].weight)
    assert not torch.equal(trained[2].weight, encoder[2].weight)


class Squashed(nn.Linear):
    def forward(self, x):
        return torch.sigmoid(super().forward(x))


SIGMOID = [nn.Linear(2, 8), nn.Sigmoid(), nn.Linear(8, 4)]
BOUNDED = {
    "a sigmoid": nn.Sequential(*SIGMOID, nn.Sigmoid()),
    "a sigmoid, of a function": Squashed(2, 4),
    "a sigmoid, of images": nn.Sequential(
        nn.Linear(2, 4), nn.Unflatten(1, (1, 2, 2)), nn.Sigmoid(), nn.Flatten()
    ),
    "a softmax": nn.Sequential(nn.Linear(2, 4), nn.Softmax(1)),
}


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("name", BOUNDED)
def test_a_decoder_of_bounded_outputs_is_warned_of_before_the_training(name, likelihood, iris):
    network = ModuleNetwork(dense, BOUNDED[name])
    model = VAETransformer(network=network, likelihood=likelihood, max_iter=0)
    with pytest.warns(UserWarning, match=f"ends in {name[:9]}.*leave it out"):
        model.fit(iris / 8)
    # Not again when it is stored and loaded.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(pickle.dumps(model)).transform(iris / 8)


@pytest.mark.parametrize("decoder", [nn.Sequential(*SIGMOID), nn.Linear(2, 4), dense])
def test_a_decoder_of_raw_outputs_is_not_nor_is_an_encoder(decoder, iris):
    encoder = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        VAETransformer(network=ModuleNetwork(encoder, decoder), max_iter=0).fit(iris)


@pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
def test_a_module_that_keeps_what_it_computed_can_be_cross_validated(iris):
    class Keeping(nn.Linear):
        def forward(self, x):
            self.kept = super().forward(x)  # as weight_norm keeps the weight
            return self.kept

    network = ModuleNetwork(dense, Keeping(2, 4))
    VAETransformer(network=network, early_stopping="cv", max_iter=1).fit(iris)


class Pair(nn.Linear):
    def forward(self, x):
        return super().forward(x), x


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (Pair(4, 4), "encoder returned a tuple, not one tensor of width 4"),
        (lambda n_in: nn.Linear(n_in, 4), "encoder must be .* cannot be called .*: too many"),
        (lambda: nn.Linear(4, 4), "encoder must be .* cannot be called .*: too many"),
        (lambda n_in, n_out, depth: nn.Linear(4, 4), "encoder .*: missing .*'depth'"),
    ],
)
def test_what_gives_no_tensor_or_cannot_be_called_is_named(encoder, message, iris, quick):
    with pytest.raises(TypeError, match=f"ModuleNetwork's {message}"):
        quick(network=ModuleNetwork(encoder, dense)).fit(iris)


def test_the_width_of_an_autoencoders_code_is_not_that_of_a_posterior(iris, autoencoder):
    with pytest.raises(ValueError, match="must give width 2: latent_dim for an autoencoder"):
        autoencoder(network=ModuleNetwork(nn.Linear(4, 3), dense)).fit(iris)


def test_lazy_layers_start_by_the_random_state(iris, quick):
    network = ModuleNetwork(nn.LazyLinear(4), lambda n_in, n_out: nn.LazyLinear(n_out))
    codes = []
    for seed in (0, 0, 1):
        torch.rand(3)
        codes.append(quick(network=network, random_state=seed).fit(iris).transform(iris))
    np.testing.assert_array_equal(codes[0], codes[1])
    assert not np.array_equal(codes[0], codes[2])
    assert isinstance(network.encoder, nn.LazyLinear)
