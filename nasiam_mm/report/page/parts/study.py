# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a study found: its answer, the heads beside the standard one, the trials of its search.

All is of ``verdict.json``, in which anything may stand or lack.
"""

from collections.abc import Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from nasiam_mm.report.page.charts import Level, Line, line_chart, ticks
from nasiam_mm.report.page.explained import explain
from nasiam_mm.report.page.markup import absent, esc, is_number, number, paragraph, table
from nasiam_mm.report.page.scalars import Points

_STANDARD = 'standard'  # by what the standard head is known
_TERMS = (
    'Difference: a head less the standard head, mean over the seeds that both were trained with. '
    'Interval: where the true difference lies in nine of ten studies, all looks and candidates '
    'counted. p: the chance of such a lead if the head were no better. Collapsed: seeds on which '
    'the embeddings z lost their spread.'
)
_ROW, _SIDE, _WIDE, _UNDER = 38, 20, 360, 50  # lengths in the drawing of differences


class Bar(NamedTuple):
    """A difference from the standard head and its interval."""

    name: str
    mean: float
    low: float
    high: float


def answer(told: Mapping[str, Any]) -> str:
    """Say the answer, for what it holds, and what it rests on."""
    parts = [f'<p class="lead">{esc(told.get("sentence") or "no sentence in verdict.json")}</p>']
    budget = told.get('budget')
    if isinstance(budget, dict):
        holds = ', '.join(f'{name} {value}' for name, value in budget.items())
        parts.append(paragraph(f'It holds for: {holds}.'))
        parts.append(explain(_measures(told)))
    judged = told.get('verdict')
    rows = judged.get('compared') if isinstance(judged, dict) else None
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if rows:
        parts.append(_compared(rows, told, judged or {}))
    else:
        parts.append(absent('No head was compared with the standard head.'))
    notes = told.get('notes')
    for note in notes if isinstance(notes, list) else []:
        parts.append(paragraph(str(note)))
    refused = told.get('refused')
    if isinstance(refused, list) and refused:
        cells = [[esc(row.get('head')), esc(row.get('why'))]
                 for row in refused if isinstance(row, dict)]  # fmt: skip
        parts.append(table('Heads that are no candidates', ['head', 'why'], cells))
    return ''.join(parts)


def _measures(told: Mapping[str, Any]) -> list[str]:
    """Name what heads are compared and ranked by, as it is logged."""
    budget, objective = told.get('budget'), told.get('objective')
    names = [budget.get('measure') if isinstance(budget, dict) else '', objective]
    return [str(name).partition(',')[0].strip().lower() for name in names if name]


def _unit(told: Mapping[str, Any]) -> str:
    """Return the unit of the comparison: points, or what is measured without labels."""
    return str(told.get('unit') or 'points').removeprefix('of ')


def score_of(told: Mapping[str, Any], head: str, when: str) -> tuple[float, int] | None:
    """Return mean score and number of seeds of a head, in its ``'search'`` or ``'compared'``."""
    scores = told.get('scores')
    of = scores.get(head) if isinstance(scores, dict) else None
    row = of.get(when) if isinstance(of, dict) else None
    if not isinstance(row, dict) or not is_number(row.get('mean')):
        return None
    seeds = row.get('seeds')
    return float(row['mean']), seeds if type(seeds) is int else 0


def _compared(rows: list[dict[str, Any]], told: Mapping[str, Any], judged: Mapping) -> str:
    unit, cells, bars = _unit(told), [], []
    standard = score_of(told, _STANDARD, 'compared')
    if standard is not None:
        seeds, collapsed = number(standard[1]), number(judged.get('collapsed'))
        cells.append(['standard head', number(standard[0]), '-', '-', '-', seeds, collapsed])
    for row in rows:
        name, mean, span = str(row.get('name')), row.get('mean'), row.get('interval')
        is_span = isinstance(span, list) and len(span) == 2 and all(map(is_number, span))
        score = score_of(told, name, 'compared')
        cells.append([
            esc(name),
            '-' if score is None else number(score[0]),
            number(mean, 3),
            f'[{number(span[0], 3)}, {number(span[1], 3)}]' if is_span else '-',  # type: ignore
            number(row.get('p'), 2), number(row.get('n')), number(row.get('collapsed')),
        ])  # fmt: skip
        if is_span and is_number(mean):
            bars.append(Bar(name, float(mean), float(span[0]), float(span[1])))  # type: ignore
    score_unit = '%' if unit == 'points' else unit
    head = ['head', f'score, {score_unit}', f'difference, {unit}', f'interval, {unit}', 'p',
            'seeds', 'collapsed']  # fmt: skip
    caption = 'Heads on the fresh seeds of the comparison'
    drawn = differences(bars, unit, None if standard is None else standard[0])
    return drawn + table(caption, head, cells) + paragraph(_TERMS, 'note') + _heads(told)


def _heads(told: Mapping[str, Any]) -> str:
    """Say what the heads of the comparison are."""
    heads = told.get('heads')
    if not isinstance(heads, dict) or not heads:
        return ''
    cells = [[esc(name), esc(options)] for name, options in heads.items()]
    return table('What the heads are', ['head', 'what was decided of it'], cells)


def differences(bars: list[Bar], unit: str = 'points', standard: float | None = None) -> str:
    """Draw differences with their intervals, a row a head, and where the standard head stands: 0.

    Args:
        bars: Of the heads.
        unit: Of the differences.
        standard: Score of the standard head, in percent where the unit is points.
    """
    if not bars:
        return ''
    low, high = min(0.0, *(bar.low for bar in bars)), max(0.0, *(bar.high for bar in bars))
    scale = (_WIDE - 2 * _SIDE) / max(high - low, 1e-9)
    base = _ROW * len(bars) + 6
    height = base + _UNDER

    def at(value: float) -> float:
        return _SIDE + (value - low) * scale

    # The line of 0 is left out where a name stands.
    zero = ''.join(f'M{at(0):.1f} {_ROW * n + 22}v20' for n in range(len(bars)))
    drawn = [f'<path class="level zero" d="{zero}"/>']
    for n, bar in enumerate(bars):
        y = _ROW * n + 32
        told = f'{bar.name}: {number(bar.mean, 3)}, [{number(bar.low, 3)}, {number(bar.high, 3)}]'
        drawn.append(f'<text x="{_SIDE}" y="{y - 14}">{esc(told)}</text>')
        drawn.append(f'<path class="span" d="M{at(bar.low):.1f} {y}H{at(bar.high):.1f}"/>')
        drawn.append(f'<circle class="c0" cx="{at(bar.mean):.1f}" cy="{y}" r="4"/>')
    drawn.append(f'<path class="axis" d="M{_SIDE} {base}H{_WIDE - _SIDE}"/>')
    for value in ticks(low, high):
        x = at(value)
        drawn.append(f'<path class="axis" d="M{x:.1f} {base}v4"/>')
        drawn.append(f'<text x="{x:.1f}" y="{base + 16}" class="mid">{value:.6g}</text>')
    stands = '0: the standard head'
    if standard is not None:
        stands += f', {number(standard)} {"%" if unit == "points" else unit}'
    # Whole, wherever the line is.
    room = 3.2 * len(stands)
    middle = min(max(at(0), room), _WIDE - room)
    drawn.append(f'<text x="{middle:.1f}" y="{base + 30}" class="mid">{esc(stands)}</text>')
    axis = f'difference from the standard head, {unit}'
    drawn.append(f'<text x="{_WIDE / 2:.0f}" y="{base + 45}" class="mid">{esc(axis)}</text>')
    words = '; '.join(
        f'{bar.name} {number(bar.mean)}, from {number(bar.low)} to {number(bar.high)}'
        for bar in bars
    )
    return (
        f'<div class="charts"><figure><figcaption>Difference from the standard head</figcaption>'
        f'<svg viewBox="0 0 {_WIDE} {height}" role="img" aria-label="{esc(words)}; {esc(stands)}">'
        f'{"".join(drawn)}</svg></figure></div>'
    )


def trials(told: Mapping[str, Any]) -> str:
    """Draw the scores of the trials by what all cost, and what was the best so far."""
    rows = told.get('scored')
    if not isinstance(rows, list) or not rows:
        return absent('verdict.json holds no scored trials; a study that goes on writes them.')
    spent = 0.0
    best: Points = []
    sources: dict[str, Points] = {}
    good = [row for row in rows if isinstance(row, dict) and _has_numbers(row)]
    for row in good:
        spent += row['seconds'] / 60
        sources.setdefault(str(row.get('source')), []).append((spent, float(row['score'])))
        best.append((spent, float(row['score'])))
    tops = accumulate((score for _, score in best), max)
    so_far = [(x, top) for (x, _), top in zip(best, tops, strict=True)]
    lines = [Line('best so far', so_far, 7, step=True)]
    for n, (name, points) in enumerate(sources.items()):
        lines.append(Line(name, points, n % 6, dots=True))
    standard = score_of(told, _STANDARD, 'search')
    objective = str(told.get('objective') or 'score of the objective')
    chart = line_chart(
        'Score of each trial by what all cost', lines,
        [Level('standard head, mean', standard[0])] if standard else [],
        x_label='minutes of training, all trials so far', y_label=objective,
        note='The score chose the heads that were compared, and is no verdict.',
    )  # fmt: skip
    cells = [[esc(row.get('head')), esc(row.get('source')), number(row['score']),
              number(row['seconds'])] for row in good[:200]]  # fmt: skip
    head = ['head', 'proposed by', objective, 'seconds']
    return f'<div class="charts">{chart}</div>' + table(
        'Trials in the order they ended', head, cells
    )


def _has_numbers(row: dict[str, Any]) -> bool:
    return all(is_number(row.get(name)) for name in ('score', 'seconds'))
