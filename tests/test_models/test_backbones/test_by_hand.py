# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Backbones that cannot be, as arguments or decisions have them, are refused in one line."""

import pytest
import torch

from nasiam_mm.architecture.genotype import GenotypeError
from nasiam_mm.registry import MODELS

BY_HAND = [
    (
        dict(type='ChoiceResNet', blocks=()),
        'ChoiceResNet.blocks must be a list of whole numbers fr',
    ),
    (
        dict(type='ChoiceResNet', blocks=2),
        'ChoiceResNet.blocks must be a list of whole numbers fro',
    ),
    (
        dict(type='ChoiceResNet', blocks=(2, 0)),
        'ChoiceResNet.blocks must be a list of whole number',
    ),
    (
        dict(type='ChoiceResNet', blocks=(2, 1.5)),
        'whole numbers from 1 up, of one or more, got (2, ',
    ),
    (
        dict(type='ChoiceResNet', base_channels=0),
        'ChoiceResNet.base_channels must be a whole numbe',
    ),
    (
        dict(type='ChoiceResNet', out_indices=1),
        'ChoiceResNet.out_indices must be a list of whole n',
    ),
    (
        dict(type='ChoiceResNet', out_indices=()),
        'must be a list of whole numbers, of one or more, ',
    ),
    (
        dict(type='ChoiceResNet', frozen_stages='1'),
        'ChoiceResNet.frozen_stages must be a whole num',
    ),
    (
        dict(type='ChoiceResNet', genotype=['a']),
        'model.backbone.genotype must be a genotype, the pa',
    ),
    (
        dict(type='ChoiceMobileNet', strides=(1, 0, 2)),
        'ChoiceMobileNet.strides must be a list of w',
    ),
    (
        dict(type='ChoiceMobileNet', channels=[8, -8, 8, 8]),
        'ChoiceMobileNet.channels must be a lis',
    ),
    (
        dict(type='ChoiceMobileNet', img_size=(32, 32)),
        'ChoiceMobileNet.img_size must be a whole nu',
    ),
    (
        dict(type='ChoiceMobileNet', blocks=(2, 2)),
        'blocks and strides for each stage, channels for',
    ),
    (
        dict(type='ChoiceCells', blocks=(1,)),
        'ChoiceCells.blocks must be of two stages or more, got',
    ),
    (
        dict(type='ChoiceCells', nodes=0),
        'ChoiceCells.nodes must be a whole number from 1 up, got 0',
    ),
]


@pytest.mark.parametrize(('config', 'message'), BY_HAND, ids=[m[:30] for _, m in BY_HAND])
def test_what_cannot_be_by_hand_is_refused_in_one_line(config, message):
    with pytest.raises(ValueError) as error:
        MODELS.build(config)
    assert message in str(error.value) and '\n' not in str(error.value)


def test_cells_that_give_zeros_whatever_they_are_given_are_refused():
    names = [f'{group}.{n}.op' for group in ('normal', 'reduction') for n in range(5)]
    base = dict(type='ChoiceCells', blocks=(1, 1, 1), base_channels=8, nodes=2)
    chosen = dict.fromkeys(names, 'none')
    # An edge between nodes of which the first is given nothing.
    for lost in (chosen, {**chosen, 'normal.4.op': 'identity'}):
        with pytest.raises(
            GenotypeError, match=r'no edge of the normal cell leads from what it is'
        ):
            MODELS.build({**base, 'genotype': lost})
    with pytest.raises(GenotypeError, match=r'no edge of the normal cell leads'):
        MODELS.build({**base, 'space': ['none']})
    some = {'normal.2.op': 'identity', 'reduction.0.op': 'max_pool_3x3'}
    net = MODELS.build({**base, 'genotype': {**chosen, **some}})
    assert net(torch.randn(2, 3, 16, 16))[0].abs().sum() > 0
