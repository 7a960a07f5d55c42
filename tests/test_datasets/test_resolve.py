# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
import copy
import json
from dataclasses import replace

import pytest
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from nasiam_mm.datasets import Source, resolve_data
from nasiam_mm.datasets.known import KNOWN
from tests.reduced import MINI, ROOT

RECIPES = sorted((ROOT / 'configs/nasiam').glob('*.py'))
LINEAR = sorted((ROOT / 'configs/benchmarks/linear').glob('*.py'))
CIFAR100 = [path for path in (*RECIPES, *LINEAR) if '_cifar100' in path.stem]


@pytest.fixture
def known(tmp_path, monkeypatch):
    """A place where data/cifar10, data/cifar100 and data/imagenet say what they are."""
    monkeypatch.chdir(tmp_path)
    for name, source in KNOWN.items():
        source.write(f'data/{name.lower()}')


def read(name):
    return Config.fromfile(ROOT / 'configs' / f'{name}.py')


def text(cfg):
    return json.dumps(cfg.to_dict(), default=str, sort_keys=True)


def own(folder, images, **changes):
    """Describe a folder that nothing is read from."""
    source = Source('own', 'own', ['a', 'b'], [1, 2, 3], [4, 5, 6], 48, {'train': images})
    replace(source, **changes).write(folder)
    return str(folder)


@pytest.mark.parametrize('path', CIFAR100, ids=lambda path: path.stem)
def test_cifar100_recipe_is_that_of_cifar10_on_another_folder(path, known):
    cfg = Config.fromfile(path)
    resolve_data(cfg)
    assert '"data/cifar10"' not in text(cfg) and '"data.' not in text(cfg)
    assert cfg.model.data_preprocessor['mean'] == list(KNOWN['CIFAR100'].mean)
    brother = path.with_name(path.name.replace('cifar100', 'cifar10'))
    if not brother.exists():
        assert '_r50_search_' in path.name
        return
    assert len(path.read_text().splitlines()) == 2
    other = Config.fromfile(brother)
    resolve_data(other)
    expected = text(other)
    for old, new in {
        'data/cifar10': 'data/cifar100',
        str(list(KNOWN['CIFAR10'].mean)): str(list(KNOWN['CIFAR100'].mean)),
        str(list(KNOWN['CIFAR10'].std)): str(list(KNOWN['CIFAR100'].std)),
        '"num_classes": 10': '"num_classes": 100',
    }.items():
        assert old in expected or 'num_classes' in old
        expected = expected.replace(old, new)
    assert text(cfg) == expected


@pytest.mark.parametrize('path', [*RECIPES[::5], *LINEAR[::2]], ids=lambda path: path.stem)
def test_again_changes_nothing_and_another_folder_changes_all(path, known, tmp_path):
    cfg = Config.fromfile(path)
    assert resolve_data(cfg) == []
    first = text(cfg)
    resolve_data(cfg)
    assert text(cfg) == first
    fresh = Config.fromfile(path)
    fresh.data.root = cfg.data.root = own(tmp_path / 'own', 10**7)
    resolve_data(fresh)
    resolve_data(cfg)
    assert text(cfg) == text(fresh) != first
    assert cfg.model.data_preprocessor['mean'] == [1, 2, 3]


def test_half_the_size_follows_the_folder(known, tmp_path):
    cfg = read('nasiam/swav_r18_search_cifar10')
    for root, sides in ((None, [32] * 2 + [16] * 4), (own(tmp_path, 10**6), [48] * 2 + [24] * 4)):
        cfg.data.root = root or cfg.data.root
        for _ in range(2):
            resolve_data(cfg)
            assert [view['size'] for view in cfg.model.data_preprocessor['views']] == sides


def test_a_setting_of_ones_own_counts(known):
    cfg = read('nasiam/simclr_r18_baseline_cifar10')
    cfg.model.data_preprocessor.mean = [0, 0, 0]
    resolve_data(cfg)
    assert cfg.model.data_preprocessor.mean == [0, 0, 0]
    assert cfg.model.data_preprocessor.std == list(KNOWN['CIFAR10'].std)


