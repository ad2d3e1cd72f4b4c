"""Networks that can be trained: grayscale crops, float32 (N, 1, 48, 48) -> logits, float32 (N, classes).

The names are here, where torch is not needed; ``registry`` makes the networks.
"""

from __future__ import annotations

from typing import Literal, get_args

NetworkName = Literal["cnn", "vgg", "resnet18", "dscnn", "fast", "standard", "accurate"]
NETWORKS: tuple[NetworkName, ...] = get_args(NetworkName)

Init = Literal["kaiming", "gaussian"]
"""Where fresh weights come from: torch's own initialisation, or N(0, 0.04)."""
