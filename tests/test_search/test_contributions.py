# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: a contribution is what the loss rises by in a network that never had the layer."""

import json

import pytest
import torch

from nasiam_mm.search.contributions import contributions, save_contributions, tell
from nasiam_mm.search.held_out import mean_weights
from tests.small import build, config
from tests.test_search.supernets import held_out_of, supernet


def shorter(framework, model, layer):
    """The same supernet, built without a layer of its projector, with the others' weights."""
    neck = dict(config(framework).neck, depth=2)
    other = build(framework, neck=neck).double()
    kept, state = [n for n in range(3) if n != layer], model.state_dict()
    fresh = other.state_dict()
    for name, value in fresh.items():
        head, found, rest = name.partition('1.cell.layers.' if 'module' in name else
                                           'neck.cell.layers.')  # fmt: skip
        if found:
            number, _, last = rest.partition('.')
            fresh[name] = state[f'{head}{found}{kept[int(number)]}.{last}']
        elif value.shape == state[name].shape:
            fresh[name] = state[name]
        else:  # alpha, and what is a candidate
            fresh[name] = state[name][kept]
    other.load_state_dict(fresh)
    return other


@pytest.mark.parametrize('framework', ['simclr', 'mocov2'])
def test_removal_by_brute_force(framework):
    model = supernet(framework)
    whole, found = contributions(held_out_of(model))
    assert list(found) == ['projector.0.op', 'projector.1.op', 'projector.2.op']
    for layer, value in enumerate(found.values()):
        other = shorter(framework, model, layer)
        without = held_out_of(other).loss(mean_weights(other.architecture))
        assert value == pytest.approx(without - whole, abs=1e-6)
        assert abs(value) > 1e-3


def test_a_layer_that_changes_the_width_is_not_removable(tmp_path):
    model = supernet('simsiam')
    whole, found = contributions(held_out_of(model))
    fixed = ['predictor.0.op', 'predictor.1.op']
    assert [name for name, value in found.items() if value is None] == fixed
    line = tell(found)
    assert line.startswith('loss without a layer: projector.0.op ')
    assert line.endswith(
        '; not removable, as the width changes there: predictor.0.op, predictor.1.op'
    )
    save_contributions(whole, dict(found, **{'projector.0.op': float('nan')}), 7, tmp_path / 'c')
    told = json.loads((tmp_path / 'c').read_text())
    assert (told['epoch'], told['loss'], told['not_removable']) == (7, whole, fixed)
    assert told['contributions'] == {
        'projector.0.op': None,
        'projector.1.op': found['projector.1.op'],
        'projector.2.op': found['projector.2.op'],
    }


def test_an_auxiliary_branch_has_no_part_in_it():
    model = supernet('simclr', auxiliary=dict(type='AuxiliarySkip'))
    plain = supernet('simclr')
    state = model.state_dict()
    plain.load_state_dict({name: state[name] for name in plain.state_dict()})
    assert contributions(held_out_of(model)) == contributions(held_out_of(plain))
    assert torch.equal(*(m.architecture.alpha('projector') for m in (model, plain)))
