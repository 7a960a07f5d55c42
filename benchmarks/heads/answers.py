# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The questions asked of the table, answered from its rows alone, as Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import fisher_exact

from benchmarks.heads.contest_answers import contest_answers
from benchmarks.heads.effects import Effect, effects, interactions, shares
from benchmarks.heads.fidelity import DEAR, fidelities
from benchmarks.heads.gate import (
    LEAST,
    committed_scores,
    crossed,
    gate,
    loss_ranks,
    means_of,
    reliability,
)
from benchmarks.heads.jobs import GATED, drawn_heads
from benchmarks.heads.objectives import Ranking, rankings, within
from benchmarks.heads.points import points
from benchmarks.heads.replay import pool_of
from benchmarks.heads.replays import BASE, gains, places_of, read_replays
from benchmarks.heads.table import Table, healthy, is_drawn, table_of
from benchmarks.papers.markdown import markdown_table

_GATE = 8  # heads that a scale is judged by, at least
_TABLE = 30  # heads that effects and rankings are told of, at least
_CELLS = 10  # of interactions, that are told
_UNTRAINED = 'still'  # the scale whose steps move nothing
# Choices that move the score more than all others, and the loss with it or against it.
_STRATA = 'temperature', 'predictor.form'
# Heads that a scale may be judged by.
_GROUPS = {
    'gate': lambda head: head in GATED,
    'h00 to h11': lambda head: is_drawn(head) and head <= 'h11',
    'table': is_drawn,
}


def gates(rows: Sequence[Mapping[str, Any]], committed: Path) -> str:
    """Tell how well each scale tells the gate's heads apart, and those of the table."""
    found = []
    scales = sorted({(row['framework'], row['scale']) for row in rows})
    for framework, scale in scales:
        at = [r for r in rows if (r['framework'], r['scale']) == (framework, scale)]
        told: list[list[str]] = []
        for group, belongs in _GROUPS.items():
            own = [row for row in at if belongs(row['head'])]
            heads, scores = crossed(own)
            if len(heads) < _GATE or scores.shape[1] < 2 or heads in told:
                continue
            told.append(heads)
            of = gate(own, committed_scores(committed, framework))
            ranks = of.correlation
            passes = of.reliability.value >= LEAST and (ranks is None or ranks > 0)
            with_32 = '-' if ranks is None else f'{ranks:+.2f} ({of.shared} heads)'
            found.append([
                framework, scale, f'{group}, {of.heads} x {of.seeds}', f'{of.spread:.2f}',
                f'{of.noise:.2f}', _interval(*of.reliability), f'{of.linear.value:.2f}', with_32,
                '{:.1f} to {:.1f}, {:.1f} to {:.1f}'.format(*of.learned),
                f'{of.seconds:.0f}', 'passes' if passes else '**fails**',
            ])  # fmt: skip
    head = ['framework', 'scale', 'heads x seeds', 'spread of heads', 'noise of a run']
    head += [f'reliability (>= {LEAST})', 'by linear', 'rank correlation with 32 px']
    head += ['mean kNN, linear, first to last epoch', 'CPU s', '']
    text = markdown_table(head, found)
    if untrained := [row for row in rows if row['scale'] == _UNTRAINED]:
        knn, linear = means_of(untrained)[1::2]
        least, most = (f(row['knn_test'][-1] for row in untrained) for f in (min, max))
        text += f'\n\nA backbone that is not trained (`{_UNTRAINED}`): kNN {knn:.1f} '
        text += f'({least:.1f} to {most:.1f}), linear {linear:.1f} ({len(untrained)} runs)'
    return text


def standing(rows: Sequence[Mapping[str, Any]], table: Table, framework: str, scale: str) -> str:
    """Tell where the standard head stands in a table, and how many heads learned nothing."""
    lines = []
    for score in ('knn_test', 'linear_test'):
        means = table.scores(score).mean(1)
        quartiles = ', '.join(f'{q:.2f}' for q in np.quantile(means, [0, 0.25, 0.5, 0.75, 1]))
        line = f'{score}, quartiles of the heads: {quartiles}'
        own = [
            row[score][-1]
            for row in rows
            if (row['framework'], row['scale'], row['head']) == (framework, scale, 'standard')
        ]
        if own:
            above = int((means > np.mean(own)).sum())
            line += f'; the standard head {np.mean(own):.2f} ({len(own)} runs), {above} above it'
        if untrained := [row[score][-1] for row in rows if row['scale'] == _UNTRAINED]:
            least = np.mean(untrained)
            line += f'; {int((means <= least).sum())} at or below one that is not trained'
        lines.append(line)
    return '.\n'.join(lines) + '.'


def collapsed(table: Table) -> str:
    """Tell how many heads collapsed, of those that have a hidden layer, with a pool and without."""
    well, counts = healthy(table).heads, {True: [0, 0], False: [0, 0]}  # collapsed, not
    for head, decided in zip(table.heads, table.decided, strict=True):
        found = [
            op
            for name, op in decided.items()
            if name.startswith('projector.') and name.endswith('.op')
        ]
        if found:
            counts[any('pool' in op for op in found)][head in well] += 1
    told = [f'{bad} of {bad + good}' for bad, good in counts.values()]
    p = fisher_exact([*counts.values()]).pvalue
    return (
        f'Of the heads with a hidden layer in the projector collapsed, with a pool among them '
        f'{told[0]}, without {told[1]} (exact test by Fisher, two-sided, p {p:.2g}; not planned).'
    )


