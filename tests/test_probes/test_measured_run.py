# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims about measures and final images in real runs of a small SimCLR and SimSiam.

1. All measures are logged, as the trained backbone gives them; the run ends as one without.
2. Whichever head stands on a backbone, it is measured alike.
3. ``final.json`` holds what each image of ``probe.final`` was named, once, after the last epoch.
4. What cannot be measured, and final images that others have seen, are refused before training.
"""

import copy
import json
import shutil

import numpy as np
import pytest
import torch

from nasiam_mm.checks.before_training import find_problems
from nasiam_mm.config_walk import walk
from nasiam_mm.datasets import describe
from nasiam_mm.evaluation.knn import knn_ranks
from nasiam_mm.evaluation.spectrum import rankme
from nasiam_mm.probes.extract import extract_features
from nasiam_mm.probes.feature_sets import load_probed, measure
from nasiam_mm.probes.final import read_final
from nasiam_mm.probes.section import Probe
from nasiam_mm.registry import MODELS
from nasiam_mm.unread import find_unread
from tests.reduced import MINI, light, reduced
from tests.small import train

MEASURES = [
    dict(type='KNN'),
    dict(type='LinearProbe', l2=0.1),
    dict(type='RankMe'),
    dict(type='LiDAR', images=20, per_image=4),
    dict(type='AlphaReQ', last=20),
    dict(type='Alignment', images=20),
    dict(type='Uniformity'),
    dict(type='Contrast', images=20),
]
NAMES = ('knn', 'linear', 'rankme', 'lidar', 'alpha_req', 'alignment', 'uniformity', 'contrast')
PARTS = [('train', 0.2), ('val', 0.1), ('final', 0.1)]


def config(work_dir, framework='simclr', epochs=1, measures=MEASURES, final=True):
    cfg = light(reduced(f'nasiam/{framework}_r18_baseline_cifar10_demo', work_dir, epochs))
    for node in walk(cfg._cfg_dict):
        if 'parts' in node:
            node.parts = PARTS
    cfg.probe.update(interval=1, at_start=True)
    if measures:
        cfg.probe.measures = copy.deepcopy(measures)
    if final:
        cfg.probe.final = copy.deepcopy(cfg.probe.query)
        cfg.probe.final.dataset.part = 'final'
    return cfg


def logged(work_dir, prefix):
    files = sorted(work_dir.glob('*/vis_data/scalars.json'))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [row for row in rows if any(name.startswith(prefix) for name in row)]


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A run of two epochs with everything, and one without."""
    torch.set_num_threads(1)
    work_dir = tmp_path_factory.mktemp('measured')
    plain = train(config(work_dir / 'plain', epochs=2, measures=(), final=False))
    expected = {name: value.clone() for name, value in plain.model.state_dict().items()}
    states = torch.get_rng_state()
    runner = train(config(work_dir / 'all', epochs=2))
    assert torch.equal(torch.get_rng_state(), states)
    return runner, work_dir, expected


def test_all_measures_are_logged(run):
    runner, work_dir, _ = run
    rows = logged(work_dir / 'all', 'measure/')
    assert [row['epoch'] for row in rows] == [0, 1, 2]
    for row in rows:
        assert {f'measure/{name}' for name in NAMES} < row.keys()
        assert row['measure/knn'] == row['knn/val_top1']
    assert rows[0]['measure/rankme'] != rows[2]['measure/rankme']
    log = next((work_dir / 'all').glob('*/*.log')).read_text()
    lines = [line for line in log.splitlines() if 'measures [' in line]
    assert len(lines) == 3 and 'measures [2/2]  measure/knn: ' in lines[-1]
    assert f'measure/lidar: {rows[2]["measure/lidar"]:.4g}  ' in lines[-1]

    # Once more, by the tool of a finished run, and one of them by hand.
    probe = Probe(**runner.cfg.probe)
    again = measure(runner.model, probe, 'val', 0, runner.cfg)
    assert again == {name: rows[2][name] for name in again}
    query = runner.build_dataloader(probe.query)
    features = extract_features(runner.model, query, runner.cfg).features
    assert again['measure/rankme'] == rankme(features).item()


