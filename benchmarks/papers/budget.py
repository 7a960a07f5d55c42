# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A table on another budget: fewer epochs, faster arithmetic, some of its rows."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from benchmarks.papers.edits import Edit, epochs, fast
from benchmarks.papers.spec import Recipe, Row, Table


@dataclass(frozen=True)
class Budget:
    """What a command changes in every recipe of a table; by default nothing.

    Attributes:
        epochs: Epochs of pretraining; None for those of the recipe.
        search_epochs: Epochs of a search; likewise.
        fast: Whether the recipes are made fast on an accelerator.
    """

    epochs: int | None = None
    search_epochs: int | None = None
    fast: bool = False

    def __post_init__(self) -> None:
        for name in ('epochs', 'search_epochs'):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ValueError(f'{name} must be 1 or more, got {number}')

    @property
    def flags(self) -> list[str]:
        """The flags of the command that ask for it."""
        flags = ['--epochs', str(self.epochs)] if self.epochs else []
        flags += ['--search-epochs', str(self.search_epochs)] if self.search_epochs else []
        return flags + (['--fast'] if self.fast else [])

    @property
    def suffix(self) -> str:
        """What it adds to the name of a table's file: ``'_e100_s50_fast'``."""
        parts = [f'_e{self.epochs}'] if self.epochs else []
        parts += [f'_s{self.search_epochs}'] if self.search_epochs else []
        return ''.join(parts + (['_fast'] if self.fast else []))


def reschedule(table: Table, budget: Budget) -> Table:
    """Put a table on a budget, which its notes then state; the same table for no change."""
    if not budget.flags:
        return table
    rows = tuple(
        row if row.recipe is None else replace(row, recipe=_pretraining(row.recipe, budget))
        for row in table.rows
    )
    note = f"Not the recipes' own budget: {' '.join(budget.flags)}"
    if budget.fast:
        note += ' (bfloat16 autocast)'
    return replace(table, rows=rows, notes=(*table.notes, f'{note}.'))


def restrict(table: Table, names: Collection[str]) -> Table:
    """Keep the named rows, the means whose members are all there, and comparisons with these."""

    def is_kept(row: Row) -> bool:
        return set(row.members) <= set(names) if row.members else row.name in names

    rows = [row for row in table.rows if is_kept(row)]
    kept = {row.name for row in rows}
    compared = [
        replace(row, against=tuple(name for name in row.against if name in kept)) for row in rows
    ]
    return replace(table, rows=tuple(compared))


def _pretraining(recipe: Recipe, budget: Budget) -> Recipe:
    changed = _changed(recipe, budget.epochs, budget.fast)
    head = recipe.head
    if head is None:
        return changed
    search = head.search and _changed(head.search, budget.search_epochs, budget.fast)
    return replace(changed, head=replace(head, search=search))


def _changed(recipe: Recipe, number: int | None, is_fast: bool) -> Recipe:
    edits: list[Edit] = [] if number is None else [epochs(number)]
    return replace(recipe, edits=(*recipe.edits, *edits, *([fast()] if is_fast else [])))
