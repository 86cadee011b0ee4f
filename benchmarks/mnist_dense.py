"""The dense VAE on MNIST: 784-512-2-512-784, Bernoulli, test -ELBO after 10 epochs.

    python benchmarks/mnist_dense.py

Everything but the network, the likelihood and the number of epochs is at its default.
"""

import argparse
import time

from _data import load_images
from _machine import describe_machine
from _results import Table, add_option, save

from skvae import VAETransformer
from skvae.networks import MLP

TARGET = 150.5
COLUMNS = ["seeds", "epochs", "test -ELBO", "test -log p(x)", "fit, s"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=None)
    parser.add_argument("--precision", default="float32")
    add_option(parser)
    args = parser.parse_args()
    X_train, X_test = load_images("mnist_784")
    print(describe_machine())
    print("seed  epochs  test -ELBO  test -log p(x)  fit (s)")
    rows = []
    for seed in range(args.seeds):
        vae = VAETransformer(
            latent_dim=2,
            network=MLP(hidden_layer_sizes=(512,), linear_map=False),
            likelihood="bernoulli",
            max_iter=10,
            early_stopping=False,
            random_state=seed,
            batch_size=args.batch_size or "auto",
            precision=args.precision,
        )
        start = time.perf_counter()
        vae.fit(X_train)
        seconds = time.perf_counter() - start
        loss = -vae.elbo(X_test).value.mean()
        verdict = "met" if loss <= TARGET else f"missed by {loss - TARGET:.2f}"
        rows.append([vae.n_iter_, loss, -vae.score(X_test), seconds])
        print(
            "{:4d}  {:6d}  {:10.2f}  {:14.2f}  {:7.1f}".format(seed, *rows[-1]),
            f" target {TARGET}: {verdict}",
            flush=True,
        )
    row = [str(args.seeds), *zip(*rows, strict=True)]
    title = f"Nats per test image; the target is {TARGET}"
    save(__file__, [Table(title, COLUMNS, [row])], args.save)


if __name__ == "__main__":
    main()
