"""Augmentation: gamma, and jitter that sees what lies around a crop."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")

from ferengine_tools.training.augment import augment, bend, move  # noqa: E402
from ferengine_tools.training.dataset import MEAN, STD  # noqa: E402


def test_gamma_bends_intensities_between_its_limits() -> None:
    level = 0.25
    batch = torch.full((4000, 1, 2, 2), (255 * level - MEAN) / STD)
    bent = bend(batch, torch.Generator().manual_seed(0))[:, 0, 0, 0] * STD + MEAN
    gamma = torch.log(bent / 255) / torch.log(torch.tensor(level))
    assert gamma.min().item() == pytest.approx(0.6, abs=0.005)
    assert gamma.max().item() == pytest.approx(1.5, abs=0.005)
    assert gamma.log().mean().item() == pytest.approx((torch.tensor([0.6, 1.5]).log().mean()).item(), abs=0.02)


def test_black_and_white_stay_and_no_strength_changes_nothing() -> None:
    ends = torch.tensor([0.0, 255.0]).sub(MEAN).div(STD).view(1, 1, 1, 2).repeat(50, 1, 1, 1)
    torch.testing.assert_close(bend(ends, torch.Generator().manual_seed(1)), ends)
    faces = torch.randn(10, 1, 4, 4).clamp(-1.9, 1.9)
    torch.testing.assert_close(bend(faces, torch.Generator().manual_seed(1), 0.0), faces)


def test_a_crop_with_room_is_its_middle_where_nothing_moves() -> None:
    wide = torch.randn(40, 1, 60, 60, generator=torch.Generator().manual_seed(2))
    still = move(wide, torch.Generator().manual_seed(0), 0.0, margin=6)
    middle = wide[:, :, 6:54, 6:54]
    same = (still - middle).abs().flatten(1).amax(1) < 1e-4
    mirrored = (still - middle.flip(3)).abs().flatten(1).amax(1) < 1e-4
    assert (same | mirrored).all()
    assert same.any()
    assert mirrored.any()


def test_jitter_of_a_padded_crop_is_that_of_the_crop() -> None:
    """Repeating the border before or while sampling gives the same."""
    crop = torch.randn(30, 1, 48, 48, generator=torch.Generator().manual_seed(3))
    wide = torch.nn.functional.pad(crop, (6, 6, 6, 6), mode="replicate")
    one = move(crop, torch.Generator().manual_seed(5))
    other = move(wide, torch.Generator().manual_seed(5), margin=6)
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    assert augment(wide, torch.Generator().manual_seed(5), 1.0, 6).shape == crop.shape
