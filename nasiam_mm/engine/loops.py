# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Training that can start and stop between any two iterations (contract C6)."""

import signal
from collections.abc import Iterator
from typing import Any

from mmengine.runner import EpochBasedTrainLoop
from torch import nn

from nasiam_mm.datasets.replay import ReplaySampler
from nasiam_mm.engine.rng import preserve_rng
from nasiam_mm.engine.running import read_rates, set_rates
from nasiam_mm.engine.stop_signals import StopSignals
from nasiam_mm.registry import LOOPS


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """mmengine's loop over epochs, which goes on in the middle of one.

    A run resumed at iteration t of an epoch draws batch t next, whose number in the epoch is right
    for every hook; the epoch's end comes once. Validation leaves the random number generators as
    they were; resumed at the end of an epoch, a run validates first.

    On SIGTERM or SIGINT the iteration is finished, a checkpoint is written, and the process leaves
    with status 143 or 130; a second signal ends it at once. Several processes agree on the
    iteration, by one integer on the CPU each.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if len(self.dataloader) == 0:
            raise ValueError(
                f'{len(self.dataloader.dataset)} training images are less than one batch; take a '
                f'smaller train_dataloader.batch_size than {self.dataloader.batch_size}'
            )

    def state_dict(self) -> dict[str, Any]:
        """State beside the numbers of epoch and iteration, which the runner keeps."""
        return dict(stop_training=self.stop_training)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take that state up again."""
        self.stop_training = state['stop_training']

    def run(self) -> nn.Module:
        """Train to the last epoch; after a signal, SystemExit."""
        with StopSignals() as self.signals:
            self.runner.call_hook('before_train')
            # A checkpoint at the end of an epoch is written before the epoch's validation.
            self._validate_if_due()
            while self._epoch < self._max_epochs and not (self.stop_training and self._done() == 0):
                self.run_epoch()
                self._validate_if_due()
            self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """Train to the end of the epoch, from wherever the run stands in it."""
        done = self._done()
        if done == 0:
            self.runner.call_hook('before_train_epoch')
        else:
            # Hooks prepare what they do not save; what was restored is past its beginning.
            rates = read_rates(self.runner)
            with preserve_rng():
                self.runner.call_hook('before_train_epoch')
            set_rates(self.runner, rates)
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
        if done == 0:
            return iter(self.dataloader)
        sampler = self.dataloader.sampler
        if isinstance(sampler, ReplaySampler) and self.dataloader.batch_size:
            sampler.set_epoch(self._epoch)
            sampler.start = done * self.dataloader.batch_size
            return iter(self.dataloader)
        self.runner.logger.warning(
            f'{type(sampler).__name__} cannot start within a pass: loading and dropping {done} '
            "batches; sampler=dict(type='ReplaySampler') goes on at once"
        )
        with preserve_rng():
            batches = iter(self.dataloader)
            for _ in range(done):
                next(batches)
        return batches

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        if (
            self.runner.val_loop is not None
            and self._done() == 0
            and self._epoch >= max(1, self.val_begin)
            and (self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs)
        ):
            with preserve_rng():
                self.runner.val_loop.run()

    def _leave_if_asked(self) -> None:
        number = self.signals.agreed()
        if number is None:
            return
        kept = 'no checkpoint, as there is no AtomicCheckpointHook'
        for hook in self.runner.hooks:
            if hasattr(hook, 'save_interrupted'):
                kept = f'{hook.save_interrupted(self.runner)} written; go on with --resume'
        self.runner.logger.warning(
            f'{signal.Signals(number).name}: stopped after iteration {self._iter} of '
            f'{self._max_iters}; {kept}'
        )
        raise SystemExit(128 + number)
