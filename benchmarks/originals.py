# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Good files, tiny, of every kind that a command reads."""

import io
import json
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from mmengine.config import Config
from PIL import Image

from benchmarks.robustness.recipe import reduce_config

_PUBLISHED = """Genotype(encoder=[['linear_relu'], ['linear_silu'], ['linear_elu'], ['identity']], \
predictor=[['avgpool_3x3'], ['identity']])"""
_CLASSES = ('cat', 'dog')


def make(folder: Path, root: Path) -> SimpleNamespace:
    """Make or find them below a folder.

    Args:
        folder: Where.
        root: A checkout.
    """
    of = SimpleNamespace(data=folder / 'data', published=_PUBLISHED)
    _make_data(of.data)
    of.source = json.loads((of.data / 'source.json').read_text(encoding='utf-8'))
    of.search, of.pretrain = (
        _reduced(root / f'configs/nasiam/{name}_r18_{kind}_cifar10_demo.py', folder, of.data)
        for name, kind in (('simclr', 'search'), ('simsiam', 'pretrain'))
    )
    run = folder / 'run'
    if not (run / 'epoch_1.pth').is_file():
        from nasiam_mm.cli.main import dispatch

        dispatch(['train', str(of.search), '--work-dir', str(run)])
    of.run = run
    _read_run(of, run, root)
    _make_detection(of, folder, root)
    of.configs = [_plain(Config.fromfile(name)) for name in (of.search, of.pretrain)]
    of.configs[1]['model']['genotype'] = str(run / 'genotype.json')
    of.paths = [path for tree in of.configs for path in _paths(tree)]
    of.images, of.suffixes, of.sizes = (
        _images(),
        ['.jpg', '.png', '.bmp', '.JPEG', '.webp'],
        [8, 16],
    )
    last, genotype = run / 'epoch_1.pth', run / 'genotype.json'
    of.commands = [
        ['train', of.search, '--work-dir', 'work', '--resume', last],
        ['check', of.pretrain, '--work-dir', 'work', '--genotype', genotype],
        ['test', of.search, last, '--work-dir', 'work'],
        ['test', last, '--work-dir', 'work'],
        ['embed', last, '--data', 'work', '--out', 'o.npz'],
        ['report', run, '--out', 'o.html'],
        ['diff', run, run, '--out', 'o.html'],
        ['probe', of.search, last, '--k', '5', '--l2', '1', '--fractions', '--out', 'o.json'],
        ['export', last, 'out.pth'],
        ['config', of.search],
        ['draw', genotype, '--out', 'out.svg'],
        ['genotype', 'random', genotype, '--out', 'out.json'],
        ['genotype', 'import', genotype, '--framework', 'MoCo', '--out', 'out.json'],
        ['data', 'describe', 'work', '--size', '8'],
        ['detect', of.coco_config, '--random-init', '--dry-run', '--data-root', of.coco_set],
        ['search', of.search, '--work-dir', 'work', '--resume', last],
    ]
    return of


def _make_data(folder: Path) -> None:
    from nasiam_mm.datasets.describing import describe

    if (folder / 'source.json').is_file():
        return
    folder.mkdir(parents=True)
    numbers = np.random.default_rng(0)
    for part, count in (('train', 60), ('test', 20)):
        images = numbers.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
        np.save(folder / f'{part}_images.npy', images)
        np.save(folder / f'{part}_labels.npy', np.arange(count, dtype=np.uint8) % 2)
    describe(folder).write(folder)


def _reduced(config: Path, folder: Path, data: Path) -> Path:
    args = Namespace(
        config=config, data_root=str(data), part=0.3, batch_size=8, epochs=1, interval=0
    )
    cfg = reduce_config(args)
    # An eighth of the demo's 16 is 2; 8 is the least.
    cfg.model.backbone.update(stem_channels=8, base_channels=8)
    cfg.model.neck.in_channels = 64
    cfg.probe = dict(Config.fromfile(config).probe, k=3)
    cfg.dump(folder / config.name)
    return folder / config.name


def _read_run(of: SimpleNamespace, run: Path, root: Path) -> None:
    from nasiam_mm.files.checkpoint import read_checkpoint

    def load(path: Path) -> Any:
        return json.loads(path.read_text(encoding='utf-8'))

    of.state, of.alpha = read_checkpoint(run / 'epoch_1.pth', 'cpu'), load(run / 'alpha.json')
    of.genotypes = [load(run / 'genotype.json')]
    of.genotypes += map(load, sorted((root / 'genotypes/published').glob('simsiam*cifar10.json')))


