"""Tables of mixed columns, and what draws new rows of them: the model and its peers."""

import multiprocessing
import resource
import time
import warnings

import numpy as np
import pandas as pd

from skvae import VAETransformer
from skvae.networks import MLP

#: The column that a classifier or a regressor is to predict.
TARGETS = {"adult": "income", "wine_quality": "quality"}


def load(folder, name):
    """Return training rows and held-out rows, a fifth, with strings as categories."""
    table = pd.read_csv(f"{folder}/{name}.csv.gz")
    for column in table.columns[table.dtypes.map(lambda dtype: not _is_number(dtype))]:
        table[column] = table[column].astype("category")
    table = table.sample(frac=1, random_state=0, ignore_index=True)
    return table[len(table) // 5 :], table[: len(table) // 5]


def _is_number(dtype):
    return pd.api.types.is_numeric_dtype(dtype)


def categories(table):
    """Return the names of the columns of categories."""
    return list(table.select_dtypes("category"))


class Skvae:
    """The package's own model with nothing but the dimensions of the code."""

    drops_gaps = False
    settings = {"latent_dim": 10}

    def __init__(self, seed):
        self.seed = seed

    def fit(self, table):
        self.model = VAETransformer(**self.settings, random_state=self.seed).fit(table)

    def sample(self, n):
        return self.model.sample(n, random_state=self.seed)


class LongerSkvae(Skvae):
    """A larger network, larger batches and a lower rate: three times the time."""

    settings = {
        "latent_dim": 10,
        "network": MLP((256,)),
        "batch_size": 256,
        "max_iter": 120,
        "learning_rate_init": 2e-3,
    }


class Independent:
    """Each column drawn from its own training values."""

    drops_gaps = True

    def __init__(self, seed):
        self.seed = seed

    def fit(self, table):
        self.table = table

    def sample(self, n):
        rng = np.random.default_rng(self.seed)
        return pd.DataFrame(
            {name: rng.choice(values.astype(object), n) for name, values in self.table.items()}
        )


class Tvae:
    """TVAE of the package `ctgan`, at its defaults; it does not take missing values."""

    drops_gaps = True
    name = "TVAE"

    def __init__(self, seed):
        self.seed = seed

    def fit(self, table):
        # Only the benchmark of these needs the package.
        import ctgan

        self.model = getattr(ctgan, self.name)()
        self.model.set_random_state(self.seed)
        plain = table.astype(dict.fromkeys(categories(table), object))
        self.model.fit(plain, categories(table))

    def sample(self, n):
        return self.model.sample(n)


class Ctgan(Tvae):
    """CTGAN, in the same way."""

    name = "CTGAN"


MODELS = {
    "independent": Independent,
    "skvae": Skvae,
    "longer": LongerSkvae,
    "tvae": Tvae,
    "ctgan": Ctgan,
}


def synthesize(name, table, seed):
    """Return as many drawn rows as a table has; seconds, CPU seconds and MiB that fit took.

    A process of its own, so that the memory of one model is not another's peak.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        rows, *figures = pool.apply(_synthesize, (name, table, seed))
    return rows[list(table)].astype(table.dtypes), *figures


def _synthesize(name, table, seed):
    warnings.simplefilter("ignore")
    model = MODELS[name](seed)
    table = table.dropna() if model.drops_gaps else table
    before = _peak()
    start, cpu_start = time.perf_counter(), time.process_time()
    model.fit(table)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    added = _peak() - before
    return model.sample(len(table)), seconds, cpu, added


def _peak():
    """Return the largest resident set so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
