# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What is wrong with a command line by itself, said before torch and its friends are imported.

That takes seconds, on a busy machine tens of them. What a config, a checkpoint or images say is
looked at later, by what reads them.
"""

import math
import os
import re
from argparse import Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nasiam_mm.cli.config import check_seed, refuse_options
from nasiam_mm.cli.own import given_own, read_asked
from nasiam_mm.cli.reading import find_config
from nasiam_mm.datasets.source import read_source
from nasiam_mm.files.regular import is_address, require_checkpoint
from nasiam_mm.files.shipped import strategy_names
from nasiam_mm.presets.asked import refuse_asked
from nasiam_mm.study.address import check_address
from nasiam_mm.study.budget import split_budget
from nasiam_mm.wording import no_such

TEXTS = ('.py', '.json', '.yml', '.yaml')  # endings of configs, and of no checkpoint
_OF_A_STUDY = ('storage', 'trials', 'budget', 'timeout', 'candidate')
# Of training, which a study sees to itself.
_NOT_OF_A_STUDY = (
    *('resume', 'extend', 'strategy', 'checkpoint', 'genotype', 'no_validate'),
    *('amp', 'compile', 'auto_scale_lr'),
)
_NAME = re.compile(r'[A-Za-z0-9][\w.-]{0,79}')
_MOST_SECONDS = 10 * 365 * 86400.0


def refuse_training(args: Namespace) -> None:
    """Refuse what no training can be made of, of ``nasiam train``, ``search`` or ``check``.

    Raises:
        FileNotFoundError: If a file or a folder is not there.
        ValueError: If something is out of range, or does not go together.
    """
    given = given_own(args)
    if args.config is not None:
        if given:
            told = 'is for images without a config; leave one of them out'
            raise ValueError(f'{_flag(given[0])} {told}')
        find_config(args.config)
        _refuse_data(args.data)
    elif args.data is None or args.out is None:
        told = 'CONFIG, or --data FOLDER --out FOLDER for recipes that are chosen by the images'
        raise ValueError(f'nothing says what to train; give a {told}')
    else:
        refuse_asked(args.out, read_asked(args))
    if args.seed is not None:
        check_seed(args.seed)
    epochs = args.epochs
    if epochs is not None and (type(epochs) is not int or epochs < 1):
        raise ValueError(f'--epochs must be a whole number from 1, got {epochs!r:.40}')
    if args.extend and args.resume is None:
        raise ValueError('--extend goes on with a run: give --resume as well')
    _refuse_strategy(args.strategy)
    _refuse_genotypes('--genotype', [args.genotype])
    for checkpoint in (args.checkpoint, args.resume):
        if checkpoint not in (None, 'auto') and not is_address(checkpoint):
            require_checkpoint(checkpoint)
    refuse_options(args)


def refuse_search(args: Namespace) -> None:
    """Refuse what no search can be made of, by gradient or a study; raises as the training's."""
    if args.study is not None:
        _refuse_study(args)
    elif alone := [name for name in _OF_A_STUDY if getattr(args, name) is not None]:
        raise ValueError(f'{_flag(alone[0])} is of a study: give --study NAME as well')
    elif args.workers != 1:
        raise ValueError('--workers is of a study: give --study NAME as well')
    refuse_training(args)


def _refuse_study(args: Namespace) -> None:
    for name in _NOT_OF_A_STUDY:
        if getattr(args, name):
            raise ValueError(f'{_flag(name)} is of a single training; leave it out beside --study')
    if args.launcher != 'none':
        told = 'a study trains in one process each; start more by --workers'
        raise ValueError(f'--launcher {args.launcher}: {told}')
    if not _NAME.fullmatch(args.study):
        told = 'letters, digits, _, - and ., at most 80'
        raise ValueError(f'--study must be a name of {told}, got {args.study!r:.100}')
    if args.workers < 1:
        raise ValueError(f'--workers must be at least 1, got {args.workers}')
    if args.trials is not None and args.budget is not None:
        raise ValueError('--trials and --budget: a budget deals out the trials; give one of them')
    if args.trials is not None and args.trials < 0:
        raise ValueError(f'--trials must be a whole number from 0, got {args.trials}')
    if args.budget is not None:
        split_budget(args.budget)
    if args.timeout is not None and not 0 <= args.timeout <= _MOST_SECONDS:
        told = 'must be a number of seconds from 0, at most ten years'
        raise ValueError(f'--timeout {told}, got {args.timeout:g}')
    if args.storage is not None:
        check_address(args.storage)
    _refuse_genotypes('--candidate', args.candidate or ())


