# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Projector or predictor built from a genotype."""

import os

from nasiam_mm.architecture.genotype import GenotypeError
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.models.choice.cell import GenotypeCell
from nasiam_mm.models.heads.head_mlp import HeadMLP
from nasiam_mm.registry import MODELS


@MODELS.register_module()
class GenotypeMLP(HeadMLP):
    """MLP of the operations that a search chose.

    Args:
        cell: Which cell of the genotype: ``'projector'`` or ``'predictor'``.
        genotype: Path of the genotype file.
        in_channels: Width of the input; must be that of the genotype's cell.
        **kwargs: Output layer and pooling, see :class:`HeadMLP`.

    Raises:
        GenotypeError: If the file cannot be used or does not fit this head.
    """

    def __init__(
        self, cell: str, genotype: str | os.PathLike | None, in_channels: int, **kwargs
    ) -> None:
        if genotype is None:
            raise GenotypeError(
                f'the {cell} has no genotype; pass --genotype FILE to tools/train.py'
            )
        read = load_genotype(genotype)
        if cell not in read.cells:
            raise GenotypeError(
                f"genotype '{genotype}' ({read.framework}) has no cell {cell!r}, only "
                f'{sorted(read.cells)}; take one searched in a framework with that cell'
            )
        shapes = read.cells[cell].shapes
        if shapes[0].in_channels != in_channels:
            raise GenotypeError(
                f"genotype '{genotype}', cells.{cell}: takes width {shapes[0].in_channels}, "
                f'but this head gets {in_channels}; take one searched for this backbone'
            )
        fixed = GenotypeCell(shapes, read.cells[cell].ops)
        super().__init__(fixed, shapes[-1].out_channels, **kwargs)
        self.cell_name = cell
