# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Search spaces, mixed layers, cells and genotypes: torch only, no models."""

from nasiam_mm.space.adapt import adapt_genotype
from nasiam_mm.space.cell import GenotypeCell, LayerShape, SearchCell, layer_shapes
from nasiam_mm.space.genotype import (
    CellGenotype,
    Genotype,
    GenotypeError,
    LayerGenotype,
    derive_cell,
    random_cell,
    save_genotype,
)
from nasiam_mm.space.genotype_reader import load_genotype
from nasiam_mm.space.mixed_layer import MixedLayer
from nasiam_mm.space.ops import CANDIDATE_OPS, SPACES, build_op, distinct_candidates
from nasiam_mm.space.published import import_published

__all__ = [
    'CANDIDATE_OPS',
    'SPACES',
    'CellGenotype',
    'Genotype',
    'GenotypeCell',
    'GenotypeError',
    'LayerGenotype',
    'LayerShape',
    'MixedLayer',
    'SearchCell',
    'adapt_genotype',
    'build_op',
    'derive_cell',
    'distinct_candidates',
    'import_published',
    'layer_shapes',
    'load_genotype',
    'random_cell',
    'save_genotype',
]
