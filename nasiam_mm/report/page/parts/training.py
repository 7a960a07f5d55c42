# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Curves of a run, alone or beside others: loss, kNN, collapse, health, measures."""

from collections.abc import Sequence

from nasiam_mm.report.page.charts import Level, Line, line_chart
from nasiam_mm.report.page.explained import axis_of, sentence_of, title_of
from nasiam_mm.report.page.facts import Facts
from nasiam_mm.report.page.markup import absent, details, esc, number, table
from nasiam_mm.report.page.style import DASHES

# Scalars of a drawing, its title, values across it, and whether it begins at 0.
_HEALTH: tuple[tuple[tuple[str, ...], str, tuple[Level, ...], str], ...] = (
    (('relative_entropy',), 'Entropy of the weights, relative to ln K', (Level('uniform', 1.0),),
     '1: nothing was decided; 0: all was'),
    (('top', 'uniform'), 'Top weight, and what it is by chance', (), 'mean over the layers'),
    (('margin',), 'Lead of the top weight over the second', (Level('chance', 0.0),), ''),
    (('churn',), 'Share of the choices that changed', (), 'falls to 0 where the search settles'),
    (('pools', 'identities'), 'Pools and identities among those taken', (),
     'shares; much of both is a usual way to fail'),
    (('loss', 'derived_loss'), 'Held-out loss: of the supernet, of the head taken from it', (),
     'far apart: the supernet is no guide to the head'),
)  # fmt: skip
_COLLAPSED_STD = 0.1  # below it CollapseHook warns, unless told otherwise
Runs = Sequence[Facts]


def chart_of(
    runs: Runs,
    names: Sequence[str],
    title: str,
    levels: Sequence[Level] = (),
    note: str = '',
    from_zero: bool = False,
    y_label: str = '',
) -> str:
    """Draw scalars of one run, or one scalar of several; '' where none was logged."""
    lines = []
    for n, facts in enumerate(runs):
        for k, name in enumerate(names):
            told = name.rpartition('/')[2].replace('_', ' ')
            called = f'{facts.name}: {told}' if len(names) > 1 else facts.name
            points = facts.curves.get(name, [])
            color, dash = (k, k) if len(runs) == 1 else (n % 8, (n + 2 * k) % DASHES)
            lines.append(Line(told if len(runs) == 1 else called, points, color, dash))
    return line_chart(title, lines, levels, note=note, from_zero=from_zero, y_label=y_label)


def loss_and_knn(runs: Runs) -> str:
    """Draw losses, kNN and the rate."""
    knn = list(dict.fromkeys(
        name for facts in runs for name in facts.curves
        if name.startswith('knn/') and name.endswith('_top1') and name != 'knn/final_top1'
    ))  # fmt: skip
    single = len(runs) == 1
    charts = [chart_of(runs, ['loss', 'alpha_loss'], 'Loss of the weights and of alpha')]
    if not any('alpha_loss' in facts.curves for facts in runs) or not single:
        charts = [chart_of(runs, ['loss'], 'Loss'), chart_of(runs, ['alpha_loss'], 'Loss of alpha')]
    charts += [
        chart_of(runs, [name], f'kNN top-1, {name[4:-5]} images', y_label='%') for name in knn
    ]
    charts.append(chart_of(runs, ['lr'], 'Learning rate', from_zero=True))
    return _grid(charts, 'No curves: the folder holds no log of a run.') + _lasts(runs)


def collapse(runs: Runs) -> str:
    """Draw the measures of collapse, and further ones of the backbone."""
    told = {facts.settings.get('default_hooks.collapse.std_threshold') for facts in runs}
    limit = next((value for value in told if isinstance(value, float)), _COLLAPSED_STD)
    levels = (Level('collapsed below', limit),)
    charts = [
        chart_of(runs, ['collapse/std'], 'Spread of z', levels,
                 '1: as spread as a Gaussian; 0: collapsed', from_zero=True),
        chart_of(runs, ['collapse/effective_rank'], 'Effective rank of z', (),
                 'at most the width of z', from_zero=True, y_label='directions'),
    ]  # fmt: skip
    is_told = {name for facts in runs if not facts.knn for name in facts.measures}  # above
    for name in sorted({name for facts in runs for name in facts.measures}):
        note = '' if name in is_told else sentence_of(name)
        given = f'measure/{name}', title_of(name)
        charts.append(chart_of(runs, given[:1], given[1], note=note, y_label=axis_of(name)))
    return _grid(charts, 'No measure of collapse was logged.')


def health(runs: Runs) -> str:
    """Draw how a search did, and what each layer contributed."""
    charts = []
    for names, title, levels, note in _HEALTH:
        scalars = [f'health/{name}' for name in names]
        if len(runs) > 1 and len(scalars) > 1:
            scalars = scalars[-1:] if names[0] == 'loss' else scalars[:1]
        charts.append(chart_of(runs, scalars, title, levels, note, from_zero=names[0] != 'loss'))
    body = _grid(charts, 'No figures of health: only a search with SearchHealthHook logs them.')
    return body + ''.join(_contributions(facts, len(runs) > 1) for facts in runs)


def _contributions(facts: Facts, named: bool) -> str:
    found = facts.contributions.get('contributions')
    if not isinstance(found, dict) or not found:
        return ''
    fixed = facts.contributions.get('not_removable')
    cells = [[esc(name), number(value, 3)] for name, value in found.items()]
    fixed = fixed if isinstance(fixed, list) else []
    cells += [[esc(name), 'not removable: the width changes there'] for name in fixed]
    of = f' ({facts.name})' if named else ''
    caption = f'Loss without a layer, less that of the whole{of}: above 0 it was of use'
    return table(caption, ['layer', 'rise of the loss'], cells)


def _grid(charts: Sequence[str], otherwise: str) -> str:
    there = ''.join(charts)
    return f'<div class="charts">{there}</div>' if there else absent(otherwise)


def _lasts(runs: Runs) -> str:
    """Give the last value of every scalar, those of single layers left out."""
    names = list(dict.fromkeys(
        name for facts in runs for name in facts.curves if not name.startswith('alpha/')
    ))  # fmt: skip
    if not names:
        return ''
    head = ['scalar', *(facts.name if len(runs) > 1 else 'last' for facts in runs)]
    cells = [[esc(name), *(number(facts.last(name)) for facts in runs)] for name in names]
    return details('the last value of every scalar', table('Last values', head, cells))
