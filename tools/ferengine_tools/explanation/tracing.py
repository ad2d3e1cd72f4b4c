"""Follows a network while it runs: its last map, and where the cells of that map lie on the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_RELUS = (functional.relu, functional.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
_CONVOLUTIONS = (functional.conv2d, torch.conv2d)
_POOLS = (functional.max_pool2d, torch.max_pool2d, functional.avg_pool2d)


@dataclass(frozen=True)
class Lattice:
    """Where the cells of a map lie: cell i is centred on pixel ``start`` + i * ``step`` of the input, along both axes.

    Attributes:
        start: Pixels.
        step: Pixels.
    """

    start: float = 0.0
    step: float = 1.0

    def under(self, kernel: int, stride: int, padding: int, dilation: int = 1) -> Lattice:
        """Of what a layer makes of such a map: V. Dumoulin and F. Visin, "A guide to convolution arithmetic", 2016."""
        shift = dilation * (kernel - 1) / 2 - padding
        return Lattice(self.start + self.step * shift, self.step * stride)


class Trace(TorchFunctionMode):
    """Computes each ReLU, however it is called, by another function.

    Attributes:
        map: The last result (N, C, H, W) of a ReLU that is larger than a pixel, or None.
        lattice: Where its cells lie.
    """

    def __init__(self, relu: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._relu = relu
        self._known: dict[int, tuple[Tensor, Lattice]] = {}  # the tensors are kept, so that no other takes their identity
        self.map: Tensor | None = None
        self.lattice = Lattice()

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        result = self._relu(args[0]) if func in _RELUS else func(*args, **named)
        if not isinstance(result, Tensor) or result.ndim != 4:
            return result
        lattice = next((self._known[id(each)][1] for each in args if id(each) in self._known), Lattice())
        if func in _CONVOLUTIONS:
            lattice = _of_convolution(lattice, *args, **named)
        elif func in _POOLS:
            lattice = _of_pool(lattice, *args, **named)
        self._known[id(result)] = result, lattice
        if func in _RELUS and result.shape[2] * result.shape[3] > 1:
            self.map, self.lattice = result, lattice
        return result


def _of_convolution(
    lattice: Lattice, input: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Lattice:  # fmt: skip
    return lattice.under(weight.shape[-1], _first(stride), _first(padding), _first(dilation))


def _of_pool(
    lattice: Lattice, input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, *_: Any, **__: Any
) -> Lattice:
    return lattice.under(_first(kernel_size), _first(stride or kernel_size), _first(padding))


def _first(value: Any) -> int:
    """Of a number a side, or one for all."""
    return int(value if isinstance(value, int) else value[0])
