# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What there is to choose from, by name."""

from nasiam_mm.files.shipped import framework_names, strategy_names
from nasiam_mm.ops.candidates import CANDIDATE_OPS

CHECKED = 'checked'


def list_frameworks() -> list[str]:
    """Name the frameworks that :func:`nasiam_mm.search` takes."""
    return framework_names()


def list_strategies() -> list[str]:
    """Name the strategies that :func:`nasiam_mm.search` takes; ``'checked'`` trains heads.

    The others are the files of ``configs/search`` (docs/search.md).
    """
    return [CHECKED, *strategy_names()]


def list_operations() -> list[str]:
    """Name the operations that a space may hold, those that were registered by others too."""
    return sorted(CANDIDATE_OPS.module_dict)
