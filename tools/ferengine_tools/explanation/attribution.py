"""What a network looked at: Grad-CAM and guided back-propagation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from ferengine.errors import ModelError
from ferengine_tools.explanation.tracing import Lattice, Trace


@dataclass(frozen=True)
class Attribution:
    """What a network looked at in N faces of S x S pixels.

    Attributes:
        logits: float32 (N, classes).
        targets: The classes that are explained, int64 (N,).
        cam: The class activation map, float32 (N, S, S) in [0, 1], its largest value 1 unless all is 0.
        guided: The gradient of guided back-propagation, signed, float32 (N, S, S), logits per unit of the normalised input.
    """

    logits: NDArray[np.float32]
    targets: NDArray[np.int64]
    cam: NDArray[np.float32]
    guided: NDArray[np.float32]


def explain(network: nn.Module, batch: NDArray[np.float32], target: int | None = None) -> Attribution:
    """Explain the answers of a network.

    Grad-CAM on the last map of more than one pixel that a ReLU gives, laid where its cells look at: R. Selvaraju et al.,
    "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017, section 3. Guided
    back-propagation: J. Springenberg et al., "Striving for Simplicity", ICLR 2015 workshop, section 3.4.

    Args:
        network: It is put into ``eval`` mode.
        batch: Normalised crops, float32 (N, 1, S, S).
        target: The class to explain; the one that the network chose for each face if None.

    Raises:
        ModelError: The network has no such map.
    """
    network.eval()
    inputs = torch.from_numpy(batch)
    with Trace(functional.relu) as seen:
        logits = network(inputs.requires_grad_())
    if seen.map is None:
        raise ModelError("the network has no map of a ReLU, so Grad-CAM has nothing to show")
    targets = logits.argmax(1) if target is None else torch.full((len(batch),), target)
    (slope,) = torch.autograd.grad(_chosen(logits, targets), seen.map)
    cam = _laid(functional.relu((slope.mean((2, 3), keepdim=True) * seen.map).sum(1)).detach(), seen.lattice, batch.shape[3])
    cam = cam / cam.amax((1, 2), keepdim=True).clamp(min=torch.finfo().tiny)
    with Trace(_GuidedRelu.apply):
        again = network(inputs)
    (guided,) = torch.autograd.grad(_chosen(again, targets), inputs)
    return Attribution(logits.detach().numpy(), targets.numpy(), cam.numpy(), guided[:, 0].numpy())


def _chosen(logits: Tensor, targets: Tensor) -> Tensor:
    return logits.gather(1, targets[:, None]).sum()  # the faces of a batch do not depend on each other


class _GuidedRelu(torch.autograd.Function):
    """ReLU whose gradient passes only where input and gradient are positive."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        y = x.clamp(min=0)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return gradients[0].clamp(min=0) * (y > 0)


def _laid(cam: Tensor, lattice: Lattice, side: int) -> Tensor:
    """Maps (N, h, w) onto the pixels of the input, (N, side, side): bilinear between the centres of cells, constant beyond."""
    place = (torch.arange(side) - lattice.start) / lattice.step  # of each pixel, in cells
    rows, columns = (2 * place / max(1, cells - 1) - 1 for cells in cam.shape[1:])
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1).expand(len(cam), side, side, 2)
    return functional.grid_sample(cam[:, None], grid, padding_mode="border", align_corners=True)[:, 0]
