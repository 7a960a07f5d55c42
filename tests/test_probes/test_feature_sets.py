# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Features of a checkpoint, and the tools that work on them.

1. The parts are those of the probe section, or a cut of the training split; they share no image.
2. The features are the frozen backbone's, pooled; the tool's figures are recomputed from the
   file that it saves.
3. Pictures are drawn from the images that the indices name.
"""

import json
import runpy
import sys

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from nasiam_mm.probes.feature_sets import read_feature_sets
from nasiam_mm.probes.section import read_probe
from nasiam_mm.registry import MODELS
from tests.reduced import MINI, ROOT, reduced

image_of = runpy.run_path(str(ROOT / 'tools/analysis_tools/nearest_neighbours.py'))['image_of']

BASELINE = 'nasiam/simclr_r18_baseline_cifar10_demo'


def small(folder):
    cfg = reduced(BASELINE, folder / 'work')
    # Wide enough that no two images are alike.
    cfg.model.backbone.update(stem_channels=8, base_channels=8)
    cfg.model.neck.in_channels = 64
    cfg.optim_wrapper.type = 'OptimWrapper'  # float32, also on a CPU that has bfloat16
    return cfg


@pytest.fixture(scope='module')
def pretrained(tmp_path_factory):
    """A config and a checkpoint of it whose BatchNorm has seen data."""
    folder = tmp_path_factory.mktemp('pretrained')
    cfg = small(folder)
    config = folder / 'config.py'
    cfg.dump(config)
    init_default_scope('nasiam_mm')  # a fixture of the module comes before each test's
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    model.init_weights()
    model.backbone(torch.randn(16, 3, 32, 32))
    checkpoint = folder / 'epoch_1.pth'
    meta = {'cfg': cfg.pretty_text}
    torch.save({'meta': meta, 'state_dict': model.state_dict()}, checkpoint)
    model.eval()
    return config, checkpoint, model.backbone


def test_features_are_the_pooled_maps_of_the_frozen_backbone(pretrained, tmp_path):
    _, checkpoint, backbone = pretrained
    cfg = small(tmp_path)
    sets = read_feature_sets(cfg, str(checkpoint), with_test=True)
    images = np.load(f'{MINI}/test_images.npy')
    mean, std = (np.array(cfg.model.data_preprocessor[name]) for name in ('mean', 'std'))
    inputs = torch.from_numpy((images - mean) / std).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        expected = backbone(inputs)[-1].mean((2, 3))
    torch.testing.assert_close(sets.test.features, expected, atol=1e-4, rtol=1e-4)
    assert sets.test.labels.tolist() == np.load(f'{MINI}/test_labels.npy').tolist()
    assert sets.num_classes == 10


def test_parts_are_those_of_the_section_and_share_no_image(pretrained, tmp_path):
    cfg = small(tmp_path)
    parts = cfg.probe.bank.dataset.part, cfg.probe.query.dataset.part
    sets = read_feature_sets(cfg, str(pretrained[1]))
    assert sets.test is None
    assert (sets.datasets['train'].part, sets.datasets['val'].part) == parts
    shared = set(sets.datasets['train'].indices) & set(sets.datasets['val'].indices)
    assert not shared
    assert (len(sets.train.labels), len(sets.val.labels)) == (100, 100)


def test_the_80_20_split_is_of_the_whole_training_split(pretrained, tmp_path):
    sets = read_feature_sets(small(tmp_path), str(pretrained[1]), val_fraction=0.2)
    indices = [set(sets.datasets[part].indices.tolist()) for part in ('train', 'val')]
    assert [len(part) for part in indices] == [400, 100]
    assert indices[0] | indices[1] == set(range(500))


def test_a_labelled_image_must_not_validate(pretrained, tmp_path):
    cfg = small(tmp_path)
    cfg.probe.query.dataset.seed = 1
    with pytest.raises(ValueError, match='images are both labelled and for validation'):
        read_feature_sets(cfg, str(pretrained[1]))


def test_what_cannot_be_read_is_refused(pretrained, tmp_path):
    cfg = small(tmp_path)
    with pytest.raises(ValueError, match='between 0 and 1, got 1.5'):
        read_probe(cfg).recut(1.5)
    other = small(tmp_path)
    other.model.neck.hid_channels = 17
    with pytest.raises(ValueError, match='is not of config') as caught:
        read_feature_sets(other, str(pretrained[1]))
    assert '\n' not in str(caught.value)
    other = reduced('nasiam/simsiam_r18_baseline_cifar10_demo', tmp_path / 'other')
    with pytest.raises(ValueError, match='it is of model SimCLR, and the config of SimSiam'):
        read_feature_sets(other, str(pretrained[1]))
    cfg.probe = None
    with pytest.raises(ValueError, match='has no probe section'):
        read_feature_sets(cfg, str(pretrained[1]))


def test_images_are_those_of_the_index(pretrained, tmp_path):
    sets = read_feature_sets(small(tmp_path), str(pretrained[1]))
    part = sets.datasets['val']
    expected = np.load(f'{MINI}/train_images.npy')[part.indices[7]]
    assert np.array_equal(image_of(part, 7), expected)


def run_tool(name, *argv):
    runpy.run_path(str(ROOT / 'tools' / name), run_name='tool')['main'](list(map(str, argv)))


def test_the_tool_prints_what_its_features_give(pretrained, tmp_path, capsys):
    out, saved = tmp_path / 'row.json', tmp_path / 'features.npz'
    run_tool(
        'benchmarks/evaluate_features.py', *pretrained[:2], '--work-dir', tmp_path / 'w',
        '--split', 'test', '--k', 3, 7, '--temperature', 0.1, '--l2', 0.01, 0.1,
        '--fractions', 0.5, '--label-seeds', 0, '--out', out, '--save-features', saved,
    )  # fmt: skip
    printed = capsys.readouterr().out.splitlines()
    found = json.loads(printed[-1])
    assert json.loads(out.read_text()) == found
    assert found['sizes'] == {'train': 100, 'val': 100, 'test': 50}
    assert set(tmp_path.iterdir()) == {out, saved, tmp_path / 'w'}
    arrays = np.load(saved)

    # By hand: a vote of the k nearest weighted by exp(cosine / T).
    def unit(part):
        features = arrays[f'{part}_features'].astype(np.float64)
        return features / np.linalg.norm(features, axis=1, keepdims=True)

    def top1(part, k):
        cosine = unit(part) @ unit('train').T
        hits = 0
        for line, label in zip(cosine, arrays[f'{part}_labels'], strict=True):
            nearest = np.argsort(-line, kind='stable')[:k]
            votes = np.bincount(
                arrays['train_labels'][nearest], np.exp(line[nearest] / 0.1), minlength=10
            )
            hits += votes.argmax() == label
        return 100 * hits / len(cosine)

    sweep = {k: top1('val', k) for k in (3, 7)}
    assert found['knn']['sweep'] == [[k, 0.1, pytest.approx(value)] for k, value in sweep.items()]
    assert found['knn']['k'] == max(sweep, key=sweep.get)
    assert found['knn']['test_top1'] == pytest.approx(top1('test', found['knn']['k']))


def test_the_tool_reads_no_test_image_unless_asked(pretrained, tmp_path, capsys, monkeypatch):
    from nasiam_mm.datasets import Images

    splits = []
    load = Images.load_data_list
    monkeypatch.setattr(
        Images, 'load_data_list', lambda self: (splits.append(self.split), load(self))[1]
    )
    argv = ('benchmarks/evaluate_features.py', *pretrained[:2], '--work-dir', tmp_path, '--k', 3,
            '--temperature', 0.1, '--l2', 0.1, '--fractions')  # fmt: skip
    run_tool(*argv)
    assert set(splits) == {'train'}
    assert 'test' not in capsys.readouterr().out.splitlines()[-1]


def test_neighbours_are_drawn(pretrained, tmp_path, capsys):
    run_tool(
        'analysis_tools/nearest_neighbours.py', *pretrained[:2], '--work-dir', tmp_path,
        '--split', 'val', '--neighbours', 2,
    )  # fmt: skip
    assert (tmp_path / 'neighbours.png').stat().st_size > 10000
    assert 'of the class of their image' in capsys.readouterr().out


def test_the_map_says_what_it_needs(pretrained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn.manifold', None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'nasiam_mm\[analysis\]'") as caught:
        run_tool('analysis_tools/embedding_map.py', *pretrained[:2], '--work-dir', tmp_path,
                 '--split', 'val')  # fmt: skip
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'map.png').exists()
