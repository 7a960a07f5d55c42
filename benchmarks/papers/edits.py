# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a row of a table changes in a shipped config; each function returns such a change."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

from mmengine.config import Config

from nasiam_mm.config_walk import find_hook

Edit = Callable[[Config], None]


def put(name: str, value: Any) -> Edit:
    """Set one setting by its dotted name, replacing a dict whole."""

    def edit(cfg: Config) -> None:
        *parents, last = name.split('.')
        node = cfg
        for key in parents:
            node = node[key]
        node[last] = copy.deepcopy(value)

    return edit


def epochs(number: int) -> Edit:
    """Train for a number of epochs, which the cosine of the learning rate follows."""

    def edit(cfg: Config) -> None:
        begin = max(scheduler.get('begin', 0) for scheduler in cfg.param_scheduler)
        if begin >= number:
            raise ValueError(f'{number} epochs end before the warm-up of {begin}')
        cfg.train_cfg.max_epochs = number

    return edit


def batch_size(number: int) -> Edit:
    """Train on batches of a size; learning rates follow linearly (SimSiam, section 4.3)."""

    def edit(cfg: Config) -> None:
        factor = number / cfg.train_dataloader.batch_size
        cfg.train_dataloader.batch_size = number
        cfg.optim_wrapper.optimizer.lr *= factor
        if (hook := find_hook(cfg, 'AlphaStepHook')) is not None:
            hook.dataloader.batch_size = number
        if 'auto_scale_lr' in cfg:
            cfg.auto_scale_lr.base_batch_size = number

    return edit


def warm_up(number: int) -> Edit:
    """Let the learning rate grow over the first epochs, before its cosine."""

    def edit(cfg: Config) -> None:
        [cosine] = cfg.param_scheduler
        growth = dict(type='LinearLR', start_factor=1e-4, by_epoch=True, end=number)
        cosine = dict(cosine, begin=number)
        cfg.param_scheduler = [dict(growth, convert_to_iter_based=True), cosine]

    return edit


def space(names: Sequence[str]) -> Edit:
    """Search over another space."""
    return put('model.space', list(names))


def resnet50() -> Edit:
    """Take ResNet-50 for ResNet-18; what is as wide as the features becomes four times as wide."""

    def edit(cfg: Config) -> None:
        cfg.model.backbone.depth = 50
        neck = cfg.model.neck
        old = neck.in_channels
        for name in ('in_channels', 'hidden_channels', 'cell_channels'):
            if neck.get(name) == old:
                neck[name] = 4 * old

    return edit


def predictor_lr(factor: float) -> Edit:
    """Let the predictor learn at ``factor`` times the rate of the rest (study 003, figure 3)."""

    def edit(cfg: Config) -> None:
        cfg.default_hooks.pop('predictor_lr', None)
        cfg.optim_wrapper.paramwise_cfg = dict(custom_keys=dict(predictor=dict(lr_mult=factor)))

    return edit


def part_of_training_set(fraction: float) -> Edit:
    """Pretrain on a part of the images; the others are for validation (study 003's 80/20 split)."""

    def edit(cfg: Config) -> None:
        pretrained = cfg.train_dataloader.dataset
        inner = pretrained.dataset
        if inner.type == 'SplitDataset':
            whole = inner.parts[inner.part]
            train = int(fraction * whole)
            parts, inner = dict(train=train, val=whole - train), inner.dataset
        else:
            parts = dict(train=fraction, val=1 - fraction)

        def cut(part: str) -> dict:
            return dict(type='SplitDataset', dataset=inner, parts=parts, part=part, seed=0)

        pretrained.dataset = cut('train')
        cfg.probe.bank.dataset = cut('train')
        cfg.probe.query.dataset = cut('val')

    return edit


def fast() -> Edit:
    """Train in bfloat16 autocast, without loss scaling; the recipes are fast otherwise."""

    def edit(cfg: Config) -> None:
        kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
        if kind not in ('OptimWrapper', 'AutocastOptimWrapper'):
            raise ValueError(f'fast: cannot replace {kind}, the optim_wrapper of the config')
        cfg.optim_wrapper.type = 'AutocastOptimWrapper'

    return edit
