# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A genotype for a backbone of another width (NASiam, figure 5)."""

from dataclasses import replace

from nasiam_mm.architecture.genotype import CellGenotype, Genotype, GenotypeError, LayerGenotype
from nasiam_mm.ops.candidates import MAX_WIDTH, LayerShape, distinct_candidates

# Only the projector sees the backbone's features.
_CELL = 'projector'
# Heads whose hidden width is a constant of the framework, not that of the features.
_FIXED_HIDDEN_WIDTH = ('SimCLR',)
# One function under two names: identity is a linear map where the width changes.
_OTHER_NAME = {'identity': 'linear', 'linear': 'identity'}


def adapt_genotype(genotype: Genotype, width: int) -> Genotype:
    """Fit the projector of a genotype to a backbone of another feature width.

    The rule: the projector's input takes the new width D, and so does each
    layer as wide as the old D, but for SimCLR, whose hidden width is 512 for
    any backbone. Every other width, and the predictor, stay. Where identity
    now changes the width it becomes the linear map, and back. The projector's
    alpha and softmax belong to the old widths and are left out;
    ``provenance['adapted']`` says what changed.

    Args:
        genotype: Genotype of any framework.
        width: Width D of the new backbone's features, such as 2048 for
            ResNet-50.

    Returns:
        The adapted genotype; the given one, if it has this width already.

    Raises:
        GenotypeError: If it has no projector, the width cannot be, or a chosen
            operation has no counterpart at the new widths.
    """
    if not isinstance(width, int) or isinstance(width, bool) or not 1 <= width <= MAX_WIDTH:
        raise GenotypeError(f'width must be an integer from 1 to {MAX_WIDTH}, got {width!r:.60}')
    if _CELL not in genotype.cells:
        raise GenotypeError(
            f'the genotype ({genotype.framework}) has no projector to adapt, only '
            f'{sorted(genotype.cells)}'
        )
    layers = genotype.cells[_CELL].layers
    old = layers[0].in_channels
    if old == width:
        return genotype
    follows = genotype.framework not in _FIXED_HIDDEN_WIDTH
    adapted: list[LayerGenotype] = []
    changes: list[str] = []
    for number, layer in enumerate(layers):
        shape = LayerShape(
            adapted[-1].out_channels if adapted else width,
            width if follows and layer.out_channels == old else layer.out_channels,
            layer.is_output,
        )
        candidates = tuple(distinct_candidates(genotype.space, *shape).values())
        ops = [_counterpart(op, candidates, number, shape) for op in layer.ops]
        changes += [
            f'layer {number}: {before} -> {after}'
            for before, after in zip(layer.ops, ops, strict=True)
            if before != after
        ]
        # Two operations that are one function at the new widths are one operation.
        unique = tuple(dict.fromkeys(ops))
        adapted.append(LayerGenotype(*shape, candidates=candidates, ops=unique))
    earlier = genotype.provenance.get('adapted', [])
    record = {'cell': _CELL, 'width': [old, width], 'renamed': changes}
    return replace(
        genotype,
        cells={**genotype.cells, _CELL: CellGenotype(tuple(adapted))},
        provenance={
            **genotype.provenance,
            'adapted': [*(earlier if isinstance(earlier, list) else [earlier]), record],
        },
    )


def _counterpart(op: str, candidates: tuple[str, ...], number: int, shape: LayerShape) -> str:
    for name in (op, _OTHER_NAME.get(op)):
        if name in candidates:
            return name
    raise GenotypeError(
        f'projector layer {number}: {op!r} has no counterpart among {list(candidates)} at widths '
        f'{shape.in_channels} -> {shape.out_channels}; search on a backbone of this width instead'
    )
