# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""ResumeHook: whose folder it is, what it says of the checkpoint it takes, which it refuses."""

import copy
import json
import os
import time
from pathlib import Path
from shutil import copyfile

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from nasiam_mm.architecture.genotype import Decision, Genotype, save_genotype
from nasiam_mm.engine.optim import optimizer_misfits
from nasiam_mm.files.checkpoint import read_checkpoint
from nasiam_mm.registry import OPTIMIZERS
from tests.reduced import reduced
from tests.test_engine.toy_siamese import build_runner

DEFAULT_HOOKS = dict(
    checkpoint=dict(type='AtomicCheckpointHook', interval=1),
    resume=dict(type='ResumeHook'),
    run_state=dict(type='RunStateHook'),
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(Config, 'pretty_text', '')


def train(work_dir, epochs=2, hooks=DEFAULT_HOOKS, **changes):
    """Train and return the lines of the log."""
    MMLogger._instance_dict.clear()
    runner = build_runner(work_dir, [], epochs, default_hooks=hooks, **changes)
    lines = []
    runner.logger.handlers[0].emit = lambda record: lines.append(record.getMessage())
    runner.train()
    return lines


def test_the_checkpoint_taken_is_named_with_what_was_passed_over(tmp_path):
    train(tmp_path)
    whole = (tmp_path / 'epoch_2.pth').read_bytes()
    (tmp_path / 'epoch_2.pth').write_bytes(whole[:-9])
    (tmp_path / '.epoch_2.pth.abcd_123').write_bytes(whole[:9])
    lines = train(tmp_path, resume=True)
    assert 'removed .epoch_2.pth.abcd_123, which was being written when the run died' in lines
    assert 'skipped epoch_2.pth: cut short or damaged' in lines
    assert 'ignored last_checkpoint: it names epoch_2.pth' in lines
    path = tmp_path / 'epoch_1.pth'
    assert f'resuming from {path}, after 7 iterations (1 whole epoch)' in lines
    # What was damaged is whole again.
    assert read_checkpoint(tmp_path / 'epoch_2.pth')['meta']['iter'] == 14


@pytest.mark.parametrize('damaged', [False, True])
def test_without_a_checkpoint_it_starts_from_the_beginning_and_says_so(tmp_path, damaged):
    if damaged:
        (tmp_path / 'epoch_1.pth').write_bytes(b'PK')
    lines = train(tmp_path, epochs=1, resume=True)
    whole = 'whole checkpoint' if damaged else 'checkpoint'
    assert f'no {whole} in {tmp_path}: starting from the beginning' in lines
    assert (tmp_path / 'epoch_1.pth').exists()


def test_a_folder_of_checkpoints_outside_the_work_directory_is_searched(tmp_path):
    checkpoint = dict(type='AtomicCheckpointHook', interval=1, out_dir=str(tmp_path / 'out'))
    hooks = {**DEFAULT_HOOKS, 'checkpoint': checkpoint}
    work_dir = tmp_path / 'run'
    build_runner(work_dir, [], 1, default_hooks=hooks).train()
    runner = build_runner(work_dir, [], 1, default_hooks=hooks, resume=True)
    runner.train()
    assert runner._load_from == str(tmp_path / 'out/run/epoch_1.pth')


SGD = dict(optimizer=dict(type='SGD', lr=0.5, momentum=0.9))
DIFFERENCE = 'optim_wrapper.optimizer.lr is 0.02 there and 0.5 here'


def test_a_folder_of_another_run_is_refused_by_what_differs(tmp_path):
    train(tmp_path, epochs=1)
    before = {path: path.read_bytes() for path in tmp_path.glob('*.pth')}
    for resume in (False, True):
        with pytest.raises(ValueError, match=f"work directory '.*' is another run's: {DIFFERENCE}"):
            train(tmp_path, epochs=1, resume=resume, optim_wrapper=SGD)
    with pytest.raises(ValueError, match='holds this run already; go on with it by --resume'):
        train(tmp_path, epochs=1)
    assert {path: path.read_bytes() for path in tmp_path.glob('*.pth')} == before


def test_a_checkpoint_of_another_run_is_refused_by_what_differs(tmp_path):
    train(tmp_path, epochs=1)
    with pytest.raises(ValueError, match=rf"epoch_1.pth' is of another run: {DIFFERENCE}; resume"):
        train(
            tmp_path / 'b', epochs=1, resume=True, optim_wrapper=SGD,
            load_from=str(tmp_path / 'epoch_1.pth'),
        )  # fmt: skip
    # Its weights serve to start from.
    load_from = str(tmp_path / 'epoch_1.pth')
    train(tmp_path / 'c', epochs=1, optim_wrapper=SGD, load_from=load_from)


def change(path, edit):
    checkpoint = read_checkpoint(path)
    edit(checkpoint)
    torch.save(checkpoint, path)


def no_record(checkpoint):
    del checkpoint['identity']
    return 'holds no record of the run it is of; to start from its'


def no_weight(checkpoint):
    del checkpoint['state_dict']['backbone.stage1.0.weight']
    return 'does not fit this run: backbone.stage1.0.weight is missing; resume with the code'


def renamed(checkpoint):
    weights = checkpoint['state_dict']
    weights['backbone.x'] = weights.pop('backbone.stage1.0.weight')
    return r'backbone.stage1.0.weight is missing, backbone.x is left over;'


def other_shape(checkpoint):
    weight = checkpoint['state_dict']['backbone.stage1.0.weight']
    checkpoint['state_dict']['backbone.stage1.0.weight'] = weight[:1]
    return r'backbone.stage1.0.weight is \(1, .*\), not \('


def other_type(checkpoint):
    weight = checkpoint['state_dict']['backbone.stage1.0.weight']
    checkpoint['state_dict']['backbone.stage1.0.weight'] = weight.long()
    return 'backbone.stage1.0.weight is of torch.int64, not of torch.float32'


def no_tensor(checkpoint):
    checkpoint['state_dict']['backbone.stage1.0.weight'] = 1.0
    return 'backbone.stage1.0.weight is a float, not a tensor'


def no_optimizer(checkpoint):
    checkpoint['optimizer'] = None
    return 'its optimizer is of another type'


def fewer_parameters(checkpoint):
    checkpoint['optimizer']['param_groups'][0]['params'].pop()
    return r'its optimizer has \[\d+\] parameters in its groups, not \[\d+\]'


def other_momentum(checkpoint):
    state = checkpoint['optimizer']['state'][0]
    state['momentum_buffer'] = state['momentum_buffer'][:1]
    return r'momentum_buffer of its optimizer for parameter 0 is \(1, .*\), not \('


def no_momentum(checkpoint):
    checkpoint['optimizer']['state'] = {}
    return 'its optimizer holds no momentum_buffer of any weight'


def empty_momentum(checkpoint):
    checkpoint['optimizer']['state'][0] = {'step': 1}
    return 'momentum_buffer of its optimizer for parameter 0 is missing'


def momentum_in_words(checkpoint):
    checkpoint['optimizer']['state'][0]['momentum_buffer'] = 'much'
    return 'momentum_buffer of its optimizer for parameter 0 is of another type'


def no_log(checkpoint):
    del checkpoint['message_hub']['log_scalars']
    return 'its message_hub holds no log_scalars'


def no_scheduler(checkpoint):
    checkpoint['param_schedulers'].pop()
    return 'it has 1 param_schedulers, not 2'


def empty_scheduler(checkpoint):
    checkpoint['param_schedulers'][1] = {}
    return 'one of its param_schedulers lacks '


def no_numbers(checkpoint):
    del checkpoint['meta']['iter']
    return 'its meta holds no number of iter'


def negative_number(checkpoint):
    checkpoint['meta']['epoch'] = -1
    return 'its meta holds no number of epoch'


def other_scheduler(checkpoint):
    checkpoint['param_schedulers'] = [3, 3]
    return 'one of its param_schedulers is of another type'


def no_random_numbers(checkpoint):
    checkpoint['hooks']['RunStateHook']['ranks'][0]['rng'] = {'torch': 'x'}
    return 'the state of RunStateHook in the checkpoint does not fit this run'


def no_run_state(checkpoint):
    del checkpoint['hooks']['RunStateHook']
    return 'holds no state of RunStateHook'


@pytest.mark.parametrize(
    'edit',
    [
        no_record, no_weight, renamed, other_shape, other_type, no_tensor, no_optimizer,
        fewer_parameters, other_momentum, no_numbers, negative_number, other_scheduler,
        no_run_state, no_momentum, empty_momentum, momentum_in_words, no_log, no_scheduler,
        empty_scheduler,
    ],
)  # fmt: skip
def test_a_state_that_is_not_whole_or_does_not_fit_is_refused(tmp_path, edit):
    train(tmp_path, epochs=1, param_scheduler=schedule(1))
    path = tmp_path / 'epoch_1.pth'
    message = []
    change(path, lambda checkpoint: message.append(edit(checkpoint)))
    with pytest.raises(ValueError, match=message[0]) as caught:
        train(tmp_path, 1, resume=True, load_from=str(path), param_scheduler=schedule(1))
    assert '\n' not in str(caught.value)


def test_an_average_that_is_not_in_the_checkpoint_is_not_begun_anew(tmp_path):
    average = dict(custom_hooks=[dict(type='EMAHook')])
    build_runner(tmp_path, [], 1, default_hooks=DEFAULT_HOOKS, **average).train()
    change(tmp_path / 'epoch_1.pth', lambda checkpoint: checkpoint.pop('ema_state_dict'))
    with pytest.raises(ValueError, match='its ema_state_dict is missing'):
        build_runner(tmp_path, [], 1, default_hooks=DEFAULT_HOOKS, resume=True, **average).train()


@pytest.mark.parametrize('kind', ['SGD', 'Adam', 'AdamW', 'LARS', 'RMSprop', 'Lamb'])
def test_what_an_optimizer_keeps_is_known_of_any(kind):
    weights = [torch.nn.Parameter(torch.ones(2, 3)), torch.nn.Parameter(torch.ones(3))]
    rate = dict(momentum=0.9) if kind in ('SGD', 'LARS') else {}
    optimizer = OPTIMIZERS.build(dict(type=kind, params=weights, lr=0.1, **rate))
    before = copy.deepcopy(optimizer.state_dict())
    assert list(optimizer_misfits(optimizer, before, begun=False)) == []
    (lost,) = optimizer_misfits(optimizer, before, begun=True)
    assert lost.startswith('its optimizer holds no ')
    assert optimizer.state_dict() == before
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    assert list(optimizer_misfits(optimizer, optimizer.state_dict(), begun=True)) == []


def test_numbers_of_epoch_and_iteration_that_do_not_fit_each_other_are_refused(tmp_path):
    def edit(checkpoint):
        checkpoint['meta']['iter'] = 1000

    loop = dict(type='ResumableTrainLoop', max_epochs=1)
    train(tmp_path, train_cfg=loop)
    change(tmp_path / 'epoch_1.pth', edit)
    with pytest.raises(ValueError, match='its iteration 1000 does not lie in epoch 1'):
        train(tmp_path, resume=True, train_cfg=loop)


def schedule(epochs):
    return [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=5),
        dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, end=epochs),
    ]


