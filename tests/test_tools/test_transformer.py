# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""MoCo v3's transformer behind its pretraining, by the commands of the pages.

1. Linear evaluation by the shipped recipe trains a classifier on the class token and nothing else.
2. kNN, the cached probe, few labels, export and embed take it; features are those of the backbone.
3. torchvision and timm have no place for it, nor has a detector: a line says so.
"""

import json

import numpy as np
import pytest
import torch

from nasiam_mm.cli.main import dispatch
from nasiam_mm.export import read_pretrained
from tests.forked import run_forked
from tests.reduced import ROOT, reduced
from tests.test_datasets.photos import write_photos

WIDTH = 24  # of a token, an eighth of the recipe's


def written(name, folder, epochs=1):
    """Write a reduced config."""
    cfg = reduced(name, folder / 'work', epochs=epochs)
    path = folder / f'{name.split("/")[-1]}.py'
    cfg.dump(path)
    return path


@pytest.fixture(scope='module')
def pretrained(tmp_path_factory):
    """Config and checkpoint of a pretraining of an epoch."""
    folder = tmp_path_factory.mktemp('vit')
    config = written('nasiam/mocov3_vit-tiny_baseline_cifar10', folder)
    done = run_forked(ROOT / 'tools/train.py', config)
    assert done.returncode == 0, done.stderr
    return config, folder / 'work/epoch_1.pth'


def backbone_of(path):
    state = torch.load(path, weights_only=False)['state_dict']
    return {name: value for name, value in state.items() if name.startswith('backbone.')}


def test_linear_evaluation_trains_the_classifier_alone(pretrained, tmp_path):
    config = written('benchmarks/linear/vit-tiny_cifar10_linear', tmp_path, epochs=2)
    train, test = ROOT / 'tools/train.py', ROOT / 'tools/test.py'
    done = run_forked(train, config, '--checkpoint', pretrained[1])
    assert done.returncode == 0, done.stderr
    found, expected = backbone_of(tmp_path / 'work/epoch_2.pth'), backbone_of(pretrained[1])
    assert found.keys() == expected.keys() and len(found) > 20
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    log = next((tmp_path / 'work').glob('*/*.log')).read_text()
    assert f'backbone frozen: {len(found)} of {len(found)} entries are those of' in log
    head = torch.load(tmp_path / 'work/epoch_2.pth', weights_only=False)['state_dict']
    assert head['head.fc.weight'].shape == (10, WIDTH)
    out = tmp_path / 'row.json'
    arguments = tmp_path / 'work/epoch_2.pth', '--work-dir', tmp_path / 't', '--out', out
    done = run_forked(test, config, *arguments)
    assert done.returncode == 0, done.stderr
    assert {'accuracy/top1', 'accuracy/top5'} <= json.loads(out.read_text()).keys()


def test_a_stage_that_is_not_frozen_is_refused(pretrained, tmp_path):
    config = written('benchmarks/linear/vit-tiny_cifar10_linear', tmp_path)
    one = 'model.backbone.frozen_stages=1'
    train = ROOT / 'tools/train.py'
    done = run_forked(train, config, '--checkpoint', pretrained[1], '--cfg-options', one)
    assert done.returncode == 2
    assert 'asks for a gradient; set model.backbone.frozen_stages to all' in done.stderr


def test_cached_features_few_labels_and_knn(pretrained, tmp_path):
    tool, out = ROOT / 'tools/benchmarks/evaluate_features.py', tmp_path / 'row.json'
    saved = tmp_path / 'features.npz'
    done = run_forked(
        tool, *pretrained, '--work-dir', tmp_path / 'w', '--fractions', '0.5', '--k', '3',
        '--save-features', saved, '--out', out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    row = json.loads(out.read_text())
    assert 0 <= row['knn']['val_top1'] <= 100 and 0 <= row['linear_cached']['val_top1'] <= 100
    assert [entry['fraction'] for entry in row['few_labels']] == [0.5]
    arrays = np.load(saved)
    shapes = {arrays[name].shape[1:] for name in arrays.files if arrays[name].ndim == 2}
    assert shapes == {(WIDTH,)}


def test_export_and_embed(pretrained, tmp_path, capsys):
    out = tmp_path / 'vit.pth'
    dispatch(['export', str(pretrained[1]), str(out)])
    assert 'backbone keys, mmengine layout, outputs equal' in capsys.readouterr().out
    exported = read_pretrained(out)
    assert exported.cfg['type'] == 'MoCoV3ViT'
    assert {f'backbone.{name}' for name in exported.state_dict} == backbone_of(pretrained[1]).keys()
    for layout in ('torchvision', 'timm'):
        with pytest.raises(ValueError, match='MoCoV3ViT has no counterpart in the ResNets of torc'):
            dispatch(['export', str(pretrained[1]), str(tmp_path / 'x.pth'), '--layout', layout])
    photos = write_photos(tmp_path / 'photos')
    table = tmp_path / 'e.npz'
    dispatch(['embed', str(pretrained[1]), '--data', str(photos), '--out', str(table)])
    features = np.load(table)['features']
    assert features.shape[1] == WIDTH and features.std(0).max() > 1e-3
    # Its class token, of an image of another size too.
    (token,) = exported.build()(torch.randn(2, 3, 48, 48))
    assert token.shape == (2, WIDTH)
