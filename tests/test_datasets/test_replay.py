# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: samples are functions of (seed, pass, image); walks can start anywhere (C3, C6)."""

import random
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from torch.utils.data import DataLoader, Dataset

from nasiam_mm.datasets import replay
from nasiam_mm.datasets.replay import ReplayDataset, ReplaySampler, endless_batches, view_seeds
from nasiam_mm.registry import TRANSFORMS
from tests.reduced import MINI


class Noise(Dataset):
    """Returns the index and a draw of each generator."""

    metainfo = {'name': 'noise'}

    def __init__(self, length=10):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        draws = [random.random(), float(np.random.rand()), float(torch.rand(()))]
        return dict(index=index, draws=torch.tensor(draws))


def loader(dataset=None, batch_size=3, seed=0, **kwargs):
    dataset = ReplayDataset(dataset or Noise(), with_view_seed=True)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=ReplaySampler(dataset, seed=seed),
        drop_last=True,
        **kwargs,
    )


def take(batches, number):
    return [next(batches) for _ in range(number)]


def test_each_pass_is_a_new_permutation_without_replacement():
    sampler = ReplaySampler(Noise(50), seed=3)
    passes = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        passes.append([index for index, _ in sampler])
    assert all(sorted(indices) == list(range(50)) for indices in passes)
    assert passes[0] != passes[1] != passes[2]
    assert passes[0] == [index for index, _ in ReplaySampler(Noise(50), seed=3)]


def test_seeds_differ_over_seed_stream_pass_and_image():
    seeds = view_seeds(*np.ogrid[:4, :2, :5, :50])
    assert len(np.unique(seeds)) == 4 * 2 * 5 * 50
    assert seeds.min() >= 0


def scalar_seed(*numbers):
    """Mix with Python's own integers."""
    mixed, mask = 0, 2**64 - 1
    for number in numbers:
        mixed = (mixed + number + 0x9E3779B97F4A7C15) & mask
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
        mixed ^= mixed >> 31
    return mixed >> 1


def test_seeds_are_those_of_splitmix64():
    sampler = ReplaySampler(Noise(20), seed=2**31 + 7, stream=1)
    sampler.set_epoch(799)
    assert all(seed == scalar_seed(2**31 + 7, 1, 799, index) for index, seed in sampler)


@pytest.mark.parametrize('drawn', [0, 1, 2, 3, 4, 7, 11])
@pytest.mark.parametrize('workers', [0, 2])
def test_walk_goes_on_from_anywhere(drawn, workers):
    whole = take(endless_batches(loader()), 14)
    rest = take(endless_batches(loader(num_workers=workers), drawn), 14 - drawn)
    for expected, batch in zip(whole[drawn:], rest, strict=True):
        assert expected.keys() == batch.keys()
        for key in expected:
            assert torch.equal(expected[key], batch[key]), key


def test_views_of_an_image_differ_between_passes():
    first, second = take(endless_batches(loader(Noise(3))), 2)
    order = [first['index'].argsort(), second['index'].argsort()]
    assert not torch.equal(first['draws'][order[0]], second['draws'][order[1]])


def test_the_generators_of_the_process_are_left_alone():
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    ReplayDataset(Noise())[(0, 5)]
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()
    assert torch.equal(torch.get_rng_state(), states[2])


@pytest.mark.parametrize('length', [8, 9, 11])
def test_two_processes_draw_the_batch_of_one(length, monkeypatch):
    def batches(rank, world_size, batch_size):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (rank, world_size))
        keys = list(ReplaySampler(Noise(length), seed=1))
        number = len(keys) // batch_size
        return [set(keys[n * batch_size : (n + 1) * batch_size]) for n in range(number)]

    one = batches(0, 1, 4)
    two = [batches(rank, 2, 2) for rank in range(2)]
    assert len(one) == len(two[0]) == len(two[1])
    assert [a | b for a, b in zip(*two, strict=True)] == one


@TRANSFORMS.register_module()
class EchoSeed(BaseTransform):
    """Records the seed that it found, and a draw."""

    def transform(self, results):
        return dict(found=results['view_seed'], index=results['index'], drawn=random.random())


def test_own_pipeline_finds_the_seed_and_is_replayed():
    dataset = ReplayDataset(Noise(), pipeline=[dict(type='EchoSeed')])
    sample = dataset[(4, 99)]
    assert (sample['found'], sample['index']) == (99, 4) and 'view_seed' not in sample
    assert dataset[(4, 99)] == sample != dataset[(4, 98)]
    passed_on = ReplayDataset(Noise(), with_view_seed=True, pipeline=[dict(type='EchoSeed')])
    assert passed_on[(4, 99)] == dict(sample, view_seed=99)


def test_stock_sampler_is_refused():
    with pytest.raises(TypeError, match='ReplayDataset needs the keys of ReplaySampler'):
        ReplayDataset(Noise())[3]


def test_what_draws_nothing_is_not_seeded(tmp_path, monkeypatch):
    seeds = []
    monkeypatch.setattr(replay, 'seeded', lambda seed: seeds.append(seed) or nullcontext())
    files = dict(type='CIFAR10', data_root=MINI, split='train', pipeline=[])
    crops = [dict(type='DecodeCrops', views=dict(size=8)), dict(type='PackInputs')]
    still = replay.ReplayDataset(files, with_view_seed=True, pipeline=crops)
    first = still[3, 11]
    assert seeds == []
    torch.manual_seed(99)
    assert torch.equal(still[3, 11]['inputs'], first['inputs'])
    flipped = replay.ReplayDataset(
        files, with_view_seed=True, pipeline=[dict(type='RandomFlip', prob=0.5), *crops]
    )
    _ = flipped[3, 11]
    assert seeds == [11]


@pytest.mark.parametrize('shuffle', [True, False])
def test_a_walk_makes_no_list_of_the_images(shuffle, monkeypatch):
    sizes = []
    honest = replay.view_seeds
    monkeypatch.setattr(
        replay, 'view_seeds', lambda *a: sizes.append(len(a[-1])) or honest(*a)
    )  # fmt: skip
    keys = list(ReplaySampler(range(100_000), shuffle=shuffle, seed=3))
    assert sorted(row for row, _ in keys) == list(range(100_000))
    assert len({seed for _, seed in keys}) == 100_000
    assert max(sizes) <= 2**14
