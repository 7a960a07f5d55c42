# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
import cv2
import numpy as np
import pytest
from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset, RepeatDataset
from torch.utils.data import DataLoader

from nasiam_mm.config_walk import walk
from nasiam_mm.datasets import CIFAR10, SplitDataset, split_indices
from nasiam_mm.datasets.split import refuse_unordered_parts
from nasiam_mm.registry import DATASETS
from tests.reduced import ROOT
from tests.test_datasets.fake_cifar import ARRAYS, MINI

HALVES = {'weights': 0.5, 'alpha': 0.5}
CIFAR = {'type': 'CIFAR10', 'data_root': str(MINI)}


@pytest.mark.parametrize(
    ('num_samples', 'parts', 'sizes'),
    [
        (10, {'a': 0.5, 'b': 0.5}, [5, 5]),
        (11, {'a': 0.5, 'b': 0.5}, [5, 5]),
        (10, {'a': 3, 'b': 7}, [3, 7]),
        (10, {'a': 3, 'b': 0.5}, [3, 5]),
        (10, {'a': 1.0}, [10]),
        (9, {'a': 1 / 3, 'b': 1 / 3, 'c': 1 / 3}, [3, 3, 3]),
        (10, {'a': 0.7, 'b': 0.2, 'c': 0.1}, [7, 2, 1]),
        # Binary fractions just below the decimal ones must not cost a sample.
        (100, {'a': 0.29, 'b': 0.57, 'c': 0.14}, [29, 57, 14]),
        (1_281_167, {'a': 0.5, 'b': 0.5}, [640_583, 640_583]),
        (7, {'a': np.int64(2), 'b': np.float64(0.5)}, [2, 3]),
        (50_000, ConfigDict(HALVES), [25_000, 25_000]),
    ],
)
def test_sizes_and_disjointness(num_samples, parts, sizes):
    split = split_indices(num_samples, parts, seed=3)
    assert list(split) == list(parts)
    assert [len(part) for part in split.values()] == sizes
    everything = np.concatenate(list(split.values()))
    assert len(np.unique(everything)) == len(everything)
    assert everything.min() >= 0 and everything.max() < num_samples


@pytest.mark.parametrize('seed', [0, 1, 2**32])
def test_parts_are_runs_of_one_permutation(seed):
    order = np.random.Generator(np.random.PCG64(seed)).permutation(20)
    split = split_indices(20, {'a': 4, 'b': 0.5}, seed)
    np.testing.assert_array_equal(split['a'], order[:4])
    np.testing.assert_array_equal(split['b'], order[4:14])
    assert split['a'].dtype == np.int64


def test_known_values_do_not_drift():
    split = split_indices(10, HALVES, seed=0)
    assert {name: part.tolist() for name, part in split.items()} == {
        'weights': [4, 6, 2, 7, 3],
        'alpha': [5, 9, 0, 8, 1],
    }


def test_the_seed_alone_decides():
    first = split_indices(100, HALVES, seed=5)
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    again = split_indices(100, HALVES, seed=5)
    assert all(np.array_equal(first[name], again[name]) for name in HALVES)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    other = split_indices(100, HALVES, seed=6)
    assert not np.array_equal(first['alpha'], other['alpha'])


def test_a_later_part_does_not_move_an_earlier_one():
    short = split_indices(100, {'a': 40}, seed=0)
    long = split_indices(100, {'a': 40, 'b': 0.6}, seed=0)
    np.testing.assert_array_equal(short['a'], long['a'])


@pytest.mark.parametrize(
    ('parts', 'seed', 'message'),
    [
        ({}, 0, "split: no parts given; write for example {'weights': 0.5, 'alpha': 0.5}"),
        (
            {'a': 6, 'b': 0.5},
            0,
            "split: parts {'a': 6, 'b': 5} need 11 samples, the data set has 10",
        ),
        ({'a': 0}, 0, "split: part 'a' of size 0 is empty (10 samples)"),
        ({'a': -3}, 0, "split: part 'a' of size -3 is empty (10 samples)"),
        ({'a': 0.05}, 0, "split: part 'a' of size 0.05 is empty (10 samples)"),
        (
            {'a': 5.0},
            0,
            "split: part 'a' is the fraction 5.0 of the data set, which is not between 0 and 1; "
            'a count is written without a point',
        ),
        (
            {'a': float('nan')},
            0,
            "split: part 'a' is the fraction nan of the data set, which is not between 0 and 1; "
            'a count is written without a point',
        ),
        ({'a': '0.5'}, 0, "split: size of part 'a' must be a number, got '0.5'"),
        ({'a': True}, 0, "split: size of part 'a' must be a number, got True"),
        ({'a': None}, 0, "split: size of part 'a' must be a number, got None"),
        (HALVES, None, 'split: seed must be an integer >= 0, got None'),
        (HALVES, -1, 'split: seed must be an integer >= 0, got -1'),
        (HALVES, True, 'split: seed must be an integer >= 0, got True'),
    ],
)
def test_errors(parts, seed, message):
    with pytest.raises(ValueError) as info:
        split_indices(10, parts, seed)
    assert str(info.value) == message


