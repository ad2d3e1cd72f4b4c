"""ResNet-18 as in Zhao's paper (section III.B): K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class _Unit(nn.Module):
    """Two 3x3 convolutions with batch normalisation beside a shortcut (1x1 where size or width change)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(inner + self.shortcut(x))


class ResNet18(nn.Module):
    """(N, 1, 48, 48) -> 7x7, stride 2: 64 x 24 x 24 -> 3x3 maximum, stride 2: 64 x 12 x 12 -> two units each of 64 x 12 x 12,
    128 x 6 x 6, 256 x 3 x 3, 512 x 2 x 2 -> mean -> logits (N, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)
        )
        units: list[nn.Module] = []
        inputs = 64
        for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            units += [_Unit(inputs, outputs, stride), _Unit(outputs, outputs, 1)]
            inputs = outputs
        self.body = nn.Sequential(*units)
        self.fc = nn.Linear(512, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.body(self.stem(x)).mean((2, 3)))
        return logits
