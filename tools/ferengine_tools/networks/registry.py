"""The networks by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from ferengine.errors import UsageError
from ferengine_tools.networks import Init
from ferengine_tools.networks.dscnn import DepthwiseSeparableNet
from ferengine_tools.networks.paper import PaperCnn, PaperVgg
from ferengine_tools.networks.rep import RepConv, RepNet
from ferengine_tools.networks.resnet import ResNet18

_MAKERS: dict[str, Callable[[int], nn.Module]] = {
    "cnn": PaperCnn,
    "vgg": PaperVgg,
    "resnet18": ResNet18,
    "dscnn": DepthwiseSeparableNet,
    "fast": partial(RepNet, widths=(24, 48, 96, 192), depths=(1, 2, 2, 2), dropout=0.2),
    "standard": partial(RepNet, widths=(32, 64, 128, 256), depths=(1, 2, 2, 2), dropout=0.2),
    "accurate": partial(RepNet, widths=(40, 80, 144, 224), depths=(1, 3, 3, 2), dropout=0.3),
}


def create_network(name: str, classes: int, init: Init = "kaiming") -> nn.Module:
    """Return a network with fresh weights.

    Args:
        name: One of ``NETWORKS``.
        classes: The number of logits.
        init: "gaussian" draws the weights of each convolution from N(0, 0.04), an option of Zhao's paper; "kaiming" is torch's
            own initialisation.

    Raises:
        UsageError: There is no such network.
    """
    if name not in _MAKERS:
        raise UsageError(f"there is no network {name!r}: choose one of {', '.join(_MAKERS)}")
    network = _MAKERS[name](classes)
    if init == "gaussian":
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.04)
            elif isinstance(module, RepConv):
                nn.init.normal_(module.square, 0.0, 0.04)
                nn.init.normal_(module.point, 0.0, 0.04)
    return network


def deployed(network: nn.Module) -> nn.Module:
    """Return ``network`` as it is exported: its branches merged, where it has any."""
    return network.deployed() if isinstance(network, RepNet) else network
