# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Whose work directory it is, and from which checkpoint a run goes on (contracts C6, C8, C13)."""

import os.path as osp
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import BaseLoop, Runner
from torch import Tensor

from nasiam_mm.engine.running import read_rates, set_rates, unwrap
from nasiam_mm.files.checkpoint import misfits
from nasiam_mm.registry import HOOKS
from nasiam_mm.runs.identity import Identity, less_extension, name_differences, run_identity
from nasiam_mm.runs.last import find_last_checkpoint, remove_leftovers
from nasiam_mm.runs.owner import claim, release

_TOLD = 3  # what does not fit that a message names


@HOOKS.register_module()
class ResumeHook(Hook):
    """Own the work directory; find the last whole checkpoint; refuse one that does not fit.

    Which folder a run may have, :func:`claim` says. With ``resume=True`` and no ``load_from``
    (``--resume``), the checkpoint that is furthest and whole is taken and named, with what was
    skipped and why; without one the run starts from its beginning and says so. Temporary files of a
    process that died while it wrote are removed.

    Each checkpoint gets what decides how the run ends (:func:`run_identity`), and a resumed run
    must have the same; with ``extend=True`` (``--extend``) it may have more epochs, another rate or
    schedule, which are listed and hold from there on. Every part of the state must be there and
    fit: mmengine loads what matches and only warns of the rest, which would go on from random
    numbers. What is refused is a ValueError.
    """

    # Before a hook takes anything from the checkpoint.
    priority = 'HIGHEST'

    def __init__(self, extend: bool = False) -> None:
        self.extend = extend
        self.identity: Identity | None = None
        self._rates: list[dict[str, Any]] | None = None

    def before_run(self, runner: Runner) -> None:
        """Claim the work directory and choose the checkpoint, before the runner loads it."""
        # Testing runs through here too, and has no training loop.
        if not isinstance(runner._train_loop, BaseLoop):
            return
        self.identity = run_identity(runner)
        _on_main(lambda: claim(runner.work_dir, self.identity, runner._resume, self.extend))
        runner.dump_config()
        if not runner._resume:
            return
        folder = _checkpoint_folder(runner)
        if is_main_process():
            for name in (*remove_leftovers(folder), *remove_leftovers(runner.work_dir)):
                runner.logger.info(f'removed {name}, which was being written when the run died')
        if runner._load_from is not None:
            return
        last = _on_main(lambda: find_last_checkpoint(folder))
        for note in last.notes:
            runner.logger.warning(note)
        if last.path is None:
            runner._resume = False
            whole = 'whole checkpoint' if last.notes else 'checkpoint'
            runner.logger.warning(f'no {whole} in {folder}: starting from the beginning')
            return
        runner._load_from = str(last.path)
        done = f'after {last.iteration} iterations ({last.epoch} whole epochs)'
        runner.logger.info(f'resuming from {last.path}, {done}')

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the checkpoint with this run."""
        if not runner._resume:
            return
        path = f"checkpoint '{runner._load_from}'"
        anew = 'start anew in another --work-dir'
        theirs = checkpoint.get('identity') if isinstance(checkpoint, dict) else None
        if not isinstance(theirs, dict):
            mend = 'to start from its weights alone, give it as load_from without --resume'
            raise ValueError(f'{path} holds no record of the run it is of; {mend}')
        differences = name_differences(theirs, self.identity)
        extended = self.extend and less_extension(theirs) == less_extension(self.identity)
        if differences and not extended:
            raise ValueError(
                f'{path} is of another run: {differences}; resume with the config and arguments '
                f'it was made with, extend it (epochs, rate, schedule) by --extend, or {anew}'
            )
        if problems := list(_misfits(runner, checkpoint)):
            more = f' and {len(problems) - _TOLD} more' if len(problems) > _TOLD else ''
            raise ValueError(
                f'{path} does not fit this run: {", ".join(problems[:_TOLD])}{more}; resume with '
                f'the code it was made with, or {anew}'
            )
        if differences:
            runner.logger.warning(f'extended: {differences}')
            checkpoint.pop('param_schedulers', None)
            if not hasattr(runner.optim_wrapper, 'optimizer'):
                raise ValueError('--extend: a run of several optimizers cannot be extended')
            self._rates = read_rates(runner)

    def before_train(self, runner: Runner) -> None:
        """Put the rates of an extended run to where its own schedule stands by now."""
        if self._rates is None:
            return
        set_rates(runner, self._rates)
        self._rates = None
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # that no step of the optimizer came before
            for iteration in range(1, runner.iter + 1):
                for scheduler in runner.param_schedulers or []:
                    if not scheduler.by_epoch or iteration % len(runner.train_dataloader) == 0:
                        scheduler.step()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put what decides this run into the checkpoint."""
        checkpoint['identity'] = self.identity

    def after_run(self, runner: Runner) -> None:
        """Let another run have the work directory."""
        if is_main_process():
            release(runner.work_dir)


