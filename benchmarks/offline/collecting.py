# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Collect what a plan has made: the evidence in one small archive, weights and state in parts.

collected.json  TABLE_SCALE.md  TABLE_SCALE_loss.png  summary.txt  environment.txt
runs/RUN/       row.json  log.jsonl  genotype.json  features.json  linear.json  alpha.*
console/RUN.txt the end of what its tools printed
"""

import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.offline.parts import MIB, cut, replacing, write_manifest, write_tar
from benchmarks.offline.plans import Item, Work, overview, resolve, tables_of
from benchmarks.offline.set_up import digest
from benchmarks.papers.execution import Workshop
from benchmarks.papers.planning import Job
from benchmarks.papers.publishing import publish
from benchmarks.papers.rows import read_row
from nasiam_mm.files.atomic import atomic_path, write_json

COLLECTED, STATE = 'collected.json', 'state.tar.gz'
# What a search draws, beside the evidence that every exported table has.
_DRAWN = ('alpha.json', 'alpha.png', 'genotype.png')
_TAIL = 40


def collect(
    items: Sequence[Item], workshop: Workshop, target: Path, limit_mib: float, commit: str
) -> list[str]:
    """Write the evidence of a plan to one archive.

    Args:
        items: The plan.
        workshop: Where its runs are.
        target: The archive, ``.tar.gz``.
        limit_mib: What it may hold. Where that is too little, consoles and then
            drawings are left out.
        commit: Commit of the code.

    Returns:
        What was left out.

    Raises:
        ValueError: If it is too large without these too.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _fill(items, workshop, folder)
        left_out: list[str] = []
        for pattern in ('', 'console/*', 'runs/*/alpha.*', '**/*.png'):
            unwanted = sorted(folder.glob(pattern)) if pattern else []
            for path in unwanted:
                path.unlink()
            left_out += [str(path.relative_to(folder)) for path in unwanted]
            size = _write(folder, target, limit_mib * MIB, commit)
            if size <= limit_mib * MIB:
                return left_out
    raise ValueError(
        f'{target.name} would hold {size / MIB:.2f} MiB of logs and rows, --limit-mib allows '
        f'{limit_mib:g}; raise it, or collect fewer rows with --table and --rows'
    )


def _fill(items: Sequence[Item], workshop: Workshop, folder: Path) -> None:
    for work in tables_of(items, workshop.root):
        item, table = work.item, replace(work.table, curves=True)
        name = f'{item.table}_{item.scale}{item.budget.suffix}.md'
        words = ['python', '-m', 'benchmarks.papers', item.table, '--scale', item.scale, '--seeds']
        words += map(str, item.seeds)
        words += ['--rows', *item.rows] if item.rows != ('*',) else []
        command = shlex.join([*words, *item.budget.flags])
        publish(table, work.plan, workshop, item.seeds, command, folder / name, True)
    works = [resolve(item, workshop.root) for item in items]
    for job in _jobs(works):
        run = workshop.of(job)
        if read_row(run, job.digest) is not None:
            for drawn in _DRAWN:
                if (run / 'train' / drawn).is_file():
                    shutil.copyfile(run / 'train' / drawn, folder / 'runs' / job.name / drawn)
        if (run / 'console.log').is_file():
            (folder / 'console').mkdir(exist_ok=True)
            lines = (run / 'console.log').read_text(encoding='utf-8', errors='replace')
            tail = '\n'.join(lines.splitlines()[-_TAIL:]) + '\n'
            (folder / f'console/{job.name}.txt').write_text(tail, encoding='utf-8')
    summary = '\n'.join(line for _, line in overview(works, workshop))
    (folder / 'summary.txt').write_text(summary + '\n', encoding='utf-8')
    (folder / 'environment.txt').write_text(_environment(workshop.root), encoding='utf-8')


def _write(folder: Path, target: Path, limit: float, commit: str) -> int:
    """Write the archive if it is within the limit, and return its size."""
    files = sorted(path for path in folder.rglob('*') if path.is_file())
    named = {str(path.relative_to(folder)): path for path in files if path.name != COLLECTED}
    hashes = {name: digest(path) for name, path in named.items()}
    write_json({'commit': commit, 'files': hashes}, folder / COLLECTED)
    with tempfile.TemporaryDirectory() as temporary:
        archive = Path(temporary, target.name)
        write_tar(archive, [*named.items(), (COLLECTED, folder / COLLECTED)])
        size = archive.stat().st_size
        if size <= limit:
            with atomic_path(target) as whole:
                shutil.copyfile(archive, whole)
    return size


def _environment(root: Path) -> str:
    command = [sys.executable, 'tools/analysis_tools/collect_env.py']
    run = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return run.stdout if run.returncode == 0 else f'not known: {run.stderr.strip()}\n'


def _jobs(works: Sequence[Work]) -> Iterator[Job]:
    """Yield each run of a plan once."""
    yield from {job.digest: job for work in works for job in work.jobs}.values()


def best_row(items: Sequence[Item], workshop: Workshop) -> tuple[Job, str, float]:
    """Find the pretrained run with the best figure in the first column of its table.

    Returns:
        The run, the metric and the figure.

    Raises:
        ValueError: If nothing is measured, or tables compare by different metrics.
    """
    found: dict[str, tuple[float, Job]] = {}
    for work in (resolve(item, workshop.root) for item in items):
        metric = next(iter(work.table.columns))
        for job in (job for runs in work.plan.values() for job in runs.values()):
            row = read_row(workshop.of(job), job.digest)
            if row is not None and metric in row['metrics']:
                figure = row['metrics'][metric]
                if metric not in found or figure > found[metric][0]:
                    found[metric] = (figure, job)
    if len(found) != 1:
        state = f'tables compare by {" and ".join(found)}' if found else 'nothing is measured yet'
        raise ValueError(f'there is no best row: {state}; name one table with --table')
    ((metric, (figure, job)),) = found.items()
    return job, metric, figure


def collect_state(
    items: Sequence[Item], workshop: Workshop, folder: Path, part_mib: float
) -> list[str]:
    """Write what begun runs need to go on elsewhere, in parts.

    Of each training that is its last checkpoint and its logs.

    Returns:
        Names of the runs.

    Raises:
        ValueError: If no run is begun.
    """
    from nasiam_mm.runs.work_dir import find_last_checkpoint

    begun = {
        job.name: workshop.of(job)
        for work in (resolve(item, workshop.root) for item in items)
        for job in work.jobs
        if workshop.state(job, work.table) == 'begun'
    }
    if not begun:
        raise ValueError('no run is begun and not measured: there is no state to go on from')
    files: list[tuple[str, Path]] = []
    for name, run in begun.items():
        last = {find_last_checkpoint(run / place).path for place in ('train', 'linear')}
        files += [
            (f'runs/{name}/{path.relative_to(run)}', path)
            for path in run.rglob('*')
            if path.is_file() and not path.is_symlink() and (path.suffix != '.pth' or path in last)
        ]
    with replacing(folder) as fresh:
        write_tar(fresh / STATE, files)
        entry = cut(fresh / STATE, fresh, int(part_mib * MIB))
        write_manifest(fresh, {STATE: entry}, runs=list(begun))
    return list(begun)
