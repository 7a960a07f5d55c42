# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A loss that is no number ends training with one line, within the interval."""

from types import SimpleNamespace

import pytest
import torch

from nasiam_mm.detection.transfer import FiniteLossHook


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_training_ends(value):
    outputs = {'loss': torch.tensor(1.0), 'loss_mask': torch.tensor(value)}
    message = rf'loss_mask is {value} at iteration 10: training diverged; lower .*\.lr'
    with pytest.raises(ValueError, match=message):
        FiniteLossHook().after_train_iter(SimpleNamespace(iter=9), 0, outputs=outputs)


@pytest.mark.parametrize(('iteration', 'looked'), [(3, False), (4, True), (5, False), (9, True)])
def test_looks_every_interval(iteration, looked):
    hook, runner = FiniteLossHook(interval=5), SimpleNamespace(iter=iteration)
    hook.after_train_iter(runner, 0, outputs={'loss': torch.tensor(2.0), 'acc': 3})
    if looked:
        with pytest.raises(ValueError, match='diverged'):
            hook.after_train_iter(runner, 0, outputs={'loss': torch.tensor(float('nan'))})
    else:
        hook.after_train_iter(runner, 0, outputs={'loss': torch.tensor(float('nan'))})
