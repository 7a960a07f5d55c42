# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Picture of a genotype: image -> backbone -> projector -> z -> predictor -> p.

All lengths are in inches; y grows upwards.
"""

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.textpath import text_to_path

from nasiam_mm.architecture.genotype import Genotype
from nasiam_mm.report.pictures.figure import check_picture_path, op_colors, save_figure
from nasiam_mm.report.pictures.genotype_parts import (
    Cell,
    Layer,
    Plain,
    Row,
    notes,
    rows_of,
    titles,
)

_MARGIN = 0.3
_GAP = 0.24  # Between two boxes, room for an arrow.
_PAD = 0.13  # Between a cell's frame and its layers.
_OP = 0.46  # Height of one operation in a layer's box.
_LINE = 0.17  # Height of a line of small text.
_HEADER = 0.34  # Over the layers: the cell's name.
_SIZE, _SMALL = 9, 8  # Points.
_FEED = 0.36  # Between rows, room for the line from one to the next.
_INK, _FAINT, _ALARM = '#333333', '#777777', '#B00020'


def draw_genotype(genotype: Genotype, path: str | os.PathLike) -> None:
    """Draw the heads a genotype describes.

    A row a cell, a box a layer: the chosen operations with their mixing
    weights (a bar and a number, where the genotype was searched), below them
    the widths and the operations that tied with the choice.

    Args:
        genotype: What to draw.
        path: Picture to write, .png or .svg.

    Raises:
        ValueError: If the suffix is neither .png nor .svg.
    """
    check_picture_path(path)
    save_figure(genotype_figure(genotype), path)


def genotype_figure(genotype: Genotype) -> Figure:
    """Draw what :func:`draw_genotype` writes."""
    rows = rows_of(genotype)
    layers = [
        layer for row in rows for part in row if isinstance(part, Cell) for layer in part.layers
    ]
    options = [option for decision in genotype.decisions.values() for option in decision.options]
    colors = op_colors([*options, *(op for layer in layers for op in (*layer.weights, *layer.ops))])
    title, subtitle = titles(genotype)
    size = (
        max(
            1.25,
            *(0.28 + _text_width(op) for layer in layers for op in layer.ops),
            *(_text_width(note, _SMALL) for layer in layers for note in notes(0, layer)),
        ),
        _OP * max(len(layer.ops) for layer in layers),
    )
    width = 2 * _MARGIN + max(
        *(_start(row) + _length(row, size[0]) for row in rows),
        _text_width(title, 14, 'bold'),
        _text_width(subtitle),
    )
    legend = _legend_rows(list(colors), width)
    heights = [_height(row, size[1]) for row in rows]
    height = 0.85 + sum(heights) + _FEED * len(rows) + 0.24 * len(legend)

    figure = Figure(figsize=(width, height))
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axis.set_axis_off()
    _write(axis, _MARGIN, height - 0.3, title, size=14, weight='bold')
    _write(axis, _MARGIN, height - 0.59, subtitle, color=_FAINT)
    _draw_legend(axis, legend, colors)
    top, end = height - 0.85, (0.0, 0.0)
    for row, room in zip(rows, heights, strict=True):
        end = _draw_row(axis, row, top, room, size, colors, end)
        top -= room + _FEED
    return figure


def _start(row: Row) -> float:
    """Left end of a row; a cell that leads one stands below that of the first row."""
    return 0.0 if isinstance(row[0], Plain) else 2 * (Plain('').width + _GAP)


def _length(row: Row, box: float) -> float:
    return sum(_width(part, box) for part in row) + _GAP * (len(row) - 1)


def _height(row: Row, box: float) -> float:
    cells = [part for part in row if isinstance(part, Cell)]
    lines = [len(notes(n, layer)) for cell in cells for n, layer in enumerate(cell.layers)]
    return _HEADER + box + _LINE * max(lines) + 0.1 if lines else 0.7


def _width(part: Plain | Cell, box: float) -> float:
    if isinstance(part, Plain):
        return max(part.width, _text_width(part.note, _SMALL))
    depth = len(part.layers)
    return 2 * _PAD + max(depth * box + (depth - 1) * _GAP, _text_width(part.title, 10, 'bold'))


def _draw_row(
    axis: Axes,
    row: Row,
    top: float,
    height: float,
    box: tuple[float, float],
    colors: Mapping[str, str],
    before: tuple[float, float],
) -> tuple[float, float]:
    """Draw a row, its top edge given; return the foot of its last box."""
    x = _MARGIN + _start(row)
    has_cell = any(isinstance(part, Cell) for part in row)
    middle = top - (_HEADER + box[1] / 2 if has_cell else 0.25)
    if isinstance(row[0], Cell):
        turn, gutter = x - _GAP, top + _FEED / 2
        axis.plot(
            [before[0], before[0], turn, turn], [before[1], gutter, gutter, middle],
            color=_INK, lw=1.0,
        )  # fmt: skip
        _arrow(axis, turn, x, middle)
    for n, part in enumerate(row):
        if n:
            _arrow(axis, x - _GAP, x, middle)
        if isinstance(part, Cell):
            _draw_cell(axis, part, (x, top), height, box, colors)
        else:
            _draw_plain(axis, part, x, middle)
        x += _width(part, box[0]) + _GAP
    return x - _GAP - _width(row[-1], box[0]) / 2, middle - 0.45


def _draw_cell(
    axis: Axes,
    cell: Cell,
    corner: tuple[float, float],
    height: float,
    box: tuple[float, float],
    colors: Mapping[str, str],
) -> None:
    x, top = corner
    frame = FancyBboxPatch(
        (x, top - height), _width(cell, box[0]), height,
        boxstyle='round,pad=0,rounding_size=0.08', facecolor='#F2F4F7', edgecolor='#D5DAE1',
    )  # fmt: skip
    axis.add_patch(frame)
    _write(axis, x + _PAD, top - _HEADER / 2, cell.title, size=10, weight='bold')
    lefts = [x + _PAD + n * (box[0] + _GAP) for n in range(len(cell.layers))]
    for before, after in pairwise(lefts):
        _arrow(axis, before + box[0], after, top - _HEADER - box[1] / 2)
    for n, (left, layer) in enumerate(zip(lefts, cell.layers, strict=True)):
        _draw_layer(axis, layer, (left, top - _HEADER), box, colors)
        for line, note in enumerate(notes(n, layer)):
            tied = (bool(layer.tied) and note.startswith('tied')) or note in layer.tied
            color = _ALARM if tied else _INK if line == 1 else _FAINT
            y = top - _HEADER - box[1] - _LINE * (line + 0.65)
            _write(axis, left + box[0] / 2, y, note, size=_SMALL, color=color, ha='center')


def _draw_layer(
    axis: Axes,
    layer: Layer,
    corner: tuple[float, float],
    box: tuple[float, float],
    colors: Mapping[str, str],
) -> None:
    left, top = corner
    axis.add_patch(
        Rectangle(
            (left, top - box[1]), *box, facecolor='white', lw=1.1, zorder=2,
            edgecolor=_ALARM if layer.tied else _INK, ls='--' if layer.tied else '-',
        )
    )  # fmt: skip
    weights = layer.weights
    slot = box[1] / len(layer.ops)
    for n, op in enumerate(layer.ops):
        centre = top - (n + 0.5) * slot
        axis.add_patch(
            Rectangle((left, centre - slot / 2), 0.09, slot, facecolor=colors[op], lw=0, zorder=3)
        )
        text = left + 0.16
        _write(axis, text, centre + 0.09 * bool(weights), op)
        if weights:
            _draw_weight(axis, weights[op], (text, centre - 0.16), box[0] - 0.6, colors[op])
        if n:
            _draw_plus(axis, left, left + box[0], centre + slot / 2)


def _draw_weight(
    axis: Axes, weight: float, corner: tuple[float, float], length: float, color: str
) -> None:
    x, y = corner
    for part, shade in ((1.0, '#E6E6E6'), (weight, color)):
        axis.add_patch(Rectangle(corner, part * length, 0.07, facecolor=shade, lw=0, zorder=4))
    _write(axis, x + length + 0.06, y + 0.035, f'{weight:.2f}', size=_SMALL)


def _draw_plus(axis: Axes, left: float, right: float, y: float) -> None:
    """Part two operations whose outputs add."""
    axis.plot([left, right], [y, y], color='#CCCCCC', lw=0.8, zorder=2)
    circle = {'boxstyle': 'circle,pad=0.1', 'facecolor': 'white', 'edgecolor': '#CCCCCC'}
    _write(axis, right, y, '+', weight='bold', ha='center', zorder=5, bbox=circle)


def _draw_plain(axis: Axes, part: Plain, x: float, middle: float) -> None:
    axis.add_patch(
        FancyBboxPatch(
            (x, middle - 0.25), _width(part, 0), 0.5, boxstyle='round,pad=0,rounding_size=0.06',
            facecolor='white', edgecolor=_FAINT,
        )
    )  # fmt: skip
    centre = x + _width(part, 0) / 2
    _write(axis, centre, middle, part.label, ha='center')
    _write(axis, centre, middle - 0.36, part.note, size=_SMALL, ha='center')


def _text_width(text: str, size: float = _SIZE, weight: str = 'normal') -> float:
    font = FontProperties(size=size, weight=weight)
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] / 72


def _write(axis: Axes, x: float, y: float, text: str, **style: Any) -> None:
    style = {'size': _SIZE, 'color': _INK, 'va': 'center', 'zorder': 4, **style}
    # A dollar in a name is a dollar.
    axis.text(x, y, text, parse_math=False, **style)


def _arrow(axis: Axes, start: float, end: float, y: float) -> None:
    arrow = {'arrowstyle': '-|>', 'color': _INK, 'lw': 1.0, 'shrinkA': 1, 'shrinkB': 1}
    axis.annotate('', (end, y), (start, y), arrowprops=arrow)


def _legend_rows(names: Sequence[str], width: float) -> list[list[tuple[float, str]]]:
    """Break the legend into rows of (x, name) that fit the width."""
    rows: list[list[tuple[float, str]]] = [[]]
    x = _MARGIN
    for name in names:
        length = _text_width(name) + 0.42
        if rows[-1] and x + length > width - _MARGIN:
            rows.append([])
            x = _MARGIN
        rows[-1].append((x, name))
        x += length
    return rows


def _draw_legend(
    axis: Axes, rows: Sequence[Sequence[tuple[float, str]]], colors: Mapping[str, str]
) -> None:
    for n, row in enumerate(reversed(rows)):
        y = 0.22 + 0.24 * n
        for x, name in row:
            axis.add_patch(Rectangle((x, y - 0.055), 0.11, 0.11, facecolor=colors[name], lw=0))
            _write(axis, x + 0.18, y, name)
