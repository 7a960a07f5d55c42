# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A worker of a study: takes the next job up, does it, and again, until nothing is left."""

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from mmengine.config import Config
from optuna.trial import TrialState

from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.runs.identity import name_differences
from nasiam_mm.runs.store import TRAIN, WORK, Row, RunFailed, RunStopped, RunStore
from nasiam_mm.study import trials as notes
from nasiam_mm.study.gradient import found_heads
from nasiam_mm.study.heads import distributions, random_options, taken, told_head
from nasiam_mm.study.plan import END, WAIT, Job, Plan
from nasiam_mm.study.progress import progress_line
from nasiam_mm.study.pruners import build_pruner
from nasiam_mm.study.samplers import build_sampler
from nasiam_mm.study.section import Study
from nasiam_mm.study.storage import Storage
from nasiam_mm.study.testing import read_test
from nasiam_mm.study.trainings import STANDARD, Result, Trainings

_BEGUN, _PILOTS, _GIVEN = 'decided by', 'pilots', 'given'
_PAUSE = 2.0  # seconds between two looks for a job, where others are at all there is
_FAILURES = 3  # trainings in a row that end with an error, after which it is not the heads
SEARCH = (*TRAIN[:-1], 'search')


class Worker:
    """What takes part in a study.

    Args:
        study: Its section, dealt out.
        trainings: Configs of its trainings.
        storage: Where it is kept.
        store: Of its runs.
        gradient: Configs of its searches by gradient, as ``study.gradient`` has them.
        tell: Takes a line of progress.

    Raises:
        ValueError: If the study there is another one, or a candidate given is none of the space.
    """

    def __init__(
        self,
        study: Study,
        trainings: Trainings,
        storage: Storage,
        store: RunStore,
        gradient: tuple[Config, ...] = (),
        tell: Callable[[str], None] = print,
    ) -> None:
        self.study, self.trainings, self.storage, self.store = study, trainings, storage, store
        self.gradient, self.tell = gradient, tell
        self.space = distributions(trainings.choices)
        self.failures = 0
        self.trials, self.checks = storage.study(), storage.study('checks')
        with storage.exclusive():
            self._begin()

    def _begin(self) -> None:
        """Queue what every study tries; refuse one that means something else."""
        here = self.trainings.identity
        attrs = self.trials.user_attrs
        if (there := attrs.get(_BEGUN)) is not None:
            if differences := name_differences(there, here):
                what = f'study {self.storage.name!r} is another one: {differences}'
                raise ValueError(f'{what}; take another --study')
            self.pilots, self.given = attrs[_PILOTS], attrs[_GIVEN]
            return
        choices = self.trainings.choices
        given = [taken(load_genotype(path), choices) for path in self.study.candidates]
        self.given = {self.trainings.key(options): options for options in given}
        self.pilots: dict[str, Any] = {}
        if self.study.cheap:
            seed = self.study.seed
            while len(self.pilots) < self.study.pilot - 1:
                options = random_options(choices, seed)
                if (key := self.trainings.key(options)) != STANDARD:
                    self.pilots[key] = options
                seed += 1
            self.pilots[STANDARD] = self.trainings.standard
        queue = [(STANDARD, self.trainings.standard)]
        queue += [('pilot', options) for key, options in self.pilots.items() if key != STANDARD]
        queue += [('given', options) for options in given]
        if self.study.trials:
            for source, options in queue:
                if options is not None:
                    self._queue(source, options)
        for name, value in ((_PILOTS, self.pilots), (_GIVEN, self.given), (_BEGUN, here)):
            self.trials.set_user_attr(name, value)

    def _queue(self, source: str, options: Mapping) -> None:
        key = self.trainings.key(options)
        if all(trial.key != key for trial in notes.read_trials(self.trials)):
            attrs = {notes.SOURCE: source, notes.KEY: key}
            self.trials.enqueue_trial(dict(options), user_attrs=attrs)

    def plan(self) -> Plan:
        """Read where the study stands."""
        return Plan(
            self.study,
            notes.read_trials(self.trials),
            notes.read_checks(self.checks),
            notes.read_rounds(self.checks),
            self.trainings.standard,
            self.pilots,
            self.given,
        )

    def run(self, seconds: float | None = None) -> bool:
        """Work until the study is at its end, which returns true, or ``seconds`` are over.

        Raises:
            ValueError: If trainings fail one after the other.
        """
        end = None if seconds is None else time.monotonic() + seconds
        with self.storage.working():
            while end is None or time.monotonic() < end:
                with self.storage.exclusive():
                    for study in (self.trials, self.checks):
                        for number in self.storage.free_orphans(study):
                            self.tell(f'trial {number} lost its worker: it is taken up again')
                    plan = self.plan()
                    job = plan.next()
                    trial = self._take(job, plan)
                if job == END:
                    return True
                if job == WAIT or trial is None:
                    time.sleep(_PAUSE)
                    continue
                with self.storage.alive(trial):
                    self._do(job, trial)
        return False

    def _take(self, job: Job, plan: Plan) -> optuna.Trial | None:
        """Take a job up, alone: what others see of it is whole."""
        if job in (END, WAIT):
            return None
        if job.phase != 'search':
            if job.phase == 'verify' and plan.current not in plan.rounds:
                notes.begin_round(self.checks, plan.current)
            trial = self.checks.ask()
            attrs = trial.user_attrs
            if notes.PHASE not in attrs:  # not one that was begun before
                noted = {notes.PHASE: job.phase, notes.KEY: job.key, notes.SEED: job.seed}
                noted[notes.OPTIONS] = None if job.options is None else dict(job.options)
                for name, value in noted.items():
                    trial.set_user_attr(name, value)
            self.storage.take(trial)
            return trial
        number = len(self.trials.get_trials(deepcopy=False))
        self.trials.sampler = build_sampler(
            dict(self.study.sampler), self.space, _trial_seed(self.study.seed, number)
        )
        epochs = self._config(plan.study, None).train_cfg.max_epochs
        self.trials.pruner = build_pruner(self.study.pruner, epochs)
        trial = self.trials.ask(self.space)
        key = self.trainings.key(trial.params)
        if notes.SEED not in trial.user_attrs:
            of_it = [t for t in plan.trials if t.key == key and t.number != trial.number]
            before = [t for t in of_it if t.state != 'waiting']
            source = trial.user_attrs.get(notes.SOURCE, self.study.sampler['type'])
            told = told_head(trial.params, self.trainings.choices)
            noted = {notes.KEY: key, notes.SEED: self.study.seed + len(before)}
            for name, value in {**noted, notes.SOURCE: source, notes.HEAD: told}.items():
                trial.set_user_attr(name, value)
        self.storage.take(trial)
        return trial

    def _config(self, study: Study, options: Mapping | None, seed: int = 0) -> Config:
        return self.trainings.config(options, seed, cheap=bool(study.cheap), check=False)

    def _do(self, job: Job, trial: optuna.Trial) -> None:
        """Do a job and note what came of it."""
        is_search = job.phase == 'search'
        study = self.trials if is_search else self.checks
        try:
            if is_search:
                self._search(trial)
            else:
                self._check(trial)
            self.failures = 0
        except RunStopped:
            study.tell(trial, state=TrialState.PRUNED)
        except RunFailed as error:
            self.failures += 1
            trial.set_user_attr(notes.FAULT, f'failed: {error!s:.300}')
            study.tell(trial, state=TrialState.FAIL)
            self.tell(f'{self._name(job, trial)} failed: {error}')
            if self.failures >= _FAILURES:
                what = f'{self.failures} trainings in a row have failed: {error}'
                raise ValueError(f'{what}; mend that, then the same command goes on') from error
        self.tell(self.progress())

    def _search(self, trial: optuna.Trial) -> None:
        """Train a head of the search, and tell its score."""
        options, seed = trial.params, trial.user_attrs[notes.SEED]
        fault = self._over_limits(trial, options)
        if fault:
            trial.set_user_attr(notes.FAULT, fault)
            self.trials.tell(trial, state=TrialState.PRUNED)
            return
        cfg = self._config(self.study, options, seed)
        last, reported = cfg.train_cfg.max_epochs, set[int]()

        def look(curves: Mapping) -> bool:
            for epoch, score in sorted(self.trainings.score(curves).items()):
                if epoch in reported:
                    continue
                reported.add(epoch)
                trial.report(score, epoch)
                if self.study.pruner and epoch < last and trial.should_prune():
                    return True
            return False

        folder = self.store.of(trial.user_attrs[notes.KEY], cfg)
        row = self._make(folder, cfg, look, trial)
        result = self.trainings.read(folder, row, check=False)
        fault = self._note(trial, result)
        limit = self.study.limits.get('seconds')
        if limit is not None:
            trial.set_constraint('seconds', result.seconds - limit)
            if result.seconds > limit and not fault:
                trial.set_user_attr(notes.FAULT, f'{result.seconds:.0f} seconds, over {limit:g}')
        if result.score is None:
            raise RunFailed('it logged no score')
        self.trials.tell(trial, result.score)

    def _over_limits(self, trial: optuna.Trial, options: Mapping) -> str:
        """Note what a head costs; say what limit it breaks."""
        if notes.FAULT in trial.user_attrs or 'parameters' in trial.user_attrs:
            return trial.user_attrs.get(notes.FAULT, '')
        fault = ''
        for name, value in self.trainings.cost(options)._asdict().items():
            trial.set_user_attr(name, value)
            limit = self.study.limits.get(name)
            if limit is not None:
                trial.set_constraint(name, value - limit)
                if value > limit:
                    fault = fault or f'{value:,} {name}, over {limit:,.0f}'
        return fault

    def _note(self, trial: optuna.Trial, result: Result) -> str:
        """Note what a training took and whether its head collapsed, which is its fault then."""
        trial.set_user_attr(notes.SECONDS, result.seconds)
        fault = ''
        if result.std is not None:
            trial.set_user_attr('std', result.std)
            trial.set_constraint('collapse', self.study.min_std - result.std)
            if not result.std >= self.study.min_std:
                fault = f'collapsed: the deviation of z is {result.std:.3g}'
                trial.set_user_attr(notes.FAULT, fault)
        return fault

    def _check(self, trial: optuna.Trial) -> None:
        """Make a training beside the search, or read the test images of one."""
        attrs = trial.user_attrs
        phase, key, seed = attrs[notes.PHASE], attrs[notes.KEY], attrs[notes.SEED]
        options = attrs.get(notes.OPTIONS)
        if phase == 'gradient':
            self._search_by_gradient(int(key), trial)
            return
        cheap = phase == 'reference' and bool(self.study.cheap)
        is_compared = phase in ('verify', 'test')
        cfg = self.trainings.config(options, seed, cheap=cheap, check=is_compared)
        folder = self.store.of(key, cfg)
        row = self._make(folder, cfg, None, trial)
        if phase == 'test':
            self.checks.tell(trial, read_test(folder, row, cfg))
            return
        result = self.trainings.read(folder, row, check=is_compared)
        self._note(trial, result)
        if result.correct is not None:
            trial.set_user_attr(notes.CORRECT, notes.pack(result.correct))
        if result.score is None:
            raise RunFailed('it logged no score')
        self.checks.tell(trial, result.score)

    def _search_by_gradient(self, number: int, trial: optuna.Trial) -> None:
        """Search by gradient, and queue what it found."""
        cfg = self.gradient[number].copy()
        source = self.study.gradient[number]
        store = RunStore(self.store.folder, SEARCH, self.store.variables)
        folder = store.of(source['strategy'], cfg)
        row = self._make(folder, cfg, None, trial, store)
        trial.set_user_attr(notes.SECONDS, row['seconds'])
        found = found_heads(folder / WORK, self.trainings.choices, source.get('top', 3))
        with self.storage.exclusive():
            for name, options in found.items():
                if self.study.trials:
                    self._queue(f'{source["strategy"]}: {name}', options)
                self.given.setdefault(self.trainings.key(options), options)
            self.trials.set_user_attr(_GIVEN, self.given)
            self.checks.tell(trial, float(len(found)))

    def _make(
        self,
        folder: Path,
        cfg: Config,
        look: Callable[[Mapping], bool] | None,
        trial: optuna.Trial,
        store: RunStore | None = None,
    ) -> Row:
        """Train, after others where they are at the same run."""
        trial.set_user_attr(notes.RUN, folder.name)
        while True:
            try:
                return (store or self.store).make(folder, cfg, look)
            except BlockingIOError:
                time.sleep(_PAUSE)

    def _name(self, job: Job, trial: optuna.Trial) -> str:
        return f'trial {trial.number}' if job.phase == 'search' else f'{job.phase} of {job.key}'

    def progress(self) -> str:
        """Return where the study stands, in a line."""
        return progress_line(self.plan())


def _trial_seed(seed: int, number: int) -> int:
    """Return the seed by which trial ``number`` is drawn, whichever worker draws it."""
    return int.from_bytes(hashlib.sha256(f'{seed} {number}'.encode()).digest()[:4], 'big')
