# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""From a pretrained backbone to a trained detector: fit the config, prove the load, run.

The order keeps failures cheap: the config is fitted, the detector built and compared with the
checkpoint, the data looked through; only then is anything written and trained.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import DATASETS
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import initialize
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import Tensor, nn

from nasiam_mm.config_walk import walk
from nasiam_mm.detection.dataset_check import check_dataset, leaves
from nasiam_mm.export import PretrainedBackbone, export_backbone
from nasiam_mm.export.backbone import require_equal_outputs, require_equal_weights, stage_outputs
from nasiam_mm.export.checkpoint import PREFIX, check_fit
from nasiam_mm.files.config_file import read_config
from nasiam_mm.models.backbones.base import ChoiceBackbone
from nasiam_mm.models.backbones.handing import as_shapes, kind_of

CIFAR_TYPE, TRANSFORMER = 'ResNet_CIFAR', 'MoCoV3ViT'


def load_config(path: Path | str, change: Callable[[Config], None] | None = None) -> Config:
    """Read a detection config and change it, as a command line asks; ValueError if it is none."""
    cfg = read_config(path)
    if change is not None:
        change(cfg)
    model = cfg.get('model')
    is_detector = isinstance(model, dict) and 'backbone' in model
    if cfg.get('default_scope') != 'mmdet' or not is_detector:
        raise ValueError(f'{path}: not a detection config (default_scope mmdet, model.backbone)')
    return cfg


def set_data_root(cfg: Config, root: Path | str) -> None:
    """Let every dataset of a config, and the COCO metric, read below ``root``, in place."""
    root = f'{str(root).rstrip("/")}/'
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        for leaf in leaves(dataset):
            if 'data_root' in leaf:
                leaf['data_root'] = root
        evaluator = cfg.get(f'{split}_evaluator') or {}
        if 'ann_file' in evaluator:
            evaluator['ann_file'] = root + dataset.ann_file


def fit_config(cfg: Config, source: PretrainedBackbone) -> None:
    """Give the detector's backbone the depth and width of the pretrained one, in place.

    A CIFAR ResNet takes both, a backbone of choices all that was decided; ImageNet ResNets have one
    width, theirs is not touched. ValueError if the two are not of one kind: of choices, or by stem;
    or if the pretrained one is a transformer.
    """
    backbone = cfg.model.backbone
    given, wanted = (str(kind).split('.')[-1] for kind in (source.cfg.get('type'), backbone.type))
    if given == TRANSFORMER:
        lacks = f'{cfg.filename} wants the maps of a {wanted}, and mmdet has no pyramid of tokens'
        mend = 'pretrain MoCo v3 with a ResNet, mocov3_r50_*, to detect'
        raise ValueError(f'{source.path}: holds a {given}; {lacks}: {mend}')
    if kind_of(source.cfg) is not None and given == wanted:
        keep = {
            key: backbone[key] for key in ('type', 'out_indices', 'init_cfg') if key in backbone
        }
        backbone.update({**source.cfg, **keep})
        widths = as_shapes(source.cfg).stage_channels()
        cfg.model.neck.in_channels = [widths[stage] for stage in backbone.out_indices]
        return
    if given in ChoiceBackbone.known or wanted in ChoiceBackbone.known:
        mend = 'take mask-rcnn_choice-resnet-fpn_cifar10det_demo.py for a ChoiceResNet'
        raise ValueError(f'{source.path}: holds a {given}, {cfg.filename} wants a {wanted}: {mend}')
    if (given == CIFAR_TYPE) != (wanted == CIFAR_TYPE):
        mend = 'their stems differ; that of CIFAR is for mask-rcnn_r18-fpn_cifar10det_demo.py'
        raise ValueError(f'{source.path}: holds a {given}, {cfg.filename} wants a {wanted}: {mend}')
    if wanted == CIFAR_TYPE:
        backbone.depth = source.cfg['depth']
        backbone.stem_channels = source.cfg.get('stem_channels', 64)
        backbone.base_channels = source.cfg.get('base_channels', 64)
        # BasicBlock and Bottleneck; each stage doubles the width.
        width = backbone.base_channels * (1 if backbone.depth < 50 else 4)
        cfg.model.neck.in_channels = [width * 2**stage for stage in backbone.out_indices]


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
    """Build the detector, prove that it takes the whole backbone over, and count the entries.

    Every entry of the backbone has its place in the detector's backbone or, for C4 models, its
    shared head; loaded by the detector's own ``init_cfg`` each is equal, and so are the outputs.
    ValueError if an entry is left over, missing, of another shape, or an output differs.
    """
    original = source.build()
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, 'backbone.pth')
        detector = build_detector(cfg, weights)
        shared_head = getattr(detector.roi_head, 'shared_head', None)
        owners = [owner for owner in (detector.backbone, shared_head) if owner is not None]
        check_fit(source.path, _entries(owners), source.state_dict, f'detector of {cfg.filename}')
        export_backbone(source, weights)
        for owner in owners:
            initialize(owner, owner.init_cfg)
    require_equal_weights(f'{cfg.filename}: the detector', source.state_dict, _entries(owners))
    where = f"{cfg.filename}: the detector's backbone"
    require_equal_outputs(where, original, detector.backbone)
    if shared_head is not None:
        shared_head.eval()
        third, fourth = stage_outputs(original)[2:4]
        with torch.no_grad():
            if not torch.equal(shared_head.layer4(third), fourth):
                raise ValueError(f'{cfg.filename}: the shared head differs from stage 4')
    return len(source.state_dict)


