# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What came out: the answer of a study, or how far a single run may be believed."""

import os
import shlex
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from nasiam_mm.files.shipped import shipped_configs
from nasiam_mm.report.page.charts import Line, line_chart
from nasiam_mm.report.page.facts import Facts
from nasiam_mm.report.page.markup import (
    absent,
    code,
    esc,
    is_number,
    number,
    paragraph,
    table,
    tiles,
)
from nasiam_mm.report.page.parts.setting import own_command
from nasiam_mm.report.page.scalars import Points
from nasiam_mm.wording import counted


def verdict(facts: Facts) -> str:
    """Say the answer first, then the figures that are read first."""
    if facts.study:
        return _of_study(facts)
    parts = [f'<p class="lead">{esc(_sentence(facts))}</p>']
    if facts.is_search and facts.genotype:
        parts.append(paragraph('What holds it against the standard head, on fresh seeds:'))
        parts.append(code(held_against(facts)))
    return ''.join(parts) + tiles(figures(facts))


def held_against(facts: Facts) -> str:
    """Return the command of a study of the head that a search found."""
    if own := own_command(facts.path, 'search', '--study', 'checked'):
        return own
    found = facts.path / 'genotype.json'
    words = ['nasiam', 'search', recipe_of(facts), '--study', 'NAME', '--trials', '0']
    return shlex.join([*words, '--candidate', str(found)])


def recipe_of(facts: Facts) -> str:
    """Return the config that a run's copy was made from, beside which its other phases lie."""
    if facts.config is None:
        return 'CONFIG'
    for above in facts.config.resolve().parents[1:3]:  # of one's own images: of the work directory
        if (above / facts.config.name).is_file() and any(above.glob('*_pretrain_*.py')):
            return os.path.relpath(above / facts.config.name)
    shipped = shipped_configs()
    found = [] if shipped is None else sorted(shipped.rglob(facts.config.name))
    return str(found[0].relative_to(shipped)) if found and shipped else str(facts.config)


def doubts(facts: Facts) -> tuple[list[str], int, bool]:
    """Return the choices within noise, how many choices there are, and whether any was told."""
    told = facts.provenance.get('undecided')
    is_told = isinstance(told, Sequence) and not isinstance(told, str)
    known = facts.genotype.decisions if facts.genotype else {}
    names = [name for name in told if name in known] if isinstance(told, Sequence) else []
    return names, len(known), is_told


def _sentence(facts: Facts) -> str:
    if facts.genotype is None:
        done, whole = facts.epochs
        length = f'{number(done)} of {counted(whole, "epoch")}'
        length = length if whole else counted(number(done), 'epoch')
        kind = 'A search without a genotype yet' if facts.is_search else 'A training'
        return f'{kind}, {length}: one run of one seed decides nothing.'
    names, count, is_told = doubts(facts)
    if not facts.is_search:
        return f'A genotype of {counted(count, "choice")}; nothing here says how well it does.'
    if not is_told:
        first = 'Nothing says which choices are within noise.'
    elif names:
        share = 'Close to a coin toss' if 2 * len(names) > count else 'In part a coin toss'
        first = f'{share}: {len(names)} of {count} choices are within noise.'
    else:
        first = f'None of the {count} choices is within noise, which is no proof of merit.'
    return f'{first} No verdict yet: this head was not trained beside the standard head.'


def figures(facts: Facts) -> list[tuple[str, str, str]]:
    """Return the figures that are read first: name, value, note."""
    done, whole = facts.epochs
    rows = []
    if facts.curves:
        rows.append(('epochs', number(done), f'of {whole}' if whole else ''))
    if knn := facts.knn:
        points = facts.curves[knn]
        before = f'{number(points[0][1])} untrained' if points[0][0] == 0 else ''
        note = ', '.join(filter(None, [f'epoch {number(points[-1][0])}', before]))
        rows.append((f'kNN top-1 % ({knn[4:-5]})', number(points[-1][1]), note))
    if facts.final:
        rows.append(('kNN top-1 %, final images', number(facts.final['top1']),
                     f'{facts.final["images"]:,} images, once'))  # fmt: skip
    if (loss := facts.last('loss')) is not None:
        rows.append(('loss', number(loss), 'training, last logged'))
    if (rank := facts.last('collapse/effective_rank')) is not None:
        rows.append(('effective rank of z', number(rank), 'a low value would be collapse'))
    if facts.minutes:
        rows.append(('minutes of iterations', number(facts.minutes[-1][1], 3), 'without probes'))
    return rows


def _of_study(facts: Facts) -> str:
    told = facts.study
    parts = [f'<p class="lead">{esc(told.get("sentence") or "no sentence in verdict.json")}</p>']
    budget = told.get('budget')
    if isinstance(budget, dict):
        holds = ', '.join(f'{name} {value}' for name, value in budget.items())
        parts.append(paragraph(f'It holds for: {holds}.'))
    judged = told.get('verdict')
    rows = judged.get('compared') if isinstance(judged, dict) else None
    if isinstance(rows, list) and rows:
        parts.append(_compared([row for row in rows if isinstance(row, dict)], told))
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