def test_linear_evaluation_learns_the_classes_of_the_folder(tmp_path):
    cfg = read('benchmarks/linear/r18_cifar10_linear')
    cfg.data.root = own(tmp_path, 300)
    resolve_data(cfg)
    assert cfg.model.head.num_classes == cfg.model.data_preprocessor.num_classes == 2
    assert cfg.train_dataloader.dataset.dataset.dataset.pipeline[0].crop_size == 48
    cfg = read('benchmarks/linear/r18_cifar10_linear')
    cfg.data.root = own(tmp_path, 300, classes=[])
    with pytest.raises(ValueError, match=f'{tmp_path}: has no labels, which num_classes needs'):
        resolve_data(cfg)


def test_counts_follow_a_smaller_folder_and_say_so(tmp_path):
    cfg = read('nasiam/simclr_r18_search_cifar10_demo')
    cfg.data.root = own(tmp_path, 300)
    notes = resolve_data(cfg)
    assert cfg.train_dataloader.dataset.dataset.parts == [
        ('weights', 125),
        ('alpha', 125),
        ('val', 50),
    ]
    assert notes == [
        "own has 300 images: parts {'weights': 5000, 'alpha': 5000, 'val': 2000} become "
        "{'weights': 125, 'alpha': 125, 'val': 50}",
        'the bank of the probe has 125 images: probe.k 200 becomes 12',
    ]
    assert cfg.probe.k == 12
    assert resolve_data(cfg) == []


def test_no_probe_without_labels(tmp_path):
    cfg = read('nasiam/simclr_r18_baseline_cifar10')
    cfg.data.root = own(tmp_path, 10**6, classes=[])
    assert resolve_data(cfg) == [
        f'{tmp_path}: has no labels, so the backbone is not probed while it trains'
    ]
    assert cfg.probe is None and resolve_data(cfg) == []


def test_config_without_the_section_is_left_alone():
    cfg = Config(dict(model=dict(mean='data.mean'), data=dict(samples_per_gpu=1)))
    before = copy.deepcopy(cfg.to_dict())
    assert resolve_data(cfg) == [] and cfg.to_dict() == before


def test_missing_folder_is_told_with_a_mend(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        FileNotFoundError,
        match='^data/cifar10: no such folder; run .nasiam data cifar10 --root data/cifar10',
    ):
        resolve_data(read('nasiam/simclr_r18_baseline_cifar10'))


@pytest.mark.parametrize(
    'name',
    [
        'nasiam/simclr_r18_baseline_cifar100',
        'nasiam/simclr_r50_baseline_imagenet',
        'benchmarks/linear/r18_cifar100_linear',
        'benchmarks/linear/r50_imagenet_linear',
    ],
)
def test_plain_runner_refuses_in_one_line(name, tmp_path):
    cfg = read(name)
    cfg.work_dir = str(tmp_path)
    cfg.env_cfg.dist_cfg = dict(backend='gloo')
    with pytest.raises(ValueError, match=r"'data.mean' stands for .* RUNNERS.build\(cfg\)") as info:
        Runner.from_cfg(cfg)
    assert '\n' not in str(info.value)


def test_registry_builds_our_runner_which_resolves_and_dumps(tmp_path):
    cfg = read('nasiam/simclr_r18_baseline_cifar10_demo')
    cfg.data.root, cfg.work_dir = MINI, str(tmp_path)
    before = text(cfg)
    runner = RUNNERS.build(cfg)
    assert type(runner).__name__ == 'NasiamRunner' and text(cfg) == before
    assert runner.cfg.train_dataloader.dataset.dataset.parts == [('train', 416), ('val', 83)]
    Runner.dump_config(runner)  # as when the run owns its folder
    dumped = Config.fromfile(tmp_path / 'simclr_r18_baseline_cifar10_demo.py')
    assert text(dumped) == text(runner.cfg) and dumped.data.resolved.size == 32
    log = ''.join(path.read_text() for path in tmp_path.rglob('*.log'))
    assert "CIFAR10 has 500 images: parts {'train': 10000, 'val': 2000} become" in log
