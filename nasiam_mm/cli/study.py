# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam search --study``: heads are trained, ranked and checked, by one process or many."""

import copy
import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config

from nasiam_mm.cli import config as settings
from nasiam_mm.cli.as_given import command_of
from nasiam_mm.cli.reading import find_config, load_config
from nasiam_mm.cli.stopping import stoppable
from nasiam_mm.cli.strategy import merge_strategy
from nasiam_mm.cli.workers import run_workers
from nasiam_mm.config_walk import find_hook
from nasiam_mm.console.screen import Console, current, say

if TYPE_CHECKING:
    from nasiam_mm.study.section import Study
    from nasiam_mm.study.worker import Worker

# The shipped configs of a framework differ in this word.
_PHASES = ('_search_', '_pretrain_', '_baseline_')


def run_study(args: Namespace) -> None:
    """Take part in a study, alone or by several workers, and report what came out.

    Raises:
        ValueError: For an argument or a config that makes no study, or if workers end before it.
    """
    worker = _build(args, checks=args.worker is None)
    folder, is_first = worker.storage.folder, args.worker is None
    until = None if args.timeout is None else args.until or time.time() + args.timeout
    if until is not None and is_first:
        told = f'nothing new is taken up after {_clock(until)}; what runs then is finished'
        say(f'--timeout {args.timeout:g}: {told}')
    with stoppable(folder, command_of(args), tells=is_first):
        if is_first and args.workers > 1:
            run_workers(args, worker, until)
            is_over = until is not None and time.time() >= until
        else:
            is_over = not worker.run(None if until is None else until - time.time())
    if not is_first:
        return
    from nasiam_mm.study.plan import END
    from nasiam_mm.study.progress import progress_line
    from nasiam_mm.study.report import write_report

    if (console := current()) is not None:
        console.close()  # the bar gives way to the report
    if worker.plan().next() != END:
        if is_over and until is not None:
            told = f'stopped by --timeout {args.timeout:g}, whose time was over at {_clock(until)}'
            print(f'{told}; the same command goes on ({progress_line(worker.plan())})')
            return
        raise ValueError(f'study {args.study!r}: its workers ended before it; see what they say')
    with worker.storage.exclusive():
        told = command_of(args)
        print(write_report(folder, worker.plan(), worker.trainings, told))


def _clock(seconds: float) -> str:
    return time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(seconds))


def _build(args: Namespace, checks: bool) -> 'Worker':
    """Read the study, its configs and its storage; with ``checks`` look a training through."""
    if args.work_dir is None:
        args.work_dir = str(Path('work_dirs', args.study))
    cfg = settings.read_config(args)
    settings.set_loader_defaults(cfg, not args.no_pin_memory, not args.no_persistent_workers)
    settings.merge_options(cfg, args)

    import nasiam_mm.engine  # noqa: F401, registers what a config names
    from nasiam_mm.models.spaces import choices_of_model
    from nasiam_mm.runs.store import RunStore
    from nasiam_mm.study.bar import StudyBar
    from nasiam_mm.study.jobs import Jobs
    from nasiam_mm.study.storage import Storage
    from nasiam_mm.study.trainings import Trainings
    from nasiam_mm.study.worker import Worker

    study = _section(cfg, args)
    choices = choices_of_model(cfg.get('model') or {})
    recipe, baseline = _recipes(cfg, study, args)
    folder = Path(cfg.work_dir)
    trainings = Trainings(study, choices, recipe, baseline, folder)
    if checks:
        _check(trainings)
        for note in trainings.notes:
            print(note)
    gradient = tuple(_gradient(cfg, source, args) for source in study.gradient)
    storage = Storage(folder, args.study, args.storage)
    # Workers beside each other would draw over each other.
    bar = StudyBar(current() or Console(bar=False) if args.worker is None else Console(bar=False))
    store = RunStore(folder / 'runs', launch=bar.launch)
    sign = '' if args.worker is None else f'[worker {args.worker}] '
    jobs = Jobs(trainings, storage, store, gradient)
    return Worker(jobs, lambda line: say(f'{sign}{line}'), bar.begin)


def _section(cfg: Config, args: Namespace) -> 'Study':
    from nasiam_mm.study.budget import Budget
    from nasiam_mm.study.section import read_study

    given = {'trials': args.trials, 'budget': args.budget, 'seed': args.seed}
    more = {name: value for name, value in given.items() if value is not None}
    if args.trials is not None:
        more['budget'] = None  # of the config
    if args.candidate:
        more['candidates'] = args.candidate
    section = {**(cfg.get('study') or {}), **more}
    if args.budget is not None:
        section = {name: value for name, value in section.items() if name not in Budget._fields}
    cfg.study = section
    return read_study(cfg)


def _recipes(cfg: Config, study: 'Study', args: Namespace) -> tuple[Config, Config]:
    """Return the configs that train a genotype and the standard head."""
    own = find_config(args.config)
    searches = find_hook(cfg, 'AlphaStepHook') is not None
    recipe = study.recipe or (_beside(own, '_pretrain_') if searches else own)
    baseline = study.baseline or _beside(own, '_baseline_')
    if recipe is None or baseline is None:
        lacks = 'recipe' if recipe is None else 'baseline'
        what = {'recipe': 'by what a head is trained', 'baseline': 'what the standard head is'}
        told = f"config '{args.config}' does not say {what[lacks]}"
        phase = 'pretrain' if lacks == 'recipe' else 'baseline'
        raise ValueError(f"{told}; add study=dict({lacks}='nasiam/..._{phase}_....py')")
    if recipe == own and not study.recipe:
        return copy.deepcopy(cfg), _read(baseline, cfg, args)
    return _read(recipe, cfg, args), _read(baseline, cfg, args)


def _read(name: str, cfg: Config, args: Namespace) -> Config:
    """Read a config with the data and the options of the study's own."""
    other = load_config(find_config(name))
    settings.set_loader_defaults(other, not args.no_pin_memory, not args.no_persistent_workers)
    options = {k: v for k, v in settings.given_options(args).items() if not k.startswith('study')}
    other.merge_from_dict(options)
    if cfg.get('data'):
        other.data = copy.deepcopy(cfg.data)
    return other


def _gradient(cfg: Config, source: Mapping, args: Namespace) -> Config:
    """Return the config of a search by gradient whose heads are candidates."""
    from nasiam_mm.datasets import resolve_data
    from nasiam_mm.study.gradient import with_selections

    own = copy.deepcopy(cfg) if not source.get('config') else _read(source['config'], cfg, args)
    own.pop('study', None)
    merge_strategy(own, source['strategy'])
    own.randomness = {**own.get('randomness', {}), 'seed': cfg.study.get('seed', 0)}
    resolve_data(own)
    return with_selections(own)


def _beside(path: str, phase: str) -> str | None:
    """Name the config of another phase beside a shipped one, None where there is none."""
    name = Path(path).name
    others = {Path(path).with_name(name.replace(own, phase)) for own in _PHASES if own in name}
    return next((str(other) for other in others if other.is_file()), None)


def _check(trainings: Any) -> None:
    """Refuse a study whose trainings cannot be, before the first one."""
    from nasiam_mm.checks.before_training import refuse_problems
    from nasiam_mm.study.heads import random_options

    for options in (None, random_options(trainings.choices, trainings.study.seed)):
        cheap = bool(trainings.study.cheap)
        cfg = trainings.config(options, trainings.study.seed, cheap=cheap, check=True)
        cfg.pop('work_dir', None)
        refuse_problems(cfg)
