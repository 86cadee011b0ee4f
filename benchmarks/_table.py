"""Tables in Markdown, and one row of a tutorial's table."""

import time
from typing import NamedTuple


class Row(NamedTuple):
    """A recipe's figures, by their names, beside the published one."""

    system: str
    parameters: str
    epochs: int
    seconds: float
    published: str
    figures: dict

    def __str__(self):
        rounded = (
            f"{name} {value if isinstance(value, str) else round(float(value), 4)}"
            for name, value in self.figures.items()
        )
        return "; ".join(map(str, [*self[:-1], *rounded]))


def fit(model, *args, **kwargs):
    """Return the fitted model, its number of trained parameters and the seconds it took."""
    start = time.perf_counter()
    model.fit(*args, **kwargs)
    seconds = round(time.perf_counter() - start)
    count = sum(p.numel() for p in model._fitted.module.parameters())
    return model, f"{count:,}", seconds


def print_header(columns):
    """Print the head of a Markdown table."""
    print_row(columns)
    print("|" + " --- |" * len(columns))


def print_row(cells):
    """Print a row of a Markdown table."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)
