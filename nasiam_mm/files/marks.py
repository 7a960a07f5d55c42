# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Files by which a folder is known to hold what a command wrote, pictures of its own among it."""

from collections.abc import Iterable

OWNER = 'owner.json'  # of a run
PRESET = 'preset.json'  # of recipes for one's own images, beside the folders of their runs

RUNS = ('pretrain', 'baseline', 'search')  # folders there; the first one with a run is meant


def is_of_results(names: Iterable[str]) -> bool:
    """Tell by the names of its files whether a folder is one of results."""
    return not {OWNER, PRESET}.isdisjoint(names)
