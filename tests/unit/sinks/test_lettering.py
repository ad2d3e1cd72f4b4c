"""Text masks: even, anti-aliased, of the width of their ink; and how they are laid over an image."""

from __future__ import annotations

import numpy as np
import pytest

from ferengine.sinks.lettering import baseline, blend, rounded_mask, text_mask


@pytest.mark.parametrize("size", [6, 9, 14, 40])
@pytest.mark.parametrize("bold", [False, True])
def test_letters_stand_on_the_line_and_are_as_tall_as_asked(size: int, bold: bool) -> None:
    rows = np.flatnonzero(text_mask("HEX", size, bold).max(axis=1) > 100)
    assert abs(rows[-1] + 1 - baseline(size)) <= 1 + 0.1 * size
    assert abs(len(rows) - size) <= 1 + 0.2 * size


def test_text_is_anti_aliased_and_not_cut() -> None:
    mask = text_mask("jumpy (Quiz) [87%]", 12)
    assert {0, 255} < set(np.unique(mask))
    assert mask[0].max() == mask[-1].max() == 0
    assert mask[:, 0].any()
    assert mask[:, -1].any()


def test_the_width_is_that_of_the_ink() -> None:
    assert text_mask("iiii", 12).shape[1] < 0.5 * text_mask("mmmm", 12).shape[1]
    assert text_mask("a b", 12).shape[1] > text_mask("ab", 12).shape[1]
    assert text_mask("", 12).shape[1] >= 1
    assert not text_mask("  ", 12).any()


def test_what_the_font_lacks_is_replaced() -> None:
    np.testing.assert_array_equal(text_mask("glücklich é", 12), text_mask("glucklich e", 12))
    np.testing.assert_array_equal(text_mask("顔\n", 12), text_mask("??", 12))
    np.testing.assert_array_equal(text_mask("\ud55c\U0001f600", 12), text_mask("??", 12))  # one for each character
    np.testing.assert_array_equal(text_mask("a\u200fb", 12), text_mask("ab", 12))


def test_words_stand_as_far_apart_in_any_line() -> None:
    one, two = text_mask("one", 12), text_mask("two", 12)
    line = text_mask("one two", 12)
    np.testing.assert_array_equal(line[:, : one.shape[1]], one)
    np.testing.assert_array_equal(line[:, -two.shape[1] :], two)
    assert line.shape[1] == pytest.approx(one.shape[1] + two.shape[1] + 0.77 * 12, abs=1)


@pytest.mark.parametrize("at", [(10, 10), (-5, -5), (55, 35), (70, 10), (10, 70), (-40, 0)])
def test_blending_stays_inside_and_follows_the_mask(at: tuple[int, int]) -> None:
    canvas = np.full((60, 80, 3), 100, np.uint8)
    image = canvas[10:-10, 10:-10]
    mask = rounded_mask(20, 16, 5)
    blend(image, mask, *at, (250, 40, 0))
    expected = np.full((40 + 200, 60 + 200, 3), 100.0)
    part = expected[100 + at[1] : 116 + at[1], 100 + at[0] : 120 + at[0]]
    part += (np.array([250, 40, 0]) - part) * (mask[:, :, None] / 255)
    np.testing.assert_allclose(image, expected[100:140, 100:160], atol=1.01)
    canvas[10:-10, 10:-10] = 100
    assert (canvas == 100).all()


def test_half_opacity_is_half_way() -> None:
    image = np.full((16, 20, 3), 100, np.uint8)
    blend(image, rounded_mask(20, 16, 0), 0, 0, (200, 100, 0), opacity=0.5)
    np.testing.assert_allclose(image[8, 8], [150, 100, 50], atol=1)
