# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Pictures of a search: the genotype, and alpha over time."""

from nasiam_mm.report.pictures.alpha_curves import (
    load_alpha_history,
    plot_alpha,
    save_alpha_history,
)
from nasiam_mm.report.pictures.genotype_drawing import draw_genotype

__all__ = [
    'draw_genotype',
    'load_alpha_history',
    'plot_alpha',
    'save_alpha_history',
]
