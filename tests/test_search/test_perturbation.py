# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Perturbation: what is needed is kept, as brute force finds; the run stays as it was."""

import copy
import math
import signal
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from nasiam_mm.architecture.genotype import GenotypeError, save_genotype
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.engine.stop_signals import StopAsked
from nasiam_mm.search.batches import held_out_batches
from nasiam_mm.search.criteria import CRITERIA, Criterion
from nasiam_mm.search.selection import SELECTIONS, genotype_of
from nasiam_mm.search.tuning import normalise_by_batch

SMALL = dict(type='HeldOutContrast', batches=2)
TWO = ['linear_bn_relu', 'identity']


def perturbation(**settings):
    return SELECTIONS.build(dict(type='Perturbation', **dict(dict(criterion=SMALL), **settings)))


def chosen(decisions):
    return [decision.chosen for decision in decisions.values()]


def silence(model):
    """Let every linear candidate of the searched heads give the same for all images."""
    for head in model.searched_heads().values():
        for layer in head.cell.layers:
            nn.init.zeros_(layer.ops['linear_bn_relu'][0].weight)


@pytest.mark.parametrize('relaxation', ['Softmax', 'Sigmoid', 'UniformSampling'])
def test_the_needed_operation_is_kept_though_alpha_prefers_the_other(relaxation, ended):
    runner = ended('simclr', space=TWO, relaxation=dict(type=relaxation))
    silence(runner.model)
    architecture = runner.model.architecture
    architecture.alpha('projector').copy_(torch.tensor([2.0, 0.0]).expand(3, 2))
    selection = perturbation()
    assert chosen(selection.decide(architecture)) == [('linear_bn_relu',)] * 3
    decisions = selection.finish(runner, architecture)
    assert chosen(decisions) == [('identity',)] * 3
    # Without it the contrast is that of chance; without the other little is lost.
    assert all(d.scored['identity'] > d.scored['linear_bn_relu'] for d in decisions.values())


def brute_force(runner, order):
    """Decide in that order, each candidate taken out of a fresh copy."""
    gone, drops = [], {}
    original = runner.model.architecture

    def contrast(*more):
        model = copy.deepcopy(runner.model)
        for head, layer, position in (*gone, *more):
            model.architecture.drop(head, layer, [position])
        normalise_by_batch(model)
        losses = []
        with torch.no_grad():
            for batch in held_out_batches(runner, 2):
                views = model.data_preprocessor(batch, True)['inputs']
                z = [normalize(model.neck(model.backbone(view))[0]) for view in views]
                for a, b in (z, z[::-1]):
                    losses.append(cross_entropy(a @ b.T / 0.2, torch.arange(len(a))))
        return -torch.stack(losses).mean().item()

    for name in order:
        head, layer = name.split('.')[0], int(name.split('.')[1])
        here = [k for k, there in enumerate(original.present(head)[layer]) if there]
        values = {k: contrast((head, layer, k)) for k in here}
        whole = contrast()
        drops[name] = {original.choices[head][layer].options[k]: whole - values[k] for k in here}
        best = min(values, key=values.get)
        gone += [(head, layer, k) for k in here if k != best]
    return drops


def test_it_decides_as_brute_force_does(ended, tmp_path):
    runner = ended('simclr')
    selection = perturbation(seed=3)
    decisions = selection.finish(runner, runner.model.architecture)
    assert sorted(selection.order) == list(decisions) == sorted(decisions)
    expected = brute_force(runner, selection.order)
    for name, decision in decisions.items():
        assert decision.scored == pytest.approx(expected[name], abs=2e-5)
        assert decision.chosen == (max(decision.scored, key=decision.scored.get),)
    genotype = genotype_of(decisions, selection, 'SimCLR', {'seed': 0})
    assert genotype.provenance == {
        'selection': 'perturbation',
        'criterion': {'type': 'HeldOutContrast', 'batches': 2, 'temperature': 0.2},
        'tune_steps': 0,
        'order_seed': 3,
        'order': selection.order,
        'seed': 0,
    }
    save_genotype(genotype, tmp_path / 'g.json')
    assert load_genotype(tmp_path / 'g.json') == genotype
    text = (tmp_path / 'g.json').read_text()
    decision = decisions['projector.0.op']
    worst = min(decision.scored, key=decision.scored.get)
    old, new = (f'"chosen": ["{op}"]' for op in (decision.chosen[0], worst))
    (tmp_path / 'g.json').write_text(text.replace(old, new, 1))
    with pytest.raises(GenotypeError, match=r'is not the top of the scores'):
        load_genotype(tmp_path / 'g.json')


