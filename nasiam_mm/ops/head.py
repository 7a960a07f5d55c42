# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Candidate operations of a head layer (NASiam, section 3.2).

Each maps (N, C_in) to (N, C_out) and is registered as a builder

    op(in_channels: int, out_channels: int, is_output: bool) -> nn.Module

where ``is_output`` asks for the form without BatchNorm and activation that the predictor's last
layer needs (SimSiam: a BN there makes training unstable). Registering a builder is all it takes
to search over a new operation (docs/extend/operation.md).
"""

from collections.abc import Callable

from torch import nn

from nasiam_mm.ops.candidates import CANDIDATE_OPS, operation_of
from nasiam_mm.ops.shapes import keeps_shape

Builder = Callable[..., nn.Module]


def linear_block(
    activation: Builder, in_channels: int, out_channels: int, is_output: bool = False
) -> nn.Sequential:
    """Linear, BatchNorm, activation; the linear map alone at an output layer."""
    if is_output:
        return nn.Sequential(nn.Linear(in_channels, out_channels))
    # BatchNorm's shift stands in for the bias.
    mapping = nn.Linear(in_channels, out_channels, bias=False)
    return nn.Sequential(mapping, nn.BatchNorm1d(out_channels), activation())


def pool_block(
    pool: Builder, in_channels: int, out_channels: int, is_output: bool = False
) -> nn.Sequential:
    """Pooling over three neighbouring features (1-d, zeros at the rim of a mean), BatchNorm.

    A linear map comes first where the width changes. On a (N, C) input ``nn.MaxPool1d`` and
    ``nn.AvgPool1d`` both take C as the axis to slide along.
    """
    layers: list[nn.Module] = []
    if in_channels != out_channels:
        layers.append(nn.Linear(in_channels, out_channels, bias=is_output))
    layers.append(pool(3, stride=1, padding=1))
    if not is_output:
        layers.append(nn.BatchNorm1d(out_channels))
    return nn.Sequential(*layers)


@CANDIDATE_OPS.register_module()
def linear(in_channels: int, out_channels: int, is_output: bool = False) -> nn.Sequential:
    """Linear map: what identity is where the width changes, and linear_bn_* at an output."""
    return nn.Sequential(nn.Linear(in_channels, out_channels))


@CANDIDATE_OPS.register_module()
@operation_of('vectors', 'maps', fits=keeps_shape)
def identity(
    in_channels: int, out_channels: int, is_output: bool = False, stride: int = 1
) -> nn.Sequential:
    """Identity: lets the search shorten the head (NASiam, section 3.2), or a backbone.

    Of maps it is the zero operation beside a shortcut, offered where the shape stays.
    """
    return nn.Sequential() if in_channels == out_channels else linear(in_channels, out_channels)


def _register(name: str, block: Builder, layer: Builder) -> None:
    @CANDIDATE_OPS.register_module(name=name)
    def build(in_channels: int, out_channels: int, is_output: bool = False) -> nn.Module:
        return block(layer, in_channels, out_channels, is_output)


_register('linear_bn_relu', linear_block, nn.ReLU)
_register('linear_bn_silu', linear_block, nn.SiLU)
_register('linear_bn_hardswish', linear_block, nn.Hardswish)
_register('linear_bn_elu', linear_block, nn.ELU)
_register('max_pool_3_bn', pool_block, nn.MaxPool1d)
_register('avg_pool_3_bn', pool_block, nn.AvgPool1d)