def _on_main(ask: Callable[[], Any]) -> Any:
    """Return, or raise, in every process what the main one found: files may differ for a while."""
    found: list[Any] = [None]
    if is_main_process():
        try:
            found = [ask()]
        except (ValueError, OSError) as error:
            found = [error]
    broadcast_object_list(found)
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _checkpoint_folder(runner: Runner) -> str:
    """Folder that ``CheckpointHook`` is about to choose."""
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.out_dir is not None:
            return osp.join(hook.out_dir, osp.basename(runner.work_dir.rstrip(osp.sep)))
    return runner.work_dir


def _misfits(runner: Runner, checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """Name what a checkpoint lacks of the run's state, or has of another type or shape."""
    parts: dict[str, Any] = dict.fromkeys(
        ('state_dict', 'meta', 'optimizer', 'message_hub'), Mapping
    )
    if runner.param_schedulers:
        parts['param_schedulers'] = list | Mapping
    wrong = [name for name, kind in parts.items() if not isinstance(checkpoint.get(name), kind)]
    if wrong:
        for name in wrong:
            yield f'its {name} is {"of another type" if name in checkpoint else "missing"}'
        return
    schedulers = checkpoint.get('param_schedulers')
    if isinstance(schedulers, list) and not all(isinstance(one, Mapping) for one in schedulers):
        yield 'one of its param_schedulers is of another type'
    for name in ('epoch', 'iter'):
        count = checkpoint['meta'].get(name)
        if not isinstance(count, int) or count < 0:
            yield f'its meta holds no number of {name}'
    yield from misfits(unwrap(runner.model).state_dict(), checkpoint['state_dict'])
    if hasattr(runner.optim_wrapper, 'optimizer'):
        yield from _optimizer_misfits(runner.optim_wrapper.optimizer, checkpoint['optimizer'])


def _optimizer_misfits(optimizer: Any, state: Mapping[str, Any]) -> Iterator[str]:
    """Name what does not fit of an optimizer's state, which torch takes by position."""
    groups, values = state.get('param_groups'), state.get('state')
    if not isinstance(groups, list) or not isinstance(values, Mapping):
        yield 'its optimizer holds no groups or no state'
        return
    there, here = ([len(g['params']) for g in side] for side in (groups, optimizer.param_groups))
    if there != here:
        yield f'its optimizer has {there} parameters in its groups, not {here}'
        return
    parameters = [p for group in optimizer.param_groups for p in group['params']]
    for number, parameter in enumerate(parameters):
        for name, value in (values.get(number) or {}).items():
            # A count of steps has no dimension.
            if isinstance(value, Tensor) and value.dim() and value.shape != parameter.shape:
                shapes = f'{tuple(value.shape)}, not {tuple(parameter.shape)}'
                yield f'{name} of its optimizer for parameter {number} is {shapes}'
