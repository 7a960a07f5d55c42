# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""FrozenHook holds linear evaluation to contract C9.

1. A shipped recipe trains the classifier and leaves every entry of the backbone's state as it
   stands in the pretraining checkpoint; a resumed run is held to the same.
2. A weight, a BatchNorm statistic or a counter that moves ends the run in one line that names it.
3. Weights that are not all there, or not wholly loaded, are refused before the first step.
"""

import re

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from nasiam_mm.registry import MODELS
from tests.reduced import reduced

LINEAR = 'benchmarks/linear/r18_cifar10_linear_demo'


@pytest.fixture
def pretrained(tmp_path):
    """A checkpoint with a backbone whose statistics are not those of a fresh one, and a neck."""
    cfg = reduced(LINEAR, tmp_path).model.backbone
    backbone = MODELS.build({**cfg, 'frozen_stages': -1, 'norm_eval': False})
    backbone.init_weights()
    backbone.train()
    backbone(torch.randn(16, 3, 32, 32))
    weights = {f'backbone.{name}': value for name, value in backbone.state_dict().items()}
    path = tmp_path / 'pretrained.pth'
    torch.save({'state_dict': {**weights, 'neck.fc0.weight': torch.ones(3, 3)}}, path)
    return path


def build(tmp_path, checkpoint, epochs=2, **backbone):
    cfg = reduced(LINEAR, tmp_path / 'work', epochs=epochs)
    if checkpoint is not None:
        init_cfg = dict(type='Pretrained', checkpoint=str(checkpoint), prefix='backbone.')
        cfg.model.backbone.init_cfg = init_cfg
    cfg.model.backbone.update(backbone)
    cfg.train_cfg.val_interval = 1
    return cfg


def backbone_of(path):
    state = torch.load(path, weights_only=False)['state_dict']
    return {name: value for name, value in state.items() if name.startswith('backbone.')}


def test_only_the_classifier_learns(tmp_path, pretrained):
    runner = Runner.from_cfg(build(tmp_path, pretrained))
    before = None

    class Watch(Hook):
        def before_train(self, runner):
            nonlocal before
            before = runner.model.head.fc.weight.clone()

    runner.register_hook(Watch())
    runner.train()
    assert not torch.equal(before, runner.model.head.fc.weight)
    expected, found = backbone_of(pretrained), backbone_of(tmp_path / 'work/epoch_2.pth')
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
    held = [p for g in runner.optim_wrapper.param_groups for p in g['params']]
    assert {id(p) for p in held} == {id(p) for p in runner.model.head.parameters()}
    log = next((tmp_path / 'work').glob('*/*.log')).read_text()
    first, last = re.findall(r'backbone frozen: .*sha256 (\w+)', log)
    assert first == last
    assert f'{len(expected)} of {len(expected)} entries are those of {pretrained}' in log


def test_batchnorm_uses_the_pretrained_statistics_while_training(tmp_path, pretrained):
    runner = Runner.from_cfg(build(tmp_path, pretrained))
    modes = set()

    class Watch(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            modes.update(m.training for m in runner.model.backbone.modules() if hasattr(m, 'eps'))

    runner.register_hook(Watch())
    runner.train()
    assert modes == {False}


def test_a_resumed_run_is_held_to_the_same_checkpoint(tmp_path, pretrained):
    cfg = build(tmp_path, pretrained)
    cfg.default_hooks.checkpoint.max_keep_ckpts = 2
    Runner.from_cfg(cfg).train()
    (tmp_path / 'work/epoch_2.pth').unlink()
    cfg.resume = True
    Runner.from_cfg(cfg).train()
    (tmp_path / 'work/epoch_1.pth').unlink()
    saved = torch.load(tmp_path / 'work/epoch_2.pth', weights_only=False)
    saved['state_dict']['backbone.conv1.weight'] += 1
    torch.save(saved, tmp_path / 'work/epoch_2.pth')
    with pytest.raises(ValueError, match='conv1.weight was not loaded'):
        Runner.from_cfg(cfg).train()


@pytest.mark.parametrize(
    'name', ['layer2.0.conv1.weight', 'bn1.running_var', 'layer4.1.bn2.num_batches_tracked']
)
def test_what_moves_is_named(tmp_path, pretrained, name):
    runner = Runner.from_cfg(build(tmp_path, pretrained))

    class Move(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if runner.epoch == 1 and batch_idx == 0:
                runner.model.backbone.state_dict()[name].add_(1)

    runner.register_hook(Move())
    with pytest.raises(RuntimeError, match=rf"'backbone.{re.escape(name)}' .* moved in epoch 2"):
        runner.train()
    assert not (tmp_path / 'work/epoch_2.pth').exists()


def test_statistics_that_drift_are_caught(tmp_path, pretrained):
    # Frozen weights alone are not enough: this is the leak of the published SimCLR evaluation.
    cfg = build(tmp_path, pretrained, frozen_stages=-1, norm_eval=False)
    runner = Runner.from_cfg(cfg)
    for parameter in runner.model.backbone.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(RuntimeError, match=r'bn1\.\w+.* moved in epoch 1'):
        runner.train()


def test_a_backbone_that_learns_is_refused(tmp_path, pretrained):
    runner = Runner.from_cfg(build(tmp_path, pretrained, frozen_stages=3))
    with pytest.raises(ValueError, match=r"'backbone.layer4.0.conv1.weight' asks for a gradient"):
        runner.train()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda s: s.pop('backbone.bn1.running_mean'),
            r'fits 119 of 120 entries of the backbone: bn1.running_mean is missing',
        ),
        (lambda s: s.update({'backbone.x': torch.ones(1)}), r'x is left over'),
        (
            lambda s: s.update({'backbone.conv1.weight': torch.ones(4, 3, 3, 3)}),
            r'conv1.weight is \(4, 3, 3, 3\), not \(8, 3, 3, 3\)',
        ),
        (lambda s: [s.pop(k) for k in list(s) if k.startswith('backbone')], r'fits 0 of'),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path, pretrained, change, message):
    checkpoint = torch.load(pretrained)
    change(checkpoint['state_dict'])
    torch.save(checkpoint, pretrained)
    with pytest.raises(ValueError, match=message) as caught:
        Runner.from_cfg(build(tmp_path, pretrained)).train()
    assert '\n' not in str(caught.value)
    assert 'widths' in str(caught.value)


def test_no_pretrained_weights_are_refused(tmp_path):
    with pytest.raises(ValueError, match='pass --checkpoint FILE to tools/train.py'):
        Runner.from_cfg(build(tmp_path, None)).train()


def test_testing_needs_no_pretraining_checkpoint(tmp_path, pretrained):
    Runner.from_cfg(build(tmp_path, pretrained, epochs=1)).train()
    pretrained.unlink()
    cfg = build(tmp_path, pretrained)
    cfg.load_from = str(tmp_path / 'work/epoch_1.pth')
    metrics = Runner.from_cfg(cfg).test()
    assert set(metrics) == {'accuracy/top1', 'accuracy/top5'}
