# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Tables of all frameworks and the talk's: their rows, and what the talk's change in recipes."""

import pytest

from benchmarks.papers.catalogue import find_table
from benchmarks.papers.measures import figures, linear_config
from benchmarks.papers.planning import plan_table
from nasiam_mm.models.frameworks import FRAMEWORKS, title_of
from nasiam_mm.presets import framework_names
from tests.benchmarks.test_papers.test_planning import PAPER_ONLY
from tests.reduced import ROOT


@pytest.mark.parametrize('scale', ['demo', 'paper'])
@pytest.mark.parametrize('name', ['frameworks', 'frameworks-cifar100', 'frameworks-imagenet'])
def test_every_framework_has_its_own_and_a_searched_head(name, scale):
    if scale == 'demo' and name in PAPER_ONLY:
        return
    plan = plan_table(find_table(name, scale), [0], ROOT)
    kinds = {FRAMEWORKS[one].algorithm for one in framework_names()}
    heads = {(runs[0].cfg.model.type, runs[0].head) for runs in plan.values()}
    assert heads == {(kind, head) for kind in kinds for head in ('standard', 'searched')}
    transformers = [runs[0] for runs in plan.values() if 'arch' in runs[0].cfg.model.backbone]
    assert len(transformers) == 2 * (scale == 'paper')
    for job in transformers:
        cfg = linear_config(find_table(name, scale), ROOT, job)
        assert cfg.model.backbone == {**job.cfg.model.backbone, 'frozen_stages': 12}
        assert (
            'neck' not in cfg.model and cfg.model.head.in_channels == job.cfg.model.neck.in_channels
        )
        assert cfg.optim_wrapper.optimizer.lr == 3.0 * cfg.train_dataloader.batch_size / 256


def test_the_paper_scale_of_heads_and_detection_has_every_framework():
    for name in ('heads', 'detection'):
        names = {row.name for row in find_table(name, 'paper').rows}
        assert {f'{title_of(one)} standard' for one in framework_names()} <= names


def test_the_talks_comparison_is_of_the_reproductions_of_its_paper():
    plan = plan_table(find_table('talk-imagenet', 'paper'), [0], ROOT)
    assert len(plan) == 20
    for name, runs in plan.items():
        cfg, (title, told) = runs[0].cfg, name.split(', ')
        assert cfg.train_cfg.max_epochs == int(told.split()[0])
        assert runs[0].head == 'standard' and title_of(name_of(cfg)) == title
        large = title in ('SimCLR', 'BYOL', 'SwAV')
        assert cfg.train_dataloader.batch_size == (4096 if large else 256)
        views = cfg.model.data_preprocessor['views']
        views = views if isinstance(views, list) else [views] * 2
        assert [view['size'] for view in views] == [224, 224]
        (decode, _) = cfg.train_dataloader.dataset.pipeline
        assert decode.views == cfg.model.data_preprocessor['views']
        assert decode.get('num_views', 2) == cfg.model.data_preprocessor.get('num_views', 2) == 2
        layers = dict(SimCLR=3, SwAV=3, SimSiam=3, BYOL=2).get(title)
        assert layers is None or cfg.model.neck.get('num_layers', 2) == layers
    rates = {
        number: (
            plan[f'BYOL, {number} epochs'][0].cfg.optim_wrapper.optimizer.lr / 16,
            plan[f'BYOL, {number} epochs'][0].cfg.optim_wrapper.optimizer.weight_decay,
            1 - plan[f'BYOL, {number} epochs'][0].cfg.model.base_momentum,
        )
        for number in (100, 200, 400, 800)
    }
    expected = [(0.45, 1e-6, 0.99), (0.3, 1e-6, 0.99), (0.3, 1e-6, 0.99), (0.2, 1.5e-6, 0.996)]
    assert list(rates.values()) == [pytest.approx(row) for row in expected]
    swav = plan['SwAV, 400 epochs'][0].cfg
    assert swav.optim_wrapper.optimizer.lr == 4.8 and swav.model.head.loss.queue_len == 0
    assert swav.param_scheduler[0].start_factor * 4.8 == pytest.approx(0.3)
    assert swav.param_scheduler[1].eta_min_ratio * 4.8 == pytest.approx(0.0048)
    assert {view['scale'] for view in swav.model.data_preprocessor['views']} == {(0.08, 1.0)}
    # In the demo the shipped recipe is the first of its row.
    demo = plan_table(find_table('talk-imagenet', 'demo'), [0], ROOT)
    others = plan_table(find_table('frameworks', 'demo'), [0], ROOT)
    for title in ('SimCLR', 'MoCo v2', 'BYOL', 'SimSiam'):
        assert demo[f'{title}, 5 epochs'][0].digest == others[title][0].digest
    views = demo['SwAV, 20 epochs'][0].cfg.model.data_preprocessor['views']
    assert len(views) == 2 and views[0]['size'] == 'data.size'


def name_of(cfg):
    return next(name for name, one in FRAMEWORKS.items() if one.algorithm == cfg.model.type)


def test_the_talks_detection_is_on_those_backbones_of_200_epochs():
    table = find_table('talk-voc', 'paper')
    plan, other = (plan_table(t, [1], ROOT) for t in (table, find_table('talk-imagenet', 'paper')))
    for title in ('SimCLR', 'MoCo v2', 'BYOL', 'SwAV', 'SimSiam'):
        assert plan[title][1].digest == other[f'{title}, 200 epochs'][1].digest
    cfg = plan['random initialisation'][1].cfg
    assert cfg.train_dataloader.batch_size == 16 and cfg.train_cfg.max_iters == 9000
    best = plan['SimSiam, optimal'][1].cfg.optim_wrapper.optimizer
    assert (best.lr, best.weight_decay) == (0.5, 1e-5)
    # VOC's figures are in percent too.
    found = {'metrics': {'pascal_voc/mAP': 0.5, 'pascal_voc/AP50': 0.75, 'pascal_voc/AP75': 0.25}}
    assert figures('detection', found) == {'box_ap': 50.0, 'box_ap50': 75.0, 'box_ap75': 25.0}
