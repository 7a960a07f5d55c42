# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Curves of a run from its scalars, and fewer points of them that look alike."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nasiam_mm.report.page.markup import is_number

Points = list[tuple[float, float]]
_PLACE = ('epoch', 'step', 'iter')
MOST_POINTS = 240  # of a curve on the page


def curves_of(entries: Iterable[Mapping[str, Any]], per_epoch: int | None) -> dict[str, Points]:
    """Return scalar -> (epoch, value), by epoch; what is not finite is left out.

    Args:
        entries: What :func:`nasiam_mm.runs.record.merge_logs` returns, in the order of the log.
        per_epoch: Iterations of an epoch, so that those within one have a place; None: unknown.
    """
    found: dict[str, dict[float, float]] = {}
    now = (0.0, 0.0)
    for entry in entries:
        place = _place(entry, per_epoch, now)
        if place is None:
            continue
        if is_number(entry.get('iter')):
            now = (place, entry['iter'])
        for name, value in entry.items():
            if name not in _PLACE and is_number(value):
                found.setdefault(name, {})[place] = float(value)
    return {name: sorted(curve.items()) for name, curve in found.items()}


def minutes_of(entries: Iterable[Mapping[str, Any]], per_epoch: int | None) -> Points:
    """Return (epoch, minutes of iterations so far): the logged time of one, times their number."""
    timed = sorted(
        (entry['iter'], entry['time'], entry)
        for entry in entries
        if is_number(entry.get('iter')) and is_number(entry.get('time'))
    ) if per_epoch else []  # fmt: skip
    points, before, seconds = [], 0, 0.0
    for number, time, entry in timed:
        seconds += time * (number - before)
        before = number
        points.append((float(_place(entry, per_epoch) or 0), seconds / 60))
    return points


def thinned(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> Points:
    """Leave at most ``most`` points: the first, the last, and of equal spans the extremes."""
    if len(points) <= most:
        return list(points)
    inner, spans = points[1:-1], max(1, (most - 2) // 2)
    kept = [points[0]]
    for number in range(spans):
        span = inner[number * len(inner) // spans : (number + 1) * len(inner) // spans]
        if span:
            ends = {min(span, key=lambda p: p[1]), max(span, key=lambda p: p[1])}
            kept += sorted(ends)
    return [*kept, points[-1]]


def sampled(count: int, most: int) -> list[int]:
    """Return at most ``most`` places of ``count``, evenly spread, the first and the last in."""
    if count <= most:
        return list(range(count))
    return [round(n * (count - 1) / (most - 1)) for n in range(most)]


def _place(
    entry: Mapping[str, Any], per_epoch: int | None, now: tuple[float, float] = (0.0, 0.0)
) -> float | None:
    """Epochs done at an entry, which is logged after ``now``, epochs and iterations.

    mmengine's validations say no more than a step, of iterations where ``log_metric_by_epoch`` is
    off and of epochs else, as those of this package's hooks did once: what is nearer counts.
    """
    if per_epoch and is_number(entry.get('iter')):
        return entry['iter'] / per_epoch
    if is_number(entry.get('epoch')):
        return float(entry['epoch'])
    step: Any = entry.get('step')
    if not is_number(step):
        return None
    epochs, iterations = now
    if per_epoch:
        return min(float(step), step / per_epoch, key=lambda place: abs(place - epochs))
    is_of_iterations = abs(step - iterations) < abs(step - epochs)
    return epochs if is_of_iterations else float(step)
