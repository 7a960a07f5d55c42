# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: parameters have torchvision's distributions and depend on seed, view and size only."""

import math

import pytest
import torch
from scipy import stats
from torchvision.transforms import ColorJitter, RandomResizedCrop

from nasiam_mm.views.counter_rng import counter_uniform
from nasiam_mm.views.view_params import (
    CROP_DRAWS,
    JitterRecipe,
    ViewRecipe,
    sample_crop_boxes,
    sample_resized_crop,
    sample_view_params,
)

CIFAR = ((0.2, 1.0), (3 / 4, 4 / 3))
IMAGENET = ((0.08, 1.0), (3 / 4, 4 / 3))
NARROW = ((0.5, 1.0), (3.0, 3.1))  # on a square image only the fallback fits


def params(count, view=0, first=0, **cfg):
    return sample_view_params(
        torch.arange(first, first + count), view, ViewRecipe.from_cfg(cfg), 32, 32
    )


def scalar_crop(u, height, width, scale, ratio):
    """torchvision's get_params, one sample, with given uniform numbers."""
    for k in range(10):
        area = height * width * (scale[0] + u[k] * (scale[1] - scale[0]))
        low, high = math.log(ratio[0]), math.log(ratio[1])
        aspect = math.exp(low + u[10 + k] * (high - low))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(u[20] * (height - h + 1)), int(u[21] * (width - w + 1)), h, w
    w, h = width, height
    if width / height < min(ratio):
        h = round(width / min(ratio))
    elif width / height > max(ratio):
        w = round(height * max(ratio))
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize('height, width', [(32, 32), (33, 47), (20, 101), (64, 9), (1, 1)])
@pytest.mark.parametrize('scale, ratio', [CIFAR, IMAGENET, NARROW])
def test_crop_equals_the_scalar_algorithm(height, width, scale, ratio):
    u = counter_uniform(torch.arange(500), CROP_DRAWS)
    box = sample_resized_crop(u, height, width, scale, ratio)
    expected = [scalar_crop(row, height, width, scale, ratio) for row in u.double().tolist()]
    assert torch.stack(box, dim=1).tolist() == [list(row) for row in expected]
    assert (box.top >= 0).all() and (box.top + box.height <= height).all()
    assert (box.left >= 0).all() and (box.left + box.width <= width).all()


def test_the_cases_reach_the_fallback():
    box = sample_resized_crop(counter_uniform(torch.arange(50), CROP_DRAWS), 32, 32, *NARROW)
    assert torch.equal(torch.stack(box, 1), torch.tensor([[10, 0, 11, 32]]).expand(50, 4))


@pytest.mark.parametrize('height, width', [(32, 32), (96, 60), (40, 100)])
@pytest.mark.parametrize('scale, ratio', [CIFAR, IMAGENET])
def test_crop_has_the_distribution_of_torchvision(height, width, scale, ratio):
    n = 1500
    image = torch.empty(3, height, width)
    theirs = torch.tensor([RandomResizedCrop.get_params(image, scale, ratio) for _ in range(n)])
    ours = torch.stack(
        sample_resized_crop(
            counter_uniform(torch.arange(n), CROP_DRAWS), height, width, scale, ratio
        ),
        dim=1,
    )
    statistics = {
        'area': lambda box: box[:, 2] * box[:, 3],
        'log ratio': lambda box: (box[:, 3] / box[:, 2]).log(),
        'top': lambda box: box[:, 0],
        'left': lambda box: box[:, 1],
        'bottom': lambda box: box[:, 0] + box[:, 2],
        'centre': lambda box: box[:, 0] + box[:, 1] + (box[:, 2] + box[:, 3]) / 2,
    }
    for name, of in statistics.items():
        assert stats.ks_2samp(of(ours.double()), of(theirs.double())).pvalue > 1e-3, name


def test_crop_takes_a_size_per_image():
    u = counter_uniform(torch.arange(3), CROP_DRAWS)
    sizes = torch.tensor([[32, 32], [20, 50], [80, 17]])
    mixed = sample_resized_crop(u, sizes[:, 0], sizes[:, 1], *CIFAR)
    for i, (height, width) in enumerate(sizes.tolist()):
        alone = sample_resized_crop(u[i : i + 1], height, width, *CIFAR)
        assert [int(side[i]) for side in mixed] == [int(side) for side in alone]


def test_factors_have_the_distribution_of_torchvision():
    jitter = ColorJitter(0.4, 0.3, 1.5, 0.1)
    ranges = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
    theirs = torch.tensor([ColorJitter.get_params(*ranges)[1:] for _ in range(2000)])
    ours = params(2000, jitter=dict(brightness=0.4, contrast=0.3, saturation=1.5, hue=0.1)).factors
    assert ours.dtype == torch.float32
    for op, (low, high) in enumerate(ranges):
        assert low <= ours[:, op].min() and ours[:, op].max() <= high
        assert stats.ks_2samp(ours[:, op], theirs[:, op]).pvalue > 1e-3


def test_every_order_of_the_operations_is_equally_likely():
    order = params(4800).order
    assert torch.equal(order.sort(dim=1).values, torch.arange(4).expand(4800, 4))
    _, counts = order.unique(dim=0, return_counts=True)
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 1e-3


