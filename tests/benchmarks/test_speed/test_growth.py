# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Benchmarks of what grows: the probes' memory, a search's record, the demo's iteration.

1. What a probe makes counts beside its features; memory that a file stands behind does not.
2. The plain side of the demo differs in its loader and its optimizer alone, and trains alike.
3. A size that fails is reported; epochs are timed one by one and told by their mean.
"""

import mmap
import statistics
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.speed import demo, histories, scale
from benchmarks.speed.search import Iteration
from benchmarks.speed.setup import Setup, write_images

ROOT = Path(__file__).parents[3]


def test_features_and_the_copy_of_them_are_held_against_32_gb(monkeypatch):
    monkeypatch.setattr(scale, '_peak', lambda probe, rows, width: 2.0)
    linear = scale.measure_scale(Setup(str(ROOT), 'unused', divisor=8))[1]
    copy, both = (linear.samples_of(ratio)[0] for ratio in linear.ratios)
    features = 4000 * 64 * 4 / 2**20
    assert copy == 2 / features
    assert both == pytest.approx((2 + features) * 2**20 / 32e9)


def test_memory_behind_a_file_is_not_counted(tmp_path):
    np.save(tmp_path / 'rows.npy', np.ones(2**23, np.float32))  # 32 MiB
    with scale.Anonymous() as mapped:
        total = np.load(tmp_path / 'rows.npy', mmap_mode='r').sum()
    with scale.Anonymous() as made:
        # Of the system's own pages: NumPy may be given some that were freed before.
        pages = mmap.mmap(-1, 2**25, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        own = np.frombuffer(pages, np.float32)
        own.fill(1)
        time.sleep(0.1)
    assert total == own.sum() == 2**23
    assert mapped.grown < 8 and 28 < made.grown < 48


def test_the_plain_side_of_the_demo_trains_alike(tmp_path):
    torch.set_num_threads(1)
    write_images(tmp_path, 1000)
    setup = Setup(str(ROOT), str(tmp_path), divisor=8, images=1000)
    cfgs = {side: demo.demo_config(setup, side) for side in (demo.SHIPPED, demo.PLAIN)}
    kinds = {side: cfg.train_dataloader.dataset.type for side, cfg in cfgs.items()}
    assert kinds == {demo.SHIPPED: 'ResidentDataset', demo.PLAIN: 'ReplayDataset'}
    options = [cfg.optim_wrapper.optimizer for cfg in cfgs.values()]
    assert [each.get('foreach', False) for each in options] == [False, True]
    ends = []
    for number, cfg in enumerate(cfgs.values()):
        torch.manual_seed(0)
        cfg.randomness = dict(seed=0)
        run = Iteration(cfg, 'cpu', str(tmp_path / f'demo_growth_{number}'))
        for _ in range(2):
            run()
        ends.append(torch.cat([p.detach().flatten() for p in run.model.parameters()]))
    assert (ends[0] - ends[1]).abs().max() < 1e-5


def test_a_peak_is_told_by_size_and_one_that_fails_is_reported(monkeypatch):
    peaks = {(scale.KNN, 2000): 5.0, (scale.KNN, 4000): 6.0, (scale.LINEAR, 2000): 9.0}

    def peak(probe, rows, width):
        if (probe, rows) not in peaks:
            raise RuntimeError('killed')
        return peaks[probe, rows]

    monkeypatch.setattr(scale, '_peak', peak)
    knn, linear = scale.measure_scale(Setup(str(ROOT), 'unused', divisor=8))
    assert knn.samples_of(knn.ratios[0]) == [6 / (4000 * 64 * 4 / 2**20)] and not knn.not_run
    assert linear.not_run == {'peak, 4,000': 'killed'} and not linear.ratios
    assert linear.sides['features, 4,000'].samples == [4000 * 64 * 4 / 2**20]


def test_a_fit_makes_its_copy_of_the_features_and_knn_next_to_nothing():
    # In fresh processes, as the benchmark does: one that has run tests reuses what they freed.
    assert scale._peak(scale.KNN, 62_500, 64) < 16 + 40
    assert 39 <= scale._peak(scale.LINEAR, 160_000, 64) < 39 + 200


def test_the_record_of_a_search_is_timed_epoch_by_epoch(tmp_path):
    torch.set_num_threads(1)
    write_images(tmp_path, 1000)
    setup = Setup(str(ROOT), str(tmp_path), batch_size=8, divisor=8, images=1000)
    [found] = histories.measure_histories(setup)
    parts = [side.samples[0] for name, side in found.sides.items() if ', epochs ' in name]
    record, one = found.sides[histories.RECORD].samples[0], found.sides['48 iterations'].samples
    assert len(parts) == 4 and record == pytest.approx(sum(parts) / 4) and record > 0
    by_name = {ratio.name: found.samples_of(ratio) for ratio in found.ratios}
    assert by_name['record and drawing / iterations'] == [record / statistics.median(one)]
    assert by_name['record and drawing / an epoch of 2 s'] == [record / 2]
    assert len(by_name['health / iterations']) == len(one) == 4
