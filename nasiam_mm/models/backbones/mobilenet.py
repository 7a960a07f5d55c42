# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The space of MobileNets that ProxylessNAS searches, at the size of small images."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from nasiam_mm.architecture.plan import BackbonePlan
from nasiam_mm.models.backbones.arguments import whole, wholes
from nasiam_mm.models.backbones.base import ChainBackbone
from nasiam_mm.ops.conv import conv
from nasiam_mm.ops.shapes import MapShape
from nasiam_mm.registry import MODELS


@MODELS.register_module()
class ChoiceMobileNet(ChainBackbone):
    """Stages of inverted residuals (`ProxylessNAS`_, section 4.1), each a choice of its own.

    Choices: the operation ``op`` of every block, such as ``'mbconv_5_e6'`` (kernel 5, expansion 6)
    or, where the shape stays, ``'identity'``, which takes the block out; ``width``; ``blocks``,
    where no operation is decided.

    Args:
        blocks: Of each stage.
        channels: Width of the stem and of each stage.
        strides: Of the first block of each stage.
        op: Operation of the blocks of which nothing is decided.
        img_size: Height and width of the images, pixels, which costs are counted at.
        **kwargs: Those of ``ChoiceBackbone``.

    .. _ProxylessNAS: https://arxiv.org/abs/1812.00332
    """

    kinds = ('blocks', 'width', 'op')

    def __init__(
        self,
        blocks: Sequence[int] = (2, 2, 2),
        channels: Sequence[int] = (16, 24, 32, 64),
        strides: Sequence[int] = (1, 2, 2),
        op: str = 'mbconv_3_e6',
        img_size: int = 32,
        **kwargs: Any,
    ) -> None:
        name = type(self).__name__
        wholes(name, blocks=blocks, channels=channels, strides=strides)
        whole(name, img_size=img_size)
        if not len(blocks) == len(strides) == len(channels) - 1:
            need = 'blocks and strides for each stage, channels for the stem as well'
            raise ValueError(f'ChoiceMobileNet takes {need}')
        self._default = op
        plan = BackbonePlan(tuple(blocks), tuple(channels), tuple(strides), img_size)
        super().__init__(plan, **kwargs)

    def make_stem(self) -> nn.Module:
        """Map images, (N, 3, H, W), to (N, C, H, W)."""
        width = self.plan.channels[0]
        return nn.Sequential(conv(3, width, 3), nn.BatchNorm2d(width), nn.ReLU6())

    def default_op(self, shape: MapShape) -> str:
        """Operation of a block of which nothing is decided."""
        return self._default
