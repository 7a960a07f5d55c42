# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Rows of the table: one run a line of JSON, small enough to be committed and read by anything."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.heads.jobs import Job, config, genotype
from benchmarks.heads.searched import STRATEGIES, cost_of
from nasiam_mm.datasets.resolve import resolve_data
from nasiam_mm.files.atomic import write_text
from nasiam_mm.models.cost import training_cost
from nasiam_mm.runs.store import Row, RunStore

# What a row calls a scalar of the log, with the digits that are kept: no figure is that exact.
SCALARS = {
    'knn/val_top1': ('knn_val', 3),
    'knn/test_top1': ('knn_test', 3),
    'linear/val_top1': ('linear_val', 3),
    'linear/test_top1': ('linear_test', 3),
    'loss': ('loss', 5),
    'collapse/std': ('std_z', 4),
    'collapse/effective_rank': ('rank_z', 2),
    'measure/rankme': ('rankme', 3),
    'measure/alpha_req': ('alpha_req', 4),
    'measure/lidar': ('lidar', 3),
    'measure/alignment': ('alignment', 5),
    'measure/uniformity': ('uniformity', 5),
    'measure/contrast': ('contrast', 5),
}


def collect(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of those runs of a work directory that are at their end.

    Runs of what recipes, heads or scales were before they were changed have none.
    """
    store = RunStore(folder / 'runs')
    costs: dict[tuple[str, str, str], Mapping[str, int]] = {}
    for file in sorted((folder / 'jobs').glob('*.json')):
        try:
            job = Job(**json.loads(file.read_text(encoding='utf-8')))
            cfg = config(job, folder)
        except (ValueError, TypeError, FileNotFoundError) as error:
            print(f'{file} is left out: {error}', file=sys.stderr)
            continue
        run = store.of(str(job), cfg)
        if run.name != file.stem or (row := store.row(run)) is None:
            continue
        key = job.framework, job.scale, job.head
        if key not in costs:
            resolve_data(cfg)
            views = cfg.model.data_preprocessor.views.size
            costs[key] = training_cost(cfg.model.to_dict(), views)._asdict()
        line = as_line(job, row, costs[key])
        if (spent := cost_of(Path(job.head))).is_file():
            line['search_seconds'] = json.loads(spent.read_text(encoding='utf-8'))['seconds']
        yield line


def merged(made: Iterable[Mapping[str, Any]], before: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Return the rows made here, and of those before, made anywhere, what they do not replace.

    A row before is left out where a head of its name is another one by now.
    """
    found = {_key(row): row for row in before if _is_meant(row)}
    return list((found | {_key(row): row for row in made}).values())


def replaced(
    made: Iterable[Mapping[str, Any]], before: Iterable[Mapping[str, Any]]
) -> list[tuple[Any, ...]]:
    """Return the keys of the rows before whose place another run takes: config, data or CPU."""
    runs = {_key(row): _run(row) for row in before}
    return [_key(row) for row in made if runs.get(_key(row), _run(row)) != _run(row)]


def has_row(job: Job, rows: Mapping[tuple[Any, ...], Mapping[str, Any]]) -> bool:
    """Tell whether a job has a row, by ``keyed``, of the head that it names.

    Raises:
        FileNotFoundError: If it names a file that is none.
    """
    row = rows.get(job.row)
    return row is not None and (job.head in STRATEGIES or row['decided'] == _decided(job))


def keyed(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    """Return rows by framework, scale, head and seed."""
    return {_key(row): row for row in rows}


def _decided(job: Job) -> dict[str, Any]:
    return {name: found.chosen[0] for name, found in genotype(job).decisions.items()}


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ('framework', 'scale', 'head', 'seed'))


def _run(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row['digest'], row.get('cpu')


def _is_meant(row: Mapping[str, Any]) -> bool:
    try:
        return row['decided'] == _decided(Job(*_key(row)))
    except (FileNotFoundError, ValueError):  # of a file or a search that is not here
        return True


def as_line(job: Job, row: Row, cost: Mapping[str, int]) -> dict[str, Any]:
    """Return a row of the table; a curve is a list, one figure an epoch."""
    curves = {}
    for name, (told, digits) in SCALARS.items():
        curve = row['curves'].get(name, {})
        curves[told] = [round(curve[epoch], digits) for epoch in sorted(curve)]
    return {
        'framework': job.framework,
        'scale': job.scale,
        'head': Path(job.head).stem,
        'seed': job.seed,
        'digest': row['digest'][:12],
        'cpu': cpu(),
        'decided': _decided(job),
        **cost,
        'seconds': round(row['process_seconds'], 1),
        **curves,
    }


def cpu() -> str:
    """Name what decides in which order numbers are summed: instructions, and who makes the CPU."""
    lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    model = next((line.split(':')[1] for line in lines if line.startswith('model name')), '')
    return f'{torch.backends.cpu.get_cpu_capability()}, {" ".join(model.split())}'


def write_rows(rows: Iterable[Mapping[str, Any]], path: Path) -> int:
    """Write rows by framework, scale, head and seed; return how many."""
    lines = [json.dumps(row, separators=(',', ':')) + '\n' for row in sorted(rows, key=_key)]
    write_text(''.join(lines), path)
    return len(lines)


def write_contest(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write rows of the experiment end to end, a run once: the last row of it."""
    names = 'framework', 'data_seed', 'arm', 'seed'
    found = {tuple(row[name] for name in names): row for row in rows}
    lines = [json.dumps(found[key], separators=(',', ':')) + '\n' for key in sorted(found)]
    write_text(''.join(lines), path)


def write_searches(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write what the searches of the experiment end to end spent, one a line: the last of each."""
    found = {(row['framework'], row['data_seed'], row['arm']): row for row in rows}
    lines = [json.dumps(found[key], separators=(',', ':')) + '\n' for key in sorted(found)]
    write_text(''.join(lines), path)
