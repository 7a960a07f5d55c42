# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: a stranger's 300 images, as arrays or as files, are searched on by ``--data`` alone."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from examples.own_images import write_images
from nasiam_mm.cli.main import dispatch
from nasiam_mm.datasets import describe
from tests.test_datasets.photos import write_photos

SMALL = (
    'train_dataloader.batch_size=32',
    'default_hooks.alpha_step.dataloader.batch_size=32',
    'optim_wrapper.type=OptimWrapper',  # bfloat16 costs more here
    'train_cfg.max_epochs=1',
    'param_scheduler.0.T_max=1',
)


def search(folder: Path, work_dir: Path) -> Config:
    dispatch([
        'search', 'nasiam/simclr_r18_search_cifar10_demo.py', '--data', str(folder),
        '--work-dir', str(work_dir), '--cfg-options', *SMALL,
    ])  # fmt: skip
    return Config.fromfile(work_dir / 'simclr_r18_search_cifar10_demo.py')


def check(cfg: Config, folder: Path, work_dir: Path, classes: int) -> str:
    """Check what every run leaves; return its log."""
    source = json.loads((folder / 'source.json').read_text())
    genotype = json.loads((work_dir / 'genotype.json').read_text())
    assert genotype['provenance']['dataset'] == source['name']
    assert len(genotype['provenance']['dataset_digest']) == 64
    preprocessor = cfg.model.data_preprocessor
    assert (preprocessor.mean, preprocessor.std) == (source['mean'], source['std'])
    assert preprocessor.views['size'] == source['size'] and len(source['classes']) == classes
    assert cfg.train_dataloader.dataset.dataset.parts == [
        ('weights', 112), ('alpha', 112), ('val', 45),
    ]  # fmt: skip
    log = ''.join(path.read_text() for path in work_dir.rglob('*.log'))
    assert 'has 270 images: parts' in log and '[1][3/3]' in log
    return log


def test_arrays(tmp_path):
    write_images(tmp_path / 'mine')
    cfg = search(tmp_path / 'mine', tmp_path / 'run')
    log = check(cfg, tmp_path / 'mine', tmp_path / 'run', classes=3)
    assert 'the bank of the probe has 112 images: probe.k 200 becomes 11' in log
    top1 = [float(found) for found in re.findall(r'top1: ([\d.]+)', log)]
    assert len(top1) == 2 and top1[-1] > 90  # colours are told apart by any features


def test_image_files_of_mixed_sizes(tmp_path, capsys):
    folder = write_photos(tmp_path / 'pets', ('cat', 'dog', 'emu'), per_class=100)
    dispatch(['data', 'describe', str(folder), '--size', '32'])
    assert 'pets, 270 train, 30 test images of 32 x 32, 3 classes' in capsys.readouterr().out
    check(search(folder, tmp_path / 'run'), folder, tmp_path / 'run', classes=3)


def test_images_without_labels(tmp_path):
    write_images(tmp_path / 'mine')
    (tmp_path / 'mine/train_labels.npy').unlink()
    describe(tmp_path / 'mine').write(tmp_path / 'mine')
    cfg = search(tmp_path / 'mine', tmp_path / 'run')
    log = check(cfg, tmp_path / 'mine', tmp_path / 'run', classes=0)
    assert cfg.probe is None and 'top1' not in log
    assert f'{tmp_path}/mine: has no labels, so the backbone is not probed' in log


@pytest.mark.parametrize('change', [lambda array: array[:-1], lambda array: array[::-1].copy()])
def test_a_changed_folder_is_refused_until_described_again(tmp_path, change, capsys):
    folder = tmp_path / 'mine'
    write_images(folder)
    for name in ('train_images', 'train_labels'):
        np.save(folder / f'{name}.npy', change(np.load(folder / f'{name}.npy')))
    with pytest.raises(ValueError, match=f"run 'nasiam data describe {folder}'"):
        search(folder, tmp_path / 'run')