def loss_within(table: Table) -> str:
    """Tell how the loss ranks the heads of each option that moves it more than all others."""
    lines = []
    for choice in _STRATA:
        if not all(choice in options for options in table.decided):
            continue
        for part in within(table, choice):
            told = []
            for target in ('knn_test', 'linear_test'):
                [of] = rankings([part], target, objectives=['loss'])
                told.append(_interval(*of[2:], '+.2f'))
            lines.append([choice, str(part.decided[0][choice]), str(len(part.heads)), *told])
    return markdown_table(['choice', 'option', 'heads', 'loss with kNN', 'with linear'], lines)


def main_effects(table: Table) -> tuple[str, list[Effect]]:
    """Tell what each option is worth, and what each choice explains of both test scores."""
    found = effects(table)
    rows = [
        [e.choice, e.option, str(e.heads), _interval(e.value, e.low, e.high, '+.2f')] for e in found
    ]
    text = markdown_table(['choice', 'option', 'heads', 'points (95 %)'], rows)
    kept = healthy(table)
    gone = len(table.heads) - len(kept.heads)
    for score in ('knn_test', 'linear_test'):
        main, pairs = shares(table, score)
        told = [[s.choice, f'{100 * s.share:.1f} %', f'{s.p:.3g}'] for s in (*main, *pairs[:5])]
        head = [f'choice or pair, {score}', 'of the variance, beyond all others', 'p']
        if gone:
            others = {s.choice: s for part in shares(kept, score) for s in part}
            for row in told:
                row += [f'{100 * others[row[0]].share:.1f} %', f'{others[row[0]].p:.3g}']
            head += [f'without {gone} that collapsed', 'p']
        text += '\n\n' + markdown_table(head, told)
    cells = sorted(interactions(table), key=lambda c: -abs(c.value) / (c.high - c.low))[:_CELLS]
    told = [
        [c.pair, ' with '.join(c.options), str(c.heads), _interval(c.value, c.low, c.high, '+.2f')]
        for c in cells
    ]
    text += (
        f'\n\nThe {_CELLS} cells that stand clearest from 0, of the five pairs that explain most '
    )
    text += 'of knn_test:\n\n'
    head = ['pair', 'options', 'heads', 'points beyond both alone (95 %, not corrected)']
    return text + markdown_table(head, told), found


def ranked(table: Table, target: str = 'knn_test') -> str:
    """Tell how well each figure ranks heads, after each epoch."""
    epochs = len(table.rows[table.heads[0]][table.seeds[0]][target])
    found: dict[str, list[Ranking]] = {}
    for ranking in rankings([table], target, range(1, epochs + 1)):
        found.setdefault(ranking.objective, []).append(ranking)
    head = [f'figure, against {target} of other seeds']
    head += [*(f'epoch {n}' for n in range(1, epochs)), f'epoch {epochs} (95 %)']
    rows = [
        [name, *(f'{of.value:+.2f}' for of in each[:-1]), _interval(*each[-1][2:], '+.2f')]
        for name, each in sorted(found.items(), key=lambda item: -item[1][-1].value)
    ]
    for choice in _STRATA:
        if all(choice in options for options in table.decided):
            parts = {r.objective: r for r in rankings(within(table, choice), target)}
            for row in rows:
                row.append(_interval(*parts[row[0]][2:], '+.2f'))
            head.append(f'and within a {choice}')
    return markdown_table(head, rows)


def replayed(rows: Sequence[Mapping[str, Any]], table: Table) -> str:
    """Tell what each strategy of studies finds at each budget."""
    found = []
    for g in sorted(gains(rows), key=lambda gain: (gain.budget, -gain.score)):
        against = [_interval(g.gain, g.low, g.high, '+.2f'), f'{100 * g.luck:.0f} %']
        told = ['-'] * 2 if g.strategy == BASE else against
        found.append([g.strategy, str(g.budget), f'{g.score:.2f}', *told])
    scores = table.scores('knn_test').mean(1)
    draws = sorted({row['draw'] for row in rows})
    best = np.mean([scores[places_of(draw, len(scores))].max() for draw in draws])
    head = ['strategy', 'budget, runs', 'kNN test', 'over random search']
    head += ['of its variance luck of the replays']
    text = f'The best head that a draw holds has {best:.2f} in the mean of {len(draws)} draws; '
    text += f'the best of the table {scores.max():.2f}.\n\n'
    return text + markdown_table(head, found)


