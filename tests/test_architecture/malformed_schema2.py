# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A valid genotype of schema 2, and what makes it malformed with the message that must follow."""

import json

from tests.test_architecture.malformed_schema1 import NO_WIDTH, S, change


def decision(chosen='identity', scores=(0.0, 0.0, 0.0, 1.0)):
    return {'options': list(S), 'chosen': [chosen], 'scores': list(scores)}


def whole():
    """A valid genotype as plain data."""
    return {
        'schema_version': 2,
        'framework': 'SimSiam',
        'decisions': {
            'projector.0.op': decision(),
            'projector.1.op': decision(),
            # 6 -> 4: identity is the linear map, at its own place.
            'predictor.0.op': decision(),
            # The output 4 -> 6: identity is what linear_bn_relu is.
            'predictor.1.op': decision('linear_bn_relu', (1.0, 0.0, 0.0, None)),
        },
        'provenance': {
            'config': 'a.py',
            'epoch': 50,
            'selection': 'top_k',
            'top_k': 1,
            'decided_at': {
                'projector': [[4, 4, False], [4, 4, False]],
                'predictor': [[6, 4, False], [4, 6, True]],
            },
        },
    }


def rename(old, new):
    """Return a function that gives a decision another name, at its place."""

    def apply(data):
        data['decisions'] = {new if k == old else k: v for k, v in data['decisions'].items()}

    return apply


def several(*applied):
    """Return a function that does one change after the other."""

    def apply(data):
        for one in applied:
            one(data)

    return apply


def many(data):
    data['decisions'] = {f'projector.{n}.op': decision() for n in range(1001)}


NAMES = 'predictor.0.op', 'predictor.1.op', 'projector.0.op', 'projector.1.op'
FIRST = ('decisions', 'projector.0.op')
LAST = ('decisions', 'predictor.1.op')
IN_FIRST = ', decisions.projector.0.op'
AT = ('provenance', 'decided_at')
DOUBT = ('provenance', 'undecided')
NO_NAME = ' is no name of a choice, such as "projector.0.op"'
ALL = [change('decisions', name, 'options', 0, to='conv') for name in NAMES]

