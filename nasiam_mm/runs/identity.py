# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What makes two runs the same run: the settings that decide how they end."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from mmengine.dist import get_world_size
from mmengine.runner import Runner

from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.config_walk import deciding_hooks

# Parts of the config that decide how a run ends.
_PARTS = (
    'model',
    'data_preprocessor',
    'train_dataloader',
    'optim_wrapper',
    'param_scheduler',
    'train_cfg',
    'auto_scale_lr',
    'sync_bn',
    'custom_hooks',
)
# Settings within them that do not: where and how data is loaded, when something is measured.
_IGNORED = {
    'num_workers',
    'persistent_workers',
    'pin_memory',
    'prefetch_factor',
    'data_root',
    'val_begin',
    'val_interval',
    'dynamic_intervals',
}
_NAMED = 3  # differences that a message names

Fingerprint = dict[str, Any]


def run_fingerprint(runner: Runner) -> Fingerprint:
    """Collect the settings of a run that decide how it ends.

    Left out are the work directory, logging, checkpointing, measuring and how
    data is loaded. A genotype counts by the layers it holds, not by its path,
    and data by its digest and by which images of it are trained on.

    Args:
        runner: Runner whose training loop is built.

    Returns:
        Numbers, strings and lists of them by dotted name, such as
        ``'model.neck.widths'``.
    """
    fields: Fingerprint = {
        'seed': runner.seed,
        'processes': get_world_size(),
        'iterations per epoch': len(runner.train_dataloader),
    }
    dataset = runner.train_dataloader.dataset
    while hasattr(dataset, 'dataset'):
        if hasattr(dataset, 'indices'):
            rows = np.ascontiguousarray(dataset.indices, dtype=np.int64)
            fields['training images'] = hashlib.sha256(rows).hexdigest()[:12]
        dataset = dataset.dataset
    fields['data'] = getattr(dataset, 'metainfo', {}).get('digest')
    for part in _PARTS:
        _flatten(runner.cfg.get(part), part, fields)
    _flatten(deciding_hooks(runner.cfg.get('default_hooks')), 'default_hooks', fields)
    return fields


def fingerprint_digest(fingerprint: Fingerprint) -> str:
    """Return the sha256 of a fingerprint."""
    text = json.dumps(fingerprint, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def name_differences(there: Fingerprint, here: Fingerprint) -> str:
    """Say in one line where two fingerprints differ, or '' where they do not.

    Args:
        there: Of the checkpoint.
        here: Of this run.
    """
    missing = object()
    names = [
        name
        for name in dict.fromkeys([*there, *here])
        if there.get(name, missing) != here.get(name, missing)
    ]
    told = [
        f'{name} is {_show(there, name)} there and {_show(here, name)} here'
        for name in names[:_NAMED]
    ]
    if len(names) > _NAMED:
        told.append(f'and {len(names) - _NAMED} more differences')
    return '; '.join(told)


def _show(fingerprint: Fingerprint, name: str) -> str:
    return repr(fingerprint[name]) if name in fingerprint else 'not set'


def _flatten(value: Any, name: str, fields: Fingerprint) -> None:
    """Put what a part of a config holds into ``fields``."""
    if isinstance(value, Mapping):
        _flatten_dict(value, name, fields)
    elif isinstance(value, (list, tuple)):
        if name == 'custom_hooks':
            _flatten_hooks(value, name, fields)
        elif any(isinstance(item, (Mapping, list, tuple)) for item in value):
            for index, item in enumerate(value):
                _flatten(item, f'{name}.{index}', fields)
        else:
            fields[name] = [_plain(item) for item in value]
    elif value is not None:
        fields[name] = _plain(value)


def _flatten_dict(part: Mapping, name: str, fields: Fingerprint) -> None:
    for key, value in part.items():
        if key in _IGNORED:
            continue
        if key == 'genotype' and isinstance(value, str):
            decisions = load_genotype(value).decisions
            value = {choice: '+'.join(d.chosen) for choice, d in decisions.items()}
        _flatten(value, f'{name}.{key}', fields)


def _flatten_hooks(hooks: list | tuple, name: str, fields: Fingerprint) -> None:
    """Name hooks by their type, so that one more or less does not shift the others."""
    seen: dict[str, int] = {}
    for hook in hooks:
        settings = hook if isinstance(hook, Mapping) else {'type': type(hook)}
        kind = _plain(settings.get('type')).rsplit('.', 1)[-1]
        seen[kind] = seen.get(kind, 0) + 1
        number = '' if seen[kind] == 1 else f'#{seen[kind]}'
        _flatten(settings, f'{name}.{kind}{number}', fields)


def _plain(value: Any) -> Any:
    """Return a value that JSON and a checkpoint hold as they are."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return getattr(value, '__qualname__', None) or str(value)
