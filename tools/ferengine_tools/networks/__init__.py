"""Networks that can be trained, by name: grey crops, float32 (N, 1, 48, 48) -> logits, float32 (N, classes)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import nn

from ferengine.errors import UsageError
from ferengine_tools.networks.dscnn import DepthwiseSeparableNet

NETWORKS: dict[str, Callable[[int], nn.Module]] = {"dscnn": DepthwiseSeparableNet}

Init = Literal["kaiming", "gaussian"]


def create_network(name: str, classes: int, init: Init = "kaiming") -> nn.Module:
    """The network ``name`` with fresh weights.

    ``init``: "gaussian" draws each convolution's from N(0, 0.04), the document's option; "kaiming" is torch's own.
    """
    if name not in NETWORKS:
        raise UsageError(f"there is no network {name!r}: choose one of {', '.join(NETWORKS)}")
    network = NETWORKS[name](classes)
    if init == "gaussian":
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.04)
    return network
