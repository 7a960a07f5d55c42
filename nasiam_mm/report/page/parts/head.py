# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The head that was found, layer by layer, beside what chance gives."""

from typing import NamedTuple

import numpy as np

from nasiam_mm.architecture.genotype import Genotype
from nasiam_mm.report.page.charts import Level, Line, line_chart
from nasiam_mm.report.page.facts import Facts
from nasiam_mm.report.page.markup import absent, esc, paragraph, table
from nasiam_mm.report.page.parts.verdict import doubts
from nasiam_mm.report.page.style import COLORS
from nasiam_mm.report.pictures.figure import op_numbers
from nasiam_mm.report.pictures.genotype_parts import NOISE, Layer, cell_of, layers_of, titles

_EXPLAINED = (
    'The number of a layer is the mixing weight of the operation taken, as it stood at the end of '
    'the search: its share of what the layer put out. The mark on the bar is 1 / K, the share of '
    'each of K operations before anything was learned. A bar that ends near it is a coin toss.'
)
_OF_GATES = (
    'The search had gates, which do not add up to 1; shown is the softmax of alpha. The mark on '
    'the bar is 1 / K, which equal scores give.'
)


class Row(NamedTuple):
    """A layer of the head in words."""

    place: str
    widths: str
    ops: str
    weight: float | None
    chance: float | None
    lead: float | None
    remark: str
    taken: str  # what was chosen, and what it is at these widths where that is something else


def rows_of_layers(genotype: Genotype) -> list[Row]:
    """Tell every layer of every head."""
    rows = []
    for head in genotype.heads:
        decisions = genotype.of(head)
        for n, layer in enumerate(cell_of(genotype, head).layers):
            shape = layer.shape
            widths = f'{shape.in_channels} → {shape.out_channels}' if shape else ''
            weight = min(layer.weights[op] for op in layer.ops) if layer.weights else None
            left = [w for op, w in layer.weights.items() if op not in layer.ops]
            lead = weight - max(left) if weight is not None and left else None
            chance = 1 / len(layer.weights) if layer.weights else None
            remark = _remark(layer)
            ops = ' + '.join(layer.ops)
            chosen = map(str, decisions[n].chosen) if n < len(decisions) else layer.ops
            taken = _told(tuple(chosen), layer.ops)
            rows.append(Row(f'{head} {n}', widths, ops, weight, chance, lead, remark, taken))
    return rows


def _told(chosen: tuple[str, ...], here: tuple[str, ...]) -> str:
    """Say what was chosen, and what it is here, as identity is linear where the width changes."""
    is_else = bool(here) and set(here) != set(chosen)
    return ' + '.join(chosen) + (f', here {" + ".join(here)}' if is_else else '')


def _remark(layer: Layer) -> str:
    if layer.tied:
        return f'tied with {", ".join(layer.tied)}'
    return NOISE if layer.is_undecided else ''


def three(value: float | None) -> str:
    """Return a weight by three decimals, a dash for none."""
    return '-' if value is None else f'{value:.3f}'


def _no_genotype(facts: Facts) -> str:
    if facts.study:
        return 'a study leaves one where its answer is a head to use'
    return 'a training leaves none, a search does'


def head(facts: Facts) -> str:
    """Show the genotype."""
    if (genotype := facts.genotype) is None:
        reason = facts.faults.get('genotype.json', _no_genotype(facts))
        return absent(f'No genotype: {reason}.') + _given(facts)
    _, _, is_told = doubts(facts)
    told = genotype.provenance.get('search')
    is_gates = isinstance(told, dict) and told.get('relaxation') == 'Sigmoid'
    rows = rows_of_layers(genotype)
    title, subtitle = titles(genotype)
    parts = [paragraph(f'{title}; {subtitle}')]
    if any(row.weight is not None for row in rows):
        parts.append(paragraph(_OF_GATES if is_gates else _EXPLAINED, 'note'))
    options = [op for name in genotype.heads for d in genotype.of(name) for op in d.options]
    numbers = op_numbers([*options, *(row.ops for row in rows)], COLORS)
    for name in genotype.heads:
        parts.append(f'<h3>{esc(cell_of(genotype, name).title)}</h3><ol class="chain">')
        of_head = [row for row in rows if row.place.rpartition(' ')[0] == name]
        parts += [_card(row, numbers[row.ops]) for row in of_head]
        parts.append('</ol>')
    columns = ['layer', 'widths', 'taken', 'weight', 'chance', 'lead over the next', 'remark']
    cells = [
        [
            row.place,
            row.widths,
            row.taken,
            *map(three, (row.weight, row.chance, row.lead)),
            row.remark,
        ]
        for row in rows
    ]
    # A column in which nothing stands is left out.
    kept = [n for n in range(len(columns)) if any(row[n] not in ('', '-') for row in cells)]
    columns, cells = [columns[n] for n in kept], [[esc(row[n]) for n in kept] for row in cells]
    parts.append(table('The head in figures', columns, cells))
    if facts.is_search and not is_told:
        parts.append(absent('The genotype does not say which choices are within noise.'))
    return ''.join(parts)


