# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Malformed folders of runs and checkpoints without a config, for what reads them by themselves."""

import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

from benchmarks.mutants import _ODD, Case, _case, _link, change, damage, mutant, put

# What a report is made of; those that the original run has not are of a study or a pretraining.
_VERDICT = {
    'answer': 'use',
    'sentence': "use 'a': +1.5 points, interval [1, 2]",
    'budget': {'recipe': 'a.py', 'epochs': 2, 'batch': 8, 'data': 'data', 'measure': 'kNN'},
    'head': 'a',
    'heads': {'a': 'projector: identity'},
    'dataset': 'CIFAR10',
    'objective': 'kNN top-1, %',
    'unit': 'points',
    'scores': {'standard': {'compared': {'mean': 40.0, 'seeds': 3}},
               'a': {'search': {'mean': 40.0, 'seeds': 1}, 'compared': {'mean': 41.5, 'seeds': 3}}},
    'verdict': {
        'answer': 'use', 'head': 'a', 'more_seeds': None, 'seeds': 3, 'images': 5, 'trials': 2,
        'compared': [{'name': 'a', 'n': 3, 'collapsed': 0, 'mean': 1.5, 'se': 0.2, 'df': 2.0,
                      'p': 0.01, 'interval': [1.0, 2.0], 'shrunken': 1.2}],
    },
    'test': {'a': 40.0, 'standard': 39.0},
    'fidelity': None,
    'refused': [],
    'trials': 2,
    'scored': [{'head': 'a', 'source': 'TPE', 'score': 40.0, 'seconds': 20.0}],
    'trainings': 8,
    'seconds': 200.0,
    'notes': ['a note'],
    'versions': {'torch': '2'},
}  # fmt: skip
_FINAL = {'top1': 50.0, 'images': 16, 'k': 5, 'temperature': 0.1, 'epoch': 1, 'correct': 'ff00'}
_PICTURE = {'image': 'data:image/png;base64,iVBORw0KGgo=', 'label': 'cat'}
_NEIGHBOURS = {
    'schema': 1, 'epoch': 1, 'checkpoint': 'a.pth', 'bank': 9,
    'rows': [{'query': _PICTURE, 'found': [{**_PICTURE, 'similarity': 0.5}]}],
}  # fmt: skip


def run_folder(draw: Random, folder: Path, of: SimpleNamespace) -> Case:
    """Make a work directory of which a file is wrong, and a command that tells of it."""
    run = folder / 'run'
    _link(of.run, run)
    (run / 'verdict.json').write_text(json.dumps(_VERDICT), encoding='utf-8')
    (run / 'final.json').write_text(json.dumps(_FINAL), encoding='utf-8')
    if not (run / 'neighbours.json').exists():
        (run / 'neighbours.json').write_text(json.dumps(_NEIGHBOURS), encoding='utf-8')
    scalars = sorted(run.glob('*/vis_data/scalars.json'))
    logs = sorted(run.glob('*/*.log'))
    size = 0
    files = sorted(run.glob('*.json')) * 3 + scalars * 6 + logs + sorted(run.glob('*.py'))
    for file in {draw.choice(files): None for _ in range(draw.choice([1, 1, 1, 2]))}:
        data = file.read_bytes()
        if file in scalars:
            rows = [json.loads(line) for line in data.splitlines()]
            spot = draw.randrange(len(rows))
            lines = [json.dumps(row).encode() for row in rows]
            lines[spot] = mutant(rows[spot], draw)
            data = b'\n'.join(lines) if draw.random() < 0.8 else damage(data, draw)
        elif file.suffix == '.json':
            data = mutant(json.loads(data), draw)
        else:
            data = damage(data, draw)
        file.unlink()
        size += put(file, data, draw)
    if draw.random() < 0.1:
        for path in draw.choices(sorted(run.glob('*.json')), k=3):
            path.unlink(missing_ok=True)
    page = ['--out', draw.choice([folder / 'a.html', folder / 'a.html', 'a.txt', '.', run])]
    commands: list[list[Any]] = [
        ['report', run],
        ['report', run, *page],
        ['report', run / 'genotype.json', '--out', folder / 'a.html'],
        ['diff', run, of.run, *page],
        ['diff', of.run, run, '--out', folder / 'b.html'],
    ]
    return _case(folder, size, *draw.choice(commands))


def alone(draw: Random, folder: Path, of: SimpleNamespace) -> Case:
    """Make a checkpoint whose config text is wrong, or images, and what reads them."""
    import torch

    from nasiam_mm.files.config_text import read_config_text

    state = dict(of.state)
    tree = read_config_text(state['meta']['cfg'])
    act = draw.random()
    if act < 0.6:
        # Most is of training, which none of these commands looks at.
        part = draw.choice(['model', 'probe', 'data', 'model', 'probe', 'randomness'])
        told = [value for value in _ODD if not isinstance(value, float) or value == value]
        tree = {**tree, part: change(copy.deepcopy(tree.get(part)), draw, told)}
        if draw.random() < 0.2:
            tree = change(tree, draw, told)
        text = '\n'.join(f'{k} = {v!r}' for k, v in tree.items()) if isinstance(tree, dict) else ''
    else:
        text = state['meta']['cfg']
        if act < 0.75:
            text = damage(text.encode(), draw).decode(errors='replace')
    meta: Any = {**state['meta'], 'cfg': text}
    if draw.random() < 0.1:
        meta = draw.choice([None, {}, {'cfg': None}, [meta], {'cfg': {'model': {}}}])
    buffer = io.BytesIO()
    torch.save({**state, 'meta': meta}, buffer)
    file = folder / draw.choice(['c.pth', 'c.pth', 'run/epoch_1.pth'])
    size = put(file, buffer.getvalue(), draw)
    given = file.parent if file.parent != folder and draw.random() < 0.5 else file
    if draw.random() < 0.5:
        more = draw.choice([[], ['--split', 'test'], ['--data', of.data], ['--data', folder]])
        return _case(folder, size, 'test', given, '--work-dir', 'work', *more)
    for number in range(3):
        image = draw.choice(of.images)
        bad = damage(image, draw) if act > 0.75 and number == 0 else image
        size += put(folder / f'images/{number}{draw.choice(of.suffixes)}', bad, Random(number))
    out = draw.choice(['o.npz', 'o.npz', 'o.csv', 'o.parquet', 'o.txt', 'images'])
    flags = draw.choice([[], ['--skip-unreadable'], ['--batch-size', draw.choice(['1', '0', 'x'])]])
    return _case(folder, size, 'embed', given, '--data', folder / 'images', '--out', out, *flags)


KINDS: dict[str, Callable[[Random, Path, SimpleNamespace], Case]] = {
    'run': run_folder,
    'alone': alone,
}
