# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Frameworks by name: each algorithm's file registers its own.

What has to hold for every framework (contract tests, compilation, tables) asks
here instead of listing them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Framework:
    """A self-supervised framework whose heads can be searched.

    Attributes:
        name: As in the names of recipes, such as ``'simsiam'``.
        algorithm: Registered class of the algorithm, such as ``'SimSiam'``.
        example: Feature width D -> config of a small model of the framework, less
            backbone, preprocessor and ``space`` or ``genotype``.
        standard: Head -> operations of the head of the framework's paper, input
            first, where the space S holds them; empty where it does not.
    """

    name: str
    algorithm: str
    example: Callable[[int], dict]
    standard: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


FRAMEWORKS: dict[str, Framework] = {}


def register_framework(framework: Framework) -> None:
    """Make a framework known under its name.

    Raises:
        ValueError: If another algorithm has that name.
    """
    known = FRAMEWORKS.setdefault(framework.name, framework)
    if known.algorithm != framework.algorithm:
        raise ValueError(f'the framework {framework.name!r} is {known.algorithm} already')


def predictor_head(width: int, hidden: int) -> dict:
    """Config of the small predicting head of SimSiam's and BYOL's examples."""
    return dict(
        type='LatentPredictHead',
        loss=dict(type='CosineSimilarityLoss'),
        predictor=dict(
            type='HeadMLP',
            name='predictor',
            in_channels=width,
            hidden_channels=hidden,
            cell_channels=width,
            depth=2,
            plain_output=True,
            with_avg_pool=False,
        ),
    )


def projector(width: int, out_channels: int, **output: bool) -> dict:
    """Config of the small projector of the examples."""
    return dict(
        type='HeadMLP',
        name='projector',
        in_channels=width,
        hidden_channels=width,
        depth=3,
        out_channels=out_channels,
        **output,
    )