def _given(facts: Facts) -> str:
    """Tell the head that a training was given."""
    mark = 'model.genotype.'
    given = {k[len(mark):]: v for k, v in facts.settings.items() if k.startswith(mark)}  # fmt: skip
    if not given:
        return ''
    cells = [[esc(name), esc(option)] for name, option in given.items()]
    return table('The head that this run was given', ['choice', 'taken'], cells)


def _card(row: Row, color: int) -> str:
    alarm = f'<small class="alarm">{esc(row.remark)}</small>' if row.remark else ''
    widths = f' · {esc(row.widths)}' if row.widths else ''
    bar = ''
    if row.weight is not None and row.chance is not None:
        words = f'weight {row.weight:.2f}, chance {row.chance:.2f}'
        tick = 200 * row.chance
        bar = (
            f'<svg viewBox="0 0 200 12" preserveAspectRatio="none" role="img" '
            f'aria-label="{words}"><rect class="back" width="200" height="12"/>'
            f'<rect class="c{color}" width="{200 * row.weight:.1f}" height="12"/>'
            f'<rect class="tick" x="{tick - 1:.1f}" width="2" height="12"/></svg>'
            f'<small>{words}</small>'
        )
    place = f'<small>{esc(row.place)}{widths}</small>'
    return f'<li>{place}<strong>{esc(row.taken)}</strong>{bar}{alarm}</li>'


def alpha(facts: Facts) -> str:
    """Draw the mixing weights of each layer by epoch: chance, and what won."""
    if facts.alpha is None:
        reason = facts.faults.get('alpha.json', 'only a search by gradient writes alpha.json')
        return absent(f'No curves of alpha: {reason}.')
    history, candidates, epochs = facts.alpha
    noise, _, _ = doubts(facts)
    top = max(1.05 * max(float(np.nanmax(array)) for array in history.values()), 1e-3)
    shares = all(np.allclose(np.nansum(array, -1), 1, atol=1e-3) for array in history.values())
    every = (name for rows in candidates.values() for row in rows for name in row if name)
    colors = op_numbers(every, COLORS)
    parts = [paragraph(
        'One drawing a layer, all from 0 to the same height. The thick line is what was taken; the '
        'dotted one is 1 / K, where the search began.' if shares else
        'One drawing a layer, all from 0 to the same height. The thick line is what was taken. '
        'Gates do not add up to 1, so no weight is that of chance.', 'note')]  # fmt: skip
    for name, array in history.items():
        charts = []
        for n, names in enumerate(candidates[name]):
            there = [k for k, option in enumerate(names) if option is not None]
            if not there:
                continue
            taken = _taken(facts, name, n, [str(names[k]) for k in there]) or {
                str(names[max(there, key=lambda k: array[-1, n, k])])
            }
            lines = [
                Line(
                    str(names[k]),
                    [(float(e), float(w)) for e, w in zip(epochs, array[:, n, k], strict=True)],
                    colors[names[k]], colors[names[k]] % 4, names[k] in taken,
                )
                for k in there
            ]  # fmt: skip
            remark = _here(facts, name, n, taken) + (
                f', {NOISE}' if f'{name}.{n}.op' in noise else ''
            )
            levels = [Level('uniform', 1 / len(there))] if shares else []
            charts.append(line_chart(
                f'{name} {n}: {" + ".join(sorted(taken))}{remark}', lines, levels, top=top,
                from_zero=True, size=(280, 170), most=160, y_label='weight',
            ))  # fmt: skip
        parts.append(f'<h3>{esc(name)}</h3><div class="charts small">{"".join(charts)}</div>')
    return ''.join(parts)


def _taken(facts: Facts, name: str, layer: int, names: list[str]) -> set[str]:
    """Return the operations that the genotype took at a layer; none where it does not tell."""
    known = facts.genotype.decisions if facts.genotype else {}
    decision = known.get(f'{name}.{layer}.op')
    return {str(option) for option in decision.chosen if option in names} if decision else set()


def _here(facts: Facts, name: str, layer: int, taken: set[str]) -> str:
    """Say what the operations are at the widths of a layer, where that is something else."""
    layers = layers_of(facts.genotype, name) if facts.genotype else ()
    ops = layers[layer].ops if layer < len(layers) else ()
    return f', here {" + ".join(ops)}' if ops and set(ops) != taken else ''
