# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a checkpoint lacks for a resumed run to end as an uninterrupted one (contract C6)."""

from functools import partial
from types import NoneType
from typing import Any, ClassVar

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.runner import Runner

from nasiam_mm.engine.hooks.stateful_hook import StatefulHook
from nasiam_mm.engine.rng import get_rng_state, set_rng_state
from nasiam_mm.engine.running import unwrap
from nasiam_mm.engine.stop_signals import leave_process_group
from nasiam_mm.registry import HOOKS


@HOOKS.register_module()
class RunStateHook(StatefulHook):
    """Save and restore random numbers, gradients not yet applied, and the loop's state.

    mmengine's checkpoint holds model, optimizer, schedulers, logs and the numbers of epoch and
    iteration. This adds, for every process, the state of its random number generators and the
    gradients that are accumulated but not applied, and the state of a :class:`ResumableTrainLoop`.

    A loader draws a seed for its workers from the global generator whenever a pass begins, and a
    resumed run begins one more; every loader therefore gets a generator of its own here: the
    training loader and those of hooks, which a hook names by a method ``dataloaders()``.
    """

    # After everything that draws random numbers before the first iteration.
    priority = 'LOWEST'
    state_types: ClassVar = {'ranks': list, 'loop': (dict, NoneType)}

    def __init__(self) -> None:
        self._loop: Any = None
        self._gathered: list[dict[str, Any]] | None = None
        self._restored: dict[str, Any] | None = None

    def before_run(self, runner: Runner) -> None:
        """Take note of the loop."""
        self._loop = runner._train_loop

    def gather_rank_states(self, runner: Runner) -> None:
        """Gather what each process has of its own; all of them have to call this."""
        state = dict(rng=get_rng_state(), gradients=_pending_gradients(runner))
        self._gathered = all_gather_object(state)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the state into the checkpoint; RuntimeError if that of several is not gathered."""
        if self._gathered is None and get_world_size() == 1:
            self.gather_rank_states(runner)
        # A checkpoint without the optimizer, such as the best one, is not for resuming.
        if self._gathered is None and 'optimizer' in checkpoint:
            raise RuntimeError(
                'RunStateHook needs the state of every process in the checkpoint; set '
                "default_hooks.checkpoint.type='AtomicCheckpointHook'"
            )
        super().before_save_checkpoint(runner, checkpoint)
        self._gathered = None

    def state_dict(self) -> dict[str, Any]:
        """Return what was gathered, and the state of the loop."""
        loop = self._loop.state_dict() if hasattr(self._loop, 'state_dict') else None
        return {'ranks': self._gathered, 'loop': loop}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Keep the state until the run begins."""
        for rank in state['ranks']:
            if not isinstance(rank['rng'], dict) or not isinstance(rank['gradients'], dict):
                raise TypeError('rng and gradients of a process must be dicts')
        self._restored = state

    def before_train(self, runner: Runner) -> None:
        """Shield the loaders and restore the state."""
        loaders = [runner.train_dataloader]
        for hook in runner.hooks:
            loaders += getattr(hook, 'dataloaders', list)()
        for loader in loaders:
            if loader.generator is None:
                loader.generator = torch.Generator().manual_seed(runner.seed)
                loader.worker_init_fn = partial(_init_worker, loader.worker_init_fn)
        if self._restored is None:
            return
        ranks, loop = self._restored['ranks'], self._restored['loop']
        self._restored = None
        if loop is not None and hasattr(runner.train_loop, 'load_state_dict'):
            runner.train_loop.load_state_dict(loop)
            if loop['stop_training']:
                runner.logger.warning('the run had stopped itself: it ends with the epoch it is in')
        if len(ranks) != get_world_size():
            runner.logger.warning(
                f'the checkpoint holds the random number state of {len(ranks)} processes, but '
                f'{get_world_size()} run; it is left out'
            )
            return
        own = ranks[get_rank()]
        parameters = dict(unwrap(runner.model).named_parameters())
        if unknown := own['gradients'].keys() - parameters.keys():
            raise ValueError(
                f'the state of RunStateHook in the checkpoint holds a gradient of {min(unknown)}, '
                'which the model does not have'
            )
        for name, gradient in own['gradients'].items():
            parameters[name].grad = gradient.to(parameters[name].device)
        set_rng_state(own['rng'])


def _pending_gradients(runner: Runner) -> dict[str, torch.Tensor]:
    """Gradients by name; there are none after a step, only while they accumulate."""
    parameters = unwrap(runner.model).named_parameters()
    return {name: p.grad.cpu() for name, p in parameters if p.grad is not None}


def _init_worker(init: Any, worker_id: int) -> None:
    leave_process_group()
    if init is not None:
        init(worker_id)
