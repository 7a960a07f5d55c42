# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a checkpoint needs for a resumed run to end as an uninterrupted one (contract C6)."""

import os
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from nasiam_mm.engine.running import get_rng_state, set_rng_state, unwrap
from nasiam_mm.registry import HOOKS


class StatefulHook(Hook):
    """A hook that a resumed run takes up where it was; ValueError if its state does not fit.

    The state stands in ``checkpoint['hooks']`` under the name of its class, a second one's as
    ``Name#2``. ``state_types`` maps its parts, attributes by default, to their types.
    """

    state_types: ClassVar[dict[str, Any]] = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the state, of types that a checkpoint may hold."""
        return {name: getattr(self, name) for name in self.state_types}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a state up again, whose parts are there and of their types."""
        for name in self.state_types:
            setattr(self, name, state[name])

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the state into the checkpoint."""
        checkpoint.setdefault('hooks', {})[self._name(runner)] = self.state_dict()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take the state up, if the run is resumed."""
        if not runner._resume:
            return
        name, states = self._name(runner), checkpoint.get('hooks')
        state = states.get(name) if isinstance(states, Mapping) else None
        if not isinstance(state, Mapping):
            mend = 'resume from one of a run with this hook'
            raise ValueError(f'the checkpoint holds no state of {name}; {mend}')
        try:
            if lacking := self.state_types.keys() - state.keys():
                raise ValueError(f'it lacks {min(lacking)!r}')
            for part, kinds in self.state_types.items():
                if not isinstance(state[part], kinds):
                    raise TypeError(f'{part} is of type {type(state[part]).__name__}')
            self.load_state_dict(dict(state))
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            cause = ' '.join(str(error).split())
            its = f'the state of {name} in the checkpoint'
            raise ValueError(f'{its} does not fit this run: {cause}') from error

    def _name(self, runner: Runner) -> str:
        alike = [hook for hook in runner.hooks if type(hook) is type(self)]
        number = next((n for n, hook in enumerate(alike, 1) if hook is self), 1)
        return type(self).__name__ + (f'#{number}' if number > 1 else '')


@HOOKS.register_module()
class RunStateHook(StatefulHook):
    """Save and restore random numbers, gradients not yet applied, and the wish to stop.

    This adds to mmengine's checkpoint, for every process, the state of its random number generators
    and the gradients that are accumulated but not applied, and whether the loop is about to stop.

    A loader draws a seed for its workers from the global generator whenever a pass begins, and a
    resumed run begins one more; every loader therefore gets a generator of its own: the training
    loader and those of hooks, which a hook names by a method ``dataloaders()``.
    """

    # After everything that draws random numbers before the first iteration.
    priority = 'LOWEST'
    state_types: ClassVar = dict(ranks=list, loop=dict | None)

    def __init__(self) -> None:
        self.ranks: list[dict[str, Any]] | None = None  # gathered to be saved, or restored
        self.loop: dict[str, Any] | None = None

    def gather_rank_states(self, runner: Runner) -> None:
        """Gather what each process has of its own; all of them have to call this."""
        parameters = unwrap(runner.model).named_parameters()
        # There are none after a step, only while they accumulate.
        gradients = {name: p.grad.cpu() for name, p in parameters if p.grad is not None}
        self.ranks = all_gather_object(dict(rng=get_rng_state(), gradients=gradients))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the state into the checkpoint; RuntimeError if that of several is not gathered."""
        if self.ranks is None and get_world_size() == 1:
            self.gather_rank_states(runner)
        # A checkpoint without the optimizer, such as the best one, is not for resuming.
        if self.ranks is None and 'optimizer' in checkpoint:
            mend = "set default_hooks.checkpoint.type='AtomicCheckpointHook'"
            raise RuntimeError(f'RunStateHook needs the state of every process; {mend}')
        self.loop = dict(stop_training=getattr(runner.train_loop, 'stop_training', False))
        super().before_save_checkpoint(runner, checkpoint)
        self.ranks = None

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Keep the state until the run begins."""
        parts = [rank[name] for rank in state['ranks'] for name in ('rng', 'gradients')]
        if not all(isinstance(part, dict) for part in parts):
            raise TypeError('rng and gradients of a process must be dicts')
        super().load_state_dict(state)

    def before_train(self, runner: Runner) -> None:
        """Shield the loaders and restore the state."""
        loaders = [runner.train_dataloader]
        for hook in runner.hooks:
            loaders += getattr(hook, 'dataloaders', list)()
        for loader in loaders:
            if loader.generator is None:
                loader.generator = torch.Generator().manual_seed(runner.seed)
                loader.worker_init_fn = partial(_init_worker, loader.worker_init_fn)
        ranks, self.ranks = self.ranks, None
        if ranks is None:
            return
        if (self.loop or {}).get('stop_training'):
            runner.train_loop.stop_training = True
            runner.logger.warning('the run had stopped itself: it ends with the epoch it is in')
        if len(ranks) != get_world_size():
            told = f'random number state of {len(ranks)} processes, but {get_world_size()} run'
            runner.logger.warning(f'the checkpoint holds the {told}; it is left out')
            return
        rng, gradients = ranks[get_rank()]['rng'], ranks[get_rank()]['gradients']
        parameters = dict(unwrap(runner.model).named_parameters())
        if unknown := gradients.keys() - parameters.keys():
            lacks = f'a gradient of {min(unknown)}, which the model does not have'
            raise ValueError(f'the state of RunStateHook in the checkpoint holds {lacks}')
        for name, gradient in gradients.items():
            parameters[name].grad = gradient.to(parameters[name].device)
        set_rng_state(rng)


def _init_worker(init: Any, worker_id: int) -> None:
    # Away from signals to the whole process group, as a terminal sends them: the iteration that is
    # to be finished needs its workers; the parent still ends them.
    os.setpgid(0, 0)
    if init is not None:
        init(worker_id)