def test_the_run_ends_bit_identical_to_one_without(run):
    runner, work_dir, expected = run
    state = runner.model.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in state.items())
    [same] = [row for row in logged(work_dir / 'plain', 'knn/') if row['epoch'] == 2]
    [with_all] = [row for row in logged(work_dir / 'all', 'knn/val') if row['epoch'] == 2]
    assert same['knn/val_top1'] == with_all['knn/val_top1']
    assert not logged(work_dir / 'plain', 'measure/')
    assert not (work_dir / 'plain/final.json').exists()


def test_final_images_are_told_one_by_one(run):
    runner, work_dir, _ = run
    found = read_final(work_dir / 'all/final.json')
    sets = []
    for part in ('train', 'final'):
        loader = copy.deepcopy(runner.cfg.probe.query)
        loader.dataset.part = part
        sets.append(extract_features(runner.model, runner.build_dataloader(loader)))
    bank, images = sets
    right = (knn_ranks(*images, *bank, 10, 5, 0.1) == 0).numpy()
    assert len(right) == 50 and 0 < right.sum() < 50
    assert found['correct'].dtype == bool and (found['correct'] == right).all()
    assert found['top1'] == 100 * right.mean()
    told = {name: found[name] for name in ('images', 'k', 'temperature', 'epoch')}
    assert told == dict(images=50, k=5, temperature=0.1, epoch=2)
    [row] = logged(work_dir / 'all', 'knn/final_top1')
    assert row['knn/final_top1'] == found['top1'] and row['epoch'] == 2
    log = next((work_dir / 'all').glob('*/*.log')).read_text()
    assert f'kNN [final]  knn/final_top1: {found["top1"]:.2f}  (k 5, T 0.1, 50 images' in log


def test_heads_on_one_backbone_are_measured_alike(run):
    runner, work_dir, _ = run
    other = config(work_dir / 'other', 'simsiam')
    model = MODELS.build(other.model)
    model.init_weights()
    model.backbone.load_state_dict(runner.model.backbone.state_dict())
    values = [
        measure(network, Probe(**runner.cfg.probe), seed=seed)
        for network, seed in ((runner.model, 0), (model, 7))
    ]
    assert values[0] == values[1] and len(values[0]) == 2 + len(NAMES)


def test_a_checkpoint_is_measured_by_the_same_figures(run, tmp_path):
    _, work_dir, _ = run
    last = work_dir / 'all/epoch_2.pth'
    loaded, probe = load_probed(config(tmp_path), str(last))
    [row] = [row for row in logged(work_dir / 'all', 'measure/') if row['epoch'] == 2]
    found = measure(loaded.model, probe, seed=3, cfg=loaded.cfg)
    assert found == {name: row[name] for name in found}


@pytest.mark.parametrize('count', [1, 8, 13])
def test_a_result_is_read_as_it_was_written_or_refused(count, tmp_path):
    right = np.arange(count) % 3 == 0
    text = np.packbits(right).tobytes().hex()
    whole = dict(top1=100 * float(right.mean()), images=count, k=5, temperature=0.1, epoch=1)
    path = tmp_path / 'final.json'
    path.write_text(json.dumps({**whole, 'correct': text}))
    assert (read_final(path)['correct'] == right).all()
    for wrong in (
        {**whole, 'correct': text + '00'},
        {**whole, 'correct': 'xyz'},
        {**whole, 'correct': text, 'top1': 101},
        {**whole, 'correct': text, 'images': 'x'},
        {**whole, 'correct': text, 'images': 0},
        whole,
        [],
        {**whole, 'correct': text, 'images': 10**12},
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match=r'final.json: no result of probe.final'):
            read_final(path)


def test_a_good_config_has_no_problem(tmp_path):
    cfg = config(tmp_path / 'work')
    state = torch.get_rng_state()
    assert find_problems(cfg) == []
    assert torch.equal(torch.get_rng_state(), state) and not (tmp_path / 'work').exists()


