# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Two or more runs or genotypes, side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nasiam_mm.report.page.charts import Line, line_chart
from nasiam_mm.report.page.explained import axis_of
from nasiam_mm.report.page.facts import Facts
from nasiam_mm.report.page.frame import frame
from nasiam_mm.report.page.markup import absent, dotted, esc, number, paragraph, table
from nasiam_mm.report.page.parts.head import rows_of_layers
from nasiam_mm.report.page.parts.setting import commands
from nasiam_mm.report.page.parts.training import collapse, health, loss_and_knn
from nasiam_mm.report.page.parts.verdict import doubts, explained, figures
from nasiam_mm.report.page.single import subtitle

_MOST = 200  # settings that differ


def page_of_several(runs: Sequence[Facts]) -> str:
    """Return the page; the names of the runs must differ, see :func:`name_apart`."""
    parts = [
        ('figures', 'Figures', overview(runs)),
        ('settings', 'Settings that differ', settings(runs)),
        ('genotypes', 'Heads', genotypes(runs)),
    ]
    if any(facts.curves for facts in runs):
        parts.append(('curves', 'Loss and kNN', loss_and_knn(runs)))
        parts.append(('cost', 'Score against cost', _cost(runs)))
        parts.append(('collapse', 'Collapse, and measures of the backbone', collapse(runs)))
    if any('health/entropy' in facts.curves for facts in runs):
        parts.append(('health', 'Health of the searches', health(runs)))
    parts.append(('commands', 'Commands to repeat them', ''.join(
        f'<h3>{esc(facts.name)}</h3>{commands(facts)}' for facts in runs)))  # fmt: skip
    return frame(' | '.join(facts.name for facts in runs), 'compared side by side', parts)


def name_apart(runs: Sequence[Facts]) -> None:
    """Give runs of one name as much of their paths as tells them apart, or a number."""
    for depth in range(2, 8):
        names = [facts.name for facts in runs]
        if len(set(names)) == len(names):
            return
        for facts in runs:
            if names.count(facts.name) > 1:
                facts.name = '/'.join(facts.path.resolve().parts[-depth:])
    for n, facts in enumerate(runs):
        facts.name = f'{n + 1} {facts.name}'


def figures_of(runs: Sequence[Facts]) -> dict[str, list[str]]:
    """Return figure -> its value in each run, a dash where a run has none."""
    told = [{name: value for name, value, _ in figures(facts)} for facts in runs]
    names = list(dict.fromkeys(name for one in told for name in one))
    return {name: [one.get(name, '-') for one in told] for name in names}


def overview(runs: Sequence[Facts]) -> str:
    """Lay the figures of the runs side by side."""
    rows = [['what', *(esc(subtitle(facts)) for facts in runs)]]
    if any(facts.study for facts in runs):
        rows.append(['verdict', *(esc(facts.study.get('sentence', '-')) for facts in runs)])
    rows += [[esc(name), *map(esc, values)] for name, values in figures_of(runs).items()]
    noise = [doubts(facts) for facts in runs]
    if any(is_told for _, _, is_told in noise):
        rows.append(['choices within noise', *(
            f'{len(names)} of {count}' if is_told else '-' for names, count, is_told in noise
        )])  # fmt: skip
    names = ['figure', *(facts.name for facts in runs)]
    seeds = {str(facts.settings.get('seed')) for facts in runs if facts.settings}
    caution = 'One run each: a difference of a point or two may be the seed alone.'
    if len(seeds) == 1 and sum(bool(facts.settings) for facts in runs) > 1:
        caution += ' They share the seed, so the same backbone began each of them.'
    told = explained(*runs) + paragraph(caution, 'note')
    return table('Figures of each', names, rows) + told + _paired(runs)


def _paired(runs: Sequence[Facts]) -> str:
    """Compare final classifications image by image, where they are of the same data."""
    first, rows = runs[0], []
    for other in runs[1:]:
        if not first.final or not other.final or first.final['images'] != other.final['images']:
            continue
        if first.settings.get('data') != other.settings.get('data'):
            continue
        gain = 100.0 * (other.final['correct'].astype(float) - first.final['correct'])
        error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else float('nan')
        pair = f'{esc(other.name)} less {esc(first.name)}'
        rows.append([
            pair, f'{gain.mean():+.2f}', number(float(error), 2),
            number(int((gain > 0).sum())), number(int((gain < 0).sum())),
        ])  # fmt: skip
    head = ['', 'difference, points', 'standard error over images', 'gained', 'lost']
    return table('kNN of the final images, image by image', head, rows) if rows else ''


