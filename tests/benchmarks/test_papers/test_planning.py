# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Every table resolves to runs, named by what decides them and by nothing else."""

import sys

import pytest
from mmengine.config import Config

from benchmarks.papers.catalogue import find_table, select_rows, table_names
from benchmarks.papers.edits import put
from benchmarks.papers.planning import all_jobs, plan_run, plan_table, searched_choices
from benchmarks.papers.spec import Head, Recipe, Row, Table
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.cli.config import set_genotype
from nasiam_mm.registry import MODELS
from tests.reduced import ROOT

PUBLISHED = 'genotypes/published/simsiam_r18_cifar10.json'
PAPER_ONLY = {'t3', 't4', 'frameworks-cifar100', 'frameworks-imagenet'}
KINDS = [(name, 'paper') for name in table_names()]
KINDS += [(name, 'demo') for name in table_names() if name not in PAPER_ONLY]
SEARCH, PRETRAIN = (
    f'nasiam/simsiam_r18_{kind}_cifar10_demo' for kind in ('search', 'pretrain')
)  # fmt: skip


@pytest.mark.parametrize(('name', 'scale'), KINDS)
def test_every_table_resolves(name, scale):
    table = find_table(name, scale)
    names = [row.name for row in table.rows]
    assert len(set(names)) == len(names)
    for row in table.rows:
        assert set(row.against) | set(row.members) <= set(names)
        assert (row.recipe is None) == bool(row.members)
    assert set(table.columns)
    plan = plan_table(table, [0], ROOT)
    jobs = all_jobs(plan)
    # What begins from random weights is the table's detector; what is drawn, a search.
    assert all(job.recipe == table.detection for job in jobs if job.is_detector)
    assert not table.genotypes or all(job.is_search for job in jobs)
    assert len({job.digest for job in jobs}) == len(jobs)
    assert len({job.name for job in jobs}) == len(jobs)
    # Rows of one table differ in what they train.
    assert len({runs[0].digest for runs in plan.values()}) == len(plan)
    for number, job in enumerate(jobs):
        if job.search is not None and job.recipe.head.kind == 'searched':
            assert job.search.digest in {earlier.digest for earlier in jobs[:number]}


def test_the_table_of_heads_has_every_head_of_every_framework():
    plan = plan_table(find_table('heads', 'demo'), [0, 1, 2], ROOT)
    heads = sorted(job.head for job in all_jobs(plan) if job.seed == 1)
    draws = [f'random-{n}' for n in range(1, 6)]
    assert heads == sorted(
        2 * ['standard', 'search', 'searched', *draws]
        + ['published-simclr_r50_cifar10', 'published-simsiam_r18_cifar10']
    )
    # 18 runs a seed, and whole seeds come one after the other.
    seeds = [job.seed for job in all_jobs(plan)]
    assert seeds == [0] * 18 + [1] * 18 + [2] * 18


def digest(config=PRETRAIN, *edits, head=None, seed=0):
    return plan_run(Recipe(config, edits, head), seed, ROOT).digest


def test_what_decides_a_run_changes_its_digest():
    head = Head('searched', Recipe(SEARCH))
    other = Recipe(SEARCH, (put('optim_wrapper.optimizer.lr', 0.5),))
    digests = [
        digest(head=head),
        digest(head=head, seed=1),
        digest(PRETRAIN, put('optim_wrapper.optimizer.lr', 0.5), head=head),
        digest(head=Head('searched', other)),
        digest(head=Head('published', file=PUBLISHED)),
        digest(head=Head('random', Recipe(SEARCH), draw=1)),
        digest(head=Head('random', Recipe(SEARCH), draw=2)),
    ]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('train_dataloader.num_workers', 7),
        ('train_dataloader.pin_memory', True),
        ('train_dataloader.dataset.dataset.dataset.data_root', '/elsewhere'),
        ('default_hooks.checkpoint.interval', 3),
        ('work_dir', '/elsewhere'),
        ('log_level', 'ERROR'),
    ],
)
def test_what_decides_nothing_does_not(name, value):
    assert digest(PRETRAIN, put(name, value)) == digest(PRETRAIN)


def test_choices_are_those_that_the_search_builds():
    for name in ('simsiam_r18_search_cifar10', 'simclr_r18_search_cifar10_demo'):
        cfg = Config.fromfile(ROOT / f'configs/nasiam/{name}.py')
        cfg.model.pop('data_preprocessor')
        assert searched_choices(cfg) == MODELS.build(cfg.model).architecture.choices
    baseline = Config.fromfile(ROOT / 'configs/nasiam/simsiam_r18_baseline_cifar10.py')
    with pytest.raises(ValueError, match=r'no model.space, so it searches nothing'):
        searched_choices(baseline)


@pytest.mark.parametrize('scale', ['demo', 'paper'])
def test_a_published_genotype_goes_into_any_recipe_as_it_is(scale):
    for name in ('heads', 'fig5'):
        for runs in plan_table(find_table(name, scale), [0], ROOT).values():
            head, cfg = runs[0].recipe.head, runs[0].cfg
            if head is not None and head.kind == 'published':
                set_genotype(cfg, str(ROOT / head.file))
                genotype = load_genotype(ROOT / head.file)
                cfg.model.pop('data_preprocessor')
                model = MODELS.build(cfg.model)
                assert genotype.framework == cfg.model.type
                assert len(model.neck.cell.layers) == len(genotype.of('projector'))


