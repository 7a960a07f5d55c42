# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Make the runs of a table with the project's own tools, one after the other.

    run folder: config.py  genotype.json  train/  log.jsonl  row.json
                features.json  tasks.json  linear.json  detection.json  detection.jsonl

Whatever is finished is not made again; what was interrupted goes on from its last checkpoint.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.papers.measures import (
    MEASURES,
    Trained,
    figures,
    missing_measures,
    summary,
    training_metrics,
)
from benchmarks.papers.planning import Job, config_changes, searched_choices, top_k
from benchmarks.papers.rows import LOG, ROW, digest_of, read_row, write_log
from benchmarks.papers.spec import Table
from nasiam_mm.architecture.genotype import random_genotype, save_genotype
from nasiam_mm.cli.config import set_genotype
from nasiam_mm.files.atomic import copy_file, write_json, write_text
from nasiam_mm.files.digest import file_digest
from nasiam_mm.runs.commands import (
    CONSOLE,
    INTERRUPTED,
    last_line,
    locked,
    read_times,
    run_command,
    timed,
)
from nasiam_mm.runs.record import environment, merge_logs
from nasiam_mm.runs.work_dir import remove_leftovers
from nasiam_mm.search.edges import edges_kept
from nasiam_mm.version import __version__

GENOTYPE = 'genotype.json'


class RunFailed(RuntimeError):
    """A step of a run ended with an error; the message names its output."""


class TimeUp(Exception):
    """The time for making runs is over; what was being made goes on in another command."""


