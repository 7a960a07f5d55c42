# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The page of a study, from its rows alone, as Markdown."""

from collections.abc import Sequence
from itertools import chain

import numpy as np

from benchmarks.backbones.analysis import Analysis
from benchmarks.backbones.correlations import KINDS, LEAST, RESAMPLES, interval
from benchmarks.backbones.equals import WITHIN, Compared, compare
from benchmarks.backbones.scores import Row, Scores, scores_of
from benchmarks.backbones.winners import losses, winners
from benchmarks.papers.markdown import markdown_table
from benchmarks.tasks.task import CIFAR, OTHER, TASKS, find_tasks

GUIDE = 'cifar10'
_LEAST_BACKBONES = 8  # that correlations are told of
_TITLES = ('raw', 'less parameters', 'raw, corrected', 'less parameters, corrected')
_NOT_THE_PAPERS = (
    'The tasks are **not the eleven of the paper**, whose data sets have to be downloaded: these '
    'come with packages, are of 32 x 32 pixels, and four of them take images of CIFAR-10, on '
    'others of which every backbone was pretrained. What holds here need not hold there.'
)


def render_page(rows: Sequence[Row], resamples: int = RESAMPLES) -> str:
    """Return all that the rows of a study say, without a title.

    Args:
        rows: Of ``rows.jsonl``.
        resamples: Of the bootstrap.
    """
    # What was searched, or built by hand, is no part of the sample that tasks are compared on.
    find_tasks(())  # registers them, for their titles
    drawn = [row for row in rows if row['kind'] == 'random']
    parts = [_about(rows), _NOT_THE_PAPERS]
    if len({row['backbone'] for row in drawn}) >= _LEAST_BACKBONES:
        scores = scores_of(drawn)
        found = Analysis(scores, resamples)
        parts += [
            '## Tasks\n\n' + _tasks(found),
            '## Do tasks rank backbones alike?\n\n' + _alike(found),
            f'## Do {_title(GUIDE)} predict the others?\n\n' + _guide(found),
            '## Who wins?\n\n' + _winners(scores),
            '## By kNN\n\n' + _groups(Analysis(scores_of(drawn, 'knn'), resamples)),
        ]
    if told := _compared(rows):
        parts.append('## Searched backbones against others of equal size\n\n' + told)
    return '\n\n'.join(parts) + '\n'


def _about(rows: Sequence[Row]) -> str:
    sizes = [row['parameters'] for row in rows]
    kinds = {k: len({r['backbone'] for r in rows if r['kind'] == k}) for k in
             dict.fromkeys(row['kind'] for row in rows)}  # fmt: skip
    families = ', '.join(sorted({row['family'] for row in rows}))
    told = ', '.join(f'{count} {kind}' for kind, count in kinds.items())
    seeds = sorted({row['seed'] for row in rows})
    configs = ', '.join(f'`{name}`' for name in sorted({row['config'] for row in rows}))
    steps = dict.fromkeys(chain.from_iterable(row['seconds'] for row in rows))
    spent = ', '.join(
        f'{step} {np.mean([row["seconds"].get(step, 0) for row in rows]):.0f}' for step in steps
    )
    versions = sorted({f'{n} {v}' for row in rows for n, v in row['versions'].items()})
    devices = sorted({row['device'] for row in rows})
    return (
        f'{told} backbones ({families}) of {min(sizes):,} to {max(sizes):,} parameters, '
        f'seed{"s"[: len(seeds) - 1]} {", ".join(map(str, seeds))}, pretrained by {configs}. '
        f'Mean seconds of processes a run: {spent}. {", ".join(versions)}; {"; ".join(devices)}.'
    )


def _tasks(found: Analysis) -> str:
    scores, reliability = found.scores, found.found.reliability
    lines = [
        [
            _title(task),
            _group(task),
            *(f'{v:.1f}' for v in np.quantile(means, [0, 0.5, 1])),
            f'{r:.2f}',
        ]
        for task, means, r in zip(scores.tasks, scores.means, reliability, strict=True)
    ]
    head = ['task', 'images', 'worst', 'median', 'best', 'reliability']
    return markdown_table(head, lines) + (
        '\n\nTest accuracy of a logistic regression on frozen features, percent, over '
        f'{len(scores.names)} backbones drawn. Reliability: the share of the variance of their '
        f'ranks that is not between the {scores.of}, 1 at best; '
        + (
            'what another pretraining would give is in it.'
            if scores.of == 'seeds'
            else 'what another pretraining would give is not in it, and splits share training '
            'images, so that it errs to the high side.'
        )
    )


def _alike(analysis: Analysis) -> str:
    scores, found, tables = analysis.scores, analysis.found, []
    for lower, upper, what in (
        (found.raw, found.partial, 'as they are'),
        (found.corrected, found.corrected_partial, 'corrected for attenuation'),
    ):
        both = np.tril(lower, -1) + np.triu(upper, 1)
        lines = [
            [
                f'{n + 1} {_title(task)}',
                *('1' if n == m else _number(both[n, m]) for m in range(len(both))),
            ]
            for n, task in enumerate(scores.tasks)
        ]
        told = 'below the diagonal raw, above it less what goes with the logarithm of parameters'
        head = [f'Spearman, {what}', *(str(n + 1) for n in range(len(both)))]
        tables.append(f'{told.capitalize()}; {what}:\n\n' + markdown_table(head, lines))
    return '\n\n'.join([_groups(analysis), *tables])


