"""The same VAE, trained by skvae and by what a user would pick instead.

Each function trains one epoch on random rows and returns the seconds that took. What has
to be compiled or warmed up is warmed up first, and not timed.
"""

import tempfile
import time
import warnings

import numpy as np
import torch
import torch.utils.flop_counter
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


def now(device):
    """Return the time when the device has done what it was given."""
    if device != "cpu":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def skvae(kind, X, batch_size, device):
    """A fit of three epochs less one of one: steps, without what a fit does once."""
    _fit_skvae(kind, X[: 5 * batch_size], batch_size, 1, device)
    one, three = (_fit_skvae(kind, X, batch_size, epochs, device) for epochs in (1, 3))
    return (three - one) / 2


def _fit_skvae(kind, X, batch_size, epochs, device):
    from skvae import VAETransformer
    from skvae.networks import MLP, ConvNet

    dense, conv = MLP((512,), linear_map=False), ConvNet(linear_map=False)
    vae = VAETransformer(
        LATENT,
        network=dense if kind == "dense" else conv,
        likelihood="bernoulli",
        image_shape=(28, 28),
        batch_size=batch_size,
        max_iter=epochs,
        early_stopping=False,
        random_state=0,
        device=device,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = now(device)
        vae.fit(X)
        return now(device) - start


def torch_loop(kind, X, batch_size, device):
    """The plainest loop: indexed tensors, on the device, fused Adam."""
    x = torch.from_numpy(X).to(device)

    def batches(rows):
        return (x[part] for part in torch.randperm(rows, device=device).split(batch_size))

    return _torch_epoch(kind, batches, len(X), batch_size, device)


def torch_dataloader(kind, X, batch_size, device):
    """The same with a DataLoader."""
    data = torch.utils.data.TensorDataset(torch.from_numpy(X))

    def batches(rows):
        part = torch.utils.data.Subset(data, range(rows))
        loader = torch.utils.data.DataLoader(part, batch_size, shuffle=True)
        return (x.to(device) for (x,) in loader)

    return _torch_epoch(kind, batches, len(X), batch_size, device)


def _torch_epoch(kind, batches, n_rows, batch_size, device):
    encoder, decoder = (part.to(device) for part in torch_network(kind))
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

    epoch(min(5 * batch_size, n_rows))
    start = now(device)
    epoch(n_rows)
    return now(device) - start


def pythae(kind, X, batch_size, device):
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
        no_cuda=device == "cpu",
    )

    def epoch(rows):
        data = BaseDataset(torch.from_numpy(rows), torch.zeros(len(rows)))
        trainer = BaseTrainer(model, data, training_config=training)
        trainer.prepare_training()
        start = now(device)
        trainer.train_step(1)
        return now(device) - start

    epoch(X[: 5 * batch_size])
    return epoch(X)


def keras(kind, X, batch_size, device):
    """keras.Model with a train_step of its own loss, on the backend in KERAS_BACKEND.

    Keras chooses the device.
    """
    from _keras_vae import build

    model = build(kind)
    model.fit(X[: 5 * batch_size], X[: 5 * batch_size], batch_size, epochs=1, verbose=0)
    start = time.perf_counter()
    model.fit(X, X, batch_size, epochs=1, verbose=0)
    return time.perf_counter() - start


def product_rate(device, size=2048, repeats=20):
    """Return the FLOP/s of the fastest of some float32 matrix products."""
    a, b = (torch.rand(size, size, device=device) for _ in range(2))
    seconds = []
    for _ in range(repeats):
        start = now(device)
        a @ b
        seconds.append(now(device) - start)
    return 2 * size**3 / min(seconds)


def flop_per_row(kind):
    """Return what the products of one training step need, per row of the batch."""
    encoder, decoder = torch_network(kind)
    x = torch.rand(1, 784)
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        decoder(encoder(x)[:, :LATENT]).sum().backward()
    return counter.get_total_flops()


def random_rows(n_rows):
    """Return grey values in [0, 1], float32."""
    return np.random.default_rng(0).random((n_rows, 784), dtype=np.float32)