def differing(runs: Sequence[Facts]) -> dict[str, list[Any]]:
    """Return setting -> its value in each run, for those that differ; None where it is not set."""
    told = [facts.settings for facts in runs if facts.settings]
    if len(told) < 2:
        return {}
    names = list(dict.fromkeys(name for one in told for name in one))
    return {
        name: [facts.settings.get(name) for facts in runs]
        for name in names
        if len({repr(one.get(name)) for one in told}) > 1
    }


def settings(runs: Sequence[Facts]) -> str:
    """Lay out what decides the runs and differs."""
    if sum(bool(facts.settings) for facts in runs) < 2:
        return absent('Fewer than two of them say what decided them (owner.json).')
    found = differing(runs)
    if not found:
        return paragraph('None: the same settings, seed and data.')
    cells = [
        [dotted(name), *('-' if value is None else esc(value) for value in values)]
        for name, values in list(found.items())[:_MOST]
    ]
    more = f' (the first {_MOST} of {len(found)})' if len(found) > _MOST else ''
    return table(f'From owner.json{more}', ['setting', *(f.name for f in runs)], cells)


def genotypes(runs: Sequence[Facts]) -> str:
    """Lay the heads side by side, a row a layer."""
    told = [_choices(facts) for facts in runs]
    places = list(dict.fromkeys(place for one in told for place in one))
    if not places:
        return absent('None of them holds or was given a genotype.')
    cells = []
    for place in places:
        values = [one.get(place, ('-', '')) for one in told]
        known = {ops for ops, _ in values if ops != '-'}
        cells.append([
            esc(place), *(f'{esc(ops)}<br><small>{esc(note)}</small>' for ops, note in values),
            '<strong>differs</strong>' if len(known) > 1 else 'same' if len(known) == 1 else '',
        ])  # fmt: skip
    head = ['choice', *(facts.name for facts in runs), '']
    return table('What each head is', head, cells)


def choices_that_differ(runs: Sequence[Facts]) -> dict[str, list[str]]:
    """Return choice -> what each run took, for those that differ; a dash where it has no such."""
    told = [_choices(facts) for facts in runs]
    places = dict.fromkeys(place for one in told for place in one)
    taken = {place: [one.get(place, ('-', ''))[0] for one in told] for place in places}
    return {place: options for place, options in taken.items() if len(set(options)) > 1}


def _choices(facts: Facts) -> dict[str, tuple[str, str]]:
    """Return choice -> what was taken, and how sure that is."""
    if facts.genotype is None:
        mark = 'model.genotype.'
        given = {k: str(v) for k, v in facts.settings.items() if k.startswith(mark)}
        return {name[len(mark) :]: (option, 'given') for name, option in given.items()}
    names, _, _ = doubts(facts)
    found = {
        name: (decision.told, 'within noise' if name in names else '')
        for name, decision in facts.genotype.decisions.items()
    }
    for row in rows_of_layers(facts.genotype):
        name = row.place.replace(' ', '.') + '.op'
        if name in found:
            note = found[name][1]
            if row.weight is not None:
                note = f'weight {row.weight:.2f}, chance {row.chance or 0:.2f}'
                note = ', '.join(filter(None, [note, row.remark]))
            found[name] = row.taken, note
    return found


def _cost(runs: Sequence[Facts]) -> str:
    """Draw the last kNN of each run against the minutes it took."""
    lines = []
    for n, facts in enumerate(runs):
        if facts.minutes and (score := facts.last(facts.knn or '')) is not None:
            lines.append(Line(facts.name, [(facts.minutes[-1][1], score)], n % 8, dots=True))
    if not lines:
        return absent('No run has both kNN and timed iterations.')
    chart = line_chart(
        'Last kNN top-1 by minutes of training', lines,
        x_label='minutes of iterations, without probes', y_label=axis_of('knn'),
    )  # fmt: skip
    return f'<div class="charts">{chart}</div>'
