# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""From a supernet's weights to those of what was chosen in it."""

import re
from collections.abc import Mapping

from torch import Tensor

_OP_OF_LAYER = re.compile(r'(?P<layer>(?:.*\.)?layers\.\d+)\.ops\.')


def derived_weights(
    supernet: Mapping[str, Tensor], derived: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the weights that a derived network has of its supernet, by its own names.

    Args:
        supernet: State of a searched backbone or head, or of a model with such.
        derived: State of the same built from a genotype; its names and shapes count.

    Raises:
        ValueError: If the supernet lacks one of them.
    """
    renamed = {_OP_OF_LAYER.sub(r'\g<layer>.', name): w for name, w in supernet.items()}
    for name, weight in derived.items():
        if name not in renamed or renamed[name].shape != weight.shape:
            what = f'the supernet has no weight {name} of {tuple(weight.shape)}'
            raise ValueError(f'{what}; take the genotype of the same search')
    return {name: renamed[name] for name in derived}
