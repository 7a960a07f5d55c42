# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Making a config small."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import ConfigDict

from nasiam_mm.config_walk import walk

_WIDTHS = {
    'in_channels', 'out_channels', 'hid_channels', 'hidden_channels', 'cell_channels', 'widths',
    'base_channels', 'stem_channels', 'feat_dim',
}  # fmt: skip


def loaders(node: Any) -> Iterator[ConfigDict]:
    """Yield the configs of all data loaders."""
    yield from (part for part in walk(node) if 'batch_size' in part and 'dataset' in part)


def without_workers(node: Any) -> None:
    """Load in the process itself."""
    for loader in loaders(node):
        loader.update(num_workers=0, pin_memory=False)
        loader.pop('persistent_workers', None)


def narrow(model: ConfigDict, divisor: int) -> None:
    """Divide every width of a model, its backbone's included.

    By no more than 8: oneDNN fails below 8 channels on a CPU without AVX-512.
    """
    for name in ('base_channels', 'stem_channels'):
        model.backbone.setdefault(name, 64)
    for part in walk(model):
        for key in _WIDTHS & set(part):
            width = part[key]
            if isinstance(width, list):
                part[key] = [max(1, each // divisor) for each in width]
            elif width > 3:  # an image has 3
                part[key] = max(1, width // divisor)
