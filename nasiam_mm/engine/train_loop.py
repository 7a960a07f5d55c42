# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A loop over epochs that stops and goes on at any iteration."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn

from nasiam_mm.console.handler import SHOWN
from nasiam_mm.console.screen import current
from nasiam_mm.datasets.replay import ReplaySampler
from nasiam_mm.engine.running import preserve_rng
from nasiam_mm.engine.stop_signals import StopAsked, StopSignals
from nasiam_mm.registry import LOOPS
from nasiam_mm.wording import counted


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """mmengine's loop over epochs, which goes on in the middle of one (contract C6).

    A run resumed at iteration t of an epoch draws batch t next, with its right number for every
    hook; the epoch's end comes once. Validation leaves the random number generators as they were;
    resumed at the end of an epoch, a run validates first. On SIGTERM or SIGINT the iteration is
    finished, a checkpoint is written, and the process leaves with status 143 or 130; a second
    signal ends it at once. Between the steps of a selection at the end it is the same, by
    :func:`heed_signals`. Several processes agree on the iteration, by one integer each.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if len(self.dataloader) == 0:
            images, size = len(self.dataloader.dataset), self.dataloader.batch_size
            mend = f'take a smaller train_dataloader.batch_size than {size}'
            raise ValueError(f'{images} training images are less than one batch; {mend}')

    def run(self) -> nn.Module:
        """Train to the last epoch; after a signal, SystemExit."""
        with StopSignals() as self.signals:
            self.runner.call_hook('before_train')
            # A checkpoint at the end of an epoch is written before the epoch's validation.
            self._validate_if_due()
            if self._epoch >= self._max_epochs:
                done = f'{self._epoch} of {counted(self._max_epochs, "epoch")} done'
                told = 'what follows the last one is done again, --resume --extend adds epochs'
                self.runner.logger.warning(f'{done}: {told}')
            while self._epoch < self._max_epochs and not (self.stop_training and self._done() == 0):
                self.run_epoch()
                self._validate_if_due()
            try:
                self.runner.call_hook('after_train')
            except StopAsked:
                self._leave_if_asked()
        return self.runner.model

    def run_epoch(self) -> None:
        """Train to the end of the epoch, from wherever the run stands in it."""
        if (done := self._done()) == 0:
            self.runner.call_hook('before_train_epoch')
        else:
            # Hooks prepare what they do not save; what was restored is past its beginning.
            with preserve_rng(), _preserve_rates(self.runner):
                self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for batch_idx, data_batch in enumerate(self._batches(done), start=done):
            self.run_iter(batch_idx, data_batch)
            self._leave_if_asked()
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
        self._leave_if_asked()

    def _done(self) -> int:
        """Return how many iterations of the epoch are done; all, where only its end is not."""
        return self._iter - self._epoch * len(self.dataloader)

    def _batches(self, done: int) -> Iterator[Any]:
        """Return an iterator over the batches of the epoch but the first ``done``."""
        loader = self.dataloader
        size = loader.batch_size  # none where the sampler makes whole batches
        sampler = loader.sampler if size else loader.batch_sampler
        if done and isinstance(sampler, ReplaySampler) and size:
            sampler.set_epoch(self._epoch)
            sampler.start = done * size
        elif done:
            slow = f'{type(sampler).__name__} cannot start within a pass: loading and dropping'
            mend = "sampler=dict(type='ReplaySampler') goes on at once"
            self.runner.logger.warning(f'{slow} {done} batches; {mend}')
            with preserve_rng():
                batches = iter(self.dataloader)
                for _ in range(done):
                    next(batches)
            return batches
        return iter(self.dataloader)

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        if self.runner.val_loop is None or self._done() or self._epoch < max(1, self.val_begin):
            return
        if self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs:
            with preserve_rng():
                self.runner.val_loop.run()

    def _leave_if_asked(self) -> None:
        if (number := self.signals.agreed()) is None:
            return
        kept = 'no checkpoint, as there is no AtomicCheckpointHook'
        console = current()
        again = f': {console.again}' if console is not None and console.again else ' --resume'
        for hook in self.runner.hooks:
            if hasattr(hook, 'save_interrupted'):
                kept = f'{hook.save_interrupted(self.runner)} written; go on with{again}'
        name, done = signal.Signals(number).name, f'{self._iter} of {self._max_iters}'
        done += f' (epoch {min(self._epoch + 1, self._max_epochs)} of {self._max_epochs})'
        if console is not None:
            console.close()
        self.runner.logger.warning(f'{name}: stopped after iteration {done}; {kept}', extra=SHOWN)
        raise SystemExit(128 + number)


@contextmanager
def _preserve_rates(runner: Runner) -> Iterator[None]:
    """Give the parameter groups their learning rates and the like back on leaving."""
    found = runner.optim_wrapper.param_groups
    several = found.values() if isinstance(found, dict) else [found]  # of one optimizer each
    groups = [group for of_one in several for group in of_one]
    rates = [{k: v for k, v in group.items() if k != 'params'} for group in groups]
    yield
    for group, rate in zip(groups, rates, strict=True):
        group.update(rate)
