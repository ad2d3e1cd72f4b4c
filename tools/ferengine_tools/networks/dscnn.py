"""The depthwise-separable network with residuals, after the mini-Xception of O. Arriaga et al., "Real-time Convolutional Neural
Networks for Emotion and Gender Classification", 2017; its first convolution has stride 2, where most time went."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class _Separable(nn.Module):
    """3x3 depthwise convolution, then 1x1, each with batch normalisation."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.dw = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.pw = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.bn2(self.pw(functional.relu(self.bn1(self.dw(x)))))
        return result


class _Reduction(nn.Module):
    """Halves the map and widens it, beside a 1x1 convolution of stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.a = _Separable(inputs, outputs, 2)
        self.b = _Separable(outputs, outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.b(functional.relu(self.a(x))) + self.bn(self.skip(x)))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a = _Separable(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.a(x))


class DepthwiseSeparableNet(nn.Module):
    """(N, 1, 48, 48) -> 32 x 24 x 24 -> 96 x 12 x 12 -> 192 x 6 x 6 -> 256 x 3 x 3 -> mean -> logits (N, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        self.body = nn.Sequential(
            _Residual(32),
            _Reduction(32, 96),
            _Residual(96),
            _Reduction(96, 192),
            _Residual(192),
            _Residual(192),
            _Reduction(192, 256),
        )
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(256, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.drop(self.body(self.stem(x)).mean((2, 3))))
        return logits
