# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A backbone by its name; its width and what it costs, found by one pass without memory."""

import copy
import inspect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nasiam_mm.models.backbones.base import ChoiceBackbone
from nasiam_mm.models.backbones.handing import mix_evenly
from nasiam_mm.models.cost import weights_as_shapes
from nasiam_mm.registry import MODELS

_NATIVE = 224  # pixels that networks are made for
_SMALL = 64  # pixels up to which a ResNet has the stem for CIFAR
_SHORT = {
    'resnet18': dict(depth=18),
    'resnet34': dict(depth=34),
    'resnet50': dict(depth=50),
    'resnet101': dict(depth=101),
    # That of the demo, a quarter as wide.
    'resnet18_small': dict(depth=18, stem_channels=16, base_channels=16),
}
_OTHERS: dict[str, dict] = {
    'mobilenet_v2': dict(type='MobileNetV2'),
    'deit_tiny': dict(type='VisionTransformer', arch='deit-tiny'),
    'deit_small': dict(type='VisionTransformer', arch='deit-small'),
}
_TIMM = 'timm/'
SHORT_NAMES = (*_SHORT, *_OTHERS)


@dataclass(frozen=True)
class Backbone:
    """A backbone and what a dry pass told of it, at one size of image.

    Attributes:
        cfg: What builds it.
        name: For people.
        width: D, of its features.
        has_maps: Whether it gives maps, (N, D, H, W), which a head averages, or (N, D).
        map_size: Height of the last map in pixels; 1 without maps.
        flops: Of one image, forward.
        numbers: Outputs of all its layers for one image: what a training keeps.
        has_batch_norm: Whether it normalises by the batch, as what is trained by SGD does.
    """

    cfg: dict[str, Any]
    name: str
    width: int
    has_maps: bool
    map_size: int
    flops: int
    numbers: int
    has_batch_norm: bool


def find_backbone(name: str | Mapping[str, Any], size: int) -> Backbone:
    """Find a backbone and pass two images through it, on the meta device.

    Args:
        name: One of :data:`SHORT_NAMES`; ``timm/NAME`` of timm; a type registered with mmpretrain,
            such as ``'MobileNetV3'``; or the config of one, ``dict(type='ResNet', depth=50)``.
        size: Height and width of the images, pixels.

    Raises:
        ValueError: If there is none of that name, it cannot be built, or it gives no features.
        ModuleNotFoundError: If timm is asked for and not installed.
    """
    cfg, told = _config(name, size)
    outputs, counted = _dry_pass(cfg, told, size)
    if len(outputs) > 1 and 'out_indices' in _arguments(cfg):
        last = getattr(counted.module, 'out_indices', None)
        if isinstance(last, (list, tuple)) and last:
            cfg['out_indices'] = (max(last),) if min(last) >= 0 else (-1,)
            outputs, counted = _dry_pass(cfg, told, size)
    found = outputs[-1]
    if len(outputs) > 1 or found.ndim not in (2, 4):
        shapes = ', '.join(str(tuple(output.shape)) for output in outputs)
        raise ValueError(
            f'backbone {told} gives {shapes} for two images, where one (N, D, H, W) or (N, D) is '
            "needed; give its config with the options that do, as dict(type='...', out_indices=3)"
        )
    norms = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in counted.module.modules())
    return Backbone(
        cfg=cfg,
        name=told,
        width=found.shape[1],
        has_maps=found.ndim == 4,
        map_size=found.shape[2] if found.ndim == 4 else 1,
        flops=counted.flops // 2,
        numbers=counted.numbers // 2,
        has_batch_norm=norms,
    )


def refuse_backbone(name: str | Mapping[str, Any]) -> None:
    """Refuse what can be built for no image, before images are looked at.

    Raises:
        ValueError: As of :func:`find_backbone`.
        ModuleNotFoundError: Likewise.
    """
    _build(*_config(name, _NATIVE))


