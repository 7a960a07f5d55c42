# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Charts as inline SVG: drawn by colours of the style, told in words and in a table."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from nasiam_mm.report.page.markup import details, esc, number, table
from nasiam_mm.report.page.scalars import MOST_POINTS, Points, sampled, thinned

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 8, 34  # room around, in units of the drawing
_NAME = 15  # further room above, for the name of the axis at the left
_ROWS = 13  # of the table under a chart


class Line(NamedTuple):
    """A curve: name, (x, y), number of its colour and dashes, whether it is drawn thick."""

    name: str
    points: Points
    color: int = 0
    dash: int = 0
    thick: bool = False
    dots: bool = False  # points alone, without a line
    step: bool = False  # as high as the last point until the next one


class Level(NamedTuple):
    """A value across the chart, such as what chance gives."""

    name: str
    value: float


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers from low to high, steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [n * step for n in range(first, last + 1)]


def line_chart(
    title: str,
    lines: Sequence[Line],
    levels: Sequence[Level] = (),
    x_label: str = 'epoch',
    top: float | None = None,
    from_zero: bool = False,
    note: str = '',
    size: tuple[int, int] = (360, 210),
    most: int = MOST_POINTS,
    legend: bool = True,
    y_label: str = '',
) -> str:
    """Return a figure: caption, drawing, legend and a table of some of its points.

    Args:
        title: What is drawn.
        lines: Curves, in increasing x.
        levels: Values across it.
        x_label: Of the axis below.
        top: Upper end of the axis at the left; None: that of the values.
        from_zero: Whether it begins at 0.
        note: A sentence under the title.
        size: Of the drawing.
        most: Points of a curve.
        legend: Whether to name the curves under it.
        y_label: Of the axis at the left, with its unit; '' where the title is its name.
    """
    lines = [line for line in lines if line.points]
    if not lines:
        return ''
    x0, x1, y0, y1 = _range(lines, levels, top, from_zero)
    if y_label.endswith('%') and y1 > 100 >= y0 and top is None:
        y1 = 100.0  # nothing is above it
    width, height = size
    above = _TOP + _NAME * bool(y_label)

    def place(x: float, y: float) -> tuple[float, float]:
        right = _LEFT + (x - x0) / (x1 - x0) * (width - _LEFT - _RIGHT)
        return right, height - _BOTTOM - (y - y0) / (y1 - y0) * (height - above - _BOTTOM)

    drawn = [_axes(x0, x1, y0, y1, size, place, x_label, above)]
    if y_label:
        drawn.append(f'<text x="4" y="12">{esc(y_label)}</text>')
    for level in levels:
        (a, y), (b, _) = place(x0, level.value), place(x1, level.value)
        drawn.append(f'<path class="level" d="M{a:.1f} {y:.1f}H{b:.1f}"/>')
    for line in lines:
        drawn.append(_curve(line, [place(*p) for p in thinned(line.points, most)]))
    words = [*map(_told, lines), *(f'{level.name} {number(level.value)}' for level in levels)]
    named = f'{title} ({y_label})' if y_label else title
    told = f'{named}: {"; ".join(words)}'
    names = [(f'c{n.color} d{n.dash}{" dot" if n.dots else ""}', n.name) for n in lines]
    names += [('level', f'{level.name} ({number(level.value)})') for level in levels]
    under = f'<p class="note">{esc(note)}</p>' if note else ''
    return (
        f'<figure><figcaption>{esc(title)}</figcaption>{under}'
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{esc(told)}">'
        f'{"".join(drawn)}</svg>{_legend(names) if legend and len(names) > 1 else ""}'
        f'{details("figures", _points_table(title, lines, x_label))}</figure>'
    )


