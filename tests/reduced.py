# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Shipped configs at a size for tests: every width an eighth, the images of the fixture."""

from dataclasses import replace
from pathlib import Path

import mmcv
import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from nasiam_mm.datasets import resolve_data
from nasiam_mm.datasets.known import KNOWN

ROOT = Path(__file__).parents[1]
MINI = str(ROOT / 'tests/data/cifar10_mini')
# An eighth: oneDNN without AVX-512 writes past the end in the backward pass of a strided 1x1
# convolution, laid out NHWC, of fewer than eight input channels.
_WIDTHS = {
    'in_channels', 'out_channels', 'hid_channels', 'hidden_channels', 'cell_channels',
    'base_channels', 'stem_channels', 'feat_dim',
}  # fmt: skip


def reduced(name: str, work_dir: Path, epochs: int = 1, batch_size: int = 32) -> Config:
    """Read ``configs/<name>.py`` and make it small, on the CPU, without workers."""
    cfg = Config.fromfile(ROOT / 'configs' / f'{name}.py')
    backbone = cfg.model.backbone
    if 'depth' in backbone:
        backbone.setdefault('base_channels', 64)
        backbone.setdefault('stem_channels', 64)
    root = MINI if 'imagenet' not in cfg.data.root else image_folder(Path(work_dir) / 'imagenet')
    cfg.data.root = root
    # The narrowest stage has eight channels, see above.
    _walk(cfg._cfg_dict, batch_size, backbone.get('base_channels', 64) // 8)
    if 'arch' in backbone:  # a transformer, as wide as what follows takes
        width = cfg.model.get('neck', cfg.model.head).in_channels
        sizes = dict(num_layers=2, num_heads=3, feedforward_channels=4 * width)
        backbone.update(arch=dict(embed_dims=width, **sizes), patch_size=8)
        if 'frozen_stages' in backbone:
            backbone.frozen_stages = 2
    resolve_data(cfg)
    for scheduler in cfg.param_scheduler:  # stays as long as the recipe's
        scheduler.setdefault('end', cfg.train_cfg.max_epochs)
    if 'auto_scale_lr' in cfg:
        cfg.auto_scale_lr.base_batch_size = batch_size
    cfg.work_dir = str(work_dir)
    cfg.train_cfg.max_epochs = epochs
    cfg.default_hooks.checkpoint.interval = 1
    cfg.env_cfg.dist_cfg = dict(backend='gloo')
    cfg.randomness = dict(seed=0, deterministic=True)
    return cfg


def _walk(node, batch_size: int, factor: int) -> None:
    if isinstance(node, (list, tuple)):
        for item in node:
            _walk(item, batch_size, factor)
    if not isinstance(node, ConfigDict):
        return
    if 'batch_size' in node and 'dataset' in node:
        node.update(batch_size=batch_size, num_workers=0, pin_memory=False)
        node.pop('persistent_workers', None)
    if 'parts' in node:
        # A tenth of the fixture for a part given as a count.
        parts = dict(node.parts).items()
        node.parts = [(k, v if isinstance(v, float) else 0.2) for k, v in parts]
    if 'bank' in node and 'k' in node:
        node.k = 5
    for key in {'scale', 'crop_size', 'size', 'img_size'} & set(node):
        if node[key] in (224, 256, 96):
            node[key] //= 7  # 224 -> 32
    for key in _WIDTHS & set(node):
        if isinstance(node[key], int) and node[key] > 3:
            node[key] = max(1, node[key] // factor)
        elif isinstance(node[key], list):
            node[key] = [max(1, width // factor) for width in node[key]]
    for value in node.values():
        _walk(value, batch_size, factor)


def light(cfg: Config, stages: int = 2) -> Config:
    """Halve the views and leave a stage or two of the backbone: a run of what concerns neither."""
    if 'arch' in cfg.model.backbone:
        return cfg
    views = cfg.model.data_preprocessor['views']
    views = views if isinstance(views, list) else [views]
    for view in {id(view): view for view in views}.values():
        view['size'] //= 2
    cfg.model.backbone.update(
        num_stages=stages,
        strides=(1, 2)[:stages],
        dilations=(1, 1)[:stages],
        out_indices=(stages - 1,),
    )
    cfg.model.neck.in_channels //= 16 >> stages  # a stage doubles the width
    return cfg


def in_float64(runner: Runner) -> Runner:
    """Let a run compute in float64: training amplifies rounding, which would hide an error."""
    runner.model.double()
    runner.model.data_preprocessor.register_forward_hook(
        lambda module, args, data: {**data, 'inputs': [view.double() for view in data['inputs']]}
    )
    return runner


def image_folder(root: Path) -> str:
    """Write images of the fixture as ImageNet keeps its own, with a list of files, and name it."""
    images, labels = (np.load(f'{MINI}/train_{what}.npy')[:100] for what in ('images', 'labels'))
    (root / 'meta').mkdir(parents=True, exist_ok=True)
    with open(root / 'meta/train.txt', 'w') as listing:
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            mmcv.imwrite(image[..., ::-1], str(root / f'train/{number}.JPEG'))
            listing.write(f'{number}.JPEG {label}\n')
    imagenet = KNOWN['ImageNet']
    replace(imagenet, parts={'train': 100}, stored={}, classes=imagenet.classes[:10]).write(root)
    return str(root)
