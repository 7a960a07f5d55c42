# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: three recipes for a folder, which fit together and can be kept.

1. Search, pretraining and standard head see the same images, keep the same ones out, and start the
   same backbone; widths and pooling fit, also written to a file and read again.
2. The probe's vote is there with labels and nowhere without.
3. The same call finds the recipes again, edited or not; another one is refused.
4. Names of folders are data. What is refused, killed or done twice at once leaves one whole folder
   or none, and nothing of the user's is touched.
"""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from mmengine.config import Config

from nasiam_mm.checks.before_training import find_problems
from nasiam_mm.config_walk import walk
from nasiam_mm.datasets import gathering, resolve_data
from nasiam_mm.presets import Machine, choose_scale, framework_names
from nasiam_mm.presets import preparing as module
from nasiam_mm.presets.place import alone_in
from nasiam_mm.presets.preparing import Asked, prepare
from nasiam_mm.registry import DATASETS
from tests.test_datasets.photos import write_mixed, write_photos

CPU = Machine('cpu', 8.0, 2, False)


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    return write_mixed(tmp_path_factory.mktemp('photos') / 'photos')


def read(prepared) -> dict[str, Config]:
    configs = {phase: Config.fromfile(path) for phase, path in prepared.files.items()}
    for cfg in configs.values():
        resolve_data(cfg)
    return configs


def rows(loader) -> list[int]:
    dataset = DATASETS.build(loader.dataset)
    dataset = dataset if hasattr(dataset, 'indices') else dataset.dataset
    return sorted(dataset.indices.tolist())


def test_parts_of_the_recipes_fit_together(photos, tmp_path):
    configs = read(prepare(tmp_path / 'out', Asked(str(photos)), CPU))
    search, pretrain, baseline = configs['search'], configs['pretrain'], configs['baseline']
    weights, alpha = rows(search.train_dataloader), rows(search.default_hooks.alpha_step.dataloader)
    val = rows(search.probe.query)
    assert sorted(weights + alpha) == rows(pretrain.train_dataloader) == rows(pretrain.probe.bank)
    assert val == rows(pretrain.probe.query) and rows(search.probe.bank) == weights
    assert len({*weights, *alpha, *val}) == len(weights) + len(alpha) + len(val) == 32
    for key in ('train_dataloader', 'probe', 'optim_wrapper', 'train_cfg', 'data'):
        assert pretrain[key] == baseline[key]
    assert len({repr(cfg.model.backbone) for cfg in configs.values()}) == 1
    # They were written and read, which keeps the order of pairs alone.
    cuts = [node['parts'] for node in walk(search._cfg_dict) if 'parts' in node]
    names = ['alpha', 'weights', 'val']
    assert len(cuts) == 4 and all([name for name, _ in cut] == names for cut in cuts)


SMALL = dict(type='ResNet_CIFAR', depth=18, base_channels=8, stem_channels=8)
TOKENS = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16)


@pytest.mark.parametrize(
    ('framework', 'phase', 'backbone', 'kind'),
    [
        ('simclr', 'baseline', SMALL, 'SGD'),
        ('simsiam', 'search', dict(type='VisionTransformer', arch=TOKENS), 'AdamW'),
        ('mocov2', 'search', SMALL, 'SGD'),
        ('byol', 'baseline', SMALL, 'SGD'),
        ('mocov3', 'search', SMALL, 'SGD'),
        ('pirl', 'search', SMALL, 'SGD'),
        ('pirl', 'baseline', dict(type='VisionTransformer', arch=TOKENS), 'AdamW'),
        ('mocov3', 'baseline', dict(type='MoCoV3ViT', arch=TOKENS), 'AdamW'),
        ('barlowtwins', 'search', SMALL, 'Adam'),
        ('vicreg', 'baseline', SMALL, 'Adam'),
        ('swav', 'search', SMALL, 'SGD'),
        ('swav', 'baseline', dict(type='VisionTransformer', arch=TOKENS), 'AdamW'),
    ],
)
def test_the_pass_before_training_finds_nothing(photos, tmp_path, framework, phase, backbone, kind):
    prepared = prepare(tmp_path / 'out', Asked(str(photos), framework, backbone, size=32), CPU)
    cfg = Config.fromfile(prepared.files[phase])
    cfg.work_dir, cfg.launcher = str(tmp_path / phase), 'none'
    assert cfg.optim_wrapper.optimizer.type == kind
    assert find_problems(cfg) == []


def test_without_labels_nothing_is_voted_on(photos, tmp_path):
    configs = read(prepare(tmp_path / 'out', Asked(str(photos), labels='none'), CPU))
    for cfg in configs.values():
        assert cfg.probe.labelled is False and cfg.probe.measures == [dict(type='RankMe')]
    assert configs['search'].study.objective == dict(type='RankMe')


def test_large_images_are_cut_where_they_are_read(photos, tmp_path, monkeypatch):
    def read_anew(*args):
        scale = choose_scale(*args)
        return type(scale)(**{**vars(scale), 'is_resident': False, 'workers': 1})

    monkeypatch.setattr(module, 'choose_scale', read_anew)
    asked = Asked(
        str(photos), val=str(write_photos(tmp_path / 'v', ('cat', 'dog'), 3, '.')), size=96
    )
    prepared = prepare(tmp_path / 'out', asked, CPU)
    cfg = Config.fromfile(prepared.files['search'])
    cfg.work_dir, cfg.launcher = str(tmp_path / 'run'), 'none'
    assert find_problems(cfg) == []
    resolve_data(cfg)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    sample = dataset[0, 7]
    assert sample['inputs'].shape == (2, 3, 96, 96) and sample['view_seed'] == 7
    assert not np.array_equal(*sample['inputs'].numpy())
    assert DATASETS.build(cfg.probe.query.dataset).split == 'val'
    assert cfg.model.data_preprocessor.views.blur_prob == 0.5


def test_views_of_several_sizes_come_from_files_too(photos, tmp_path, monkeypatch):
    def read_anew(*args):
        scale = choose_scale(*args)
        return type(scale)(**{**vars(scale), 'is_resident': False, 'workers': 1})

    monkeypatch.setattr(module, 'choose_scale', read_anew)
    prepared = prepare(tmp_path / 'out', Asked(str(photos), 'swav', size=96), CPU)
    cfg = Config.fromfile(prepared.files['search'])
    cfg.work_dir, cfg.launcher = str(tmp_path / 'run'), 'none'
    assert find_problems(cfg) == []
    resolve_data(cfg)
    sample = DATASETS.build(cfg.train_dataloader.dataset)[0, 7]
    assert [crop.shape[-1] for crop in sample['inputs']] == [96] * 2 + [48] * 4
    views = cfg.model.data_preprocessor['views']
    assert all(view['blur_prob'] == 0.5 for view in views)
    assert [view['scale'][0] for view in views] == [0.2] * 2 + [0.08] * 4
    # Few images: as few prototypes as they have tens, and no more of the queue than of them.
    loss = cfg.model.head.loss
    assert loss.num_prototypes == 2 and 0 < loss.queue_len < 20


def test_recipes_are_found_again_and_kept(photos, tmp_path):
    asked = Asked(str(photos), 'simsiam', size=48)
    first = prepare(tmp_path / 'out', asked, CPU)
    assert '33 train, 3 test images, 3 classes' in first.lines[1] and 'batch 4' in first.lines[1]
    path = first.files['search']
    path.write_text(path.read_text() + 'log_level = "ERROR"\n')
    again = prepare(tmp_path / 'out', Asked(str(photos)), CPU)
    assert again.files == first.files and Config.fromfile(path).log_level == 'ERROR'
    for other in (Asked(str(photos), 'byol'), Asked(str(tmp_path)), Asked(str(photos), size=64)):
        with pytest.raises(ValueError, match='holds recipes for --'):
            prepare(tmp_path / 'out', other, CPU)
    path.unlink()
    with pytest.raises(ValueError, match='simsiam_search_photos.py is not there any more'):
        prepare(tmp_path / 'out', asked, CPU)


@pytest.mark.parametrize(
    ('changes', 'told'),
    [
        ({'framework': 'nosuch'}, f'no framework .nosuch., but {", ".join(framework_names())}'),
        ({'backbone': 'resnet19'}, 'did you mean resnet18'),
        ({'size': 300}, '--size must be from 32 to 224'),
    ],
)
def test_what_is_refused_leaves_nothing(photos, tmp_path, changes, told):
    with pytest.raises(ValueError, match=told):
        prepare(tmp_path / 'out', Asked(str(photos), **changes), CPU)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('name', ['{{ fileBasename }}', 'a\nopen("ran", "w")\nb', '{{_base_.x}}'])
def test_a_name_of_a_folder_is_no_code(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / name, (), 12, '.')
    files = prepare(tmp_path / f'to {name}', Asked(name), CPU).files
    for path in files.values():
        assert Config.fromfile(path).data.root == str(tmp_path / f'to {name}/data')
    assert not (tmp_path / 'ran').exists()


def test_what_was_there_before_a_refusal_stays(tmp_path):
    photos = write_photos(tmp_path / 'photos', (), 12, '.')
    out = tmp_path / 'new/er/out'
    with pytest.raises(ValueError, match='did you mean resnet18'):
        prepare(out, Asked(str(photos), backbone='resnet19'), CPU)
    assert not (tmp_path / 'new').exists()
    (out / 'data').mkdir(parents=True)
    (out / 'data/mine.txt').touch()
    with pytest.raises(ValueError, match='is there already.*take another --out'):
        prepare(out, Asked(str(photos)), CPU)
    with pytest.raises(FileNotFoundError):
        prepare(tmp_path / 'out', Asked(str(tmp_path / 'none')), CPU)
    assert (out / 'data/mine.txt').exists() and not (tmp_path / 'out').exists()


@pytest.mark.parametrize('last', ['describe', 'write_text', 'write_json'])
def test_a_killed_call_is_done_anew(tmp_path, monkeypatch, last):
    photos, out = write_photos(tmp_path / 'photos', (), 12, '.'), tmp_path / 'out'

    def die(*args):
        """Keep what a process leaves that is killed here, which the handlers would tidy up."""
        shutil.copytree(out, tmp_path / 'left', symlinks=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(gathering if last == 'describe' else module, last, die)
        prepare(out, Asked(str(photos)), CPU)
    assert not out.exists()
    (tmp_path / 'left').rename(out)
    assert list(out.iterdir())
    files = prepare(out, Asked(str(photos)), CPU).files
    names = {'data', 'preset.json', *(path.name for path in files.values())}
    assert {path.name for path in out.iterdir()} == names


def test_two_calls_at_once_make_one_folder(tmp_path):
    photos, out = write_photos(tmp_path / 'photos', (), 12, '.'), tmp_path / 'out'
    with ThreadPoolExecutor(1) as pool:
        with alone_in(out):
            second = pool.submit(prepare, out, Asked(str(photos)), CPU)
            with pytest.raises(TimeoutError):
                second.result(0.3)
            first = module._make(out, Asked(str(photos)), 'simclr', CPU)
        assert first.lines and second.result(10) == replace(first, lines=())  # found, not made
    with pytest.raises(RuntimeError), alone_in(tmp_path / 'other'):
        os.rename(tmp_path / 'other', tmp_path / 'aside')
        raise RuntimeError
    assert (tmp_path / 'aside').is_dir()


@pytest.mark.parametrize(
    ('out', 'changes', 'told'),
    [
        ('', {}, '--out is empty'),
        ('o', {'data': ''}, '--data is empty'),
        ('o', {'framework': ''}, '--framework is empty'),
        ('photos/../photos', {}, 'is the folder of the images'),
    ],
)
def test_places_that_cannot_be_meant_are_refused(tmp_path, monkeypatch, out, changes, told):
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / 'photos', (), 12, '.')
    with pytest.raises(ValueError, match=told):
        prepare(out, Asked(**{'data': 'photos', **changes}), CPU)
    assert os.listdir() == ['photos'] and len(os.listdir('photos')) == 12


@pytest.mark.parametrize(('count', 'labels'), [(4, False), (5, False), (4, True)])
def test_too_few_images_are_refused_before_anything_begins(tmp_path, count, labels):
    names = ('a', 'b') if labels else ('',)
    photos = write_photos(tmp_path / 'photos', names, count // len(names), '.')
    with pytest.raises(ValueError, match=f'{count} images to train on .* too few; {6 - labels} at'):
        prepare(tmp_path / 'out', Asked(str(photos)), CPU)
    assert not (tmp_path / 'out').exists()


def test_six_images_are_enough(tmp_path):
    photos = write_photos(tmp_path / 'photos', (), 6, '.')
    cfg = Config.fromfile(prepare(tmp_path / 'out', Asked(str(photos)), CPU).files['search'])
    cfg.work_dir, cfg.launcher = str(tmp_path / 'run'), 'none'
    assert find_problems(cfg) == []
