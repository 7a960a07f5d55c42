# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What came out: the answer of a study, or how far a single run may be believed."""

import os
import shlex
from collections.abc import Sequence

from nasiam_mm.files.shipped import shipped_configs
from nasiam_mm.report.page.charts import Line, line_chart
from nasiam_mm.report.page.explained import axis_of, explain, title_of
from nasiam_mm.report.page.facts import Facts
from nasiam_mm.report.page.markup import absent, code, esc, number, paragraph, tiles
from nasiam_mm.report.page.parts.setting import data_words, own_command
from nasiam_mm.report.page.parts.study import answer, trials
from nasiam_mm.wording import counted


def verdict(facts: Facts) -> str:
    """Say the answer first, then the figures that are read first."""
    if facts.study:
        return answer(facts.study)
    parts = [f'<p class="lead">{esc(_sentence(facts))}</p>']
    if facts.is_search and facts.genotype:
        parts.append(paragraph('What holds it against the standard head, on fresh seeds:'))
        more = 'add what else the search was given, such as --epochs or --cfg-options'
        parts.append(code(held_against(facts), f'# {more}'))
    return ''.join(parts) + tiles(figures(facts)) + explained(facts)


def held_against(facts: Facts) -> str:
    """Return the command of a study of the head that a search found."""
    if own := own_command(facts.path, 'search', '--study', 'checked'):
        return own
    found = facts.path / 'genotype.json'
    words = ['nasiam', 'search', recipe_of(facts), *data_words(facts), '--study', 'NAME']
    return shlex.join([*words, '--trials', '0', '--candidate', str(found)])


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
    for name in facts.measures if not facts.knn else ():
        unit = axis_of(name)
        points = facts.curves[f'measure/{name}']
        note = f'{unit}, epoch {number(points[-1][0])}'
        rows.append((title_of(name), number(points[-1][1]), note))
    if (loss := facts.last('loss')) is not None:
        rows.append(('loss', number(loss), 'training, last logged'))
    if (rank := facts.last('collapse/effective_rank')) is not None:
        rows.append(('effective rank of z', number(rank), 'a low value would be collapse'))
    if facts.minutes:
        rows.append(('minutes of iterations', number(facts.minutes[-1][1], 3), 'without probes'))
    return rows


def explained(*runs: Facts) -> str:
    """Say what the figures that are read first are."""
    names = ['knn'] if any(facts.knn or facts.final for facts in runs) else []
    names += [name for facts in runs if not facts.knn for name in facts.measures]
    if any('collapse/effective_rank' in facts.curves for facts in runs):
        names.append('effective_rank')
    return explain(names)


def score_cost(facts: Facts) -> str:
    """Draw scores against what they cost: of the trials of a study, or of the epochs of a run."""
    if facts.study:
        return trials(facts.study)
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
        'kNN top-1 by minutes of training', [Line('kNN', points, 0, thick=True)],
        x_label='minutes of iterations, without probes', y_label=axis_of('knn'),
    )  # fmt: skip
    return f'<div class="charts">{chart}</div>'
