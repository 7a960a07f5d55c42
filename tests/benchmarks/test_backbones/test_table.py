# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The study as a table: what is planned, and what of its runs becomes rows and page."""

import json

import pytest

from benchmarks.backbones import table as tables
from benchmarks.backbones.rows import read_rows
from benchmarks.backbones.sample import read_sample
from benchmarks.backbones.table import FOLDER, TASKS
from benchmarks.papers.catalogue import find_table
from benchmarks.papers.planning import all_jobs, plan_table
from benchmarks.papers.publishing import publish
from benchmarks.papers.rows import LOG, ROW, write_log
from nasiam_mm.registry import MODELS
from tests.reduced import ROOT


class Shop:
    """Stands for a workshop: where runs are."""

    def __init__(self, folder):
        self.folder = folder

    def of(self, job):
        return self.folder / job.name


def leave_row(folder, job, number):
    """Leave what a finished run does."""
    folder.mkdir(parents=True)
    sha = write_log([{'loss': 1.0, 'epoch': 1}], folder / LOG)
    tasks = {
        task: dict(linear=[50.0 + number, 51.0 + n, 52.0], knn=[40.0, 41.0 + number, 42.0])
        for n, task in enumerate(TASKS)
    }
    row = dict(
        run=job.name, config='benchmarks/backbones/recipes/backbones_demo.py', seed=job.seed,
        config_sha256=job.digest, metrics=dict(loss=4.0, std=1.0, effective_rank=9.0),
        process_seconds=dict(train=60.0, tasks=20.0), device='CPU', tasks=tasks,
        versions=dict(nasiam_mm='0', torch='2'), log=LOG, log_sha256=sha,
    )  # fmt: skip
    (folder / ROW).write_text(json.dumps(row))


@pytest.mark.parametrize(('scale', 'count', 'side'), [('demo', 24, 16), ('paper', 116, 32)])
def test_every_backbone_of_the_sample_has_the_one_budget(scale, count, side):
    table = find_table('backbones', scale)
    jobs = all_jobs(plan_table(table, [0], ROOT))
    assert len(table.rows) == len(jobs) == len({job.digest for job in jobs}) == count
    assert table.tasks == TASKS and len(TASKS) == 11 and not table.features
    backbones = {
        backbone.name: backbone for backbone in read_sample(FOLDER / f'samples/{scale}.json')
    }
    budgets = set()
    for row, job in zip(table.rows, jobs, strict=True):
        cfg = job.cfg
        assert cfg.model.backbone.to_dict() == json.loads(json.dumps(backbones[row.name].config))
        assert cfg.model.neck.in_channels == backbones[row.name].features
        plain = cfg.to_dict()
        del plain['model']['backbone'], plain['model']['neck']['in_channels']
        budgets.add(json.dumps(plain, sort_keys=True, default=str))
        views = cfg.model.data_preprocessor.views.size
        assert views in (side, 'data.size')
    assert len(budgets) == 1
    if scale == 'demo':
        assert cfg.model.data_preprocessor.eval_size == 16
        parts = [cfg.train_dataloader.dataset, cfg.probe.bank, cfg.probe.query]
        assert [dict(part.dataset.parts) for part in parts] == 3 * [dict(train=5000, val=2000)]


def test_the_recipe_builds_with_a_backbone():
    jobs = all_jobs(plan_table(find_table('backbones', 'demo'), [0], ROOT))
    for job in jobs[:2]:
        model = job.cfg.model
        model.pop('data_preprocessor')
        assert MODELS.build(model).neck.fc0.in_features == model.neck.in_channels


def test_rows_and_page_are_written_of_what_is_there(tmp_path):
    table = find_table('backbones', 'demo')
    plan = plan_table(table, [0], ROOT)
    shop, target = Shop(tmp_path / 'runs'), tmp_path / 'out/backbones_demo.md'
    publish(table, plan, shop, [0], 'the command', target)
    empty = target.read_text()
    assert '0 of 24 runs; rows: [backbones_demo_rows.jsonl](backbones_demo_rows.jsonl).' in empty
    assert empty.endswith('\n\nNothing is measured yet.\n')
    jobs = {name: runs[0] for name, runs in plan.items()}
    for number, job in enumerate(list(jobs.values())[:10]):
        leave_row(shop.of(job), job, number)
    publish(table, plan, shop, [0], 'the command', target, with_evidence=True)
    text = target.read_text()
    assert 'Made by `the command`, 10 of 24 runs' in text and '## Who wins?' in text
    rows = read_rows(tmp_path / 'out/backbones_demo_rows.jsonl')
    assert {row['backbone'] for row in rows} == set(list(jobs)[:10])
    assert rows[3]['tasks']['cifar10']['linear'][0] in [50.0 + n for n in range(10)]
    # Rows are the evidence: no run is copied.
    assert sorted(file.name for file in target.parent.iterdir()) == [
        'backbones_demo.md', 'backbones_demo_rows.jsonl',
    ]  # fmt: skip


def test_searched_ones_need_a_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, 'FOLDER', ROOT / 'benchmarks/backbones/nowhere')
    table = find_table('searched_backbones', 'demo')
    publish(table, {}, Shop(tmp_path), [0], 'x', tmp_path / 'out/a.md')
    assert 'python -m benchmarks.backbones equals --out' in (tmp_path / 'out/a.md').read_text()
    folder = tmp_path / 'study'
    (folder / 'samples').mkdir(parents=True)
    shipped = json.loads((FOLDER / 'samples/demo.json').read_text())
    shipped['backbones'] = shipped['backbones'][:5]
    (folder / 'samples/searched_demo.json').write_text(json.dumps(shipped))
    monkeypatch.setattr(tables, 'FOLDER', folder)
    assert len(find_table('searched_backbones', 'demo').rows) == 5
