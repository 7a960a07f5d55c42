# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims about the measures of a backbone.

1. What has collapsed is scored below every backbone that tells images apart, never as NaN.
2. Each measure is its function on the right features; its score grows with quality.
3. Views are asked for by those measures alone that say so; settings that cannot be are refused.
"""

import math

import pytest
import torch

from nasiam_mm.evaluation.contrast import alignment, contrast
from nasiam_mm.evaluation.linear import fit_linear, linear_accuracy
from nasiam_mm.evaluation.reference import reference_head
from nasiam_mm.evaluation.spectrum import alpha_req, lidar, rankme
from nasiam_mm.probes.extract import FeatureSet
from nasiam_mm.probes.measures import MEASURES, Found, Measure, build_measures, measure_found

OURS = ['KNN', 'LinearProbe', 'RankMe', 'LiDAR', 'AlphaReQ', 'Alignment', 'Uniformity', 'Contrast']
WIDTH, CLASSES, BANK, QUERY = 24, 4, 120, 80


def found_from(embed):
    """What is found of a backbone that maps images, (N, WIDTH), as ``embed``."""
    draw = torch.Generator().manual_seed(3)
    labels = torch.arange(BANK + QUERY) % CLASSES
    centres = torch.randn(CLASSES, WIDTH, generator=draw)
    images = centres[labels] + torch.randn(BANK + QUERY, WIDTH, generator=draw)
    noise = torch.randn(QUERY, 8, WIDTH, generator=draw)
    asked = []

    def views(count, per_image):
        asked.append((count, per_image))
        shown = images[BANK:, None] + 0.3 * noise
        return embed(shown.flatten(0, 1)).unflatten(0, (QUERY, 8))[:count, :per_image]

    bank = FeatureSet(embed(images)[:BANK], labels[:BANK])
    query = FeatureSet(embed(images)[BANK:], labels[BANK:])
    found = Found(bank, query, CLASSES, 10, 0.1, {}, views)
    return found, asked


DIRECTION = torch.linspace(0.5, 2, WIDTH)
ROUNDING = torch.linspace(-1, 1, WIDTH)
HEALTHY = {
    'whole': lambda x: x,
    'after a ReLU': lambda x: torch.relu(x + 0.5),
    'offset': lambda x: x + 3,
    'half of the directions': lambda x: x * (torch.arange(WIDTH) < WIDTH // 2),
}
COLLAPSED = {
    'zeros': lambda x: 0 * x,
    'equal': lambda x: DIRECTION.expand_as(x).clone(),
    'equal but for rounding': lambda x: DIRECTION * (1 + 1e-7 * x.sin() * ROUNDING),
    'one direction': lambda x: (1 + (99 * x.sum(1, keepdim=True)).sin().square()) * DIRECTION,
}


@pytest.fixture(scope='module')
def scores():
    """Scores by measure, and by what the backbone is like."""
    measures = build_measures([dict(type=name) for name in OURS])
    table = {}
    for kind, embed in (HEALTHY | COLLAPSED).items():
        found, _ = found_from(embed)
        for name, measure in zip(OURS, measures, strict=True):
            table[name, kind] = measure.score(measure.value(found))
    return table


@pytest.mark.parametrize('name', OURS)
def test_every_measure_scores_collapse_worst(name, scores):
    healthy = [scores[name, kind] for kind in HEALTHY]
    for kind in COLLAPSED:
        assert scores[name, kind] < min(healthy), (kind, scores[name, kind], healthy)
    assert not any(math.isnan(score) for score in scores.values())


def test_equal_features_have_the_worst_value_there_is(scores):
    for kind in ('zeros', 'equal'):
        chance = 100 / CLASSES
        assert scores['KNN', kind] <= chance and scores['LinearProbe', kind] <= chance
        assert scores['RankMe', kind] <= 1.0001 and scores['LiDAR', kind] == 0
        assert scores['AlphaReQ', kind] == -math.inf
        assert scores['Alignment', kind] == -4
        assert scores['Uniformity', kind] == pytest.approx(0, abs=1e-12)
        worst = math.log(1 + (QUERY - 1) * math.exp(2 / 0.2))
        assert scores['Contrast', kind] == pytest.approx(-worst, abs=1e-9)


def test_no_backbone_that_tells_little_is_scored_below_collapse(scores):
    # Its views say next to nothing of their image: worse than chance, at such a temperature.
    found, _ = found_from(lambda x: x + 9 * (1e4 * x).sin())
    contrast_score, alignment_score = (
        measure.score(measure.value(found))
        for measure in build_measures([dict(type='Contrast'), dict(type='Alignment')])
    )
    assert contrast_score < -math.log(QUERY)
    for kind in COLLAPSED:
        assert scores['Contrast', kind] < contrast_score
        assert scores['Alignment', kind] < alignment_score


def test_each_measure_is_its_function_of_the_right_features():
    found, asked = found_from(HEALTHY['whole'])
    configs = [
        dict(type='KNN'),
        dict(type='LinearProbe', l2=0.1),
        dict(type='RankMe'),
        dict(type='AlphaReQ', first=2, last=9),
        dict(type='Uniformity', t=1),
    ]
    values = measure_found(build_measures(configs), found)
    assert asked == []
    query = found.query.features
    fit = fit_linear(*found.bank, CLASSES, 0.1)
    unit = torch.nn.functional.normalize(query.double())
    assert values == {
        'measure/knn': found.knn['top1'],
        'measure/linear': linear_accuracy(fit, *found.query)['top1'],
        'measure/rankme': rankme(query).item(),
        'measure/alpha_req': alpha_req(query, 2, 9).item(),
        'measure/uniformity': pytest.approx(
            (-torch.pdist(unit).square()).exp().mean().log().item(), abs=1e-12
        ),
    }

    configs = [
        dict(type='LiDAR', images=30, per_image=5, delta=0.01),
        dict(type='Alignment', images=40),
        dict(type='Contrast', images=50, temperature=0.5, width=7, seed=2),
    ]
    values = measure_found(build_measures(configs), found)
    assert asked == [(30, 5), (40, 2), (50, 2)]
    views = found.views(QUERY, 8)
    z = reference_head(views[:50, :2].flatten(0, 1), 7, 2).view(50, 2, 7)
    assert values == {
        'measure/lidar': lidar(views[:30, :5], 0.01).item(),
        'measure/alignment': alignment(views[:40, 0], views[:40, 1]).item(),
        'measure/contrast': contrast(z[:, 0], z[:, 1], 0.5).item(),
    }


def test_alpha_is_best_at_one():
    measure = MEASURES.build(dict(type='AlphaReQ'))
    assert measure.score(1) == 0 and measure.score(1.5) == measure.score(0.5) == -0.5


@pytest.mark.parametrize('name', OURS)
def test_what_a_measure_says_that_it_needs(name):
    measure = MEASURES.build(dict(type=name))
    found, asked = found_from(HEALTHY['whole'])
    value = measure.value(found)
    assert bool(asked) == measure.needs_views
    # Other labels give another value to those alone that read them.
    turned = found.query._replace(labels=found.query.labels.roll(1))
    other = Found(found.bank, turned, CLASSES, found.k, found.temperature, {}, found.views)
    assert (measure.value(other) != value) == measure.needs_labels


def test_the_neighbours_vote_once(monkeypatch):
    calls = []
    monkeypatch.setattr(
        'nasiam_mm.probes.measures.knn_accuracy', lambda *a, **k: calls.append(a) or {'top1': 7.0}
    )
    found, _ = found_from(HEALTHY['whole'])
    assert found.knn['top1'] == 7
    assert measure_found(build_measures([dict(type='KNN')]), found) == {'measure/knn': 7.0}
    assert len(calls) == 1 and calls[0][-2:] == (10, 0.1)


@pytest.mark.parametrize(
    ('configs', 'message'),
    [
        ([dict(type='LiDRA')], 'there is no measure .LiDRA.; take one of Alignment, AlphaReQ'),
        (['RankMe'], r'probe.measures\[0\] must be a dict with a type'),
        ('RankMe', 'probe.measures must be a list of dicts'),
        ([dict(type='RankMe'), dict(type='RankMe')], "probe.measures has 'rankme' twice"),
        ([dict(type='LiDAR', per_image=1)], 'LiDAR.per_image must be a whole number from 2, got 1'),
        ([dict(type='LiDAR', delta=0)], 'LiDAR.delta must be a positive number, got 0'),
        ([dict(type='Alignment', images=True)], 'Alignment.images must be a whole .* got True'),
        ([dict(type='AlphaReQ', first=9, last=9)], 'AlphaReQ.last must be a whole number from 10'),
        ([dict(type='LinearProbe', l2='x')], "LinearProbe.l2 must be a positive number, got 'x'"),
        ([dict(type='Contrast', seed=-1)], 'Contrast.seed must be a whole number from 0, got -1'),
        ([dict(type='Uniformity', t=math.nan)], 'Uniformity.t must be a positive number, got nan'),
    ],
)
def test_what_cannot_be_is_refused(configs, message):
    with pytest.raises(ValueError, match=message):
        build_measures(configs)


def test_a_figure_that_is_no_number_is_refused():
    class Broken(Measure):
        name = 'broken'

        def value(self, found):
            return math.nan

    with pytest.raises(ValueError, match='measure/broken is not a number'):
        measure_found([Broken()], found_from(HEALTHY['whole'])[0])
