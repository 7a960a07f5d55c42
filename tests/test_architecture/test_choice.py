# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A choice has a name by its place, the options of the space, and what of them is a candidate."""

import pytest

from nasiam_mm.architecture.choice import Choice, op_choices
from nasiam_mm.ops.candidates import SPACES, layer_shapes

S = SPACES['S']


def test_names_options_and_candidates():
    choices = op_choices('predictor', list(S), layer_shapes(6, [4, 4, 6], plain_output=True))
    assert choices == (
        Choice('predictor.0.op', S, (True,) * 4),
        Choice('predictor.1.op', S, (True,) * 4, identity=3),
        # At the output identity is the linear map that linear_bn_relu is.
        Choice('predictor.2.op', S, (True, True, True, False)),
    )


@pytest.mark.parametrize('head', ['a.b', '', '3d', 'two\nlines', 'a-b', 3, None])
def test_a_name_that_no_genotype_could_have_is_refused(head):
    with pytest.raises(ValueError, match=r'a head is named by letters, digits and _') as caught:
        op_choices(head, S, layer_shapes(4, [4]))
    assert '\n' not in str(caught.value)


def test_unknown_operation_is_refused():
    with pytest.raises(ValueError, match="unknown candidate operation 'conv'"):
        op_choices('projector', ('conv',), layer_shapes(4, [4]))
