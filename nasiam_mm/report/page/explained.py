# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the figures of the page are, said where they first appear."""

from collections.abc import Iterable
from typing import NamedTuple

from nasiam_mm.console.measures import MEASURES
from nasiam_mm.report.page.markup import paragraph


class Figure(NamedTuple):
    """A figure of a backbone: how it is called, the unit of its axis, what it is."""

    name: str
    axis: str
    told: str


# By the name that it is logged by, as ``measure/<name>``.
FIGURES = {
    name: Figure(*called, MEASURES[name])
    for name, called in {
        'knn': ('kNN top-1', 'kNN top-1, %'),
        'linear': ('Linear probe top-1', 'top-1, %'),
        'rankme': ('RankMe', 'directions'),
        'lidar': ('LiDAR', 'directions'),
        'alpha_req': ('alpha-ReQ', 'exponent'),
        'alignment': ('Alignment', 'squared distance'),
        'uniformity': ('Uniformity', 'log of a mean'),
        'contrast': ('Contrast', 'nats'),
    }.items()
}
FIGURES['effective_rank'] = Figure(
    'Effective rank of z',
    'directions',
    'about how many directions the embeddings z, which the loss is of, make use of; a low value is '
    'a collapse',
)


def title_of(name: str) -> str:
    """Return how a measure is called, one that was registered by others by its own name."""
    known = FIGURES.get(name)
    return known.name if known else f'Measure of the backbone: {name.replace("_", " ")}'


def axis_of(name: str) -> str:
    """Return what stands at the axis of a measure."""
    return FIGURES[name].axis if name in FIGURES else name.replace('_', ' ')


def sentence_of(name: str) -> str:
    """Return a sentence that says what a measure is; '' for one of others."""
    known = FIGURES.get(name)
    return f'{known.name}: {known.told}.' if known else ''


def explain(names: Iterable[str]) -> str:
    """Return a paragraph that says what figures are; '' where all of them are of others."""
    told = ' '.join(filter(None, map(sentence_of, dict.fromkeys(names))))
    return paragraph(told, 'note') if told else ''
