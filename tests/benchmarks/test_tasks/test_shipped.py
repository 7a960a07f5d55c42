# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The eleven tasks: made again bit for bit, without a network, and what their labels say holds."""

import gzip
import pickle
import socket

import numpy as np
import pytest

from benchmarks.backbones.table import TASKS as STUDIED
from benchmarks.tasks.shipped import glyphs
from benchmarks.tasks.shipped import shape_count as shapes
from benchmarks.tasks.shipped.glyphs import FONTS, LETTERS, draw_glyphs
from benchmarks.tasks.shipped.textures import COLUMNS, ROWS, SURFACES
from benchmarks.tasks.splits import split_pool
from benchmarks.tasks.task import CIFAR, TASKS, Pool, find_tasks, generator, task
from nasiam_mm.datasets.source import save_array

CLASSES = dict(
    cifar10=10, animal_vehicle=2, rotation=4, corruption=6, digits=10, faces=2, textures=6,
    silhouettes=10, glyph_character=26, glyph_font=21, shape_count=6,
)  # fmt: skip


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """600 test images of ten classes, in the form of CIFAR-10."""
    folder, rng = tmp_path_factory.mktemp('cifar10'), np.random.default_rng(0)
    images = rng.integers(0, 256, (600, 32, 32, 3), dtype=np.uint8)
    save_array(folder / 'test_images.npy', images)
    save_array(folder / 'test_labels.npy', np.arange(600, dtype=np.uint8) % 10)
    return folder


@pytest.fixture(scope='module', autouse=True)
def silhouettes_package(tmp_path_factory):
    """A package of the form of animal-mnist, of which nothing may be unpickled or imported."""
    folder = tmp_path_factory.mktemp('packages')
    held = folder / 'animal_mnist/data/Animal_MNIST'
    held.mkdir(parents=True)
    (folder / 'animal_mnist/__init__.py').write_text('raise RuntimeError')
    labels = np.arange(10_000) % 10
    images = np.broadcast_to(labels[:, None, None].astype(np.uint8), (10_000, 28, 28)).copy()
    images[:, 0, 0] = np.arange(10_000) // 40
    for name, array in (('data', images), ('label', labels.astype(np.int64))):
        with gzip.open(held / f'animal_{name}_version_3.gz', 'wb', 1) as file:
            pickle.dump(array, file, protocol=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


@pytest.fixture(scope='module', autouse=True)
def fewer():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glyphs, '_EACH', 1)
        patch.setattr(shapes, 'IMAGES', 300)
        yield


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError('a task asks the network')

    monkeypatch.setattr(socket, 'socket', refuse)
    monkeypatch.setattr(pickle, 'load', refuse)


def test_there_are_the_eleven_of_the_study():
    assert set(find_tasks(STUDIED)) == set(STUDIED) == set(CLASSES)
    assert sum(TASKS[name].group == CIFAR for name in STUDIED) == 4
    with pytest.raises(ValueError, match="there is no task 'mnist'; there are "):
        find_tasks(['mnist'])
    with pytest.raises(ValueError, match="there is a task 'digits' already"):
        task('digits', 'again', CIFAR)(lambda data, seed: None)


@pytest.mark.parametrize('name', STUDIED)
def test_a_task_is_made_again_and_split(name, data):
    made = find_tasks([name])[name].make
    pool = made(data, 0)
    assert pool.classes == CLASSES[name]
    assert set(np.unique(pool.labels)) == set(range(pool.classes))
    draw_glyphs.cache_clear()
    assert made(data, 0).digest() == pool.digest()
    if name not in ('digits', 'faces'):  # which are taken whole
        assert made(data, 1).digest() != pool.digest()
    for split in split_pool(pool, 0):
        assert set(pool.labels[split.train]) >= set(pool.labels[split.test])


def test_labels_on_cifar_say_what_was_done(data):
    tasks = find_tasks(STUDIED)
    plain = tasks['cifar10'].make(data, 0)
    kinds = tasks['animal_vehicle'].make(data, 0)
    np.testing.assert_array_equal(kinds.images, plain.images)
    np.testing.assert_array_equal(kinds.labels == 1, np.isin(plain.labels, [0, 1, 8, 9]))
    turned = tasks['rotation'].make(data, 0)
    for image, k, was in zip(turned.images, turned.labels, plain.images, strict=True):
        np.testing.assert_array_equal(np.rot90(image, -k, (1, 2)), was)
    changed = tasks['corruption'].make(data, 0)
    same = (changed.images == plain.images).all((1, 2, 3))
    np.testing.assert_array_equal(same, changed.labels == 0)


def test_textures_are_split_by_region(data):
    pool = find_tasks(['textures'])['textures'].make(data, 0)
    assert len(np.unique(pool.regions)) == len(SURFACES) * ROWS * COLUMNS
    np.testing.assert_array_equal(pool.regions // (ROWS * COLUMNS), pool.labels)


def test_glyphs_are_one_set_of_images_asked_two_things(data):
    found = find_tasks(STUDIED)
    character, font = (found[f'glyph_{name}'].make(data, 0) for name in ('character', 'font'))
    assert character.images_digest() == font.images_digest()
    np.testing.assert_array_equal(character.labels, font.regions)
    np.testing.assert_array_equal(character.regions, font.labels)
    assert (len(LETTERS), len(set(FONTS))) == (26, 21)
    spread = character.images.reshape(len(character.images), -1).std(1)
    assert spread.min() > 10  # something is drawn on each


@pytest.mark.parametrize('count', range(1, shapes.MOST + 1))
def test_as_many_shapes_are_drawn_as_told(count):
    picture, placed = shapes.draw(count, generator(count, 'test'))
    assert len(placed) == count
    rows, columns = np.mgrid[:64, :64]
    outside = np.ones((64, 64), bool)
    for n, (x, y, radius) in enumerate(placed):
        outside &= np.hypot(columns - x, rows - y) > radius + 2
        for a, b, r in placed[:n]:
            assert np.hypot(x - a, y - b) >= radius + r + 2 * shapes.GAP
    assert len(np.unique(picture[outside], axis=0)) == 1
    paper = picture[outside][0].astype(int)
    for x, y, _ in placed:
        assert np.abs(picture[round(y), round(x)] - paper).min() >= 70


def test_what_is_missing_is_told(tmp_path, data, monkeypatch):
    with pytest.raises(FileNotFoundError, match='need its test images; run .nasiam data cifar10'):
        find_tasks(['cifar10'])['cifar10'].make(tmp_path, 0)
    monkeypatch.setattr('benchmarks.tasks.shipped.silhouettes.find_spec', lambda name: None)
    with pytest.raises(ModuleNotFoundError, match='pip install --no-deps animal-mnist==0.4'):
        find_tasks(['silhouettes'])['silhouettes'].make(data, 0)


def test_a_task_of_ones_own_is_registered(monkeypatch):
    monkeypatch.setattr('benchmarks.tasks.task.TASKS', found := {})

    @task('own', 'what it asks', CIFAR)
    def own(data, seed):
        return Pool(np.zeros((6, 3, 32, 32), np.uint8), np.arange(6))

    assert found['own'].make(None, 0).classes == 6