def dear_ranked(rows: Sequence[Mapping[str, Any]], framework: str) -> str:
    """Tell how each cheaper setting ranks the heads that were trained dearly; '' for too few."""
    found = [
        [of.scale, str(of.epoch), f'{of.heads} x {of.seeds}', f'{of.seconds:.0f}',
         _interval(*of[5:], '+.2f')]
        for of in fidelities(rows, framework)
    ]  # fmt: skip
    if not found:
        return ''
    head = ['scale', 'epochs', 'heads x seeds', 'CPU s', f'rank correlation with {DEAR}']
    text = markdown_table(head, found)
    dear = [r for r in rows if (r['framework'], r['scale']) == (framework, DEAR)]
    scores = crossed([row for row in dear if is_drawn(row['head'])])[1]
    if scores.shape[1] > 1:
        trust = reliability(scores)
        text += f'\n\nThe means of {DEAR} have a reliability of {_interval(*trust)}: a setting '
        text += 'that ranked heads without fault would be expected to reach '
        text += f'{max(trust.value, 0) ** 0.5:+.2f}.'
    return text


def chosen(rows: Sequence[Mapping[str, Any]], framework: str, scale: str) -> str:
    """Tell what searches by gradient found, and took; '' for none."""
    found = [
        [
            point.strategy,
            str(point.runs),
            f'{point.score:.2f} ± {point.deviation:.2f}',
            f'{point.searching:.0f}',
            f'{point.seconds:.0f}',
        ]
        for point in points(rows, framework, scale)
    ]
    if not found:
        return ''
    head = ['strategy', 'searches', 'kNN test', 'CPU s of a search', 'and its training']
    text = markdown_table(head, found) + '\n\n± is the deviation between searches.'
    at = [row for row in rows if (row['framework'], row['scale']) == (framework, scale)]
    if own := [row for row in at if row['head'] == 'standard']:
        scores, seconds = ([f(r) for r in own] for f in (_last, lambda row: row['seconds']))
        told = f'{np.mean(scores):.2f} ± {np.std(scores, ddof=1):.2f} ({len(own)} runs'
        text += f' The standard head has {told} of {np.mean(seconds):.0f} s)'
    drawn = [row for row in at if row['head'].startswith('random-')]
    means = [
        np.mean([_last(row) for row in drawn if row['head'] == head])
        for head in sorted({row['head'] for row in drawn})
    ]
    if means:
        told = f'{np.mean(means):.2f} ({min(means):.2f} to {max(means):.2f})'
        text += f'; {len(means)} random heads of the space that is searched {told}.'
    return text


def answers(
    rows: Sequence[Mapping[str, Any]],
    committed: Path,
    replays: Path,
    contest: Sequence[Mapping[str, Any]] = (),
    searches: Sequence[Mapping[str, Any]] = (),
) -> tuple[str, dict[str, list[Effect]]]:
    """Return the page of answers, and the main effects by table for a picture."""
    text, drawn = '## The gate\n\n' + gates(rows, committed), {}
    text += '\n\nSpearman of the last loss with kNN at 32 pixels, `docs/results/heads_demo`: '
    first = {name: loss_ranks(committed, name) for name in ('simclr', 'simsiam')}
    text += ', '.join(f'{name} {ranks:+.2f} ({n} runs)' for name, (ranks, n) in first.items())
    for framework, scale in sorted(
        {(r['framework'], r['scale']) for r in rows if is_drawn(r['head'])}
    ):
        table = table_of(rows, framework, scale)
        if len(table.heads) < _TABLE or len(table.seeds) < 2:
            continue
        text += (
            f'\n\n## {framework} at {scale}: {len(table.heads)} heads, {len(table.seeds)} seeds\n'
        )
        text += '\n' + standing(rows, table, framework, scale)
        if missing := sorted({*table.rows} - {*table.heads}):
            text += f'\nLeft out, as a seed is missing: {", ".join(missing)}.'
        mains, drawn[f'{framework}, {scale}'] = main_effects(table)
        text += '\n\n### Which choices matter?\n\n' + mains + '\n\n' + collapsed(table)
        text += '\n\n### Which figure ranks heads?\n\n' + ranked(table)
        text += '\n\n' + ranked(table, 'linear_test')
        text += '\n\nThe training loss within one option:\n\n' + loss_within(table)
        pool = pool_of(table, drawn_heads(framework))
        of = {'framework': framework, 'scale': scale, 'table': pool.digest}
        if played := read_replays(replays, of):
            text += '\n\n### Which strategy finds a good head?\n\n' + replayed(played, table)
        if told := chosen(rows, framework, scale):
            text += '\n\n### What do searches by gradient choose?\n\n' + told
    for framework in sorted({r['framework'] for r in contest}):
        own, spent = (
            [row for row in of if row['framework'] == framework] for of in (contest, searches)
        )
        text += f'\n\n## End to end: {framework}\n\n' + contest_answers(own, spent)
    for framework in sorted({r['framework'] for r in rows}):
        if told := dear_ranked(rows, framework):
            text += f'\n\n## Which fidelity ranks heads? {framework}\n\n' + told
    return f'{text}\n', drawn


def _last(row: Mapping[str, Any]) -> float:
    return row['knn_test'][-1]


def _interval(value: float, low: float, high: float, form: str = '.2f') -> str:
    return f'{value:{form}} ({low:{form}} to {high:{form}})'
