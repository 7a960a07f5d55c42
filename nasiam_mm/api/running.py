# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Searches and pretrainings on one's own images, as ``nasiam search`` and ``nasiam pretrain``."""

import hashlib
import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from nasiam_mm.api.names import CHECKED, list_strategies
from nasiam_mm.api.quiet import quietly
from nasiam_mm.api.results import Pretraining, Search, path_of, read_pretraining, read_search
from nasiam_mm.architecture.genotype import Genotype, save_genotype
from nasiam_mm.files.marks import PRESET
from nasiam_mm.wording import no_such

Folder = str | os.PathLike


def search(
    data: Folder,
    framework: str | None = None,
    strategy: str | None = None,
    *,
    out: Folder | None = None,
    backbone: str | Mapping[str, Any] | None = None,
    val: Folder | None = None,
    test: Folder | None = None,
    labels: Folder | None = None,
    size: int | None = None,
    skip_unreadable: bool = False,
    epochs: int | None = None,
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
    quiet: bool = True,
) -> Search:
    """Search a head on a folder of images; the same call again goes on, or returns what is there.

    Args:
        data: Folder of images of any nesting, sizes and modes.
        framework: One of :func:`list_frameworks`; SimCLR by default.
        strategy: One of :func:`list_strategies`. By default a search by gradient as the recipe has
            it (DARTS of the first order); ``'checked'`` is a study, which trains the heads found
            beside the standard one and gives a ``verdict``, for the time of some tens of trainings.
        out: Folder for recipes and results; ``runs/<name of data>`` by default.
        backbone: ``'resnet18'``, ``'mobilenet_v2'``, ``'timm/NAME'``, a type of mmpretrain, or a
            config; by default a ResNet-18, on a CPU a quarter as wide.
        val: Folder of validation images, in place of a part of the others.
        test: Likewise.
        labels: CSV of files and labels; ``'none'`` to take folders for no labels.
        size: Height and width of the views, 32 to 224 pixels.
        skip_unreadable: Whether to leave broken files out in place of an error.
        epochs: Of the run; of each training, by ``'checked'``. By default the recipe's, which is
            what ten minutes of a CPU or some hours of a GPU are enough for.
        seed: Of the run.
        options: Settings over those of the recipe: ``{'optim_wrapper.optimizer.lr': 0.1}``.
        quiet: Whether to print nothing; logs are written anyway.

    Raises:
        FileNotFoundError: If there are no images.
        ValueError: In one line, if something cannot be.
        KeyboardInterrupt: If it was interrupted; a checkpoint is written.
    """
    is_file = isinstance(strategy, str) and strategy.endswith('.py')
    if not is_file and strategy is not None and strategy not in (known := list_strategies()):
        raise ValueError(no_such('strategy', strategy, known))
    args = _arguments('search', data, out, framework, backbone, options, seed, epochs)
    own = dict(val=val, test=test, labels=labels)
    given = {name: path for name, path in own.items() if path is not None}
    vars(args).update({name: path_of(name, path) for name, path in given.items()})
    args.size, args.skip_unreadable = size, skip_unreadable
    if strategy == CHECKED:
        args.study = CHECKED
    else:
        args.strategy, args.resume = strategy, 'auto'
        if strategy is not None:
            args.work_dir = str(Path(args.out, f'search_{Path(strategy).stem}'))
    with quietly(quiet):
        _run('search', args)
    return read_search(Path(args.work_dir))


def pretrain(
    data: Folder,
    framework: str | None = None,
    *,
    genotype: Folder | Genotype | Search | None = None,
    out: Folder | None = None,
    backbone: str | Mapping[str, Any] | None = None,
    skip_unreadable: bool = False,
    epochs: int | None = None,
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
    quiet: bool = True,
) -> Pretraining:
    """Pretrain a backbone on a folder of images; the same call again goes on with it.

    What a search has written into ``out`` holds for it too: parts, labels, size, backbone.

    Args:
        data: Folder of images.
        framework: One of :func:`list_frameworks`; that of ``out``, or SimCLR.
        genotype: The head: a search, a genotype or its file. By default that of a search in
            ``out``, and the framework's standard head where there is none.
        out: As of :func:`search`.
        backbone: As of :func:`search`.
        skip_unreadable: As of :func:`search`.
        epochs: As of :func:`search`.
        seed: Of the run.
        options: Settings over those of the recipe.
        quiet: Whether to print nothing.

    Raises:
        FileNotFoundError: If there are no images.
        ValueError: In one line, if something cannot be.
        KeyboardInterrupt: If it was interrupted; a checkpoint is written.
    """
    args = _arguments('train', data, out, framework, backbone, options, seed, epochs)
    args.resume, args.skip_unreadable = 'auto', skip_unreadable
    if isinstance(genotype, Search):
        if genotype.genotype is None:
            raise ValueError(f'{genotype.folder}: the search ended without a genotype')
        genotype = genotype.folder / 'genotype.json'
    with ExitStack() as stack:
        if isinstance(genotype, Genotype):
            genotype = stack.enter_context(_written(genotype, Path(args.out)))
        args.genotype = None if genotype is None else path_of('genotype', genotype)
        with quietly(quiet):
            _run('train', args)
    return read_pretraining(Path(args.work_dir))


@contextmanager
def _written(genotype: Genotype, out: Path) -> Iterator[Path]:
    """Write a genotype below ``out``, named by what it decides; take it back if nothing begins."""
    decided = {name: decision.told for name, decision in genotype.decisions.items()}
    digest = hashlib.sha256(json.dumps([genotype.framework, decided]).encode()).hexdigest()
    file = out / f'given_genotype_{digest[:8]}.json'
    new = [path for path in (file, *file.parents) if not path.exists()]
    try:
        save_genotype(genotype, file)
        yield file
    except (ValueError, OSError):
        if file in new and not (out / PRESET).exists():
            file.unlink(missing_ok=True)
            with suppress(OSError):  # what is not empty stays
                for path in new[1:]:
                    path.rmdir()
        raise


def _arguments(
    command: str,
    data: Folder,
    out: Folder | None,
    framework: str | None,
    backbone: str | Mapping[str, Any] | None,
    options: Mapping[str, Any] | None,
    seed: int | None,
    epochs: int | None,
) -> Namespace:
    """Return a command line as the command would read it."""
    from nasiam_mm.cli.main import load_command

    if options is not None and not (
        isinstance(options, Mapping) and all(isinstance(name, str) for name in options)
    ):
        like = "{'optim_wrapper.optimizer.lr': 0.1}"
        raise ValueError(f'options: {options!r:.80} is no dict as {like}')
    with quietly(True):
        module = load_command(command)
    parser = ArgumentParser()
    module.add_arguments(parser)
    args = parser.parse_args([])
    args.data, args.seed, args.epochs = path_of('data', data), seed, epochs
    default = str(Path('runs', Path(args.data).resolve().name))
    args.out = default if out is None else path_of('out', out)
    args.framework, args.backbone = framework, backbone
    args.cfg_options = dict(options) if options else None
    return args


def _run(command: str, args: Namespace) -> None:
    from nasiam_mm.cli.main import load_command

    load_command(command).run(args)
