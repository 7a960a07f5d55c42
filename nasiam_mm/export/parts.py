# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Which parts a config text within a checkpoint may name (contract C11).

mmengine imports and calls whatever has a dotted name; parts of mmpretrain fetch weights or code by
a name that they are given, and data sets of mmengine and mmpretrain unpickle files.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mmengine.registry import FUNCTIONS, Registry

from nasiam_mm.part_registry import OWN_REGISTRIES
from nasiam_mm.registry import (
    DATA_SAMPLERS,
    DATASETS,
    EVALUATORS,
    METRICS,
    MODELS,
    TRANSFORMS,
    WEIGHT_INITIALIZERS,
)

_BUILDING = (MODELS, WEIGHT_INITIALIZERS)
_MEASURING = (DATASETS, DATA_SAMPLERS, TRANSFORMS, METRICS, EVALUATORS, FUNCTIONS)
# Whose classes build layers and weights, and do nothing else.
_LAYERS = (
    'mmpretrain.models.backbones.', 'mmpretrain.models.utils.', 'mmcv.cnn.', 'mmengine.model.',
    'mmcv.ops.', 'torch.nn.',
)  # fmt: skip
# What stands around a backbone in the recipes: heads, losses, classifiers, loaders, metrics.
_AROUND = (
    'mmpretrain.models.classifiers.image', 'mmpretrain.models.heads.linear_head',
    'mmpretrain.models.heads.contrastive_head', 'mmpretrain.models.heads.latent_heads',
    'mmpretrain.models.losses.', 'mmpretrain.models.necks.gap',
    'mmpretrain.models.necks.linear_neck', 'mmpretrain.models.necks.mocov2_neck',
    'mmpretrain.models.necks.nonlinear_neck', 'mmpretrain.datasets.transforms.',
    'mmpretrain.evaluation.metrics.single_label', 'mmcv.transforms.', 'mmengine.dataset.sampler',
    'mmengine.dataset.utils', 'mmengine.evaluator.evaluator',
)  # fmt: skip
# Of other packages than these only what the user has imported is registered.
_LIBRARIES = ('mmpretrain.', 'mmengine.', 'mmcv.', 'mmdet.', 'torch.', 'torchvision.', 'timm.')


def check_backbone(node: Any) -> None:
    """Refuse what is not a registered part of a backbone, with a ValueError."""
    _check(node, _BUILDING, _LAYERS)


def check_evaluated(node: Any) -> None:
    """Refuse what is not a registered part of a network, a loader or a metric: ValueError."""
    _check(node, (*_BUILDING, *_MEASURING, *OWN_REGISTRIES), (*_LAYERS, *_AROUND))


def _check(node: Any, registries: Iterable[Registry], trusted: tuple[str, ...]) -> None:
    if isinstance(node, dict):
        if 'type' in node:
            places = [_module(part) for part in _registered(node['type'], registries)]
            if not places or not all(_is_trusted(place, trusted) for place in places):
                kind = str(node['type'])[:60]
                raise ValueError(f'the config text builds {kind!r}, which is no part to trust')
        if '_scope_' in node:
            raise ValueError('the config text sets a _scope_')
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for item in node:
            _check(item, registries, trusted)


def _is_trusted(place: str, trusted: tuple[str, ...]) -> bool:
    if place.startswith('mmpretrain.') and place.endswith('.timm_backbone'):
        return False
    return f'{place}.'.startswith(trusted) or (bool(place) and not place.startswith(_LIBRARIES))


def _module(part: Callable) -> str:
    return getattr(part, '__module__', '') or ''


def _registered(kind: Any, registries: Iterable[Registry]) -> Iterator[Callable]:
    """Yield what each registry would build by a name, importing nothing by it."""
    scope, _, name = kind.rpartition('.') if isinstance(kind, str) else ('', '', None)
    for registry in registries:
        registry.import_from_location()
        above: Registry | None = registry
        while above is not None:
            if scope in ('', above.scope) and (part := above.module_dict.get(name)) is not None:
                yield part
                break
            above = above.parent
