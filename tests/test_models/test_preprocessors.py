# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: views are a pure function of (image, seed, view number), normalised, or a clear error."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmpretrain.structures import DataSample

from nasiam_mm.models.batched_views import resized_crop
from nasiam_mm.models.preprocessors import TwoViewPreprocessor
from nasiam_mm.registry import MODELS
from nasiam_mm.views.view_params import ViewRecipe, sample_view_params

MEAN, STD = [125.3, 123.0, 113.9], [63.0, 62.1, 66.7]
ALL_OPERATIONS = dict(blur_prob=0.5, solarize_prob=0.2)


def build(**kwargs):
    return MODELS.build(dict(type='TwoViewPreprocessor', mean=MEAN, std=STD, **kwargs))


def batch(count=20, height=32, width=32):
    images = torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8)
    return dict(inputs=images, view_seed=torch.arange(count) * 1000 + 17)


def pick(data, rows):
    return dict(inputs=data['inputs'][rows], view_seed=data['view_seed'][rows])


def views(preprocessor, data):
    return preprocessor(data, training=True)['inputs']


def test_two_float_views_of_the_recipes_size():
    result = build(views=dict(size=24))(batch(5, 40, 33), training=True)
    assert set(result) == {'inputs', 'data_samples'} and result['data_samples'] is None
    first, second = result['inputs']
    assert first.shape == second.shape == (5, 3, 24, 24)
    assert first.dtype == torch.float32 and not first.requires_grad
    assert (first - second).abs().flatten(1).amax(1).min() > 0.1


def test_the_same_seed_gives_the_same_views_without_any_global_state():
    data = batch()
    first = views(build(), data)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    second = views(build(), data)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    moved = views(build(), dict(data, view_seed=data['view_seed'] + 1))
    assert (first[0] - moved[0]).abs().flatten(1).amax(1).min() > 0.1


@pytest.mark.parametrize('recipe', [dict(), ALL_OPERATIONS])
def test_views_do_not_depend_on_the_batch(recipe):
    preprocessor, data = build(views=recipe), batch(40)
    whole = views(preprocessor, data)
    shuffle = torch.randperm(40)
    for rows in (shuffle, slice(0, 40, 2), slice(7, 8), slice(30, 40)):
        for part, full in zip(views(preprocessor, pick(data, rows)), whole, strict=True):
            assert torch.equal(part, full[rows])