def refuse_evaluation(args: Namespace) -> None:
    """Refuse what nothing can be measured by, of ``nasiam test`` or ``probe``.

    Raises:
        FileNotFoundError: If a file or a folder is not there.
        ValueError: If something is out of range, or does not go together.
    """
    path = args.checkpoint
    if args.config is not None:
        find_config(args.config)
    elif path.endswith(TEXTS):
        raise ValueError(f"'{path}' is no checkpoint: give one, after its config or alone")
    if args.config is not None or not Path(path).is_dir():
        _require(path)
    _refuse_data(args.data)
    _refuse_genotypes('--genotype', [args.genotype])
    refuse_options(args)


def refuse_grid(args: Namespace) -> None:
    """Refuse, with a ValueError, what ``nasiam probe`` cannot try."""
    if args.val_fraction is not None and not 0 < args.val_fraction < 1:
        told = f'must be between 0 and 1, got {args.val_fraction:g}'
        raise ValueError(f'--val-fraction {told}')
    _each('--k', args.k, lambda k: k >= 1, 'whole numbers from 1')
    # exp(1 / T), the largest weight of a vote, must be a float64.
    _each('--temperature', args.temperature, lambda t: 1 / 700 < t < math.inf, '0.002 or more')
    _each('--l2', args.l2, lambda l2: 0 <= l2 < math.inf, 'numbers from 0')
    _each('--fractions', args.fractions, lambda f: 0 < f <= 1, 'numbers above 0 and at most 1')
    seeds = f'whole numbers from 0 to 2^{32} - 1'
    _each('--label-seeds', args.label_seeds, lambda seed: 0 <= seed < 2**32, seeds)


def refuse_run(path: Path | str) -> None:
    """Raise a FileNotFoundError unless there is a checkpoint, or a folder that may hold one."""
    if not Path(path).is_dir():
        _require(path)


def refuse_page(out: Path | None, paths: Iterable[Path]) -> None:
    """Refuse a page of what is not there, or one that is no HTML.

    Raises:
        FileNotFoundError: If a folder or a genotype is not there.
        ValueError: If the page's name ends in something else than ``.html``.
    """
    if out is not None and out.suffix.lower() != '.html':
        raise ValueError(f"--out '{out}' must end in .html")
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"'{path}' does not exist; name a work directory or a genotype")


def _flag(name: str) -> str:
    return f'--{name.replace("_", "-")}'


def _require(path: Path | str) -> None:
    if not is_address(path):
        require_checkpoint(path)


def _refuse_data(data: str | None) -> None:
    """Refuse, with what brings it, a folder of images that is not there."""
    if data is not None and not os.path.isdir(data):
        read_source(data)


def _refuse_genotypes(flag: str, paths: Iterable[str | None]) -> None:
    for path in paths:
        if path is not None and not os.path.exists(path):
            told = 'a search leaves one, genotype.json in its folder'
            raise ValueError(f"{flag}: '{path}' does not exist; {told}")


def _refuse_strategy(name: str | None) -> None:
    if name is None:
        return
    if name.endswith('.py') or '/' in name:
        find_config(name)
    elif name == 'checked':
        raise ValueError('--strategy checked is a study: give --study NAME in place of it')
    elif name not in (known := strategy_names()):
        raise ValueError(f'--strategy: {no_such("strategy", name, known)}')


def _each(flag: str, values: Any, fits: Callable[[Any], bool], needed: str) -> None:
    for value in values or ():
        if not fits(value):
            raise ValueError(f'{flag} takes {needed}, got {value:g}')
