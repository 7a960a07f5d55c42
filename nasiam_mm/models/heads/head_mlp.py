# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a searched and a fixed head share: pooling before, output layer behind the cell."""

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn


class HeadMLP(BaseModule):
    """Global average pooling, a cell, a fixed output layer.

    It takes and gives tuples, as mmpretrain's necks do, so it fits the neck of
    an algorithm and the predictor of ``LatentPredictHead`` alike.

    Args:
        cell: Maps (N, C_in) to (N, C_cell).
        cell_channels: C_cell.
        out_channels: Width of the linear output layer behind the cell; None
            for no output layer.
        with_last_bn: Whether BatchNorm follows the output layer.
        with_last_bn_affine: Whether that BatchNorm has an affine map (SimSiam:
            False).
        with_avg_pool: Whether the input is a feature map (N, C_in, H, W) to
            average over H and W first.
        init_cfg: See ``mmengine.model.BaseModule``.
    """

    def __init__(
        self,
        cell: nn.Module,
        cell_channels: int,
        out_channels: int | None = None,
        with_last_bn: bool = False,
        with_last_bn_affine: bool = True,
        with_avg_pool: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if with_last_bn and out_channels is None:
            raise ValueError('with_last_bn needs an output layer: set out_channels')
        self.pool = nn.AdaptiveAvgPool2d(1) if with_avg_pool else None
        self.cell = cell
        self.output = nn.Sequential()
        if out_channels is not None:
            # BatchNorm's own centring stands in for the bias.
            self.output.append(nn.Linear(cell_channels, out_channels, bias=not with_last_bn))
        if with_last_bn:
            self.output.append(nn.BatchNorm1d(out_channels, affine=with_last_bn_affine))

    def forward(self, x: Sequence[Tensor]) -> tuple[Tensor]:
        """Map the last of the inputs, (N, C_in, H, W) or (N, C_in), to a tuple of (N, C_out)."""
        features = x[-1]
        if self.pool is not None:
            features = self.pool(features).flatten(1)
        return (self.output(self.cell(features)),)
