# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
import numpy as np
import pytest

from benchmarks.heads.effects import Share, corrected, effects, features, interactions, shares
from benchmarks.heads.jobs import choices, drawn_heads
from benchmarks.heads.table import table_of
from nasiam_mm.architecture.points import genotype_at


def planted(score, noise=0.3, seeds=3, seed=0):
    """Rows of the drawn heads of SimCLR whose score is a function of what counts in them."""
    rng = np.random.default_rng(seed)
    rows = []
    for name, options in drawn_heads('simclr').items():
        genotype = genotype_at('SimCLR', choices('simclr'), options)
        decided = {n: d.chosen[0] for n, d in genotype.decisions.items()}
        for s in range(seeds):
            figure = [0.0, score(decided) + rng.normal() * noise]
            rows.append(
                dict(framework='simclr', scale='x', head=name, seed=s, decided=decided)
                | dict(knn_test=figure)
            )
    return table_of(rows, 'simclr', 'x')


def by_name(found):
    return {(e.choice, e.option): e for e in found}


def test_planted_effects_are_found_with_intervals_that_hold_them():
    at = {0.05: -1.0, 0.1: 1.0, 0.2: 0.5, 0.5: -0.5}
    table = planted(lambda head: 30 + at[head['temperature']])
    assert len(table.heads) == 96  # without the standard head, which was not drawn
    found = by_name(effects(table, resamples=300))
    for option, value in at.items():
        effect = found['temperature', str(option)]
        assert effect.low <= value <= effect.high
        assert effect.value == pytest.approx(value, abs=0.2)
        assert effect.heads == 24
    for (choice, _), effect in found.items():
        if choice != 'temperature':
            assert abs(effect.value) < 0.4
    main, pairs = shares(table)
    assert main[0].choice == 'temperature'
    assert main[0].share > 0.7
    assert main[0].p < 1e-6
    assert all(share.p > 0.01 for share in [*main[1:], *pairs])


def test_what_sets_one_layer_apart_is_depths_though_operations_are_of_more_alone():
    table = planted(lambda head: 30 + 3.0 * (head['projector.depth'] == 1))
    main, _ = shares(table)
    assert main[0].choice == 'projector.depth' and main[0].share > 0.6
    assert all(share.share < 0.05 for share in main[1:])


def test_an_operation_counts_by_the_share_of_layers_it_takes():
    head = {
        'projector.depth': 4,
        'projector.0.op': 'a',
        'projector.1.op': 'b',
        'projector.2.op': 'a',
    }
    found = features([head, {'projector.depth': 1}])
    assert found['operation']['a'] == pytest.approx([2 / 3, 0])
    assert found['operation']['b'] == pytest.approx([1 / 3, 0])
    assert list(found['projector.depth']['1']) == [0, 1]


def test_a_planted_interaction_is_told_apart_from_main_effects():
    def score(head):
        both = head['temperature'] == 0.5 and head['projector.output_norm'] == 'none'
        return 30 + 3.0 * both

    _, pairs = shares(planted(score))
    assert pairs[0].choice == 'projector.output_norm x temperature'
    assert pairs[0].p < 0.001


def test_cells_of_a_planted_interaction_have_their_points_and_sum_to_nothing():
    def score(head):
        both = head['temperature'] == 0.5 and head['projector.output_norm'] == 'none'
        return 30 + 3.0 * both

    table = planted(score)
    found = interactions(table, strongest=1, resamples=100)
    choices = found[0].pair.split(' x ')
    assert {*choices} == {'temperature', 'projector.output_norm'}
    counts = [len({cell.options[n] for cell in found}) for n in (0, 1)]
    assert len(found) == counts[0] * counts[1]
    for n in (0, 1):
        for option in {cell.options[n] for cell in found}:
            assert abs(sum(cell.value for cell in found if cell.options[n] == option)) < 1e-9
    planted_cell = next(cell for cell in found if {*cell.options} == {'0.5', 'none'})
    # 3 points in one of the cells, less its row, its column and the mean.
    expected = 3.0 * (1 - 1 / counts[0]) * (1 - 1 / counts[1])
    assert planted_cell.low < expected < planted_cell.high
    assert abs(planted_cell.value - expected) < 0.3
    heads = [h for h in table.decided if h['temperature'] == 0.5]
    assert planted_cell.heads == sum(h['projector.output_norm'] == 'none' for h in heads)


def test_corrected_p_values_by_hand():
    found = corrected([Share('a', 0.1, 0.04), Share('b', 0.3, 0.01), Share('c', 0.2, 0.03)])
    assert [(s.choice, round(s.p, 6)) for s in found] == [('b', 0.03), ('c', 0.06), ('a', 0.06)]
