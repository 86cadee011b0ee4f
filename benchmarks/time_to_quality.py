"""Wall time until the tutorial's loss: 134,165 parameters, MNIST, validation loss 151.33.

    pip install ".[bench]" && python benchmarks/time_to_quality.py

The published recipe in Keras (Adam, constant rate) beside skvae's default schedule over
`--epochs`, both in batches of 32; validation after each epoch, as the test rows' ELBO.
"""

import argparse
import os
import time
import warnings

import numpy as np
from _results import Table, add_option, save

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
GOAL = 151.33


def ours(train, test, epochs):
    """Return the seconds after each epoch and the losses there."""
    from skvae import VAETransformer
    from skvae.networks import ConvNet

    vae = VAETransformer(
        network=ConvNet(linear_map=False),
        likelihood="bernoulli",
        image_shape=(28, 28),
        batch_size=32,
        max_iter=epochs,
        random_state=0,
    )
    start = time.perf_counter()
    vae.fit(train, X_val=test)
    seconds = time.perf_counter() - start
    losses = vae.history_["validation_loss"]
    return seconds * np.arange(1, len(losses) + 1) / len(losses), losses


def published(train, test, epochs):
    """Return the same for the recipe in Keras."""
    from _keras_vae import build

    model = build("conv")
    seconds, losses = [], []
    start = time.perf_counter()
    for _ in range(epochs):
        model.fit(train, train, 32, epochs=1, verbose=0)
        losses.append(model.evaluate(test, test, 1000, verbose=0))
        seconds.append(time.perf_counter() - start)
        if losses[-1] <= GOAL:
            break
    return seconds, losses


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--most", type=int, default=20, help="epochs of the recipe in Keras")
    add_option(parser)
    args = parser.parse_args()
    from _data import load_images
    from _machine import describe_machine

    warnings.simplefilter("ignore")
    print(describe_machine())
    train, test = load_images("mnist_784")
    rows = []
    for function, epochs in ((ours, args.epochs), (published, args.most)):
        seconds, losses = function(train, test, epochs)
        reached = np.flatnonzero(np.asarray(losses) <= GOAL)
        at = f"{seconds[reached[0]]:.0f} s, epoch {reached[0] + 1}" if len(reached) else "never"
        losses = np.round(losses, 2)
        rows.append([function.__name__, at, " ".join(f"{loss:.2f}" for loss in losses)])
        print(f"{function.__name__}: {GOAL} at {at}; losses {losses}", flush=True)
    columns = ["recipe", f"{GOAL} at", "losses after each epoch"]
    save(__file__, [Table("Time until the published loss", columns, rows)], args.save)


if __name__ == "__main__":
    main()
