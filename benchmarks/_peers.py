"""The same VAE, trained by skvae and by what a user would pick instead.

Each function trains one epoch on random rows and returns the seconds that took. What has
to be compiled or warmed up is warmed up first, and not timed.
"""

import tempfile
import time
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn import functional

LATENT = 2


class Flat(nn.Module):
    """Flattens or restores images."""

    def __init__(self, *shape):
        super().__init__()
        self.shape = shape

    def forward(self, x):
        return x.reshape(len(x), *self.shape)


def torch_network(kind):
    """Return encoder and decoder as a tutorial writes them."""
    if kind == "dense":
        return (
            nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 2 * LATENT)),
            nn.Sequential(nn.Linear(LATENT, 512), nn.ReLU(), nn.Linear(512, 784)),
        )
    encoder = nn.Sequential(
        Flat(1, 28, 28),
        nn.Conv2d(1, 32, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(3136, 16),
        nn.ReLU(),
        nn.Linear(16, 2 * LATENT),
    )
    decoder = nn.Sequential(
        nn.Linear(LATENT, 3136),
        nn.ReLU(),
        Flat(64, 7, 7),
        nn.ConvTranspose2d(64, 64, 3, 2, 1, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 3, 2, 1, 1),
        nn.ReLU(),
        nn.Conv2d(32, 1, 3, padding=1),
        nn.Flatten(),
    )
    return encoder, decoder


def skvae(kind, X, batch_size):
    """A fit of three epochs less one of one: steps, without what a fit does once."""
    one, three = (_fit_skvae(kind, X, batch_size, epochs) for epochs in (1, 3))
    return (three - one) / 2


def _fit_skvae(kind, X, batch_size, epochs):
    from skvae import VAETransformer
    from skvae.networks import MLP, ConvNet

    vae = VAETransformer(
        LATENT,
        network=MLP((512,), linear_map=False) if kind == "dense" else ConvNet(),
        likelihood="bernoulli",
        image_shape=(28, 28),
        batch_size=batch_size,
        max_iter=epochs,
        early_stopping=False,
        random_state=0,
        device="cpu",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        vae.fit(X)
        return time.perf_counter() - start


def torch_loop(kind, X, batch_size):
    """The plainest loop: indexed tensors, fused Adam."""
    x = torch.from_numpy(X)

    def batches(rows):
        return (x[part] for part in torch.randperm(rows).split(batch_size))

    return _torch_epoch(kind, batches, len(X), batch_size)


def torch_dataloader(kind, X, batch_size):
    """The same with a DataLoader."""
    data = torch.utils.data.TensorDataset(torch.from_numpy(X))

    def batches(rows):
        part = torch.utils.data.Subset(data, range(rows))
        loader = torch.utils.data.DataLoader(part, batch_size, shuffle=True)
        return (x for (x,) in loader)

    return _torch_epoch(kind, batches, len(X), batch_size)


def _torch_epoch(kind, batches, n_rows, batch_size):
    encoder, decoder = torch_network(kind)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)

    def epoch(rows):
        for x in batches(rows):
            mean, log_scale = encoder(x).chunk(2, dim=1)
            scale = log_scale.exp()
            logits = decoder(mean + scale * torch.randn_like(mean))
            fit = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
            kl = 0.5 * (mean**2 + scale**2 - 1 - 2 * log_scale).sum()
            optimizer.zero_grad()
            ((fit + kl) / len(x)).backward()
            optimizer.step()

    epoch(5 * batch_size)
    start = time.perf_counter()
    epoch(n_rows)
    return time.perf_counter() - start


def pythae(kind, X, batch_size):
    """pythae's VAE and BaseTrainer's training step, on its DataLoader."""
    import logging

    logging.disable(logging.WARNING)
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    body_in, body_out = torch_network(kind)

    class Encoder(BaseEncoder):
        def __init__(self):
            BaseEncoder.__init__(self)
            self.body = body_in

        def forward(self, x):
            mean, log_var = self.body(x).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self):
            BaseDecoder.__init__(self)
            self.body = nn.Sequential(body_out, nn.Sigmoid())

        def forward(self, z):
            return ModelOutput(reconstruction=self.body(z))

    config = VAEConfig(input_dim=(784,), latent_dim=LATENT, reconstruction_loss="bce")
    model = VAE(config, encoder=Encoder(), decoder=Decoder())
    training = BaseTrainerConfig(
        output_dir=tempfile.mkdtemp(),
        num_epochs=1,
        per_device_train_batch_size=batch_size,
        learning_rate=1e-3,
        no_cuda=True,
    )

    def epoch(rows):
        data = BaseDataset(torch.from_numpy(rows), torch.zeros(len(rows)))
        trainer = BaseTrainer(model, data, training_config=training)
        trainer.prepare_training()
        start = time.perf_counter()
        trainer.train_step(1)
        return time.perf_counter() - start

    epoch(X[: 5 * batch_size])
    return epoch(X)


def keras(kind, X, batch_size):
    """keras.Model with a train_step of its own loss, on the backend in KERAS_BACKEND."""
    from _keras_vae import build

    model = build(kind)
    model.fit(X[: 5 * batch_size], X[: 5 * batch_size], batch_size, epochs=1, verbose=0)
    start = time.perf_counter()
    model.fit(X, X, batch_size, epochs=1, verbose=0)
    return time.perf_counter() - start


def random_rows(n_rows):
    """Return grey values in [0, 1], float32."""
    return np.random.default_rng(0).random((n_rows, 784), dtype=np.float32)
