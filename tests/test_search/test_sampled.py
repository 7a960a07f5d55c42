# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The best of sampled genotypes: sampling, ranking, and that a path is the head it stands for."""

import itertools
import json
import math
from collections import Counter

import pytest
import torch
from scipy.stats import chisquare
from torch import nn

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.architecture.genotype import GenotypeError, save_genotype
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.ops.candidates import SPACES, LayerShape
from nasiam_mm.search.criteria import CRITERIA, Criterion
from nasiam_mm.search.sampled import chances, one_path, sample_paths
from nasiam_mm.search.selection import SELECTIONS, genotype_of
from nasiam_mm.search.tuning import copy_of, heads_of, refit
from tests.small import build

S = SPACES['S']
SMALL = dict(type='HeldOutContrast', batches=2)
TWO = ['linear_bn_relu', 'identity']


def best_of(**settings):
    settings = dict(dict(criterion=SMALL, refit_batches=2), **settings)
    return SELECTIONS.build(dict(type='BestOfSampled', **settings))


@CRITERIA.register_module()
class Planted(Criterion):
    """Better the more layers run what was planted; without a number for what begins otherwise."""

    def __init__(self, path=(0, 0, 0), broken=False) -> None:
        super().__init__(1)
        self.path, self.broken, self.seen = tuple(path), broken, []

    def prepare(self, runner, model, spare=0):
        self.spare = spare

    def put_through(self, model):
        pass

    def value(self, model):
        rows = model.architecture.weights('projector')
        assert sorted(set(rows.flatten().tolist())) == [0, 1] and (rows.sum(1) == 1).all()
        path = tuple(rows.argmax(1).tolist())
        assert model.architecture.running('projector') == tuple((k,) for k in path)
        self.seen.append(path)
        if self.broken and path[0] != self.path[0]:
            return math.nan
        return sum(a == b for a, b in zip(path, self.path, strict=True))


def test_the_planted_best_is_found_and_all_are_written_down(ended, tmp_path):
    runner = ended('simclr')
    runner._work_dir = str(tmp_path)
    criterion = dict(type='Planted', path=(2, 0, 3), broken=True)
    selection = best_of(criterion=criterion, n=64, refit_batches=5)
    decisions = selection.finish(runner, runner.model.architecture)
    assert [d.chosen for d in decisions.values()] == [(S[2],), (S[0],), (S[3],)]
    assert not any(d.scores for d in decisions.values())
    assert selection.criterion.seen == list(itertools.product(range(4), repeat=3))
    assert selection.criterion.spare == 5
    found = json.loads((tmp_path / 'sampled.json').read_text())
    values = [row['value'] for row in found['ranking']]
    assert values[:16] == sorted(values[:16], reverse=True) and values[16:] == [None] * 48
    assert found['ranking'][0] == {
        'value': 3,
        'chosen': {'projector.0.op': S[2], 'projector.1.op': S[0], 'projector.2.op': S[3]},
    }
    assert len({tuple(row['chosen'].values()) for row in found['ranking']}) == 64
    genotype = genotype_of(decisions, selection, 'SimCLR', {'seed': 0})
    told = {key: genotype.provenance[key] for key in ('selection', 'n', 'by', 'value', 'measured')}
    assert told == dict(selection='best_of_sampled', n=64, by='uniform', value=3, measured=64)
    assert found['sampling_seed'] == runner.seed
    save_genotype(genotype, tmp_path / 'g.json')
    assert load_genotype(tmp_path / 'g.json') == genotype


@pytest.mark.parametrize('relaxation', ['Softmax', 'UniformSampling'])
def test_the_path_that_tells_images_apart_is_found(relaxation, ended, tmp_path):
    runner = ended('simclr', space=TWO, relaxation=dict(type=relaxation))
    runner._work_dir = str(tmp_path)
    for layer in runner.model.neck.cell.layers:
        nn.init.zeros_(layer.ops['linear_bn_relu'][0].weight)
    # Two views alike, so that more than chance is to be had from features barely trained.
    runner.model.data_preprocessor.register_forward_hook(
        lambda module, args, data: {**data, 'inputs': data['inputs'][:1] * 2}
    )
    decisions = best_of().finish(runner, runner.model.architecture)
    assert [d.chosen for d in decisions.values()] == [('identity',)] * 3
    ranking = json.loads((tmp_path / 'sampled.json').read_text())['ranking']
    # All others are blind.
    assert [row['value'] for row in ranking[1:]] == pytest.approx([-math.log(32)] * 7, abs=1e-4)


def test_no_genotype_with_a_number(ended, tmp_path):
    runner = ended('simclr')
    runner._work_dir = str(tmp_path)
    criterion = dict(type='Planted', path=(7, 0, 0), broken=True)
    with pytest.raises(GenotypeError, match='Planted is not finite for any genotype'):
        best_of(criterion=criterion, n=3).finish(runner, runner.model.architecture)


SAME = LayerShape(6, 6)


def projector(relaxation='Softmax', shapes=(SAME, SAME, SAME)):
    return Architecture({'projector': op_choices('projector', S, shapes)}, dict(type=relaxation))


