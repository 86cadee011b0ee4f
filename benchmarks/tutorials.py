"""The well-known VAE tutorials' systems, rebuilt by setting parameters.

    python benchmarks/tutorials.py conv_mnist

Each recipe has a table: the published figure beside ours, with parameters and epochs; losses
are in nats per row. Parameters that a recipe does not name are at their defaults. Without a
name all recipes are run, which takes some hours on two cores. mnist_dense.py, binary_mnist.py
and conv_images.py have other tutorials.
"""

import argparse
import warnings

from _machine import describe_machine
from _recipes_autoencoder import cnn_autoencoder
from _recipes_density import burda_iwae, burda_vae
from _recipes_images import (
    batch_norm_mnist,
    conv_mnist,
    cvae_fashion,
    dcgan_mnist,
    frey_faces,
)
from _results import Table, add_option, save
from _table import Row
from sklearn.exceptions import ConvergenceWarning

RECIPES = {
    recipe.__name__: recipe
    for recipe in (
        conv_mnist,
        cvae_fashion,
        frey_faces,
        cnn_autoencoder,
        batch_norm_mnist,
        dcgan_mnist,
        burda_vae,
        burda_iwae,
    )
}


def table(name, n_seeds):
    """Run a recipe with each seed and return its table."""
    print(f"{name}: {RECIPES[name].__doc__}", flush=True)
    runs = []
    for seed in range(n_seeds):
        runs.append([])
        for row in RECIPES[name](seed):
            print("  ", row, flush=True)
            runs[-1].append(row)
    columns = [*Row._fields[:-1], *runs[0][0].figures]
    rows = [
        [merged(cells) for cells in zip(*map(flat, same), strict=True)]
        for same in zip(*runs, strict=True)
    ]
    return Table(RECIPES[name].__doc__.splitlines()[0], columns, rows)


def flat(row):
    """Return the cells of a row, its figures behind the others."""
    return [*row[:-1], *row.figures.values()]


def merged(cells):
    """Return the cell of all seeds: their numbers, or each text once."""
    return ", ".join(dict.fromkeys(cells)) if isinstance(cells[0], str) else list(cells)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", metavar="recipe", help=", ".join(RECIPES))
    parser.add_argument("--seeds", type=int, default=1)
    add_option(parser)
    args = parser.parse_args()
    unknown = set(args.recipes) - set(RECIPES)
    if unknown:
        parser.error(f"unknown recipe {sorted(unknown)}; use some of {sorted(RECIPES)}")
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(describe_machine())
    tables = [table(name, args.seeds) for name in args.recipes or RECIPES]
    save(__file__, tables, args.save)


if __name__ == "__main__":
    main()
