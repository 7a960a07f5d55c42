# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``--data FOLDER --out FOLDER`` in place of a config: recipes for one's own images."""

from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nasiam_mm.cli.config import given_options
from nasiam_mm.cli.options import read_literal
from nasiam_mm.files.marks import VERDICT, searches_in
from nasiam_mm.files.shipped import framework_names
from nasiam_mm.presets.asked import Asked
from nasiam_mm.refusals import plain
from nasiam_mm.runs.processes import process_number
from nasiam_mm.wording import in_python

GENOTYPE = 'genotype.json'
# Of nasiam search and nasiam pretrain, without a config.
_OWN = ('framework', 'backbone', 'val', 'test', 'labels', 'size', 'skip_unreadable')


def add_own_arguments(parser: ArgumentParser, is_listed: bool = True) -> None:
    """Add what is said of one's own images where there is no config; perhaps not to its help."""
    group = parser.add_argument_group("one's own images: --data and --out in place of a config")
    add = group.add_argument
    add('--out', metavar='FOLDER', help='for recipes, and results below it')
    add('--framework', help=f'one of {", ".join(framework_names())}; default simclr')
    told = "resnet18, mobilenet_v2, deit_tiny, timm/NAME, TYPE of mmpretrain, 'dict(type=...)'"
    add('--backbone', metavar='NAME', help=told)
    add('--val', metavar='FOLDER', help='images for validation, in place of a part of the others')
    add('--test', metavar='FOLDER', help='images for tests, likewise')
    add('--labels', metavar='CSV', help="files and labels; 'none' to take folders for no labels")
    add('--size', type=int, metavar='PIXELS', help='of the views, 32 to 224')
    add('--skip-unreadable', action='store_true', help='leave broken files out, and list them')
    for action in () if is_listed else group._group_actions:
        action.help = SUPPRESS


def given_own(args: Namespace) -> list[str]:
    """Name what is given of that, the folder of results first."""
    return [name for name in ('out', *_OWN) if getattr(args, name)]


def read_asked(args: Namespace) -> Asked:
    """Return what is said of one's own images; ValueError for a backbone that is no literal."""
    given = {name: getattr(args, name) for name in _OWN}
    return Asked(args.data, **{**given, 'backbone': read_backbone(args.backbone)})


def prepare_own(args: Namespace, phase: str) -> str | None:
    """Let ``--data`` and ``--out`` stand for a config and its work directory.

    Args:
        args: The command line, which :func:`nasiam_mm.cli.asked.refuse_training` has looked
            through, of which ``config``, ``data`` and ``work_dir`` are set.
        phase: ``'search'``, or ``'pretrain'``: by a genotype if one is given or lies in ``--out``,
            and with the standard head else.

    Returns:
        What was decided beside the recipes, for a user; None with a config.

    Raises:
        ValueError: If the images cannot be used.
    """
    if args.config is not None:
        return None
    from nasiam_mm.presets.preparing import prepare

    prepared = prepare(args.out, read_asked(args))
    if process_number() == 0:
        for line in prepared.lines:
            print(plain(line))
        if prepared.lines and (options := given_options(args)):
            changed = ', '.join(f'{name}={value}' for name, value in options.items())
            flags = '--cfg-options change' if args.cfg_options else '--epochs changes'
            line = f'{flags} this run, not the recipes: {changed}'
            print(plain(line if hasattr(args, 'words') else in_python(line)))
    note = None
    if phase == 'pretrain':
        phase, args.genotype, note = choose_head(prepared.out, args.genotype)
    args.config = str(prepared.files[phase])
    args.given_data = args.data
    args.data = _moved_data(prepared.files[phase])
    if args.work_dir is None:
        study = getattr(args, 'study', None)
        args.work_dir = str(prepared.out / (study or phase))
    return note


def _moved_data(recipe: Path) -> str | None:
    """Return where the lists of the images are, if recipe and lists were moved as a whole."""
    from nasiam_mm.files.config_text import read_config_text
    from nasiam_mm.presets.place import IMAGES

    root, beside = None, recipe.absolute().parent / IMAGES
    with suppress(ValueError, TypeError, LookupError):  # edited, so that it is more than data
        root = read_config_text(recipe.read_text(encoding='utf-8'))['data']['root']
    is_moved = isinstance(root, str) and Path(root).name == IMAGES and not Path(root).exists()
    return str(beside) if is_moved and (beside / 'source.json').is_file() else None


def choose_head(out: Path, genotype: str | None) -> tuple[str, str | None, str]:
    """Return by which recipe to pretrain, with which genotype, and why, in a line.

    A genotype that is given counts; then the verdict of the last study in ``out``, unless it is
    undecided; then what the last search in ``out`` has found.
    """
    if genotype is not None:
        return 'pretrain', genotype, f'the head is that of {genotype}'
    answer, study = _last_answer(out)
    if answer == 'keep':
        return 'baseline', None, f'{study}/{VERDICT} says to keep the standard head: it is trained'
    if answer == 'use' and (found := study / GENOTYPE).is_file():
        return 'pretrain', str(found), f'the head is that of {found}, which {VERDICT} says to use'
    open_ = f'{study}/{VERDICT} is undecided, so ' if answer == 'undecided' else ''
    if (last := _last_found(out)) is not None:
        return 'pretrain', str(last), f'{open_}the head is that of {last}'
    lacks = f'no {out}/search/{GENOTYPE}'
    told = f'{open_}the standard head is trained: {lacks}' if open_ else ''
    return 'baseline', None, told or f'{lacks}: the standard head is trained'


def _last_found(out: Path) -> Path | None:
    """Return the genotype that a search wrote last."""
    files = [folder / GENOTYPE for folder in searches_in(out)]
    found = [file for file in files if file.is_file()]
    return max(found, key=lambda path: (path.stat().st_mtime, path), default=None)


def _last_answer(out: Path) -> tuple[str | None, Path]:
    """Return the answer of the study that ended last in a folder, and where that study lies."""
    verdicts = sorted(out.glob(f'*/{VERDICT}'), key=lambda path: (path.stat().st_mtime, path))
    if not verdicts:
        return None, out
    from nasiam_mm.files.regular import read_json

    read = read_json(verdicts[-1])
    return (read.get('answer') if isinstance(read, dict) else None), verdicts[-1].parent


def read_backbone(text: str | Mapping[str, Any] | None) -> str | Mapping[str, Any] | None:
    """Read a backbone's name, or its config as a Python literal, if it is not read yet."""
    if not isinstance(text, str) or not text.lstrip().startswith(('dict(', '{')):
        return text
    found = None
    with suppress(SyntaxError, ValueError):
        found = read_literal(text)
    if not isinstance(found, dict):
        raise ValueError(f"--backbone: {text!r:.100} is no dict(type='...', ...)")
    return found
