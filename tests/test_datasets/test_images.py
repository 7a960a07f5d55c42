# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
import hashlib
import json
import shutil
import urllib.request
from pathlib import Path

import cv2
import mmpretrain.registry
import numpy as np
import pytest
from mmpretrain.datasets import CIFAR10 as MMCIFAR10
from mmpretrain.datasets import CIFAR100 as MMCIFAR100
from mmpretrain.datasets import KFoldDataset
from torch.utils.data import DataLoader

from nasiam_mm.datasets import CIFAR10, CIFAR100, Images, Source, describe, images
from nasiam_mm.datasets.folder import square
from nasiam_mm.registry import DATASETS
from tests.reduced import image_folder
from tests.test_datasets.fake_cifar import ARRAYS, DIGESTS, MINI, official_files, publish
from tests.test_datasets.photos import write_photos

COMMAND = 'nasiam data cifar10'


@pytest.fixture
def mini(tmp_path):
    """A copy of cifar10_mini to damage."""
    return Path(shutil.copytree(MINI, tmp_path / 'mini'))


@pytest.fixture
def official(tmp_path, monkeypatch):
    """A folder with the official pickles, as mmpretrain leaves it."""
    publish(monkeypatch)
    folder = tmp_path / 'official' / MMCIFAR10.base_folder
    folder.mkdir(parents=True)
    for name, content in official_files().items():
        (folder / name).write_bytes(content)
    return folder.parent


@pytest.fixture
def no_network(monkeypatch):
    """Any attempt to download fails the test."""

    def urlopen(*args, **kwargs):
        pytest.fail('tried to download')

    monkeypatch.setattr(urllib.request, 'urlopen', urlopen)


def _edit_record(root, **changes):
    record = json.loads((root / 'source.json').read_text())
    (root / 'source.json').write_text(json.dumps({**record, **changes}))


def _error(expected, **kwargs):
    with pytest.raises(expected) as info:
        CIFAR10(**kwargs)
    return str(info.value)