def _ids(split):
    return {split.get_data_info(i)['sample_idx'] for i in range(len(split))}


@pytest.mark.parametrize('built', [False, True])
def test_two_parts_share_no_image(built):
    whole = CIFAR10(data_root=str(MINI))
    source = whole if built else CIFAR
    parts = [SplitDataset(source, part, HALVES, seed=4) for part in HALVES]
    assert [len(part) for part in parts] == [250, 250]
    assert not _ids(parts[0]) & _ids(parts[1])
    assert _ids(parts[0]) | _ids(parts[1]) == set(range(500))
    # The wrapped data set itself is left whole, so one instance serves both parts.
    assert len(whole) == 500


def test_items_are_those_of_the_data_set():
    split = SplitDataset(CIFAR, 'alpha', HALVES, seed=1)
    expected = split_indices(500, HALVES, 1)['alpha']
    np.testing.assert_array_equal(split.indices, expected)
    np.testing.assert_array_equal(split.get_gt_labels(), ARRAYS['train_labels'][expected])
    for index in (0, 17, -1):
        row = expected[index]
        item = split[index]
        np.testing.assert_array_equal(item['img'], ARRAYS['train_images'][row])
        assert item['sample_idx'] == row
        assert split.get_cat_ids(index) == [item['gt_label']] == [ARRAYS['train_labels'][row]]
    with pytest.raises(IndexError):
        split[250]
    assert sum(1 for _ in split) == 250
    assert split.metainfo == CIFAR10(data_root=str(MINI)).metainfo
    assert split.CLASSES[0] == 'airplane'


def test_config_builds_and_loads_in_batches():
    config = {'type': 'SplitDataset', 'part': 'weights', 'parts': HALVES, 'seed': 2}
    pipeline = [{'type': 'PackInputs'}]
    split = DATASETS.build(ConfigDict({**config, 'dataset': {**CIFAR, 'pipeline': pipeline}}))
    loader = DataLoader(split, batch_size=100, collate_fn=list)
    assert [len(batch) for batch in loader] == [100, 100, 50]
    sample = split[0]
    expected = ARRAYS['train_images'][split.indices[0]].transpose(2, 0, 1)
    np.testing.assert_array_equal(sample['inputs'].numpy(), expected)
    assert sample['data_samples'].sample_idx == split.indices[0]


def test_labels_have_no_say(tmp_path):
    """Same split when every label is another, and when reading labels fails."""
    plain = SplitDataset(CIFAR10(data_root=str(MINI)), 'alpha', HALVES)
    shuffled = CIFAR10(data_root=str(MINI))
    shuffled._labels = np.roll(shuffled._labels, 123)
    np.testing.assert_array_equal(SplitDataset(shuffled, 'alpha', HALVES).indices, plain.indices)

    class NoLabels(CIFAR10):
        def get_gt_labels(self):
            pytest.fail('labels were read')

        def get_data_info(self, idx):
            pytest.fail('labels were read')

    hidden = SplitDataset(NoLabels(data_root=str(MINI)), 'alpha', HALVES)
    np.testing.assert_array_equal(hidden.indices, plain.indices)


def _write_images(folder, classes=2, each=6):
    for label in range(classes):
        (folder / f'class_{label}').mkdir(parents=True)
        for number in range(each):
            image = np.full((4, 4, 3), 10 * label + number, np.uint8)
            cv2.imwrite(str(folder / f'class_{label}' / f'{number}.png'), image)


