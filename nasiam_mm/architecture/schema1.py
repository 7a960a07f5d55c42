# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Genotypes of schema 1, which held widths and labels, as data of schema 2.

``linear`` was the label of a candidate that is a linear map and no more; it becomes the option at
the position that owned its alpha.
"""

from typing import Any

from nasiam_mm.architecture.fields import Fields
from nasiam_mm.architecture.genotype import Decision
from nasiam_mm.ops.candidates import LayerShape, check_space, distinct_candidates

_KEYS = {'schema_version', 'framework', 'space', 'edge', 'cells', 'provenance'}
_SHAPE = {'in_channels', 'out_channels', 'is_output'}
_LAYER = _SHAPE | {'candidates', 'ops', 'alpha', 'softmax', 'tied'}


def upgrade(data: dict, source: str) -> dict:
    """Turn a document of schema 1 into one of schema 2.

    What schema 2 checks itself (chosen options, chained widths, top scores) is left to it; what
    it no longer holds is checked here.
    """
    whole = Fields(source, '', data, _KEYS)
    space = whole.strings('space')
    try:
        check_space(space)
    except ValueError as error:
        whole.fail('space', str(error))
    top_k = 1 + whole.take('edge', bool, False)
    if not (cells := whole.take('cells', dict)):
        whole.fail('cells', 'must hold at least one cell')
    decisions: dict[str, dict] = {}
    told: dict[str, Any] = {'top_k': top_k, 'decided_at': {}}
    for name, cell in cells.items():
        if not name.isidentifier():
            whole.fail('cells', f'{name!r:.60} cannot name a cell; use "projector", "predictor"')
        where = f'cells.{name:.60}'
        fields = Fields(source, where, cell, {'layers'})
        if not (layers := fields.take('layers', list)):
            fields.fail('layers', 'must hold at least one layer')
        told['decided_at'][name] = []
        for n, layer in enumerate(layers):
            row = Fields(source, f'{where}.layers[{n}]', layer, _LAYER)
            shape, decisions[f'{name}.{n}.op'] = _layer(row, space, top_k)
            told['decided_at'][name].append(list(shape))
    if any('scores' in decision for decision in decisions.values()):
        told['selection'] = 'top_k'
    return {
        'schema_version': 2,
        'framework': whole.take('framework', str),
        'decisions': decisions,
        'provenance': whole.take('provenance', dict, {}) | told,
    }


def _layer(layer: Fields, space: tuple[str, ...], top_k: int) -> tuple[LayerShape, dict]:
    """Return the widths of a layer and its decision."""
    in_channels, out_channels = (layer.take(key, int) for key in ('in_channels', 'out_channels'))
    shape = LayerShape(in_channels, out_channels, layer.take('is_output', bool, False))
    try:
        labels = distinct_candidates(space, shape)
    except (ValueError, RuntimeError) as error:
        layer.fail('', f'an operation does not take these widths: {error}')
    expected = tuple(labels.values())
    names, told = list(expected), list(layer.strings('candidates', expected))
    if told != names:
        layer.fail('candidates', f'is {told}, but this space gives {names} at these widths')
    chosen, tied = layer.strings('ops'), layer.strings('tied', ())
    alpha = layer.numbers('alpha', len(expected), 'candidates')
    # Two published names that are one function at this layer were imported as one.
    merged = top_k == 2 and len(chosen) == 1 and not alpha
    if len(chosen) != (wanted := min(top_k, len(expected))) and not merged:
        layer.fail('ops', f'has {len(chosen)} operations, not {wanted}')
    for key, ops in (('ops', chosen), ('tied', tied)):
        for n, op in enumerate(ops):
            if op not in expected:
                layer.fail(f'{key}[{n}]', f'{op!r:.60} is not among the candidates {names}')
    softmax = layer.numbers('softmax', len(expected), 'candidates')
    if bool(alpha) != bool(softmax):
        layer.fail('', 'alpha and softmax go together; give both or neither')
    # What schema 1 wrote beside alpha, and schema 2 derives.
    derived = Decision(expected, chosen, alpha)
    for n, (value, true) in enumerate(zip(softmax, derived.weights.values(), strict=True)):
        if abs(value - true) > 1e-4:
            layer.fail(f'softmax[{n}]', f'is {value:.6g}, but alpha gives {true:.6g}')
    # Where it is not the top of alpha, schema 2 says so better.
    if tied != derived.tied and not derived.better:
        layer.fail('tied', f'is {list(tied)}, but alpha ties {list(derived.tied)}')
    option = {label: space[position] for position, label in labels.items()}
    decision: dict[str, Any] = {'options': list(space), 'chosen': [option[op] for op in chosen]}
    if alpha:
        scores = dict(zip(labels, alpha, strict=True))
        decision['scores'] = [scores.get(position) for position in range(len(space))]
    return shape, decision
