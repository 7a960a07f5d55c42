# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Figures from cached features.

1. They are what the pure functions give for the selected settings, recomputed here.
2. Nothing is selected on the test images, and there is no test figure unless asked for.
3. Few labels use few labels.
"""

import json
from dataclasses import replace

import pytest
import torch

from nasiam_mm.evaluation.few_labels import balanced_subset
from nasiam_mm.evaluation.knn import knn_accuracy
from nasiam_mm.evaluation.linear import fit_linear, linear_accuracy
from nasiam_mm.probes.feature_sets import FeatureSet, FeatureSets
from nasiam_mm.probes.sweep import (
    Grid,
    fitting_fractions,
    format_figure,
    render_features,
    sweep_features,
)

GRID = Grid(
    ks=(1, 5, 20, 999), temperatures=(0.05, 0.5), l2s=(1e-2, 1.0), fractions=(0.1, 1.0),
    label_seeds=(0, 1), fixed_k=10,
)  # fmt: skip
CLASSES = 6


def part(size, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(size) % CLASSES
    centres = torch.randn(CLASSES, 8, generator=torch.Generator().manual_seed(99))
    return FeatureSet(centres[labels] + 1.5 * torch.randn(size, 8, generator=generator), labels)


def feature_sets(with_test=True):
    test = part(90, 3) if with_test else None
    return FeatureSets(part(240, 1), part(60, 2), test, CLASSES, {})


@pytest.fixture(scope='module')
def found():
    return sweep_features(feature_sets(), GRID)


def test_knn_is_recomputed(found):
    sets, knn = feature_sets(), found['knn']
    bank = (sets.train.features, sets.train.labels, CLASSES, knn['k'], knn['temperature'])
    val = knn_accuracy(sets.val.features, sets.val.labels, *bank)
    test = knn_accuracy(sets.test.features, sets.test.labels, *bank)
    assert knn['val_top1'] == pytest.approx(val['top1'])
    assert knn['test_top1'] == pytest.approx(test['top1'])
    assert knn['test_top5'] == pytest.approx(test['top5'])
    assert knn['val_top1'] == max(top1 for _, _, top1 in knn['sweep'])
    # 999 neighbours are more than there are.
    assert {k for k, _, _ in knn['sweep']} == {1, 5, 20}
    assert (found['knn_fixed']['k'], found['knn_fixed']['temperature']) == (10, 0.1)


def test_the_linear_probe_is_recomputed(found):
    sets, linear = feature_sets(), found['linear_cached']
    probe = fit_linear(sets.train.features, sets.train.labels, CLASSES, linear['l2'])
    test = linear_accuracy(probe, sets.test.features, sets.test.labels)
    assert linear['test_top1'] == pytest.approx(test['top1'])
    assert linear['converged']
    assert linear['val_top1'] == max(top1 for _, top1 in linear['sweep'])


def test_nothing_is_selected_on_the_test_images(found):
    sets = feature_sets()
    order = torch.randperm(90)
    other = FeatureSet(-sets.test.features, sets.test.labels[order])
    changed = FeatureSets(sets.train, sets.val, other, CLASSES, {})
    again = sweep_features(changed, GRID)
    without = sweep_features(feature_sets(with_test=False), GRID)
    assert again['knn']['test_top1'] != found['knn']['test_top1']
    for name in ('k', 'temperature', 'val_top1', 'sweep'):
        assert again['knn'][name] == found['knn'][name] == without['knn'][name]
    for name in ('l2', 'val_top1', 'sweep'):
        assert again['linear_cached'][name] == found['linear_cached'][name]
        assert without['linear_cached'][name] == found['linear_cached'][name]
    for ours, theirs in zip(again['few_labels'], found['few_labels'], strict=True):
        assert ours['knn_val_top1'] == theirs['knn_val_top1']


def test_no_test_figure_unless_asked_for():
    text = json.dumps(sweep_features(feature_sets(with_test=False), GRID))
    assert 'test' not in text
    assert 'val_top1' in text


def test_few_labels_use_few_labels(found):
    tenth, everything = found['few_labels']
    assert (tenth['labels'], tenth['label_seeds']) == (24, [0, 1])
    # All labels are one choice.
    assert (everything['labels'], everything['label_seeds']) == (240, [0])
    assert everything['knn_test_top1'] == {'mean': found['knn']['test_top1'], 'deviation': None}
    sets = feature_sets()
    figures = []
    for seed in (0, 1):
        chosen = balanced_subset(sets.train.labels, CLASSES, 0.1, seed)
        bank = FeatureSets(
            FeatureSet(sets.train.features[chosen], sets.train.labels[chosen]), sets.val,
            sets.test, CLASSES, {},
        )  # fmt: skip
        figures.append(sweep_features(bank, Grid(**{
            **GRID.__dict__, 'fractions': (),
        }))['linear_cached']['test_top1'])  # fmt: skip
    assert tenth['linear_test_top1']['mean'] == pytest.approx(sum(figures) / 2)


def test_the_text_labels_the_cached_probe_as_such(found):
    text = render_features(found)
    assert 'not the protocol of configs/benchmarks/linear' in text
    assert f'{found["knn"]["test_top1"]:.2f}' in text
    assert 'train 240, val 60, test 90 images' in text


def test_figures_have_their_deviation_where_there_is_one():
    assert format_figure(1.234, 0.5) == '1.23 ± 0.50'
    assert format_figure(1.234, None) == '1.23'


def test_fractions_that_a_small_or_uneven_set_cannot_give_are_told_apart():
    sets = feature_sets()  # 40 images of each of 6 classes
    fitting, refused = fitting_fractions(sets, (0.01, 0.1, 1.0))
    assert fitting == (0.1, 1.0)
    assert refused == [
        'few labels: 0.01 of 240 labels is less than one image of each; take 0.025 or more'
    ]
    # Two of class 0 are left: a tenth of the labels would be three of each class.
    keep = (sets.train.labels != 0) | (torch.arange(240) < 12)
    uneven = FeatureSet(sets.train.features[keep], sets.train.labels[keep])
    fitting, [why] = fitting_fractions(replace(sets, train=uneven), (0.1, 1.0))
    assert fitting == (1.0,) and 'class 0 has 2' in why
