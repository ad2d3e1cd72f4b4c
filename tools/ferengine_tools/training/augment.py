"""Augmentation of whole batches, imitating the crops of a live detector."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

_ERASED_FRACTION, _ERASED_SIDES = 0.25, (0.1, 0.35)
_GAMMA = (0.6, 1.5)
_BLACK, _WHITE = -129.5 / 65, (255 - 129.5) / 65
"""The intensities 0 and 255, normalised."""


def augment(batch: Tensor, generator: Generator, strength: float = 1.0, margin: int = 0) -> Tensor:
    """Change faces as a live detector does.

    They are mirrored, rotated by up to 10 degrees, scaled by up to 12 %, moved by up to 6 % of the side, half of them blurred a
    little, with a gamma of 0.6 to 1.5, brighter or darker, with more or less contrast, and a quarter partly erased.

    Args:
        batch: Normalised crops with a margin, float32 (N, 1, S + 2 ``margin``, S + 2 ``margin``).
        generator: Draws all random numbers, on its own device: one on the CPU gives the same changes on every device, one on
            that of the batch costs no transfer.
        strength: Multiplies these limits (of gamma their logarithms), except the blur, and the fraction that is erased.
        margin: Pixels around the crop.

    Returns:
        Normalised crops, float32 (N, 1, S, S).
    """
    gain, shift = torch.exp(_spread(len(batch), 0.2 * strength, generator)), _spread(len(batch), 0.2 * strength, generator)
    moved = bend(blur(move(batch, generator, strength, margin), generator), generator, strength)
    return erase(moved * _each(gain, batch) + _each(shift, batch), generator, _ERASED_FRACTION * strength)


def bend(batch: Tensor, generator: Generator, strength: float = 1.0) -> Tensor:
    """Return each face with a random gamma of 0.6 to 1.5, its logarithm uniform: intensities v, 0 to 1, become v ** gamma."""
    low, high = (strength * math.log(limit) for limit in _GAMMA)
    gamma = torch.exp(low + (high - low) * _uniform(len(batch), generator))
    intensities = ((batch - _BLACK) / (_WHITE - _BLACK)).clamp(min=0)
    return intensities.pow(_each(gamma, batch)) * (_WHITE - _BLACK) + _BLACK


def mirror(batch: Tensor, generator: Generator) -> Tensor:
    """Return the faces, half of them mirrored."""
    mirrored = (_uniform(len(batch), generator) < 0.5).to(batch.device).view(-1, 1, 1, 1)
    return torch.where(mirrored, batch.flip(3), batch)


def move(batch: Tensor, generator: Generator, strength: float = 1.0, margin: int = 0) -> Tensor:
    """Return each face under a random affine map, (N, 1, S + 2 ``margin``, S + 2 ``margin``) -> (N, 1, S, S).

    Beyond the image the pixels of its border are repeated.
    """
    count, side = len(batch), batch.shape[-1] - 2 * margin
    angle, scale = _spread(count, 0.17 * strength, generator), torch.exp(_spread(count, 0.12 * strength, generator))
    turned = 1 - 2 * (_uniform(count, generator) < 0.5).float()
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    right, down = (_spread(count, 0.12 * strength, generator) for _ in range(2))  # a crop's side is 2
    rows = [torch.stack([cosine * turned, -sine, right], 1), torch.stack([sine * turned, cosine, down], 1)]
    grid = _affine_grid(torch.stack(rows, 1).to(batch.device), side)
    grid = grid * (side / batch.shape[-1])  # the crop's own units to the image's
    return functional.grid_sample(batch, grid, padding_mode="border", align_corners=False)


def _affine_grid(maps: Tensor, side: int) -> Tensor:
    """As torch's ``affine_grid`` of maps (N, 2, 3), without corners aligned, up to rounding: (N, ``side``, ``side``, 2). That
    multiplies matrices of three columns, which takes 30 times as long on a CPU, 3 % of a step of ``fast``."""
    place = (2 * torch.arange(side, device=maps.device) + 1) / side - 1
    across, down = maps[:, :, 0, None] * place + maps[:, :, 2, None], maps[:, :, 1, None] * place
    return (across[:, :, None, :] + down[:, :, :, None]).permute(0, 2, 3, 1)


def blur(batch: Tensor, generator: Generator) -> Tensor:
    """Return the faces, half of them mixed by a random fraction with themselves under the 3x3 binomial filter."""
    filtered = functional.pad(batch, (1, 1, 1, 1), mode="replicate")
    filtered = (filtered[..., :-2] + 2 * filtered[..., 1:-1] + filtered[..., 2:]) / 4
    filtered = (filtered[..., :-2, :] + 2 * filtered[..., 1:-1, :] + filtered[..., 2:, :]) / 4
    fraction = _spread(len(batch), 1.0, generator).clamp(min=0)
    return torch.lerp(batch, filtered, _each(fraction, batch))


def erase(batch: Tensor, generator: Generator, fraction: float = _ERASED_FRACTION) -> Tensor:
    """Fill a rectangle of a fraction of the faces, its sides 10 to 35 % of the crop's, with one random intensity.

    Z. Zhong et al., "Random Erasing Data Augmentation", AAAI 2020.
    """
    count, side = len(batch), batch.shape[-1]
    smallest, largest = _ERASED_SIDES
    centres = torch.arange(side, device=generator.device) + 0.5
    inside = (_uniform(count, generator) < fraction).view(-1, 1, 1, 1)
    for shape in ((-1, 1, side, 1), (-1, 1, 1, side)):  # the span of rows, then that of columns
        length = (smallest + (largest - smallest) * _uniform(count, generator)) * side
        start = _uniform(count, generator) * (side - length)
        within = (centres >= start[:, None]) & (centres < (start + length)[:, None])
        inside = inside & within.view(shape)
    intensity = torch.randn(count, generator=generator, device=generator.device)
    return torch.where(inside.to(batch.device), _each(intensity, batch), batch)


def _uniform(count: int, generator: Generator) -> Tensor:
    """From 0 to 1, on the generator's device."""
    return torch.rand(count, generator=generator, device=generator.device)


def _spread(count: int, limit: float, generator: Generator) -> Tensor:
    return (_uniform(count, generator) * 2 - 1) * limit


def _each(values: Tensor, batch: Tensor) -> Tensor:
    """One value a face, to be combined with ``batch``."""
    return values.to(batch.device).view(-1, 1, 1, 1)