def _groups(analysis: Analysis) -> str:
    tasks, at = analysis.scores.tasks, (analysis.rows, analysis.columns)
    each = zip(*at, strict=True)
    groups = [tuple(sorted({_group(tasks[n]) for n in pair})) for pair in each]
    lines = []
    for name, of in (
        (f'within {CIFAR}', (CIFAR,)),
        (f'{CIFAR} with {OTHER}', tuple(sorted((CIFAR, OTHER)))),
        (f'within {OTHER}', (OTHER,)),
        ('all', None),
    ):
        own = np.array([of is None or group == of for group in groups])
        if not own.any():
            continue
        cells = []
        for kind in KINDS:
            value = _mean(analysis.of(kind)[at][own])
            again = _mean(analysis.drawn[kind][(slice(None), *at)][:, own])
            cells.append(_interval(value, *interval(again)))
        told = ' / '.join(str(int((p[at][own] < 0.05).sum())) for p in analysis.p.values())
        lines.append([name, str(int(own.sum())), *cells, told])
    head = ['pairs of tasks', 'n', *_TITLES, 'p < .05 by Holm, raw / less parameters']
    return markdown_table(head, lines) + (
        f'\n\nMean Spearman over the pairs, 95 % by {analysis.resamples:,} bootstraps of the '
        f'{len(analysis.scores.names)} backbones; Holm over all {len(groups)} pairs. Corrected '
        f'ones are of tasks whose reliability is {LEAST} or more, and may pass 1.'
    )


def _guide(analysis: Analysis) -> str:
    scores = analysis.scores
    if GUIDE not in scores.tasks:
        return 'It is not among the tasks measured.'
    place = list(scores.tasks).index(GUIDE)
    cost = {loss.task: loss for loss in losses(scores, GUIDE)}
    lines = []
    for number, task in enumerate(scores.tasks):
        if number == place:
            continue
        cells = []
        for kind in KINDS:
            limits = (limit[number, place] for limit in interval(analysis.drawn[kind]))
            told = _interval(analysis.of(kind)[number, place], *limits)
            if kind in analysis.p:
                told += f', p {analysis.p[kind][number, place]:.2g}'
            cells.append(told)
        loss = cost[task]
        cells += [
            f'{loss.lost:+.1f} ± {loss.error:.1f}',
            f'{loss.random:+.1f}',
            f'{loss.place:.1f}',
        ]
        lines.append([_title(task), _group(task), *cells])
    head = ['task', 'images', *_TITLES, 'points lost', 'by a random one', 'place']
    return markdown_table(head, lines) + (
        f'\n\nSpearman with {_title(GUIDE)}, 95 %, p by Holm over all {len(analysis.rows)} pairs. '
        f'Points lost: by the backbone best on {_title(GUIDE)}, against the one that is best '
        f'on the task, both chosen on the other {scores.of} than they are compared on (± standard '
        f'error); place: of {len(scores.names)}.'
    )


def _winners(scores: Scores) -> str:
    found = winners(scores)
    lines = [
        [
            _title(w.task), w.name, f'{w.parameters:,}', f'{w.score:.1f}', f'{w.margin:.1f}',
            f'{w.first} of {w.repetitions}',
        ]
        for w in found
    ]  # fmt: skip
    head = ['task', 'winner', 'parameters', 'percent', 'before the next', f'first in {scores.of}']
    names = {w.name for w in found}
    return markdown_table(head, lines) + (
        f'\n\n{len(names)} different backbones win the {len(found)} tasks. A winner that is not '
        f'the first in all {scores.of} may have won by chance.'
    )


def _compared(rows: Sequence[Row]) -> str:
    found = compare(rows) if any(row['kind'] == 'searched' for row in rows) else []
    lines = [
        [
            c.backbone, f'{c.equals} {c.kind}', _title(c.task) if c.task else '**mean**',
            f'{c.difference:+.1f}', f'{c.place} of {c.equals + 1}', _chance(c),
        ]
        for c in found
    ]  # fmt: skip
    if not lines:
        return ''
    head = ['searched', 'against', 'task', 'points', 'place', '95 % by chance']
    return markdown_table(head, lines) + (
        f'\n\nEqual: parameters within {100 * WITHIN:.0f} %. By chance: what one more backbone of '
        'that kind would differ from their mean.'
    )


def _chance(compared: Compared) -> str:
    return f'{compared.low:.1f} to {compared.high:+.1f}' if np.isfinite(compared.low) else '-'


def _title(task: str) -> str:
    return TASKS[task].title if task in TASKS else task


def _group(task: str) -> str:
    return TASKS[task].group if task in TASKS else OTHER


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    with np.errstate(invalid='ignore'):
        return np.where(known, values, 0).sum(-1) / known.sum(-1)


def _number(value: float) -> str:
    return f'{value:+.2f}' if np.isfinite(value) else '-'


def _interval(value: float, low: float, high: float) -> str:
    return f'{value:+.2f} ({low:+.2f} to {high:+.2f})' if np.isfinite(value) else '-'
