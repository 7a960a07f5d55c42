# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Schedules: closed forms, what they move in a real run, and what they cannot move."""

import math
import re
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook

from nasiam_mm.models.algorithms import simclr  # noqa: F401
from nasiam_mm.search.gradient.hook import AlphaStepHook
from nasiam_mm.search.gradient.schedules import SCHEDULES, SearchStep
from tests.small import build, search, train

SOFT = dict(type='Softmax', temperature=1.0)


def stand(epoch, stages=1):
    alpha = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([alpha], lr=0.4)
    return SearchStep(
        SimpleNamespace(), build('simclr').architecture, optimizer, int(epoch * 30), 300, stages
    )


def make(kind, **settings):
    return SCHEDULES.build(dict(type=kind, **settings))


@pytest.mark.parametrize('epoch', [0, 2.5, 10])
def test_ramps(epoch):
    share = epoch / 10
    step = stand(epoch)
    make('Temperature', start=10, end=0.1).apply(step)
    assert step.architecture.relaxation.temperature == pytest.approx(10 - 9.9 * share)
    make('Temperature', start=10, end=0.1, shape='exponential').apply(step)
    assert step.architecture.relaxation.temperature == pytest.approx(10 * 0.01**share)
    make('AuxiliaryDecay').apply(step)
    assert step.architecture.auxiliary == pytest.approx(1 - share)
    rate = make('AlphaLearningRate', start=1, end=0.1, shape='cosine')
    for _ in range(3):  # of the rate that was given, not of the last one
        rate.apply(step)
    cosine = 0.1 + 0.9 * (1 + math.cos(math.pi * share)) / 2
    assert step.optimizer.param_groups[0]['lr'] == pytest.approx(0.4 * cosine)


@pytest.mark.parametrize('stages', [1, 2])
def test_a_warm_up_is_of_each_stage(stages):
    taken = []
    for epoch in range(10):
        make('AlphaWarmup', share=0.4).apply(step := stand(epoch, stages=stages))
        taken.append(step.takes_alpha_step)
    each = 10 // stages
    waits = each * 2 // 5
    assert taken == ([False] * waits + [True] * (each - waits)) * stages


def test_dropout_of_identities_falls_within_a_stage():
    schedule = make('IdentityDropout', rates=[0.1, 0.4], warmup=0.4, decay=3)
    for epoch, expected in [(0, 0.1), (2, 0.1), (3.5, 0.1 * math.exp(-1.5)), (5, 0.4), (7, 0.4)]:
        step = stand(epoch, stages=2)
        schedule.check(step)
        schedule.apply(step)
        assert step.architecture.identity_dropout == pytest.approx(expected)
    with pytest.raises(ValueError, match='rates has 2 values; the search has 1 stages'):
        schedule.check(stand(0))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(type='Temperature', start=0, end=1), 'Temperature.start cannot be 0'),
        (dict(type='Temperature', start=1, end='1'), "Temperature.end cannot be '1'"),
        (dict(type='AuxiliaryDecay', shape='step'), 'shape must be one of linear, cosine, exp'),
        (dict(type='AuxiliaryDecay', shape='exponential'), 'AuxiliaryDecay.end cannot be 0.0'),
        (dict(type='AlphaWarmup', share=1.5), 'AlphaWarmup.share must be from 0 to 1, got 1.5'),
        (dict(type='Stages', keep=[0.5, 0.5]), 'each less than the one before; got [0.5, 0.5]'),
        (dict(type='Stages', keep=[2]), 'between 0 and 1, each less than the one before; got [2]'),
        (dict(type='IdentityDropout', rates=[1]), 'from 0 to below 1, got [1]'),
        (dict(type='Stages', keep=0.5), 'Stages.keep must be a list of numbers between'),
        (dict(type='Stages', keep=[]), 'Stages.keep must be a list of numbers between'),
        (dict(type='Stages', keep=[math.nan]), 'Stages.keep must be a list of numbers between'),
        (dict(type='Stages', restart='no'), "Stages.restart must be True or False, got 'no'"),
        (dict(type='IdentityDropout', rates=0.1), 'from 0 to below 1, got 0.1'),
        (dict(type='IdentityDropout', rates=[0.1], warmup='1'), "from 0 up; got '1' and 3.0"),
        (dict(type='IdentityDropout', rates=[0.1], decay=None), 'from 0 up; got 0.4 and None'),
        (dict(type='IdentityDropout', rates=[0.1], decay=math.inf), 'from 0 up; got 0.4 and inf'),
        (dict(type='Temperature', start=1, end=2, shape=['linear']), 'shape must be one of linear'),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        SCHEDULES.build(settings)


