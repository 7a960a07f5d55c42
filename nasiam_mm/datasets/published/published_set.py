# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a published set is: a name, its parts, and what opens one of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Files(NamedTuple):
    """A part whose images are files below the folder it was opened from."""

    files: Sequence[Path]
    labels: Sequence[int]
    classes: Sequence[str]


class Arrays(NamedTuple):
    """A part whose images are one array, uint8 (N, H, W, 3), labels integers (N,)."""

    images: np.ndarray
    labels: np.ndarray
    classes: Sequence[str]


# Folder, part, whether it may be downloaded -> the part.
Open = Callable[[Path, str, bool], Files | Arrays]


@dataclass(frozen=True)
class PublishedSet:
    """A published set.

    Attributes:
        name: Its own; letters of either case are one.
        parts: That it has; ``'train'`` is the first, ``'val'`` and ``'test'`` may follow.
        lies: What below the folder given tells that it is there, for people.
        open: Opens a part. It may raise what it likes where the set is not there.
        downloads: Whether ``open`` can download it.
    """

    name: str
    parts: tuple[str, ...]
    lies: str
    open: Open
    downloads: bool = True

    def read(self, root: Path, part: str, download: bool = False) -> Files | Arrays:
        """Open a part.

        Raises:
            FileNotFoundError: If it is not there.
            ValueError: If it is damaged, or is not of that form, or it cannot be downloaded.
        """
        if part not in self.parts:
            raise ValueError(f'{self.name} has no part {part!r}, only {", ".join(self.parts)}')
        if download and not self.downloads:
            raise ValueError(f'{self.name} cannot be downloaded here; put {self.lies} into {root}')
        if not download and not root.is_dir():
            raise FileNotFoundError(f"'{root}' does not exist, or is no folder; {self._mend(root)}")
        try:
            found = self.open(root, part, download)
        except (OSError, RuntimeError, LookupError, ValueError) as error:
            told = ' '.join(str(error).split())[:200]
            what = f'{root}: no part {part!r} of {self.name}: {told}'
            raise FileNotFoundError(f'{what}; {self._mend(root)}') from error
        if not len(found.labels):
            raise ValueError(f'{root}: part {part!r} of {self.name} is empty')
        return found

    def _mend(self, root: Path) -> str:
        more = ', or give --download' if self.downloads else ''
        return f"it is looked for as '{root / self.lies}'{more}"


# Name in small letters -> set.
PUBLISHED: dict[str, PublishedSet] = {}


def register_set(found: PublishedSet) -> PublishedSet:
    """Make a set known by its name; ValueError if another has it or it has no part to train on."""
    if found.parts[:1] != ('train',) or set(found.parts) - {'train', 'val', 'test'}:
        raise ValueError(f"{found.name}: parts must be 'train', then 'val' or 'test'")
    if PUBLISHED.setdefault(found.name.lower(), found) is not found:
        raise ValueError(f'there is a set {found.name!r} already; take another name')
    return found


def find_set(name: str) -> PublishedSet:
    """Return a set by its name; ValueError for one that there is not."""
    if (key := name.lower()) not in PUBLISHED:
        near = get_close_matches(key, PUBLISHED, n=1)
        names = ', '.join(sorted((known.name for known in PUBLISHED.values()), key=str.lower))
        meant = f'did you mean {PUBLISHED[near[0]].name}? ' if near else ''
        raise ValueError(f'there is no published set {name!r}; {meant}there are {names}')
    return PUBLISHED[key]
