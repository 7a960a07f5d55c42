# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Image sets, checked on reading, and their disjoint parts.

What takes torch is imported when it is asked for: a config is resolved without.
"""

from typing import TYPE_CHECKING, Any

from nasiam_mm.datasets.resolve import resolve_data
from nasiam_mm.datasets.source import Source

if TYPE_CHECKING:
    from nasiam_mm.datasets.describing import describe
    from nasiam_mm.datasets.registered import (
        CIFAR10,
        CIFAR100,
        DecodeCrops,
        Images,
        LoadImage,
        ReplayDataset,
        ReplaySampler,
        ResidentDataset,
        SplitDataset,
        split_indices,
    )

__all__ = [
    'CIFAR10', 'CIFAR100', 'DecodeCrops', 'Images', 'LoadImage', 'ReplayDataset', 'ReplaySampler',
    'ResidentDataset', 'Source', 'SplitDataset', 'describe', 'resolve_data', 'split_indices',
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import what is asked for; AttributeError for what there is not."""
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    if name == 'describe':
        from nasiam_mm.datasets.describing import describe

        return describe
    from nasiam_mm.datasets import registered

    return getattr(registered, name)
