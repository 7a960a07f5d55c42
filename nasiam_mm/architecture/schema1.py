# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Genotypes of schema 1, which held widths and labels, as data of schema 2.

``linear`` was the label of a candidate that is a linear map and no more; it
becomes the option at the position that owned its alpha.
"""

import math
from typing import Any

from nasiam_mm.architecture.fields import Fields
from nasiam_mm.ops.candidates import MAX_WIDTH, LayerShape, check_space, distinct_candidates

_KEYS = {'schema_version', 'framework', 'space', 'edge', 'cells', 'provenance'}
_LAYER = {
    'in_channels', 'out_channels', 'is_output', 'candidates', 'ops', 'alpha', 'softmax', 'tied',
}  # fmt: skip


def upgrade(data: dict, fields: Fields) -> dict:
    """Turn a document of schema 1 into one of schema 2.

    What schema 2 checks itself (chosen options, chained widths, top scores) is
    left to it; what it no longer holds is checked here.
    """
    fields.known_keys(data, '', _KEYS)
    space = fields.strings(data, '', 'space')
    try:
        check_space(space)
    except ValueError as error:
        fields.fail('space', str(error))
    top_k = 1 + fields.take(data, '', 'edge', bool, False)
    cells = fields.take(data, '', 'cells', dict)
    if not cells:
        fields.fail('cells', 'must hold at least one cell')
    decisions: dict[str, dict] = {}
    widths: dict[str, list] = {}
    searched = False
    for name, cell in cells.items():
        where = f'cells.{name:.60}'
        if not name.isidentifier():
            fields.fail('cells', f'{name!r:.60} cannot name a cell; use "projector", "predictor"')
        if not isinstance(cell, dict):
            fields.fail(where, f'must be an object, got {cell!r:.60}')
        fields.known_keys(cell, where, {'layers'})
        layers = fields.take(cell, where, 'layers', list)
        if not layers:
            fields.fail(f'{where}.layers', 'must hold at least one layer')
        rows = [
            _layer(layer, f'{where}.layers[{n}]', space, top_k, fields)
            for n, layer in enumerate(layers)
        ]
        widths[name] = [list(shape) for shape, _ in rows]
        searched |= any('scores' in decision for _, decision in rows)
        decisions |= {f'{name}.{n}.op': decision for n, (_, decision) in enumerate(rows)}
    provenance = fields.take(data, '', 'provenance', dict, {})
    told = {'top_k': top_k, 'decided_at': widths}
    if searched:
        told['selection'] = 'top_k'
    return {
        'schema_version': 2,
        'framework': fields.take(data, '', 'framework', str),
        'decisions': decisions,
        'provenance': {**provenance, **told},
    }


def _layer(
    data: Any, where: str, space: tuple[str, ...], top_k: int, fields: Fields
) -> tuple[LayerShape, dict]:
    """Return the widths of a layer and its decision."""
    if not isinstance(data, dict):
        fields.fail(where, f'must be an object, got {data!r:.60}')
    fields.known_keys(data, where, _LAYER)
    shape = LayerShape(
        fields.take(data, where, 'in_channels', int),
        fields.take(data, where, 'out_channels', int),
        fields.take(data, where, 'is_output', bool, False),
    )
    for key, width in zip(('in_channels', 'out_channels'), shape, strict=False):
        if not 1 <= width <= MAX_WIDTH:
            fields.fail(f'{where}.{key}', f'must be from 1 to {MAX_WIDTH}, got {width!r:.60}')
    try:
        labels = distinct_candidates(space, shape)
    except (ValueError, RuntimeError) as error:
        fields.fail(where, f'an operation does not take these widths: {error}')
    expected = tuple(labels.values())
    candidates = fields.strings(data, where, 'candidates', list(expected))
    if candidates != expected:
        fields.fail(
            f'{where}.candidates',
            f'is {list(candidates)}, but this space gives {list(expected)} at these widths',
        )
    option = {label: space[position] for position, label in labels.items()}
    chosen = fields.strings(data, where, 'ops')
    wanted = min(top_k, len(expected))
    # Two published names that are one function at this layer were imported as one.
    merged = top_k == 2 and len(chosen) == 1 and not data.get('alpha')
    if len(chosen) != wanted and not merged:
        fields.fail(f'{where}.ops', f'has {len(chosen)} operations, not {wanted}')
    tied = fields.strings(data, where, 'tied', [])
    for key, names in (('ops', chosen), ('tied', tied)):
        for n, name in enumerate(names):
            if name not in option:
                fields.fail(
                    f'{where}.{key}[{n}]',
                    f'{name!r:.60} is not among the candidates {list(expected)}',
                )
    decision: dict[str, Any] = {
        'options': list(space),
        'chosen': [option[name] for name in chosen],
    }
    alpha = fields.numbers(data, where, 'alpha', len(expected), 'candidates')
    softmax = fields.numbers(data, where, 'softmax', len(expected), 'candidates')
    if bool(alpha) != bool(softmax):
        fields.fail(where, 'alpha and softmax go together; give both or neither')
    if alpha:
        _check_derived(
            alpha, softmax, dict(zip(expected, alpha, strict=True)), chosen, tied, where, fields
        )
        scores = dict(zip(labels, alpha, strict=True))
        decision['scores'] = [scores.get(position) for position in range(len(space))]
    elif tied:
        fields.fail(f'{where}.tied', 'names a tie, but there is no alpha')
    return shape, decision


def _check_derived(
    alpha: tuple,
    softmax: tuple,
    value: dict,
    chosen: tuple,
    tied: tuple,
    where: str,
    fields: Fields,
) -> None:
    """Check what schema 1 wrote beside alpha and schema 2 derives."""
    top = max(alpha)
    total = sum(math.exp(a - top) for a in alpha)
    for n, (told, a) in enumerate(zip(softmax, alpha, strict=True)):
        true = math.exp(a - top) / total
        if abs(told - true) > 1e-4:
            fields.fail(f'{where}.softmax[{n}]', f'is {told:.6g}, but alpha gives {true:.6g}')
    lowest = min(value[op] for op in chosen)
    left = {op: a for op, a in value.items() if op not in chosen}
    if max(left.values(), default=lowest) > lowest:
        return  # Not the top of alpha, which schema 2 says better.
    ties = tuple(op for op, a in left.items() if a == lowest)
    if tied != ties:
        fields.fail(f'{where}.tied', f'is {list(tied)}, but alpha ties {list(ties)}')
