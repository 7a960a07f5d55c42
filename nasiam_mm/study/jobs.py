# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The jobs of a study, done: a head is trained, and what came of it is noted with its trial."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import optuna
from mmengine.config import Config
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from nasiam_mm.architecture.kinds.kind import Options
from nasiam_mm.runs.store import WORK, Row, RunFailed, RunStopped, RunStore
from nasiam_mm.study import trials as notes
from nasiam_mm.study.beginning import give, queue
from nasiam_mm.study.gradient import TOP, found_heads
from nasiam_mm.study.storage import Storage
from nasiam_mm.study.testing import read_test
from nasiam_mm.study.trainings import Result, Trainings

_PAUSE = 2.0  # seconds between two tries at a run that another process is at


class Jobs:
    """What a worker can do.

    Args:
        trainings: Configs of the trainings.
        storage: Where the study is kept.
        store: Of its runs.
        gradient: Configs of its searches by gradient, as ``study.gradient`` has them.
    """

    def __init__(
        self,
        trainings: Trainings,
        storage: Storage,
        store: RunStore,
        gradient: Sequence[Config] = (),
    ) -> None:
        self.trainings, self.storage, self.store = trainings, storage, store
        self.study, self.gradient = trainings.study, gradient
        self.trials, self.checks = storage.study(), storage.study('checks')

    def do(self, trial: optuna.Trial, is_search: bool) -> str:
        """Do a job and tell what came of it; return why it failed, or ''.

        One that failed stays as it is until :meth:`blame`; whoever ends before leaves it to others.

        Raises:
            KeyboardInterrupt: If it was interrupted; another worker goes on with it.
        """
        try:
            return self._do(trial, is_search)
        except UpdateFinishedTrialError:
            # One that was silent for too long was given to another worker, and its trial ended.
            return ''

    def _do(self, trial: optuna.Trial, is_search: bool) -> str:
        study = self.trials if is_search else self.checks
        try:
            value = self._search(trial) if is_search else self._check(trial)
        except RunStopped:
            value = None
        except RunFailed as error:
            # Nothing is decided by the test images: none is no reason to end.
            if trial.user_attrs.get(notes.PHASE) != 'test':
                return str(error)
            self.blame(trial, is_search, str(error))
            return ''
        state = TrialState.PRUNED if value is None else TrialState.COMPLETE
        study.tell(trial, value, state, skip_if_finished=True)
        return ''

    def blame(self, trial: optuna.Trial, is_search: bool, fault: str) -> None:
        """Note that a head's training fails, so that it is no candidate."""
        study = self.trials if is_search else self.checks
        with suppress(UpdateFinishedTrialError):
            trial.set_user_attr(notes.FAULT, f'failed: {fault:.300}')
            study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)

    def config(self, options: Options | None, seed: int) -> Config:
        """Return the config of a trial."""
        return self.trainings.config(options, seed, cheap=bool(self.study.cheap), check=False)

    def _search(self, trial: optuna.Trial) -> float | None:
        """Train a head of the search: its score, None where it costs too much to be tried."""
        if self._over_limits(trial):
            return None
        cfg = self.config(trial.params, trial.user_attrs[notes.SEED])
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
        result = self.trainings.read(folder, self._make(folder, cfg, trial, look), check=False)
        return self._noted(trial, result, True)

    def _over_limits(self, trial: optuna.Trial) -> bool:
        """Note what a head costs, and what limit it breaks."""
        for name, value in self.trainings.cost(trial.params)._asdict().items():
            trial.set_user_attr(name, value)
            limit = self.study.limits.get(name)
            if limit is not None:
                trial.set_constraint(name, value - limit)
                if value > limit:
                    trial.set_user_attr(notes.FAULT, f'{value:,} {name}, over {limit:,.0f}')
        return notes.FAULT in trial.user_attrs

    def _noted(self, trial: optuna.Trial, result: Result, is_search: bool) -> float | None:
        """Note what a training took and its faults; return its score, None for none."""
        trial.set_user_attr(notes.SECONDS, result.seconds)
        limit = self.study.limits.get('seconds')
        if limit is not None and is_search:
            trial.set_constraint('seconds', result.seconds - limit)
            if result.seconds > limit:
                told = f'{result.seconds:.0f} seconds, over {limit:g}'
                trial.set_user_attr(notes.FAULT, told)
        watched = (
            ('std', result.std, self.study.min_std),
            ('rank', result.rank, self.study.min_rank),
        )
        for name, value, least in watched:
            if value is not None:
                trial.set_user_attr(name, value)
                over = least - value
                trial.set_constraint(f'collapse of {name}', least if math.isnan(over) else over)
                if not value >= least:
                    what = 'deviation' if name == 'std' else 'effective rank'
                    told = f'collapsed: the {what} of z is {value:.3g}'
                    trial.set_user_attr(notes.FAULT, told)
        if result.score is None:
            raise RunFailed('it logged no score')
        if not math.isfinite(result.score):
            # Of a head that has collapsed, where its measure says the worst there is.
            trial.set_constraint('score', 1)
            if notes.FAULT not in trial.user_attrs:
                trial.set_user_attr(notes.FAULT, f'its score is {result.score}')
            return None
        return result.score

    def _check(self, trial: optuna.Trial) -> float | None:
        """Train beside the search, or read the test images of what was trained."""
        attrs = trial.user_attrs
        phase, key, seed = attrs[notes.PHASE], attrs[notes.KEY], attrs[notes.SEED]
        if phase == 'gradient':
            return self._search_by_gradient(int(key), trial)
        if phase == 'test' and not self.trainings.is_labelled:
            return None
        is_cheap = phase == 'reference' and bool(self.study.cheap)
        is_compared = phase in ('verify', 'test')
        options = attrs.get(notes.OPTIONS)
        cfg = self.trainings.config(options, seed, cheap=is_cheap, check=is_compared)
        folder = self.store.of(key, cfg)
        row = self._make(folder, cfg, trial)
        if phase == 'test':
            return read_test(folder, row, cfg)
        result = self.trainings.read(folder, row, check=is_compared)
        if result.correct is not None:
            trial.set_user_attr(notes.CORRECT, notes.pack(result.correct))
        return self._noted(trial, result, False)

    def _search_by_gradient(self, number: int, trial: optuna.Trial) -> float:
        """Search by gradient and queue what it found, whose number this returns."""
        source = self.study.gradient[number]
        name, cfg = source['strategy'], self.gradient[number]
        store = RunStore(
            self.store.folder,
            self.store.search,
            variables=self.store.variables,
            launch=self.store.launch,
        )
        folder = store.of(Path(name).stem, cfg)
        row = self._make(folder, cfg, trial, store=store)
        trial.set_user_attr(notes.SECONDS, row['seconds'])
        found = found_heads(folder / WORK, self.trainings.choices, source.get('top', TOP))
        with self.storage.exclusive():
            for what, options in found.items():
                if self.study.trials:
                    queue(self.trials, self.trainings, f'{name}: {what}', options)
            give(self.trials, self.trainings, found)
        return float(len(found))

    def _make(
        self,
        folder: Path,
        cfg: Config,
        trial: optuna.Trial,
        look: Callable[[Mapping], bool] | None = None,
        store: RunStore | None = None,
    ) -> Row:
        """Train, after others where they are at the same run."""
        trial.set_user_attr(notes.RUN, folder.name)
        while True:
            try:
                return (store or self.store).make(folder, cfg, look)
            except BlockingIOError:
                time.sleep(_PAUSE)
