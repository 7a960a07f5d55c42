# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A valid genotype of schema 1, and what makes it malformed with the message that must follow."""

import json

S = ['linear_bn_relu', 'max_pool_3_bn', 'avg_pool_3_bn', 'identity']


def layer(in_channels=4, out_channels=4, **other):
    return {
        'in_channels': in_channels,
        'out_channels': out_channels,
        'is_output': False,
        'candidates': list(S),
        'ops': ['identity'],
        'alpha': [0.0, 0.0, 0.0, 1.0],
        'softmax': [0.1748777, 0.1748777, 0.1748777, 0.4753669],
        **other,
    }


def whole():
    """A valid genotype as plain data."""
    narrow = layer(6, 4, candidates=[*S[:3], 'linear'], ops=['linear'])
    output = layer(4, 6, is_output=True, candidates=['linear', *S[1:3]], ops=['linear'])
    output |= {'alpha': [1.0, 0.0, 0.0], 'softmax': [0.5761169, 0.2119416, 0.2119416]}
    return {
        'schema_version': 1,
        'framework': 'SimSiam',
        'space': list(S),
        'edge': False,
        'cells': {
            'projector': {'layers': [layer(), layer()]},
            'predictor': {'layers': [narrow, output]},
        },
        'provenance': {'config': 'a.py', 'epoch': 50},
    }


def change(*path, to):
    """Return a function that sets (or, with ``...``, removes) what stands at a path."""

    def apply(data):
        place = data
        for step in path[:-1]:
            place = place[step]
        if to is ...:
            del place[path[-1]]
        else:
            place[path[-1]] = to

    return apply


FIRST = ('cells', 'projector', 'layers', 0)
LAST = ('cells', 'predictor', 'layers', 1)
IN_FIRST = 'cells.projector.layers[0]'
NO_WIDTH = (
    ': an operation does not take these widths: {}_channels of a head layer must be an integer '
    'from 1 to 1048576, got {}'
)

