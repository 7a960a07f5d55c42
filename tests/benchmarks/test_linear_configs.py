# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The recipes of linear evaluation state the protocol, keep the test images out, and run."""

import re
import runpy

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from nasiam_mm.datasets import split_indices
from nasiam_mm.registry import MODELS
from tests.reduced import ROOT, reduced

RECIPES = sorted(path.stem for path in (ROOT / 'configs/benchmarks/linear').glob('*.py'))


def read(name):
    return Config.fromfile(ROOT / f'configs/benchmarks/linear/{name}.py')


@pytest.mark.parametrize('name', RECIPES)
def test_the_protocol(name):
    cfg = read(name)
    imagenet, is_vit = 'imagenet' in name, name.startswith('vit')
    optimizer = cfg.optim_wrapper.optimizer
    base = 3.0 if is_vit else 0.1 if imagenet else 1.0 if 'demo' in name else 30.0
    batch = cfg.train_dataloader.batch_size * (8 if imagenet else 1)
    assert batch == cfg.get('auto_scale_lr', {}).get('base_batch_size', batch)
    assert optimizer.type == ('LARS' if imagenet and not is_vit else 'SGD')
    assert optimizer.lr == pytest.approx(base * batch / 256)
    assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 0.0)
    (cosine,) = cfg.param_scheduler
    assert cosine.type == 'CosineAnnealingLR'
    epochs = 30 if 'demo' in name else 90 if is_vit and imagenet else 100
    assert cfg.train_cfg.max_epochs == epochs and 'T_max' not in cosine
    backbone = cfg.model.backbone
    # All of them; a transformer's normalisation has no statistics.
    assert backbone.frozen_stages == (12 if is_vit else 4)
    assert backbone.get('norm_eval', is_vit) is True
    assert cfg.default_hooks.frozen == dict(type='FrozenHook')
    assert 'collapse' not in cfg.default_hooks and 'probe' not in cfg
    assert cfg.test_evaluator == cfg.val_evaluator == dict(type='Accuracy', topk=(1, 5))


@pytest.mark.parametrize('name', RECIPES)
def test_the_parts_share_no_image_and_the_test_images_are_for_the_test(name):
    cfg = read(name)
    train, val = cfg.train_dataloader.dataset.dataset, cfg.val_dataloader.dataset
    assert (train.part, val.part) == ('train', 'val')
    assert (train.parts, train.seed) == (val.parts, val.seed)
    cut = split_indices(50000, train.parts, train.seed)
    assert not set(cut['train'].tolist()) & set(cut['val'].tolist())
    assert train.dataset.split == val.dataset.split == 'train'
    assert cfg.test_dataloader.dataset.split == 'test'
    # Only training has random views.
    random = re.compile('Random')
    assert any(random.match(step.type) for step in train.dataset.pipeline)
    for loader in (val, cfg.test_dataloader.dataset):
        pipeline = loader.get('dataset', loader).pipeline
        assert not any(random.match(step.type) for step in pipeline)


@pytest.mark.parametrize('name', RECIPES)
def test_recipes_are_flat_and_short(name):
    text = (ROOT / f'configs/benchmarks/linear/{name}.py').read_text()
    assert len(text.splitlines()) <= 80
    bases = re.findall(r"'(\.\./\.\./_base_/[^']+)'", text)
    # CIFAR-100's is two lines over CIFAR-10's.
    assert len(bases) == 2 or ('cifar100' in name and len(text.splitlines()) == 2)


class StopAfterOneStep(Hook):
    priority = 'LOWEST'

    class Done(Exception):
        """The step is made."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        assert outputs['loss'].isfinite()
        assert len(outputs['loss'].shape) == 0
        raise self.Done


@pytest.mark.parametrize('name', [name for name in RECIPES if 'demo' not in name])
def test_recipe_builds_and_makes_a_step(name, tmp_path):
    cfg = reduced(f'benchmarks/linear/{name}', tmp_path / 'work')
    backbone = MODELS.build(cfg.model.backbone)
    weights = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    torch.save({'state_dict': weights}, tmp_path / 'pretrained.pth')
    cfg.model.backbone.init_cfg = dict(
        type='Pretrained', checkpoint=str(tmp_path / 'pretrained.pth'), prefix='backbone.'
    )
    runner = Runner.from_cfg(cfg)
    runner.register_hook(StopAfterOneStep())
    with pytest.raises(StopAfterOneStep.Done):
        runner.train()


@pytest.mark.parametrize(
    ('checkpoint', 'message'),
    [
        ('none.pth', "'none.pth' does not exist"),
        (__file__, 'cut short or damaged, or no checkpoint'),
    ],
)
def test_a_checkpoint_that_is_none_is_refused_before_anything_is_built(checkpoint, message):
    main = runpy.run_path(str(ROOT / 'tools/train.py'), run_name='tool')['main']
    config = ROOT / f'configs/benchmarks/linear/{RECIPES[0]}.py'
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        main([str(config), '--checkpoint', checkpoint])
