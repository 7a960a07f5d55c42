# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Where the architecture parameters of a model are."""

from torch import nn

from nasiam_mm.models.choice.cell import SearchCell
from nasiam_mm.models.heads.searchable_mlp import SearchableMLP


def searched_cells(model: nn.Module) -> dict[str, SearchCell]:
    """Find the cells whose alpha is searched.

    A copy inside a momentum encoder does not count: it follows the online
    cell and owns no alpha (contract C4).

    Args:
        model: An algorithm, not wrapped.

    Returns:
        Cell name -> cell, in the order of the model.

    Raises:
        ValueError: If there is none, or two share a name.
    """
    cells: dict[str, SearchCell] = {}
    for path, module in model.named_modules():
        if not isinstance(module, SearchableMLP) or module.cell.leader is not None:
            continue
        if module.cell_name in cells:
            raise ValueError(
                f"two searched heads are called '{module.cell_name}' (the second is {path}); "
                "give each SearchableMLP its own 'cell', and let a momentum copy follow()"
            )
        cells[module.cell_name] = module.cell
    if not cells:
        raise ValueError(
            f'{type(model).__name__} has nothing to search; use a SearchableMLP as its neck or '
            'as the predictor of its head'
        )
    return cells
