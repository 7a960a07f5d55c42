# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
from itertools import pairwise

import numpy as np
import pytest

from benchmarks import ROOT
from benchmarks.heads.__main__ import add_arguments, run
from benchmarks.heads.answers import answers, collapsed
from benchmarks.heads.effects import Effect
from benchmarks.heads.jobs import choices, drawn_heads
from benchmarks.heads.objectives import OBJECTIVES
from benchmarks.heads.picture import draw_effects
from benchmarks.heads.replay import STRATEGIES
from benchmarks.heads.rows import write_rows
from benchmarks.heads.table import Table
from nasiam_mm.architecture.points import genotype_at
from nasiam_mm.cli.main import as_main

DEMO = ROOT / 'docs/results/heads_demo'


@pytest.fixture(scope='module')
def rows():
    """Thirty drawn heads of two seeds, whose score and loss are their temperature's."""
    rng, found = np.random.default_rng(0), []
    for name, options in [*drawn_heads('simclr').items()][1:31]:
        genotype = genotype_at('SimCLR', choices('simclr'), options)
        decided = {n: d.chosen[0] for n, d in genotype.decisions.items()}
        for seed in (0, 1):
            score = 30 - 10 * decided['temperature'] + rng.normal() * 0.1
            row = dict(framework='simclr', scale='x', head=name, seed=seed, decided=decided)
            row |= {objective: list(rng.normal(size=2)) for objective in OBJECTIVES}
            row['std_z'] = list(0.5 + rng.random(2))
            row['rank_z'] = [9.0 + rng.random(), 1.0 if name == 'h03' else 9.0 + rng.random()]
            found.append(row | dict(knn_test=[1.0, score], linear_test=[1.0, score], seconds=1.0))
    return found


def test_the_page_is_made_from_rows_alone(rows, tmp_path):
    write_rows(rows, tmp_path / 'rows.jsonl')
    command = as_main('', add_arguments, run)
    given = ['--rows', str(tmp_path / 'rows.jsonl')]
    for draws in ('1', '2', '2'):  # goes on, and has nothing to do
        command(['replay', *given, '--scale', 'x', '--draws', draws, '--each', '1'])
    assert len((tmp_path / 'replays.jsonl').read_text().splitlines()) == 2 * len(STRATEGIES)
    command(['answer', *given])
    text = (tmp_path / 'answers.md').read_text()
    lines = text.splitlines()
    assert '## simclr at x: 30 heads, 2 seeds' in text
    share = next(
        line for line in text.splitlines() if line.startswith('| temperature | ') and '%' in line
    )
    assert float(share.split('|')[2].split()[0]) > 50
    assert '| comparator | 5 | ' in text
    assert 'and within a temperature' in text
    within = [line for line in lines if line.startswith('| temperature | 0.') and '%' not in line]
    assert sum(int(line.split('|')[3]) for line in within[-4:]) == 30
    assert '; the standard head ' not in text  # of which there are no rows
    assert 'The best head that a draw holds has ' in text
    assert 'without 1 that collapsed' in text
    assert (tmp_path / 'effects.png').stat().st_size > 10_000
    # A table stands alone, its options by size.
    for one, other in pairwise(lines):
        assert one.startswith('| ') == other.startswith('| ') or '' in (one, other), (one, other)
    depths = [
        line.split('|')[2].strip() for line in lines if line.startswith('| projector.depth | ')
    ]
    assert depths[:4] == ['1', '2', '4', '6']


def test_collapse_is_told_by_pools_among_heads_with_a_hidden_layer():
    ops = ['avg_pool_3_bn', 'linear'] * 4
    decided = [{'projector.0.op': 'linear', 'projector.1.op': op} for op in ops]
    decided += [{'projector.depth': 1, 'predictor.0.op': 'max_pool_3_bn'}]
    heads = [f'h{n:02d}' for n in range(9)]
    rows = {head: {0: dict(std_z=[0.01 if n % 2 else 0.9], rank_z=[9.0])}
            for n, head in enumerate(heads)}  # fmt: skip
    # Of 8 over 4 places there are 70 ways, two as far apart as this one.
    assert collapsed(Table(heads, [0], decided, rows)) == (
        'Of the heads with a hidden layer in the projector collapsed, with a pool among them '
        '0 of 4, without 4 of 4 (exact test by Fisher, two-sided, p 0.029; not planned).'
    )


def test_a_gate_is_told_where_its_eight_heads_are(rows):
    names = ('standard', 'linear', 'deep', *(f'random-{n}' for n in range(1, 6)))
    given = [
        row | dict(head=name, knn_test=[float(n), 10.0 * n + row['seed'] + (n == 3)])
        for n, name in enumerate(names)
        for row in rows[:2]
    ]
    text, drawn = answers(given, DEMO, DEMO / 'none')
    assert '| simclr | x | gate, 8 x 2 |' in text
    assert '(6 heads)' in text
    assert not drawn
    assert 'gate, 8 x' not in answers(given[2:], DEMO, DEMO / 'none')[0]


def test_a_picture_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match='no table to draw'):
        draw_effects({}, tmp_path / 'a.png')
    with pytest.raises(ValueError, match='must end in'):
        draw_effects({'a': [Effect('c', 'o', 1, 0.0, 0.0, 0.0)]}, tmp_path / 'a.pdf')
