"""The well-known VAE tutorials' systems, rebuilt by setting parameters.

    python benchmarks/tutorials.py conv_mnist

Each recipe gives rows of one table: the published figure beside ours, with parameters and
epochs. Without a name all are run, which takes some hours on two cores.
"""

import argparse
import warnings

from _machine import describe_machine
from _recipes_autoencoder import cnn_autoencoder
from _recipes_density import burda_mnist, static_mnist
from _recipes_images import (
    batch_norm_mnist,
    colour,
    conv_mnist,
    cvae_fashion,
    dcgan_mnist,
    dense_mnist,
    frey_faces,
)
from _results import Table, add_option, save
from _table import Row, print_header, print_row
from sklearn.exceptions import ConvergenceWarning

RECIPES = {
    recipe.__name__: recipe
    for recipe in (
        conv_mnist,
        dense_mnist,
        cvae_fashion,
        frey_faces,
        cnn_autoencoder,
        batch_norm_mnist,
        dcgan_mnist,
        colour,
        static_mnist,
        burda_mnist,
    )
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", metavar="recipe", help=", ".join(RECIPES))
    parser.add_argument("--seed", type=int, default=0)
    add_option(parser)
    args = parser.parse_args()
    unknown = set(args.recipes) - set(RECIPES)
    if unknown:
        parser.error(f"unknown recipe {sorted(unknown)}; use some of {sorted(RECIPES)}")
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = []
    for name in args.recipes or RECIPES:
        print(f"{name}: {RECIPES[name].__doc__}", flush=True)
        for row in RECIPES[name](args.seed):
            print("  ", *row, flush=True)
            rows.append(row)
    print()
    print(describe_machine())
    print_header(Row._fields)
    for row in rows:
        print_row(row)
    title = "Published figures and ours"
    save(__file__, [Table(title, Row._fields, rows)], args.save)


if __name__ == "__main__":
    main()
