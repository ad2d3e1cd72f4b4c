"""The two networks with large fully connected heads of Zhao, "Facial Expression Recognition Based on Various Deep Neural
Networks", section III.B: CNN and VGG-inspired."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    """3x3, stride 1, padding 1, batch normalisation, ReLU."""
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


def _head(widths: tuple[int, ...], classes: int, first_dropout: float) -> nn.Sequential:
    """Dropout, then linear layers of ``widths`` with ReLU between them, dropout 0.5 before each but the first and last."""
    layers: list[nn.Module] = [nn.Flatten(), nn.Dropout(first_dropout), nn.Linear(widths[0], widths[1]), nn.ReLU()]
    for inputs, outputs in pairwise(widths[1:]):
        layers += [nn.Dropout(0.5), nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes))


class PaperCnn(nn.Module):
    """(N, 1, 48, 48) -> 64 x 24 x 24 -> 128 x 12 x 12 -> 256 x 6 x 6, one 3x3 convolution and one 2x2 maximum each; dropout
    0.2; 9216 -> 4096 -> 1024 -> 256 -> logits (N, classes), dropout 0.5 between."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((1, 64), (64, 128), (128, 256)):
            layers += [*_convolution(inputs, outputs), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers)
        self.head = _head((256 * 6 * 6, 4096, 1024, 256), classes, first_dropout=0.2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(x))
        return logits


class PaperVgg(nn.Module):
    """(N, 1, 48, 48) -> 2 x 32 channels, 24 x 24 -> 3 x 64, 12 x 12 -> 3 x 128, 6 x 6, a 2x2 maximum after each block; dropout
    0.5; 4608 -> 4096 -> 4096 -> 1024 -> 256 -> logits (N, classes), dropout 0.5 between."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for outputs, count in ((32, 2), (64, 3), (128, 3)):
            for _ in range(count):
                layers += _convolution(inputs, outputs)
                inputs = outputs
            layers.append(nn.MaxPool2d(2))
        self.body = nn.Sequential(*layers)
        self.head = _head((128 * 6 * 6, 4096, 4096, 1024, 256), classes, first_dropout=0.5)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(x))
        return logits