def _make_detection(of: SimpleNamespace, folder: Path, root: Path) -> None:
    of.coco_set, of.voc_set = folder / 'coco', folder / 'voc'
    rle = {'size': [30, 40], 'counts': [31, 5, 25, 5, 1134]}
    box = {'category_id': 2, 'bbox': [1, 2, 5, 5.5], 'area': 20, 'iscrowd': 0}
    of.coco = {
        'info': {'description': 'toy'},
        'images': [{'id': n, 'file_name': f'{n}.jpg', 'width': 40, 'height': 30} for n in range(2)],
        'categories': [{'id': 2, 'name': 'cat'}, {'id': 5, 'name': 'dog'}],
        'annotations': [
            {'id': 1, 'image_id': 0, 'segmentation': [[1, 2, 6, 2, 6, 7]], **box},
            {'id': 2, 'image_id': 1, 'segmentation': rle, **box},
        ],
    }
    voc = of.voc_set / 'VOC2007'
    for part in ('train', 'val'):
        _write(of.coco_set / f'annotations/{part}.json', json.dumps(of.coco).encode())
        _write(voc / f'ImageSets/Main/{part}.txt', b'0\n1\n')
        for n in range(2):
            _write(of.coco_set / f'{part}/{n}.jpg', _image('JPEG'))
    for n in range(2):
        text = f"""<annotation><folder>VOC2007</folder>
<filename>{n}.jpg</filename>
<size><width>40</width><height>30</height><depth>3</depth></size>
<object>
<name>cat</name>
<difficult>0</difficult>
<bndbox><xmin>3</xmin>
<ymin>4</ymin>
<xmax>12</xmax><ymax>20</ymax></bndbox>
</object>
</annotation>
"""
        _write(voc / f'Annotations/{n}.xml', text.encode())
        _write(voc / f'JPEGImages/{n}.jpg', _image('JPEG'))
    cfg = Config.fromfile(root / 'configs/detection/mask-rcnn_r18-fpn_cifar10det_demo.py')
    cfg.model.backbone.update(stem_channels=8, base_channels=8)
    cfg.model.neck.in_channels = [32, 64]
    cfg.model.roi_head.bbox_head.update(fc_out_channels=16, num_classes=len(_CLASSES))
    cfg.model.roi_head.mask_head.num_classes = len(_CLASSES)
    for name in ('split', 'train_set', 'val_set'):
        cfg.pop(name)
    for part in ('train', 'val', 'test'):
        cfg[f'{part}_dataloader'].dataset.metainfo = dict(classes=_CLASSES)
    # The images are smaller than what the recipe learns from.
    cfg.train_dataloader.dataset.filter_cfg.min_size = 16
    of.coco_config = folder / 'coco.py'
    cfg.dump(of.coco_config)
    for part in ('train', 'val', 'test'):
        cfg[f'{part}_dataloader'].dataset = dict(
            type='VOCDataset',
            data_root='x',
            ann_file=f'VOC2007/ImageSets/Main/{"train" if part == "train" else "val"}.txt',
            data_prefix=dict(sub_data_root='VOC2007/'),
            metainfo=dict(classes=_CLASSES),
            pipeline=[],
        )
        cfg[f'{part}_evaluator'] = None if part == 'train' else dict(type='VOCMetric')
    cfg.model.roi_head.pop('mask_head')
    cfg.pop('train_evaluator', None)
    of.voc_config = folder / 'voc.py'
    cfg.dump(of.voc_config)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _image(kind: str) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def _images() -> list[bytes]:
    return [_image(kind) for kind in ('JPEG', 'PNG', 'BMP', 'WEBP', 'TIFF', 'PPM', 'GIF')]


def _plain(cfg: Config) -> dict[str, Any]:
    return cfg.to_dict()


def _paths(tree: Any, name: str = '') -> list[str]:
    if not isinstance(tree, dict):
        return [name]
    return [name] * bool(name) + [
        p for k, v in tree.items() for p in _paths(v, f'{name}.{k}'.lstrip('.'))
    ]