def test_the_search_learning_rate_matters_to_no_random_head():
    other = Recipe(SEARCH, (put('optim_wrapper.optimizer.lr', 0.5),))
    first, second = (Head('random', search, draw=1) for search in (Recipe(SEARCH), other))
    assert digest(head=first) == digest(head=second)


def test_tables_share_their_runs():
    standard = plan_table(find_table('heads', 'demo'), [0], ROOT)['SimSiam standard'][0]
    for table, row in (
        ('t2', 'SimSiam'), ('simsiam-ablations', 'SimSiam'), ('study003', 'all images'),
    ):  # fmt: skip
        assert plan_table(find_table(table, 'demo'), [0], ROOT)[row][0].digest == standard.digest


@pytest.mark.parametrize('scale', ['demo', 'paper'])
def test_figure_4_shares_its_searches(scale):
    found = plan_table(find_table('fig4', scale), [0, 1], ROOT)
    t2 = plan_table(find_table('t2', scale), [0, 1], ROOT)
    for name in ('SimSiam', 'SimCLR', 'MoCo v2'):
        for seed in (0, 1):
            search = found[f'{name}, ResNet-18, CIFAR-10'][seed]
            assert search.digest == t2[f'NASiam ({name})'][seed].search.digest
    if scale == 'demo':
        # The note below the table says so.
        epochs = {job.cfg.train_cfg.max_epochs for job in all_jobs(found)}
        assert f'{epochs.pop()} epochs. ' in find_table('fig4', scale).notes[0]
        assert not epochs
        for table, row, mine in (
            ('heads', 'SimCLR searched', 'SimCLR, ResNet-18, CIFAR-10'),
            ('fig5', 'searched for ResNet-50', 'SimSiam, ResNet-50, CIFAR-10'),
        ):
            shared = plan_table(find_table(table, scale), [0], ROOT)[row][0].search
            assert found[mine][0].digest == shared.digest


@pytest.mark.parametrize(
    ('scale', 'table', 'rows'),
    [
        ('demo', 'heads', {'standard': 'standard', 'random genotype': 'random 1',
                           'searched': 'searched'}),
        ('paper', 't4', {'standard': '{}', 'searched': 'NASiam ({})'}),
    ],
)  # fmt: skip
def test_detection_shares_its_pretraining(scale, table, rows):
    detection = plan_table(find_table('detection', scale), [0, 2], ROOT)
    others = plan_table(find_table(table, scale), [0, 2], ROOT)
    for name in ('SimCLR', 'SimSiam'):
        for mine, theirs in rows.items():
            theirs = theirs.format(name) if scale == 'paper' else f'{name} {theirs}'
            for seed in (0, 2):
                assert detection[f'{name} {mine}'][seed].digest == others[theirs][seed].digest
    names = {job.name for job in all_jobs(detection) if job.is_detector}
    assert [name.split('-random-init-')[1][:5] for name in sorted(names)] == ['seed0', 'seed2']


def test_what_decides_the_detector_changes_its_digest():
    config = 'detection/mask-rcnn_r18-fpn_cifar10det_demo'
    edits = (put('optim_wrapper.optimizer.lr', 0.5),), (put('train_cfg.max_epochs', 1),)
    digests = {digest(config), digest(config, seed=1), *(digest(config, *edit) for edit in edits)}
    assert len(digests) == 4
    assert digest(config, put('train_dataloader.dataset.data_root', 'x/')) == digest(config)


def test_detection_without_mmdet_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmdet', None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'nasiam_mm\[detection\]'"):
        plan_table(find_table('detection', 'demo'), [0], ROOT)


def test_rows_are_selected_by_pattern():
    table = find_table('heads', 'demo')
    plan = plan_table(table, [0], ROOT)
    assert list(select_rows(table, plan, ['SimCLR sta*'])) == ['SimCLR standard']
    chosen = select_rows(table, plan, ['SimCLR random, mean*'])
    assert list(chosen) == [f'SimCLR random {n}' for n in range(1, 6)]
    assert select_rows(table, plan, None) is plan
    with pytest.raises(ValueError, match=r"no row matches \['x'\]"):
        select_rows(table, plan, ['x'])


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: find_table('t9', 'demo'), "there is no table 't9'; there are .*heads, t1"),
        (lambda: find_table('t4', 'demo'), 'no demo scale: there is no small ImageNet'),
        (lambda: find_table('t1', 'tiny'), "scale 'tiny' is none of demo, paper"),
        (lambda: plan_table(find_table('t1', 'demo'), [], ROOT), 'different whole numbers'),
        (lambda: plan_table(find_table('t1', 'demo'), [1, 1], ROOT), 'different whole numbers'),
        (lambda: plan_table(find_table('t1', 'demo'), [-1], ROOT), 'different whole numbers'),
    ],
)
def test_what_cannot_be_planned_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_missing_config_is_named():
    table = Table('x', (Row('x', Recipe('nasiam/none')),), {'loss': 'loss'})
    with pytest.raises(FileNotFoundError, match=r"nasiam/none.py' does not exist"):
        plan_table(table, [0], ROOT)