@dataclass(frozen=True)
class Workshop:
    """Where runs are made.

    Attributes:
        root: Root of the project, with its tools.
        folder: Folder of the runs.
        deadline: Reading of ``time.monotonic`` at which a step is told to save and stop.
    """

    root: Path
    folder: Path
    deadline: float | None = None

    def of(self, job: Job) -> Path:
        """Return the folder of a run."""
        return self.folder / job.name

    def state(self, job: Job, table: Table) -> str:
        """Tell ``'measured'``, ``'begun'`` or ``'to do'``."""
        row = read_row(self.of(job), job.digest)
        done = row is not None and not missing_measures(table, self.root, job, row['measures'])
        if done and (not job.is_search or self.found_genotype(job).is_file()):
            return 'measured'
        return 'begun' if self.of(job).exists() else 'to do'

    def make(self, job: Job, table: Table) -> dict[str, Any]:
        """Train and measure a run as far as it is not, and write its row.

        Raises:
            RunFailed: If a step fails.
            BlockingIOError: If another process is at this run.
            KeyboardInterrupt: If a step was interrupted.
            TimeUp: At the deadline, once the step has saved what it has.
        """
        folder = self.of(job)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            # What a process that was killed was writing, or had not given its name yet.
            remove_leftovers(folder)
            for path in folder.glob('*.new.json'):
                path.unlink()
            run = self._train(job)
            for measure in missing_measures(table, self.root, job, self._measured(run)):
                MEASURES[measure](run, table, self.root, lambda *command: self._call(job, *command))
            return self._write_row(run)

    def _train(self, job: Job) -> Trained:
        folder = self.of(job)
        if job.is_detector:
            return Trained(job, folder, None, None)
        config, work = self._write_config(job), folder / 'train'
        checkpoint = work / f'epoch_{job.cfg.train_cfg.max_epochs}.pth'
        if not checkpoint.is_file():
            self._call(job, 'train', 'tools/train.py', config, '--work-dir', work, '--resume')
        if not checkpoint.is_file():
            raise RunFailed(f'{job.name}: the training ended without {checkpoint.name}')
        return Trained(job, folder, checkpoint, file_digest(checkpoint))

    def _write_config(self, job: Job) -> Path:
        folder = self.of(job)
        cfg = job.cfg.copy()
        if job.recipe.head is not None:
            genotype = folder / GENOTYPE
            self._bring_genotype(job, genotype)
            set_genotype(cfg, str(genotype))
        cfg.work_dir = str(folder / 'train')
        config = folder / 'config.py'
        write_text(cfg.pretty_text, config)
        return config

    def _bring_genotype(self, job: Job, target: Path) -> None:
        """Write the genotype of a run: found by its search, drawn, or published."""
        head = job.recipe.head
        if head.kind == 'random':
            cfg = job.search.cfg
            choices, more = searched_choices(cfg), {'versions': {'nasiam_mm': __version__}}
            drawn = random_genotype(
                cfg.model.type, choices, head.draw, top_k(cfg), more, edges_kept(cfg)
            )
            save_genotype(drawn, target)
        elif head.kind == 'published':
            copy_file(self.root / head.file, target)
        elif read_row(self.of(job.search), job.search.digest) is None:
            # A search writes its genotype after every epoch; before its end that is not the one.
            raise RunFailed(
                f'{job.name}: its search {job.search.name} is not at its end; make it first, or '
                'wait for the process that does'
            )
        else:
            copy_file(self.found_genotype(job.search), target)

    def found_genotype(self, search: Job) -> Path:
        """Name the genotype of a search made here, or of one imported with its row."""
        found, imported = (self.of(search) / name for name in ('train/genotype.json', GENOTYPE))
        return imported if imported.is_file() and not found.is_file() else found

    @staticmethod
    def _measured(run: Trained) -> dict[str, Any]:
        """Return measure -> what it was made with, for what is measured of this checkpoint."""
        found = {measure: run.read(measure) for measure in MEASURES}
        return {measure: summary(measure, data) for measure, data in found.items() if data}

    def _write_row(self, run: Trained) -> dict[str, Any]:
        job, folder = run.job, run.folder
        metrics, logs, made_with = {}, {}, environment()
        if run.checkpoint is not None:
            entries = merge_logs(folder / 'train')
            metrics = training_metrics(entries)
            logs[LOG] = write_log(entries, folder / LOG)
        for measure in self._measured(run):
            found = run.read(measure)
            metrics |= figures(measure, found)
            logs |= {found['log']: found['log_sha256']} if 'log' in found else {}
            made_with['versions'] |= found.get('versions', {})
        # The first is that of the training, where there is one.
        log, *measure_logs = logs
        genotype = self.found_genotype(job) if job.is_search else folder / GENOTYPE
        times = read_times(folder)
        row = {
            'run': job.name,
            'config': os.path.relpath(job.recipe.path(self.root), self.root),
            'changes': config_changes(job.recipe, self.root),
            'config_sha256': job.digest,
            'head': job.head,
            'genotype_sha256': digest_of(genotype),
            'search': None if job.search is None else job.search.name,
            'seed': job.seed,
            'metrics': metrics,
            'measures': self._measured(run),
            'few_labels': (run.read('features') or {}).get('few_labels', []),
            'tasks': (run.read('tasks') or {}).get('tasks', {}),
            'wall_seconds': {step: round(t['wall'], 1) for step, t in times.items()},
            'process_seconds': {step: round(t['process'], 1) for step, t in times.items()},
            **made_with,
            'checkpoint_sha256': run.sha256,
            'log': log,
            'log_sha256': logs[log],
            'measure_logs': {name: logs[name] for name in measure_logs},
        }
        write_json(row, folder / ROW)
        return row

    def _call(self, job: Job, step: str, script: str, *arguments: object) -> None:
        """Run a tool, its output going to ``console.log``; add its time to ``times.json``."""
        folder = self.of(job)
        command = [sys.executable, str(self.root / script), *map(str, arguments)]
        left = None if self.deadline is None else self.deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeUp(f'{job.name}: no time left to begin {step}')
        limit = () if left is None else (left,)
        try:
            with timed(folder, step), (folder / CONSOLE).open('a', encoding='utf-8') as console:
                status = _run(command, self.root, console, *limit)
        except subprocess.TimeoutExpired as error:
            raise TimeUp(f'{job.name}: {step} stopped, to go on') from error
        if status in INTERRUPTED:
            raise KeyboardInterrupt
        if status:
            where = folder / CONSOLE
            raise RunFailed(f'{job.name}: {step} failed: {last_line(folder)} ({where})')


def _run(command: list[str], root: Path, console: Any, seconds: float | None = None) -> int:
    # A recipe may name modules of benchmarks/ or of a user's folder in custom_imports.
    paths = [str(root), str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])]
    modules = {'PYTHONPATH': os.pathsep.join(paths)}
    return run_command(command, console, cwd=root, variables=modules, seconds=seconds)
