# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Whose work directory it is, and from which checkpoint a run goes on (contracts C6, C8, C13)."""

import os.path as osp
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner

from nasiam_mm.console.handler import SHOWN
from nasiam_mm.engine.optim import optimizer_misfits
from nasiam_mm.engine.running import unwrap
from nasiam_mm.files.checkpoint import misfits
from nasiam_mm.registry import HOOKS
from nasiam_mm.runs.identity import (
    NAMED,
    Identity,
    less_extension,
    name_differences,
    run_identity,
    take_beginning,
)
from nasiam_mm.runs.work_dir import claim, find_last_checkpoint, own, release, remove_leftovers
from nasiam_mm.wording import counted


@HOOKS.register_module()
class ResumeHook(Hook):
    """Own the work directory; find the last whole checkpoint; refuse one that does not fit.

    Which folder a run may have, :func:`claim` says. With ``resume=True`` and no ``load_from``
    (``--resume``), the checkpoint that is furthest and whole is taken and named, with what was
    skipped and why. What a process that died left half-written is removed.

    Each checkpoint gets what decides how the run ends (:func:`run_identity`). A resumed run must
    have the same, but with ``extend=True`` (``--extend``) other epochs, rates or schedules, which
    hold from there on. Where nothing is there to go on with, the run begins with the weights of
    ``begin_from``, if any. Every part of the state must fit: mmengine loads what matches and only
    warns of the rest, which would go on from random numbers. What is refused is a ValueError.
    """

    # Before a hook takes anything from the checkpoint.
    priority = 'HIGHEST'

    def __init__(self, extend: bool = False, begin_from: str | None = None) -> None:
        self.extend, self.begin_from = extend, begin_from
        self.identity: Identity | None = None

    def before_run(self, runner: Runner) -> None:
        """Claim the work directory and choose the checkpoint, before the runner loads it."""
        # Testing runs through here too, and has no training loop.
        if not isinstance(runner._train_loop, BaseLoop):
            return
        self.identity = run_identity(runner)
        _on_main(lambda: claim(runner.work_dir, self.identity, runner._resume, self.extend))
        if not runner._resume:
            return
        # That which CheckpointHook is about to choose.
        chosen = [h.out_dir for h in runner.hooks if isinstance(h, CheckpointHook) and h.out_dir]
        name = osp.basename(runner.work_dir.rstrip(osp.sep))
        folder = osp.join(chosen[0], name) if chosen else runner.work_dir
        if is_main_process():
            for name in (*remove_leftovers(folder), *remove_leftovers(runner.work_dir)):
                runner.logger.info(f'removed {name}, which was being written when the run died')
        if runner._load_from is not None:
            return
        last = _on_main(lambda: find_last_checkpoint(folder))
        for note in last.notes:
            runner.logger.warning(note)
        if last.path is None:
            runner._resume, runner._load_from = False, self.begin_from
            self.identity = run_identity(runner)
            whole = 'whole checkpoint' if last.notes else 'checkpoint'
            # What was passed over has been warned of; a first run has nothing to go on with.
            what = f'no {whole} in {folder}: starting from the beginning'
            runner.logger.info(what, extra=SHOWN)
            return
        runner._load_from = str(last.path)
        epochs = counted(last.epoch, 'whole epoch')
        done = f'after {counted(last.iteration, "iteration")} ({epochs})'
        runner.logger.info(f'resuming from {last.path}, {done}', extra=SHOWN)

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
        take_beginning(theirs, self.identity)
        differences = name_differences(theirs, self.identity)
        extended = self.extend and less_extension(theirs) == less_extension(self.identity)
        if differences and not extended:
            mend = f'resume with its own config and arguments, extend it by --extend, or {anew}'
            raise ValueError(f'{path} is of another run: {differences}; {mend}')
        problems = list(_misfits(runner, checkpoint))
        if not problems and (done := checkpoint['meta']['epoch']) > runner.max_epochs:
            told = (
                f'has {done} epochs behind it, more than train_cfg.max_epochs {runner.max_epochs}'
            )
            raise ValueError(f'{path} {told}; a run is extended, not shortened')
        if problems:
            more = f' and {len(problems) - NAMED} more' if len(problems) > NAMED else ''
            told = f'{", ".join(problems[:NAMED])}{more}; resume with the code it was made with'
            raise ValueError(f'{path} does not fit this run: {told}, or {anew}')
        if differences:
            if not hasattr(runner.optim_wrapper, 'optimizer'):
                raise ValueError('--extend: a run of several optimizers cannot be extended')
            runner.logger.warning(f'extended: {differences}')
            _follow_own_schedule(runner, checkpoint)

    def before_train(self, runner: Runner) -> None:
        """Note the owner, whose checkpoint fits by now."""
        if self.identity is not None:
            _on_main(lambda: own(runner.work_dir, self.identity))
            runner.dump_config()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put what decides this run into the checkpoint."""
        checkpoint['identity'] = self.identity

    def after_run(self, runner: Runner) -> None:
        """Let another run have the work directory."""
        if is_main_process():
            release(runner.work_dir)


def _follow_own_schedule(runner: Runner, checkpoint: dict) -> None:
    """Put the rates to where the schedule of this run, not of the checkpoint, stands by now."""
    checkpoint.pop('param_schedulers', None)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that no step of the optimizer came before
        for iteration in range(1, checkpoint['meta']['iter'] + 1):
            for scheduler in runner.param_schedulers or []:
                if not scheduler.by_epoch or iteration % len(runner.train_dataloader) == 0:
                    scheduler.step()
    groups = runner.optim_wrapper.optimizer.param_groups
    for theirs, ours in zip(checkpoint['optimizer']['param_groups'], groups, strict=True):
        theirs.update({**ours, 'params': theirs['params']})


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


def _misfits(runner: Runner, checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """Name what a checkpoint lacks of the run's state, or has of another type or shape."""
    names = ('state_dict', 'meta', 'optimizer', 'message_hub')
    parts: dict[str, Any] = dict.fromkeys(names, Mapping)
    if runner.param_schedulers:
        parts['param_schedulers'] = list | Mapping
    wrong = [name for name, kind in parts.items() if not isinstance(checkpoint.get(name), kind)]
    for name in wrong:
        yield f'its {name} is {"of another type" if name in checkpoint else "missing"}'
    if wrong:
        return
    schedulers = checkpoint.get('param_schedulers')
    if isinstance(schedulers, list):
        ours = [list(scheduler.state_dict()) for scheduler in runner.param_schedulers or []]
        if len(ours) != len(schedulers):
            yield f'it has {len(schedulers)} param_schedulers, not {len(ours)}'
        for keys, state in zip(ours, schedulers, strict=False):
            if not isinstance(state, Mapping):
                yield 'one of its param_schedulers is of another type'
            elif lost := [key for key in keys if key not in state]:
                yield f'one of its param_schedulers lacks {lost[0]}'
    done = {name: checkpoint['meta'].get(name) for name in ('epoch', 'iter')}
    wrong = [name for name, count in done.items() if not isinstance(count, int) or count < 0]
    for name in wrong:
        yield f'its meta holds no number of {name}'
    # After its last iteration an epoch counts, or does not yet.
    length = len(runner.train_dataloader)
    counts_epochs = isinstance(runner.train_loop, EpochBasedTrainLoop)
    if counts_epochs and not wrong and not 0 <= done['iter'] - done['epoch'] * length <= length:
        yield 'its iteration {iter} does not lie in epoch {epoch}'.format(**done)
    for name in runner.message_hub.state_dict():
        if not isinstance(checkpoint['message_hub'].get(name), Mapping):
            yield f'its message_hub holds no {name}'
    averages = any(isinstance(hook, EMAHook) for hook in runner.hooks)
    if averages and not isinstance(checkpoint.get('ema_state_dict'), Mapping):
        yield 'its ema_state_dict is missing'  # mmengine would begin anew from the weights
    yield from misfits(unwrap(runner.model).state_dict(), checkpoint['state_dict'])
    if hasattr(runner.optim_wrapper, 'optimizer'):
        state, counts = checkpoint['optimizer'], runner.optim_wrapper._accumulative_counts
        # A loss scaler may have left out every step so far.
        begun = (checkpoint['meta'].get('iter') or 0) >= counts and 'loss_scaler' not in state
        resting = getattr(unwrap(runner.model), 'resting', ())
        yield from optimizer_misfits(runner.optim_wrapper.optimizer, state, begun, resting)
