# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a framework cannot train with is told before a training, in one line with its mend."""

import pytest

import nasiam_mm.engine  # noqa: F401
from nasiam_mm.checks.before_training import find_problems
from nasiam_mm.presets import framework_names
from tests.reduced import reduced

LOSS = 'model.head.loss'
HOOK = 'default_hooks.prototypes'
FAULTS = {
    'width of prototypes': (
        'swav',
        {f'{LOSS}.feat_dim': 3},
        'behind model.neck, which gives (192, 32): SwAVLoss.feat_dim is 3, but z has 32',
    ),
    'views': ('swav', {f'{LOSS}.crops_for_assign': [0, 7]}, 'takes more views than the 6 there'),
    'no views': ('swav', {f'{LOSS}.crops_for_assign': [0.5, 1]}, 'must name views, as [0, 1], got'),
    'word': ('swav', {f'{LOSS}.epsilon': 'a'}, "SwAVLoss.epsilon must be a positive number, got '"),
    'no queue': ('swav', {f'{LOSS}.queue_len': 0, f'{HOOK}.queue_epoch': 2}, 'loss has no queue'),
    'no prototypes': ('simclr', {HOOK: dict(type='PrototypesHook')}, 'SimCLR has no prototypes'),
    'one image': ('swav', {'train_dataloader.batch_size': 1}, 'SwAV needs two images'),
    'average': ('mocov3', {'optim_wrapper.accumulative_counts': 4}, 'MoCoV3 moves in every iter'),
    'rate': ('swav', {'optim_wrapper.optimizer.lr': -1}, 'SGD cannot be built from the config: In'),
    'precision': (
        'vicreg',
        {'optim_wrapper.type': 'AutocastOptimWrapper', 'optim_wrapper.dtype': 'float16'},
        "AutocastOptimWrapper.dtype must be 'bfloat16', got 'float16'",
    ),
    'lambda': ('barlowtwins', {f'{LOSS}.lambd': -1}, 'CrossCorrelationLoss.lambd must be a number'),
    'no weight': (
        'vicreg',
        {f'model.head.{name}': 0 for name in ('invariance', 'variance', 'covariance')},
        'covariance are 0; give one a weight',
    ),
}


def problems_of(tmp_path, framework, changes):
    cfg = reduced(f'nasiam/{framework}_r18_search_cifar10_demo', tmp_path / 'work')
    cfg.merge_from_dict(changes)
    return find_problems(cfg)


@pytest.mark.parametrize('fault', FAULTS)
def test_each_fault_is_one_line(fault, tmp_path):
    framework, changes, told = FAULTS[fault]
    [line] = problems_of(tmp_path, framework, changes)
    assert told in line and '\n' not in line


@pytest.mark.parametrize('framework', [name for name in framework_names() if name != 'swav'])
def test_a_view_that_no_loss_would_see_is_refused(framework, tmp_path):
    [line] = problems_of(tmp_path, framework, {'model.data_preprocessor.num_views': 3})
    assert 'takes 2 views of an image, not 3; set model.data_preprocessor.num_views=2' in line


@pytest.mark.parametrize('framework', ['simclr', 'mocov2', 'mocov3', 'pirl', 'swav'])
@pytest.mark.parametrize('value', [float('nan'), 'x'])
def test_a_temperature_is_a_positive_number(framework, value, tmp_path):
    owner = LOSS if framework == 'swav' else 'model.head'
    [line] = problems_of(tmp_path, framework, {f'{owner}.temperature': value})
    assert '.temperature must be a positive number, got ' in line


@pytest.mark.parametrize(
    ('changes', 'told'),
    [
        ({'backbone.img_size': 64}, 'its positions are for 64 pixels, the views have 32; set mod'),
        ({'data_preprocessor.views.size': 30, 'backbone.img_size': 30}, 'no multiple of patch_siz'),
        ({'backbone.img_size': [32, 32]}, 'MoCoV3ViT.img_size must be a whole number from 1, got'),
        ({'backbone.patch_size': 0}, 'MoCoV3ViT.patch_size must be a whole number from 1, got 0'),
        ({'backbone.out_type': 'featmap'}, '; set model.neck.with_avg_pool=True'),
    ],
)
def test_a_transformer_is_for_the_views(changes, told, tmp_path):
    cfg = reduced('nasiam/mocov3_vit-tiny_search_cifar10', tmp_path / 'work', epochs=41)
    cfg.param_scheduler = []
    cfg.merge_from_dict({f'model.{key}': value for key, value in changes.items()})
    [line] = find_problems(cfg)
    assert told in line, line


def test_small_views_beside_those_of_its_size_are_taken_whole(tmp_path):
    backbone = dict(type='MoCoV3ViT', arch='deit-tiny', img_size=32, patch_size=8, _delete_=True)
    neck = {'in_channels': 192, 'with_avg_pool': False}
    changes = {'model.backbone': backbone, **{f'model.neck.{k}': v for k, v in neck.items()}}
    assert problems_of(tmp_path, 'swav', changes) == []
    backbone['patch_size'] = 32
    [line] = problems_of(tmp_path, 'swav', changes)
    assert 'views of 16 pixels are no multiple of its patches of 32' in line
