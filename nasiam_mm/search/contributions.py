# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What each layer of a supernet contributes: an ablation.

`D-DARTS`_ weighs its cells by marginal contributions, ``L(without the cell) - L(full)`` (section
3.3), in a term of the loss of alpha that has no gradient to alpha. Here they are a report.

.. _D-DARTS: https://arxiv.org/abs/2108.09306
"""

import math
import os
from collections.abc import Mapping

from nasiam_mm.files.atomic import write_json
from nasiam_mm.ops.shapes import keeps_shape
from nasiam_mm.search.held_out import HeldOut, mean_weights

# Name of a choice -> contribution of its layer, in the loss; None where it cannot be removed.
Contributions = Mapping[str, float | None]


def contributions(held_out: HeldOut) -> tuple[float, Contributions]:
    """Return the loss of a supernet, and how much it rises without each layer.

    A layer is removed by passing its input on, which takes equal shapes, in every copy of its
    head, and in all cells of a group. The auxiliary branch, which no genotype has, is off.
    """
    model = held_out.model
    weights = mean_weights(model.architecture)
    whole, found = held_out.loss(weights, auxiliary=0.0), {}
    for name, cells in model.searched_cells().items():
        for n, shape in enumerate(cells[0].shapes):
            value = None
            if keeps_shape(shape):
                value = held_out.loss(weights, auxiliary=0.0, without=(name, n)) - whole
            found[model.architecture.choices[name][n].name] = value
    return whole, found


def tell(found: Contributions) -> str:
    """Say in one line what was found."""
    removed = [f'{name} {value:+.4f}' for name, value in found.items() if value is not None]
    fixed = [name for name, value in found.items() if value is None]
    parts = [f'loss without a layer: {", ".join(removed)}'] if removed else []
    if fixed:
        parts.append(f'not removable, as the width changes there: {", ".join(fixed)}')
    return '; '.join(parts)


def save_contributions(
    whole: float, found: Contributions, epoch: int, path: str | os.PathLike
) -> None:
    """Write them as JSON, whole or not at all.

    The form is ``{"epoch": 100, "loss": 4.2, "contributions": {"projector.1.op": 0.3, ...},
    "not_removable": ["projector.0.op", ...]}``, with null for what is not finite.
    """

    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    there = {name: number(value) for name, value in found.items() if value is not None}
    fixed = [name for name, value in found.items() if value is None]
    told = {'epoch': epoch, 'loss': number(whole), 'contributions': there, 'not_removable': fixed}
    write_json(told, path)
