# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The state of the alpha step in a checkpoint fits the search that takes it up, or is refused."""

import pytest
import torch
from mmengine.registry import RUNNERS

from tests.reduced import reduced


def search(work_dir, **changes):
    cfg = reduced('nasiam/simclr_r18_search_cifar10_demo', work_dir, batch_size=64)
    cfg.probe = None
    cfg.update(changes)
    cfg.setdefault('runner_type', 'Runner')
    RUNNERS.build(cfg).train()


def test_moments_of_another_shape_are_refused_by_name(tmp_path):
    search(tmp_path)
    path = tmp_path / 'epoch_1.pth'
    checkpoint = torch.load(path, weights_only=False)
    assert checkpoint['hooks']['AlphaStepHook']['steps'] == checkpoint['meta']['iter'] > 0
    moments = checkpoint['hooks']['AlphaStepHook']['optimizer']['state'][0]
    moments['exp_avg'] = moments['exp_avg'].new_zeros(99)
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match='state of AlphaStepHook .* the moments of alpha 0') as no:
        search(tmp_path, resume=True, load_from=str(path))
    assert '\n' not in str(no.value)
