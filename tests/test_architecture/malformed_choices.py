# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A valid genotype of choices that are no operations, and what makes it malformed."""

import json

from tests.test_architecture.malformed_schema2 import change, rename, several


def decision(options, chosen):
    return {'options': options, 'chosen': [chosen]}


def whole():
    return {
        'schema_version': 2,
        'framework': 'SimSiam',
        'decisions': {
            'projector.depth': decision([1, 2, 3], 3),
            'projector.width_ratio': decision([0.5, 1, 2], 0.5),
            'projector.out_channels': decision([128, 256], 256),
            'projector.hidden_norm': decision(['none', 'bn', 'ln'], 'ln'),
            'projector.activation': decision(['relu', 'gelu', 'silu', 'tanh'], 'gelu'),
            'projector.output_norm': decision(['none', 'bn_no_affine'], 'bn_no_affine'),
            'predictor.form': decision(['none', 'linear', 'mlp'], 'mlp'),
            'predictor.width_ratio': decision([1, 4], 4),
            'temperature': decision([0.1, 0.2], 0.2),
            'predictor_lr': decision([1, 10], 10),
        },
        'provenance': {'selection': 'random', 'top_k': 1, 'config': 'a.py'},
    }


TEXT = json.dumps(whole())
DEPTH = ('decisions', 'projector.depth')
RATIO = ('decisions', 'projector.width_ratio')
NORM = ('decisions', 'projector.hidden_norm')
FORM = ('decisions', 'predictor.form')
OP = {'options': ['linear_bn_relu', 'identity'], 'chosen': ['identity']}

