# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Frameworks by name: each algorithm's file registers its own; tests and tables ask here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Framework:
    """A self-supervised framework whose heads can be searched."""

    name: str  # as in the names of recipes, such as 'simsiam'
    algorithm: str  # registered class of the algorithm, such as 'SimSiam'
    # Feature width D -> config of a small model, less backbone, preprocessor, space and genotype.
    example: Callable[[int], dict]
    # Head -> operations of the paper's head, input first, where the space S holds them.
    standard: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # Puts the config of a recipe's model onto other data, from the images of a step and of all.
    fit: Callable[[dict, int, int], None] | None = None
    title: str = ''  # as papers write it, such as 'MoCo v2', where not as the algorithm


FRAMEWORKS: dict[str, Framework] = {}


def title_of(name: str) -> str:
    """Return what a framework is called in tables; KeyError if there is none of the name."""
    return FRAMEWORKS[name].title or FRAMEWORKS[name].algorithm


def register_framework(framework: Framework) -> None:
    """Make a framework known by its name; ValueError if another algorithm has it."""
    known = FRAMEWORKS.setdefault(framework.name, framework)
    if known.algorithm != framework.algorithm:
        raise ValueError(f'the framework {framework.name!r} is {known.algorithm} already')


def predictor_head(width: int, hidden: int) -> dict:
    """Config of the small predicting head of SimSiam's and BYOL's examples."""
    widths = dict(in_channels=width, hidden_channels=hidden, cell_channels=width, depth=2)
    kind = dict(type='HeadMLP', name='predictor', plain_output=True, with_avg_pool=False)
    loss = dict(type='CosineSimilarityLoss')
    return dict(type='LatentPredictHead', loss=loss, predictor=dict(**kind, **widths))


def projector(width: int, out_channels: int, **output: bool) -> dict:
    """Config of the small projector of the examples."""
    widths = dict(in_channels=width, hidden_channels=width, out_channels=out_channels, depth=3)
    return dict(type='HeadMLP', name='projector', **widths, **output)
