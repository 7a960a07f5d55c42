# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Settings of a part that a study names: a wrong one ends in one line."""

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from mmengine.registry import Registry

from nasiam_mm.part_registry import build_part


def build_named(registry: Registry, config: Any, where: str, **given: Any) -> Any:
    """Build a part of a config with what the study gives it.

    Raises:
        ValueError: If the config names no part, or a setting that the part does not take.
    """
    name = config.get('type') if isinstance(config, Mapping) else None
    part = registry.get(name) if isinstance(name, str) else None
    if part is not None:
        taken = inspect.signature(part).parameters.values()
        known = [p.name for p in taken if p.name not in given and p.kind != p.VAR_KEYWORD]
        takes_any = any(p.kind == p.VAR_KEYWORD for p in taken)
        unknown = [key for key in config if key not in (*known, 'type', '_scope_')]
        if unknown and (not takes_any or unknown[0] in given):
            near = get_close_matches(str(unknown[0]), known, n=1)
            told = f'did you mean {near[0]}?' if near else f'it takes {", ".join(known) or "none"}'
            raise ValueError(f'{where}.{unknown[0]} is no setting of {name}; {told}')
    return build_part(registry, dict(config) if part is not None else config, where, **given)


def whole(owner: str, name: str, value: Any, low: int, high: int = 10**6) -> int:
    """Return a whole number of a range; ValueError unless it is one."""
    if type(value) is not int or not low <= value <= high:
        what = f'{owner}.{name} must be a whole number from {low} to {high}'
        raise ValueError(f'{what}, got {value!r:.60}')
    return value


def number(owner: str, name: str, value: Any, low: float, high: float) -> float:
    """Return a number of a range; ValueError unless it is one."""
    is_one = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_one or not low <= value <= high:
        what = f'{owner}.{name} must be a number from {low:g} to {high:g}'
        raise ValueError(f'{what}, got {value!r:.60}')
    return float(value)


def yes_or_no(owner: str, name: str, value: Any) -> bool:
    """Return a flag; ValueError unless it is one."""
    if not isinstance(value, bool):
        raise ValueError(f'{owner}.{name} must be True or False, got {value!r:.60}')
    return value
