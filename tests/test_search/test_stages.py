# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Stages of a search: what is dropped, what begins anew, and that a resumed search goes on."""

import pytest
import torch
from mmengine.hooks import Hook

from nasiam_mm.architecture.reading import load_genotype
from tests.small import search, tensors, train

SCHEDULES = [
    dict(type='Stages', keep=[0.625, 0.375]),
    dict(type='AlphaWarmup', share=0.3),
    dict(type='IdentityDropout', rates=[0.1, 0.4, 0.7]),
]


class Watch(Hook):
    """Notes candidates and calls of each operation, in order, at the end of each iteration."""

    priority = 'LOWEST'

    def before_train(self, runner):
        self.counts, self.calls, self.starts = [], [], []
        for layer in runner.model.neck.cell.layers:
            for name, op in layer.ops.items():
                op.register_forward_hook(lambda *_, name=name, at=layer: self.note(at, name))
        self.layers = list(runner.model.neck.cell.layers)
        self.called = set()

    def note(self, layer, name):
        self.called.add((self.layers.index(layer), name))

    def after_train_iter(self, runner, *args, **kwargs):
        self.counts.append(runner.model.architecture.present('projector').sum(1).tolist())
        self.calls.append(self.called)
        self.called = set()


def staged(framework, folder, restart=True, **changes):
    cfg = search(framework, folder, epochs=3, batch_size=64)
    cfg.default_hooks.alpha_step.schedules = [
        dict(SCHEDULES[0], restart=restart),
        *SCHEDULES[1:],
    ]
    cfg.default_hooks.genotype.selection = dict(type='TopK', max_identity=1)
    cfg.default_hooks.checkpoint.update(interval=1, by_epoch=False, max_keep_ckpts=-1)
    cfg.update(changes)
    return train(cfg, watch := Watch()), watch


@pytest.mark.parametrize('framework', ['mocov2', 'byol'])
def test_candidates_fall_by_stage_and_a_resumed_search_ends_the_same(framework, tmp_path):
    whole, watch = staged(framework, tmp_path / 'whole')
    each = whole.max_iters // 3
    assert watch.counts == [[4] * 3] * each + [[3] * 3] * each + [[2] * 3] * each
    # What is dropped is not run again.
    sizes = [len(called) for called in watch.calls]
    assert sizes == [12] * each + [9] * each + [6] * each
    assert watch.calls[-1] < watch.calls[each] < watch.calls[0]
    genotype = load_genotype(tmp_path / 'whole/genotype.json')
    dropped = whole.model.architecture.dropped()
    assert genotype.provenance['dropped'] == dropped
    for name, decision in genotype.decisions.items():
        assert not set(decision.chosen) & set(dropped[name])
        assert len(decision.scored) + len(dropped[name]) == len(decision.options) - (
            'predictor' in name and name.endswith('1.op')
        )
    # From the last iteration of a stage, and from within one.
    for iteration in (each, 2 * each + 1):
        checkpoint = str(tmp_path / f'whole/iter_{iteration}.pth')
        again = tmp_path / f'again_{iteration}'
        rest, _ = staged(framework, again, resume=True, load_from=checkpoint)
        state = tensors(rest.model)
        for name, value in tensors(whole.model).items():
            assert torch.equal(value, state[name]), name


def test_a_stage_begins_with_fresh_weights_unless_told_not_to(tmp_path):
    for restart in (True, False):
        runner, _ = staged('simclr', tmp_path / str(restart), restart=restart)
        each = runner.max_iters // 3
        states = [
            torch.load(tmp_path / f'{restart}/iter_{n}.pth', weights_only=False)
            for n in (1, each, each + 1)
        ]
        weights = [state['state_dict']['backbone.conv1.weight'] for state in states]
        steps = [(weights[2] - weight).norm() for weight in weights[:2]]
        # Another network altogether, or one step on.
        assert (steps[1] > 0.5 * weights[1].norm()) == restart
        alpha = states[2]['state_dict']['architecture.alpha_projector']
        assert alpha.any() != restart
        hook = states[2]['hooks']['AlphaStepHook']
        assert (hook['moved'] == 0) == restart and hook['taken'] > 0