def test_the_order_is_random_by_the_seed(ended):
    runner = ended('simsiam')
    orders = []
    for seed in range(6):
        selection = perturbation(criterion=dict(type='Spy'), seed=seed)
        selection.finish(runner, runner.model.architecture)
        orders.append(tuple(selection.order))
    assert len(set(orders)) > 2 and len({tuple(sorted(order)) for order in orders}) == 1
    # Layers of both heads change places.
    assert len({order[0].split('.')[0] for order in orders}) == 2


@CRITERIA.register_module()
class Spy(Criterion):
    """Notes the mixing weights and the backbone of each measurement."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__(1)
        self.given, self.notes, self.prepared = value, [], 0

    def prepare(self, runner, model, spare=0):
        self.prepared += 1

    def value(self, model):
        weights = {h: model.architecture.weights(h).clone() for h in model.architecture.choices}
        first = next(model.backbone.parameters()).detach().clone()
        self.notes.append((weights, model.architecture.running('projector'), first))
        return self.given


def test_a_layer_with_one_candidate_is_not_measured_and_what_was_dropped_not_kept(ended):
    runner = ended('simclr', relaxation=dict(type='Softmax'))
    architecture = runner.model.architecture
    architecture.drop('projector', 0, [0, 1, 3])
    architecture.drop('projector', 2, [1])
    selection = perturbation(criterion=dict(type='Spy'))
    decisions = list(selection.finish(runner, architecture).values())
    assert selection.order and 'projector.0.op' not in selection.order
    assert decisions[0].chosen == ('avg_pool_3_bn',) and decisions[0].scores[0] is None
    assert decisions[0].scored == {'avg_pool_3_bn': 0.0}
    assert list(decisions[2].scored) == ['linear_bn_relu', 'avg_pool_3_bn', 'identity']
    notes = selection.criterion.notes
    # Whole and without each: 4 + 1 and 3 + 1.
    assert len(notes) == 9
    for number, (weights, running, _) in enumerate(notes):
        rows = weights['projector']
        assert rows[0].tolist() == [0, 0, 1, 0] and running[0] == (2,)
        torch.testing.assert_close(rows.sum(1), torch.ones(3))
        assert running == tuple(tuple(row.nonzero().flatten().tolist()) for row in rows)
        undecided = int(selection.order[1].split('.')[1])
        if number < (5 if undecided == 2 else 4):
            mean = architecture.weights('projector', drawn=False)
            torch.testing.assert_close(rows[undecided], mean[undecided])
        else:
            first = int(selection.order[0].split('.')[1])
            assert rows[first].max() == 1  # decided


def test_ties_take_the_first_and_are_told_of(ended, monkeypatch):
    runner = ended('simclr')
    warned = []
    monkeypatch.setattr(runner.logger, 'warning', warned.append)
    decisions = perturbation(criterion=dict(type='Spy')).finish(runner, runner.model.architecture)
    assert chosen(decisions) == [('linear_bn_relu',)] * 3
    assert sorted(warned) == [
        f'the criterion does not depend on projector.{n}.op' for n in range(3)
    ]


def test_the_weights_are_tuned_between_decisions_alone(ended):
    runner = ended('simclr')
    for steps, kinds in ((0, 1), (1, 3)):
        selection = perturbation(criterion=dict(type='Spy'), tune_steps=steps)
        selection.finish(runner, runner.model.architecture)
        backbones = {first.numpy().tobytes() for *_, first in selection.criterion.notes}
        assert len(backbones) == selection.criterion.prepared == kinds
        assert next(runner.model.backbone.parameters()).numpy(force=True).tobytes() in backbones


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_a_criterion_that_is_no_number_is_refused(value, ended):
    runner = ended('simclr')
    told = r'Spy of projector\.\d\.op is not finite; the weights have diverged'
    with pytest.raises(GenotypeError, match=told):
        perturbation(criterion=dict(type='Spy', value=value)).finish(
            runner, runner.model.architecture
        )


@pytest.mark.parametrize(
    'settings',
    [
        dict(type='Perturbation', criterion=dict(type='Spy'), tune_steps=1),
        dict(type='BestOfSampled', criterion=SMALL, n=4),
    ],
)
def test_a_signal_stops_it_between_two_steps(settings, ended, monkeypatch):
    runner = ended('simclr')
    answers = iter([None, None, signal.SIGTERM])
    signals = SimpleNamespace(agreed=lambda: next(answers))
    monkeypatch.setattr(runner.train_loop, 'signals', signals)
    drawn = torch.get_rng_state()
    with pytest.raises(StopAsked):
        SELECTIONS.build(settings).finish(runner, runner.model.architecture)
    assert next(answers, 'none left') == 'none left'
    assert torch.equal(torch.get_rng_state(), drawn)
