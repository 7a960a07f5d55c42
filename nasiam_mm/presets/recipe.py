# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The three recipes of a framework on images of one's own, built on the shipped ones."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from nasiam_mm.config_walk import type_name
from nasiam_mm.datasets.source import Source
from nasiam_mm.files.config_file import read_config
from nasiam_mm.files.shipped import find_config, framework_names
from nasiam_mm.models.frameworks import FRAMEWORKS
from nasiam_mm.presets.asked import PHASES
from nasiam_mm.presets.backbone import Backbone
from nasiam_mm.presets.loaders import ALPHA, Loaders
from nasiam_mm.presets.scale import Machine, Scale
from nasiam_mm.wording import no_such

_NARROW = 256  # width of features below which the demo's heads fit
_DECAY = 0.05  # of a transformer's weights, as DeiT's


@dataclass(frozen=True)
class Recipes:
    """Configs of a search, of a pretraining by its genotype, and of the standard head's."""

    search: Config
    pretrain: Config
    baseline: Config


def make_recipes(
    root: Path | str,
    source: Source,
    framework: str,
    backbone: Backbone,
    size: int,
    scale: Scale,
    machine: Machine,
) -> Recipes:
    """Put the shipped recipes of a framework onto images, a backbone and a machine.

    Heads, losses, spaces and optimizers are those of ``nasiam/{framework}_r18_*_cifar10.py``, or of
    its ``_demo`` for features narrower than 256; the learning rate follows the batch. A backbone
    without BatchNorm, such as a transformer, is trained by AdamW in place of SGD.

    Args:
        root: Folder of the images, which has a ``source.json`` or is a published set.
        source: What it says of itself.
        framework: One of :func:`framework_names`.
        backbone: As :func:`find_backbone` found it at this size.
        size: Height and width of a view, pixels.
        scale: Lengths and batches.
        machine: What trains.

    Raises:
        ValueError: If there is no such framework.
    """
    if framework not in (known := framework_names()):
        raise ValueError(no_such('framework', framework, known))
    demo = '_demo' if backbone.width < _NARROW else ''
    made = {}
    for phase in PHASES:
        name = f'nasiam/{framework}_r18_{phase}_cifar10{demo}.py'
        cfg = read_config(find_config(name))
        for helper in [key for key in cfg if key.startswith('_')]:
            cfg.pop(helper)
        cfg.data = dict(root=str(root))
        loaders = Loaders(source, size, scale, _listed_views(cfg))
        _set_model(cfg, backbone, loaders.views)
        if phase == 'baseline':
            # Made by hand, as its arguments say: nothing moves alpha there.
            cfg.model.backbone.pop('space', None)
        if (fit := FRAMEWORKS[framework].fit) is not None:
            fit(cfg.model, scale.batch, scale.weights * (1 if phase == 'search' else 2))
        _set_data(cfg, loaders, phase)
        _set_training(cfg, backbone, scale, machine, phase)
        made[phase] = cfg
    made['search'].study = _study(source)
    return Recipes(**made)


def view_load(framework: str) -> float:
    """Return how many views a framework's recipes make of an image, small ones by their pixels."""
    listed = _listed_views(read_config(find_config(f'nasiam/{framework}_r18_search_cifar10.py')))
    return sum(0.25 if view['size'] == 'data.half_size' else 1.0 for view in listed) or 2.0


def _listed_views(cfg: Config) -> Sequence[Mapping[str, Any]]:
    views = cfg.model.data_preprocessor['views']
    return () if isinstance(views, Mapping) else views


def _set_model(cfg: Config, backbone: Backbone, views: dict | list) -> None:
    model = cfg.model
    model.backbone = copy.deepcopy(backbone.cfg)
    model.neck.in_channels = backbone.width
    if type_name(model.neck) == 'LinearNeck':
        model.neck.gap_dim = 2 if backbone.has_maps else 0
    else:
        model.neck.with_avg_pool = backbone.has_maps
    model.data_preprocessor.views = copy.deepcopy(views)
    model.data_preprocessor.channels_last = backbone.has_maps


def _set_data(cfg: Config, loaders: Loaders, phase: str) -> None:
    with_index = cfg.model.data_preprocessor.get('with_index', False)
    cfg.train_dataloader = loaders.training(phase)
    if with_index:
        cfg.train_dataloader.dataset.with_index = True
    cfg.probe = loaders.probe(phase)
    if phase == 'search':
        cfg.default_hooks.alpha_step.dataloader = loaders.training(phase, ALPHA)


def _set_training(
    cfg: Config, backbone: Backbone, scale: Scale, machine: Machine, phase: str
) -> None:
    epochs = scale.search_epochs if phase == 'search' else scale.epochs
    cfg.train_cfg.max_epochs = epochs
    cfg.probe.interval = max(1, epochs // 5)
    cfg.default_hooks.checkpoint = dict(
        type='AtomicCheckpointHook', interval=max(1, epochs // 10), max_keep_ckpts=1
    )
    cfg.env_cfg.cudnn_benchmark = machine.kind == 'cuda'
    wrapper = cfg.optim_wrapper
    wrapper.type = 'AutocastOptimWrapper' if machine.bfloat16 else 'OptimWrapper'
    if backbone.has_batch_norm:
        base = cfg.auto_scale_lr.base_batch_size
        wrapper.optimizer.lr = float(f'{wrapper.optimizer.lr * scale.batch / base:.3g}')
    else:
        rate = float(f'{5e-4 * scale.batch / 256:.3g}')
        wrapper.optimizer = dict(type='AdamW', lr=rate, weight_decay=_DECAY, fused=True)
    cfg.auto_scale_lr.base_batch_size = scale.batch


def _study(source: Source) -> dict[str, Any]:
    """A study that checks what a search by gradient finds, and a few heads beside it."""
    study: dict[str, Any] = dict(
        sampler=dict(type='Random'),
        gradient=[dict(strategy='darts_first_order', top=2)],
        trials=6,
        images=1000,
    )
    if not source.classes:
        study['objective'] = dict(type='RankMe')
    return study
