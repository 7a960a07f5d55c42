# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The state of the alpha step in a checkpoint fits the search that takes it up, or is refused."""

import pytest
import torch
from mmengine.registry import RUNNERS

from tests.reduced import light, reduced


def search(work_dir, **changes):
    cfg = light(reduced('nasiam/simclr_r18_search_cifar10_demo', work_dir, batch_size=64))
    cfg.probe = None
    cfg.update(changes)
    cfg.setdefault('runner_type', 'Runner')
    RUNNERS.build(cfg).train()


def other_shape(moments):
    moments[0]['exp_avg'] = moments[0]['exp_avg'].new_zeros(99)
    return r'exp_avg of its optimizer for parameter 0 is \(99,\), not \('


def half(moments):
    del moments[0]['exp_avg_sq']
    return 'exp_avg_sq of its optimizer for parameter 0 is missing'


@pytest.mark.parametrize('edit', [other_shape, half, lambda moments: moments.clear()])
def test_moments_that_are_lost_or_of_another_shape_are_refused_by_name(tmp_path, edit):
    search(tmp_path)
    path = tmp_path / 'epoch_1.pth'
    checkpoint = torch.load(path, weights_only=False)
    assert checkpoint['hooks']['AlphaStepHook']['steps'] == checkpoint['meta']['iter'] > 0
    told = edit(checkpoint['hooks']['AlphaStepHook']['optimizer']['state'])
    torch.save(checkpoint, path)
    told = told or 'its optimizer holds no exp_avg of any weight'
    with pytest.raises(ValueError, match=f'state of AlphaStepHook .*{told}') as no:
        search(tmp_path, resume=True, load_from=str(path))
    assert '\n' not in str(no.value)
