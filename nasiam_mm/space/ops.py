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

from collections.abc import Callable, Sequence

import torch
from mmengine.registry import Registry
from torch import nn

# Stands here, not in nasiam_mm.registry, so that the space needs no mmpretrain.
CANDIDATE_OPS = Registry('candidate operation', scope='nasiam_mm')


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


# The spaces of the papers. A config writes its space out; these serve tools and tests.
SPACES = {
    # NASiam, section 3.2.
    'S': ('linear_bn_relu', 'max_pool_3_bn', 'avg_pool_3_bn', 'identity'),
    # NASiam, section 4.2: without the pools.
    "S'": ('linear_bn_relu', 'identity'),
    # The later published version: four activations.
    'S+': (
        'linear_bn_relu',
        'linear_bn_silu',
        'linear_bn_hardswish',
        'linear_bn_elu',
        'max_pool_3_bn',
        'avg_pool_3_bn',
        'identity',
    ),
}


# A wider layer is a typing error: its weight alone would not fit in memory.
MAX_WIDTH = 2**20


def _check_registered(name: str) -> None:
    if name not in CANDIDATE_OPS.module_dict:
        raise ValueError(
            f'unknown candidate operation {name!r}; registered are '
            f'{sorted(CANDIDATE_OPS.module_dict)}; register yours with '
            '@CANDIDATE_OPS.register_module() and name its file in custom_imports'
        )


def check_space(space: Sequence[str]) -> None:
    """Check that a space is a list of different registered operations.

    Raises:
        ValueError: If it is empty, repeats a name or names an unknown operation.
    """
    if isinstance(space, str) or not space:
        raise ValueError(
            f'a space is a list of registered operation names, got {space!r}; '
            f'for example {list(SPACES["S"])}'
        )
    repeated = sorted({name for name in space if list(space).count(name) > 1})
    if repeated:
        raise ValueError(f'a space names each operation once; repeated: {repeated}')
    for name in space:
        _check_registered(name)


def build_op(name: str, in_channels: int, out_channels: int, is_output: bool = False) -> nn.Module:
    """Build a registered candidate operation.

    Args:
        name: Registered name.
        in_channels: Width of the input, (N, in_channels).
        out_channels: Width of the output, (N, out_channels).
        is_output: Whether to ask for the form without BatchNorm and activation.

    Raises:
        ValueError: If the name is not registered, or a width is not an integer
            from 1 to ``MAX_WIDTH``.
    """
    _check_registered(name)
    for what, width in (('in_channels', in_channels), ('out_channels', out_channels)):
        if not isinstance(width, int) or isinstance(width, bool) or not 1 <= width <= MAX_WIDTH:
            raise ValueError(
                f'{what} of a head layer must be an integer from 1 to {MAX_WIDTH}, got {width!r}'
            )
    return CANDIDATE_OPS.get(name)(in_channels, out_channels, is_output=is_output)


def _structure(name: str, op: nn.Module) -> tuple[str, ...]:
    """Describe an operation so that equal descriptions mean equal functions."""
    layers = list(op) if type(op) is nn.Sequential else [op]
    return tuple(
        # Only torch's own layers are known to print all that defines them.
        repr(layer) if type(layer).__module__.startswith('torch.nn') else f'{name}: {layer!r}'
        for layer in layers
    )


def distinct_candidates(
    space: Sequence[str],
    in_channels: int,
    out_channels: int,
    is_output: bool = False,
) -> dict[int, str]:
    """Candidates of one layer, those that are the same function counted once.

    At an output layer linear_bn_* and, where the width changes, identity are
    the same linear map; searching over duplicates would split its weight. The
    survivor takes the place of the first duplicate in the space and is named
    ``'linear'`` when it is a linear map and no more.

    Args:
        space: Ordered names of registered operations.
        in_channels: Width of the input.
        out_channels: Width of the output.
        is_output: Whether the layer carries no BatchNorm and no activation.

    Returns:
        Position in the space -> name of the candidate at this layer.

    Raises:
        ValueError: If the space is empty, repeats a name, or an operation is
            unknown or does not map (N, in_channels) to (N, out_channels).
    """
    check_space(space)
    found: dict[tuple[str, ...], tuple[int, str]] = {}
    # On the meta device nothing is allocated and no random number is drawn.
    with torch.device('meta'):
        linear_map = _structure('linear', build_op('linear', in_channels, out_channels))
        for position, name in enumerate(space):
            op = build_op(name, in_channels, out_channels, is_output)
            shape = tuple(op(torch.empty(2, in_channels)).shape)
            if shape != (2, out_channels):
                raise ValueError(
                    f'operation {name!r} maps (2, {in_channels}) to {shape}; '
                    f'it must give (2, {out_channels})'
                )
            structure = _structure(name, op)
            label = 'linear' if structure == linear_map else name
            found.setdefault(structure, (position, label))
    return dict(found.values())