# What is changed in the valid genotype -> what follows "genotype 'FILE'" in the message.
MALFORMED = {
    # The whole.
    'no version': (change('schema_version', to=...), ": 'schema_version' is missing"),
    'newer version': (change('schema_version', to=3), ', schema_version: is 3, this package reads'),
    'version 0': (change('schema_version', to=0), ', schema_version: is 0, this package reads 1 '),
    'huge version': (change('schema_version', to=10**4000), ': is 10000000000000000000, this pack'),
    'version as text': (change('schema_version', to='2'), ": must be an integer, got '2'"),
    'version as float': (change('schema_version', to=2.0), ': must be an integer, got 2.0'),
    'schema 1 by number only': (change('schema_version', to=1), ": unknown key 'decisions'; known"),
    'unknown key': (
        change('space', to=S),
        ": unknown key 'space'; known are ['decisions', 'framework', 'provenance', "
        "'schema_version']",
    ),
    'unknown key of a decision': (
        change(*FIRST, 'tied', to=[]),
        f"{IN_FIRST}: unknown key 'tied'; known are ['chosen', 'options', 'scores']",
    ),
    'unknown key of many lines': (change('a\nb' * 99, to=1), ": unknown key 'a\\nba\\nba"),
    'no framework': (change('framework', to=...), ": 'framework' is missing"),
    'empty framework': (change('framework', to=''), ', framework: must name the algorithm'),
    'framework of two lines': (change('framework', to='a\nb'), ', framework: must name the algo'),
    'framework without end': (change('framework', to='a' * 101), ', framework: must name the algo'),
    'framework as list': (change('framework', to=['a']), ", framework: must be a string, got ['a"),
    'provenance as list': (change('provenance', to=[]), ', provenance: must be an object, got []'),
    'undecided as text': (change(*DOUBT, to=NAMES[0]), ', provenance.undecided: must be a list'),
    'undecided by number': (change(*DOUBT, to=[1]), 'undecided[0]: must be a string, got 1'),
    'undecided elsewhere': (
        change(*DOUBT, to=[NAMES[0], 'projector.9.op']),
        ", provenance.undecided[1]: 'projector.9.op' is no choice of the decisions",
    ),
    'undecided twice': (
        change(*DOUBT, to=[NAMES[0]] * 2),
        ", provenance.undecided[1]: 'predictor.0.op' stands there twice",
    ),
    # Names of the choices.
    'no decisions': (change('decisions', to=...), ": 'decisions' is missing"),
    'empty decisions': (change('decisions', to={}), ', decisions: holds 0; there are 1 to 1000'),
    'too many': (many, ', decisions: holds 1001; there are 1 to 1000'),
    'decisions as list': (change('decisions', to=[1]), ', decisions: must be an object, got [1]'),
    'a head alone': (rename('projector.0.op', 'projector'), f", decisions: 'projector'{NO_NAME}"),
    'no kind': (rename('projector.0.op', 'projector.0'), f"'projector.0'{NO_NAME}"),
    'another kind': (rename('projector.0.op', 'projector.0.width'), f"r.0.width'{NO_NAME}"),
    'more than a name': (rename('projector.0.op', 'a.projector.0.op'), f"r.0.op'{NO_NAME}"),
    'zero before a number': (rename('projector.0.op', 'projector.00.op'), f"r.00.op'{NO_NAME}"),
    'sign before a number': (rename('projector.0.op', 'projector.+0.op'), f"r.+0.op'{NO_NAME}"),
    'other digits': (rename('projector.0.op', 'projector.\u0660.op'), f"r.\u0660.op'{NO_NAME}"),
    'line break behind': (rename('projector.0.op', 'projector.0.op\n'), f"r.0.op\\n'{NO_NAME}"),
    'number for a head': (rename('projector.0.op', '3.0.op'), f"'3.0.op'{NO_NAME}"),
    'no head': (rename('projector.0.op', '.0.op'), f"'.0.op'{NO_NAME}"),
    'line break in a head': (rename('projector.0.op', 'two\nlines.0.op'), f"lines.0.op'{NO_NAME}"),
    'half a character': (rename('projector.0.op', '\ud800.0.op'), f"'\\ud800.0.op'{NO_NAME}"),
    'gap in the numbers': (
        rename('projector.1.op', 'projector.2.op'),
        ", decisions: 'projector.2.op' stands where \"projector.1.op\" belongs",
    ),
    'not from zero': (
        change('decisions', 'projector.0.op', to=...),
        ", decisions: 'projector.1.op' stands where \"projector.0.op\" belongs",
    ),
    'out of order': (
        several(
            rename('projector.0.op', 'a.0.op'),
            rename('projector.1.op', 'projector.0.op'),
            rename('a.0.op', 'projector.1.op'),
        ),
        ", decisions: 'projector.1.op' stands where \"projector.0.op\" belongs",
    ),
    'number of thousands of digits': (
        rename('projector.0.op', f'projector.{"9" * 5000}.op'),
        ", decisions: 'projector.9999",
    ),
    # Options.
    'decision as text': (change(*FIRST, to='identity'), f"{IN_FIRST}: must be an object, got 'ide"),
    'no options': (change(*FIRST, 'options', to=...), f"{IN_FIRST}: 'options' is missing"),
    'options as text': (change(*FIRST, 'options', to='S'), ".options: must be a list, got 'S'"),
    'number in options': (change(*FIRST, 'options', 1, to=3), '.options[1]: must be a string, got'),
    'empty options': (
        change(*FIRST, 'options', to=[]),
        f"{IN_FIRST}.chosen[0]: 'identity' is not among the options ()",
    ),
    'repeated option': (
        several(*(change('decisions', name, 'options', 1, to='identity') for name in NAMES)),
        f"{IN_FIRST}.options: a space names each operation once; repeated: ['identity']",
    ),
    'unregistered option': (
        several(*ALL, change(*LAST, 'chosen', 0, to='conv')),
        f"{IN_FIRST}.options: unknown candidate operation 'conv'; registered are ",
    ),
    'layers of other options': (
        change('decisions', 'projector.1.op', 'options', to=S[::-1]),
        ', decisions.projector: has layers of different options',
    ),
    # Chosen.
    'no chosen': (change(*FIRST, 'chosen', to=...), f"{IN_FIRST}: 'chosen' is missing"),
    'empty chosen': (
        change(*FIRST, 'chosen', to=[]),
        f'{IN_FIRST}.chosen: is empty; name at least one option',
    ),
    'chosen as text': (
        change(*FIRST, 'chosen', to='identity'),
        f"{IN_FIRST}.chosen: must be a list, got 'identity'",
    ),
    'number in chosen': (change(*FIRST, 'chosen', to=[0]), '.chosen[0]: must be a string, got 0'),
    'chosen twice': (
        change(*FIRST, 'chosen', to=['identity'] * 2),
        f"{IN_FIRST}.chosen: names 'identity' twice",
    ),
    'not offered': (
        change(*FIRST, 'chosen', to=['linear_bn_silu']),
        f"{IN_FIRST}.chosen[0]: 'linear_bn_silu' is not among the options ('linear_bn_relu', ",
    ),
    'label of schema 1': (
        change(*LAST, 'chosen', to=['linear']),
        ", decisions.predictor.1.op.chosen[0]: 'linear' is not among the options (",
    ),
    'same function as an earlier option': (
        change(*LAST, 'chosen', to=['identity']),
        ", decisions.predictor.1.op.scores: has null for 'identity', which was chosen",
    ),
    # Scores.
    'short scores': (change(*FIRST, 'scores', to=[0.0]), '.scores: has 1 values for 4 options'),
    'long scores': (change(*FIRST, 'scores', to=[0.0] * 5), '.scores: has 5 values for 4 options'),
    'scores as object': (change(*FIRST, 'scores', to={}), '.scores: must be a list, got {}'),
    'scores as null': (change(*FIRST, 'scores', to=None), '.scores: must be a list, got None'),
    'text in scores': (change(*FIRST, 'scores', 1, to='0'), ".scores[1]: must be a number, got '0"),
    'bool in scores': (change(*FIRST, 'scores', 1, to=False), '.scores[1]: must be a number, got '),
    'scores beyond floats': (
        change(*FIRST, 'scores', 0, to=-(10**400)),
        f'{IN_FIRST}.scores[0]: must be finite, got -10000',
    ),
    'null for the chosen': (
        change(*FIRST, 'scores', 3, to=None),
        f"{IN_FIRST}.scores: has null for 'identity', which was chosen",
    ),
    'nothing but null': (
        change(*FIRST, 'scores', to=[None] * 4),
        f"{IN_FIRST}.scores: has null for 'identity', which was chosen",
    ),
    'null for a candidate': (
        change(*FIRST, 'scores', 0, to=None),
        f"{IN_FIRST}.scores: scores ['max_pool_3_bn', 'avg_pool_3_bn', 'identity'], but the "
        "candidates at these widths are ['linear_bn_relu', ",
    ),
    'score for no candidate': (
        change(*LAST, 'scores', 3, to=0.0),
        ", decisions.predictor.1.op.scores: scores ['linear_bn_relu', 'max_pool_3_bn', ",
    ),
    'not the top of the scores': (
        change(*FIRST, 'chosen', to=['max_pool_3_bn']),
        f"{IN_FIRST}.chosen: ['max_pool_3_bn'] is not the top of the scores, 'identity' is higher; "
        'correct it, or remove the scores',
    ),
    # top_k.
    'two chosen of one': (
        change(*FIRST, 'chosen', to=['identity', 'max_pool_3_bn']),
        f'{IN_FIRST}.chosen: has 2 options, but provenance.top_k: 1',
    ),
    'two chosen of one, unscored': (
        several(
            change(*FIRST, 'chosen', to=['identity', 'max_pool_3_bn']),
            change(*FIRST, 'scores', to=...),
        ),
        f'{IN_FIRST}.chosen: has 2 options, but provenance.top_k: 1',
    ),
    'one chosen of two': (
        change('provenance', 'top_k', to=2),
        f'{IN_FIRST}.chosen: has 1 options; top_k takes 2 here',
    ),
    'one chosen of very many': (
        change('provenance', 'top_k', to=10**400),
        f'{IN_FIRST}.chosen: has 1 options; top_k takes 4 here',
    ),
    'top_k of zero': (change('provenance', 'top_k', to=0), ', provenance.top_k: must be at least '),
    'top_k as bool': (change('provenance', 'top_k', to=True), ', provenance.top_k: must be an int'),
    'top_k as text': (change('provenance', 'top_k', to='1'), ", provenance.top_k: must be an inte"),
    # Widths.
    'decided_at as list': (change(*AT, to=[]), ', provenance.decided_at: must be an object, got ['),
    'another head': (
        change(*AT, 'neck', to=[]),
        ", provenance.decided_at.neck: is no head of the decisions; they are ['projector', 'pred",
    ),
    'another head of two lines': (change(*AT, 'a\nb', to=0), ', provenance.decided_at.a\\nb: is n'),
    'rows as text': (change(*AT, 'projector', to='4, 4'), ".projector: must be a list of 2 layers"),
    'a row too few': (change(*AT, 'projector', 0, to=...), '.projector: must be a list of 2 layer'),
    'a row too many': (change(*AT, 'projector', to=[[4, 4, False]] * 3), 'must be a list of 2 lay'),
    'row as text': (change(*AT, 'projector', 0, to='4'), ".projector[0]: must be [in, out, is out"),
    'row of two': (change(*AT, 'projector', 0, to=[4, 4]), '[0]: must be [in, out, is output], go'),
    'output as integer': (change(*AT, 'predictor', 1, 2, to=1), '[1]: must be [in, out, is output'),
    'zero width': (
        change(*AT, 'projector', 0, 0, to=0),
        f'[0]{NO_WIDTH.format("in", 0)}',
    ),
    'bool width': (
        change(*AT, 'projector', 0, 0, to=True),
        f'[0]{NO_WIDTH.format("in", True)}',
    ),
    'float width': (
        change(*AT, 'projector', 0, 0, to=4.0),
        f'[0]{NO_WIDTH.format("in", 4.0)}',
    ),
    'giant width': (
        change(*AT, 'projector', 0, 0, to=10**30),
        f'[0]{NO_WIDTH.format("in", 10**30)}',
    ),
    'null width': (
        change(*AT, 'projector', 1, 1, to=None),
        f'[1]{NO_WIDTH.format("out", None)}',
    ),
    'broken chain': (
        change(*AT, 'projector', 1, 0, to=5),
        ', provenance.decided_at.projector[1]: takes 5, but layer 0 gives 4',
    ),
    'output in the middle': (
        change(*AT, 'predictor', 0, 2, to=True),
        ', provenance.decided_at.predictor[0]: is an output before the last layer',
    ),
}  # fmt: skip
TEXT = json.dumps(whole())
