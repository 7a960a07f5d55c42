# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Files by which a folder is known to hold what a command wrote, pictures of its own among it."""

from collections.abc import Iterable
from pathlib import Path

OWNER = 'owner.json'  # of a run
PRESET = 'preset.json'  # of recipes for one's own images, beside the folders of their runs

VERDICT = 'verdict.json'  # of a study

# Of searches there: by the recipe's strategy, and from Python by one that is named.
_SEARCHES = ('search', 'search_*')


def is_of_results(names: Iterable[str]) -> bool:
    """Tell by the names of its files whether a folder is one of results."""
    return not {OWNER, PRESET}.isdisjoint(names)


def searches_in(out: Path) -> list[Path]:
    """Return the folders of searches by gradient in a folder of results, the plain one first."""
    found = [folder for name in _SEARCHES for folder in sorted(out.glob(name))]
    return [folder for folder in found if not (folder / VERDICT).exists()]


def runs_in(out: Path) -> list[Path]:
    """Return the folders that runs have in a folder of results; the first with a run is meant."""
    return [out / 'pretrain', out / 'baseline', *searches_in(out)]
