# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""One pass finds all that can be known to be wrong with a run, and changes nothing."""

import copy
import os
import resource
import shutil
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

import nasiam_mm.engine  # noqa: F401
from nasiam_mm.checks.before_training import _disk, find_problems, refuse_problems
from nasiam_mm.checks.forward import Forward
from nasiam_mm.datasets import describe
from nasiam_mm.datasets.source import Source
from nasiam_mm.ops.candidates import SPACES
from nasiam_mm.presets import framework_names
from nasiam_mm.runs.identity import run_settings
from nasiam_mm.runs.work_dir import own
from tests.reduced import MINI, ROOT, reduced

SEARCHES = [f'nasiam/{name}_r18_search_cifar10_demo' for name in framework_names()]
BASELINES = [name.replace('search', 'baseline') for name in SEARCHES]
LINEAR = 'benchmarks/linear/r18_cifar10_linear_demo'


@pytest.mark.parametrize('name', [*SEARCHES, *BASELINES, LINEAR, LINEAR.removesuffix('_demo')])
def test_a_recipe_has_no_problem_and_nothing_is_changed(name, tmp_path):
    cfg = reduced(name, tmp_path / 'work')
    before, state = copy.deepcopy(cfg.to_dict()), torch.get_rng_state()
    assert find_problems(cfg) == []
    assert cfg.to_dict() == before and torch.equal(torch.get_rng_state(), state)
    assert not (tmp_path / 'work').exists()


def search(tmp_path, framework='simsiam', **changes):
    cfg = reduced(f'nasiam/{framework}_r18_search_cifar10_demo', tmp_path / 'work')
    cfg.merge_from_dict(changes)
    return cfg


VIT = dict(type='VisionTransformer', arch='deit-tiny', img_size=32, patch_size=8, _delete_=True)
FAULTS = {
    'option': ({'lr': 1}, "nothing reads 'lr'"),
    'schedule': ({'param_scheduler': [dict(type='CosineAnnealingLR', T_max=1)],
                  'train_cfg.max_epochs': 5}, 'the rate would climb again'),
    'no batch': ({'train_dataloader.batch_size': 5000}, 'train_dataloader: 100 images are less'),
    'no alpha batch': ({'default_hooks.alpha_step.dataloader.batch_size': 5000},
                       'default_hooks.alpha_step.dataloader: 100 images are less than one batch'),
    'last batch of one': ({'train_dataloader.batch_size': 33, 'train_dataloader.drop_last': False},
                          'a batch of 1: model.neck'),
    'width': ({'model.neck.in_channels': 7}, 'set model.neck.in_channels=64'),
    'pool': ({'model.backbone': VIT, 'model.neck.in_channels': 192}, 'neck.with_avg_pool=False'),
    'root': ({'data.root': 5}, 'data.root must be the name of a folder, got 5'),
    'k': ({'probe.k': 'x'}, "probe.k must be a whole number from 1, got 'x'"),
    'batch': ({'train_dataloader.batch_size': 0}, 'batch_size should be a positive integer'),
    'long': ({'model.space': ['z' * 9000]}, 'unknown candidate operation'),
    'predictor width': ({'model.head.predictor.in_channels': 7}, 'model.head.predictor'),
    'part': ({'train_dataloader.dataset.dataset.part': 'wieghts'}, "part 'wieghts' is not one of"),
    'data': ({'train_dataloader.dataset.dataset.dataset.data_root': '/no/such'}, '/no/such'),
    'operation': ({'model.space': ['linear_bn_rleu']}, 'unknown candidate operation'),
    'type': ({'model.backbone.type': 'ResNet_CIFRA'}, 'ResNet_CIFRA'),
    'branch that stays': ({'model.auxiliary': dict(type='AuxiliarySkip')},
                          'default_hooks.alpha_step: the auxiliary branch would still be there'),
    'no temperature': ({'default_hooks.alpha_step.schedules': [
        dict(type='Temperature', start=1.0, end=0.1)], 'model.relaxation': dict(type='Sigmoid')},
        'moves nothing: Sigmoid has no temperature'),
    'alpha unmoved': ({'model.relaxation': dict(type='UniformSampling')},
                      'default_hooks.alpha_step: UniformSampling gives alpha no gradient'),
    'regularizer': ({'default_hooks.alpha_step.regularizers': [dict(type='ZeroOne', weight='x')]},
                    'default_hooks.alpha_step: '),
    'regularizer option': ({'default_hooks.alpha_step.regularizers': [
        dict(type='ZeroOne', wieght=1.0)]}, 'did you mean weight?'),
    'no such part': ({'model.mixing': dict(type='SinglePaht')}, "there is no mixing 'SinglePaht'; "
                     'take one of FullMixing, '),
    'selection': ({'default_hooks.genotype.selection': dict(type='Threshold', threshold=2)},
                  'default_hooks.genotype: Threshold.threshold must be from 0 to 1'),
    'virtual step': ({'default_hooks.alpha_step.second_order': 'sgd',
                      'optim_wrapper.optimizer': dict(type='Adam', lr=0.1, _delete_=True)},
                     "the weights' is Adam; set default_hooks.alpha_step.second_order=True"),
    'limit': ({'default_hooks.health.max_passive': 'x'},
              "default_hooks.health: SearchHealthHook.max_passive must be a number"),
    'regularizer for gates': ({'default_hooks.alpha_step.regularizers': [dict(type='ZeroOne')]},
                    'default_hooks.alpha_step: the regularizer ZeroOne is for gates'),
    'schedule of a search': ({'default_hooks.alpha_step.schedules': [dict(type='AuxiliaryDecay')]},
                             'default_hooks.alpha_step: the schedule AuxiliaryDecay moves nothing'),
    'selection of three': ({'default_hooks.genotype.selection': dict(type='TopK', k=3)},
                  'default_hooks.genotype: TopK.k must be 1 or 2, got 3'),
    'criterion': ({'default_hooks.genotype.selection': dict(type='Perturbation', criterion='A')},
                  'criterion of a selection must be a dict with a type'),
    'health': ({'default_hooks.health.patience': 0}, 'default_hooks.health: SearchHealthHook.pat'),
    'value': ({'model.backbone.depth': 17}, 'ResNet_CIFAR cannot be built'),
}  # fmt: skip


