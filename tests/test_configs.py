# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: every shipped config builds and trains a step, stays flat and short, passes the audit."""

import re
import runpy
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.runner import Runner

from nasiam_mm.registry import DATASETS, MODELS
from tests.reduced import ROOT, reduced
from tests.small import searched_shapes, use_genotype_of_the_search
from tests.test_ops.op_audit import audit

image_of = runpy.run_path(str(ROOT / 'tools/analysis_tools/nearest_neighbours.py'))['image_of']

RECIPES = sorted(
    str(path.relative_to(ROOT / 'configs').with_suffix(''))
    for path in (ROOT / 'configs/nasiam').glob('*.py')
)
IMAGENET = [name for name in RECIPES if name.endswith('_imagenet')]
ON_STOCK = 'nasiam/simsiam_r50_baseline_imagenet'
SEARCHES = [name for name in RECIPES if '_search_' in name]


@pytest.fixture(autouse=True)
def plain_text(monkeypatch):
    """Leave out the layout of the logged and dumped config: it takes longer than the step."""
    monkeypatch.setattr(Config, 'pretty_text', property(lambda self: repr(self.to_dict())))


class StopAfterOneStep(Hook):
    """Ends the run once a step is made."""

    priority = 'LOWEST'

    class Done(Exception):
        """The step is made."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        assert outputs['loss'].isfinite()
        raise self.Done


def make_a_step(cfg):
    runner = Runner.from_cfg(cfg)
    runner.register_hook(StopAfterOneStep())
    with pytest.raises(StopAfterOneStep.Done):
        runner.train()
    return runner


@pytest.mark.parametrize('name', RECIPES)
def test_recipe_builds_and_makes_a_step(name, tmp_path):
    cfg = reduced(name, tmp_path / 'run')
    if '_pretrain_' in name:
        use_genotype_of_the_search(cfg, name, tmp_path)
    make_a_step(cfg)


def on_stock_views(name, tmp_path):
    """Write a recipe as docs/frameworks.md tells: another file in its first line."""
    text = (ROOT / 'configs' / f'{name}.py').read_text()
    text = text.replace('imagenet_pretrain.py', 'imagenet_pretrain_stock.py')
    (tmp_path / 'stock.py').write_text(text.replace('../_base_', str(ROOT / 'configs/_base_')))
    return str(tmp_path / 'stock')


def test_imagenet_recipe_makes_a_step_on_stock_views(tmp_path):
    cfg = reduced(on_stock_views(ON_STOCK, tmp_path), tmp_path)
    assert 'DecodeCrops' not in str(cfg.train_dataloader)
    assert type(make_a_step(cfg).model.data_preprocessor).__name__ == 'SelfSupDataPreprocessor'


@pytest.mark.parametrize('name', IMAGENET)
def test_imagenet_crops_and_views_have_one_recipe(name):
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    decode = cfg.train_dataloader.dataset.pipeline[0]
    assert decode.type == 'DecodeCrops' and decode.views == cfg.model.data_preprocessor['views']


@pytest.mark.parametrize('is_stock', [False, True])
def test_imagenet_probe_sees_the_colours_that_training_sees(is_stock, tmp_path):
    name = on_stock_views(ON_STOCK, tmp_path) if is_stock else IMAGENET[0]
    cfg = reduced(name, tmp_path)
    color = torch.tensor([200.0, 90.0, 20.0])  # RGB
    for path in Path(cfg.data.root, 'train').iterdir():
        mmcv.imwrite(np.full((40, 40, 3), color.flip(0), dtype=np.uint8), str(path))
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    expected = (color - preprocessor.mean.flatten()) / preprocessor.std.flatten()
    part = DATASETS.build(cfg.probe.query.dataset)
    pixels = preprocessor(default_collate([part[0]]), False)['inputs'][0]
    assert (pixels.mean((1, 2)) - expected).abs().max() < 0.05
    assert np.abs(image_of(part, 0) - color.numpy()).max() <= 2
    if not is_stock:
        crops = DATASETS.build(cfg.train_dataloader.dataset)[(0, 7)]['inputs']
        assert (crops.float().mean((0, 2, 3)) - color).abs().max() <= 2


@pytest.mark.parametrize('name', RECIPES)
def test_recipe_is_flat_and_short(name):
    path = ROOT / 'configs' / f'{name}.py'
    text = path.read_text()
    assert len(text.splitlines()) <= 80
    if name.endswith('_cifar100') and '_r50_' not in name:
        assert text.count('\n') == 2  # test_resolve.py says what they are
        return
    bases = re.findall(r"'(\.\./_base_/[^']+)'", text.split('\n\n')[0])
    assert 1 <= len(bases) <= 3
    for base in bases:
        assert '_base_ =' not in (path.parent / base).resolve().read_text()
    assert 'optim_wrapper = dict(' in text and 'model = dict(' in text


def test_candidates_of_every_shipped_layer_pass_the_audit():
    models = [Config.fromfile(ROOT / 'configs' / f'{name}.py').model for name in SEARCHES]
    layers = {
        (tuple(model.space), shape)
        for model in models
        for shapes in searched_shapes(model).values()
        for shape in shapes
    }
    assert len(layers) >= 5
    for space, shape in sorted(layers):
        audit(space, shape)
