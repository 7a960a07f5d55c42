# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""All that can be known of a run before it trains, in one pass of seconds (contract C14)."""

import copy
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import DefaultSampler
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from nasiam_mm.checks.files import name_unreadable
from nasiam_mm.checks.forward import Forward
from nasiam_mm.config_walk import find_hook
from nasiam_mm.datasets.resolve import resolve_data
from nasiam_mm.datasets.split import refuse_unordered_parts
from nasiam_mm.engine.optim import refuse_fast_average, refuse_idle_keys
from nasiam_mm.engine.running import preserve_rng
from nasiam_mm.engine.schedule import check_schedules
from nasiam_mm.probes.checked import check_probe
from nasiam_mm.probes.section import read_probe
from nasiam_mm.refusals import is_user_error, one_line, plain
from nasiam_mm.registry import HOOKS, OPTIMIZERS
from nasiam_mm.runs.identity import run_settings
from nasiam_mm.runs.processes import process_count
from nasiam_mm.runs.work_dir import holds_a_run, name_conflict
from nasiam_mm.search.gradient.gradients import check_whole_step
from nasiam_mm.search.gradient.hook import AlphaStepHook
from nasiam_mm.unread import find_unread, wrong_sections

_TOLD, _WIDTH = 3, 140  # problems that an error names, and characters of each
_NEEDED = 'model', 'train_dataloader'
_ALPHA = 'default_hooks.alpha_step.dataloader'


def refuse_problems(cfg: Config) -> None:
    """Refuse a run of which :func:`find_problems` finds anything, by one ValueError of all."""
    problems = find_problems(cfg)
    if len(problems) == 1:
        raise ValueError(problems[0])
    if problems:
        more = f'; {len(problems) - _TOLD} more: nasiam check' if len(problems) > _TOLD else ''
        cut = [plain(text, _WIDTH) for text in problems[:_TOLD]]
        told = '; '.join(f'({n}) {text}' for n, text in enumerate(cut, 1))
        raise ValueError(f'{len(problems)} problems: {told}{more}')


def find_problems(cfg: Config) -> list[str]:
    """Find what is wrong with a run, and train, write and change nothing.

    Looked at are options that nothing reads, schedules, the data of every loader with the headers
    of its image files, the number of batches, every part of the model on a whole and on the last
    batch (on the meta device: widths, queue, degenerate batches), the parts of a search, room for
    the checkpoints, and whether the work directory is free.

    Args:
        cfg: Config of a training, as it is about to be built; it stays as it is.

    Returns:
        A line for each problem, with where it is and the mend.
    """
    if wrong := wrong_sections(cfg):
        return wrong
    cfg = copy.deepcopy(cfg)
    if absent := [name for name in _NEEDED if not isinstance(cfg.get(name), dict)]:
        return [f'config has no {" and no ".join(absent)}: nothing to train']
    problems: list[str] = []
    for find in (find_unread, check_schedules, refuse_unordered_parts):
        problems += _try(partial(find, cfg), 'config', problems) or []
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')), preserve_rng():
        if _try(lambda: resolve_data(cfg), 'data', problems) is None:
            return problems  # what else could be told would follow from it
        named = _try(lambda: list(_loaders(cfg)), 'loaders', problems) or []
        world = process_count() if cfg.get('launcher', 'none') != 'none' else 1
        loaders = {
            name: _try(partial(_build, name, loader, world), name, problems)
            for name, loader in named
        }
        _try(partial(_build_wrapper, cfg.get('optim_wrapper') or {}), 'optim_wrapper', problems)
        datasets = [loader.dataset for loader in loaders.values() if loader]
        problems += _try(partial(name_unreadable, datasets), 'data', problems) or []
        train = loaders.get('train_dataloader')
        if train is not None:
            model = _try(lambda: Forward(cfg, train), 'model', problems)
            _try_hooks(cfg, model.model if model else None, problems)
            trained = [loaders.get(name) for name in ('train_dataloader', _ALPHA)]
            sizes = {size for loader in trained if loader for size in _batch_sizes(loader)}
            # A queue takes the keys of all processes.
            sizes |= {size * world for size in sizes}
            if model is not None:
                probe = partial(check_probe, cfg, loaders, model.preprocessor, _ALPHA)
                _try(probe, 'probe', problems)
                for size in sorted(sizes, reverse=True):
                    before = len(problems)
                    _try(partial(model.run, size), f'a batch of {size}', problems)
                    if len(problems) > before:
                        break  # the others would say it again
                wrapper = cfg.get('optim_wrapper') or {}
                counts = wrapper.get('accumulative_counts') or 1
                _try(partial(refuse_fast_average, model.model, counts), 'optimizer', problems)
                paramwise = wrapper.get('paramwise_cfg')
                _try(partial(refuse_idle_keys, model.model, paramwise), 'optimizer', problems)
                problems += _memory(model.training_bytes)
                room = partial(_disk, cfg, model.checkpoint_bytes)
                problems += _try(room, 'default_hooks.checkpoint', problems) or []
    if cfg.get('work_dir'):
        ask = partial(_conflict, Path(cfg.work_dir), cfg)
        problems += filter(None, [_try(ask, 'work directory', problems)])
    return list(dict.fromkeys(problems))


def _conflict(folder: Path, cfg: Config) -> str | None:
    resume = bool(cfg.get('resume'))
    extend = resume and bool((find_hook(cfg, 'ResumeHook') or {}).get('extend'))
    if extend and not cfg.get('load_from') and not holds_a_run(folder):
        mend = 'name the --work-dir of a run, or leave --extend out'
        return f"--extend: there is no run in '{folder}' to go on with; {mend}"
    return name_conflict(folder, run_settings(cfg), resume, extend, partly=True)


