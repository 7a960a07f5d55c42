# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: a dry pass finds what a backbone gives, as a real pass does, and says what cannot be."""

import pytest
import torch
from torch import nn

from nasiam_mm.datasets.source import Source
from nasiam_mm.models.spaces import choices_of_model
from nasiam_mm.presets import find_backbone
from nasiam_mm.presets.recipe import make_recipes
from nasiam_mm.presets.scale import Machine, choose_scale
from nasiam_mm.registry import MODELS


@pytest.mark.parametrize(
    ('name', 'size', 'width', 'has_maps', 'has_batch_norm'),
    [
        ('resnet18', 32, 512, True, True),
        ('resnet18_small', 64, 128, True, True),
        ('resnet50', 96, 2048, True, True),
        ('mobilenet_v2', 64, 1280, True, True),
        ('deit_tiny', 32, 192, False, False),
        ('timm/vit_tiny_patch16_224', 64, 192, False, False),
        ('timm/resnet18', 64, 512, False, True),
        (dict(type='ResNet', depth=18, out_indices=(0, 2, 3)), 64, 512, True, True),
    ],
)
def test_a_real_pass_gives_what_the_dry_one_told(name, size, width, has_maps, has_batch_norm):
    found = find_backbone(name, size)
    assert (found.width, found.has_maps, found.has_batch_norm) == (width, has_maps, has_batch_norm)
    module = MODELS.build(dict(found.cfg))
    module.eval()
    numbers = []
    for part in module.modules():
        if not list(part.children()):
            part.register_forward_hook(lambda m, i, o: numbers.append(o.numel()))
    with torch.no_grad():
        (output,) = module(torch.zeros(1, 3, size, size))
    map_size = found.map_size
    assert output.shape == ((1, width, map_size, map_size) if has_maps else (1, width))
    assert sum(numbers) == found.numbers
    # No fewer operations than its convolutions at one position, no layer is left out.
    weights = sum(
        m.weight.numel() for m in module.modules() if isinstance(m, (nn.Conv2d, nn.Linear))
    )
    assert found.flops >= 2 * weights * (1 if has_maps else 0.9) * (0.5 if size < 64 else 0.2)


def test_the_stem_follows_the_size():
    assert find_backbone('resnet18', 64).cfg['type'] == 'ResNet_CIFAR'
    assert find_backbone('resnet18', 96).cfg['type'] == 'ResNet'


@pytest.mark.parametrize(
    ('name', 'told'),
    [
        ('resnet19', 'type of mmpretrain; did you mean resnet18?'),
        ('../x', "there is no backbone '../x'"),
        ('no.such.module', 'there is no backbone'),
        ({}, 'names its type'),
        (3, 'a name or a config, got 3'),
        ('VGG', "missing 1 required positional argument: 'depth'"),
        ('timm/nothing', "timm has no network 'nothing'"),
        ('timm/hf-hub:some/one', 'timm has no network'),
        (dict(depth=18), "a backbone's config names its type"),
        (dict(type='VisionTransformer', arch='deit-tiny', out_type='raw'), 'gives (2, 197, 192)'),
        (dict(type='TimmFeatures', model_name='swin_tiny_patch4_window7_224'), 'does not take'),
    ],
)
def test_what_cannot_be_is_one_line(name, told):
    size = 224 if 'raw' in str(name) else 33
    with pytest.raises(ValueError) as error:
        find_backbone(name, size)
    assert told in str(error.value) and '\n' not in str(error.value)


SEARCHED = dict(
    type='ChoiceMobileNet',
    blocks=(1, 1),
    channels=(8, 8, 16),
    strides=(1, 2),
    space=['mbconv_3_e3', 'mbconv_5_e3', 'identity'],
)


def test_a_backbone_to_be_searched_costs_what_its_mixture_does():
    fixed = find_backbone({**SEARCHED, 'space': None, 'op': 'mbconv_3_e3'}, 16)
    found = find_backbone(SEARCHED, 16)
    assert found.width == fixed.width == 16 and found.has_maps
    assert 2 * fixed.flops < found.flops < 4 * fixed.flops
    assert found.cfg['space'] == SEARCHED['space'] and found.cfg['img_size'] == 16


def test_it_is_searched_by_the_search_and_made_by_hand_in_the_baseline():
    source = Source('photos', 'own', (), (1.0,) * 3, (1.0,) * 3, 16, {'train': 400})
    machine, backbone = Machine('cpu', 4.0, 1, False), find_backbone(SEARCHED, 16)
    scale = choose_scale(400, 16, backbone, machine)
    recipes = make_recipes('photos', source, 'simclr', backbone, 16, scale, machine)
    assert list(choices_of_model(recipes.search.model)) == ['backbone', 'projector']
    assert recipes.pretrain.model.backbone == recipes.search.model.backbone == backbone.cfg
    assert recipes.baseline.model.backbone.get('space') is None