# What is changed in the valid genotype -> what follows "genotype 'FILE'" in the message.
MALFORMED = {
    # Names.
    'typing error': (
        rename('projector.depth', 'projector.dept'),
        '\'projector.dept\' is no name of a choice, such as "projector.0.op"; '
        "did you mean 'projector.depth'?",
    ),
    'typing error of a coupled one': (
        rename('temperature', 'temprature'), "; did you mean 'temperature'?"
    ),
    'unknown kind of another head': (
        rename('projector.depth', 'neck.dpeth'), "'neck.dpeth' is no name of a choice"
    ),
    'unlike any': (rename('temperature', 'momentum'), 'such as "projector.0.op"'),
    'of a head at no head': (rename('projector.depth', 'depth'), "'depth' is no name of a choice"),
    'of a head at a layer': (rename('projector.depth', 'projector.0.depth'), ' is no name of a ch'),
    'of a layer at a head': (rename('projector.depth', 'projector.op'), ' is no name of a choice'),
    'coupled at a head': (rename('temperature', 'projector.temperature'), ' is no name of a choic'),
    'head of another form': (rename('projector.depth', 'a-b.depth'), "'a-b.depth' is no name of"),
    'form of a projector': (
        rename('predictor.form', 'projector.form'),
        "'projector.form' decides nothing: the predictor alone has it",
    ),
    'width of a predictor': (
        rename('projector.out_channels', 'predictor.out_channels'),
        "'predictor.out_channels' decides nothing: the predictor has none",
    ),
    # Options.
    'options as text': (change(*NORM, 'options', to='bn'), '.options: must be a list, got'),
    'no options': (
        change(*DEPTH, 'options', to=[]),
        ', decisions.projector.depth.options: must be a list of options, got []',
    ),
    'depth as text': (
        change(*DEPTH, 'options', 0, to='1'),
        ", decisions.projector.depth.options: must be a whole number from 1 to 32, got '1'",
    ),
    'depth as float': (change(*DEPTH, 'options', 0, to=1.5), ': must be a whole number from 1 to'),
    'depth as true': (change(*DEPTH, 'options', 0, to=True), ': must be a whole number from 1 to'),
    'depth 0': (change(*DEPTH, 'options', 0, to=0), ': must be a whole number from 1 to 32, got 0'),
    'huge depth': (change(*DEPTH, 'options', 0, to=10**400), ': must be a whole number from 1 to '),
    'ratio 0': (change(*RATIO, 'options', 0, to=0), ': must be a number above 0, at most 64, got '),
    'huge ratio': (change(*RATIO, 'options', 0, to=10**400), ': must be a number above 0, at most'),
    'ratio as text': (change(*RATIO, 'options', 0, to='2'), ': must be a number above 0, at most '),
    'ratio as list': (change(*RATIO, 'options', 0, to=[2]), ': must be a number above 0, at most '),
    'width 0': (
        change('decisions', 'projector.out_channels', 'options', 0, to=0),
        ': must be a whole number from 1 to 1048576, got 0',
    ),
    'unknown norm': (
        change(*NORM, 'options', 1, to='gn'),
        "hidden_norm.options: must be one of none, bn, bn_no_affine, ln, got 'gn'",
    ),
    'norm as number': (change(*NORM, 'options', 1, to=3), ': must be one of none, bn, bn_no_affin'),
    'norm as list': (change(*NORM, 'options', 1, to=['bn']), ': must be one of none, bn, bn_no_af'),
    'unknown activation': (
        change('decisions', 'projector.activation', 'options', 0, to='elu'),
        ": must be one of relu, gelu, silu, tanh, got 'elu'",
    ),
    'unknown form': (change(*FORM, 'options', 0, to='cnn'), ': must be one of none, linear, mlp'),
    'negative temperature': (
        change('decisions', 'temperature', 'options', 0, to=-1), 'above 0, at most 100, got -1'
    ),
    'rate of nothing': (
        change('decisions', 'predictor_lr', 'options', 0, to=0), 'above 0, at most 1000, got 0'
    ),
    'twice': (change(*DEPTH, 'options', 1, to=1), 'depth.options: names 1 twice'),
    'twice as another number': (change(*RATIO, 'options', 0, to=1.0), 'options: names 1 twice'),
    # Chosen.
    'none chosen': (change(*DEPTH, 'chosen', to=[]), 'depth.chosen: must be a list of options'),
    'not an option': (
        change(*DEPTH, 'chosen', 0, to=4), '.chosen[0]: 4 is not among the options (1, 2, 3)'
    ),
    'true is not 1': (change(*DEPTH, 'chosen', 0, to=True), 'chosen: must be a whole number from'),
    'two depths': (
        several(change(*DEPTH, 'chosen', to=[2, 3]), change('provenance', 'top_k', to=2)),
        'depth.chosen: has 2 options; operations alone add, take one',
    ),
    'scores of others': (change(*DEPTH, 'scores', to=[1.0]), 'depth.scores: has 1 values for 3 op'),
    'unknown key': (change(*DEPTH, 'unit', to='layers'), "depth: unknown key 'unit'; known are"),
    # What decides nothing beside the rest.
    'width of no hidden layer': (
        change(*DEPTH, 'chosen', 0, to=1),
        ', decisions.projector.width_ratio: decides nothing: projector.depth is 1; take it away',
    ),
    'width of a linear predictor': (
        change(*FORM, 'chosen', 0, to='linear'),
        ", decisions.predictor.width_ratio: decides nothing: predictor.form is 'linear'; take it",
    ),
    'rate of no predictor': (
        several(
            change(*FORM, 'chosen', 0, to='none'),
            change('decisions', 'predictor.width_ratio', to=...),
        ),
        ", decisions.predictor_lr: decides nothing: predictor.form is 'none'; take it away",
    ),
    'operation beyond the depth': (
        several(
            change('decisions', 'projector.0.op', to=OP),
            change('decisions', 'projector.1.op', to=OP),
            change('decisions', 'projector.2.op', to=OP),
            change(*NORM, to=...),
            change('decisions', 'projector.activation', to=...),
        ),
        ', decisions.projector.2.op: decides nothing: projector.depth is 3, which leaves 2 hidden',
    ),
    'norm beside operations': (
        several(
            change('decisions', 'projector.0.op', to=OP),
            change('decisions', 'projector.1.op', to=OP),
        ),
        ', decisions.projector.hidden_norm: decides nothing: operations are decided at all hidden',
    ),
    'unknown operation': (
        change('decisions', 'projector.0.op', to={'options': ['conv'], 'chosen': ['conv']}),
        "projector.0.op.options: unknown candidate operation 'conv'",
    ),
    'widths of no operation': (
        change('provenance', 'decided_at', to={'projector': [[4, 4, False]]}),
        ', provenance.decided_at.projector: is no head of the decisions; they are []',
    ),
}  # fmt: skip