def _try_hooks(cfg: Config, model: Any, problems: list[str]) -> None:
    """Build this package's own hooks, whose building does nothing, and put a search together."""
    named = (cfg.get('default_hooks') or {}).items()
    hooks = {f'default_hooks.{name}': hook for name, hook in named}
    listed = enumerate(cfg.get('custom_hooks') or [])
    for where, hook in [*hooks.items(), *((f'custom_hooks[{n}]', hook) for n, hook in listed)]:
        if any(f"'{where}." in problem for problem in problems):
            continue  # told already
        kind = HOOKS.get(hook['type']) if isinstance(hook, dict) and 'type' in hook else None
        if not getattr(kind, '__module__', '').startswith('nasiam_mm.'):
            continue
        # A hook is put in its place by its priority, and built from the rest.
        settings = {key: value for key, value in hook.items() if key != 'priority'}
        built = _try(partial(HOOKS.build, copy.deepcopy(settings)), where, problems)
        if model is not None and hasattr(built, 'check'):
            _try(partial(built.check, model), where, problems)
        if isinstance(built, AlphaStepHook) and built.second_order == 'sgd':
            optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
            kind = OPTIMIZERS.get(str(optimizer.get('type')))
            if isinstance(kind, type):
                _try(partial(check_whole_step, kind), where, problems)


def _loaders(cfg: Config) -> Iterator[tuple[str, Any]]:
    """Yield the loaders that a training builds, by where they stand in the config."""
    for name in ('train_dataloader', 'val_dataloader'):
        if cfg.get(name):
            yield name, cfg[name]
    if (hook := find_hook(cfg, 'AlphaStepHook')) is not None:
        yield _ALPHA, hook['dataloader']
    if (probe := read_probe(cfg)) is not None:
        yield 'probe.bank', probe.loader('train')
        yield f'probe.{probe.split}', probe.loader(probe.split)
        if probe.final is not None:
            yield 'probe.final', probe.final


def _build(name: str, loader: dict, world: int) -> DataLoader:
    """Build a loader of one of several processes, without those of its workers."""
    alone = {**loader, 'num_workers': 0, 'persistent_workers': False, 'prefetch_factor': None}
    built = Runner.build_dataloader({k: v for k, v in alone.items() if v is not None}, seed=0)
    if world > 1 and isinstance(built.sampler, DefaultSampler):
        # They have not joined yet.
        whole, up = len(built.dataset), built.sampler.round_up
        built.sampler.num_samples = -(-whole // world) if up else whole // world
    if len(built) == 0:
        raise ValueError(
            f'{len(built.sampler)} images are less than one batch of {built.batch_size}; lower '
            f'{name}.batch_size, or enlarge the part'
        )
    return built


def _build_wrapper(wrapper: dict) -> None:
    """Build what steps the weights, over a weight of no model."""
    if not wrapper.get('optimizer'):
        return
    apart = ('constructor', 'paramwise_cfg')  # are of the model's own weights
    quiet = logging.root.manager.disable
    logging.disable(logging.WARNING)  # the run itself warns
    try:
        own = {key: copy.deepcopy(value) for key, value in wrapper.items() if key not in apart}
        build_optim_wrapper(nn.Linear(1, 1), ConfigDict(own))
    finally:
        logging.disable(quiet)


def _batch_sizes(loader: DataLoader) -> list[int]:
    """Return the sizes of a loader's first and of its last batch."""
    if not loader.batch_size:
        return []
    rest = 0 if loader.drop_last else len(loader.sampler) % loader.batch_size
    return [min(loader.batch_size, len(loader.sampler)), *([rest] if rest else [])]


def _memory(size: int) -> list[str]:
    """Compare the memory where the model goes with what it takes before any image is there."""
    if torch.cuda.is_available():
        place, there = 'this GPU', torch.cuda.get_device_properties(0).total_memory
    else:
        place, there = 'this machine', os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    if size <= there:
        return []
    take = f'its weights, their gradients and the optimizer take {size / 2**30:.1f} GiB'
    mend = 'lower widths, depth or the number of operations in the space'
    return [f'model: {take}, {place} has {there / 2**30:.1f} GiB; {mend}']


def _disk(cfg: Config, size: int) -> list[str]:
    """Compare the room where checkpoints go with what they take."""
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    folder = Path(cfg.get('work_dir') or '.').absolute()
    if hook.get('out_dir'):
        folder = Path(hook['out_dir'], folder.name).absolute()
    # A resumed run removes those that lie there as it writes.
    there = sum(path.stat().st_size for path in folder.glob('*.pth') if path.is_file())
    there *= bool(cfg.get('resume'))
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        return [f"work directory '{folder}' cannot be written to; take another --work-dir"]
    epochs = (cfg.get('train_cfg') or {}).get('max_epochs', 1)
    kept = hook.get('max_keep_ckpts', -1)
    kept = kept if kept > 0 else max(1, epochs // max(1, hook.get('interval', 1)))
    # One is written beside those that are kept.
    needed, free = (kept + 1) * size - there, shutil.disk_usage(folder).free
    if needed <= free:
        return []
    take = f'{kept} checkpoints and one being written take {"another " if there else ""}'
    return [
        f'{folder} has {free / 1e6:,.1f} MB free, {take}{needed / 1e6:,.1f} MB; free space, or '
        'lower default_hooks.checkpoint.max_keep_ckpts'
    ]


def _try(action: Callable[[], Any], where: str, problems: list[str]) -> Any:
    """Return what an action gives; note an error that is no defect, told once, and give None."""
    try:
        return action()
    except Exception as error:
        if not is_user_error(error):
            raise
        line = one_line(error)  # loaders of one folder meet one fault
        if not any(problem.endswith(f': {line}') for problem in problems):
            problems.append(plain(f'{where}: {line}'))
        return None
