# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The space of ResNets of the study "Moving beyond handcrafted architectures" (2023)."""

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
class ChoiceResNet(ChainBackbone):
    """A ResNet for small images: a 3x3 stem, stages of halved maps and doubled width.

    Choices: ``blocks`` of each stage, ``block`` (basic or bottleneck, whose stages are four times
    as wide, as in He et al.), ``kernel``, ``width``; or, where ``blocks`` and ``width`` are fixed,
    the operation ``op`` of every block, of equal width, which alpha can mix. The study's text does
    not give its own space.

    Args:
        blocks: Of each stage, where a genotype does not decide.
        block: Form of the blocks, likewise.
        kernel: Of their convolutions, pixels, likewise.
        base_channels: Width of the first stage at width ratio 1.
        stem_channels: Width of the stem.
        img_size: Height and width of the images, pixels, which costs are counted at.
        **kwargs: Those of ``ChoiceBackbone``.
    """

    kinds = ('blocks', 'block', 'kernel', 'width', 'op')

    def __init__(
        self,
        blocks: Sequence[int] = (2, 2, 2),
        block: str = 'basic',
        kernel: int = 3,
        base_channels: int = 16,
        stem_channels: int = 16,
        img_size: int = 32,
        **kwargs: Any,
    ) -> None:
        name = type(self).__name__
        wholes(name, blocks=blocks)
        sizes = dict(base_channels=base_channels, stem_channels=stem_channels, img_size=img_size)
        whole(name, **sizes)
        widths = [base_channels * 2**stage for stage in range(len(blocks))]
        strides = (1,) + (2,) * (len(blocks) - 1)
        channels = stem_channels, *widths
        plan = BackbonePlan(tuple(blocks), channels, strides, img_size, block, kernel)
        super().__init__(plan, **kwargs)

    def make_stem(self) -> nn.Module:
        """Map images, (N, 3, H, W), to (N, C, H, W)."""
        width = self.plan.channels[0]
        return nn.Sequential(conv(3, width, 3), nn.BatchNorm2d(width), nn.ReLU())

    def widths(self, plan: BackbonePlan) -> tuple[int, ...]:
        """Width of each stage."""
        factor = 4 if plan.block == 'bottleneck' else 1
        return tuple(factor * width for width in super().widths(plan))

    def default_op(self, shape: MapShape) -> str:
        """Operation of a block of which nothing else is decided."""
        return f'{self.plan.block}_{self.plan.kernel}'