def check_data(cfg: Config) -> str:
    """Look through both sets of a config; return what the validation set calls itself."""
    masks = bool(cfg.model.roi_head.get('mask_head'))
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        leaf = leaves(loader.dataset)[0]
        classes = (leaf.get('metainfo') or {}).get('classes')
        classes = classes or DATASETS.get(f'mmdet.{leaf["type"]}').METAINFO['classes']
        for head in walk(cfg.model.roi_head):
            # mmdet would stumble over the others when it evaluates.
            if (told := head.get('num_classes', len(classes))) != len(classes):
                mend = f'set num_classes={len(classes)}, or metainfo.classes'
                what = f'{head.get("type")} of model.roi_head tells {told} classes apart'
                raise ValueError(f'{what}, its data set has {len(classes)}; {mend}')
        name = check_dataset(loader.dataset, classes, masks)
    return name


class FiniteLossHook(Hook):
    """End training with one line, a ValueError, when a loss is not finite.

    It looks every ``interval`` iterations, as each look waits for the device; a loss that is not
    finite stays so, none is missed.
    """

    priority = 'VERY_LOW'  # after the logger, whose last line shows how it came

    def __init__(self, interval: int = 10) -> None:
        self.interval = interval

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Look at the losses of this iteration."""
        if self.every_n_train_iters(runner, self.interval):
            for name, value in (outputs or {}).items():
                if isinstance(value, Tensor) and not value.isfinite().all():
                    when = f'{name} is {float(value)} at iteration {runner.iter + 1}'
                    mend = 'lower optim_wrapper.optimizer.lr or optim_wrapper.clip_grad.max_norm'
                    raise ValueError(f'{when}: training diverged; {mend}')


def train_and_evaluate(config: Path) -> dict[str, float]:
    """Train by a written config and evaluate the last weights once.

    No checkpoint is picked by its score, so the validation set selects nothing. Returns the metrics
    of the last evaluation by mmdet's names (``coco/bbox_mAP``), from 0 to 1; ValueError if the loss
    is no number any more, or the config evaluates nothing.
    """
    cfg = Config.fromfile(str(config))
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    runner.register_hook(FiniteLossHook())
    runner.train()
    scalars, figures = runner.message_hub.log_scalars, ('val/coco/', 'val/pascal_voc/')
    if runner.val_loop is not None and not any(key.startswith(figures) for key in scalars):
        # It was stopped in its evaluation, and resumed with nothing left to train.
        runner.val_loop.run()
    found = {key: float(scalars[key].current()) for key in scalars if key.startswith(figures)}
    if not found:
        mend = 'set val_evaluator to CocoMetric or VOCMetric; without any detection train longer'
        raise ValueError(f'{config}: the evaluation gave no figure; {mend}')
    return {key.removeprefix('val/'): value for key, value in found.items()}


def _entries(owners: list[nn.Module]) -> dict[str, Tensor]:
    """Return what pretraining fills; a shared head's extra BN is the detector's own."""
    entries = {name: value for owner in owners for name, value in owner.state_dict().items()}
    return {name: value for name, value in entries.items() if not name.startswith('norm.')}
