# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Import of genotypes in the authors' text form, parsed and never evaluated."""

import ast

from nasiam_mm.architecture.genotype import CellGenotype, Genotype, GenotypeError, LayerGenotype
from nasiam_mm.ops.candidates import (
    MAX_WIDTH,
    SPACES,
    LayerShape,
    distinct_candidates,
    layer_shapes,
)

_NAMES = {
    'linear_relu': 'linear_bn_relu',
    'linear_silu': 'linear_bn_silu',
    'linear_hardswish': 'linear_bn_hardswish',
    'linear_elu': 'linear_bn_elu',
    'maxpool_3x3': 'max_pool_3_bn',
    'avgpool_3x3': 'avg_pool_3_bn',
    'identity': 'identity',
}
# The one cell of SimCLR stands under 'predictor' in its files, though it is the projector.
_CELLS = {
    'SimSiam': {'encoder': 'projector', 'predictor': 'predictor'},
    'MoCo': {'encoder': 'projector'},
    'SimCLR': {'predictor': 'projector'},
}


def import_published(text: str, framework: str, width: int, source: str = 'text') -> Genotype:
    """Read ``Genotype(encoder=[['linear_relu'], ...], predictor=[...])``.

    The text holds names only; the widths are those of the published heads for
    a backbone of the given width (design of the heads: SimSiam predictor
    2048-512-2048, SimCLR D-512-128).

    Args:
        text: Content of the file.
        framework: ``'SimSiam'``, ``'MoCo'`` or ``'SimCLR'``.
        width: Width D of the backbone's features, such as 512 for ResNet-18.
        source: What to call it in messages, usually the file's path.

    Raises:
        GenotypeError: If the text is not of that form, names an operation or
            cell the framework does not have, or the width cannot be.
    """

    def fail(what: str) -> GenotypeError:
        return GenotypeError(f"published genotype '{source}': {what}")

    if not isinstance(framework, str) or framework not in _CELLS:
        raise fail(f'framework must be one of {sorted(_CELLS)}, got {framework!r}')
    if not isinstance(width, int) or isinstance(width, bool) or not 1 <= width <= MAX_WIDTH:
        raise fail(f'width must be an integer from 1 to {MAX_WIDTH}, got {width!r:.60}')
    try:
        call = ast.parse(text.strip(), mode='eval').body
        if not isinstance(call, ast.Call) or getattr(call.func, 'id', None) != 'Genotype':
            raise ValueError('no call of Genotype')
        if call.args:
            raise ValueError('cells must be named')
        names = [keyword.arg for keyword in call.keywords]
        if len(set(names)) != len(names):
            raise ValueError('a cell is named twice')
        lists = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        # literal_eval appends the address of a syntax node.
        reason = str(error).partition(': <ast.')[0] or type(error).__name__
        raise fail(
            f"is not of the form Genotype(encoder=[['linear_relu'], ...]): {reason}"
        ) from None
    cells = {}
    for theirs, ours in _CELLS[framework].items():
        if not isinstance(lists.get(theirs), list) or not lists[theirs]:
            raise fail(f'{theirs!r} is missing, empty or not a list')
        cells[ours] = _cell(
            lists[theirs], _shapes(framework, ours, width, len(lists[theirs])), theirs, fail
        )
    if set(lists) != set(_CELLS[framework]):
        raise fail(
            f'cells {sorted(map(str, lists))} are not those of {framework}: '
            f'{sorted(_CELLS[framework])}'
        )
    edge = any(len(layer.ops) == 2 for cell in cells.values() for layer in cell.layers)
    return Genotype(framework, SPACES['S+'], cells, {'imported_from': source}, edge)


def _shapes(framework: str, cell: str, width: int, depth: int) -> tuple[LayerShape, ...]:
    if cell == 'predictor':
        return layer_shapes(2048, [512] * (depth - 1) + [2048], plain_output=True)
    if framework == 'SimCLR':
        return layer_shapes(width, [512] * (depth - 1) + [128])
    return layer_shapes(width, [width] * depth)


def _cell(names, shapes, where, fail) -> CellGenotype:
    layers = []
    for number, (layer, shape) in enumerate(zip(names, shapes, strict=True)):
        if not isinstance(layer, list) or not 1 <= len(layer) <= 2:
            raise fail(f'{where}[{number}] must be a list of one or two names, got {layer!r}')
        candidates = distinct_candidates(SPACES['S+'], *shape)
        ops = []
        for name in layer:
            if not isinstance(name, str) or name not in _NAMES:
                raise fail(f'{where}[{number}] names {name!r}; known are {sorted(_NAMES)}')
            # Where a published name stands for the plain linear map, ours says so.
            ours = _NAMES[name]
            op = ours if ours in candidates.values() else 'linear'
            if op not in ops:
                ops.append(op)
        layers.append(LayerGenotype(*shape, candidates=tuple(candidates.values()), ops=tuple(ops)))
    return CellGenotype(tuple(layers))