def rates(work_dir):
    file = max(work_dir.glob('*/vis_data/scalars.json'))
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    return {entry['step']: entry['lr'] for entry in entries if 'lr' in entry}


def test_an_extended_run_follows_its_new_schedule_from_where_it_stands(tmp_path):
    logger = dict(type='LoggerHook', interval=1)
    hooks = {**DEFAULT_HOOKS, 'logger': logger}
    extending = {**hooks, 'resume': dict(type='ResumeHook', extend=True)}
    train(tmp_path / 'a', epochs=2, hooks=hooks, param_scheduler=schedule(2))
    longer = dict(epochs=4, optim_wrapper=SGD, param_scheduler=schedule(4))
    with pytest.raises(ValueError, match="is another run's"):
        train(tmp_path / 'a', hooks=hooks, resume=True, **longer)
    time.sleep(1.1)  # logs lie in folders named by the second
    lines = train(tmp_path / 'a', hooks=extending, resume=True, **longer)
    (told,) = [line for line in lines if line.startswith('extended: ')]
    assert 'optim_wrapper.optimizer.lr is 0.02 there and 0.5 here' in told
    train(tmp_path / 'b', hooks=hooks, **longer)
    extended, new = rates(tmp_path / 'a'), rates(tmp_path / 'b')
    assert min(extended) == 15 and max(extended) == 28
    assert extended == pytest.approx({step: new[step] for step in extended})
    # It is the longer run from now on, also to be resumed.
    train(tmp_path / 'a', hooks=hooks, resume=True, **longer)
    # Nothing else may change.
    with pytest.raises(ValueError, match="another run's: seed is 5 there and 9 here"):
        train(tmp_path / 'a', hooks=extending, resume=True, **longer, randomness=dict(seed=9))


