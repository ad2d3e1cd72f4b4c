"""Augmentation of whole batches."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `train`)")

from ferengine_tools.training.augment import _affine_grid, augment, blur, erase, mirror, move  # noqa: E402


def test_augmentation_is_of_each_face_and_repeatable() -> None:
    batch = torch.randn(1, 1, 48, 48).expand(6, 1, 48, 48).contiguous()
    first = augment(batch, torch.Generator().manual_seed(1))
    assert first.shape == batch.shape
    assert torch.equal(first, augment(batch, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, augment(batch, torch.Generator().manual_seed(2)))
    assert not torch.equal(first[0], first[1])


def test_strength_is_how_far_it_goes() -> None:
    batch = torch.zeros(2000, 1, 48, 48)
    batch[:, :, 22:26, 22:26] = 1
    axis = torch.arange(48.0) - 23.5
    spread, lost = [], []
    for strength in (0.0, 1.0, 2.0):
        moved = move(batch, torch.Generator().manual_seed(0), strength)[:, 0]
        spread.append(float(((moved.sum(1) * axis).sum(1) / moved.sum((1, 2))).std()))
        full = torch.linspace(50, 51, 48 * 48).view(1, 1, 48, 48).repeat(2000, 1, 1, 1)
        same = augment(full, torch.Generator().manual_seed(0), strength)[:, 0] > 2  # erased to a random level near 0
        lost.append(float((~same).flatten(1).any(1).float().mean()))
    assert spread[0] < 0.01
    assert spread[2] == pytest.approx(2 * spread[1], rel=0.1)
    assert lost == pytest.approx([0, 0.25, 0.5], abs=0.05)


def test_a_quarter_of_the_faces_loses_one_rectangle() -> None:
    batch = torch.linspace(5, 6, 48 * 48).view(1, 1, 48, 48).repeat(2000, 1, 1, 1)  # no random level is as high
    changed = (erase(batch, torch.Generator().manual_seed(0)) != batch)[:, 0]
    touched = changed.flatten(1).any(1)
    assert touched.float().mean().item() == pytest.approx(0.25, abs=0.04)
    rows, columns = changed[touched].any(2), changed[touched].any(1)
    assert torch.equal(changed[touched], rows[:, :, None] & columns[:, None, :])
    for span in (rows, columns):
        length = span.sum(1)
        assert ((span[:, 1:] != span[:, :-1]).sum(1) <= 2).all()  # in one piece
        assert length.min() >= 4
        assert length.max() <= 17
    assert rows[:, 0].any()
    assert rows[:, -1].any()


def test_blur_never_widens_and_spares_half_of_the_faces() -> None:
    batch = torch.randn(400, 1, 48, 48, generator=torch.Generator().manual_seed(3))
    blurred = blur(batch, torch.Generator().manual_seed(0))
    same_as_before = (blurred == batch).flatten(1).all(1)
    assert same_as_before.float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert (blurred.flatten(1).var(1) <= batch.flatten(1).var(1) + 1e-6).all()
    flat = torch.full((50, 1, 48, 48), 1.5)
    torch.testing.assert_close(blur(flat, torch.Generator().manual_seed(0)), flat)


def test_a_moved_face_stays_in_the_image() -> None:
    """A blob at the centre moves by 6 % of the side at most."""
    batch = torch.zeros(300, 1, 48, 48)
    batch[:, :, 22:26, 22:26] = 1
    moved = move(batch, torch.Generator().manual_seed(0))[:, 0]
    axis = torch.arange(48.0) - 23.5
    weight = moved.sum((1, 2))
    for marginal in (moved.sum(1), moved.sum(2)):
        offset = (marginal * axis).sum(1) / weight
        assert offset.abs().max() < 0.06 * 48 * 1.13 * 2**0.5
        assert offset.std() > 0.5


@pytest.mark.parametrize("side", [1, 7, 48])
def test_the_grid_is_torchs(side: int) -> None:
    maps = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.affine_grid(maps, [5, 1, side, side], align_corners=False)
    torch.testing.assert_close(_affine_grid(maps, side), expected, atol=2e-6, rtol=0)


def test_mirroring_turns_half_of_the_faces_around() -> None:
    batch = torch.randn(400, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    mirrored = mirror(batch, torch.Generator().manual_seed(0))
    same = (mirrored == batch).flatten(1).all(1)
    assert torch.equal(mirrored[~same], batch[~same].flip(3))
    assert same.float().mean().item() == pytest.approx(0.5, abs=0.1)
