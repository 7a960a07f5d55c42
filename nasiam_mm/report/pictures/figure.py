# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What all pictures share: one colour per operation, and files written whole."""

import io
import os
from collections.abc import Iterable
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from nasiam_mm.files.atomic import atomic_path

# Okabe and Ito's colour-blind-safe palette; black and grey for the plain maps.
_COLORS = {
    'linear_bn_relu': '#0072B2',
    'linear_bn_silu': '#56B4E9',
    'linear_bn_hardswish': '#009E73',
    'linear_bn_elu': '#CC79A7',
    'max_pool_3_bn': '#D55E00',
    'avg_pool_3_bn': '#E69F00',
    'linear': '#000000',
    'identity': '#999999',
}
# Paul Tol's muted palette, for operations a user registers.
_MORE_COLORS = ('#332288', '#882255', '#44AA99', '#999933', '#AA4499', '#117733')
_SUFFIXES = ('.png', '.svg')


def op_colors(names: Iterable[str]) -> dict[str, str]:
    """Give every operation its colour; the same in all pictures of one space."""
    names = list(dict.fromkeys(names))
    others = sorted(set(names) - set(_COLORS))
    more = {name: _MORE_COLORS[n % len(_MORE_COLORS)] for n, name in enumerate(others)}
    return {name: _COLORS.get(name) or more[name] for name in names}


def op_numbers(names: Iterable[str], count: int) -> dict[str, int]:
    """Number operations by the order of the known colours, those of a user behind, below count."""
    known, names = list(_COLORS), list(dict.fromkeys(names))
    others = sorted(set(names) - set(known))
    room = count - len(known)
    more = {name: len(known) + n % room for n, name in enumerate(others)}
    return {name: known.index(name) if name in known else more[name] for name in names}


def check_picture_path(path: str | os.PathLike) -> None:
    """Check that a picture's file name ends in a format we write.

    Raises:
        ValueError: If it ends in neither .png nor .svg.
    """
    if Path(path).suffix.lower() not in _SUFFIXES:
        raise ValueError(f"picture '{path}' must end in {' or '.join(_SUFFIXES)}")


def figure_svg(figure: Figure) -> str:
    """Return a figure as SVG, the ``<svg>`` element alone; equal figures give equal texts."""
    with matplotlib.rc_context({'svg.hashsalt': 'nasiam_mm'}):
        figure.savefig(text := io.StringIO(), format='svg', metadata={'Date': None})
    drawn = text.getvalue()
    return drawn[drawn.index('<svg') :]


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure as PNG or SVG by suffix, whole or not at all.

    Equal figures give equal files: no date, no random identifiers.

    Raises:
        ValueError: If the suffix is neither .png nor .svg.
    """
    check_picture_path(path)
    metadata = {'Date': None} if Path(path).suffix.lower() == '.svg' else None
    with matplotlib.rc_context({'svg.hashsalt': 'nasiam_mm'}), atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata=metadata)
