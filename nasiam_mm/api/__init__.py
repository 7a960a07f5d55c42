# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What ``import nasiam_mm as nm`` offers: the commands as functions that return objects."""

from nasiam_mm.api.features import embed, export
from nasiam_mm.api.names import list_frameworks, list_operations, list_strategies
from nasiam_mm.api.results import Pretraining, Search, load
from nasiam_mm.api.running import pretrain, search

__all__ = [
    'Pretraining', 'Search', 'embed', 'export', 'list_frameworks', 'list_operations',
    'list_strategies', 'load', 'pretrain', 'search',
]  # fmt: skip
