# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A worker of a study: takes the next job up, does it, and again, until nothing is left."""

import hashlib
import time
from collections.abc import Callable
from typing import Any

import optuna
from optuna.trial import TrialState

from nasiam_mm.console.steps import share_of_epochs
from nasiam_mm.runs.commands import CONSOLE
from nasiam_mm.study import trials as notes
from nasiam_mm.study.bar import tail
from nasiam_mm.study.beginning import begin, given, pilots
from nasiam_mm.study.heads import distributions, told_head
from nasiam_mm.study.jobs import Jobs
from nasiam_mm.study.plan import END, WAIT, Job, Plan
from nasiam_mm.study.progress import (
    beginning_line,
    ended_line,
    place_of,
    progress_line,
    training_name,
)
from nasiam_mm.study.pruners import build_pruner
from nasiam_mm.study.samplers import build_sampler

_PAUSE = 2.0  # seconds between two looks for a job, where others are at all there is
_FAILURES = 5  # trainings in a row that end with an error, after which it is not the heads


class Worker:
    """What takes part in a study.

    Args:
        jobs: What it can do.
        tell: Takes a line of progress.
        begins: Takes where the study stands, and the job that begins.

    Raises:
        ValueError: If the study there is another one, a candidate given is none of the space, or
            sampler or pruner cannot be built.
    """

    def __init__(
        self,
        jobs: Jobs,
        tell: Callable[[str], None] = print,
        begins: Callable[[Plan, Job], None] = lambda plan, job: None,
    ) -> None:
        self.jobs, self.tell, self.begins = jobs, tell, begins
        self.trainings, self.storage = jobs.trainings, jobs.storage
        self.study, self.trials, self.checks = jobs.study, jobs.trials, jobs.checks
        self.space: dict[str, Any] = dict(distributions(self.trainings.choices))
        self._set_strategy(0)
        with self.storage.exclusive():
            begin(self.trials, self.storage.name, self.trainings)

    def plan(self) -> Plan:
        """Read where the study stands."""
        return Plan(
            self.study,
            notes.read_trials(self.trials),
            notes.read_checks(self.checks),
            notes.read_rounds(self.checks),
            self.trainings.standard,
            pilots(self.trials),
            given(self.trials),
            self.trainings.unit,
        )

    def running(self) -> list[tuple[str, float]]:
        """Return the trainings that run now, of all workers: name, and how far it is, 0 to 1."""
        plan, found = self.plan(), []
        for study in (self.trials, self.checks):
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                attrs = trial.user_attrs
                if not notes.has_begun(attrs):
                    continue
                phase = attrs.get(notes.PHASE, 'search')
                of = attrs[notes.KEY], attrs[notes.SEED], place_of(plan, trial.number)
                run = attrs.get(notes.RUN)
                said = '' if run is None else tail(self.jobs.store.folder / run / CONSOLE)
                found.append((training_name(plan, phase, *of), share_of_epochs(said)))
        return found

    def run(self, seconds: float | None = None) -> bool:
        """Work until the study is at its end, which returns true, or ``seconds`` are over.

        Raises:
            ValueError: If trainings fail one after the other.
        """
        end = None if seconds is None else time.monotonic() + seconds
        # What has failed since the last training that did not: it may be no fault of the heads.
        failed: list[tuple[optuna.Trial, bool, str]] = []
        last = ''
        with self.storage.working():
            while end is None or time.monotonic() < end:
                with self.storage.exclusive():
                    self._free_orphans()
                    plan = self.plan()
                    job = plan.next()
                    trial = self._take(job, plan)
                if job == END:
                    return True
                if trial is None:
                    # Others are at all there is, or wait for what failed here.
                    if not self._blame(failed):
                        time.sleep(_PAUSE)
                    continue
                if line := beginning_line(plan, job):
                    self.tell(line)
                self.begins(plan, job)
                with self.storage.alive(trial):
                    fault = self.jobs.do(trial, job.phase == 'search')
                if fault:
                    failed.append((trial, job.phase == 'search', fault))
                    self.tell(f'{_name(job, trial)} failed: {fault}')
                else:
                    self._blame(failed)
                if len(failed) >= _FAILURES:
                    # They stay open, and are taken up again by whoever goes on.
                    what = f'{len(failed)} trainings in a row have failed: {fault}'
                    raise ValueError(f'{what}; mend that, then the same command goes on')
                plan, attrs = self.plan(), trial.user_attrs
                # Read by nobody else: what was noted when it was taken up.
                of = attrs.get(notes.KEY, job.key), attrs.get(notes.SEED, job.seed)
                ended = '' if fault else ended_line(plan, job, trial.number, *of)
                if (line := progress_line(plan)) != last or ended:
                    self.tell('; '.join(filter(None, [ended, line])))
                last = line
        return False

    def _blame(self, failed: list[tuple[optuna.Trial, bool, str]]) -> bool:
        """Note of heads whose trainings failed that they fail, and forget them; whether any."""
        found = bool(failed)
        for of_one in failed:
            self.jobs.blame(*of_one)
        failed.clear()
        return found

    def _free_orphans(self) -> None:
        for study in (self.trials, self.checks):
            for number in self.storage.free_orphans(study):
                what = f'trial {number}' if study is self.trials else 'a training of the study'
                self.tell(f'{what} was stopped: it goes on')

    def _take(self, job: Job, plan: Plan) -> optuna.Trial | None:
        """Take a job up, alone, so that what others see of it is whole; None for none."""
        if job in (END, WAIT):
            return None
        trial = self._take_trial(plan) if job.phase == 'search' else self._take_check(job, plan)
        self.storage.take(trial)
        return trial

    def _take_trial(self, plan: Plan) -> optuna.Trial:
        # Those that were begun again do not count, so that what is drawn next stays the same.
        self._set_strategy(len(plan.trials))
        trial = self.trials.ask(self.space)
        if not notes.has_begun(trial.user_attrs):
            key = self.trainings.key(trial.params)
            # A head that comes again takes the next seed, and is averaged.
            others = [t for t in plan.trials if t.key == key and t.number != trial.number]
            before = sum(t.state != 'waiting' for t in others)
            source = trial.user_attrs.get(notes.SOURCE, self.study.sampler['type'])
            head = told_head(trial.params, self.trainings.choices)
            job = {notes.KEY: key, notes.SOURCE: source, notes.HEAD: head}
            notes.note(trial, {**job, notes.SEED: self.study.seed + before})
        return trial

    def _take_check(self, job: Job, plan: Plan) -> optuna.Trial:
        if job.phase == 'verify' and not job.again and plan.current not in plan.rounds:
            notes.begin_round(self.checks, plan.current)
        trial = self.checks.ask()
        if not notes.has_begun(trial.user_attrs):
            options = None if job.options is None else dict(job.options)
            noted = {notes.PHASE: job.phase, notes.KEY: job.key, notes.SEED: job.seed}
            notes.note(trial, {**noted, notes.OPTIONS: options})
        return trial

    def _set_strategy(self, number: int) -> None:
        """Let the trial of a number be drawn and pruned alike, whichever worker takes it up."""
        text = f'{self.study.seed} {number}'
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], 'big')
        self.trials.sampler = build_sampler(dict(self.study.sampler), self.space, seed)
        epochs = self.jobs.config(None, 0).train_cfg.max_epochs
        pruner = None if self.study.pruner is None else dict(self.study.pruner)
        self.trials.pruner = build_pruner(pruner, epochs)


def _name(job: Job, trial: optuna.Trial) -> str:
    return f'trial {trial.number}' if job.phase == 'search' else f'{job.phase} of {job.key}'
