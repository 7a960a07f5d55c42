# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``--strategy``: what a config of ``configs/search`` writes over its recipe, on another recipe."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from nasiam_mm.cli.reading import find_config


def merge_strategy(cfg: Config, name: str) -> None:
    """Let the settings of a strategy override those of a search recipe.

    A virtual step of the weights with momentum and decay, which only SGD has, becomes a plain one
    (DARTS, eq. 7) where the recipe trains them by another optimizer.

    Args:
        cfg: The recipe.
        name: File of a strategy, or its name, such as ``'gdas'``.

    Raises:
        ValueError: If the recipe searches nothing, there is no such file, or it needs its base.
    """
    if not (cfg.get('default_hooks') or {}).get('alpha_step'):
        mend = 'take one of configs/nasiam/*_search_*.py'
        raise ValueError(f"--strategy: config '{cfg.filename}' has no alpha_step; {mend}")
    is_path = name.endswith('.py') or '/' in name
    path = find_config(name if is_path else f'search/{name}.py')
    own = own_settings(path)
    _replace_other_parts(cfg, own)
    cfg.merge_from_dict(own)
    step, weights = cfg.default_hooks.alpha_step, (cfg.get('optim_wrapper') or {}).get('optimizer')
    if step.get('second_order') == 'sgd' and (weights or {}).get('type') != 'SGD':
        step.second_order = True
    if imports := cfg.get('custom_imports'):
        from mmengine.utils import import_modules_from_strings

        import_modules_from_strings(**imports)


def _replace_other_parts(there: Mapping, own: dict[str, Any]) -> None:
    """Let a part of another type take the place of one, and none of its settings."""
    for key, value in own.items():
        if isinstance(value, dict) and isinstance(before := there.get(key), Mapping):
            if 'type' in value and value['type'] != before.get('type'):
                value['_delete_'] = True
            _replace_other_parts(before, value)


def own_settings(path: str) -> dict[str, Any]:
    """Return what a config itself sets, without what it inherits.

    Raises:
        ValueError: If it is not Python, or takes something of its base.
    """
    try:
        tree = ast.parse(Path(path).read_text(encoding='utf-8'), filename=path)
        tree.body = [node for node in tree.body if not _names_base(node)]
        found: dict[str, Any] = {}
        exec(compile(tree, path, 'exec'), {}, found)
    except Exception as error:
        told = ' '.join(f'{type(error).__name__}: {error}'.split())
        what = f"--strategy: '{path}' cannot be put on another recipe: {told}"
        raise ValueError(what) from error
    return {key: value for key, value in found.items() if not key.startswith('_')}


def _names_base(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(target, ast.Name) and target.id == '_base_' for target in targets)
