"""What an exchange of gradients takes in larger groups, on paper: a ring over a network."""

from typing import NamedTuple

import numpy as np
from _results import Table


class Network(NamedTuple):
    """Bandwidth in bytes a second and latency in seconds, each way, between two ranks."""

    name: str
    n_ranks: int
    bandwidth: float
    latency: float
    device: str

    def seconds(self, n_bytes):
        """Return the seconds of one all-reduce of so many bytes."""
        return self._sent(n_bytes) / self.bandwidth + self._waited()

    def bandwidth_for(self, n_bytes, seconds):
        """Return the bandwidth at which it takes so many seconds; infinite if it cannot."""
        left = seconds - self._waited()
        return self._sent(n_bytes) / left if left > 0 else np.inf

    def _sent(self, n_bytes):
        return 2 * (self.n_ranks - 1) / self.n_ranks * n_bytes

    def _waited(self):
        return 2 * (self.n_ranks - 1) * self.latency


NETWORKS = [
    Network("10 GbE", 64, 1.25e9, 50e-6, "cpu"),
    Network("100 GbE", 64, 1.25e10, 10e-6, "cpu"),
    Network("NVLink", 8, 2e11, 10e-6, "cuda"),
]


def carried_on(seconds, device, n_bytes):
    """Return tables of what an exchange takes, and how efficient ranks are that wait for it.

    Parameters
    ----------
    seconds : dict of int to float
        Of a step of one process alone, by its rows.
    device : {"cpu", "cuda"}
        Where it was measured. Other devices have none of these figures.
    n_bytes : int
        Of the gradients.
    """
    most, exchange, efficiency = max(seconds), [], []
    for network in NETWORKS:
        own, c = [network.name, network.n_ranks], network.seconds(n_bytes)
        is_measured = network.device == device
        rows = f"{9 * c * most / seconds[most]:,.0f}" if is_measured else "not measured"
        exchange.append([*own, f"{1e3 * c:.2f}", f"{9e3 * c:.1f}", rows])
        for batch, step in seconds.items() if is_measured else ():
            needed = _gigabits(network.bandwidth_for(n_bytes, step / 9))
            share = f"{step / (step + c):.0%}"
            efficiency.append([*own, batch, f"{1e3 * step:.1f}", share, needed])
    title = f"Exchange of {n_bytes / 1e6:.1f} MB of gradients"
    return [
        Table(
            f"{title}, and arithmetic beside which it takes a tenth of the time",
            ["network", "ranks", "exchange, ms", "arithmetic, ms", "rows of a rank"],
            exchange,
        ),
        Table(
            "Efficiency of a rank, and the bandwidth at which the exchange takes a tenth",
            ["network", "ranks", "rows of a rank", "arithmetic, ms", "efficiency", "Gbit/s"],
            efficiency,
        ),
    ]


def _gigabits(bandwidth):
    """Return a bandwidth in bytes a second as text."""
    if not np.isfinite(bandwidth):
        return "latency alone is more"
    gigabits = 8e-9 * bandwidth
    return f"{gigabits:.0f}" if gigabits > 10 else f"{gigabits:.1f}"
