# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Picture of a genotype: image -> backbone -> projector -> z -> predictor -> p.

All lengths are in inches; y grows upwards.
"""

import os
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.textpath import text_to_path

from nasiam_mm.architecture.genotype import Genotype
from nasiam_mm.report.pictures.figure import check_picture_path, op_colors, save_figure
from nasiam_mm.report.pictures.genotype_parts import (
    NOISE,
    Cell,
    Layer,
    Plain,
    notes,
    readable,
    rows_of,
    titles,
)

_MARGIN, _GAP, _PAD = 0.3, 0.24, 0.13  # around all, between boxes, within a cell's frame
_HEADER, _LINE, _OP = 0.34, 0.17, 0.46  # heights: a cell's name, a small line, an operation
_SIZE, _SMALL = 9, 8  # points
_INK, _FAINT, _ALARM = '#333333', '#777777', '#B00020'
_BAR = 'number and bar: mixing weight at the end'
_BAR_OF_GATES = 'number and bar: softmax of alpha (the search had gates)'


def draw_genotype(genotype: Genotype, path: str | os.PathLike) -> None:
    """Draw the heads a genotype describes, to .png or .svg; ValueError for another suffix.

    A row a cell, a box a layer: the chosen operations with their mixing weights (a bar and a
    number, where the genotype was searched; a tick at the weight of chance), below them the
    widths, what the operations are at these, if that is something else, the operations that tied
    with the choice, and that a choice is within noise.
    """
    check_picture_path(path)
    save_figure(genotype_figure(genotype), path)


def genotype_figure(genotype: Genotype) -> Figure:
    """Draw what :func:`draw_genotype` writes."""
    rows = rows_of(genotype)
    layers = [
        layer for row in rows for part in row if isinstance(part, Cell) for layer in part.layers
    ]
    ops = dict.fromkeys(op for layer in layers for op in layer.names)
    colors = op_colors(ops)
    lines = [note for layer in layers for note in notes(0, layer)]
    texts = [0.28 + _text_width(readable(op)) for op in ops] + [
        _text_width(x, _SMALL) for x in lines
    ]
    box = max([1.25, *texts]), _OP * max([1, *(len(layer.ops) for layer in layers)])
    title, subtitle = titles(genotype)
    told = genotype.provenance.get('search')
    gates = isinstance(told, Mapping) and told.get('relaxation') == 'Sigmoid'
    bar = f'{_BAR_OF_GATES if gates else _BAR}, {_chance(layers)}'
    legend = [*ops, *([bar] if any(layer.weights for layer in layers) else [])]
    length = sum(_text_width(readable(name)) + 0.42 for name in legend)
    lengths = [sum(_width(part, box[0]) + _GAP for part in row) - _GAP for row in rows]
    heading = _text_width(title, 14, 'bold'), _text_width(subtitle)
    width = 2 * _MARGIN + max(*lengths, *heading, length)
    heights = [_height(row, box[1]) for row in rows]
    height = 1.15 + sum(heights) + _GAP * len(rows)

    figure = Figure(figsize=(width, height))
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axis.set_axis_off()
    _write(axis, _MARGIN, height - 0.3, title, size=14, weight='bold')
    _write(axis, _MARGIN, height - 0.59, subtitle, color=_FAINT)
    x = _MARGIN
    for name in legend:
        color = colors.get(name, '#E6E6E6')
        axis.add_patch(Rectangle((x, 0.165), 0.11, 0.11, facecolor=color, lw=0))
        _write(axis, x + 0.18, 0.22, readable(name))
        x += _text_width(readable(name)) + 0.42
    top = height - 0.85
    for row, room in zip(rows, heights, strict=True):
        x = _MARGIN
        has_cell = any(isinstance(part, Cell) for part in row)
        middle = top - (_HEADER + box[1] / 2 if has_cell else 0.25)
        for number, part in enumerate(row):
            if number:
                _arrow(axis, x - _GAP, x, middle)
            if isinstance(part, Cell):
                _draw_cell(axis, part, x, top, room, box, colors)
            else:
                _draw_plain(axis, part, x, middle)
            x += _width(part, box[0]) + _GAP
        top -= room + _GAP
    return figure


def _chance(layers: list[Layer]) -> str:
    """Say where the ticks stand: what a coin toss would give."""
    counts = {len(layer.weights) for layer in layers if layer.weights}
    if len(counts) != 1:
        return 'tick: chance, 1 / K'
    [count] = counts
    return f'tick: chance, 1 / {count} = {1 / count:.2f}'


def _height(row: list[Plain | Cell], box: float) -> float:
    cells = [part for part in row if isinstance(part, Cell)]
    lines = [len(notes(0, layer)) for cell in cells for layer in cell.layers]
    return _HEADER + box + _LINE * max(lines, default=1) + 0.1 if cells else 0.7


def _width(part: Plain | Cell, box: float) -> float:
    if isinstance(part, Plain):
        return max(part.width, _text_width(part.note, _SMALL))
    chain = len(part.layers) * (box + _GAP) - _GAP
    return 2 * _PAD + max(chain, _text_width(part.title, 10, 'bold'))


def _draw_cell(
    axis: Axes, cell: Cell, x: float, top: float, height: float,
    box: tuple[float, float], colors: Mapping[str, str],
) -> None:  # fmt: skip
    size = _width(cell, box[0]), height
    _round_box(axis, (x, top - height), *size, facecolor='#F2F4F7', edgecolor='#D5DAE1')
    _write(axis, x + _PAD, top - _HEADER / 2, cell.title, size=10, weight='bold')
    left, top = x + _PAD, top - _HEADER
    for n, layer in enumerate(cell.layers):
        if n and cell.is_chain:
            _arrow(axis, left - _GAP, left, top - box[1] / 2)
        _draw_layer(axis, layer, left, top, box, colors)
        for line, note in enumerate(notes(n, layer)):
            is_doubt = note.startswith('tied') or note in (*map(readable, layer.tied), NOISE)
            color = _ALARM if is_doubt else _INK if note.startswith('width') else _FAINT
            y = top - box[1] - _LINE * (line + 0.65)
            _write(axis, left + box[0] / 2, y, note, size=_SMALL, color=color, ha='center')
        left += box[0] + _GAP


def _draw_layer(
    axis: Axes, layer: Layer, left: float, top: float,
    box: tuple[float, float], colors: Mapping[str, str],
) -> None:  # fmt: skip
    edge: dict[str, Any] = dict(edgecolor=_ALARM, ls='--') if layer.tied else {'edgecolor': _INK}
    axis.add_patch(Rectangle((left, top - box[1]), *box, facecolor='white', lw=1.1, **edge))
    slot, text = box[1] / len(layer.ops), left + 0.16
    for n, (op, name) in enumerate(zip(layer.ops, layer.names, strict=True)):
        centre = top - (n + 0.5) * slot
        stripe = Rectangle((left, centre - slot / 2), 0.09, slot, facecolor=colors[name], lw=0)
        axis.add_patch(stripe)
        _write(axis, text, centre + 0.09 * bool(layer.weights), readable(name))
        if layer.weights:
            length, y = box[0] - 0.6, centre - 0.16
            for part, shade in ((1.0, '#E6E6E6'), (layer.weights[op], colors[name])):
                bar = Rectangle((text, y), part * length, 0.07, facecolor=shade, lw=0, zorder=3)
                axis.add_patch(bar)
            chance = text + length / len(layer.weights)
            axis.plot([chance, chance], [y - 0.02, y + 0.09], color=_INK, lw=0.8)
            number = f'{layer.weights[op]:.2f}'
            _write(axis, text + length + 0.06, y + 0.035, number, size=_SMALL)
        if n:  # the outputs of two operations add
            y = centre + slot / 2
            axis.plot([left, left + box[0]], [y, y], color='#CCCCCC', lw=0.8)
            circle = dict(boxstyle='circle,pad=0.1', facecolor='white', edgecolor='#CCCCCC')
            _write(axis, left + box[0], y, '+', weight='bold', ha='center', bbox=circle)


def _draw_plain(axis: Axes, part: Plain, x: float, middle: float) -> None:
    width = _width(part, 0)
    _round_box(axis, (x, middle - 0.25), width, 0.5, facecolor='white', edgecolor=_FAINT)
    _write(axis, x + width / 2, middle, part.label, ha='center')
    _write(axis, x + width / 2, middle - 0.36, part.note, size=_SMALL, ha='center')


def _round_box(
    axis: Axes, corner: tuple[float, float], width: float, height: float, **style: Any
) -> None:
    shape = 'round,pad=0,rounding_size=0.07'
    axis.add_patch(FancyBboxPatch(corner, width, height, boxstyle=shape, **style))


def _text_width(text: str, size: float = _SIZE, weight: str = 'normal') -> float:
    font = FontProperties(size=size, weight=weight)
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] / 72


def _write(axis: Axes, x: float, y: float, text: str, **style: Any) -> None:
    style = {'size': _SIZE, 'color': _INK, 'va': 'center', 'zorder': 5, **style}
    # A dollar in a name is a dollar.
    axis.text(x, y, text, parse_math=False, **style)


def _arrow(axis: Axes, start: float, end: float, y: float) -> None:
    arrow = {'arrowstyle': '-|>', 'color': _INK, 'lw': 1.0, 'shrinkA': 1, 'shrinkB': 1}
    axis.annotate('', (end, y), (start, y), arrowprops=arrow)
