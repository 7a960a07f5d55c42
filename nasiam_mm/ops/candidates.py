# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Which candidates a layer has: those of its space that are different functions at its widths."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from itertools import pairwise

import torch
from torch import nn

from nasiam_mm.ops.shapes import LayerShape, Shape
from nasiam_mm.part_registry import open_registry

# Stands here, not in nasiam_mm.registry, so that the space needs no mmpretrain.
CANDIDATE_OPS = open_registry('candidate operation', 'nasiam_mm.ops')

# The spaces of the papers. A config writes its space out; these serve tools and tests.
SPACES = {
    # NASiam, section 3.2, and section 4.2: without the pools.
    'S': ('linear_bn_relu', 'max_pool_3_bn', 'avg_pool_3_bn', 'identity'),
    "S'": ('linear_bn_relu', 'identity'),
    # The later published version: four activations.
    'S+': (
        *('linear_bn_relu', 'linear_bn_silu', 'linear_bn_hardswish', 'linear_bn_elu'),
        *('max_pool_3_bn', 'avg_pool_3_bn', 'identity'),
    ),
}
# A wider layer is a typing error: its weight alone would not fit in memory.
MAX_WIDTH = 2**20
# Where the operations of the papers are; what they map to what is tested, not looked at again.
_OWN = 'nasiam_mm.ops.'


def operation_of(
    *kinds: str, fits: Callable[[Shape], bool] = lambda shape: True
) -> Callable[[Callable], Callable]:
    """Mark a builder as one of ``'vectors'`` or ``'maps'``, or of both; unmarked is of vectors.

    ``fits`` says of a shape of maps whether the operation is offered there.
    """

    def mark(builder: Callable) -> Callable:
        vars(builder).update(kinds=kinds, fits=fits)
        return builder

    return mark


def layer_shapes(
    in_channels: int, widths: Sequence[int], plain_output: bool = False
) -> tuple[LayerShape, ...]:
    """Chain the widths, positive integers, of a cell of at least one layer, or raise ValueError.

    ``plain_output`` says that the last layer carries no BN and no activation.
    """
    named = {'in_channels': in_channels, **{f'widths[{n}]': w for n, w in enumerate(widths)}}
    for what, width in named.items():
        if type(width) is not int or width < 1:
            raise ValueError(f'{what} of a cell must be a positive integer, got {width!r}')
    if not widths:
        raise ValueError('widths of a cell must name at least one layer')
    chain = enumerate(pairwise([in_channels, *widths]), 1)
    return tuple(LayerShape(*ends, plain_output and n == len(widths)) for n, ends in chain)


def _check_registered(name: str) -> None:
    if name not in CANDIDATE_OPS.module_dict:
        known = f'registered are {sorted(CANDIDATE_OPS.module_dict)}'
        mend = 'register yours with @CANDIDATE_OPS.register_module(), its file in custom_imports'
        raise ValueError(f'unknown candidate operation {name!r}; {known}; {mend}')


_MODULE = nn.ModuleDict()


def check_space(space: Sequence[str]) -> None:
    """Raise ValueError unless a space is a list of different registered operations.

    A name that no part of a module can have is refused as well.
    """
    is_list = isinstance(space, (list, tuple)) and all(isinstance(n, Hashable) for n in space)
    if not is_list or not space:
        what = f'a space is a list of registered operation names, got {space!r:.200}'
        raise ValueError(f'{what}; for example {list(SPACES["S"])}')
    if repeated := [name for name, count in Counter(space).items() if count > 1]:
        raise ValueError(f'a space names each operation once; repeated: {repeated}')
    for name in space:
        _check_registered(name)
        if not name or '.' in name or hasattr(_MODULE, name):
            why = 'which torch forbids or uses itself in a module; register it by another name'
            raise ValueError(f'an operation cannot be called {name!r}, {why}')


def build_op(name: str, in_channels: int, out_channels: int, is_output: bool = False) -> nn.Module:
    """Build a registered operation, (N, in_channels) to (N, out_channels), of integer widths.

    ``is_output`` asks for the form without BatchNorm and activation. ValueError for a name that
    is not registered, or a width not from 1 to ``MAX_WIDTH``.
    """
    return build_at(name, LayerShape(in_channels, out_channels, is_output))


def build_at(name: str, shape: Shape) -> nn.Module:
    """Build a registered operation at a layer; ValueError as of :func:`build_op`, or by kind."""
    _check_registered(name)
    _check_widths(shape.in_channels, shape.out_channels)
    builder = CANDIDATE_OPS.get(name)
    _check_kind(name, builder, shape)
    return builder(shape.in_channels, shape.out_channels, **shape.settings)


