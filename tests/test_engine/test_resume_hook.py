# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""ResumeHook: what it says of the checkpoint it takes, and which it refuses."""

import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from nasiam_mm.architecture.genotype import Genotype, random_cell, save_genotype
from nasiam_mm.files.checkpoint import read_checkpoint
from nasiam_mm.ops.candidates import LayerShape
from tests.reduced import reduced
from tests.test_engine.toy_siamese import build_runner, model_cfg

DEFAULT_HOOKS = dict(
    checkpoint=dict(type='AtomicCheckpointHook', interval=1),
    resume=dict(type='ResumeHook'),
    run_state=dict(type='RunStateHook'),
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(Config, 'pretty_text', '')


def train(work_dir, epochs=2, strict=True, **changes):
    """Train and return the lines of the log."""
    MMLogger._instance_dict.clear()
    hooks = {**DEFAULT_HOOKS, 'resume': dict(type='ResumeHook', strict=strict)}
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
    assert f'resuming from {path}, after 7 iterations (1 whole epochs)' in lines
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


def test_a_checkpoint_of_another_run_is_refused_by_what_differs(tmp_path):
    train(tmp_path, epochs=1)
    sgd = dict(optimizer=dict(type='SGD', lr=0.5, momentum=0.9))
    path = tmp_path / 'epoch_1.pth'
    difference = (
        f"checkpoint '{path}' is of another run: optim_wrapper.optimizer.lr is 0.02 there and 0.5 "
        'here; resume with the config and arguments it was made with'
    )
    with pytest.raises(ValueError) as caught:
        train(tmp_path, epochs=1, resume=True, optim_wrapper=sgd)
    assert str(caught.value).startswith(difference)
    assert str(caught.value).endswith('or set default_hooks.resume.strict=False to go on with it')
    lines = train(tmp_path, epochs=1, resume=True, optim_wrapper=sgd, strict=False)
    assert [line for line in lines if line.startswith(difference)]
    # Named by its path, it is refused as well.
    with pytest.raises(ValueError, match='is of another run'):
        train(tmp_path / 'b', epochs=1, resume=True, load_from=str(path), model=model_cfg('HC'))


def test_a_checkpoint_without_a_record_of_its_run_is_refused(tmp_path):
    train(tmp_path, epochs=1)
    path = tmp_path / 'epoch_1.pth'
    checkpoint = read_checkpoint(path)
    del checkpoint['fingerprint']
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match='holds no record of the run it is of; to start from its'):
        train(tmp_path, epochs=1, resume=True)
    train(tmp_path, epochs=1, resume=True, strict=False)
    del checkpoint['hooks']['RunStateHook']
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match='holds no state of RunStateHook'):
        train(tmp_path, epochs=1, resume=True, strict=False)
    # Its weights serve to start from.
    train(tmp_path / 'b', epochs=1, load_from=str(path))


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
    cfg.model.neck.genotype = str(genotype)
    cfg.train_dataloader.update(batch_size=250)
    cfg.probe = None
    cfg.default_hooks.pop('collapse')
    cfg.resume = resume
    Runner.from_cfg(cfg).train()


def test_a_checkpoint_of_another_genotype_is_refused_and_of_a_moved_one_not(tmp_path):
    space = ('linear_bn_relu', 'max_pool_3_bn', 'avg_pool_3_bn', 'identity')
    shapes = [LayerShape(64, 64, False), LayerShape(64, 16, False)]

    def write(name: str, seed: int) -> Path:
        cells = {'projector': random_cell(space, shapes, seed=seed)}
        save_genotype(Genotype('SimCLR', space, cells), tmp_path / name)
        return tmp_path / name

    pretrain(tmp_path / 'run', write('a.json', 1))
    with pytest.raises(
        ValueError, match=r"model.neck.genotype is \['.*'\] there and \['.*'\] here"
    ):
        pretrain(tmp_path / 'run', write('b.json', 2), resume=True)
    pretrain(tmp_path / 'run', write('moved/a.json', 1), resume=True)