def test_decisions_have_their_probability_and_are_independent():
    drawn = params(20000, blur_prob=0.5, solarize_prob=0.1)
    expected = dict(flip=0.5, jitter=0.8, gray=0.2, blur=0.5, solarize=0.1)
    for name, prob in expected.items():
        count = int(getattr(drawn, name).sum())
        assert stats.binomtest(count, 20000, prob).pvalue > 1e-3, name
    table = torch.stack([getattr(drawn, name) for name in expected]).double()
    assert (torch.corrcoef(table) - torch.eye(5)).abs().max() < 4 / 20000**0.5
    assert stats.kstest(drawn.sigma, stats.uniform(0.1, 1.9).cdf).pvalue > 1e-3


def test_probabilities_zero_and_one_are_certain():
    never = params(2000, flip_prob=0, gray_prob=0, jitter=None)
    assert not (never.flip | never.gray | never.jitter | never.blur | never.solarize).any()
    always = params(2000, flip_prob=1, gray_prob=1, blur_prob=1, solarize_prob=1)
    assert (always.flip & always.gray & always.blur & always.solarize).all()


def test_views_of_a_sample_are_independent():
    first, second = params(4000, view=0), params(4000, view=1)
    for a, b in zip((*first.box, *first.factors.T), (*second.box, *second.factors.T), strict=True):
        assert not torch.equal(a, b)
        assert abs(torch.corrcoef(torch.stack((a.double(), b.double())))[0, 1]) < 4 / 4000**0.5


def test_one_setting_leaves_the_other_parameters_alone():
    before, after = params(100), params(100, gray_prob=0.9, blur_prob=0.5, jitter=dict(prob=0.1))
    for name in ('flip', 'factors', 'order', 'sigma'):
        assert torch.equal(getattr(before, name), getattr(after, name))
    assert all(torch.equal(a, b) for a, b in zip(before.box, after.box, strict=True))
    assert (before.gray <= after.gray).all() and (after.jitter <= before.jitter).all()


@pytest.mark.parametrize('height, width', [(32, 32), (375, 500), (20, 101), (9, 700)])
def test_boxes_of_one_sample_are_those_of_its_views(height, width):
    recipes = [
        ViewRecipe(scale=(0.2, 1.0)),
        ViewRecipe(scale=(0.05, 0.3), ratio=(0.5, 2.0)),
        ViewRecipe(scale=(0.2, 1.0), size=96),
    ]
    for seed in (0, 17, 2**63 - 1):
        expected = [
            tuple(int(side) for side in sample_view_params(torch.tensor([seed]), *args).box)
            for args in [(view, r, height, width) for view, r in enumerate(recipes)]
        ]
        assert sample_crop_boxes(seed, recipes, height, width) == expected


def test_rows_selects_samples():
    whole, part = params(10), params(4, first=3)
    for a, b in zip(
        (*whole.rows(slice(3, 7))[0], *whole.rows(slice(3, 7))[1:]),
        (*part[0], *part[1:]),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_the_default_is_the_cifar_recipe():
    recipe = ViewRecipe()
    assert recipe == ViewRecipe.from_cfg({})
    assert (recipe.size, recipe.scale, recipe.ratio) == (32, (0.2, 1.0), (3 / 4, 4 / 3))
    assert recipe.jitter == JitterRecipe(0.4, 0.4, 0.4, 0.1, 0.8)
    assert (recipe.flip_prob, recipe.gray_prob) == (0.5, 0.2)
    assert (recipe.blur_prob, recipe.solarize_prob) == (0, 0)


@pytest.mark.parametrize('size, kernel', [(224, 23), (96, 9), (32, 3), (2, 3)])
def test_blur_kernel_is_about_a_tenth_of_the_size(size, kernel):
    assert ViewRecipe(size=size).blur_kernel == kernel


@pytest.mark.parametrize(
    'cfg, message',
    [
        (dict(crop_size=32), r"ViewRecipe has no \['crop_size'\]; it takes .*'size'"),
        (dict(jitter=dict(gamma=1)), r"JitterRecipe has no \['gamma'\]; it takes .*'hue'"),
        (dict(jitter=dict(hue=0.6)), 'hue must lie in'),
        (dict(jitter=dict(contrast=-1)), 'contrast must lie in'),
        (dict(jitter=dict(prob=2)), 'jitter prob must lie in'),
        (dict(scale=(1.0, 0.2)), 'view scale must be'),
        (dict(ratio=(1.0,)), 'view ratio must be'),
        (dict(blur_sigma=(0.0, 1.0)), 'view blur_sigma must be'),
        (dict(gray_prob=-0.1), 'view gray_prob must lie in'),
        (dict(solarize_threshold=128), 'view solarize_threshold must lie in'),
        (dict(size=0), 'view size must be at least 2'),
        (dict(blur_kernel=4), 'blur_kernel must be odd'),
        (dict(size=8, blur_kernel=17), 'blur_kernel must be odd'),
    ],
)
def test_bad_recipes_are_refused_in_one_line(cfg, message):
    with pytest.raises(ValueError, match=message) as error:
        ViewRecipe.from_cfg(cfg)
    assert '\n' not in str(error.value)
