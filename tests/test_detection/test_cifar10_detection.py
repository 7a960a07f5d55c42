# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The detection set made from CIFAR-10.

1. The same seed gives the same bytes, another seed others.
2. Masks are exact: pixels outside them are the ground alone; boxes are their tight boxes.
3. Masks of a scene are disjoint, and each object stays visible.
4. Objects of val come from the test images, those of train from the training images.
5. Whole or not at all; made again only if absent; another set is never overwritten.
"""

import json
from pathlib import Path

import numpy as np
import pycocotools.mask
import pytest
from PIL import Image

from nasiam_mm.datasets.source import array_path, load_array
from tests.test_detection.toy_detection import MINI


@pytest.fixture
def settings(make_set):
    return make_set.DetectionSet(6, 3, 96, (2, 4), (20, 48))


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


def test_same_seed_same_bytes(make_set, settings, tmp_path):
    make_set.make_detection_set(MINI, tmp_path / 'a', settings)
    make_set.make_detection_set(MINI, tmp_path / 'b', settings)
    other = make_set.DetectionSet(6, 3, 96, (2, 4), (20, 48), seed=1)
    make_set.make_detection_set(MINI, tmp_path / 'c', other)
    assert files(tmp_path / 'a') == files(tmp_path / 'b')
    assert len(files(tmp_path / 'a')) == 6 + 3 + 2
    first, changed = files(tmp_path / 'a'), files(tmp_path / 'c')
    assert all(first[name] != changed[name] for name in first)


@pytest.mark.parametrize(('split', 'source'), [('train', 'train'), ('val', 'test')])
def test_boxes_masks_labels_and_sources(make_set, settings, tmp_path, split, source):
    out = tmp_path / 'set'
    make_set.make_detection_set(MINI, out, settings)
    coco = json.loads((out / 'annotations' / f'{split}.json').read_text())
    labels = load_array(array_path(MINI, f'{source}_labels'))
    names = {category['id']: category['name'] for category in coco['categories']}
    assert [item['id'] for item in coco['annotations']] == list(
        range(1, len(coco['annotations']) + 1)
    )
    assert f'CIFAR-10 {source} images' in coco['info']['source']
    assert 'NOT COCO' in coco['info']['description']
    for image in coco['images']:
        items = [item for item in coco['annotations'] if item['image_id'] == image['id']]
        assert 1 <= len(items) <= 4
        total = np.zeros((96, 96), int)
        for item in items:
            mask = pycocotools.mask.decode(item['segmentation'])
            y, x = np.nonzero(mask)
            tight = [x.min(), y.min(), x.max() - x.min() + 1, y.max() - y.min() + 1]
            assert item['bbox'] == tight
            assert item['area'] == mask.sum() > 0
            assert names[item['category_id']] == make_set.CLASSES[labels[item['cifar10_row']]]
            total += mask
        assert total.max() == 1


def test_masks_are_exact(make_set, settings):
    images = load_array(array_path(MINI, 'train_images'))
    labels = load_array(array_path(MINI, 'train_labels'))
    rng = np.random.default_rng(5)
    ground = make_set.textured_ground(np.random.default_rng(5), settings.size)
    rows = iter(range(len(images)))
    scene, objects = make_set.make_scene(rng, images, labels, rows, settings)
    union = np.any([item.mask for item in objects], axis=0)
    assert np.array_equal(scene[~union], ground[~union])
    # Inside, the pasted photographs differ from the ground nearly everywhere.
    assert (scene[union] != ground[union]).any(axis=1).mean() > 0.9
    for item in objects:
        assert item.mask.sum() >= make_set.MIN_VISIBLE * item.full_area


def test_objects_are_cut_along_curves(make_set):
    mask = make_set.cutting_mask(np.random.default_rng(0), 40)
    y, x = np.nonzero(mask)
    box_area = (y.max() - y.min() + 1) * (x.max() - x.min() + 1)
    assert 0.4 < mask.sum() / box_area < 0.9


def test_every_photograph_is_used_before_one_returns(make_set):
    rows = make_set.endless_rows(np.random.default_rng(0), 20)
    first, second = ([next(rows) for _ in range(20)] for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second


def test_images_are_rgb_of_the_size_asked(tiny_set):
    image = Image.open(tiny_set / 'train' / '000000.png')
    assert image.mode == 'RGB'
    assert image.size == (64, 64)


def test_made_once(make_set, settings, tmp_path, no_change, capsys):
    arguments = ['--cifar', str(MINI), '--out', str(tmp_path / 'set'), '--train', '2', '--val', '1']
    make_set.main(arguments)
    unchanged = no_change(tmp_path)
    make_set.main(arguments)
    unchanged()
    assert 'already made' in capsys.readouterr().out


def test_failure_leaves_nothing(make_set, settings, tmp_path, monkeypatch):
    def full_disk(self, path):
        if 'val' in str(path):
            raise OSError(28, 'No space left on device')
        Path(path).write_bytes(b'')

    monkeypatch.setattr(Image.Image, 'save', full_disk)
    with pytest.raises(OSError, match='No space'):
        make_set.make_detection_set(MINI, tmp_path / 'set', settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--cifar', '/nowhere'], r'train_images\.npy is missing; prepare CIFAR-10 first'),
        (['--scale', '20', '400'], 'least <= greatest <= --size'),
        (['--objects', '0', '2'], '1 <= least'),
        (['--train', '0'], 'at least 1 image'),
        (['--seed', '1'], 'is another set; remove the folder or give another --out'),
    ],
)
def test_refusals_change_nothing(make_set, tiny_set, no_change, arguments, message):
    unchanged = no_change(tiny_set)
    with pytest.raises((OSError, ValueError), match=message) as error:
        make_set.main(['--cifar', str(MINI), '--out', str(tiny_set), *arguments])
    assert '\n' not in str(error.value)
    unchanged()


def test_a_lost_image_is_noticed(make_set, tmp_path, settings):
    out = tmp_path / 'set'
    make_set.make_detection_set(MINI, out, settings)
    (out / 'val' / '000001.png').unlink()
    with pytest.raises(FileExistsError, match=r'val/000001\.png is missing'):
        make_set.make_detection_set(MINI, out, settings)