@pytest.mark.parametrize(('split', 'size'), [('train', 500), ('test', 50)])
def test_mini_holds_balanced_real_images(split, size):
    dataset = CIFAR10(data_root=str(MINI), split=split)
    assert len(dataset) == size
    labels = dataset.get_gt_labels()
    assert labels.dtype == np.int64
    assert np.bincount(labels).tolist() == [size // 10] * 10
    for index in (0, 1, size - 1, -1, -size):
        item = dataset[index]
        assert set(item) == {'img', 'gt_label', 'sample_idx'}
        assert type(item['img']) is np.ndarray and item['img'].dtype == np.uint8
        np.testing.assert_array_equal(item['img'], ARRAYS[f'{split}_images'][index])
        assert item['gt_label'] == labels[index] and type(item['gt_label']) is int
        assert item['sample_idx'] == index % size
    assert MMCIFAR10.METAINFO['classes'] == dataset.CLASSES
    assert dataset.get_cat_ids(3) == [labels[3]]


def test_images_are_copies():
    dataset = CIFAR10(data_root=str(MINI))
    dataset[0]['img'][:] = 0
    np.testing.assert_array_equal(dataset[0]['img'], ARRAYS['train_images'][0])


def test_end_is_an_index_error():
    dataset = CIFAR10(data_root=str(MINI), split='test')
    with pytest.raises(IndexError):
        dataset[50]
    assert sum(1 for _ in dataset) == 50


def test_names_resolve_to_ours_and_to_mmpretrains():
    assert type(DATASETS.build({'type': 'CIFAR10', 'data_root': str(MINI)})) is CIFAR10
    assert DATASETS.get('CIFAR100') is CIFAR100
    assert mmpretrain.registry.DATASETS.get('mmpretrain.CIFAR10') is MMCIFAR10


@pytest.mark.parametrize('indices', [7, -7, [5, 3, 3, 499]])
def test_indices_subset_and_folds(indices):
    rows = list(range(500))
    rows = (
        [rows[i] for i in indices]
        if isinstance(indices, list)
        else (rows[:indices] if indices > 0 else rows[indices:])
    )
    whole = CIFAR10(data_root=str(MINI))
    taken = CIFAR10(data_root=str(MINI), indices=indices)
    for dataset in (taken, whole.get_subset(indices)):
        assert len(dataset) == len(rows)
        np.testing.assert_array_equal(dataset.get_gt_labels(), ARRAYS['train_labels'][rows])
        np.testing.assert_array_equal(dataset[-1]['img'], ARRAYS['train_images'][rows[-1]])
        assert dataset[-1]['sample_idx'] == len(rows) - 1
    assert len(whole) == 500
    subset = whole.get_subset(indices)
    assert subset._images is whole._images
    whole.get_subset_(indices)
    np.testing.assert_array_equal(whole.get_gt_labels(), ARRAYS['train_labels'][rows])


def test_kfold_wraps_it():
    config = {'type': 'CIFAR10', 'data_root': str(MINI)}
    fold = KFoldDataset(config, fold=1, num_splits=5, test_mode=True)
    assert len(fold) == 100
    np.testing.assert_array_equal(fold[0]['img'], ARRAYS['train_images'][100])


def test_pipeline_and_loader():
    def pipeline(results):
        return int(results['img'].sum()), results['gt_label']

    dataset = CIFAR10(data_root=str(MINI), pipeline=[pipeline], serialize_data=True)
    sums, labels = zip(*DataLoader(dataset, batch_size=50), strict=True)
    expected = ARRAYS['train_images'].reshape(500, -1).sum(1, dtype=np.int64)
    np.testing.assert_array_equal(np.concatenate(sums), expected)
    np.testing.assert_array_equal(np.concatenate(labels), ARRAYS['train_labels'])


def test_lazy_init_reads_nothing_until_asked(tmp_path):
    dataset = CIFAR10(data_root=str(tmp_path / 'data'), lazy_init=True)
    assert dataset.metainfo == {'classes': MMCIFAR10.METAINFO['classes']}
    assert Images(data_root=str(tmp_path / 'data'), lazy_init=True).metainfo == {}
    shutil.copytree(MINI, tmp_path / 'data')
    assert len(dataset) == 500


@pytest.mark.parametrize('split', ['train', 'test'])
def test_digest_names_the_split(split):
    hexes = [hashlib.sha256(ARRAYS[f'{split}_{kind}'].tobytes()) for kind in ('images', 'labels')]
    expected = hashlib.sha256(''.join(h.hexdigest() for h in hexes).encode()).hexdigest()
    dataset = CIFAR10(data_root=str(MINI), split=split, indices=10, lazy_init=True)
    dataset.full_init()
    assert dataset.metainfo['digest'] == expected


@pytest.mark.parametrize('name', ['train_images', 'train_labels'])
def test_wrong_digest(mini, name):
    array = ARRAYS[name].copy()
    array[-1] ^= 1
    np.save(mini / f'{name}.npy', array)
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    assert _error(ValueError, data_root=str(mini)) == (
        f'{mini}/{name}.npy: sha256 {digest[:12]} is not the expected {DIGESTS[name][:12]}; '
        f"run '{COMMAND} --root {mini}'"
    )
    # The other split is not read.
    assert len(CIFAR10(data_root=str(mini), split='test')) == 50


def test_verify_false_says_so_in_the_digest(mini):
    array = ARRAYS['train_images'].copy()
    array[0] ^= 1
    np.save(mini / 'train_images.npy', array)
    dataset = CIFAR10(data_root=str(mini), verify=False)
    assert dataset.metainfo['digest'] is None


@pytest.mark.parametrize('source', ['official', 'npm'])
def test_only_a_subset_may_bring_its_own_digests(mini, source):
    _edit_record(mini, source=source)
    assert _error(ValueError, data_root=str(mini)) == (
        f'{mini}/train_images.npy: sha256 {DIGESTS["train_images"][:12]} is not the expected '
        f"47af8b02cfcf; run '{COMMAND} --root {mini}'"
    )


def test_a_digest_that_is_missing_is_not_taken_for_right(mini):
    _edit_record(mini, digests={'train_images': DIGESTS['train_images']})
    assert 'is not the expected none; run' in _error(ValueError, data_root=str(mini))


def test_missing_data(tmp_path, no_network):
    assert _error(FileNotFoundError, data_root=str(tmp_path / 'x')) == (
        f"{tmp_path}/x: no CIFAR10 here; run '{COMMAND} --root {tmp_path}/x'"
    )
    with pytest.raises(FileNotFoundError) as info:
        CIFAR100(data_root=str(tmp_path / 'x'))
    assert str(info.value) == (
        f"{tmp_path}/x: no CIFAR100 here; run 'nasiam data cifar100 --root {tmp_path}/x'"
    )


def test_missing_labels(mini):
    (mini / 'train_labels.npy').unlink()
    assert _error(FileNotFoundError, data_root=str(mini)) == (
        f"{mini}/train_labels.npy: missing; run '{COMMAND} --root {mini}'"
    )


@pytest.mark.parametrize('size', [0, 50, 1000, -1])
def test_truncated_array(mini, size):
    path = mini / 'train_images.npy'
    path.write_bytes(path.read_bytes()[:size])
    assert _error(ValueError, data_root=str(mini)) == (
        f"{path}: truncated or not a .npy file; run '{COMMAND} --root {mini}'"
    )


@pytest.mark.parametrize(
    ('name', 'array', 'found'),
    [
        (
            'images',
            ARRAYS['train_images'].reshape(500, 3072),
            'uint8 (500, 3072), expected uint8 (N, H, W, 3)',
        ),
        (
            'images',
            ARRAYS['train_images'].astype(np.float32),
            'float32 (500, 32, 32, 3), expected uint8 (N, H, W, 3)',
        ),
        ('images', np.uint8(1), 'uint8 (), expected uint8 (N, H, W, 3)'),
        ('labels', ARRAYS['train_labels'][:, None], 'uint8 (500, 1), expected integers (N,)'),
        (
            'labels',
            ARRAYS['train_labels'].astype(np.float32),
            'float32 (500,), expected integers (N,)',
        ),
    ],
)
def test_array_of_another_kind(mini, name, array, found):
    np.save(mini / f'train_{name}.npy', array)
    assert f'train_{name}.npy: holds {found}; run' in _error(ValueError, data_root=str(mini))


def test_images_and_labels_must_match_in_number(mini):
    np.save(mini / 'train_labels.npy', ARRAYS['train_labels'][:-1])
    where = f'{mini}/train_images.npy'
    message = f"{where}: 500 images with 499 labels; run '{COMMAND} --root {mini}'"
    assert _error(ValueError, data_root=str(mini), verify=False) == message


def test_folder_of_the_other_data_set():
    with pytest.raises(ValueError, match='cifar10_mini: holds CIFAR10, not CIFAR100'):
        CIFAR100(data_root=str(MINI))


def test_official_pickles_are_read_when_there_are_no_arrays(official, no_network):
    for split in ('train', 'test'):
        ours = CIFAR10(data_root=str(official), split=split)
        theirs = MMCIFAR10(data_root=str(official), split=split, download=False)
        mini = CIFAR10(data_root=str(MINI), split=split)
        assert len(ours) == len(theirs) == len(mini)
        assert ours.metainfo['digest'] == mini.metainfo['digest']
        for index in range(0, len(ours), 37):
            a, b, c = ours[index], theirs[index], mini[index]
            np.testing.assert_array_equal(a['img'], b['img'])
            np.testing.assert_array_equal(a['img'], c['img'])
            assert a['gt_label'] == b['gt_label'] == c['gt_label']
            assert a['sample_idx'] == b['sample_idx']


@pytest.mark.parametrize('damage', [Path.unlink, lambda path: path.write_bytes(b'x')])
def test_damaged_pickles(official, no_network, damage):
    damage(official / MMCIFAR10.base_folder / 'data_batch_4')
    assert _error(ValueError, data_root=str(official)) == (
        f'{official}/cifar-10-batches-py: a file is missing or its md5 is not the published one; '
        f"run '{COMMAND} --root {official}'"
    )


def test_cifar100_from_pickles_and_from_arrays(tmp_path, monkeypatch, mini, no_network):
    publish(monkeypatch)
    folder = tmp_path / 'data' / MMCIFAR100.base_folder
    folder.mkdir(parents=True)
    for name, content in official_files('fine_labels').items():
        (folder / name).write_bytes(content)
    pickles = CIFAR100(data_root=str(folder.parent))
    assert len(pickles.CLASSES) == 100
    _edit_record(mini, name='CIFAR100', source='official')
    arrays = CIFAR100(data_root=str(mini))
    assert pickles.metainfo['digest'] == arrays.metainfo['digest']
    np.testing.assert_array_equal(arrays.get_gt_labels(), ARRAYS['train_labels'])

    # Without the record there is nothing to check the arrays against.
    (mini / 'source.json').unlink()
    with pytest.raises(FileNotFoundError, match='mini: no CIFAR100 here; run .nasiam data'):
        CIFAR100(data_root=str(mini))


def test_arrays_without_labels(mini):
    for part in ('train', 'test'):
        (mini / f'{part}_labels.npy').unlink()
    assert 'train_labels.npy: missing' in _error(FileNotFoundError, data_root=str(mini))
    _edit_record(mini, classes=[])
    dataset = Images(data_root=str(mini))
    assert set(dataset[3]) == {'img', 'sample_idx'} and len(dataset) == 500
    with pytest.raises(ValueError, match='have no labels'):
        dataset.get_gt_labels()


def test_parts_that_lie_in_one_place_are_cut_from_it(mini):
    _edit_record(mini, parts={'train': 400, 'test': 100}, stored={'test': 'train'})
    parts = [Images(data_root=str(mini), split=split) for split in ('train', 'test')]
    assert [len(part) for part in parts] == [400, 100]
    rows = [set(part.data_list) for part in parts]
    assert rows[0] | rows[1] == set(range(500)) and not rows[0] & rows[1]
    again = Images(data_root=str(mini), split='test')
    assert again.data_list == parts[1].data_list != sorted(parts[1].data_list)
    row = parts[1].data_list[7]
    np.testing.assert_array_equal(parts[1][7]['img'], ARRAYS['train_images'][row])
    assert parts[1].get_gt_labels()[7] == ARRAYS['train_labels'][row] == parts[1][7]['gt_label']


def test_part_that_is_not_there(mini):
    with pytest.raises(ValueError, match="mini: has no part 'val', only train, test"):
        Images(data_root=str(mini), split='val')


def test_unresolved_root_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r"^'data.root' stands for .* RUNNERS.build\(cfg\)"):
        Images(data_root='data.root')


