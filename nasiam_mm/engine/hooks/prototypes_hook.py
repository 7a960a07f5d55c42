# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""When SwAV's prototypes begin to learn, and its queue to be used."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

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

    def before_train(self, runner: Runner) -> None:
        """Find the loss, and have the optimizer pass prototypes by."""
        model = unwrap(runner.model)
        loss = getattr(getattr(model, 'head', None), 'loss_module', None)
        if not isinstance(loss, SwAVLoss):
            lacks = f'{type(model).__name__} has no prototypes'
            raise ValueError(f'PrototypesHook: {lacks}; take the hook out')
        if self.queue_epoch and loss.queue is None:
            mend = 'set model.head.loss.queue_len, or take queue_epoch out'
            raise ValueError(f'PrototypesHook.queue_epoch: the loss has no queue; {mend}')
        self._loss = loss

        def pass_by(optimizer: Any, args: Any, kwargs: Any) -> None:
            begin_momentum(optimizer, args, kwargs)
            if loss.frozen:
                loss.prototypes.weight.grad = None

        runner.optim_wrapper.optimizer.register_step_pre_hook(pass_by)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Tell the loss where in the run it is."""
        self._loss.frozen = runner.epoch < self.frozen_epochs
        self._loss.use_queue = runner.epoch >= self.queue_epoch
