# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: with a factor per image, each operation is torchvision's, in any order per image."""

import colorsys
from itertools import permutations

import pytest
import torch
from torchvision.transforms.v2 import functional as TF

from nasiam_mm.models import batched_views as color

TORCHVISION = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)
SHAPES = [(32, 32), (33, 47), (5, 3), (1, 1)]


def images_of(shape, count=48):
    """Random images, with 8-bit, flat, black, white, primary and nearly grey ones among them."""
    images = torch.rand(count, 3, *shape)
    images[8:16] = (images[8:16] * 255).round() / 255
    images[16] = 0
    images[17] = 1
    images[18:20] = images[18:20, :1]
    images[20:24] = images[20:24].round()
    images[24:26] = 0.5 + 1e-7 * images[24:26]
    return images


def each(function, images, factors):
    return torch.stack([function(i, float(f)) for i, f in zip(images, factors, strict=True)])


@pytest.mark.parametrize('shape', SHAPES)
def test_brightness_is_bit_equal(shape):
    images, factors = images_of(shape), torch.rand(48) * 2
    expected = each(TF.adjust_brightness, images, factors)
    assert torch.equal(color.adjust_brightness_(images, factors), expected)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize(
    'ours, theirs',
    [
        (color.adjust_contrast_, TF.adjust_contrast),
        (color.adjust_saturation_, TF.adjust_saturation),
    ],
)
def test_blends(ours, theirs, shape):
    images, factors = images_of(shape), torch.rand(48) * 2
    expected = each(theirs, images, factors)
    torch.testing.assert_close(ours(images, factors), expected, rtol=0, atol=3e-7)


@pytest.mark.parametrize('shape', SHAPES)
def test_hue(shape):
    images, shift = images_of(shape), torch.rand(48) - 0.5
    expected = each(TF.adjust_hue, images, shift)
    # Both are rounded: torchvision is up to 1.1e-6 off the exact value, ours 0.7e-6.
    torch.testing.assert_close(color.adjust_hue_(images, shift), expected, rtol=0, atol=2e-6)


def test_hue_against_the_standard_library():
    pixels = torch.rand(3000, 3, 1, 1)
    shift = torch.rand(3000) - 0.5
    expected = []
    for pixel, turn in zip(pixels.double().flatten(1).tolist(), shift.tolist(), strict=True):
        h, s, v = colorsys.rgb_to_hsv(*pixel)
        expected.append(colorsys.hsv_to_rgb((h + turn) % 1, s, v))
    ours = color.adjust_hue_(pixels, shift).flatten(1).double()
    torch.testing.assert_close(ours, torch.tensor(expected).double(), rtol=0, atol=1e-6)


def test_operations_work_in_place_and_stay_in_range():
    for operation in color._OPERATIONS:
        images = images_of((9, 8))
        result = operation(images, torch.rand(48) * 0.5)
        assert result.data_ptr() == images.data_ptr()
        assert images.min() >= 0 and images.max() <= 1


def test_jitter_applies_each_images_own_order():
    """All 24 orders, twice jittered and once not."""
    order = torch.tensor(list(permutations(range(4)))).repeat(3, 1)
    apply = torch.arange(72) < 48
    shuffle = torch.randperm(72)
    order, apply = order[shuffle], apply[shuffle]
    factors = torch.rand(72, 4) * 0.8 + 0.6
    factors[:, 3] = torch.rand(72) * 0.2 - 0.1
    images = torch.rand(72, 3, 16, 12)
    expected = images.clone()
    for i in apply.nonzero().flatten().tolist():
        for op in order[i].tolist():
            expected[i] = TORCHVISION[op](expected[i], float(factors[i, op]))
    before = images.clone()
    ours = color.color_jitter_(images, factors, order, apply)
    torch.testing.assert_close(ours, expected, rtol=0, atol=3e-6)
    assert torch.equal(ours[~apply], before[~apply])
    # The order matters far more than the tolerance.
    unordered = color.color_jitter_(before.clone(), factors, order.sort().values, apply)
    assert (unordered - expected)[apply].abs().max() > 1e-2


def test_jitter_of_nothing_changes_nothing():
    images = torch.rand(4, 3, 5, 5)
    order = torch.arange(4).expand(4, 4)
    expected = images.clone()
    color.color_jitter_(images, torch.ones(4, 4), order, torch.zeros(4, dtype=torch.bool))
    assert torch.equal(images, expected)


def test_jitter_of_an_image_does_not_depend_on_the_batch():
    images = torch.rand(20, 3, 32, 32)
    factors, order = torch.rand(20, 4), torch.rand(20, 4).argsort(dim=1)
    factors[:, 3] = factors[:, 3] - 0.5
    apply = torch.ones(20, dtype=torch.bool)
    together = color.color_jitter_(images.clone(), factors, order, apply)
    for i in range(20):
        row = slice(i, i + 1)
        alone = color.color_jitter_(images[row].clone(), factors[row], order[row], apply[row])
        assert torch.equal(alone, together[row])