FAULTS = {
    'unknown': ({'probe.measures': [dict(type='LiDRA')]}, "there is no measure 'LiDRA'"),
    'value': ({'probe.measures': [dict(type='LiDAR', delta=0)]}, 'LiDAR.delta must be a positive'),
    'unlabelled': (
        {'probe.labelled': False},
        'the measure KNN needs labels, which the images do not have; take it out',
    ),
    'unlabelled final': (
        {'probe.labelled': False, 'probe.measures': [dict(type='RankMe')]},
        'probe.final needs labels',
    ),
    'nothing': (
        {'probe.labelled': False, 'probe.measures': [], 'probe.final': None},
        'leaves nothing to measure',
    ),
    'bank': (
        {'probe.final.dataset.part': 'train'},
        '100 images are both in probe.bank and in probe.final',
    ),
    'query': (
        {'probe.final.dataset.part': 'val'},
        '50 images are both in probe.query and in probe.final',
    ),
    'shuffled': (
        {'probe.final.sampler.shuffle': True},
        'probe.final is told image by image, in order; set probe.final.sampler.shuffle=False',
    ),
    'test': (
        {'probe.final.dataset.dataset.split': 'test', 'probe.final.dataset.parts': PARTS},
        'probe.final reads the test split',
    ),
}


@pytest.mark.parametrize('kind', FAULTS)
def test_what_cannot_be_is_one_line_before_training(kind, tmp_path):
    changes, message = FAULTS[kind]
    cfg = config(tmp_path)
    cfg.merge_from_dict(changes)
    if kind == 'test':
        cfg.probe.final.dataset = cfg.probe.final.dataset.dataset
    [line] = find_problems(cfg)
    assert message in line and '\n' not in line
    with pytest.raises(ValueError, match=message.split(';')[0]):
        train(cfg)
    assert not list(tmp_path.glob('*.pth'))


def test_final_images_decide_no_alpha(tmp_path):
    cfg = light(reduced('nasiam/simclr_r18_search_cifar10_demo', tmp_path / 'work'))
    cfg.probe.final = copy.deepcopy(cfg.probe.query)
    cfg.probe.final.dataset.part = 'alpha'
    [line] = find_problems(cfg)
    assert '100 images of probe.final are in default_hooks.alpha_step.dataloader too' in line
    for node in walk(cfg._cfg_dict):
        if 'parts' in node:
            node.parts = [*node.parts, ('final', 0.1)]
    cfg.probe.final.dataset.part = 'final'
    assert find_problems(cfg) == []


def test_data_without_labels_are_measured_by_what_needs_none(tmp_path):
    data = tmp_path / 'data'
    data.mkdir()
    shutil.copy(f'{MINI}/train_images.npy', data)
    describe(data).write(data)

    def unlabelled(measures):
        cfg = config(tmp_path / 'work', measures=measures, final=False)
        cfg.data.root = str(data)
        cfg.runner_type = 'NasiamRunner'
        return cfg

    [line] = find_problems(unlabelled(MEASURES))
    assert 'the measure KNN needs labels, which the images do not have' in line
    free = [m for m in MEASURES if m['type'] not in ('KNN', 'LinearProbe')]
    assert find_problems(unlabelled(free)) == []
    train(unlabelled(free))
    rows = logged(tmp_path / 'work', 'measure/')
    assert [row['epoch'] for row in rows] == [0, 1]
    assert {f'measure/{name}' for name in NAMES[2:]} < rows[1].keys()
    assert not logged(tmp_path / 'work', 'knn/')
    log = next((tmp_path / 'work').glob('*/*.log')).read_text()
    assert 'has no labels, so the probe takes its measures alone' in log and 'kNN [' not in log


def test_an_option_that_no_measure_reads_is_refused(tmp_path):
    cfg = config(tmp_path, measures=[dict(type='LiDAR', imagse=9), dict(type='RankMe', x=1)])
    first, second = find_unread(cfg)
    assert first == "nothing reads 'probe.measures.0.imagse'; did you mean images?"
    assert "nothing reads 'probe.measures.1.x'" in second
