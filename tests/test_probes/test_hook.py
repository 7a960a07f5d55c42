# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims about the probe in training, in real runs of a small SimSiam.

1. It evaluates at the right moments and records what an independent computation gives.
2. A run with it ends bit-identical to one without; a resumed run does not repeat the start.
3. The test set is read only when the config says so (C10); wrong configs fail before training.
"""

import copy
import json
import random

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub

from nasiam_mm.evaluation.knn import knn_accuracy
from nasiam_mm.probes.section import Probe
from tests.test_engine.toy_siamese import MEAN, STD, Blobs, build_runner, loader_cfg


def section(**changes):
    return {
        'bank': loader_cfg(size=40, seed=0),
        'query': loader_cfg(size=21, seed=1),
        'k': 3,
        **changes,
    }


def train(work_dir, probe, max_epochs, **changes):
    hooks = [{'type': 'ProbeHook'}]
    runner = build_runner(work_dir, hooks, max_epochs, probe=probe, **changes)
    runner.train()
    return runner


def knn_rows(work_dir):
    """The lines of every scalars.json that hold a kNN figure, in order."""
    files = sorted(work_dir.glob('*/vis_data/scalars.json'))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [row for row in rows if any(name.startswith('knn/') for name in row)]


def expected_features(model, dataset):
    """Normalise, run and pool by hand, whole set at once."""
    backbone = copy.deepcopy(model.backbone).eval()
    images = (dataset.images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        return backbone(images)[-1].flatten(2).mean(2)


def test_evaluates_at_start_every_interval_and_last(tmp_path):
    runner = train(tmp_path, section(interval=3), max_epochs=4)
    rows = knn_rows(tmp_path)
    assert [(row['epoch'], row['step']) for row in rows] == [(0, 0), (3, 21), (4, 28)]
    history, _ = MessageHub.get_current_instance().get_scalar('knn/val_top1').data
    assert history.tolist() == [row['knn/val_top1'] for row in rows]

    # The last row, recomputed from the trained backbone.
    bank, query = Blobs(40, seed=0), Blobs(21, seed=1)
    expected = knn_accuracy(
        expected_features(runner.model, query),
        query.labels,
        expected_features(runner.model, bank),
        bank.labels,
        num_classes=7,
        k=3,
    )
    assert {name: rows[-1][f'knn/val_{name}'] for name in ('top1', 'top5')} == expected
    assert expected['top1'] > 30  # colours tell the classes apart

    log = next(tmp_path.glob('*/*.log')).read_text()
    lines = [line for line in log.splitlines() if 'kNN [' in line]
    assert len(lines) == 3
    assert f'kNN [4/4]  knn/val_top1: {expected["top1"]:.2f}' in lines[-1]
    assert '(k 3, T 0.1, bank 40, query 21)' in lines[-1]


def test_can_leave_the_start_out(tmp_path):
    train(tmp_path, section(at_start=False), max_epochs=2)
    assert [row['epoch'] for row in knn_rows(tmp_path)] == [1, 2]


def test_run_with_the_hook_ends_bit_identical(tmp_path):
    plain = build_runner(tmp_path / 'plain', [], 2)
    plain.train()
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    loss = plain.message_hub.get_scalar('train/loss').data[0]
    measured = train(tmp_path / 'measured', section(), max_epochs=2)
    assert len(knn_rows(tmp_path / 'measured')) == 3

    assert np.array_equal(measured.message_hub.get_scalar('train/loss').data[0], loss)
    expected = plain.model.state_dict()
    assert all(torch.equal(v, expected[name]) for name, v in measured.model.state_dict().items())
    assert random.getstate() == states[0]
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), states[1], strict=True))
    assert torch.equal(torch.get_rng_state(), states[2])


def test_resumed_run_does_not_repeat_the_start(tmp_path):
    train(tmp_path, section(), max_epochs=1)
    runner = train(tmp_path, section(), 2, resume=True, load_from=str(tmp_path / 'epoch_1.pth'))
    assert [row['epoch'] for row in knn_rows(tmp_path)] == [0, 1, 2]
    # The checkpoint of an epoch holds the figure of that epoch.
    assert len(runner.message_hub.get_scalar('knn/val_top1').data[0]) == 3


def test_test_set_only_when_said_so(tmp_path):
    query = loader_cfg(size=21, seed=1, split='test')
    with pytest.raises(ValueError, match='probe.query reads the test split'):
        train(tmp_path / 'silent', section(query=query), max_epochs=1)
    assert not list((tmp_path / 'silent').glob('*.pth'))

    wrapped = copy.deepcopy(query)
    wrapped['dataset'] = {'type': 'RepeatDataset', 'dataset': query['dataset'], 'times': 1}
    with pytest.raises(ValueError, match='probe.query reads the test split'):
        train(tmp_path / 'wrapped', section(query=wrapped), max_epochs=1)

    said = section(query=query, split='test', at_start=False)
    train(tmp_path / 'said', said, max_epochs=1)
    (row,) = knn_rows(tmp_path / 'said')
    assert {name for name in row if 'knn' in name} == {'knn/test_top1', 'knn/test_top5'}


@pytest.mark.parametrize('at_start', [True, False])
def test_k_beyond_the_bank_fails_before_training(tmp_path, at_start):
    with pytest.raises(ValueError, match='probe.k = 41 exceeds the 40 images of probe.bank'):
        train(tmp_path, section(k=41, at_start=at_start), max_epochs=1)
    assert 'train/loss' not in MessageHub.get_current_instance().log_scalars


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'split': 'train'}, "must be 'val' or 'test', got 'train'"),
        ({'k': 0}, 'probe.k must be a whole number from 1, got 0'),
        ({'interval': 0}, 'probe.interval must be a whole number from 1, got 0'),
        ({'chunk_size': 1.5}, 'probe.chunk_size must be a whole number from 1, got 1.5'),
        ({'bank_block': 0}, 'probe.bank_block must be a whole number from 1, got 0'),
    ],
)
def test_impossible_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        Probe(**section(**change))


def test_measures_that_cannot_be_taken_fail_before_training(tmp_path):
    with pytest.raises(ValueError, match='LiDAR needs views, which SelfSupDataPreprocessor'):
        train(tmp_path, section(measures=[{'type': 'LiDAR'}], at_start=False), max_epochs=1)
    assert 'train/loss' not in MessageHub.get_current_instance().log_scalars
    final = section(final=loader_cfg(size=9, split='test'), at_start=False)
    with pytest.raises(ValueError, match='probe.final reads the test split'):
        train(tmp_path, final, max_epochs=1)
    assert 'train/loss' not in MessageHub.get_current_instance().log_scalars


def test_measures_of_plain_images_need_no_views(tmp_path):
    train(tmp_path, section(measures=[{'type': 'RankMe'}, {'type': 'Uniformity'}]), max_epochs=1)
    for row in knn_rows(tmp_path):
        assert row['measure/rankme'] > 1 and row['measure/uniformity'] < 0


def test_without_a_section_nothing_is_measured(tmp_path):
    train(tmp_path, None, max_epochs=1)
    assert knn_rows(tmp_path) == []
