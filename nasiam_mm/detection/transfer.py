# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""From a pretrained backbone to a trained detector: fit the config, prove the load, run.

The order keeps failures cheap: the config is fitted, the detector built and compared with the
checkpoint, the data looked through; only then is anything written and trained.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import DATASETS
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.config import Config
from mmengine.model import initialize
from mmengine.runner import Runner
from torch import Tensor, nn

from nasiam_mm.detection.dataset_check import check_dataset
from nasiam_mm.detection.finite_loss import FiniteLossHook
from nasiam_mm.export import PretrainedBackbone, export_backbone
from nasiam_mm.export.backbone import require_equal_outputs, require_equal_weights, stage_outputs
from nasiam_mm.export.checkpoint import PREFIX, check_fit

CIFAR_TYPE = 'ResNet_CIFAR'
CIFAR_CONFIG = 'configs/detection/mask-rcnn_r18-fpn_cifar10det_demo.py'


def load_config(path: Path | str, options: Mapping[str, Any] | None = None) -> Config:
    """Read a detection config and apply ``--cfg-options`` to it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a detection config.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path}: no such config; configs/detection/ has some')
    cfg = Config.fromfile(str(path))
    cfg.merge_from_dict(dict(options or {}))
    if cfg.get('default_scope') != 'mmdet' or 'backbone' not in cfg.get('model', {}):
        raise ValueError(f'{path}: not a detection config (default_scope mmdet, model.backbone)')
    return cfg


def set_data_root(cfg: Config, root: Path | str) -> None:
    """Let every dataset of a config, and the COCO metric, read below ``root``, in place."""
    root = f'{str(root).rstrip("/")}/'
    for split in ('train', 'val', 'test'):
        _set_root(cfg[f'{split}_dataloader'].dataset, root)
        evaluator = cfg.get(f'{split}_evaluator') or {}
        if 'ann_file' in evaluator:
            evaluator['ann_file'] = root + cfg[f'{split}_dataloader'].dataset.ann_file


def fit_config(cfg: Config, source: PretrainedBackbone) -> None:
    """Give the detector's CIFAR ResNet the depth and width of the pretrained one, in place.

    ImageNet ResNets have one width, theirs is not touched.

    Raises:
        ValueError: If one has the stem of CIFAR and the other that of ImageNet.
    """
    backbone = cfg.model.backbone
    kinds = [str(kind).split('.')[-1] for kind in (source.cfg.get('type'), backbone.type)]
    if (kinds[0] == CIFAR_TYPE) != (kinds[1] == CIFAR_TYPE):
        raise ValueError(
            f'{source.path}: holds a {kinds[0]}, {cfg.filename} wants a {kinds[1]}: their stems '
            f'differ (3x3 of CIFAR, 7x7 of ImageNet); for a {CIFAR_TYPE} use {CIFAR_CONFIG}'
        )
    if kinds[1] != CIFAR_TYPE:
        return
    backbone.depth = source.cfg['depth']
    backbone.stem_channels = source.cfg.get('stem_channels', 64)
    backbone.base_channels = source.cfg.get('base_channels', 64)
    expansion = 1 if backbone.depth < 50 else 4  # of BasicBlock and Bottleneck
    cfg.model.neck.in_channels = [
        backbone.base_channels * expansion * 2**stage for stage in backbone.out_indices
    ]


def set_pretrained(cfg: Config, weights: Path | str | None) -> None:
    """Let backbone and shared head begin from ``weights``, or at random for None, in place."""
    shared_head = cfg.model.get('roi_head', {}).get('shared_head')
    for owner in filter(None, (cfg.model.backbone, shared_head)):
        owner.pop('init_cfg', None)
        if weights is not None:
            owner.init_cfg = dict(type='Pretrained', checkpoint=str(weights), prefix=PREFIX)


def build_detector(cfg: Config, weights: Path | None = None) -> nn.Module:
    """Build the detector of a config, left as it is, to begin from ``weights`` or at random."""
    cfg = Config(cfg.to_dict(), filename=cfg.filename)
    set_pretrained(cfg, weights)
    return MMDET_MODELS.build({**cfg.model, '_scope_': 'mmdet'})


def check_detector(cfg: Config, source: PretrainedBackbone) -> int:
    """Build the detector and prove that it takes the whole backbone over.

    Every entry of the backbone has its place in the detector's backbone or, for C4 models, its
    shared head; loaded by the detector's own ``init_cfg`` each is equal, and so are the outputs.

    Args:
        cfg: The detection config.
        source: The backbone of the checkpoint.

    Returns:
        The number of entries taken over, all of them.

    Raises:
        ValueError: If an entry is left over, missing, of another shape, or an output differs.
    """
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, 'backbone.pth')
        detector = build_detector(cfg, weights)
        shared_head = getattr(detector.roi_head, 'shared_head', None)
        owners = [detector.backbone, *([] if shared_head is None else [shared_head])]
        check_fit(source.path, _entries(owners), source.state_dict, f'detector of {cfg.filename}')
        original = source.build()
        export_backbone(source, weights)
        for owner in owners:
            initialize(owner, owner.init_cfg)
    require_equal_weights(f'{cfg.filename}: the detector', source.state_dict, _entries(owners))
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    where = f"{cfg.filename}: the detector's backbone"
    require_equal_outputs(where, original, detector.backbone, images)
    if shared_head is not None:
        shared_head.eval()
        third, fourth = stage_outputs(original, images)[2:4]
        with torch.no_grad():
            if not torch.equal(shared_head.layer4(third), fourth):
                raise ValueError(f'{cfg.filename}: the shared head differs from stage 4')
    return len(source.state_dict)


def check_data(cfg: Config) -> str:
    """Look through the training and the validation set of a config.

    Returns:
        What the validation set calls itself.

    Raises:
        FileNotFoundError: If an annotation file or an image is missing.
        ValueError: If an annotation is broken.
    """
    masks = bool(cfg.model.roi_head.get('mask_head'))
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        dataset = loader.dataset
        name = check_dataset(dataset.to_dict(), _classes(dataset), masks)
    return name


def train_and_evaluate(config: Path) -> dict[str, float]:
    """Train by a written config and evaluate the last weights once.

    No checkpoint is picked by its score, so the validation set selects nothing.

    Returns:
        The metrics of the last evaluation by mmdet's names (``coco/bbox_mAP``), from 0 to 1.

    Raises:
        ValueError: If the loss is no number any more, or the config evaluates nothing.
    """
    runner = Runner.from_cfg(Config.fromfile(str(config)))
    runner.register_hook(FiniteLossHook())
    runner.train()
    metrics = _evaluated(runner)
    if not metrics and runner.val_loop is not None:
        # It was stopped in its evaluation, and resumed with nothing left to train.
        runner.val_loop.run()
        metrics = _evaluated(runner)
    if not metrics:
        raise ValueError(
            f'{config}: the evaluation gave no figure; give val_evaluator a CocoMetric or '
            'VOCMetric, or train longer: a detector that finds nothing has no AP'
        )
    return metrics


def _evaluated(runner: Runner) -> dict[str, float]:
    """Return the metrics of the last evaluation that a runner logged."""
    return {
        key.removeprefix('val/'): float(buffer.current())
        for key, buffer in runner.message_hub.log_scalars.items()
        if key.startswith(('val/coco/', 'val/pascal_voc/'))
    }


def _set_root(dataset: Config, root: str) -> None:
    if 'data_root' in dataset:
        dataset.data_root = root
    for inner in [*dataset.get('datasets', []), *filter(None, [dataset.get('dataset')])]:
        _set_root(inner, root)


def _entries(owners: list[nn.Module]) -> dict[str, Tensor]:
    """Return what pretraining fills; a shared head's extra BN is the detector's own."""
    return {
        name: value
        for owner in owners
        for name, value in owner.state_dict().items()
        if not name.startswith('norm.')
    }


def _classes(dataset: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the class names of a dataset config: its own, or those of its type."""
    inner = dataset.get('datasets') or [dataset.get('dataset')]
    if inner[0] is not None:
        return _classes(inner[0])
    given = (dataset.get('metainfo') or {}).get('classes')
    return tuple(given or DATASETS.get(f'mmdet.{dataset["type"]}').METAINFO['classes'])
