# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the figures of the page are, said where they first appear."""

from collections.abc import Iterable
from typing import NamedTuple

from nasiam_mm.report.page.markup import paragraph


class Figure(NamedTuple):
    """A figure of a backbone: how it is called, the unit of its axis, what it is."""

    name: str
    axis: str
    told: str


# By the name that it is logged by, as ``measure/<name>``; sources are in docs/measures.md.
FIGURES = {
    'knn': Figure(
        'kNN top-1', 'kNN top-1, %',
        'the share of held-out images that the vote of their nearest neighbours, by the features '
        'of the backbone, names rightly; more is better',
    ),
    'linear': Figure(
        'Linear probe top-1', 'top-1, %',
        'the share of held-out images that a linear classifier on the features of the backbone, '
        'which stays as it is, names rightly; more is better',
    ),
    'rankme': Figure(
        'RankMe', 'directions',
        'about how many directions the features of the backbone make use of; more is better, '
        'about 1 is a collapse; no labels are needed',
    ),
    'lidar': Figure(
        'LiDAR', 'directions',
        'in about how many directions images differ by more than views of one image do; more is '
        'better; no labels are needed',
    ),
    'alpha_req': Figure(
        'alpha-ReQ', 'exponent',
        'how fast the eigenvalues of the features fall off, as an exponent; best near 1',
    ),
    'alignment': Figure(
        'Alignment', 'squared distance',
        'the mean squared distance of two views of an image, on the unit sphere; lower is better, '
        'beside uniformity',
    ),
    'uniformity': Figure(
        'Uniformity', 'log of a mean',
        'how close pairs of images lie to each other on the unit sphere; lower is more evenly '
        'spread, 0 is a collapse to a point',
    ),
    'contrast': Figure(
        'Contrast', 'nats',
        'the InfoNCE loss of two views of held-out images under one fixed head; lower is better',
    ),
    'effective_rank': Figure(
        'Effective rank of z', 'directions',
        'about how many directions the embeddings z, which the loss is of, make use of; a low '
        'value is a collapse',
    ),
}  # fmt: skip


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
