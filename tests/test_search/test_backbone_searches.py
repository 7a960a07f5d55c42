# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The recipes of configs/backbones run, small: a search, its genotype, a training of it."""

import json
from pathlib import Path

import pytest
import torch

from nasiam_mm.architecture.genotype import random_genotype, save_genotype
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.models.backbones.derive import derived_weights
from nasiam_mm.models.spaces import choices_of_model
from nasiam_mm.registry import MODELS
from nasiam_mm.report.pictures.genotype_drawing import genotype_figure
from tests.reduced import ROOT, reduced
from tests.small import train

ALL = sorted(path.stem for path in (ROOT / 'configs/backbones').glob('*.py'))
TRAININGS = [name for name in ALL if '_pretrain_' in name or '_study_' in name]
SEARCHES = [name for name in ALL if name not in TRAININGS]


def small(name, folder, epochs=1):
    cfg = reduced(f'backbones/{name}', folder, epochs, batch_size=8)
    cfg.model.data_preprocessor.views.size = 8
    # Of each space what it has of each sort.
    sizes = {
        'ChoiceResNet': dict(base_channels=8, stem_channels=8),
        'ChoiceMobileNet': dict(
            blocks=(2, 1), channels=(8, 8, 16), strides=(1, 2),
            space=['mbconv_3_e3', 'mbconv_5_e3', 'identity'],
        ),
        'ChoiceCells': dict(
            blocks=(1, 1), base_channels=4, nodes=1,
            space=['dil_conv_3', 'max_pool_3x3', 'identity', 'factorized_reduce', 'none'],
        ),
    }  # fmt: skip
    cfg.model.backbone.update(img_size=8, **sizes[cfg.model.backbone.type])
    loaders = [cfg.train_dataloader]
    if 'alpha_step' in cfg.default_hooks:
        loaders.append(cfg.default_hooks.alpha_step.dataloader)
        # A step in five would be none here.
        cfg.default_hooks.alpha_step.interval = 1
    for loader in loaders:
        part = loader.dataset
        while 'parts' not in part:
            part = part.dataset
        part.parts = [(key, 0.05) for key, _ in dict(part.parts).items()]
    cfg.default_hooks.pop('probe')
    cfg.default_hooks.pop('collapse')
    cfg.pop('probe')
    return cfg


def test_there_are_recipes_of_each_kind():
    assert len(SEARCHES) == 5 and len(TRAININGS) == 5


@pytest.mark.parametrize('name', SEARCHES)
def test_a_search_names_recipes_that_take_what_it_finds(name, tmp_path):
    cfg = small(name, tmp_path)
    assert (ROOT / 'configs' / cfg.study.baseline).is_file()
    found = random_genotype(cfg.model.type, choices_of_model(cfg.model), 1)
    model = small(Path(cfg.study.recipe).stem, tmp_path).model
    model.data_preprocessor.update(mean=[0.0] * 3, std=[1.0] * 3)
    assert MODELS.build({**model, 'genotype': found}).architecture is None


@pytest.mark.parametrize('name', SEARCHES)
def test_a_search_ends_with_a_genotype_that_builds_what_it_mixed(name, tmp_path):
    cfg = small(name, tmp_path)
    runner = train(cfg)
    model = runner.model
    genotype = load_genotype(tmp_path / 'genotype.json')
    assert list(genotype.heads) == list(model.architecture.choices)
    told = genotype.provenance['decided_at']
    assert all(len(row) == 4 for group in model.backbone.groups for row in told[group])
    assert all(alpha.abs().sum() > 0 for alpha in model.architecture.alphas())
    net = MODELS.build({**cfg.model.backbone, 'space': None, 'genotype': genotype})
    found = derived_weights(model.backbone.state_dict(), net.state_dict())
    net.load_state_dict(found)
    assert net(torch.randn(2, 3, 8, 8))[0].isfinite().all()
    assert genotype_figure(genotype).axes


@pytest.mark.parametrize('name', TRAININGS)
def test_a_drawn_genotype_is_trained(name, tmp_path):
    cfg = small(name, tmp_path)
    genotype = random_genotype(cfg.model.type, choices_of_model(cfg.model), 1)
    save_genotype(genotype, tmp_path / 'drawn.json')
    cfg.model.genotype = str(tmp_path / 'drawn.json')
    runner = train(cfg)
    assert runner.iter > 0 and not hasattr(runner.model.backbone, 'alpha')
    logged = [json.loads(line) for line in next(tmp_path.rglob('scalars.json')).open()]
    assert all(row['loss'] > 0 for row in logged if 'loss' in row)