def _check_widths(in_channels: int, out_channels: int) -> None:
    for what, width in (('in_channels', in_channels), ('out_channels', out_channels)):
        if type(width) is not int or not 1 <= width <= MAX_WIDTH:
            need = f'must be an integer from 1 to {MAX_WIDTH}'
            raise ValueError(f'{what} of a head layer {need}, got {width!r}')


def _structure(name: str, op: nn.Module) -> tuple[str, ...]:
    """Describe an operation so that equal descriptions mean equal functions."""
    layers = list(op) if type(op) is nn.Sequential else [op]
    # Only torch's own layers are known to print all that defines them.
    known = [type(layer).__module__.startswith('torch.nn') for layer in layers]
    pairs = zip(layers, known, strict=True)
    return tuple(repr(layer) if own else f'{name}: {layer!r}' for layer, own in pairs)


def _check_kind(name: str, builder: Callable, shape: Shape) -> None:
    """Refuse an operation of the other kind than a layer's with a ValueError."""
    kinds = getattr(builder, 'kinds', ('vectors',))
    if shape.kind not in kinds:
        what = f'operation {name!r} is one of {" and ".join(kinds)}'
        mend = 'vectors are what heads take, maps what backbones do'
        raise ValueError(f'{what}, where a layer of {shape.kind} needs one of its own; {mend}')


def candidate_labels(space: Sequence[str], shape: Shape) -> dict[str, str]:
    """Say which candidate each option of a space is at one layer: option -> label, in order.

    At an output layer linear_bn_* and, where the width changes, identity are the same linear map;
    searching over duplicates would split its weight. Options that are one function have one
    label: ``'linear'`` for a linear map and no more, otherwise the name of the first of them. An
    option of maps that does not fit there, as an identity where the width changes, has none.
    ValueError, too, if one does not map the layer's input to its output, or none fits.
    """
    labels = zip(space, _all_labels(space, shape), strict=True)
    return {option: label for option, label in labels if label is not None}


def _all_labels(space: Sequence[str], shape: Shape) -> tuple[str | None, ...]:
    check_space(space)
    # By the builders too: a name may be registered anew.
    builders = tuple(CANDIDATE_OPS.module_dict[name] for name in space)
    _check_widths(shape.in_channels, shape.out_channels)
    if shape.kind == 'vectors' and all(map(_is_own, builders)):
        # They differ by whether the width changes alone; a head of many widths is soon read.
        changes = shape.in_channels != shape.out_channels
        shape = LayerShape(2, 2 + changes, shape.is_output)
    labels = _labels(tuple(space), builders, shape)
    if not any(labels):
        what = f'none of {list(space)} fits a layer of {shape.in_channels} to {shape.out_channels}'
        raise ValueError(f'{what} channels, stride {shape.stride}; add one that does')
    return labels


def _is_own(builder: object) -> bool:
    return (getattr(builder, '__module__', None) or '').startswith(_OWN)


@lru_cache(maxsize=4096)
def _labels(space: tuple[str, ...], builders: tuple, shape: Shape) -> tuple[str | None, ...]:
    labels: dict[tuple[str, ...], str] = {}
    found: list[str | None] = []
    # On the meta device nothing is allocated and no random number is drawn.
    with torch.device('meta'):
        linear_map = _structure('linear', build_op('linear', *shape[:2]))
        for name, builder in zip(space, builders, strict=True):
            _check_kind(name, builder, shape)
            if shape.kind == 'maps' and not builder.fits(shape):
                found.append(None)
                continue
            op = build_at(name, shape)
            given = None if _is_own(builder) else tuple(op(torch.empty(shape.taken)).shape)
            if given not in (None, shape.given):
                what = f'operation {name!r} maps {shape.taken} to {given}'
                raise ValueError(f'{what}; it must give {shape.given}')
            structure = _structure(name, op)
            label = 'linear' if structure == linear_map else name
            found.append(labels.setdefault(structure, label))
    return tuple(found)


def distinct_candidates(space: Sequence[str], shape: Shape) -> dict[int, str]:
    """Candidates of one layer, position in the space -> label of :func:`candidate_labels`.

    Options that are the same function count once, at the place of the first of them.
    """
    labels = _all_labels(space, shape)
    return {labels.index(label): label for label in dict.fromkeys(labels) if label is not None}