# What is changed in the valid genotype -> what follows "genotype 'FILE'" in the message.
MALFORMED = {
    # The whole.
    'no version': (change('schema_version', to=...), ": 'schema_version' is missing"),
    'newer version': (
        change('schema_version', to=3),
        ', schema_version: is 3, this package reads 1 and 2; search again, or use the package',
    ),
    'version as text': (
        change('schema_version', to='1'),
        ", schema_version: must be an integer, got '1'",
    ),
    'version as bool': (
        change('schema_version', to=True),
        ', schema_version: must be an integer, got True',
    ),
    'version as float': (change('schema_version', to=1.0), 'must be an integer, got 1.0'),
    'unknown key': (
        change('alpha', to=1),
        ": unknown key 'alpha'; known are ['cells', 'edge', 'framework', 'provenance', "
        "'schema_version', 'space']",
    ),
    'no framework': (change('framework', to=...), ": 'framework' is missing"),
    'empty framework': (change('framework', to=''), ', framework: must name the algorithm'),
    'framework as list': (
        change('framework', to=['SimSiam']),
        ", framework: must be a string, got ['SimSiam']",
    ),
    'edge as integer': (change('edge', to=1), ', edge: must be true or false, got 1'),
    'edge as null': (change('edge', to=None), ', edge: must be true or false, got None'),
    'provenance as list': (change('provenance', to=[]), ', provenance: must be an object, got []'),
    # The space.
    'no space': (change('space', to=...), ": 'space' is missing"),
    'empty space': (change('space', to=[]), ', space: a space is a list of registered operation'),
    'space by name': (change('space', to='S'), ", space: must be a list, got 'S'"),
    'number in space': (change('space', 1, to=3), ', space[1]: must be a string, got 3'),
    'repeated operation': (
        change('space', to=[*S, 'identity']),
        ", space: a space names each operation once; repeated: ['identity']",
    ),
    'unregistered operation': (
        change('space', 0, to='conv'),
        ", space: unknown candidate operation 'conv'; registered are ",
    ),
    # Cells.
    'no cells': (change('cells', to=...), ": 'cells' is missing"),
    'empty cells': (change('cells', to={}), ', cells: must hold at least one cell'),
    'cells as list': (change('cells', to=[1]), ', cells: must be an object, got [1]'),
    'cell as list': (
        change('cells', 'projector', to=[1]),
        ', cells.projector: must be an object, got [1]',
    ),
    'unusable cell name': (
        change('cells', 'two\nlines', to={'layers': [layer()]}),
        ", cells: 'two\\nlines' cannot name a cell",
    ),
    'no layers': (change('cells', 'projector', to={}), ", cells.projector: 'layers' is missing"),
    'empty layers': (
        change('cells', 'projector', 'layers', to=[]),
        ', cells.projector.layers: must hold at least one layer',
    ),
    'unknown key of a cell': (
        change('cells', 'projector', 'width', to=4),
        ", cells.projector: unknown key 'width'; known are ['layers']",
    ),
    # Widths.
    'layer as text': (change(*FIRST, to='identity'), f", {IN_FIRST}: must be an object, got 'iden"),
    'no width': (change(*FIRST, 'in_channels', to=...), f", {IN_FIRST}: 'in_channels' is missing"),
    'zero width': (
        change(*FIRST, 'in_channels', to=0),
        f', {IN_FIRST}{NO_WIDTH.format("in", 0)}',
    ),
    'negative width': (
        change(*LAST, 'out_channels', to=-6),
        f', cells.predictor.layers[1]{NO_WIDTH.format("out", -6)}',
    ),
    'bool width': (
        change(*FIRST, 'in_channels', to=True),
        f', {IN_FIRST}.in_channels: must be an integer, got True',
    ),
    'float width': (
        change(*FIRST, 'out_channels', to=4.0),
        f', {IN_FIRST}.out_channels: must be an integer, got 4.0',
    ),
    'giant width': (
        change(*FIRST, 'in_channels', to=10**30),
        f', {IN_FIRST}{NO_WIDTH.format("in", 1000000000)}',
    ),
    'broken chain': (
        change('cells', 'projector', 'layers', 1, 'in_channels', to=5),
        ', cells.projector.layers[1].candidates: is [',
    ),
    'broken chain of whole layers': (
        change('cells', 'projector', 'layers', 1, to=layer(5, 5)),
        ', provenance.decided_at.projector[1]: takes 5, but layer 0 gives 4',
    ),
    'output in the middle': (
        change('cells', 'predictor', 'layers', to=[whole()['cells']['predictor']['layers'][1],
                                                   layer(6, 6)]),
        ', provenance.decided_at.predictor[0]: is an output before the last layer',
    ),
    'is_output as integer': (
        change(*LAST, 'is_output', to=1),
        ', cells.predictor.layers[1].is_output: must be true or false, got 1',
    ),
    'unknown key of a layer': (
        change(*FIRST, 'activation', to='ReLU'),
        f", {IN_FIRST}: unknown key 'activation'; known are ['alpha', 'candidates', ",
    ),
    # Operations.
    'candidates of another space': (
        change(*FIRST, 'candidates', to=['linear_bn_relu', 'identity']),
        f", {IN_FIRST}.candidates: is ['linear_bn_relu', 'identity'], but this space gives ['lin",
    ),
    'candidates out of order': (
        change(*FIRST, 'candidates', to=S[::-1]),
        f", {IN_FIRST}.candidates: is ['identity', ",
    ),
    'number in candidates': (
        change(*FIRST, 'candidates', 2, to=None),
        f', {IN_FIRST}.candidates[2]: must be a string, got None',
    ),
    'no ops': (change(*FIRST, 'ops', to=...), f", {IN_FIRST}: 'ops' is missing"),
    'empty ops': (
        change(*FIRST, 'ops', to=[]),
        f', {IN_FIRST}.ops: has 0 operations, not 1',
    ),
    'ops as text': (
        change(*FIRST, 'ops', to='identity'),
        f", {IN_FIRST}.ops: must be a list, got 'identity'",
    ),
    'two ops without edge': (
        change(*FIRST, 'ops', to=['identity', 'max_pool_3_bn']),
        f', {IN_FIRST}.ops: has 2 operations, not 1',
    ),
    'one op with edge': (
        change('edge', to=True),
        f', {IN_FIRST}.ops: has 1 operations, not 2',
    ),
    'unknown op': (
        change(*FIRST, 'ops', to=['conv']),
        f", {IN_FIRST}.ops[0]: 'conv' is not among the candidates ['linear_bn_relu', ",
    ),
    'op of another space': (
        change(*FIRST, 'ops', to=['linear_bn_silu']),
        f", {IN_FIRST}.ops[0]: 'linear_bn_silu' is not among the candidates [",
    ),
    'op that was merged': (
        change(*LAST, 'ops', to=['linear_bn_relu']),
        ", cells.predictor.layers[1].ops[0]: 'linear_bn_relu' is not among the candidates ['linear",
    ),
    'number in ops': (
        change(*FIRST, 'ops', to=[0]),
        f', {IN_FIRST}.ops[0]: must be a string, got 0',
    ),
    # Numbers.
    'short alpha': (
        change(*FIRST, 'alpha', to=[0.0, 1.0]),
        f', {IN_FIRST}.alpha: has 2 values for 4 candidates',
    ),
    'long softmax': (
        change(*FIRST, 'softmax', to=[0.2] * 5),
        f', {IN_FIRST}.softmax: has 5 values for 4 candidates',
    ),
    'alpha alone': (
        change(*FIRST, 'softmax', to=...),
        f', {IN_FIRST}: alpha and softmax go together; give both or neither',
    ),
    'softmax alone': (
        change(*FIRST, 'alpha', to=[]),
        f', {IN_FIRST}: alpha and softmax go together; give both or neither',
    ),
    'text in alpha': (
        change(*FIRST, 'alpha', 1, to='0'),
        f", {IN_FIRST}.alpha[1]: must be a number, got '0'",
    ),
    'bool in alpha': (
        change(*FIRST, 'alpha', 1, to=False),
        f', {IN_FIRST}.alpha[1]: must be a number, got False',
    ),
    'null in softmax': (
        change(*FIRST, 'softmax', 3, to=None),
        f', {IN_FIRST}.softmax[3]: must be a number, got None',
    ),
    'alpha beyond floats': (
        change(*FIRST, 'alpha', 0, to=10**400),
        f', {IN_FIRST}.alpha[0]: must be finite, got 1000000',
    ),
    'softmax of another alpha': (
        change(*FIRST, 'softmax', to=[0.25] * 4),
        f', {IN_FIRST}.softmax[0]: is 0.25, but alpha gives 0.174878',
    ),
    'not the top of alpha': (
        change(*FIRST, 'ops', to=['max_pool_3_bn']),
        ", decisions.projector.0.op.chosen: ['max_pool_3_bn'] is not the top of the scores, "
        "'identity' is higher; correct it, or remove the scores",
    ),
    'tied with itself': (
        change(*FIRST, 'tied', to=['identity']),
        f", {IN_FIRST}.tied: is ['identity'], but alpha ties []",
    ),
    'tied with a stranger': (
        change(*FIRST, 'tied', to=['linear_bn_silu']),
        f", {IN_FIRST}.tied[0]: 'linear_bn_silu' is not among the candidates ['linear_bn_relu', ",
    ),
    'tied although lower': (
        change(*FIRST, 'tied', to=['max_pool_3_bn']),
        f", {IN_FIRST}.tied: is ['max_pool_3_bn'], but alpha ties []",
    ),
    'tie not told': (
        change(*FIRST, to=layer(alpha=[0.0] * 4, softmax=[0.25] * 4)),
        f", {IN_FIRST}.tied: is [], but alpha ties ['linear_bn_relu', ",
    ),
}  # fmt: skip

TEXT = json.dumps(whole())