def _config(name: str | Mapping[str, Any], size: int) -> tuple[dict[str, Any], str]:
    """Return the config of a backbone, and its name for people."""
    if not isinstance(name, (str, Mapping)):
        raise ValueError(f'a backbone is a name or a config, got {name!r:.80}')
    if isinstance(name, Mapping):
        if not isinstance(name.get('type'), str):
            raise ValueError(f"a backbone's config names its type, got {dict(name)!r:.80}")
        cfg = copy.deepcopy(dict(name))
        told = cfg['type']
    elif name in _SHORT:
        kind = 'ResNet_CIFAR' if size <= _SMALL else 'ResNet'
        cfg = dict(type=kind, out_indices=(3,), norm_cfg=dict(type='BN'), **_SHORT[name])
        told = name
    elif name.startswith(_TIMM):
        cfg, told = dict(type='TimmFeatures', model_name=name.removeprefix(_TIMM)), name
        try:
            _build(cfg, told)
            _dry_pass(cfg, told, size)
        except ValueError:
            cfg['img_size'] = size  # a transformer's, built for one size
    else:
        cfg, told = copy.deepcopy(_OTHERS.get(name, dict(type=name))), name
    arguments = _arguments(cfg)
    if 'img_size' in arguments and cfg['type'] != 'TimmFeatures':
        cfg.setdefault('img_size', size)
        if 'patch_size' in arguments and size < 224:
            # As many patches a side as at 224 pixels, where they go in.
            cfg.setdefault('patch_size', next(p for p in (16, 8, 4, 2, 1) if size // p >= 8))
    return cfg, told


def _arguments(cfg: Mapping[str, Any]) -> set[str]:
    """Return the names of what a registered type takes.

    Raises:
        ValueError: If there is no such type.
    """
    kind = None
    # By a name with dots the registry looks for a module, which may fail in any way.
    with suppress(Exception), DefaultScope.overwrite_default_scope('nasiam_mm'):
        kind = MODELS.get(cfg['type'])
    if not inspect.isclass(kind):
        known = [*SHORT_NAMES, 'timm/NAME', *MODELS.parent.module_dict]
        near = get_close_matches(cfg['type'], known, n=1, cutoff=0.5)
        there = f"but {', '.join(SHORT_NAMES)}, timm/NAME, and every backbone's type of mmpretrain"
        meant = f'; did you mean {near[0]}?' if near else ''
        raise ValueError(f'there is no backbone {cfg["type"]!r:.80}, {there}{meant}')
    names: set[str] = set()
    for base in kind.__mro__:
        if '__init__' in vars(base):
            names |= set(inspect.signature(vars(base)['__init__']).parameters)
    return names


@dataclass
class _Counted:
    module: nn.Module
    flops: int = 0
    numbers: int = 0


def _build(cfg: Mapping[str, Any], told: str) -> nn.Module:
    try:
        with weights_as_shapes(), DefaultScope.overwrite_default_scope('nasiam_mm'):
            return MODELS.build(copy.deepcopy(dict(cfg)))
    except ModuleNotFoundError:
        raise
    except Exception as error:  # a network's own errors are of any kind
        text = ' '.join(str(error).split())
        # What we refuse says what to give.
        mend = '' if '; give ' in text else "; give its config, as dict(type='ResNet', depth=50)"
        raise ValueError(f'backbone {told} cannot be built: {text:.200}{mend}') from error


def _dry_pass(cfg: Mapping[str, Any], told: str, size: int) -> tuple[list[Tensor], _Counted]:
    """Return what the backbone gives for two images, and what that takes."""
    module = _build(cfg, told)
    if isinstance(module, ChoiceBackbone):
        mix_evenly(module)
    module = module.to('meta')
    module.eval()  # mmpretrain's returns nothing to chain on
    counted = _Counted(module)

    def count(_module: nn.Module, _inputs: Any, output: Any) -> None:
        counted.numbers += output.numel() if isinstance(output, Tensor) else 0

    leaves = [part for part in module.modules() if not list(part.children())]
    handles = [leaf.register_forward_hook(count) for leaf in leaves]
    try:
        with torch.device('meta'), torch.no_grad(), FlopCounterMode(display=False) as counter:
            output = module(torch.empty(2, 3, size, size))
    except Exception as error:
        text = ' '.join(str(error).split())
        told = f'backbone {told} does not take images of {size} pixels: {text:.200}'
        raise ValueError(f'{told}; give another --size') from error
    finally:
        for handle in handles:
            handle.remove()
    counted.flops = counter.get_total_flops()
    outputs = [output] if isinstance(output, Tensor) else list(output)
    if not outputs or not all(isinstance(found, Tensor) for found in outputs):
        raise ValueError(f'backbone {told} gives no tensors for images: {type(output).__name__}')
    return outputs, counted