@pytest.mark.parametrize('relaxation', ['Softmax', 'Sigmoid', 'UniformSampling'])
def test_sampling_is_uniform_over_the_candidates(relaxation):
    # The last has three candidates; of the second one was dropped.
    architecture = projector(relaxation, (SAME, SAME, LayerShape(6, 4, True)))
    architecture.drop('projector', 1, [2])
    architecture.alpha('projector').normal_()
    counts = Counter()
    for seed in range(600):
        paths = sample_paths(chances(architecture), 3, seed)
        assert len(set(paths)) == 3
        counts.update(paths)
    possible = set(itertools.product(range(4), (0, 1, 3), range(3)))
    assert set(counts) == possible
    assert chisquare([counts[path] for path in possible]).pvalue > 1e-3


@pytest.mark.parametrize('relaxation', ['Softmax', 'Sigmoid', 'GumbelStraightThrough'])
def test_sampling_by_the_weights(relaxation):
    architecture = projector(relaxation, (SAME,))
    architecture.alpha('projector').copy_(torch.tensor([[1.0, 0.0, -1.0, 0.5]]))
    weights = architecture.weights('projector', drawn=False)[0].double()
    (row,) = chances(architecture, 'weights')
    torch.testing.assert_close(row, weights / weights.sum())
    drawn = Counter(sample_paths([row], 1, seed)[0][0] for seed in range(1500))
    expected = (row * 1500).tolist()
    assert chisquare([drawn[k] for k in range(4)], expected).pvalue > 1e-3


def test_a_space_of_no_more_is_gone_through():
    rows = chances(projector())
    whole = list(itertools.product(range(4), repeat=3))
    assert sample_paths(rows, 64, 0) == sample_paths(rows, 100, 1) == whole
    assert sorted(sample_paths(rows, 63, 0)) != whole[:63]
    assert len(set(sample_paths(rows, 63, 0))) == 63
    assert sample_paths(rows, 10, 0) == sample_paths(rows, 10, 0) != sample_paths(rows, 10, 1)


def test_what_is_too_improbable_is_not_waited_for():
    rows = [torch.tensor([1 - 1e-15, 1e-15], dtype=torch.float64)] * 4
    assert sample_paths(rows, 8, 0) == [(0, 0, 0, 0)]


def test_statistics_are_those_of_the_batches(ended):
    runner = ended('byol')
    model = copy_of(runner.model)
    owner = model.architecture
    criterion = CRITERIA.build(SMALL)
    criterion.prepare(runner, model, spare=3)
    path = (0, 1, 2, 0, 0)
    seen = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm1d):
            seen[name] = []
            module.register_forward_hook(lambda m, args, out, name=name: seen[name].append(args[0]))
    with owner.mixed_by(one_path(owner, path)):
        refit(model, lambda: criterion.put_through(model))
    ran = {name: inputs for name, inputs in seen.items() if inputs}
    # What the path runs, and nothing else.
    assert sorted(ran) == [
        'head.predictor.cell.layers.0.ops.linear_bn_relu.1',
        'neck.cell.layers.0.ops.linear_bn_relu.1',
        'neck.cell.layers.1.ops.max_pool_3_bn.1',
        'neck.cell.layers.2.ops.avg_pool_3_bn.1',
    ]
    for name, inputs in ran.items():
        norm = model.get_submodule(name)
        assert len(inputs) == 6 and norm.num_batches_tracked == 6
        assert not norm.training and norm.momentum == 0.1
        mean = torch.stack([x.double().mean(0) for x in inputs]).mean(0)
        variance = torch.stack([x.double().var(0, unbiased=True) for x in inputs]).mean(0)
        torch.testing.assert_close(norm.running_mean.double(), mean, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(norm.running_var.double(), variance, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize('framework', ['simclr', 'byol', 'mocov2'])
def test_a_path_is_the_head_of_its_genotype(framework, ended, tmp_path):
    runner = ended(framework)
    runner._work_dir = str(tmp_path)
    architecture = runner.model.architecture
    selection = best_of(n=1)
    decisions = selection.finish(runner, architecture)
    genotype = genotype_of(decisions, selection, 'any')
    save_genotype(genotype, tmp_path / 'genotype.json')
    preprocessor = runner.cfg.model.data_preprocessor
    fixed = build(
        framework, genotype=str(tmp_path / 'genotype.json'), data_preprocessor=preprocessor
    )
    state = {
        name.replace('.ops.', '.'): value
        for name, value in runner.model.state_dict().items()
        if not name.startswith('architecture')
    }
    kept = {name: value for name, value in state.items() if name in fixed.state_dict()}
    assert fixed.load_state_dict(kept, strict=False).missing_keys == []
    assert heads_of(fixed) and not fixed.searched_heads()
    criterion = CRITERIA.build(SMALL)
    criterion.prepare(runner, fixed, spare=2)
    refit(fixed, lambda: criterion.put_through(fixed))
    assert criterion.value(fixed) == pytest.approx(selection.best['value'], abs=1e-6)
