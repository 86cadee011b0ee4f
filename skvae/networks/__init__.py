"""Networks: parameter objects that build the encoder's and the decoder's bodies.

A body maps flat rows to flat rows, ``(..., n_in) -> (..., n_out)``; only `ConvNet` uses image
shapes. A new network is one subclass of :class:`Network` and one line in `NETWORKS`.
"""

from skvae.networks.base import Body, Network
from skvae.networks.conv import ConvNet
from skvae.networks.mlp import MLP
from skvae.networks.module import ModuleNetwork

NETWORKS: dict[str, type[Network]] = {"mlp": MLP, "conv": ConvNet}

__all__ = ["MLP", "NETWORKS", "Body", "ConvNet", "ModuleNetwork", "Network"]
