# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
import json

import pytest

from benchmarks.heads.jobs import FRAMEWORKS, Job, config
from benchmarks.heads.scales import Scale
from benchmarks.heads.searched import STRATEGIES, cost_of, search_config, searched_head
from nasiam_mm.config_walk import find_hook
from nasiam_mm.runs.store import WORK


def test_every_shipped_strategy_is_searched_with():
    assert len(STRATEGIES) == 12
    assert {'darts_first_order', 'gdas', 'darts_pt'} <= {*STRATEGIES}


@pytest.mark.parametrize('framework', FRAMEWORKS)
def test_a_search_has_the_images_and_epochs_of_a_training(framework, tmp_path):
    search = search_config(framework, 'narrow', 'fair_darts', 3)
    training = config(Job(framework, 'narrow', 'standard', 3), tmp_path)
    assert search.train_cfg.max_epochs == training.train_cfg.max_epochs
    assert search.randomness == training.randomness
    assert search.model.backbone == training.model.backbone
    images = find_hook(search, 'AlphaStepHook').dataloader.dataset.dataset
    parts = search.train_dataloader.dataset.dataset.parts
    assert parts == images.parts and images.part == 'alpha'
    parts = dict(parts)
    assert (
        parts['weights'] + parts['alpha'] == training.train_dataloader.dataset.dataset.parts.train
    )
    assert find_hook(search, 'AlphaStepHook').regularizers[0].type == 'ZeroOne'


def test_widths_keep_their_ratio_to_the_features(tmp_path):
    for framework in FRAMEWORKS:
        cfg = config(Job(framework, 'narrow', 'standard', 0), tmp_path)
        full = search_config(framework, 'narrow', 'gdas', 0)
        assert cfg.model.neck.in_channels == 64 == full.model.neck.in_channels
    cfg = config(Job('simclr', 'narrow', 'standard', 0), tmp_path)
    assert cfg.model.neck.hidden_channels == 256
    assert config(Job('byol', 'narrow', 'standard', 0), tmp_path).model.neck.hidden_channels == 64
    assert Scale(pixels=8, width=8, images=5000, epochs=4).iterations == 39


def test_a_search_is_made_once_and_its_cost_is_kept(tmp_path):
    class Store:
        made = 0

        def of(self, name, cfg):
            return tmp_path / name

        def make(self, run, cfg):
            self.made += 1
            (run / WORK).mkdir(parents=True)
            (run / WORK / 'genotype.json').write_text('{}')
            return {'process_seconds': 12.5}

    store = Store()
    for _ in range(2):
        found = searched_head(store, tmp_path / 'found', 'simclr', 'narrow', 'd_darts-2')
    assert store.made == 1
    assert found == tmp_path / 'found/simclr-narrow/d_darts-2.json'
    assert json.loads(cost_of(found).read_text()) == {'seconds': 12.5}


@pytest.mark.parametrize(
    ('job', 'says'),
    [
        (Job('moco', 'narrow', 'standard', 0), "no framework 'moco'; take one of simclr"),
        (Job('byol', 'huge', 'standard', 0), "no scale 'huge'; take one of thumb, half"),
        (Job('byol', 'narrow', 'nosuch.json', 0), 'nosuch.json'),
    ],
)
def test_what_is_not_there_is_told(job, says, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        config(job, tmp_path)


def test_a_scale_sets_stride_batch_rate_and_when_is_measured(tmp_path):
    cfg = config(Job('simsiam', 'brisk', 'standard', 0), tmp_path)
    assert cfg.train_dataloader.batch_size == 64 and cfg.optim_wrapper.optimizer.lr == 0.4
    assert cfg.log_processor.window_size == cfg.default_hooks.logger.interval == 2500 // 64
    assert 'strides' not in cfg.model.backbone and cfg.probe.interval == 1
    dear = config(Job('simclr', 'dear', 'standard', 0), tmp_path)
    assert dear.model.backbone.strides == (2, 2, 2, 2)
    assert dear.probe.interval == dear.train_cfg.max_epochs == 5
    assert dear.optim_wrapper.optimizer.lr == 0.1
