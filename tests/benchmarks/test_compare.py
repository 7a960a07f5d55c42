# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""compare_checkpoints sees every bit that belongs to a run's state, and nothing else."""

import copy

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from benchmarks.compare import compare_checkpoints

STATE = dict(
    meta=dict(time='noon', iter=3, cfg='a'),
    state_dict=dict(w=torch.tensor([1.0, float('nan')]), b=torch.ones(2, dtype=torch.bfloat16)),
    optimizer=dict(state={0: dict(step=1)}, param_groups=[dict(lr=0.1, params=[0])]),
    message_hub=dict(
        log_scalars={
            'train/loss': HistoryBuffer([1.0], [1]),
            'train/time': HistoryBuffer([2.0], [1]),
            'val/time': HistoryBuffer([2.0], [1]),
        },
        runtime_info=dict(last_ckpt='/there/epoch_1.pth'),
    ),
    numpy=np.array([1, 2]),
    empty=torch.zeros(0),
)  # fmt: skip


def differences(tmp_path, change):
    other = copy.deepcopy(STATE)
    change(other)
    torch.save(STATE, tmp_path / 'one.pth')
    torch.save(other, tmp_path / 'other.pth')
    return compare_checkpoints(tmp_path / 'one.pth', tmp_path / 'other.pth')


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        (lambda s: s['state_dict'].update(w=torch.tensor([1.0, 2.0])), 'state_dict.w'),
        (lambda s: s['state_dict'].update(b=torch.ones(2)), 'state_dict.b'),
        (lambda s: s['state_dict'].update(extra=1), 'state_dict.extra'),
        (lambda s: s['optimizer']['state'][0].update(step=2), 'optimizer.state.0.step'),
        (lambda s: s['optimizer']['param_groups'][0].update(lr=np.nextafter(0.1, 1).item()),
         'optimizer.param_groups.0.lr'),
        (lambda s: s['optimizer']['param_groups'].append({}), 'optimizer.param_groups'),
        (lambda s: s['message_hub']['log_scalars']['train/loss'].update(2.0),
         'message_hub.log_scalars.train/loss.0'),
        (lambda s: s['message_hub']['log_scalars']['train/time'].update(2.0), None),
        (lambda s: s['message_hub']['log_scalars']['val/time'].update(2.0), None),
        (lambda s: s['message_hub']['runtime_info'].update(last_ckpt='/here/epoch_1.pth'), None),
        (lambda s: s['message_hub']['runtime_info'].update(last_ckpt='/here/epoch_2.pth'),
         'message_hub.runtime_info.last_ckpt'),
        (lambda s: s['meta'].update(time='night', cfg='b'), None),
        (lambda s: s['meta'].update(iter=4), 'meta.iter'),
        (lambda s: s.update(numpy=np.array([1, 3])), 'numpy'),
        (lambda s: s.update(empty=torch.zeros(0, 1)), 'empty'),
    ],
)  # fmt: skip
def test_a_difference_is_named(tmp_path, change, named):
    found = differences(tmp_path, change)
    assert found[:1] == ([named] if named else [])
