# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: per-image crops, blurs and whole views are those of torchvision, parameters equal."""

import pytest
import torch
from torchvision.transforms.v2 import functional as TF

from nasiam_mm.models.batched_views import (
    gaussian_blur,
    make_view,
    resized_crop,
)
from nasiam_mm.views.counter_rng import counter_uniform
from nasiam_mm.views.view_params import (
    CROP_DRAWS,
    CropBox,
    ViewRecipe,
    sample_resized_crop,
    sample_view_params,
)

COLOR = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)


def boxes(count, height, width, scale=(0.08, 1.0)):
    u = counter_uniform(torch.arange(count), CROP_DRAWS)
    return sample_resized_crop(u, height, width, scale, (0.5, 2.0))


def torchvision_crops(images, box, size):
    sides = torch.stack(box, dim=1).tolist()
    crops = [
        TF.resized_crop(image, *side, [size, size], antialias=True)
        for image, side in zip(images, sides, strict=True)
    ]
    return torch.stack(crops)


def torchvision_view(image, drawn, recipe):
    """One view of one float image, operation by operation."""
    box, flip, jitter, factors, order, gray, blur, sigma, inverted = drawn
    size = [recipe.size, recipe.size]
    view = TF.resized_crop(image, *(int(side) for side in box), size, antialias=True)
    for op in order[0].tolist() if jitter else ():
        view = COLOR[op](view, float(factors[0, op]))
    if gray:
        view = TF.rgb_to_grayscale(view, num_output_channels=3)
    if blur:
        view = TF.gaussian_blur(view, [recipe.blur_kernel] * 2, [float(sigma)] * 2)
    if inverted:
        view = TF.solarize(view, recipe.solarize_threshold)
    return TF.horizontal_flip(view) if flip else view


@pytest.mark.parametrize(
    'height, width, size', [(32, 32, 32), (33, 47, 48), (9, 20, 24), (1, 2, 4)]
)
def test_enlarging_crop(height, width, size):
    images, box = torch.rand(64, 3, height, width), boxes(64, height, width)
    expected = torchvision_crops(images, box, size)
    torch.testing.assert_close(resized_crop(images, box, size), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize('height, width, size', [(120, 90, 32), (61, 47, 17), (200, 300, 64)])
def test_shrinking_crop_is_antialiased(height, width, size):
    images, box = torch.rand(32, 3, height, width), boxes(32, height, width)
    assert (box.height > size).any() and (box.width > size).any()
    expected = torchvision_crops(images, box, size)
    torch.testing.assert_close(resized_crop(images, box, size), expected, rtol=0, atol=1e-5)


def test_a_crop_of_the_output_size_copies():
    images = torch.rand(2, 3, 20, 30)
    box = CropBox(*torch.tensor([[3, 12], [14, 0], [8, 8], [8, 8]]))
    expected = torch.stack((images[0, :, 3:11, 14:22], images[1, :, 12:20, 0:8]))
    assert torch.equal(resized_crop(images, box, 8), expected)


def test_crop_of_bytes_equals_crop_of_floats():
    images = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8)
    box = boxes(16, 32, 32)
    expected = resized_crop(images.float() / 255, box, 32)
    torch.testing.assert_close(resized_crop(images, box, 32), expected, rtol=0, atol=3e-7)


def test_flip_mirrors_its_images():
    images, box = torch.rand(16, 3, 32, 40), boxes(16, 32, 40)
    flip = torch.arange(16) % 3 == 0
    plain = resized_crop(images, box, 32)
    expected = torch.where(flip[:, None, None, None], plain.flip(3), plain)
    torch.testing.assert_close(resized_crop(images, box, 32, flip), expected, rtol=0, atol=1e-6)


def test_nothing_leaks_from_outside_the_box():
    images, box = torch.rand(32, 3, 32, 32), boxes(32, 32, 32, scale=(0.1, 0.5))
    changed = torch.rand(32, 3, 32, 32)
    for i, (top, left, height, width) in enumerate(torch.stack(box, dim=1).tolist()):
        inside = (i, slice(None), slice(top, top + height), slice(left, left + width))
        changed[inside] = images[inside]
    assert torch.equal(resized_crop(images, box, 32), resized_crop(changed, box, 32))


@pytest.mark.parametrize('shape, kernel', [((32, 32), 3), ((40, 31), 9), ((13, 13), 23)])
def test_blur_has_a_sigma_per_image(shape, kernel):
    images, sigma = torch.rand(12, 3, *shape), torch.linspace(0.1, 2.0, 12)
    expected = [
        TF.gaussian_blur(image.double(), [kernel] * 2, [float(s)] * 2)
        for image, s in zip(images, sigma, strict=True)
    ]
    ours = gaussian_blur(images, sigma, kernel).double()
    torch.testing.assert_close(ours, torch.stack(expected), rtol=0, atol=1e-6)


def test_solarize_begins_at_half():
    # 0.5 lies between the bytes 127 and 128, PIL's usual threshold.
    values = torch.tensor([127.0, 128.0]) / 255
    assert (TF.solarize(values, 0.5) * 255).round().tolist() == [127, 127]


@pytest.mark.parametrize('height, width', [(32, 32), (45, 61)])
@pytest.mark.parametrize(
    'cfg',
    [dict(), dict(size=24, scale=(0.08, 1.0), blur_prob=0.5, solarize_prob=0.3, blur_kernel=5)],
)
def test_whole_views_are_those_of_torchvision(cfg, height, width):
    recipe = ViewRecipe.from_cfg(cfg)
    images = torch.randint(0, 256, (128, 3, height, width), dtype=torch.uint8)
    drawn = sample_view_params(torch.arange(128), 0, recipe, height, width)
    ours = make_view(images, drawn, recipe)
    expected = torch.stack(
        [torchvision_view(images[i] / 255, drawn.rows(slice(i, i + 1)), recipe) for i in range(128)]
    )
    # 1 - x = x at the threshold 0.5 of solarize: rounding past it makes no jump.
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


def test_images_of_different_sizes():
    recipe = ViewRecipe(size=32)
    images = [
        torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
        for height, width in ((32, 32), (50, 40), (32, 90), (20, 20))
    ]
    height, width = torch.tensor([image.shape[1:] for image in images]).unbind(1)
    drawn = sample_view_params(torch.arange(4), 0, recipe, height, width)
    together = make_view(images, drawn, recipe)
    for i, image in enumerate(images):
        alone = make_view(image[None], drawn.rows(slice(i, i + 1)), recipe)
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=3e-6)