def _compared(rows: list[dict[str, Any]], told: dict[str, Any]) -> str:
    names = told.get('heads') if isinstance(told.get('heads'), dict) else {}
    cells, bars = [], []
    for row in rows:
        name, mean, span = str(row.get('name')), row.get('mean'), row.get('interval')
        is_span = isinstance(span, list) and len(span) == 2 and all(map(is_number, span))
        cells.append([
            f'{esc(name)}<br><small>{esc((names or {}).get(name, ""))}</small>',
            number(mean, 3),
            f'[{number(span[0], 3)}, {number(span[1], 3)}]' if is_span else '-',  # type: ignore
            number(row.get('p'), 2), number(row.get('n')), number(row.get('collapsed')),
        ])  # fmt: skip
        if is_span and is_number(mean):
            bars.append((name, float(mean), float(span[0]), float(span[1])))  # type: ignore
    head = ['head', 'difference', 'interval', 'p', 'seeds', 'collapsed']
    return _intervals(bars) + table('Difference from the standard head', head, cells)


def _intervals(bars: list[tuple[str, float, float, float]]) -> str:
    """Draw the differences with their intervals, and where the standard head stands: 0."""
    if not bars:
        return ''
    low = min(0.0, *(bar[2] for bar in bars))
    high = max(0.0, *(bar[3] for bar in bars))
    scale = 320 / max(high - low, 1e-9)
    drawn, height = [], 34 * len(bars) + 26
    zero = 20 - low * scale
    drawn.append(f'<path class="level" d="M{zero:.1f} 4V{height - 16}"/>')
    for n, (name, mean, least, most) in enumerate(bars):
        y = 34 * n + 22
        a, b, m = (20 + (value - low) * scale for value in (least, most, mean))
        told = f'{name}: {number(mean, 3)}, [{number(least, 3)}, {number(most, 3)}]'
        drawn.append(f'<text x="20" y="{y - 8}" class="over">{esc(told)}</text>')
        drawn.append(f'<path class="span" d="M{a:.1f} {y}H{b:.1f}"/>')
        drawn.append(f'<circle class="c0" cx="{m:.1f}" cy="{y}" r="4"/>')
    # Whole, wherever the line is.
    middle = min(max(zero, 42.0), 318.0)
    drawn.append(f'<text x="{middle:.1f}" y="{height - 3}" class="mid">standard head</text>')
    words = '; '.join(f'{n} {number(m)}, from {number(a)} to {number(b)}' for n, m, a, b in bars)
    return (
        f'<div class="charts"><figure><figcaption>Difference from the standard head</figcaption>'
        f'<svg viewBox="0 0 360 {height}" role="img" aria-label="{esc(words)}">'
        f'{"".join(drawn)}</svg></figure></div>'
    )


def score_cost(facts: Facts) -> str:
    """Draw scores against what they cost: of the trials of a study, or of the epochs of a run."""
    if facts.study:
        return _trials(facts.study.get('scored'))
    knn = facts.curves.get(facts.knn or '', [])
    spent = dict(facts.minutes)
    if not knn or not spent:
        told = 'kNN, which needs labels' if spent else 'the time of iterations, which the log lacks'
        return absent(f'No score to set against its cost: a score against time needs {told}.')
    points = []
    for epoch, score in knn:
        before = [minutes for at, minutes in facts.minutes if at <= epoch + 1e-6]
        points.append((before[-1] if before else 0.0, score))
    chart = line_chart(
        'kNN top-1 % by minutes of training', [Line('kNN', points, 0, thick=True)],
        x_label='minutes of iterations, without probes',
    )  # fmt: skip
    return f'<div class="charts">{chart}</div>'


def _trials(rows: Any) -> str:
    if not isinstance(rows, list) or not rows:
        return absent('verdict.json holds no scored trials; a study that goes on writes them.')
    spent = 0.0
    best: Points = []
    sources: dict[str, Points] = {}
    good = [row for row in rows if isinstance(row, dict) and _numbers(row)]
    for row in good:
        spent += row['seconds'] / 60
        sources.setdefault(str(row.get('source')), []).append((spent, float(row['score'])))
        best.append((spent, float(row['score'])))
    tops = accumulate((score for _, score in best), max)
    so_far = [(x, top) for (x, _), top in zip(best, tops, strict=True)]
    lines = [Line('best so far', so_far, 7)]
    for n, (name, points) in enumerate(sources.items()):
        lines.append(Line(name, points, n % 6, dots=True))
    chart = line_chart(
        'Score of each trial by what all cost', lines, x_label='minutes of training, all trials',
        note='Score of the objective; it chose the heads that were compared, and is no verdict.',
    )  # fmt: skip
    cells = [[esc(row.get('head')), esc(row.get('source')), number(row['score']),
              number(row['seconds'])] for row in good[:200]]  # fmt: skip
    return f'<div class="charts">{chart}</div>' + table(
        'Trials in the order they ended', ['head', 'proposed by', 'score', 'seconds'], cells
    )


def _numbers(row: dict[str, Any]) -> bool:
    return all(is_number(row.get(name)) for name in ('score', 'seconds'))
