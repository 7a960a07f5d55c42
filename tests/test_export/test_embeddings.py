# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: the features of a folder are those that a run's probe sees, each beside its file.

1. They equal what ``extract_features`` gives for the same images to rounding, in any batches.
2. A run's folder stands for its last whole checkpoint; no config is run.
3. Every format holds the same numbers; what cannot be written is said before anything is read.
"""

import csv
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from nasiam_mm.cli.main import dispatch
from nasiam_mm.datasets import resolve_data
from nasiam_mm.export.embeddings import embed, find_run_checkpoint
from nasiam_mm.export.tables import write_embeddings
from nasiam_mm.presets import Machine
from nasiam_mm.presets.preparing import Asked, prepare
from nasiam_mm.probes.extract import extract_features
from nasiam_mm.registry import MODELS
from tests.test_datasets.photos import write_mixed

BACKBONE = dict(type='ResNet_CIFAR', depth=18, base_channels=8, stem_channels=8)
CPU = Machine('cpu', 8.0, 2, False)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Recipes for photographs, a model of them, and a checkpoint in the form of a run's."""
    folder = tmp_path_factory.mktemp('made')
    photos = write_mixed(folder / 'photos')
    prepared = prepare(folder / 'out', Asked(str(photos), 'simclr', BACKBONE), CPU)
    cfg = Config.fromfile(prepared.files['baseline'])
    resolve_data(cfg)
    with DefaultScope.overwrite_default_scope('nasiam_mm'):
        model = MODELS.build(cfg.model)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    run = folder / 'out/baseline'
    run.mkdir()
    meta = dict(cfg=cfg.pretty_text, epoch=3, iter=9)
    state = dict(meta=meta, state_dict=model.state_dict(), optimizer={}, message_hub={})
    torch.save(state, run / 'epoch_3.pth')
    return photos, prepared.out, cfg, model


def test_features_are_those_of_the_probe(made):
    photos, out, cfg, model = made
    loader = Runner.build_dataloader(
        dict(cfg.probe.bank, dataset=cfg.probe.bank.dataset.dataset, batch_size=5)
    )
    theirs = extract_features(model, loader, cfg).features.numpy()
    ours = embed(out, photos, batch_size=7)
    assert ours.features.shape == (36, 64) and ours.features.dtype == np.float32
    assert ours.checkpoint == out / 'baseline/epoch_3.pth' and not ours.left_out
    paths = [loader.dataset[n]['data_samples'].img_path for n in range(len(loader.dataset))]
    rows = [ours.files.index(str(path).split('/train/')[1]) for path in paths]
    np.testing.assert_allclose(ours.features[rows], theirs, rtol=0, atol=2e-6)
    assert ours.features.std(0).max() > 1e-3  # which rounding cannot pass for
    assert ours.labels == tuple(name.split('/')[0] for name in ours.files)
    np.testing.assert_allclose(embed(out, photos, 36).features, ours.features, atol=2e-6)


def test_a_flat_folder_has_no_labels_and_broken_files_are_named(made, tmp_path):
    photos, out, *_ = made
    for number, path in enumerate(sorted(photos.glob('cat/*.*'))):
        (tmp_path / f'{number}{path.suffix}').write_bytes(path.read_bytes())
    whole = embed(out / 'baseline', tmp_path)
    assert whole.labels is None and len(whole.files) == 8
    (tmp_path / 'x.png').write_text('no image')
    with pytest.raises(ValueError, match=r'1 file is no image that can be read: .*x\.png'):
        embed(out, tmp_path)
    less = embed(out, tmp_path, skip_unreadable=True)
    assert less.left_out == (str(tmp_path / 'x.png'),)
    assert less.files == whole.files and np.array_equal(less.features, whole.features)


def test_the_formats_hold_the_same(made, tmp_path, capsys):
    photos, out, *_ = made
    for name in ('e.npz', 'e.csv'):
        dispatch(['embed', str(out), '--data', str(photos), '--out', str(tmp_path / name)])
    assert '36 images, 64 features each, 3 labels' in capsys.readouterr().out
    arrays = np.load(tmp_path / 'e.npz')
    with (tmp_path / 'e.csv').open() as file:
        head, *rows = csv.reader(file)
    assert head[:3] == ['file', 'label', 'f0'] and len(head) == 66
    assert [row[0] for row in rows] == arrays['files'].tolist()
    assert [row[1] for row in rows] == arrays['labels'].tolist()
    assert np.array_equal(np.array([r[2:] for r in rows], np.float32), arrays['features'])


def test_parquet(made, tmp_path):
    parquet = pytest.importorskip('pyarrow.parquet')
    found = embed(made[1], made[0])
    write_embeddings(found, tmp_path / 'e.parquet')
    table = parquet.read_table(tmp_path / 'e.parquet').to_pydict()
    assert tuple(table['file']) == found.files and tuple(table['label']) == found.labels
    assert np.array_equal(np.array(table['features'], np.float32), found.features)


def test_without_pyarrow_it_is_said_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    monkeypatch.setitem(sys.modules, 'pyarrow.parquet', None)
    argv = ['embed', 'nothing', '--data', 'nowhere', '--out']
    with pytest.raises(ModuleNotFoundError, match=r'pip install pyarrow, or give .*\.npz or \.csv'):
        dispatch([*argv, str(tmp_path / 'e.parquet')])
    with pytest.raises(ValueError, match='must end in .npz, .csv, .parquet'):
        dispatch([*argv, str(tmp_path / 'e.txt')])


def test_what_is_no_run_is_refused(made, tmp_path):
    photos, out, cfg, model = made
    with pytest.raises(FileNotFoundError, match='holds no whole checkpoint of a run'):
        find_run_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match='no folder of images'):
        embed(out, tmp_path / 'nowhere')
    other = Config(cfg.to_dict())
    del other.model.data_preprocessor['mean']
    state = dict(meta=dict(cfg=other.pretty_text), state_dict=model.state_dict())
    torch.save(state, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='does not tell the size, mean and std of views'):
        embed(tmp_path / 'a.pth', photos)


def test_export_takes_a_run_too(made, tmp_path, capsys):
    dispatch(['export', str(made[1]), str(tmp_path / 'b.pth')])
    assert 'backbone keys, mmengine layout, outputs equal' in capsys.readouterr().out
    weights = torch.load(tmp_path / 'b.pth', weights_only=True)['state_dict']
    assert torch.equal(weights['backbone.conv1.weight'], made[3].backbone.conv1.weight)


def test_a_run_is_not_written_over(made, tmp_path):
    file = made[1] / 'baseline/epoch_3.pth'
    before = file.read_bytes()
    (tmp_path / 'link.pth').symlink_to(file)
    for out in (file, tmp_path / 'link.pth'):
        with pytest.raises(ValueError, match='is what is exported; give another path'):
            dispatch(['export', str(made[1]), str(out)])
        with pytest.raises(ValueError, match='is to be written and is what is read'):
            dispatch(['test', str(made[1]), '--out', str(out)])
    assert file.read_bytes() == before
