# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Genotypes of a table's rows: drawn at random, or published ones at the widths of a search."""

from collections.abc import Mapping
from dataclasses import replace

from mmengine.config import Config

from nasiam_mm.architecture.genotype import (
    CellGenotype,
    Genotype,
    GenotypeError,
    LayerGenotype,
    random_cell,
)
from nasiam_mm.config_walk import find_hook, walk
from nasiam_mm.ops.candidates import LayerShape, distinct_candidates, layer_shapes
from nasiam_mm.version import __version__

# One function under two names: identity is a linear map where the width changes, and
# linear_bn_* at an output.
_LINEAR = 'linear'


def searched_heads(cfg: Config) -> dict[str, dict]:
    """Return the configs of the searched heads by the name of their cell.

    Raises:
        ValueError: If the config searches nothing.
    """
    found = (node for node in walk(cfg.model) if node.get('type') == 'SearchableMLP')
    heads = {node['cell']: dict(node) for node in found}
    if not heads:
        raise ValueError(f"config '{cfg.filename}' has no SearchableMLP, so it searches nothing")
    return heads


def head_shapes(head: Mapping) -> tuple[LayerShape, ...]:
    """Return the widths of the layers of a searched head."""
    return layer_shapes(head['in_channels'], head['widths'], head.get('plain_output', False))


def chooses_two(cfg: Config) -> bool:
    """Tell whether a search keeps two operations per layer."""
    hook = find_hook(cfg, 'GenotypeHook') or {}
    return bool(hook.get('edge')) or hook.get('top_k', 1) > 1


def draw_genotype(cfg: Config, draw: int) -> Genotype:
    """Draw each layer's operation uniformly from the space of a search.

    Args:
        cfg: Config of the search.
        draw: Number of the genotype: the seed of the draw.
    """
    heads = searched_heads(cfg)
    edge = chooses_two(cfg)
    cells = {
        # One seed a cell, or equal shapes would draw equal operations.
        name: random_cell(head['space'], head_shapes(head), draw * len(heads) + number, edge)
        for number, (name, head) in enumerate(heads.items())
    }
    names = tuple(next(iter(heads.values()))['space'])
    provenance = {
        'drawn': 'at random, uniformly',
        'seed': draw,
        'versions': {'nasiam_mm': __version__},
    }
    return Genotype(cfg.model.type, names, cells, provenance, edge)


def refit_genotype(genotype: Genotype, cfg: Config) -> Genotype:
    """Give the operations of a genotype the widths that a search has.

    The number of layers stays that of the genotype: input, hidden and output
    width are those of the search, the hidden one for all layers but the last.

    Args:
        genotype: The genotype, such as a published one.
        cfg: Config of a search in the same framework.

    Raises:
        GenotypeError: If framework or cells differ, or an operation has no
            counterpart at the new widths.
    """
    heads = searched_heads(cfg)
    if (genotype.framework, set(genotype.cells)) != (cfg.model.type, set(heads)):
        raise GenotypeError(
            f'a genotype of {genotype.framework} with cells {sorted(genotype.cells)} does not fit '
            f"config '{cfg.filename}', {cfg.model.type} with cells {sorted(heads)}"
        )
    cells = {}
    for name, head in heads.items():
        layers = genotype.cells[name].layers
        widths = [head['widths'][0]] * (len(layers) - 1) + [head['widths'][-1]]
        shapes = head_shapes({**head, 'widths': widths})
        cells[name] = CellGenotype(
            tuple(
                _refit_layer(genotype, layer, shape, f'{name} layer {number}')
                for number, (layer, shape) in enumerate(zip(layers, shapes, strict=True))
            )
        )
    provenance = {**genotype.provenance, 'widths_of': f'{cfg.model.type} search'}
    return replace(genotype, cells=cells, provenance=provenance)


def _refit_layer(
    genotype: Genotype, layer: LayerGenotype, shape: LayerShape, where: str
) -> LayerGenotype:
    candidates = tuple(distinct_candidates(genotype.space, *shape).values())
    ops = []
    for op in layer.ops:
        # What was a linear map at other widths was the identity, and the other way round.
        names = (op, 'identity') if op == _LINEAR else (op, _LINEAR)
        found = next((name for name in names if name in candidates), None)
        if found is None:
            raise GenotypeError(
                f'{where}: {op!r} has no counterpart among {list(candidates)} at widths '
                f'{shape.in_channels} -> {shape.out_channels}'
            )
        ops.append(found)
    return LayerGenotype(*shape, candidates=candidates, ops=tuple(dict.fromkeys(ops)))
