"""Plain stacks of 3x3 convolutions, made from richer layers that are merged into them: after X. Ding et al., "RepVGG: Making
VGG-style ConvNets Great Again", CVPR 2021, with the branches merged before one common batch normalisation, so that
training costs no more than the plain network: M. Hu et al., "Online Convolutional Re-parameterization", CVPR 2022."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional


class RepConv(nn.Module):
    """3x3 + 1x1 + identity (where size and width stay), summed in the weights; batch normalisation; ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.square = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        self.point = nn.Parameter(torch.empty(outputs, inputs, 1, 1))
        nn.init.kaiming_normal_(self.square, nonlinearity="relu")
        nn.init.kaiming_normal_(self.point, nonlinearity="relu")
        self.skip = nn.Parameter(torch.ones(outputs)) if inputs == outputs and stride == 1 else None
        self.bn = nn.BatchNorm2d(outputs)

    def weight(self) -> Tensor:
        """The kernel that all branches amount to, (outputs, inputs, 3, 3)."""
        merged = self.square + functional.pad(self.point, (1, 1, 1, 1))
        if self.skip is not None:
            merged = merged + functional.pad(torch.diag(self.skip)[:, :, None, None], (1, 1, 1, 1))
        return merged

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu_(self.bn(functional.conv2d(x, self.weight(), None, self.stride, 1)))

    @torch.no_grad()
    def merged(self) -> nn.Sequential:
        """The same layer as one convolution, batch normalisation and ReLU."""
        kernel = self.weight()
        conv = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, self.stride, 1, bias=False)
        conv.weight.copy_(kernel)
        return nn.Sequential(conv, copy.deepcopy(self.bn), nn.ReLU())


class RepNet(nn.Module):
    """(N, 1, 48, 48) -> widths[0] x 24 x 24 -> widths[1] x 12 x 12 -> widths[2] x 6 x 6 -> widths[3] x 3 x 3 -> mean -> logits
    (N, classes). ``depths``: convolutions of each stage; the first of each has stride 2."""

    def __init__(self, classes: int, widths: tuple[int, ...], depths: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        layers = []
        inputs = 1
        for outputs, depth in zip(widths, depths, strict=True):
            for index in range(depth):
                layers.append(RepConv(inputs, outputs, 2 if index == 0 else 1))
                inputs = outputs
        self.body = nn.Sequential(*layers)
        self.drop = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.drop(self.body(x).mean((2, 3))))
        return logits

    def deployed(self) -> RepNet:
        """A copy whose layers are merged: what is exported."""
        plain = copy.deepcopy(self)
        plain.body = nn.Sequential(
            *(layer.merged() if isinstance(layer, RepConv) else layer for layer in plain.body.children())
        )
        return plain
