# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""When SwAV's prototypes begin to learn, and its queue to be used."""

from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from nasiam_mm.engine.optim import begin_momentum
from nasiam_mm.engine.running import unwrap
from nasiam_mm.models.prototypes import SwAVLoss
from nasiam_mm.registry import HOOKS


@HOOKS.register_module()
class PrototypesHook(Hook):
    """Leave prototypes as they are in the first epochs, and begin with the queue later.

    In place of mmpretrain's ``SwAVHook``, which keeps the queue in a file of its own. Prototypes of
    the first epoch stand still, or all embeddings follow the ones that move fastest (SwAV, appendix
    A); a queue of the first epochs holds embeddings that the network has left behind (section 4.1).
    The step of the optimizer passes the prototypes by, without decay or momentum.

    Args:
        frozen_epochs: Epochs before prototypes learn.
        queue_epoch: Epochs before the queue is filled.

    ValueError for a model without prototypes, or a ``queue_epoch`` of a loss without a queue.
    """

    # Before the alpha step, which looks at the same queue.
    priority = 'NORMAL'

    def __init__(self, frozen_epochs: int = 1, queue_epoch: int = 0) -> None:
        for name, value in dict(frozen_epochs=frozen_epochs, queue_epoch=queue_epoch).items():
            if type(value) is not int or value < 0:
                what = f'PrototypesHook.{name} must be a whole number from 0, got {value!r}'
                raise ValueError(what)
        self.frozen_epochs, self.queue_epoch = frozen_epochs, queue_epoch

    def check(self, model: nn.Module) -> None:
        """Find the loss of a model; ValueError where there is none of prototypes, or no queue."""
        loss = getattr(getattr(model, 'head', None), 'loss_module', None)
        if not isinstance(loss, SwAVLoss):
            lacks = f'{type(model).__name__} has no prototypes'
            raise ValueError(f'PrototypesHook: {lacks}; take the hook out')
        if self.queue_epoch and loss.queue is None:
            mend = 'set model.head.loss.queue_len, or take queue_epoch out'
            raise ValueError(f'PrototypesHook.queue_epoch: the loss has no queue; {mend}')
        self._loss = loss

    def before_train(self, runner: Runner) -> None:
        """Have the optimizer pass prototypes by, and warn of what the run is too short for."""
        self.check(unwrap(runner.model))
        self._warn(runner)
        loss = self._loss

        def pass_by(optimizer: Any, args: Any, kwargs: Any) -> None:
            begin_momentum(optimizer, args, kwargs)
            if loss.frozen:
                loss.prototypes.weight.grad = None

        runner.optim_wrapper.optimizer.register_step_pre_hook(pass_by)

    def _warn(self, runner: Runner) -> None:
        epochs, loader, queue = runner.max_epochs, runner.train_dataloader, self._loss.queue
        if self.frozen_epochs >= epochs:
            told = f'in all of the {epochs} epochs; lower frozen_epochs'
            runner.logger.warning(f'PrototypesHook: prototypes stand still {told}')
        if queue is None:
            return
        # Those of the last step come too late.
        steps = runner.max_iters - self.queue_epoch * len(loader) - 1
        entered = max(0, steps) * (loader.batch_size or 1) * get_world_size()
        if entered < queue.size(1):
            told = f'not full before the last of {epochs} epochs, and never looked at'
            mend = 'lower queue_epoch, or model.head.loss.queue_len'
            runner.logger.warning(f'PrototypesHook: the queue of {queue.size(1)} is {told}; {mend}')

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Tell the loss where in the run it is."""
        self._loss.frozen = runner.epoch < self.frozen_epochs
        self._loss.use_queue = runner.epoch >= self.queue_epoch
