# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Make the runs of a table with the project's own tools, one after the other.

    run folder: config.py  genotype.json  train/  log.jsonl  features.json  linear.json  row.json

Whatever is finished is not made again; what was interrupted goes on from its last checkpoint.
"""

import fcntl
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasiam_mm.benchmarks.genotypes import draw_genotype, refit_genotype
from nasiam_mm.benchmarks.planning import Job, read_recipe
from nasiam_mm.benchmarks.rows import (
    LOG,
    ROW,
    environment,
    merge_logs,
    read_row,
    training_metrics,
    write_json,
    write_log,
)
from nasiam_mm.benchmarks.spec import Recipe, Table
from nasiam_mm.space import load_genotype, save_genotype
from nasiam_mm.utils.config import set_genotype

# How a shell and the training loop name an end by SIGINT and SIGTERM.
_INTERRUPTED = (130, 143, -2, -15)


class RunFailed(RuntimeError):
    """A step of a run ended with an error; the message names its log."""


@dataclass(frozen=True)
class Workshop:
    """Where runs are made.

    Attributes:
        root: Root of the project, with its tools.
        folder: Folder of the runs.
    """

    root: Path
    folder: Path

    def of(self, job: Job) -> Path:
        """Return the folder of a run."""
        return self.folder / job.name

    def state(self, job: Job, table: Table) -> str:
        """Tell ``'measured'``, ``'begun'`` or ``'to do'``."""
        if self.is_done(job, table):
            return 'measured'
        return 'begun' if self.of(job).exists() else 'to do'

    def is_done(self, job: Job, table: Table) -> bool:
        """Whether nothing is left to do for a run."""
        row = read_row(self.of(job), job.digest)
        if row is None:
            return False
        if job.is_search:
            return (self.of(job) / 'train/genotype.json').is_file()
        return set(_measures(table)) <= set(row['measures'].items())

    def make(self, job: Job, table: Table) -> dict[str, Any]:
        """Train and measure a run as far as it is not, and write its row.

        Raises:
            RunFailed: If a step fails.
            BlockingIOError: If another process is at this run.
            KeyboardInterrupt: If a step was interrupted.
        """
        folder = self.of(job)
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            config = self._write_config(job)
            checkpoint = self._train(job, config)
            if not job.is_search:
                for measure, stamp in _measures(table):
                    if _stamp(folder / f'{measure}.json') != stamp:
                        getattr(self, f'_measure_{measure}')(job, table, checkpoint, stamp)
            return self._write_row(job, table, checkpoint)

    def _write_config(self, job: Job) -> Path:
        folder = self.of(job)
        cfg = job.cfg.copy()
        head = job.recipe.head
        if head is not None:
            genotype = folder / 'genotype.json'
            if head.kind == 'searched':
                found = self.of(job.search) / 'train/genotype.json'
                if not found.is_file():
                    raise RunFailed(f'{job.name}: its search left no genotype, {found} is missing')
                shutil.copyfile(found, genotype)
            elif head.kind == 'random':
                save_genotype(draw_genotype(job.search.cfg, head.draw), genotype)
            else:
                published = load_genotype(self.root / head.file)
                save_genotype(refit_genotype(published, job.search.cfg), genotype)
            set_genotype(cfg, str(genotype))
        cfg.work_dir = str(folder / 'train')
        config = folder / 'config.py'
        cfg.dump(config)
        return config

    def _train(self, job: Job, config: Path) -> Path:
        train = self.of(job) / 'train'
        checkpoint = train / f'epoch_{job.cfg.train_cfg.max_epochs}.pth'
        if not checkpoint.is_file():
            self._call(job, 'train', 'tools/train.py', config, '--work-dir', train, '--resume')
        if not checkpoint.is_file():
            raise RunFailed(f'{job.name}: the training ended without {checkpoint.name}')
        return checkpoint

    def _measure_features(self, job: Job, table: Table, checkpoint: Path, stamp: str) -> None:
        folder = self.of(job)
        out = folder / 'features.tmp.json'
        self._call(
            job,
            'features',
            'tools/benchmarks/evaluate_features.py',
            folder / 'config.py',
            checkpoint,
            '--work-dir',
            folder / 'features',
            '--split',
            'test',
            '--fractions',
            *table.fractions,
            '--out',
            out,
        )
        self._finish(out, folder / 'features.json', stamp)

    def _measure_linear(self, job: Job, table: Table, checkpoint: Path, stamp: str) -> None:
        folder = self.of(job)
        cfg = read_recipe(Recipe(table.linear), self.root)
        # The classifier stands on the backbone of the run, whatever its size.
        backbone = {**job.cfg.model.backbone, 'frozen_stages': 4, 'norm_eval': True}
        cfg.model.backbone = backbone
        cfg.model.head.in_channels = job.cfg.model.neck.in_channels
        config = folder / 'linear.py'
        cfg.dump(config)
        work = folder / 'linear'
        last = work / f'epoch_{cfg.train_cfg.max_epochs}.pth'
        if not last.is_file():
            self._call(
                job, 'linear', 'tools/train.py', config, '--work-dir', work, '--checkpoint',
                checkpoint, '--seed', job.seed, '--resume',
            )  # fmt: skip
        out = folder / 'linear.tmp.json'
        self._call(
            job, 'linear', 'tools/test.py', config, last, '--work-dir', work, '--out', out
        )  # fmt: skip
        self._finish(out, folder / 'linear.json', stamp)

    @staticmethod
    def _finish(out: Path, target: Path, stamp: str) -> None:
        """Give a measurement its name, with what it was made by."""
        write_json({'stamp': stamp, **json.loads(out.read_text())}, target)
        out.unlink()

    def _write_row(self, job: Job, table: Table, checkpoint: Path) -> dict[str, Any]:
        folder = self.of(job)
        log = merge_logs(folder / 'train')
        metrics = training_metrics(log)
        measures = {}
        for measure in ('features', 'linear'):
            file = folder / f'{measure}.json'
            if file.is_file():
                found = json.loads(file.read_text())
                measures[measure] = found['stamp']
                metrics |= _metrics(measure, found)
        times = _read_times(folder)
        row = {
            'run': job.name,
            'config': f'configs/{job.recipe.config}.py',
            'config_sha256': job.digest,
            'head': job.head,
            'genotype': None if job.recipe.head is None else 'genotype.json',
            'search': None if job.search is None else job.search.digest,
            'seed': job.seed,
            'metrics': metrics,
            'measures': measures,
            'few_labels': _few_labels(folder),
            'wall_seconds': {step: round(t['wall'], 1) for step, t in times.items()},
            'process_seconds': {step: round(t['process'], 1) for step, t in times.items()},
            **environment(),
            'checkpoint_sha256': hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
            'log': LOG,
            'log_sha256': write_log(log, folder / LOG),
        }
        write_json(row, folder / ROW)
        return row

    def _call(self, job: Job, step: str, script: str, *arguments: object) -> None:
        """Run a tool, its output going to ``console.log``; add its time to ``times.json``."""
        folder = self.of(job)
        command = [sys.executable, str(self.root / script), *map(str, arguments)]
        environment = {**os.environ, 'PYTHONPATH': str(self.root)}
        began, used = time.monotonic(), _children_seconds()
        try:
            with (folder / 'console.log').open('a', encoding='utf-8') as console:
                status = subprocess.run(
                    command,
                    cwd=self.root,
                    env=environment,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                    check=False,
                ).returncode
        finally:
            times = _read_times(folder)
            spent = times.setdefault(step, {'wall': 0.0, 'process': 0.0})
            spent['wall'] += time.monotonic() - began
            spent['process'] += _children_seconds() - used
            write_json(times, folder / 'times.json')
        if status in _INTERRUPTED:
            raise KeyboardInterrupt
        if status:
            lines = (folder / 'console.log').read_text(encoding='utf-8').strip().splitlines()
            reason = lines[-1] if lines else 'no output'
            raise RunFailed(f'{job.name}: {step} failed, {reason} ({folder / "console.log"})')


def _measures(table: Table) -> list[tuple[str, str]]:
    """Name the measurements of a table and what distinguishes them from others of their kind."""
    measures = []
    if table.features:
        measures.append(('features', f'fractions {list(table.fractions)}'))
    if table.linear:
        measures.append(('linear', table.linear))
    return measures


def _stamp(file: Path) -> str | None:
    try:
        return json.loads(file.read_text())['stamp']
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None


def _metrics(measure: str, found: dict[str, Any]) -> dict[str, float]:
    """Take the figures of the tables out of a measurement."""
    if measure == 'linear':
        return {f'linear_{n}': found[f'accuracy/{n}'] for n in ('top1', 'top5')}
    return {
        'knn_fixed_test': found['knn_fixed']['test_top1'],
        'knn_test': found['knn']['test_top1'],
        'cached_test': found['linear_cached']['test_top1'],
        'cached_test_top5': found['linear_cached'].get('test_top5'),
    }


def _few_labels(folder: Path) -> list[dict[str, Any]]:
    file = folder / 'features.json'
    return json.loads(file.read_text())['few_labels'] if file.is_file() else []


def _read_times(folder: Path) -> dict[str, dict[str, float]]:
    file = folder / 'times.json'
    return json.loads(file.read_text()) if file.is_file() else {}


def _children_seconds() -> float:
    """CPU seconds of all processes that we started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder against other processes that make the same table; freed when we end."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