@pytest.mark.parametrize('shape', [(50, 40), (40, 50), (8, 9), (20, 20)])
def test_square_keeps_the_centre(shape):
    image = np.zeros((*shape, 3), np.uint8)
    image[shape[0] // 4 : -(shape[0] // 4), shape[1] // 4 : -(shape[1] // 4)] = 200
    found = square(image, 20)
    assert found.shape == (20, 20, 3) and found.flags['C_CONTIGUOUS']
    assert found[9:11, 9:11].min() == 200 and found[0, 0].max() == 0
    if shape == (20, 20):
        assert found is image


def test_image_files(tmp_path):
    write_photos(tmp_path / 'pets', classes=('cat', 'dog'), per_class=5)
    (tmp_path / 'pets/train/.ipynb_checkpoints').mkdir()
    shutil.copy(tmp_path / 'pets/train/cat/0.png', tmp_path / 'pets/train/.ipynb_checkpoints')
    describe(tmp_path / 'pets', size=24).write(tmp_path / 'pets')
    dataset = Images(data_root=str(tmp_path / 'pets'), size=24)
    assert dataset.CLASSES == ('cat', 'dog') and len(dataset) == 9
    paths = [dataset[n]['img_path'] for n in range(9)]
    expected = [f'{tmp_path}/pets/train/{c}/{n}.png' for c in ('cat', 'dog') for n in range(5)]
    assert set(paths) < set(expected)
    for item in dataset:
        pixels = cv2.imread(item['img_path'])[..., ::-1]
        np.testing.assert_array_equal(item['img'], square(pixels, 24))
        assert item['gt_label'] == ('dog' in item['img_path'])
    named = Images(data_root=str(tmp_path / 'pets'), split='test')[0]
    assert set(named) == {'img_path', 'gt_label', 'sample_idx'}
    assert set(expected) - set(paths) == {named['img_path']}

    # Another size, or one more file, is another list.
    write_photos(tmp_path / 'pets', classes=('cat',), per_class=6)
    with pytest.raises(
        ValueError, match='train: files came, went or changed .*sha256 .*; run .nasiam'
    ):
        Images(data_root=str(tmp_path / 'pets'))


def test_broken_file_is_named(tmp_path):
    write_photos(tmp_path, classes=('cat', 'dog'), per_class=2)
    (tmp_path / 'train/dog/1.png').write_text('not an image')
    record = Source('x', 'own', ['cat', 'dog'], (1, 1, 1), (1, 1, 1), 16, {'train': 4})
    record.write(tmp_path)
    dataset = Images(data_root=str(tmp_path), size=16)
    with pytest.raises(ValueError, match=f'{tmp_path}/train/dog/1.png: no image that OpenCV reads'):
        dataset[3]
    assert dataset.metainfo['digest'] is None


def test_class_folders_other_than_told(tmp_path):
    write_photos(tmp_path, classes=('cat', 'dog'), per_class=2)
    Source('x', 'own', ['cow'], (1, 1, 1), (1, 1, 1), 16, {'train': 4}).write(tmp_path)
    with pytest.raises(ValueError, match='2 folders, which are not the 1 classes of source.json'):
        Images(data_root=str(tmp_path))
    Source('x', 'own', ['cow', 'dog', 'cat'], (1, 1, 1), (1, 1, 1), 16, {'train': 4}).write(
        tmp_path
    )
    assert Images(data_root=str(tmp_path)).get_gt_labels().tolist() == [2, 2, 1, 1]


def test_lists_of_files_and_imagenets_validation_part(tmp_path):
    root = image_folder(tmp_path)
    (tmp_path / 'train/n01440764').mkdir()
    (tmp_path / 'source.json').unlink()
    shutil.copytree(tmp_path / 'train', tmp_path / 'val')
    lines = (tmp_path / 'meta/train.txt').read_text().splitlines()
    (tmp_path / 'meta/val.txt').write_text('\n'.join(reversed(lines)))
    train, test = (Images(data_root=root, split=split) for split in ('train', 'test'))
    assert len(train) == len(test) == 100 and train.metainfo['digest'] is None
    assert train[0]['img_path'] == f'{root}/train/0.JPEG'
    assert test[99]['img_path'] == f'{root}/val/0.JPEG'
    assert train.get_gt_labels().tolist() == ARRAYS['train_labels'][:100].tolist()
    (tmp_path / 'meta/val.txt').write_text('0.JPEG x\n')
    with pytest.raises(ValueError, match=r'val.txt: a line is not a file and its label'):
        Images(data_root=root, split='test')


def test_unreadable_files_are_left_out_where_asked(tmp_path, monkeypatch):
    root = str(write_photos(tmp_path / 'pets', classes=('cat', 'dog'), per_class=20))
    describe(root).write(root)
    parts = {split: Images(root, split) for split in ('train', 'test')}
    paths = {split: [i['img_path'] for i in map(p.get_data_info, range(len(p)))]
             for split, p in parts.items()}  # fmt: skip
    whole = Path(paths['train'][5]).read_bytes()
    half = len(whole) // 2  # its size stays, and so its digest
    Path(paths['train'][5]).write_bytes(whole[:half] + bytes(len(whole) - half))
    for split in paths:
        kept = Images(root, split, skip_unreadable=True)
        left = [kept.get_data_info(n)['img_path'] for n in range(len(kept))]
        assert left == [path for path in paths[split] if path != paths['train'][5]]
        assert kept.get_gt_labels().tolist() == [int('dog' in path) for path in left]
    for path in paths['test']:
        Path(path).write_bytes(bytes(Path(path).stat().st_size))
    images.unreadable.cache_clear()
    with pytest.raises(ValueError, match='not one of 4 images can be read'):
        len(Images(root, 'test', skip_unreadable=True))
    told = []
    monkeypatch.setattr(images, 'print_log', lambda text, *_: told.append(text))
    len(Images(root, skip_unreadable=True))
    assert told == [
        f"{root}, part 'train': 1 of 36 images cannot be read and are left out: {paths['train'][5]}"
    ]


def test_labels_are_numbers_of_the_classes(tmp_path):
    np.save(tmp_path / 'train_images.npy', ARRAYS['train_images'])
    np.save(tmp_path / 'train_labels.npy', ARRAYS['train_labels'])
    Source('x', 'own', ['a', 'b'], (1, 1, 1), (1, 1, 1), 16, {'train': 500}).write(tmp_path)
    with pytest.raises(ValueError, match='label 9 is none of the 2 classes of source.json'):
        len(Images(str(tmp_path)))
