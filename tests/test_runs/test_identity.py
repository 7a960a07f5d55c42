# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Which settings make another run, and how a difference reads."""

import json

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from nasiam_mm.architecture.genotype import Genotype, random_cell, save_genotype
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.ops.candidates import LayerShape
from nasiam_mm.runs.identity import (
    _flatten,
    fingerprint_digest,
    name_differences,
    run_fingerprint,
)
from tests.reduced import reduced

SEARCH = 'nasiam/simsiam_r18_search_cifar10'


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(Config, 'pretty_text', '')


def fingerprint(work_dir, change=lambda cfg: None, change_data=lambda dataset: None):
    cfg = reduced(SEARCH, work_dir)
    change(cfg)
    runner = Runner.from_cfg(cfg)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    change_data(runner.train_dataloader.dataset)
    return run_fingerprint(runner)


def setting(path, value):
    def change(cfg):
        *parts, last = path.split('.')
        node = cfg
        for part in parts:
            node = node[int(part)] if part.isdigit() else node[part]
        node[last] = value

    return change


@pytest.fixture(scope='module')
def of_search(tmp_path_factory):
    init_default_scope('nasiam_mm')
    return fingerprint(tmp_path_factory.mktemp('search'))


@pytest.mark.parametrize(
    ('path', 'value', 'told'),
    [
        ('model.neck.widths', [32, 16], 'model.neck.widths is [32, 32, 32, 32, 32, 32] there and '
         '[32, 16] here'),
        ('model.neck.space', ['identity'], 'model.neck.space is ['),
        ('train_dataloader.batch_size', 16, 'train_dataloader.batch_size is 32 there and 16 here'),
        ('train_dataloader.dataset.dataset.seed', 1,
         'train_dataloader.dataset.dataset.seed is 0 there and 1 here'),
        ('optim_wrapper.optimizer.lr', 0.5,
         'optim_wrapper.optimizer.lr is 0.06 there and 0.5 here'),
        ('param_scheduler.0.T_max', 7, 'param_scheduler.0.T_max is 100 there and 7 here'),
        ('train_cfg.max_epochs', 9, 'train_cfg.max_epochs is 1 there and 9 here'),
        ('randomness.seed', 4, 'seed is 0 there and 4 here'),
        ('default_hooks.alpha_step.optimizer.lr', 0.5,
         'default_hooks.alpha_step.optimizer.lr is 0.001 there and 0.5 here'),
        ('default_hooks.collapse.patience', 9,
         'default_hooks.collapse.patience is not set there and 9 here'),
        ('model.backbone.depth', 34, 'model.backbone.depth is 18 there and 34 here'),
    ],
)  # fmt: skip
def test_what_decides_the_end_counts(of_search, tmp_path, path, value, told):
    changed = fingerprint(tmp_path, setting(path, value))
    assert told in name_differences(of_search, changed)
    assert fingerprint_digest(of_search) != fingerprint_digest(changed)


def elsewhere(cfg):
    """Change all that does not decide how the run ends."""
    cfg.update(log_level='ERROR', resume=True, load_from='a.pth', experiment_name='other')
    cfg.default_hooks.logger.interval = 3
    cfg.default_hooks.checkpoint.update(interval=7, max_keep_ckpts=1, by_epoch=False)
    cfg.train_dataloader.update(num_workers=1, pin_memory=True, persistent_workers=True)
    cfg.default_hooks.alpha_step.dataloader.update(num_workers=1)
    cfg.default_hooks.logger.interval = 9
    cfg.probe = None
    cfg.env_cfg.cudnn_benchmark = False


def test_what_does_not_decide_the_end_does_not_count(of_search, tmp_path):
    here = fingerprint(tmp_path, elsewhere)
    assert name_differences(of_search, here) == ''
    assert fingerprint_digest(of_search) == fingerprint_digest(here)


def test_it_is_plain_data_and_names_data_and_processes(of_search):
    assert json.loads(json.dumps(of_search)) == of_search
    assert of_search['processes'] == 1
    assert of_search['iterations per epoch'] == 7
    assert len(of_search['data']) == 64


def test_which_images_are_trained_on_counts_where_the_settings_do_not_show_it(of_search, tmp_path):
    def other_rows(dataset):
        dataset.dataset._indices = dataset.dataset._indices[::-1]

    told = name_differences(of_search, fingerprint(tmp_path, change_data=other_rows))
    assert told.startswith('training images is ') and ';' not in told


def test_many_differences_stay_one_line():
    there, here = {str(n): n for n in range(9)}, {str(n): -n for n in range(9)}
    told = name_differences(there, here)
    assert told == (
        '1 is 1 there and -1 here; 2 is 2 there and -2 here; 3 is 3 there and -3 here; '
        'and 5 more differences'
    )


def test_genotype_counts_by_its_layers(tmp_path):
    space = ('linear_bn_relu', 'max_pool_3_bn', 'avg_pool_3_bn', 'identity')
    shapes = [LayerShape(8, 8, False)] * 3

    def write(name, seed, **provenance):
        cells = {'projector': random_cell(space, shapes, seed=seed)}
        save_genotype(Genotype('SimCLR', space, cells, provenance), tmp_path / name)
        return str(tmp_path / name)

    def fields(path):
        cfg = Config(dict(model=dict(neck=dict(cell='projector', genotype=path))))
        found = {}
        _flatten(cfg.model, 'model', found)
        return found

    one = fields(write('a.json', 1, epoch=3))
    assert fields(write('moved/b.json', 1, epoch=9)) == one
    layers = load_genotype(tmp_path / 'a.json').cells['projector'].layers
    assert one['model.neck.genotype'] == [f'{layer.ops[0]} 8->8' for layer in layers]
    other = fields(write('c.json', 2))
    assert name_differences(one, other).startswith("model.neck.genotype is ['")