@pytest.mark.parametrize('fault', FAULTS)
def test_each_fault_is_found(fault, tmp_path):
    changes, told = FAULTS[fault]
    problems = find_problems(search(tmp_path, **changes))
    assert [told in line for line in problems] == [True], problems
    assert '\n' not in problems[0] and len(problems[0]) <= 500
    with pytest.raises(ValueError) as caught:
        refuse_problems(search(tmp_path, **changes))
    assert str(caught.value) == problems[0]


def test_the_queue_is_asked_for_the_batch_that_is_trained_on(tmp_path):
    [line] = find_problems(search(tmp_path, 'mocov2', **{'model.queue_len': 100}))
    assert 'a batch of 32: queue_len 100 must be a multiple of the 64 keys' in line


@pytest.mark.parametrize('given', [{}, {'model': None}])
def test_a_config_without_a_training_is_no_training(given):
    [line] = find_problems(Config(given))
    assert line == 'config has no model and no train_dataloader: nothing to train'


def test_batches_are_those_of_each_process(tmp_path, monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    cfg = search(tmp_path, 'mocov2', **{'model.queue_len': 64})
    assert find_problems(cfg) == []
    cfg.launcher = 'pytorch'
    [line] = find_problems(cfg)
    assert 'a batch of 64: queue_len 64 must be a multiple of the 128 keys' in line
    cfg = search(tmp_path, launcher='pytorch', **{'train_dataloader.batch_size': 51})
    assert 'train_dataloader: 50 images are less than one batch of 51' in ' '.join(
        find_problems(cfg)
    )
    # Of 50 images a process 49 and 1.
    changes = {'train_dataloader.batch_size': 49, 'train_dataloader.drop_last': False}
    [line] = find_problems(search(tmp_path, launcher='pytorch', **changes))
    assert line.startswith('a batch of 1: model.neck')


def test_a_single_image_without_a_negative_is_found(tmp_path):
    cfg = search(tmp_path, 'simclr', **{'train_dataloader.batch_size': 1})
    assert 'NT-Xent needs two images: a single one' in ' '.join(find_problems(cfg))


@pytest.mark.parametrize(
    'section', ['model', 'train_dataloader', 'optim_wrapper', 'default_hooks', 'train_cfg', 'probe']
)
@pytest.mark.parametrize('value', [3, 'x', [1]])
def test_a_section_that_is_no_dict_is_named(section, value, tmp_path):
    [line] = find_problems(search(tmp_path, **{section: value}))
    assert line.startswith(f'{section} must be a dict, got {value!r}; set a part of it')
    [line] = find_problems(search(tmp_path, param_scheduler=3))
    assert line.startswith('param_scheduler must be a list, got 3')


def test_all_faults_are_named_at_once(tmp_path):
    alpha = 'default_hooks.alpha_step.dataloader.batch_size'
    cfg = search(tmp_path, **{'lr': 1, 'model.neck.in_channels': 7, alpha: 5000})
    assert len(find_problems(cfg)) == 3
    with pytest.raises(
        ValueError, match=r"^\d problems: \(1\) nothing reads 'lr'.*; \(2\) "
    ) as caught:
        refuse_problems(cfg)
    assert len(str(caught.value)) <= 500


def test_a_folder_that_holds_a_run_and_a_disk_that_is_full(tmp_path, monkeypatch):
    cfg = search(tmp_path)
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work/epoch_3.pth').write_bytes(b'')
    [line] = find_problems(cfg)
    assert 'holds a run that left no owner.json; go on with it by --resume' in line
    cfg.resume = True
    assert find_problems(cfg) == []
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage(10**9, 10**9, 10**5))
    [line] = find_problems(cfg)
    assert '1 checkpoints and one being written take' in line
    assert 'has 0.1 MB free' in line  # not 0.0 GB


