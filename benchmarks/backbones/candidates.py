# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A backbone of a study: its config, and what it costs."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.registry import DefaultScope
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nasiam_mm.models.cost import weights_as_shapes
from nasiam_mm.probes.extract import pooled
from nasiam_mm.registry import MODELS


@dataclass(frozen=True)
class Backbone:
    """A backbone, as a file of a sample holds it.

    Attributes:
        name: Its own in the study.
        family: Such as ``'resnet'``.
        kind: ``'random'``, ``'hand-made'`` or ``'searched'``.
        config: Of the backbone, for ``MODELS.build``.
        parameters: Number of weights.
        macs: Multiplications with additions of one image, forward.
        features: Width of its pooled features.
    """

    name: str
    family: str
    kind: str
    config: Mapping[str, Any] = field(repr=False)
    parameters: int
    macs: int
    features: int


def measured(name: str, family: str, kind: str, config: Mapping[str, Any], size: int) -> Backbone:
    """Count what a backbone costs, nothing of it allocated.

    Args:
        name: See :class:`Backbone`, as the next three.
        family: Of its space.
        kind: How it was found.
        config: Of the backbone.
        size: Height and width of an image, pixels.

    Raises:
        ValueError: If it cannot be built or does not take such an image.
    """
    network = _built(config).to('meta').eval()
    with torch.device('meta'), torch.no_grad(), FlopCounterMode(display=False) as counter:
        features = pooled(network(torch.empty(1, 3, size, size))).shape[1]
    macs = counter.get_total_flops() // 2
    return Backbone(name, family, kind, dict(config), _size(network), macs, features)


def count_parameters(config: Mapping[str, Any]) -> int:
    """Count the weights of a backbone's config; ValueError if it cannot be built."""
    return _size(_built(config))


def _built(config: Mapping[str, Any]) -> nn.Module:
    with weights_as_shapes(), DefaultScope.overwrite_default_scope('nasiam_mm'):
        return MODELS.build(copy.deepcopy(dict(config)))


def _size(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())
