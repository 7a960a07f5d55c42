# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Candidate operations of a head layer (NASiam, section 3.2).

Each operation maps (N, C_in) to (N, C_out). It is registered as a builder

    op(in_channels: int, out_channels: int, is_output: bool) -> nn.Module

where ``is_output`` asks for the form without BatchNorm and activation that
the predictor's last layer needs (SimSiam: a BN there makes training
unstable). Pooling is one-dimensional over the feature axis, window 3, stride
1, padding 1. Where the width changes, pools and identity start with a linear
map.

Registering a builder is all it takes to search over a new operation::

    @CANDIDATE_OPS.register_module()
    def linear_bn_gelu(in_channels, out_channels, is_output=False):
        return linear_block(nn.GELU, in_channels, out_channels, is_output)
"""

from collections.abc import Callable

from torch import nn

from nasiam_mm.ops.candidates import CANDIDATE_OPS


def linear_block(
    activation: Callable[[], nn.Module], in_channels: int, out_channels: int, is_output: bool
) -> nn.Sequential:
    """Linear, BatchNorm, activation; the linear map alone at an output layer.

    Args:
        activation: Builds the activation.
        in_channels: Width of the input, (N, in_channels).
        out_channels: Width of the output, (N, out_channels).
        is_output: Whether to leave out BatchNorm and activation.
    """
    if is_output:
        return nn.Sequential(nn.Linear(in_channels, out_channels))
    return nn.Sequential(
        # BatchNorm's shift stands in for the bias.
        nn.Linear(in_channels, out_channels, bias=False),
        nn.BatchNorm1d(out_channels),
        activation(),
    )


def pool_block(
    pool: Callable[..., nn.Module], in_channels: int, out_channels: int, is_output: bool
) -> nn.Sequential:
    """Pooling over the feature axis, BatchNorm; a linear map first where the width changes.

    Args:
        pool: ``nn.MaxPool1d`` or ``nn.AvgPool1d``; on a (N, C) input both take
            C as the axis to slide along.
        in_channels: Width of the input, (N, in_channels).
        out_channels: Width of the output, (N, out_channels).
        is_output: Whether to leave out BatchNorm.
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
def identity(in_channels: int, out_channels: int, is_output: bool = False) -> nn.Sequential:
    """Identity: lets the search shorten the head (NASiam, section 3.2)."""
    if in_channels == out_channels:
        return nn.Sequential()
    return linear(in_channels, out_channels)


@CANDIDATE_OPS.register_module()
def linear_bn_relu(in_channels: int, out_channels: int, is_output: bool = False) -> nn.Sequential:
    """Linear, BatchNorm, ReLU."""
    return linear_block(nn.ReLU, in_channels, out_channels, is_output)


@CANDIDATE_OPS.register_module()
def linear_bn_silu(in_channels: int, out_channels: int, is_output: bool = False) -> nn.Sequential:
    """Linear, BatchNorm, SiLU."""
    return linear_block(nn.SiLU, in_channels, out_channels, is_output)


@CANDIDATE_OPS.register_module()
def linear_bn_hardswish(
    in_channels: int, out_channels: int, is_output: bool = False
) -> nn.Sequential:
    """Linear, BatchNorm, Hardswish."""
    return linear_block(nn.Hardswish, in_channels, out_channels, is_output)


@CANDIDATE_OPS.register_module()
def linear_bn_elu(in_channels: int, out_channels: int, is_output: bool = False) -> nn.Sequential:
    """Linear, BatchNorm, ELU."""
    return linear_block(nn.ELU, in_channels, out_channels, is_output)


@CANDIDATE_OPS.register_module()
def max_pool_3_bn(in_channels: int, out_channels: int, is_output: bool = False) -> nn.Sequential:
    """Max pooling over three neighbouring features, BatchNorm."""
    return pool_block(nn.MaxPool1d, in_channels, out_channels, is_output)


@CANDIDATE_OPS.register_module()
def avg_pool_3_bn(in_channels: int, out_channels: int, is_output: bool = False) -> nn.Sequential:
    """Average pooling over three neighbouring features (zeros at the rim), BatchNorm."""
    return pool_block(nn.AvgPool1d, in_channels, out_channels, is_output)
