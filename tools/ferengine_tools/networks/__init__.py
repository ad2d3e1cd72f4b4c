"""Networks that can be trained, by name: grey crops, float32 (N, 1, 48, 48) -> logits, float32 (N, classes)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import nn

from ferengine.errors import UsageError
from ferengine_tools.networks.document import DocumentCnn, DocumentVgg
from ferengine_tools.networks.dscnn import DepthwiseSeparableNet
from ferengine_tools.networks.rep import RepConv, RepNet
from ferengine_tools.networks.resnet import ResNet18

NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "cnn": DocumentCnn,
    "vgg": DocumentVgg,
    "resnet18": ResNet18,
    "dscnn": DepthwiseSeparableNet,
    "fast": partial(RepNet, widths=(24, 48, 96, 192), depths=(1, 2, 2, 2), dropout=0.2),
    "standard": partial(RepNet, widths=(32, 64, 128, 256), depths=(1, 2, 2, 2), dropout=0.2),
    "accurate": partial(RepNet, widths=(40, 80, 144, 224), depths=(1, 3, 3, 2), dropout=0.3),
}

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
            elif isinstance(module, RepConv):
                nn.init.normal_(module.square, 0.0, 0.04)
                nn.init.normal_(module.point, 0.0, 0.04)
    return network


def deployed(network: nn.Module) -> nn.Module:
    """The form of ``network`` that is exported: its branches merged, where it has any."""
    return network.deployed() if isinstance(network, RepNet) else network
