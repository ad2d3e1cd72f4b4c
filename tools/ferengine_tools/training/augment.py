"""Augmentation of whole batches, imitating the crops of a live detector."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional


def augment(batch: Tensor, generator: Generator) -> Tensor:
    """Normalised crops, float32 (N, 1, S, S): mirrored, turned up to 10 degrees, scaled by up to 12 %, moved by up to 6 %
    of the side, brighter or darker, with more or less contrast."""
    count = len(batch)

    def spread(limit: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * limit

    angle, scale = spread(0.17), torch.exp(spread(0.12))
    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [torch.stack([cosine * mirror, -sine, spread(0.12)], 1), torch.stack([sine * mirror, cosine, spread(0.12)], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1).to(batch.device), list(batch.shape), align_corners=False)
    moved = functional.grid_sample(batch, grid, padding_mode="border", align_corners=False)
    gain, shift = torch.exp(spread(0.2)), spread(0.2)
    return moved * gain.view(-1, 1, 1, 1).to(batch.device) + shift.view(-1, 1, 1, 1).to(batch.device)
