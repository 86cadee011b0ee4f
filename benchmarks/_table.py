"""One row of the tutorials' table, and how it is printed."""

import time
from typing import NamedTuple


class Row(NamedTuple):
    """A recipe's figure beside the published one."""

    system: str
    parameters: str
    epochs: int
    seconds: float
    published: str
    ours: str


def fit(model, *args, **kwargs):
    """Return the fitted model, its number of trained parameters and the seconds it took."""
    start = time.perf_counter()
    model.fit(*args, **kwargs)
    seconds = round(time.perf_counter() - start)
    count = sum(p.numel() for p in model._fitted.module.parameters())
    return model, f"{count:,}", seconds


def print_table(rows):
    """Print rows as a Markdown table."""
    print("| " + " | ".join(Row._fields) + " |")
    print("|" + " --- |" * len(Row._fields))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