def test_an_extension_that_is_refused_leaves_the_run_as_it_was(tmp_path):
    extending = {**DEFAULT_HOOKS, 'resume': dict(type='ResumeHook', extend=True)}
    train(tmp_path, epochs=2)
    owner = (tmp_path / 'owner.json').read_bytes()
    with pytest.raises(
        ValueError, match='has 2 epochs behind it, more than train_cfg.max_epochs 1'
    ):
        train(tmp_path, epochs=1, hooks=extending, resume=True)
    whole = (tmp_path / 'epoch_2.pth').read_bytes()
    change(tmp_path / 'epoch_2.pth', no_momentum)
    with pytest.raises(ValueError, match='holds no momentum_buffer'):
        train(tmp_path, epochs=3, hooks=extending, resume=True)
    assert (tmp_path / 'owner.json').read_bytes() == owner
    (tmp_path / 'epoch_2.pth').write_bytes(whole)
    train(tmp_path, epochs=2, resume=True)


def test_a_run_that_is_finished_says_so(tmp_path):
    loop = dict(train_cfg=dict(type='ResumableTrainLoop', max_epochs=1))
    assert not any('is finished' in line for line in train(tmp_path, epochs=1, **loop))
    lines = train(tmp_path, epochs=1, resume=True, **loop)
    assert any('1 of 1 epoch done: what follows the last one is done' in line for line in lines)


