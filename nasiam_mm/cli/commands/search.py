# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Search a head: by gradient, or by a study that trains heads and checks its answer.

nasiam search nasiam/simsiam_r18_search_cifar10.py
nasiam search studies/simclr_r18_s_head_cifar10_demo.py --study heads --workers 2
nasiam search --data photos --out runs/photos

Without a config the images decide the recipes, which are written into --out and may be edited.
By gradient, alpha steps on a held-out part of the images and the weights on the rest; the work
directory then holds genotype.json with its drawing, alpha.json with its plot, a genotype of each
epoch, checkpoints and logs. A study proposes heads, trains them, compares the best with the
standard head on fresh seeds and says which to use: verdict.json, table.md, genotype.json,
scores.png. The same command goes on with it; on several machines, with one --storage.
"""

import shlex
from argparse import SUPPRESS, ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from nasiam_mm.cli.as_given import study_of_own
from nasiam_mm.cli.asked import refuse_search
from nasiam_mm.cli.commands import train
from nasiam_mm.cli.own import prepare_own
from nasiam_mm.config_walk import walk
from nasiam_mm.runs.processes import process_number

if TYPE_CHECKING:
    from mmengine.config import Config


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line, that of ``nasiam train`` and what a study takes."""
    train.add_arguments(parser)
    group = parser.add_argument_group('a study')
    add = group.add_argument
    add('--study', metavar='NAME', help='train heads and check the answer; a name for it')
    add('--workers', type=int, default=1, metavar='N', help='processes on this machine')
    where = 'postgresql://USER:PASSWORD@HOST/DATABASE, for several machines; a file by default'
    add('--storage', metavar='URL', help=where)
    add('--trials', type=int, metavar='N', help='trainings of the search')
    add('--budget', type=int, metavar='N', help='trainings in all, which are dealt out')
    add('--timeout', type=float, metavar='SECONDS', help='take nothing new up after that')
    given = 'genotype to compare as well; may be repeated'
    add('--candidate', action='append', metavar='FILE', help=given)
    # Where a process of ours is one of several: its number, and when the time of all is over.
    add('--worker', help=SUPPRESS)
    add('--until', type=float, help=SUPPRESS)


def run(args: Namespace) -> None:
    """Search.

    Raises:
        ValueError: If the config searches nothing, or what is of a study comes without one.
    """
    refuse_search(args)
    prepare_own(args, 'search')
    if args.study is not None:
        from nasiam_mm.cli.study import run_study

        run_study(args)
        return
    cfg = train.configure(args)
    if not any(part.get('space') for part in walk(cfg.get('model'))):
        raise ValueError(
            f"config '{cfg.filename}' has nothing to search; take one of "
            'configs/nasiam/*_search_*.py, or nasiam train'
        )
    train.train_checked(cfg)
    if process_number() == 0:
        found = Path(cfg.work_dir, 'genotype.json')
        print(_goes_on(args, cfg, found))


def _goes_on(args: Namespace, cfg: 'Config', found: Path) -> str:
    """Say what is still open of a genotype, and by which command it is done."""
    what = f'{found} was not trained'
    is_own = getattr(args, 'out', None) is not None
    if cfg.model.backbone.get('space') is not None and not is_own and not cfg.get('study'):
        # No recipe stands beside that of a backbone, and no standard one.
        drawn = f'nasiam genotype random {shlex.quote(str(found))} --out FILE'
        trains = f'nasiam train RECIPE --genotype {shlex.quote(str(found))}'
        return f'{what} yet: {trains} does, and those of {drawn} are its baseline'
    does = 'compares the two on fresh seeds'
    return f'{what} beside the standard head yet: {_compares(args, found)} {does}'


def _compares(args: Namespace, found: Path) -> str:
    """Return the command of a study of what was found."""
    if getattr(args, 'out', None):
        return study_of_own(args)
    words = ['nasiam', 'search', args.config, *(['--data', args.data] if args.data else [])]
    words += ['--study', 'NAME', '--trials', '0', '--candidate', str(found)]
    return shlex.join(words)
