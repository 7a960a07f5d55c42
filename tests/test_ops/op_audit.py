# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Audit of a layer's candidates: different functions, comparable scales (design, section 1)."""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from nasiam_mm.ops.candidates import LayerShape, build_op, distinct_candidates, layer_shapes

# Smallest relative difference of the outputs of two different functions.
DIFFERENT = 0.05
# Largest ratio of the output deviations at initialisation.
ONE_ORDER = 10.0


def audit(space: Sequence[str], shape: LayerShape, batch: int = 64) -> None:
    """Assert that the candidates of a layer are worth searching over.

    On unit Gaussian and on non-negative features: output deviations at
    initialisation lie within one order of magnitude, over everything and over
    the batch alone; with equal linear maps no two candidates agree; every
    operation that is no candidate equals one.

    Args:
        space: Ordered names of the operations.
        shape: Widths of the layer.
        batch: Number of random inputs.
    """
    candidates = distinct_candidates(space, shape)
    ops = {name: build_op(name, *shape) for name in candidates.values()}
    gaussian = torch.randn(batch, shape.in_channels)
    inputs = {'gaussian': gaussian, 'non-negative': gaussian.relu()}
    for kind, x in inputs.items():
        for what, deviation in (('all', _std_all), ('batch', _std_batch)):
            scale = {name: deviation(_output(op, x)) for name, op in ops.items()}
            low, high = min(scale.values()), max(scale.values())
            assert all(map(math.isfinite, scale.values())), f'{tuple(shape)}, {kind}: {scale}'
            assert 0 < high < ONE_ORDER * low, (
                f'{tuple(shape)}, {kind}: deviations over {what} differ: {scale}'
            )
    maps = _share_linear_maps(ops.values())
    outputs = {name: _output(op, gaussian) for name, op in ops.items()}
    for a, b in combinations(ops, 2):
        difference = _relative(outputs[a], outputs[b])
        assert difference > DIFFERENT, f'{tuple(shape)}: {a} and {b} are one function'
    for name in set(space) - set(candidates.values()):
        op = build_op(name, *shape)
        _share_linear_maps([op], maps)
        output = _output(op, gaussian)
        twins = [twin for twin in ops if torch.equal(output, outputs[twin])]
        assert len(twins) == 1, f'{tuple(shape)}: {name} was merged but equals {twins}'


def published_shapes() -> set[LayerShape]:
    """Every (C_in, C_out, is_output) of the published heads, at every depth they allow."""
    chains = []
    for width in (512, 2048):
        chains += [layer_shapes(width, [width] * depth) for depth in range(1, 7)]
        chains += [layer_shapes(width, [512] * depth + [128]) for depth in range(6)]
    # Predictors: SimSiam, BYOL, and BYOL for ResNet-18.
    for outer, hidden in ((2048, 512), (256, 4096), (256, 1024)):
        chains += [layer_shapes(outer, [hidden] * depth + [outer], True) for depth in range(4)]
    return {shape for chain in chains for shape in chain}


@torch.no_grad()
def _output(op: nn.Module, x: Tensor) -> Tensor:
    return op.train()(x)


def _std_all(output: Tensor) -> float:
    return output.std().item()


def _std_batch(output: Tensor) -> float:
    return output.var(dim=0).mean().sqrt().item()


def _relative(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / torch.maximum(a.norm(), b.norm())).item()


@torch.no_grad()
def _share_linear_maps(
    ops: Iterable[nn.Module], maps: dict[tuple[int, ...], Tensor] | None = None
) -> dict[tuple[int, ...], Tensor]:
    """Give linear maps of equal widths equal weights and no bias; return the weights."""
    maps = {} if maps is None else maps
    for op in ops:
        for layer in op.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.copy_(maps.setdefault(tuple(layer.weight.shape), layer.weight))
                if layer.bias is not None:
                    layer.bias.zero_()
    return maps
