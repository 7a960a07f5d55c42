# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Published sets become folders that recipes take; small ones in their authors' forms stand in."""

import socket
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from torchvision.datasets import flowers102, stl10, svhn

from nasiam_mm.cli.main import run_command
from nasiam_mm.datasets import Source
from nasiam_mm.datasets.published import (
    PUBLISHED,
    Arrays,
    Files,
    PublishedSet,
    bring,
    find_set,
    register_set,
)
from nasiam_mm.registry import DATASETS
from tests.test_datasets.test_published import layouts

# Name -> what lays it out, images and classes of each part, grey of the first image of a class.
SETS = {
    'ImageNet': (layouts.imagenet, dict(train=12, test=12), 3, 40),
    'iNat2021Mini': (layouts.inat, dict(train=8, test=12), 2, 90),
    'iNat2021': (layouts.inat, dict(train=12, test=12), 2, 90),
    'Caltech101': (layouts.caltech, dict(train=11, test=1), 2, 90),
    'DTD': (layouts.dtd, dict(train=8, val=8, test=8), 2, 90),
    'EuroSAT': (layouts.eurosat, dict(train=27, test=3), 3, 60),
    'Flowers102': (layouts.flowers, dict(train=6, val=3, test=3), 102, None),
    'Food101': (layouts.food, dict(train=10, test=6), 2, 90),
    'OxfordIIITPet': (layouts.pets, dict(train=8, test=4), 2, 90),
    'GTSRB': (layouts.signs, dict(train=8, test=2), 2, 90),
    'FGVCAircraft': (layouts.aircraft, dict(train=6, val=6, test=6), 3, 80),
    'SVHN': (layouts.svhn, dict(train=20, test=10), 10, 20),
    'StanfordCars': (layouts.cars, dict(train=8, test=4), 2, 90),
    'STL10': (layouts.stl10, dict(train=10, test=5), 5, 50),
    'BloodMNIST': (layouts.medical, dict(train=16, val=8, test=8), 4, 60),
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError('a set asks the network')

    monkeypatch.setattr(socket, 'socket', refuse)
    monkeypatch.setitem(sys.modules, 'medmnist', None)
    # Small ones have other sums than the whole sets.
    for module in (flowers102, stl10, svhn):
        monkeypatch.setattr(module, 'check_integrity', lambda path, md5=None: True)


@pytest.mark.parametrize('name', SETS)
def test_a_set_is_brought_and_read(name, tmp_path):
    lay_out, parts, classes, step = SETS[name]
    lay_out(tmp_path / 'sets')
    source = bring(name.lower(), tmp_path / 'sets', tmp_path / 'out', size=8)
    assert Source.read(tmp_path / 'out') == source
    assert (source.name, dict(source.parts), len(source.classes)) == (name, parts, classes)
    seen = []
    for part, count in parts.items():
        images = DATASETS.build(
            dict(type='Images', data_root=str(tmp_path / 'out'), split=part, size=8)
        )
        assert len(images) == count
        for n in range(count):
            sample = images[n]
            assert sample['img'].shape == (8, 8, 3)
            grey, label = float(sample['img'].mean()), sample['gt_label']
            seen.append((grey, label))
            if step is not None:
                # Classes are numbered as the set does, and each image has its own.
                first = step if name == 'Caltech101' else 0
                assert 0 <= grey - first - step * label < 12, (grey, label)
    if name == 'Flowers102':
        # Image n is of class (n - 1) mod 3, and grey 20 (n - 1).
        assert sorted(seen) == [(pytest.approx(20 * k, abs=2), k % 3) for k in range(12)]
        return
    assert {label for _, label in seen} == set(range(classes))


def test_files_stay_where_they_are(tmp_path):
    layouts.dtd(tmp_path / 'sets')
    bring('DTD', tmp_path / 'sets', tmp_path / 'out', size=8)
    assert sum(path.is_file() for path in (tmp_path / 'out').glob('*.npy')) == 0
    assert (tmp_path / 'out/train').resolve() == (tmp_path / 'sets').resolve()
    listed = (tmp_path / 'out/meta/train.csv').read_text().splitlines()
    assert listed[:2] == ['file,label', 'dtd/dtd/images/banded/banded_0000.jpg,banded']


def test_inat_is_in_order_whatever_the_file_system_says(tmp_path, monkeypatch):
    layouts.inat(tmp_path)
    known = find_set('iNat2021Mini')
    found = known.read(tmp_path, 'train')
    assert [path.name for path in found.files[:4]] == ['0ab.jpg', '1ab.jpg', '2ab.jpg', '3ab.jpg']
    assert found.classes[1].startswith('00001_') and found.labels == [0] * 4 + [1] * 4


def test_a_recipe_trains_on_what_was_brought(tmp_path, monkeypatch):
    layouts.eurosat(tmp_path / 'sets')
    run_command('data', ['import', 'EuroSAT', '--root', str(tmp_path / 'sets'), '--out',
                         str(tmp_path / 'out'), '--size', '16'])  # fmt: skip
    from mmengine.config import Config

    from nasiam_mm.datasets import resolve_data
    from tests.reduced import ROOT

    cfg = Config.fromfile(ROOT / 'configs/nasiam/simclr_r18_baseline_cifar10_demo.py')
    cfg.data.root = str(tmp_path / 'out')
    resolve_data(cfg)
    dataset = DATASETS.build(cfg.probe.bank.dataset)
    assert dataset[0]['inputs'].shape == (3, 16, 16)
    assert cfg.model.data_preprocessor.views.size == 16


def test_medmnist_has_the_names_of_its_package(tmp_path, monkeypatch):
    layouts.medical(tmp_path, 'pneumoniamnist', grey=True)
    found = find_set('PneumoniaMNIST').read(tmp_path, 'val')
    assert found.images.shape == (8, 28, 28, 3) and found.classes == ['0', '1', '2', '3']
    asked = []

    def download(split, root, download):
        asked.append((split, download))

    info = {'pneumoniamnist': {'label': {'1': 'pneumonia', '0': 'normal', '10': 'c', '2': 'b'}}}
    package = SimpleNamespace(INFO=info, PneumoniaMNIST=download)
    monkeypatch.setitem(sys.modules, 'medmnist', package)
    found = find_set('PneumoniaMNIST').read(tmp_path, 'val')
    assert found.classes == ['normal', 'pneumonia', 'b', 'c'] and not asked
    find_set('PneumoniaMNIST').read(tmp_path, 'test', download=True)
    assert asked == [('test', True)]


def test_there_are_the_usual_ones():
    named = 'Flowers102 OxfordIIITPet DTD Food101 FGVCAircraft StanfordCars SVHN EuroSAT GTSRB'
    named += ' CIFAR100 STL10 Caltech101 ImageNet iNat2021 iNat2021Mini PathMNIST OrganSMNIST'
    for name in named.split():
        assert find_set(name).name == name
    assert len(PUBLISHED) == 15 + 11


@pytest.mark.parametrize(
    ('name', 'make', 'error', 'message'),
    [
        ('DTDD', layouts.dtd, ValueError, "no published set 'DTDD'; did you mean DTD"),
        ('DTD', layouts.food, FileNotFoundError, "no part 'train' of DTD: .*'.*dtd/dtd', or give"),
        (
            'ImageNet',
            layouts.food,
            FileNotFoundError,
            "ImageNet: no folder .* looked for as '.*'$",
        ),
        ('SVHN', layouts.food, FileNotFoundError, "no part 'train' of SVHN"),
        ('BloodMNIST', layouts.food, FileNotFoundError, 'bloodmnist.npz'),
    ],
)
def test_what_is_not_there_is_one_line(name, make, error, message, tmp_path):
    make(tmp_path / 'sets')
    with pytest.raises(error, match=message) as caught:
        bring(name, tmp_path / 'sets', tmp_path / 'out', size=8)
    assert '\n' not in str(caught.value) and not (tmp_path / 'out').exists()


def test_nothing_is_left_of_what_fails(tmp_path):
    layouts.dtd(tmp_path / 'sets')
    (tmp_path / 'sets/dtd/dtd/images/banded/banded_0001.jpg').unlink()
    with pytest.raises(FileNotFoundError, match='banded_0001.jpg., which the set lists, does not'):
        bring('DTD', tmp_path / 'sets', tmp_path / 'a/out', size=8)
    assert list((tmp_path / 'a').iterdir()) == []
    with pytest.raises(FileNotFoundError, match="'.*/none' does not exist, or is no folder"):
        bring('DTD', tmp_path / 'none', tmp_path / 'out')
    with pytest.raises(ValueError, match='StanfordCars cannot be downloaded here; put stanford_'):
        bring('StanfordCars', tmp_path, tmp_path / 'out', download=True)
    (tmp_path / 'there').mkdir()
    layouts.eurosat(tmp_path / 'sets')
    with pytest.raises(ValueError, match='is there already; take another folder'):
        bring('EuroSAT', tmp_path / 'sets', tmp_path / 'there')


def test_a_set_of_ones_own_is_registered(tmp_path, monkeypatch):
    monkeypatch.setattr('nasiam_mm.datasets.published.published_set.PUBLISHED', {})

    def read(root, part, download):
        images = np.full((20, 8, 8, 3), 7, np.uint8)
        return Arrays(images, np.arange(20) % 2, ['crane', 'crane'])

    own = register_set(PublishedSet('Own', ('train', 'test'), 'own.bin', read))
    source = bring('own', tmp_path, tmp_path / 'out')
    assert list(source.classes) == ['crane 0', 'crane 1']  # told apart
    with pytest.raises(ValueError, match="there is a set 'own' already"):
        register_set(PublishedSet('own', ('train',), '', read))
    with pytest.raises(ValueError, match="parts must be 'train', then"):
        register_set(PublishedSet('Other', ('test',), '', read))
    with pytest.raises(ValueError, match="Own has no part 'val', only train, test"):
        own.read(tmp_path, 'val')
    files = PublishedSet('Empty', ('train',), 'x', lambda *_: Files([], [], []))
    with pytest.raises(ValueError, match="part 'train' of Empty is empty"):
        files.read(tmp_path, 'train')
