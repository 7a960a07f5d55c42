# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims about the collapse hook where a run ends, resumes or is shared.

1. A rollback keeps the last checkpoint between two healthy samples, whole.
2. A loss that is not finite ends the run with one line, whatever the action.
3. A resumed run judges as one that was never interrupted; two processes judge as one.
"""

import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub

from nasiam_mm.engine.hooks import collapse_hook
from nasiam_mm.engine.hooks.collapse_hook import CollapseHook
from tests.test_engine.toy_siamese import (
    ITERATIONS,
    collapse_lines,
    iterations_of,
    run_two_processes,
    scripted_runner,
)

ROLLBACK = {'interval': 1, 'patience': 2, 'action': 'rollback'}
EVERY_EPOCH = {'checkpoint': {'type': 'CheckpointHook', 'interval': 1, 'max_keep_ckpts': 1}}
EPOCH = 'H' * ITERATIONS


def train(*args, **kwargs):
    runner = scripted_runner(*args, default_hooks=EVERY_EPOCH, **kwargs)
    runner.train()
    return runner


def test_rollback_keeps_the_last_healthy_checkpoint(tmp_path):
    script = EPOCH + EPOCH + 'HHC'
    runner = train(tmp_path, script, ROLLBACK, max_epochs=6)
    # Epoch 2's checkpoint stands between healthy samples; max_keep_ckpts has removed it since.
    assert runner.epoch == 3
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == [
        'epoch_3.pth',
        'last_healthy.pth',
    ]
    kept = torch.load(tmp_path / 'last_healthy.pth', weights_only=False)
    assert (kept['meta']['epoch'], kept['meta']['iter']) == (2, 2 * ITERATIONS)
    assert kept['state_dict']['neck.calls'] == 2 * 2 * ITERATIONS
    (line,) = collapse_lines(tmp_path)
    assert iterations_of([line]) == [2 * ITERATIONS + 4]
    assert line.endswith(
        f'training stops; {tmp_path}/last_healthy.pth is the last healthy checkpoint, '
        f'{tmp_path}/epoch_2.pth'
    )


def test_rollback_distrusts_a_checkpoint_next_to_a_collapse(tmp_path):
    # Epoch 2 ends healthy and epoch 3 begins collapsed: epoch 2's checkpoint may be half-way.
    script = EPOCH + EPOCH + 'C'
    train(tmp_path, script, ROLLBACK, max_epochs=6)
    kept = torch.load(tmp_path / 'last_healthy.pth', weights_only=False)
    assert kept['meta']['epoch'] == 1
    # Epoch 1 ends unhealthy and epoch 2 begins healthy.
    script = 'HHHHHHC' + EPOCH + 'C'
    train(tmp_path / 'other', script, ROLLBACK, max_epochs=6)
    assert not (tmp_path / 'other' / 'last_healthy.pth').exists()


def test_rollback_without_a_healthy_checkpoint(tmp_path):
    train(tmp_path, 'HHC', ROLLBACK, max_epochs=6)
    assert [path.name for path in tmp_path.glob('*.pth')] == ['epoch_1.pth']
    (line,) = collapse_lines(tmp_path)
    assert line.endswith(f'training stops; no checkpoint in {tmp_path} was saved while healthy')


def test_failed_copy_leaves_the_older_one_whole(tmp_path, monkeypatch):
    def half_a_copy(source, target):
        target.write_bytes(b'half')
        raise OSError(28, 'No space left on device')

    (tmp_path / 'last_healthy.pth').write_bytes(b'older')
    monkeypatch.setattr(collapse_hook, 'copyfile_to_local', half_a_copy)
    with pytest.raises(OSError, match='No space left'):
        train(tmp_path, 'H', ROLLBACK)
    assert (tmp_path / 'last_healthy.pth').read_bytes() == b'older'
    assert list(tmp_path.glob('*.tmp')) == []


@pytest.mark.parametrize('action', ['warn', 'stop', 'rollback'])
def test_non_finite_loss_ends_the_run(tmp_path, action):
    with pytest.raises(RuntimeError) as error:
        train(tmp_path, EPOCH + 'HN', {'interval': 1, 'action': action}, max_epochs=4)
    message = str(error.value)
    assert message.startswith(
        'the loss is nan in iteration 9 (epoch 2); lower the learning rate or train without mixed'
    )
    assert '\n' not in message
    assert ('epoch_1.pth' in message) == (action == 'rollback')


def test_non_finite_loss_between_samples_ends_before_the_checkpoint(tmp_path):
    with pytest.raises(RuntimeError, match=r'loss is nan in iteration 7 \(epoch 1\)'):
        train(tmp_path, 'HN', {'interval': 50})
    assert list(tmp_path.glob('*.pth')) == []


def stub_runner(loss_window=ITERATIONS):
    """What the hook asks of a runner."""
    return SimpleNamespace(
        message_hub=MessageHub.get_instance('stub'),
        logger=logging.getLogger('stub'),
        train_dataloader=range(loss_window),
        train_loop=SimpleNamespace(stop_training=False),
        iter=0,
        epoch=0,
    )


def step(hook, z, loss):
    """One sampled iteration whose neck gives ``z``."""
    runner = stub_runner()
    hook.before_train_iter(runner, 0)
    hook._capture(None, (), (z,))
    hook.after_train_iter(runner, 0, outputs={'loss': torch.tensor(loss)})
    return runner


def test_neck_that_does_not_run():
    hook = CollapseHook(interval=1)
    hook.before_train_iter(stub_runner(), 0)
    with pytest.raises(RuntimeError, match=r'saw no output of model\.neck in iteration 1'):
        hook.after_train_iter(stub_runner(), 0, outputs={'loss': torch.tensor(0.5)})


def test_non_finite_embeddings_under_a_finite_loss():
    z = torch.randn(4, 8)
    z[1, 1] = float('inf')
    with pytest.raises(RuntimeError, match='the output of the neck is not finite in iteration 1'):
        step(CollapseHook(interval=1), z, 0.5)


def test_resumed_run_judges_as_an_uninterrupted_one(tmp_path):
    # Two unhealthy samples before the checkpoint of epoch 2 and two after it.
    script = EPOCH + 'HHHHHCC' + 'CCHHHHH' + EPOCH
    hook = {'interval': 1, 'patience': 4, 'action': 'rollback'}
    whole = train(tmp_path / 'whole', script, hook, 4)
    assert (whole.epoch, iterations_of(collapse_lines(tmp_path / 'whole'))) == (3, [16])

    half = tmp_path / 'half'
    train(half, script, hook, 2)
    assert collapse_lines(half) == []
    assert torch.load(half / 'last_healthy.pth', weights_only=False)['meta']['epoch'] == 1
    resumed = train(
        half,
        script,
        hook,
        4,
        resume=True,
        load_from=str(half / 'epoch_2.pth'),
    )
    assert (resumed.epoch, iterations_of(collapse_lines(half))) == (3, [16])
    state = {}
    expected = {'streak': 0, 'last_seen': 'epoch_2.pth', 'last_healthy': 'epoch_1.pth'}
    for runner, folder in ((whole, tmp_path / 'whole'), (resumed, half)):
        runner.call_hook('before_save_checkpoint', checkpoint=state)
        found = {
            k: str(v).replace(f'{folder}/', '') for k, v in state['hooks']['CollapseHook'].items()
        }
        assert found == {k: str(v) for k, v in expected.items()}


def test_resume_where_the_old_folder_is_gone(tmp_path):
    train(tmp_path / 'old', EPOCH, ROLLBACK, 2)
    assert (tmp_path / 'old' / 'last_healthy.pth').exists()
    (tmp_path / 'old').rename(tmp_path / 'moved')
    runner = train(
        tmp_path / 'new',
        EPOCH + EPOCH + 'C',
        ROLLBACK,
        3,
        resume=True,
        load_from=str(tmp_path / 'moved' / 'epoch_2.pth'),
    )
    assert runner.epoch == 3
    (line,) = collapse_lines(tmp_path / 'new')
    assert line.endswith(f'no checkpoint in {tmp_path}/new was saved while healthy')


def test_weights_alone_bring_no_streak(tmp_path):
    hook = {'interval': 1, 'patience': ITERATIONS + 1}
    train(tmp_path / 'first', 'C', hook, 1)
    weights = str(tmp_path / 'first' / 'epoch_1.pth')
    train(tmp_path / 'resumed', 'C', hook, 2, load_from=weights, resume=True)
    assert iterations_of(collapse_lines(tmp_path / 'resumed')) == [ITERATIONS + 1]
    train(tmp_path / 'loaded', 'C', hook, 1, load_from=weights)
    assert collapse_lines(tmp_path / 'loaded') == []


def judge_on_rank(rank):
    # Each rank alone is a point; together they are two opposite points.
    z = torch.full((4, 8), 1.0 - 2 * rank).bfloat16()
    runner = step(CollapseHook(interval=1, patience=1, action='stop'), z, loss=float(rank))
    std = float(runner.message_hub.get_scalar('train/collapse/std').current())
    try:
        step(CollapseHook(interval=1), z, loss=float('nan') if rank else 0.5)
    except RuntimeError as error:
        return {'std': std, 'stopped': runner.train_loop.stop_training, 'error': str(error)}


def test_two_processes_judge_the_whole_batch(tmp_path):
    first, second = run_two_processes(judge_on_rank, tmp_path)
    assert first == second
    assert first['std'] == pytest.approx(1.0) and not first['stopped']
    assert 'the loss is nan in iteration 1 (epoch 1)' in first['error']