RAMP = dict(type='Temperature', start=2, end=1)
HALVES = dict(type='Stages', keep=[0.5])
BAD_PARTS = {
    'a dict of schedules': (dict(schedules=RAMP), 'alpha_step.schedules must be a list of dicts'),
    'a name': (dict(schedules=['Stages']), 'alpha_step.schedules[0] must be a dict with a type'),
    'no type': (dict(regularizers=[{}]), 'alpha_step.regularizers[0] must be a dict with a type'),
    'none': (dict(regularizers=None), 'alpha_step.regularizers must be a list of dicts, got None'),
    'an optimizer by name': (dict(optimizer='Adam'), 'optimizer must be a dict or None'),
    'two ramps': (dict(schedules=[RAMP, RAMP]), 'has more than one Temperature'),
    'two kinds of stages': (
        dict(schedules=[HALVES, dict(HALVES, keep=[0.7, 0.4])]),
        'alpha_step.schedules has more than one Stages; the last alone would count',
    ),
}


@pytest.mark.parametrize('case', BAD_PARTS)
def test_parts_of_an_alpha_step_that_are_none(case):
    settings, message = BAD_PARTS[case]
    optimizer = dict(type='Adam', lr=0.1)
    with pytest.raises(ValueError, match=re.escape(message)):
        AlphaStepHook(**{'dataloader': {}, 'optimizer': optimizer, **settings})


@pytest.mark.parametrize(
    ('schedules', 'changes', 'message'),
    [
        (
            [dict(type='Temperature', start=1, end=0.1)],
            dict(relaxation=dict(type='Sigmoid')),
            'the schedule Temperature moves nothing: Sigmoid has no temperature',
        ),
        ([dict(type='AuxiliaryDecay')], {}, 'the schedule AuxiliaryDecay moves nothing; set model'),
        ([], dict(auxiliary=dict(type='AuxiliarySkip')), 'would still be there at the end; give'),
        (
            [dict(type='AuxiliaryDecay', end=0.5)],
            dict(auxiliary=dict(type='AuxiliarySkip')),
            'the auxiliary branch would still be there at the end',
        ),
        (
            [dict(type='Stages', keep=[0.9])],
            dict(space=['linear_bn_relu', 'identity']),
            'Stages.keep drops nothing: no layer has so many candidates that a share of 0.9 is few',
        ),
        ([], dict(relaxation=dict(type='UniformSampling')), 'UniformSampling gives alpha no grad'),
    ],
)
def test_parts_that_do_not_go_together(schedules, changes, message, tmp_path):
    cfg = search('simclr', tmp_path, **changes)
    cfg.default_hooks.alpha_step.schedules = schedules
    with pytest.raises(ValueError, match=re.escape(message)):
        train(cfg)
    assert not list(tmp_path.rglob('*.pth'))


class Watch(Hook):
    """Notes alpha after every iteration."""

    def before_train(self, runner):
        self.alphas = []

    def after_train_iter(self, runner, *args, **kwargs):
        self.alphas.append(runner.model.architecture.alpha('projector').clone())


def test_alpha_waits_and_its_batches_begin_with_its_first_step(tmp_path):
    cfg = search('simclr', tmp_path, epochs=2, batch_size=64)
    cfg.default_hooks.alpha_step.schedules = [dict(type='AlphaWarmup', share=0.5)]
    runner = train(cfg, watch := Watch())
    hook = next(hook for hook in runner.hooks if isinstance(hook, AlphaStepHook))
    half = runner.max_iters // 2
    assert (hook.steps, hook.taken, hook.moved) == (2 * half, half, half)
    assert not any(alpha.any() for alpha in watch.alphas[:half])
    assert all(alpha.any() for alpha in watch.alphas[half:])


def test_an_interval_of_weight_steps(tmp_path):
    cfg = search('simclr', tmp_path, epochs=2, batch_size=32)
    cfg.default_hooks.alpha_step.interval = 5
    runner = train(cfg, watch := Watch())
    hook = next(hook for hook in runner.hooks if isinstance(hook, AlphaStepHook))
    assert hook.taken == math.ceil(runner.iter / 5)
    moved = [n for n in range(1, runner.iter) if not torch.equal(*watch.alphas[n - 1 : n + 1])]
    assert moved == list(range(5, runner.iter, 5))


@pytest.mark.parametrize('interval', [0, -1, 1.5, True, None])
def test_intervals_that_cannot_be(interval):
    with pytest.raises(ValueError, match='AlphaStepHook.interval must be a positive integer'):
        AlphaStepHook(dict(), dict(type='Adam', lr=0.1), interval=interval)
