# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Rows of a study: a run a line of JSON, from which alone the page is made."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.backbones.candidates import Backbone
from benchmarks.tasks.settings import CLASSIFIERS
from nasiam_mm.files.atomic import write_text

_NEEDED = ('backbone', 'family', 'kind', 'parameters', 'macs', 'seed', 'seconds', 'tasks')


def line_of(backbone: Backbone, run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the line of a run.

    Args:
        backbone: That it trained.
        run: Its row, as ``row.json`` holds it, with ``tasks``.
    """
    metrics = {name: run['metrics'].get(name) for name in ('loss', 'std', 'effective_rank')}
    return {
        'backbone': backbone.name,
        'family': backbone.family,
        'kind': backbone.kind,
        'parameters': backbone.parameters,
        'macs': backbone.macs,
        'features': backbone.features,
        'seed': run['seed'],
        'config': run['config'],
        'digest': run['config_sha256'][:12],
        'device': run['device'],
        'versions': {n: run['versions'][n] for n in ('nasiam_mm', 'torch') if n in run['versions']},
        'seconds': {step: round(s, 1) for step, s in run['process_seconds'].items()},
        **{name: None if value is None else round(value, 4) for name, value in metrics.items()},
        'tasks': {
            task: {name: [round(v, 3) for v in of[name]] for name in CLASSIFIERS}
            for task, of in run['tasks'].items()
        },
    }


def write_rows(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write rows by size, backbone and seed."""
    ordered = sorted(rows, key=lambda row: (row['parameters'], row['backbone'], row['seed']))
    write_text(''.join(json.dumps(r, separators=(',', ':')) + '\n' for r in ordered), path)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read rows; ValueError, with the line, for what is none, or stands twice."""
    rows: list[dict[str, Any]] = []
    seen: set[tuple[str, int]] = set()
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
        try:
            row = json.loads(line)
            if missing := [name for name in _NEEDED if name not in row]:
                raise ValueError(f'has no {", ".join(missing)}')
            if (key := (row['backbone'], row['seed'])) in seen:
                raise ValueError(f'{key[0]} with seed {key[1]} stands there twice')
        except (ValueError, TypeError) as error:
            raise ValueError(f'{path}, line {number}: {error}; make the rows anew') from None
        seen.add(key)
        rows.append(row)
    return rows