def test_what_a_kill_left_is_removed_at_the_next_start(tmp_path):
    checkpoint = dict(type='AtomicCheckpointHook', interval=1, max_keep_ckpts=2)
    hooks = {**DEFAULT_HOOKS, 'checkpoint': checkpoint}
    train(tmp_path, epochs=3, hooks=hooks)
    # Killed between writing the third and removing the first; interrupted before and after.
    for name in ('epoch_1.pth', 'interrupted.pth'):
        copyfile(tmp_path / 'epoch_2.pth', tmp_path / name)
    (tmp_path / 'backbone_1.pth').touch()
    train(tmp_path, epochs=3, hooks=hooks, resume=True)
    left = {'backbone_1.pth', 'epoch_2.pth', 'epoch_3.pth'}
    assert {path.name for path in tmp_path.glob('*.pth')} == left
    # After the end there is nothing that it would be good for.
    copyfile(tmp_path / 'epoch_3.pth', tmp_path / 'interrupted.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'interrupted.pth'))
    train(tmp_path, epochs=3, hooks=hooks, resume=True)
    assert {path.name for path in tmp_path.glob('*.pth')} == left


def test_a_file_that_could_run_code_stops_the_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'ran'),)

    tmp_path.joinpath('run').mkdir()
    torch.save(dict(state_dict=Payload()), tmp_path / 'run/epoch_9.pth')
    with pytest.raises(ValueError, match=r"epoch_9.pth' is refused: it holds posix.mkdir"):
        train(tmp_path / 'run', resume=True)
    assert not (tmp_path / 'ran').exists()


def pretrain(work_dir, genotype, resume=False):
    cfg = reduced('nasiam/simclr_r18_pretrain_cifar10', work_dir)
    cfg.model.genotype = str(genotype)
    cfg.model.neck.depth = 2
    cfg.train_dataloader.update(batch_size=250)
    cfg.probe = None
    cfg.default_hooks.pop('collapse')
    cfg.resume = resume
    Runner.from_cfg(cfg).train()


def test_another_genotype_is_another_run_and_a_moved_one_is_not(tmp_path):
    def write(name: str, chosen: str) -> Path:
        options = ('linear_bn_relu', 'max_pool_3_bn', 'avg_pool_3_bn', 'identity')
        decisions = {f'projector.{n}.op': Decision(options, (chosen,)) for n in range(2)}
        save_genotype(Genotype('SimCLR', decisions), tmp_path / name)
        return tmp_path / name

    pretrain(tmp_path / 'run', write('a.json', 'linear_bn_relu'))
    with pytest.raises(ValueError, match=r"genotype.projector.0.op is 'linear_bn_relu' there and"):
        pretrain(tmp_path / 'run', write('b.json', 'max_pool_3_bn'), resume=True)
    pretrain(tmp_path / 'run', write('moved/a.json', 'linear_bn_relu'), resume=True)


def test_a_run_is_that_of_the_weights_it_begins_with_whatever_their_path(tmp_path):
    for name, seed in (('one', 0), ('other', 1)):
        train(tmp_path / name, epochs=1, randomness=dict(seed=seed))
    first, second = (str(tmp_path / name / 'epoch_1.pth') for name in ('one', 'other'))
    folder = tmp_path / 'run'
    train(folder, epochs=1, load_from=first)
    owner = json.loads((folder / 'owner.json').read_text())['decided by']
    assert owner['load_from'].startswith('sha256 ')
    with pytest.raises(ValueError, match='load_from is .sha256 .* there and .sha256 .* here'):
        train(folder, epochs=1, load_from=second)
    copyfile(first, tmp_path / 'same.pth')
    with pytest.raises(ValueError, match='holds this run already'):
        train(folder, epochs=1, load_from=str(tmp_path / 'same.pth'))
    # It goes on without saying so again, and stays the run it was.
    hooks = {**DEFAULT_HOOKS, 'resume': dict(type='ResumeHook', extend=True)}
    assert any('resuming from' in line for line in train(folder, resume=True, hooks=hooks))
    again = json.loads((folder / 'owner.json').read_text())['decided by']
    assert again['load_from'] == owner['load_from']


def test_a_run_that_has_nothing_to_go_on_with_begins_with_its_weights(tmp_path):
    train(tmp_path / 'one', epochs=1)
    first = str(tmp_path / 'one/epoch_1.pth')
    train(tmp_path / 'plain', epochs=1, load_from=first)
    hooks = {**DEFAULT_HOOKS, 'resume': dict(type='ResumeHook', begin_from=first)}
    train(tmp_path / 'resumed', epochs=1, resume=True, hooks=hooks)
    states = [
        read_checkpoint(tmp_path / name / 'epoch_1.pth')['state_dict']
        for name in ('plain', 'resumed')
    ]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