@pytest.mark.parametrize('chunk_size', [1, 7, 64])
def test_views_do_not_depend_on_the_chunk(chunk_size):
    data = batch(23)
    pairs = zip(views(build(), data), views(build(chunk_size=chunk_size), data), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_views_may_have_different_recipes():
    data = batch(4)
    first, second = views(build(views=[dict(size=32), dict(size=16, gray_prob=1)]), data)
    assert torch.equal(first, views(build(), data)[0])
    assert second.shape == (4, 3, 16, 16)
    pixels = second * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    torch.testing.assert_close(pixels, pixels[:, :1].expand_as(pixels), rtol=0, atol=1e-3)


def test_any_number_of_views():
    data = batch(6)
    three, two = views(build(num_views=3), data), views(build(), data)
    assert len(three) == 3
    assert torch.equal(three[0], two[0]) and torch.equal(three[1], two[1])
    assert (three[2] - three[1]).abs().flatten(1).amax(1).min() > 0.1


def test_normalisation_of_an_untouched_view():
    """No crop, flip or colour: a view is the normalised image."""
    still = dict(scale=(1, 1), ratio=(1, 1), flip_prob=0, jitter=None, gray_prob=0)
    data = batch(6)
    preprocessor = build(views=still)
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    expected = (data['inputs'].float() - mean) / std
    for view in views(preprocessor, data):
        torch.testing.assert_close(view, expected, rtol=0, atol=2e-6)
    plain = preprocessor(data, training=False)['inputs']
    assert torch.equal(plain, expected)


def test_without_training_images_are_only_normalised():
    data = batch(3, 20, 50)
    samples = [DataSample().set_gt_label(i) for i in range(3)]
    stacked = build()(dict(inputs=data['inputs'], data_samples=samples))
    listed = build()(dict(inputs=list(data['inputs'])))
    assert stacked['inputs'].shape == (3, 3, 20, 50)
    assert torch.equal(stacked['inputs'], listed['inputs'])
    assert [int(sample.gt_label) for sample in stacked['data_samples']] == [0, 1, 2]


def normalised(images):
    return (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


@pytest.mark.parametrize('factor', [1, 2, 4])
def test_plain_images_are_averaged_in_blocks(factor):
    data, size = batch(3, 32, 32), 32 // factor
    found = build(eval_size=size)(data)['inputs']
    blocks = data['inputs'].float().unflatten(2, (size, factor)).unflatten(4, (size, factor))
    assert torch.equal(found, normalised(blocks.mean((3, 5)))) and found.shape == (3, 3, size, size)
    listed = build(eval_size=size, channels_last=True)(dict(inputs=list(data['inputs'])))
    assert torch.equal(listed['inputs'], found)
    # Views are made of the whole images as ever.
    for with_size, without in zip(
        views(build(eval_size=size), data), views(build(), data), strict=True
    ):
        assert torch.equal(with_size, without)


def test_an_area_that_is_no_whole_number_of_pixels():
    # Of three pixels two: the middle one counts for both; the rows are halved.
    image = torch.arange(12, dtype=torch.uint8).view(1, 1, 4, 3).expand(1, 3, 4, 3)
    found = build(eval_size=2)(dict(inputs=image))['inputs']
    expected = torch.tensor([[2.0, 3.0], [8.0, 9.0]]).expand(3, 2, 2)
    assert torch.equal(found[0], normalised(expected))
    # Images of several sizes come to one.
    mixed = build(eval_size=2)(dict(inputs=[image[0], image[0].mT]))['inputs']
    assert torch.equal(mixed[0], found[0]) and torch.equal(mixed[1], found[0].mT)


@pytest.mark.parametrize('size', [0, -1, 2.0, '16', True])
def test_an_impossible_size_of_plain_images_is_refused(size):
    with pytest.raises(ValueError, match='eval_size must be a whole number from 1, or None'):
        build(eval_size=size)


def test_plain_images_are_not_made_larger():
    with pytest.raises(ValueError, match=r'eval_size 33 is more than a side .* \(40, 32\); averag'):
        build(eval_size=33)(batch(2, 40, 32))


def test_data_samples_and_lists_of_images_and_seeds_pass():
    data = batch(3)
    samples = [DataSample().set_gt_label(i) for i in range(3)]
    listed = dict(
        inputs=list(data['inputs']), view_seed=data['view_seed'].tolist(), data_samples=samples
    )
    result = build()(listed, training=True)
    assert [int(sample.gt_label) for sample in result['data_samples']] == [0, 1, 2]
    # On the CPU they are not copied.
    assert all(a is b for a, b in zip(result['data_samples'], samples, strict=True))
    assert all(
        torch.equal(a, b) for a, b in zip(result['inputs'], views(build(), data), strict=True)
    )


def test_images_of_different_sizes_give_the_views_they_give_alone():
    preprocessor = build()
    images = [
        torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
        for height, width in ((32, 32), (48, 40), (30, 64))
    ]
    together = views(preprocessor, dict(inputs=images, view_seed=[5, 6, 7]))
    for i, image in enumerate(images):
        alone = views(preprocessor, dict(inputs=image[None], view_seed=[5 + i]))
        for a, b in zip(alone, together, strict=True):
            torch.testing.assert_close(a[0], b[i], rtol=0, atol=1e-5)


def crops_of(data, recipes):
    """The crops of all views, (N, V, 3, S, S) float in [0, 1], not flipped."""
    height, width = data['inputs'].shape[2:]
    boxes = [
        sample_view_params(data['view_seed'], view, recipe, height, width).box
        for view, recipe in enumerate(recipes)
    ]
    crops = [
        resized_crop(data['inputs'], box, recipe.size)
        for box, recipe in zip(boxes, recipes, strict=True)
    ]
    return torch.stack(crops, dim=1)


@pytest.mark.parametrize('recipe', [dict(), ALL_OPERATIONS, dict(jitter=None, flip_prob=1.0)])
def test_views_of_exact_crops_are_those_of_the_images(recipe):
    """Boxes that copy pixels lose nothing to uint8."""
    recipe = dict(size=16, scale=(0.25, 0.25), ratio=(1, 1), **recipe)
    data = batch(40)
    crops = crops_of(data, [ViewRecipe.from_cfg(recipe)] * 2).mul(255).round().to(torch.uint8)
    preprocessor = build(views=recipe)
    cropped = views(preprocessor, dict(data, inputs=crops))
    for ours, expected in zip(cropped, views(preprocessor, data), strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=2e-5)


def test_rounding_of_crops_costs_half_a_step():
    """Flip alone, any boxes: the only difference is the crops' rounding to uint8."""
    recipe = dict(size=24, jitter=None, gray_prob=0)
    data = batch(40, 60, 45)
    crops = crops_of(data, [ViewRecipe.from_cfg(recipe)] * 2).mul(255).round().to(torch.uint8)
    preprocessor = build(views=recipe)
    half = 0.5 / torch.tensor(STD).view(3, 1, 1) + 1e-5
    cropped = views(preprocessor, dict(data, inputs=crops))
    for ours, expected in zip(cropped, views(preprocessor, data), strict=True):
        assert ((ours - expected).abs() <= half).all()
        assert not torch.equal(ours, expected)


@pytest.mark.parametrize('rows', [slice(7, 8), slice(0, 40, 3)])
def test_views_of_crops_do_not_depend_on_the_batch(rows):
    crops = torch.randint(0, 256, (40, 2, 3, 32, 32), dtype=torch.uint8)
    data = dict(inputs=crops, view_seed=torch.arange(40))
    whole = views(build(views=ALL_OPERATIONS), data)
    part = views(build(views=ALL_OPERATIONS, chunk_size=3), pick(data, rows))
    assert all(torch.equal(a, b[rows]) for a, b in zip(part, whole, strict=True))
    assert torch.equal(crops, data['inputs'])


@pytest.mark.parametrize('training', [True, False])
def test_channels_last_changes_the_layout_only(training):
    data = batch(4)
    plain, nhwc = (build(channels_last=flag)(data, training)['inputs'] for flag in (False, True))
    for a, b in zip(plain, nhwc, strict=True) if training else [(plain, nhwc)]:
        assert torch.equal(a, b)
        assert a.is_contiguous() and b.is_contiguous(memory_format=torch.channels_last)


def test_views_stay_float32_under_autocast():
    data = batch(4)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        inside = views(build(), data)
    for a, b in zip(inside, views(build(), data), strict=True):
        assert a.dtype == torch.float32 and torch.equal(a, b)


def test_stock_simsiam_trains_on_the_views():
    neck = dict(type='NonLinearNeck', in_channels=32, hid_channels=16, out_channels=16)
    model = MODELS.build(
        ConfigDict(
            type='SimSiam',
            data_preprocessor=dict(type='TwoViewPreprocessor', mean=MEAN, std=STD),
            backbone=dict(type='ResNet_CIFAR', depth=18, stem_channels=4, base_channels=4),
            neck=dict(neck, num_layers=2, with_avg_pool=True),
            head=dict(
                type='LatentPredictHead',
                loss=dict(type='CosineSimilarityLoss'),
                predictor=dict(neck, in_channels=16, num_layers=2, with_avg_pool=False),
            ),
        )
    )
    assert isinstance(model.data_preprocessor, TwoViewPreprocessor)
    inputs = model.data_preprocessor(batch(4), training=True)
    loss = model(**inputs, mode='loss')['loss']
    loss.backward()
    assert -1 <= loss.item() <= 1
    assert model.backbone.conv1.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(view_seed=None), 'wrap the dataset in ReplayDataset'),
        (dict(view_seed=torch.arange(3)), '4 images but 3 view seeds'),
        (dict(view_seed=torch.rand(4)), "'view_seed' must be N integers"),
        (dict(view_seed=torch.tensor(4)), "'view_seed' must be N integers"),
        (dict(inputs=torch.rand(4, 3, 8, 8)), "'inputs' must be uint8 images"),
        (dict(inputs=torch.zeros(4, 1, 8, 8, dtype=torch.uint8)), "'inputs' must be uint8"),
        (dict(inputs=[torch.rand(3, 8, 8)] * 4), "'inputs' must be uint8 images"),
        (dict(inputs=torch.rand(4, 2, 3, 32, 32)), "'inputs' must be uint8 crops"),
        (dict(inputs=torch.zeros(4, 3, 3, 32, 32).byte()), 'give DecodeCrops the views'),
        (
            dict(inputs=torch.zeros(4, 2, 3, 24, 24).byte()),
            r'of 2 views, sizes \[32, 32\], got 2 of',
        ),
    ],
)
def test_bad_batches_are_refused_in_one_line(change, message):
    data = {key: value for key, value in (batch(4) | change).items() if value is not None}
    with pytest.raises(ValueError, match=message) as error:
        build()(data, training=True)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(mean=[0, 0], std=STD), 'mean and std need 3 values'),
        (dict(mean=MEAN, std=[1, 0, 1]), 'mean and std need 3 values'),
        (dict(mean=MEAN, std=STD, views=[{}]), 'num_views=2, but views lists 1'),
        (dict(mean=MEAN, std=STD, num_views=0), 'num_views=0'),
        (dict(mean=MEAN, std=STD, views=dict(crop=3)), 'ViewRecipe has no'),
    ],
)
def test_bad_arguments_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TwoViewPreprocessor(**kwargs)
