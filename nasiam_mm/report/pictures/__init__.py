# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Pictures of a search: the genotype, and alpha over time."""

from nasiam_mm.report.pictures.alpha_curves import (
    alpha_entropy,
    load_alpha_history,
    margin,
    plot_alpha,
    save_alpha_history,
)
from nasiam_mm.report.pictures.genotype_drawing import draw_genotype

__all__ = [
    'alpha_entropy',
    'draw_genotype',
    'load_alpha_history',
    'margin',
    'plot_alpha',
    'save_alpha_history',
]
