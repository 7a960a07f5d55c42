# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A searched backbone over two processes on the CPU (contracts C5, C6, C18).

Gates, the paths they open, alpha, what was pruned and the weights are equal on both ranks after
every step, candidates that are not run are not waited for, and a run goes on bit for bit amid its
pruning.
"""

import os

import pytest
import torch
from mmengine.hooks import Hook

from nasiam_mm.cli.config import start_processes_on_cpu
from tests import small
from tests.backbones import GATES, MIXED, neck
from tests.test_distributed.processes import Recorder, record_gradients, run_processes

STEPS, EPOCHS = 3, 2
SPACES = {'mobilenet': MIXED['mobilenet']['space'], 'cells': ['dil_conv_3', 'max_pool_3x3', 'none']}


class Paths(Hook):
    """Keeps which candidates each weight step ran, and which were left."""

    priority = 'LOWEST'

    def __init__(self, kept):
        self.kept = kept

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        owner = runner.model.module.architecture
        groups = list(owner.choices)
        self.kept.append([(owner.running(g), owner.present(g).tolist()) for g in groups])


def backbone_search(kind, settings, schedules=(), epochs=1, resume=None, folder=None):
    """Search a backbone in this process; what it saw of it."""
    backbone = dict(MIXED[kind], img_size=8, space=SPACES[kind])
    if kind == 'cells':
        backbone.update(nodes=1)
    work, model = folder / os.environ['RANK'], dict(backbone=backbone, neck=neck(16), space=None)
    cfg = small.search('simclr', work, epochs, 8, **model, **settings)
    cfg.model.data_preprocessor['views']['size'] = 8
    for loader in (cfg.train_dataloader, cfg.default_hooks.alpha_step.dataloader):
        loader.dataset.dataset.parts = dict.fromkeys(('weights', 'alpha'), STEPS * 16 / 500)
    small.leave_hooks(cfg, 'alpha_step')
    cfg.default_hooks.alpha_step.schedules = list(schedules)
    # An Adam step is as large whatever the gradient is: this one is along the mean of the ranks.
    cfg.default_hooks.alpha_step.optimizer = dict(type='SGD', lr=1.0)
    cfg.launcher, cfg.experiment_name = 'pytorch', folder.name
    cfg.resume, cfg.load_from = resume is not None, resume and str(resume)
    start_processes_on_cpu(cfg)
    record = {key: [] for key in ('alpha', 'alpha_hash', 'weight_hash', 'images', 'gradients')}
    record_gradients(record['gradients'])
    record['paths'] = []
    runner = small.train(cfg, Recorder(record), Paths(record['paths']))
    record['state'] = {n: v.clone() for n, v in runner.model.module.state_dict().items()}
    return record


def test_gates_are_equal_on_both_ranks_and_a_run_goes_on_amid_pruning(tmp_path):
    pruned = [dict(type='PruneInOrder', start=0.3)]
    options = dict(settings=GATES, schedules=pruned, epochs=EPOCHS)
    first, second = run_processes(2, backbone_search, tmp_path / 'whole', 'mobilenet', **options)
    for what in ('alpha_hash', 'weight_hash', 'paths'):
        assert first[what] == second[what] and len(first[what]) == EPOCHS * STEPS
    # One path a layer in each weight step, not always the same; one layer pruned after the other.
    paths = [running for [(running, _)] in first['paths']]
    assert {len(layer) for step in paths for layer in step} == {1} and len(set(paths)) > 1
    left = [sum(map(sum, present)) for [(_, present)] in first['paths']]
    assert left == sorted(left, reverse=True) and left[0] > left[STEPS] > left[-1] == 3
    checkpoint = tmp_path / 'whole/0/epoch_1.pth'
    rest = run_processes(
        2, backbone_search, tmp_path / 'rest', 'mobilenet', **options, resume=checkpoint
    )
    for one in rest:
        for what in ('alpha_hash', 'weight_hash', 'paths'):
            assert one[what] == first[what][STEPS:]
    for name, value in first['state'].items():
        assert torch.equal(value, rest[0]['state'][name]), name


@pytest.mark.parametrize('settings', [{}, GATES], ids=['softmax', 'gates'])
def test_cells_step_along_the_mean_gradient_of_the_ranks(settings, tmp_path):
    two = run_processes(2, backbone_search, tmp_path / 'two', 'cells', settings)
    assert two[0]['alpha_hash'] == two[1]['alpha_hash']
    assert two[0]['weight_hash'] == two[1]['weight_hash']
    assert len(set(two[0]['weight_hash'])) == STEPS
    own, other = (record['gradients'][0] for record in two)
    assert [len(own), len(other)] == [2, 2]
    if not settings:  # gates are shifted after their step
        for alpha, a, b in zip(two[0]['alpha'][0], own, other, strict=True):
            assert not torch.allclose(a, b, rtol=1e-2)
            torch.testing.assert_close(-alpha, (a + b) / 2, atol=1e-7, rtol=1e-5)