def _range(
    lines: Sequence[Line], levels: Sequence[Level], top: float | None, from_zero: bool
) -> tuple[float, float, float, float]:
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points] + [level.value for level in levels]
    # Epochs and minutes are told from where training began.
    x0, x1, y0, y1 = min(0.0, *xs), max(xs), min(ys), max(ys)
    if len(set(xs)) == 1 or any(line.dots for line in lines):
        x1 += 0.05 * (x1 - x0) or 1.0
    y0 = min(0.0, y0) if from_zero else y0
    y1 = y1 if top is None else top
    if y1 - y0 <= 1e-9 * max(abs(y0), abs(y1), 1e-9):
        spread = max(abs(y0) * 0.1, 1e-3)
        y0, y1 = (y0 if from_zero else y0 - spread), y1 + spread
    elif top is None:
        room = 0.06 * (y1 - y0)
        y0, y1 = (y0 if from_zero and y0 >= 0 else y0 - room), y1 + room
    return x0, x1, y0, y1


def _axes(x0, x1, y0, y1, size, place, x_label, above) -> str:
    width, height = size
    base = height - _BOTTOM
    parts = []
    for value in ticks(y0, y1, 4 if height < 190 else 5):
        _, y = place(x0, value)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{width - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" class="end">{_tick(value)}</text>')
    # There are no halves of an epoch to read off.
    whole = [x for x in ticks(x0, x1, 5) if x_label != 'epoch' or abs(x - round(x)) < 1e-9]
    for value in whole:
        x, _ = place(value, y0)
        parts.append(f'<text x="{x:.1f}" y="{base + 14}" class="mid">{_tick(value)}</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {above}V{base}H{width - _RIGHT}"/>')
    middle = (_LEFT + width - _RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{height - 4}" class="mid">{esc(x_label)}</text>')
    return ''.join(parts)


def _tick(value: float) -> str:
    return f'{0.0 if abs(value) < 1e-12 else value:.6g}'


def _curve(line: Line, at: Points) -> str:
    kind = f'c{line.color} d{line.dash}{" thick" if line.thick else ""}'
    alone = line.dots or len(at) == 1
    marked = at if alone else at[-1:] * line.thick
    dot = f'<circle class="c{line.color}" '
    dots = ''.join(f'{dot}cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in marked)
    if alone:
        return dots
    if line.step:
        path = f'{at[0][0]:.1f} {at[0][1]:.1f}'
        path += ''.join(f'H{x:.1f}V{y:.1f}' for x, y in at[1:])
    else:
        path = 'L'.join(f'{x:.1f} {y:.1f}' for x, y in at)
    return f'<path class="line {kind}" d="M{path}"/>{dots}'


def _told(line: Line) -> str:
    first, last = line.points[0], line.points[-1]
    if len(line.points) == 1:
        return f'{line.name} {number(last[1])} at {number(last[0])}'
    values = [y for _, y in line.points]
    return (
        f'{line.name} from {number(first[1])} to {number(last[1])}, '
        f'least {number(min(values))}, most {number(max(values))}'
    )


def _legend(names: Sequence[tuple[str, str]]) -> str:
    rows = ''.join(
        '<li><svg viewBox="0 0 24 10" aria-hidden="true">'
        + (
            f'<circle class="{kind}" cx="12" cy="5" r="4"/>'
            if kind.endswith('dot')
            else f'<path class="{"" if kind == "level" else "line "}{kind}" d="M0 5H24"/>'
        )
        + f'</svg>{esc(name)}</li>'
        for kind, name in names
    )
    return f'<ul class="legend">{rows}</ul>'


def _points_table(title: str, lines: Sequence[Line], x_label: str) -> str:
    if any(line.dots for line in lines):
        rows = [[number(x), esc(line.name), number(y)] for line in lines for x, y in line.points]
        return table(title, [x_label, 'of', 'value'], [rows[n] for n in sampled(len(rows), 60)])
    by_x: dict[float, dict[int, float]] = {}
    for n, line in enumerate(lines):
        for x, y in line.points:
            by_x.setdefault(x, {})[n] = y
    # Lines that are logged at other places meet at few of them: those of the longest are told.
    whole = max(range(len(lines)), key=lambda n: len(lines[n].points))
    places = [x for x in sorted(by_x) if whole in by_x[x]]
    some = [places[n] for n in sampled(len(places), _ROWS)]
    rows = [[number(x), *(number(by_x[x].get(n)) for n in range(len(lines)))] for x in some]
    told = title if len(places) <= _ROWS else f'{title}: {len(some)} of {len(places)} points'
    return table(told, [x_label, *(line.name for line in lines)], rows)
