# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What makes two runs the same run: all that decides how it ends, and nothing else.

What is written where, what is logged, saved and measured, and how data is loaded decide nothing.
Files count by what they hold: a genotype by its decisions, a pretrained checkpoint and a table of
costs by their digest.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.runner import Runner

from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.config_walk import deciding_hooks, type_name
from nasiam_mm.files.checkpoint import find_file
from nasiam_mm.files.digest import file_digest
from nasiam_mm.files.regular import require_regular

# Parts of a config that decide how its training ends, and what its evaluation gives.
_STEP = ('model', 'data_preprocessor', 'train_dataloader', 'optim_wrapper', 'param_scheduler')
TRAINING = (*_STEP, 'train_cfg', 'auto_scale_lr', 'sync_bn', 'default_hooks', 'custom_hooks')
EVALUATION = ('val_dataloader', 'val_evaluator', 'test_dataloader', 'test_evaluator', 'probe')
# Settings within them that do not: where and how data is loaded, when something is measured.
_LOADING = {'num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor', 'data_root'}
_IGNORED = {*_LOADING, 'val_begin', 'val_interval', 'dynamic_intervals'}
# Type and setting of parts that name a file, which counts by what it holds -> what finds it.
_BY_DIGEST = {
    ('Pretrained', 'checkpoint'): find_file,
    ('ExpectedCost', 'table'): require_regular,
}
# What a run may be extended by.
_EXTENSION = re.compile(r'train_cfg\.max_epochs|param_scheduler\..+|optim_wrapper\.optimizer\.lr')
BEGINS_WITH = 'load_from'  # a run that goes on does not say it again
NAMED = 3  # differences, or misfits, that a message names
_SHOWN = 80  # characters of a value in it

Identity = dict[str, Any]


def run_settings(cfg: Config | Mapping, parts: Iterable[str] = TRAINING) -> Identity:
    """Collect by dotted name, as ``'model.neck.depth'``, what in a config decides an outcome."""
    fields: Identity = {'seed': (cfg.get('randomness') or {}).get('seed')}
    narrow = {'default_hooks': deciding_hooks, 'custom_hooks': _by_type}
    for part in parts:
        value = cfg.get(part)
        _flatten(narrow[part](value) if part in narrow else value, part, fields)
    return fields


def run_identity(runner: Runner) -> Identity:
    """Collect what decides how a run ends; data counts by its digest and the images trained on."""
    fields = {
        **run_settings(runner.cfg),
        'seed': runner.seed,
        'processes': get_world_size(),
        'iterations per epoch': len(runner.train_dataloader),
    }
    dataset = runner.train_dataloader.dataset
    while hasattr(dataset, 'dataset'):
        if hasattr(dataset, 'indices'):
            rows = np.ascontiguousarray(dataset.indices, dtype=np.int64)
            fields['training images'] = hashlib.sha256(rows.data).hexdigest()[:12]
        dataset = dataset.dataset
    fields['data'] = getattr(dataset, 'metainfo', {}).get('digest')
    if runner._load_from and not runner._resume:
        fields[BEGINS_WITH] = f'sha256 {file_digest(find_file(runner._load_from))}'
    return fields


def identity_digest(identity: Mapping[str, Any]) -> str:
    """Return the sha256 of what decides a run."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def take_beginning(there: Identity, here: Identity) -> None:
    """Let a run that goes on have begun with the weights that its earlier part began with."""
    here.pop(BEGINS_WITH, None)
    if BEGINS_WITH in there:
        here[BEGINS_WITH] = there[BEGINS_WITH]


def less_extension(identity: Identity) -> Identity:
    """Return what an extended run still has in common with the run that it goes on with."""
    return {name: value for name, value in identity.items() if not _EXTENSION.fullmatch(name)}


def name_differences(there: Identity, here: Identity) -> str:
    """Say in one line where two identities, of a folder and this run, differ; '' where nowhere."""
    names = [n for n in {**there, **here} if (n in there, there.get(n)) != (n in here, here.get(n))]
    told = [f'{n} is {_show(there, n)} there and {_show(here, n)} here' for n in names[:NAMED]]
    if len(names) > NAMED:
        told.append(f'and {len(names) - NAMED} more differences')
    return '; '.join(told)


def _show(identity: Identity, name: str) -> str:
    value = repr(identity[name]) if name in identity else 'not set'
    return value if len(value) <= _SHOWN else f'{value[:_SHOWN]}...'


def _by_type(hooks: Iterable | None) -> dict[str, Mapping]:
    """Name hooks of a list by their type, so that one more or less does not shift the others."""
    named: dict[str, Mapping] = {}
    for hook in hooks or ():
        settings = hook if isinstance(hook, Mapping) else {'type': type(hook)}
        kind = str(type_name(settings))
        number = 1 + sum(name.split('#')[0] == kind for name in named)
        named[kind if number == 1 else f'{kind}#{number}'] = settings
    return named


def _flatten(value: Any, name: str, fields: Identity) -> None:
    """Put what a part of a config holds, a file's content in place of its path, into ``fields``."""
    if isinstance(value, Mapping):
        kind = type_name(value)
        for key, inner in value.items():
            if key == 'genotype' and isinstance(inner, str):
                decisions = load_genotype(inner).decisions
                inner = {choice: made.told for choice, made in decisions.items()}
            elif isinstance(inner, str) and (find := _BY_DIGEST.get((str(kind), key))):
                inner = f'sha256 {file_digest(find(inner))}'
            if key not in _IGNORED:
                _flatten(inner, f'{name}.{key}', fields)
    elif isinstance(value, (list, tuple)):
        if any(isinstance(item, (Mapping, list, tuple)) for item in value):
            for index, item in enumerate(value):
                _flatten(item, f'{name}.{index}', fields)
        else:
            fields[name] = [_plain(item) for item in value]
    elif value is not None:
        fields[name] = _plain(value)


def _plain(value: Any) -> Any:
    """Return a value that JSON and a checkpoint hold as they are."""
    plain = value is None or isinstance(value, (int, float, str))
    return value if plain else getattr(value, '__qualname__', None) or str(value)
