# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Data, environment, what decides the run, and the commands that repeat it."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nasiam_mm.files.config_text import read_config_text
from nasiam_mm.files.marks import PRESET
from nasiam_mm.files.regular import read_json
from nasiam_mm.report.page.facts import Facts
from nasiam_mm.report.page.markup import absent, code, details, dotted, esc, table

_DATA = ('dataset', 'dataset_digest', 'images', 'source')
_RUN = (
    ('seed', 'seed'), ('processes', 'processes'), ('train_dataloader.batch_size', 'batch'),
    ('iterations per epoch', 'iterations of an epoch'), ('train_cfg.max_epochs', 'epochs'),
    ('training images', 'digest of the images trained on'), ('data', 'digest of the data'),
    ('model.backbone.type', 'backbone'), ('model.backbone.depth', 'its depth'),
    ('optim_wrapper.optimizer.type', 'optimizer'), ('optim_wrapper.optimizer.lr', 'rate'),
)  # fmt: skip


def environment(facts: Facts) -> str:
    """Tell data, machine and versions."""
    found: dict[str, Any] = {name: facts.provenance.get(name) for name in _DATA}
    found |= {label: facts.settings.get(name) for name, label in _RUN}
    if found['digest of the data'] == found['dataset_digest']:
        del found['dataset_digest']
    found |= {'device': facts.study.get('device'), **facts.system}
    rows = [[esc(k.replace('_', ' ')), esc(v)] for k, v in found.items() if v not in (None, '')]
    versions = facts.provenance.get('versions') or facts.study.get('versions')
    if isinstance(versions, Mapping):
        rows += [[esc(name), esc(version)] for name, version in versions.items()]
    if not rows:
        return absent('Nothing in the folder tells data or machine.')
    every = [[dotted(name), esc(value)] for name, value in facts.settings.items()]
    told = table('Data, run, machine, versions', ['what', 'value'], rows)
    if not every:
        return told
    whole = table('From owner.json', ['setting', 'value'], every)
    return told + details('all that decides the run', whole)


def commands(facts: Facts) -> str:
    """Give the commands that repeat the run and go on from it."""
    folder, config = facts.path, facts.config
    lines = []
    if facts.study:
        budget = facts.study.get('budget')
        recipe = budget.get('recipe', 'CONFIG') if isinstance(budget, dict) else 'CONFIG'
        name = facts.study_name.strip() or folder.name
        own = own_command(folder, 'search', '--study', name)
        plain = own or _line('nasiam', 'search', recipe, '--study', name, '--work-dir', folder)
        given = facts.study.get('command')
        is_given = isinstance(given, str) and bool(given.strip())
        lines.append(given if isinstance(given, str) and is_given else plain)
        if not is_given:
            lines.append('# add the options that the study was begun with, such as --trials')
        place = '--out' if own else '--work-dir'
        lines.append(f'# this goes on with the study; to begin it anew, give another {place}')
    elif config is not None:
        verb = 'search' if facts.is_search else 'train'
        seed = facts.settings.get('seed')
        options = ['--seed', seed] if isinstance(seed, int) else []
        again = folder.with_name(f'{folder.resolve().name}_again')
        lines.append(_line('nasiam', verb, config, *options, '--work-dir', again))
    if facts.genotype is not None:
        genotype = folder if folder.suffix == '.json' else folder / 'genotype.json'
        lines.append(_line('nasiam', 'draw', genotype))
        pretrain = 'CONFIG'
        if config is not None and '_search_' in config.name:
            pretrain = f'nasiam/{config.name.replace("_search_", "_pretrain_")}'
        lines.append(
            own_command(folder, 'pretrain', '--genotype', genotype)
            or _line('nasiam', 'train', pretrain, *data_words(facts), '--genotype', genotype)
        )
    lines.append(_line('nasiam', 'report', folder))
    if config is not None and not facts.neighbours:
        lines.append(_line('nasiam', 'report', folder, '--neighbours'))
    told = '' if config or facts.study else absent('The folder holds no single config to repeat.')
    return told + code(*lines)


def own_command(folder: Path, command: str, *more: Any) -> str:
    """Return a command on one's own images, of a folder of results for such; '' elsewhere."""
    out = folder.absolute().parent
    try:
        asked = dict(read_json(out / PRESET)['asked'])
        words = ['--data', str(asked.pop('data')), '--out', os.path.relpath(out)]
    except (OSError, ValueError, TypeError, LookupError):
        return ''
    for name, value in asked.items():
        if value is not None and value is not False:
            words += [f'--{str(name).replace("_", "-")}', *([] if value is True else [value])]
    return _line('nasiam', command, *words, *more)


def data_words(facts: Facts) -> list[str]:
    """Return the option that puts a shipped recipe on the run's own folder of images, if any."""
    if facts.config is None:
        return []
    try:
        root = Path(read_config_text(facts.config.read_text(encoding='utf-8'))['data']['root'])
    except (OSError, ValueError, TypeError, LookupError):  # none, or edited by hand
        return []
    shipped = any(root == Path('data', part) for part in facts.config.stem.split('_'))
    return [] if shipped else ['--data', str(root)]


def _line(*words: Any) -> str:
    return shlex.join(str(word) for word in words)
