# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Arguments of backbones by hand: what cannot be is refused in a line that names it."""

from collections.abc import Sequence
from typing import Any


def whole(owner: str, least: int = 1, **given: Any) -> None:
    """Refuse what is no whole number from ``least`` up, with a ValueError."""
    for name, value in given.items():
        if type(value) is not int or value < least:
            what = f'{owner}.{name} must be a whole number from {least} up'
            raise ValueError(f'{what}, got {value!r:.60}')


def wholes(owner: str, least: int | None = 1, **given: Any) -> None:
    """Refuse what is no list of whole numbers, from ``least`` up or any, with a ValueError."""
    for name, value in given.items():
        is_list = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0
        if not is_list or any(
            type(item) is not int or (least is not None and item < least) for item in value
        ):
            told = 'whole numbers' if least is None else f'whole numbers from {least} up'
            what = f'{owner}.{name} must be a list of {told}, of one or more'
            raise ValueError(f'{what}, got {value!r:.60}')