@pytest.mark.parametrize('name', ['CustomDataset', 'ImageNet'])
def test_over_folders_of_images(tmp_path, name):
    _write_images(tmp_path / 'train')
    config = {
        'type': name,
        'data_root': str(tmp_path),
        'data_prefix': 'train',
        'pipeline': [{'type': 'LoadImageFromFile'}],
    }
    if name == 'ImageNet':
        config |= {'split': 'train', 'metainfo': {'classes': ['class_0', 'class_1']}}
    parts = [SplitDataset(config, part, HALVES, seed=1) for part in HALVES]
    paths = [{item['img_path'] for item in part} for part in parts]
    assert [len(p) for p in paths] == [6, 6] and not paths[0] & paths[1]
    for part in parts:
        labels = [item['gt_label'] for item in part]
        np.testing.assert_array_equal(part.get_gt_labels(), labels)
        assert set(labels) == {0, 1}  # not the order of files, which is that of classes
        values = [int(item['img'][0, 0, 0]) // 10 for item in part]
        assert values == labels


def test_lazy_init(tmp_path):
    config = {'type': 'CIFAR10', 'data_root': str(tmp_path), 'lazy_init': True}
    split = SplitDataset(config, 'alpha', HALVES)
    assert 'not loaded' in repr(split)
    with pytest.raises(FileNotFoundError, match='no CIFAR10 here'):
        split.full_init()
    split = SplitDataset({**CIFAR, 'lazy_init': True}, 'alpha', HALVES)
    assert not split.dataset._fully_initialized
    assert len(split) == 250 and split.dataset._fully_initialized
    assert "part 'alpha' (250 samples)" in repr(split)


def _drop_dark(results):
    return results if results['img'].mean() > 120 else None


def test_substitutes_come_from_the_same_part():
    """mmengine's own substitute comes from the whole set; across the split that breaks C3."""
    whole = CIFAR10(data_root=str(MINI), pipeline=[_drop_dark])
    np.random.seed(0)
    for part in HALVES:
        split = SplitDataset(whole, part, HALVES)
        own = set(split.indices.tolist())
        seen = [split[i]['sample_idx'] for i in range(len(split))]
        assert set(seen) <= own
        replaced = sum(a != b for a, b in zip(seen, split.indices, strict=True))
        assert replaced > 50
    # The test above could not fail if nothing were replaced across parts by mmengine.
    seen = {whole[int(i)]['sample_idx'] for i in split.indices}
    assert not seen <= own


def test_no_valid_image_at_all():
    dataset = CIFAR10(data_root=str(MINI), pipeline=[lambda results: None], max_refetch=3)
    with pytest.raises(RuntimeError) as info:
        SplitDataset(dataset, 'alpha', HALVES)[0]
    assert str(info.value) == (
        "SplitDataset: no valid image in part 'alpha' after 3 more tries; check the images and "
        'the pipeline'
    )


def test_test_mode_never_substitutes():
    dataset = CIFAR10(
        data_root=str(MINI), split='test', pipeline=[lambda results: None], test_mode=True
    )
    with pytest.raises(Exception, match='should not get `None`'):
        SplitDataset(dataset, 'a', {'a': 10})[0]


def test_wrapper_errors():
    dataset = CIFAR10(data_root=str(MINI))
    with pytest.raises(ValueError) as info:
        SplitDataset(dataset, 'val', HALVES)
    assert str(info.value) == "SplitDataset: part 'val' is not one of ['weights', 'alpha']"
    with pytest.raises(ValueError, match='need 501 samples, the data set has 500'):
        SplitDataset(dataset, 'a', {'a': 501})
    for wrong in ([1, 2], RepeatDataset(dataset, 2)):
        with pytest.raises(TypeError, match='must be a config or a BaseDataset, got <class'):
            SplitDataset(wrong, 'alpha', HALVES)
    assert isinstance(dataset, BaseDataset)


SHIPPED = sorted((ROOT / 'configs/_base_/data').glob('*.py'))


@pytest.mark.parametrize('path', SHIPPED, ids=lambda path: path.stem)
def test_a_saved_recipe_cuts_the_parts_of_the_shipped_one(path, tmp_path):
    cfg = Config.fromfile(path)
    refuse_unordered_parts(cfg)
    (tmp_path / 'saved.py').write_text(cfg.pretty_text)
    cuts = [
        [split_indices(200_000, node['parts'], 0) for node in walk(of._cfg_dict) if 'parts' in node]
        for of in (cfg, Config.fromfile(tmp_path / 'saved.py'))
    ]
    assert len(cuts[0]) == len(cuts[1])
    # A saved config has its keys in another order, and so its parts.
    told = [
        sorted(str(sorted((k, v[:3].tolist()) for k, v in cut.items())) for cut in of)
        for of in cuts
    ]
    assert told[0] == told[1]


def test_a_mapping_whose_order_would_be_lost_is_refused():
    cfg = Config({'loader': {'dataset': {'type': 'SplitDataset', 'parts': HALVES}}})
    with pytest.raises(ValueError, match=r"write parts=\[\('weights', 0.5\), \('alpha', 0.5\)\]"):
        refuse_unordered_parts(cfg)
    cfg.loader.dataset.parts = [*HALVES.items()]
    refuse_unordered_parts(cfg)
    assert split_indices(10, [*HALVES.items()], 1)['alpha'].tolist() == (
        split_indices(10, HALVES, 1)['alpha'].tolist()
    )
