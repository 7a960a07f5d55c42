# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Figures that the console shows, and what they are in a few words."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from nasiam_mm.console.measures import MEASURES, OF_IMAGES


class Figure(NamedTuple):
    """A figure: how it is called, under which names it is logged, how it is written."""

    name: str
    logged: tuple[str, ...]
    form: str
    told: str = ''  # what it is, said where it first appears


FIGURES = (
    Figure('loss', ('loss',), '{:#.4g}'),
    Figure(
        'kNN',
        ('knn/val_top1', 'knn/test_top1'),
        '{:.2f} %',
        'images kept out of training that the vote of their nearest neighbours names rightly',
    ),
    Figure('top-1', ('accuracy/top1',), '{:.2f} %', 'validation images that are named rightly'),
    Figure('mAP', ('coco/bbox_mAP', 'pascal_voc/mAP'), '{:.4f}', 'mean average precision of boxes'),
    Figure(
        'z std',
        ('collapse/std', 'health/std'),
        '{:.3f}',
        'spread of the embeddings z; 1 is that of a Gaussian, 0 is collapsed to a point',
    ),
    Figure(
        'effective rank',
        ('collapse/effective_rank', 'health/effective_rank'),
        '{:.1f}',
        'dimensions that z makes use of; few are a collapse too',
    ),
    Figure(
        'entropy',
        ('health/entropy', 'alpha/*/entropy'),
        '{:.3f} nats',
        'how open the choices of alpha are; ln K where K operations weigh the same, 0 decided',
    ),
    Figure(
        'margin',
        ('health/margin', 'alpha/*/margin'),
        '{:.4f}',
        "lead of alpha's largest weight over the second; 0 by chance",
    ),
    Figure(
        'data wait',
        ('data_wait',),
        '{:.1f} %',
        'time spent waiting for images; above a few percent more workers or a faster disk pay',
    ),
)
_LONGER = 'measure/'  # measures that the probe section names are told by their own names


def told_figures(scalars: Mapping[str, float], only: Sequence[str] = ()) -> dict[str, str]:
    """Return name -> text of the figures among logged scalars; ``only`` those, where given."""
    told = {}
    for figure in FIGURES:
        value = next(
            (v for name in figure.logged if (v := _value(scalars, name)) is not None), None
        )
        if value is not None and (not only or figure.name in only):
            told[figure.name] = figure.form.format(value).rstrip('.')
    if not only:
        of_probe = {k: v for k, v in scalars.items() if k.startswith(_LONGER)}
        names = {name.removeprefix(_LONGER): value for name, value in of_probe.items()}
        told |= {k: f'{v:.2f} %' if k in OF_IMAGES else f'{v:.4g}' for k, v in names.items()}
    return told


def explain(name: str) -> str:
    """Return what a figure is; '' for one that says so itself."""
    found = next((figure.told for figure in FIGURES if figure.name == name), '')
    return found or MEASURES.get(name, '')


def duration(seconds: float) -> str:
    """Write seconds as 0:07, 12:34 or 1:02:03."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{rest:02}' if hours else f'{minutes}:{rest:02}'


def _value(scalars: Mapping[str, float], logged: str) -> float | None:
    """Return a logged value, of a pattern the mean over all that it matches; None without any."""
    before, star, after = logged.partition('*')
    if not star:
        value = scalars.get(logged)
        return None if value is None else float(value)
    found = [float(v) for k, v in scalars.items() if k.startswith(before) and k.endswith(after)]
    return fmean(found) if found else None