def test_a_resumed_run_needs_the_room_of_one_checkpoint_more(tmp_path, monkeypatch):
    cfg = search(tmp_path, **{'default_hooks.checkpoint.max_keep_ckpts': 3, 'resume': True})
    usage = namedtuple('usage', 'total used free')
    size = 10**6
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage(10**9, 10**9, size))
    (tmp_path / 'work').mkdir()
    for epoch in (1, 2):
        (tmp_path / f'work/epoch_{epoch}.pth').write_bytes(bytes(size))
    [line] = _disk(cfg, size)
    assert 'take another 2.0 MB' in line
    (tmp_path / 'work/epoch_3.pth').write_bytes(bytes(size))
    assert _disk(cfg, size) == []


def test_a_work_directory_that_cannot_be_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'access', lambda path, mode: False)  # as root may write anywhere
    [line] = find_problems(search(tmp_path))
    assert line == f"work directory '{tmp_path}' cannot be written to; take another --work-dir"


def test_the_room_that_is_asked_for_is_what_checkpoints_take(tmp_path):
    from mmengine.registry import RUNNERS

    cfg = search(tmp_path, **{'probe': None})
    runner = RUNNERS.build(cfg)
    runner.train()
    [path] = (tmp_path / 'work').glob('epoch_*.pth')
    asked = Forward(cfg, runner.train_dataloader).checkpoint_bytes
    assert 0.8 * path.stat().st_size < asked < 1.2 * path.stat().st_size


@pytest.fixture
def photos(tmp_path):
    """Sixty JPEG files in two classes."""
    rng = np.random.default_rng(0)
    for number in range(60):
        path = tmp_path / 'photos/train' / 'ab'[number % 2] / f'{number:02}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    describe(tmp_path / 'photos').write(tmp_path / 'photos')
    return tmp_path / 'photos'


def test_all_unreadable_images_are_named_before_training(photos, tmp_path):
    cfg = reduced(SEARCHES[1], tmp_path / 'work', batch_size=8)
    raw = Config.fromfile(ROOT / f'configs/{SEARCHES[1]}.py')
    raw.data.root = str(photos)
    raw.train_dataloader.batch_size = 8
    raw.default_hooks.alpha_step.dataloader.batch_size = 8
    raw.work_dir = cfg.work_dir
    assert find_problems(raw) == []
    whole = (photos / 'train/a/02.jpg').read_bytes()
    (photos / 'train/a/02.jpg').write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 2))
    (photos / 'train/b/05.jpg').write_text('no image')
    (photos / 'train/a/10.jpg').write_bytes(b'')
    # Files of other sizes are another set, unless they are described again.
    assert all('sha256' in line for line in find_problems(raw))
    source = Source.read(photos)
    replace(source, digests={}).write(photos)
    [line] = find_problems(raw)
    assert '3 unreadable images' in line
    assert all(name in line for name in ('a/02.jpg', 'b/05.jpg', 'a/10.jpg'))
    raw.data.skip_unreadable = True
    assert find_problems(raw) == []


def test_a_folder_that_is_not_there_is_one_problem(tmp_path):
    cfg = Config.fromfile(ROOT / f'configs/{SEARCHES[0]}.py')
    cfg.data.root = str(tmp_path / 'nowhere')
    [line] = find_problems(cfg)
    assert line.startswith('data: ') and 'no such folder' in line
    cfg.data.root, cfg.probe.kk = MINI, 3
    assert any('probe.kk' in line for line in find_problems(cfg))


def test_a_linear_evaluation_is_checked_too(tmp_path):
    cfg = reduced(LINEAR, tmp_path / 'work')
    cfg.model.backbone.pop('init_cfg', None)
    assert find_problems(cfg) == []
    cfg.model.head.in_channels = 3
    problems = find_problems(cfg)
    assert any('model.head' in line for line in problems), problems


def test_a_supernet_that_no_machine_holds_is_told_by_its_size(tmp_path):
    # Forty layers of four weighted candidates, each of 8192 x 8192: 40 GiB of weights alone.
    cfg = reduced('nasiam/simclr_r18_search_cifar10', tmp_path / 'work')
    cfg.model.space = list(SPACES['S+'])
    cfg.model.neck.update(depth=40, hidden_channels=8192, cell_channels=8192)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = [line for line in find_problems(cfg) if 'GiB' in line]
    assert len(told) == 1 and told[0].startswith('model: its weights, their gradients and the opt')
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 2**20  # kB: one candidate's weights at a time, not hundreds


def test_a_resumed_run_is_compared_with_the_owner_of_its_folder(tmp_path):
    cfg = reduced(SEARCHES[1], tmp_path / 'work')
    cfg.resume = True
    assert find_problems(cfg) == []
    cfg.default_hooks.resume.extend = True
    [line] = find_problems(cfg)
    assert line.startswith("--extend: there is no run in '") and '--work-dir' in line
    own(tmp_path / 'work', run_settings(cfg))
    (tmp_path / 'work/last_checkpoint').write_text('epoch_1.pth')
    cfg.train_cfg.max_epochs = 9
    assert find_problems(cfg) == []
    cfg.default_hooks.resume.extend = False
    [line] = find_problems(cfg)
    assert "is another run's: train_cfg.max_epochs is 1 there and 9 here" in line
