# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Projectors and predictors: one to search, one built from a genotype."""

from nasiam_mm.models.heads.genotype_mlp import GenotypeMLP
from nasiam_mm.models.heads.searchable_mlp import SearchableMLP

__all__ = ['GenotypeMLP', 'SearchableMLP']
