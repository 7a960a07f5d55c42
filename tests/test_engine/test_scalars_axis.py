# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""All scalars of a run stand over the iterations done, in every backend."""

import json
import re
import sys
from types import SimpleNamespace

import pytest
from mmengine.registry import RUNNERS, VISBACKENDS
from mmengine.visualization import BaseVisBackend

from tests.reduced import ROOT, light, reduced

EPOCHS = 2


@VISBACKENDS.register_module()
class KeptScalars(BaseVisBackend):
    """Stands for TensorBoard or W&B: keeps what it is given."""

    def __init__(self, save_dir):
        super().__init__(save_dir)
        self.rows = []

    def _init_env(self):
        pass

    @property
    def experiment(self):
        return self

    def add_scalars(self, scalar_dict, step=0, file_path=None, **kwargs):
        self.rows.append((step, dict(scalar_dict)))


def trained(folder, *backends):
    cfg = light(reduced('nasiam/simclr_r18_search_cifar10_demo', folder, EPOCHS))
    cfg.default_hooks.logger.interval = 1
    cfg.visualizer.vis_backends.extend(backends)
    runner = RUNNERS.build(cfg)
    runner.train()
    return runner


def test_every_scalar_stands_over_iterations(tmp_path):
    runner = trained(tmp_path, dict(type='mmengine.KeptScalars'))
    kept = runner.visualizer.get_backend('KeptScalars')
    steps = len(runner.train_dataloader)
    assert steps > EPOCHS  # else an epoch and an iteration could not be told apart
    ends = [steps, 2 * steps]
    found = {}
    for step, row in kept.rows:
        for name in row:
            found.setdefault(name, []).append(step)
    assert found['loss'] == list(range(1, 2 * steps + 1))
    assert found['knn/val_top1'] == [0, 2 * steps]
    of_epochs = [name for name in found if name.startswith(('health/', 'alpha/'))]
    assert len(of_epochs) > 10
    for name in of_epochs:
        assert found[name] == (ends[1:] if name == 'health/churn' else ends), name
    # The epoch stands beside them, by which curves are read.
    assert all(row['epoch'] * steps == step for step, row in kept.rows if 'health/std' in row)


def test_a_validation_stands_over_iterations_too(tmp_path):
    cfg = reduced('nasiam/simclr_r18_search_cifar10_demo', tmp_path, EPOCHS)
    assert cfg.default_hooks.logger.log_metric_by_epoch is False


def test_tensorboard_reads_them_back(tmp_path):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trained(tmp_path, dict(type='TensorboardVisBackend'))
    [folder] = tmp_path.glob('*/vis_data')
    events = EventAccumulator(str(folder)).Reload()
    rows = [json.loads(line) for line in (folder / 'scalars.json').read_text().splitlines()]
    for name in ('loss', 'knn/val_top1', 'health/margin'):
        there = [(event.step, event.value) for event in events.Scalars(name)]
        here = [(row['step'], row[name]) for row in rows if name in row]
        assert [step for step, _ in there] == [step for step, _ in here]
        assert [v for _, v in there] == pytest.approx([v for _, v in here])


def test_wandb_as_the_page_sets_it_up_puts_all_over_iterations(tmp_path, monkeypatch):
    page = (ROOT / 'docs/logging.md').read_text()
    [text] = [code for code in re.findall(r'```python\n(.*?)```', page, re.S) if 'Wandb' in code]
    told = {}
    exec(text, told)
    [backend] = [b for b in told['visualizer']['vis_backends'] if b['type'] == 'WandbVisBackend']
    calls = {'init': [], 'define_metric': [], 'log': []}
    fake = SimpleNamespace(
        init=lambda **given: calls['init'].append(given),
        define_metric=lambda **given: calls['define_metric'].append(given),
        log=lambda row, commit: calls['log'].append(dict(row)),
        config=SimpleNamespace(update=lambda *a, **k: None),
        run=SimpleNamespace(log_code=lambda *a, **k: None, dir=str(tmp_path)),
        finish=lambda: None,
        join=lambda: None,
    )
    monkeypatch.setitem(sys.modules, 'wandb', fake)
    runner = trained(tmp_path, backend)
    [init], [metric] = calls['init'], calls['define_metric']
    assert (init['project'], init['mode']) == ('heads', 'offline')
    assert metric == {'name': '*', 'step_metric': 'iter'}
    # Each row brings the axis itself, so that none stands where an earlier one did.
    steps = len(runner.train_dataloader)
    assert [row['iter'] for row in calls['log'] if 'loss' in row] == [*range(1, 2 * steps + 1)]
    ends = [row['iter'] for row in calls['log'] if 'health/std' in row]
    assert ends == [steps, 2 * steps]
