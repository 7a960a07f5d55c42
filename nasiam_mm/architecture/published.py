# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Import of genotypes in the authors' text form, parsed and never evaluated."""

import ast

from nasiam_mm.architecture.genotype import Decision, Genotype, GenotypeError
from nasiam_mm.ops.candidates import SPACES

_NAMES = {
    'linear_relu': 'linear_bn_relu',
    'linear_silu': 'linear_bn_silu',
    'linear_hardswish': 'linear_bn_hardswish',
    'linear_elu': 'linear_bn_elu',
    'maxpool_3x3': 'max_pool_3_bn',
    'avgpool_3x3': 'avg_pool_3_bn',
    'identity': 'identity',
}
# What the files of the three frameworks that the authors published call our heads. The one head
# of SimCLR stands under 'predictor', though it is the projector.
_HEADS = {
    'SimSiam': {'encoder': 'projector', 'predictor': 'predictor'},
    'MoCo': {'encoder': 'projector'},
    'SimCLR': {'predictor': 'projector'},
}


def import_published(text: str, framework: str, source: str = 'text') -> Genotype:
    """Read ``Genotype(encoder=[['linear_relu'], ...], predictor=[...])``.

    ``framework`` is ``'SimSiam'``, ``'MoCo'`` or ``'SimCLR'``; messages name the ``source``.
    GenotypeError for another form, or an operation or head that the framework does not have.
    """

    def fail(what: str) -> GenotypeError:
        return GenotypeError(f"published genotype '{source}': {what:.300}")

    if not isinstance(framework, str) or framework not in _HEADS:
        raise fail(f'framework must be one of {sorted(_HEADS)}, got {framework!r:.60}')
    try:
        lists = _parse(text)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        # literal_eval appends the address of a syntax node.
        reason = str(error).partition(': <ast.')[0] or type(error).__name__
        form = "Genotype(encoder=[['linear_relu'], ...])"
        raise fail(f'is not of the form {form}: {reason}') from None
    decisions = {}
    for theirs, head in _HEADS[framework].items():
        layers = lists.get(theirs)
        if not isinstance(layers, list) or not layers:
            raise fail(f'{theirs!r} is missing, empty or not a list')
        for number, layer in enumerate(layers):
            where = f'{theirs}[{number}]'
            if not isinstance(layer, list) or not 1 <= len(layer) <= 2:
                raise fail(f'{where} must be a list of one or two names, got {layer!r:.60}')
            for name in layer:
                if not isinstance(name, str) or name not in _NAMES:
                    raise fail(f'{where} names {name!r:.60}; known are {sorted(_NAMES)}')
            chosen = tuple(dict.fromkeys(_NAMES[name] for name in layer))
            decisions[f'{head}.{number}.op'] = Decision(SPACES['S+'], chosen)
    if set(lists) != set(_HEADS[framework]):
        told, known = sorted(map(str, lists)), sorted(_HEADS[framework])
        raise fail(f'heads {told} are not those of {framework}: {known}')
    return Genotype(framework, decisions, {'selection': 'published', 'imported_from': source})


def _parse(text: str) -> dict:
    call = ast.parse(text.strip(), mode='eval').body
    if not isinstance(call, ast.Call) or getattr(call.func, 'id', None) != 'Genotype':
        raise ValueError('no call of Genotype')
    if call.args:
        raise ValueError('heads must be named')
    lists = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    if len(lists) != len(call.keywords):
        raise ValueError('a head is named twice')
    return lists
