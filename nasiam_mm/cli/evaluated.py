# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The config of a command that loads a checkpoint and trains nothing: a file's, or the stored one.

What a checkpoint brings along is data (contract C11): its text is not run, and builds parts of the
recipes alone.
"""

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from nasiam_mm.cli import config as settings
from nasiam_mm.cli.asked import refuse_evaluation
from nasiam_mm.config_walk import walk
from nasiam_mm.files.regular import is_address

_DECIDED = 'model.genotype.'  # before the name of a choice, in the identity of a run
# Of a stored config; what else it says is of training, or of the machine it was on.
_KEPT = ('model', 'data', 'probe', 'test_dataloader', 'test_evaluator', 'randomness')
_GIVE = 'give the config that trained it: nasiam test CONFIG CHECKPOINT'


def add_evaluated_arguments(parser: ArgumentParser) -> None:
    """Add ``[CONFIG] CHECKPOINT`` and what else a command with a config takes."""
    settings.add_config_arguments(parser, is_needed=False)
    told = 'path of the checkpoint; without a config, which it holds itself, also of a folder'
    parser.add_argument('checkpoint', help=told)


def read_evaluated(args: Namespace, pin_memory: bool = True) -> Config:
    """Read the config that ``args.checkpoint`` is evaluated by; nothing is built.

    Without ``args.config`` it is the checkpoint's own, and a folder in ``args.checkpoint`` becomes
    its last whole one. A pretraining's genotype, if not given, is the one that the checkpoint was
    trained with.

    Raises:
        FileNotFoundError: If there is no such file, or the data of its config is gone.
        ValueError: If the checkpoint is damaged, or there is nothing to evaluate it by.
    """
    refuse_evaluation(args)
    is_stored = args.config is None
    if is_stored:
        args.checkpoint = _find(args.checkpoint)
    settings.check_checkpoint(args.checkpoint)
    cfg = _read_stored(args) if is_stored else settings.read_config(args)
    if args.genotype is None and 'genotype' in (cfg.get('model') or {}):
        cfg.model.genotype = _trained_genotype(args.checkpoint, cfg.model.genotype, is_stored)
    settings.set_loader_defaults(cfg, pin_memory)
    settings.merge_options(cfg, args)
    from nasiam_mm.datasets import resolve_data

    resolve_data(cfg)
    if is_stored and not (cfg.get('probe') or cfg.get('test_dataloader')):
        told = 'without which its config measures nothing; give one that has probe.measures'
        raise ValueError(f'{cfg.data.root}: has no labels, {told}: nasiam test CONFIG CHECKPOINT')
    return cfg


def _find(path: str) -> str:
    """Return the checkpoint that is meant where no config is given."""
    from nasiam_mm.export.embeddings import find_run_checkpoint

    return path if is_address(path) else str(find_run_checkpoint(path))


def _read_stored(args: Namespace) -> Config:
    """Read the config within ``args.checkpoint``, less what is of its training.

    Raises:
        FileNotFoundError: If its data is not where it was.
        ValueError: If there is none, or it names parts that are not the recipes'.
    """
    from nasiam_mm.export.parts import check_evaluated
    from nasiam_mm.files.checkpoint import read_checkpoint
    from nasiam_mm.files.config_text import config_within

    path = args.checkpoint
    checkpoint = read_checkpoint(path, 'cpu', mmap=True)
    try:
        stored = config_within(checkpoint)
        _refuse_others(stored)
        kept = {name: stored[name] for name in _KEPT if stored.get(name) is not None}
        for part in walk(kept):
            part.pop('init_cfg', None)
            part.pop('pretrained', None)
            if isinstance(workers := part.get('num_workers'), int):
                part['num_workers'] = min(workers, os.cpu_count() or 1)
        check_evaluated(list(kept.values()))
        if 'test_dataloader' not in kept:
            kept |= _precision(stored)
    except ValueError as error:
        raise ValueError(f"checkpoint '{path}': {error}; {_GIVE}") from error
    kept['env_cfg'] = dict(mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
    kept['test_cfg'] = {} if 'test_dataloader' in kept else None
    kept |= dict(default_scope='nasiam_mm', runner_type='nasiam_mm.engine.NasiamRunner')
    name = Path(path).stem
    # For the copy that a runner leaves in its work directory, which is not that of the training.
    cfg = Config(kept, cfg_text=str(checkpoint['meta']['cfg']), filename=f'{name}.py')
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or str(Path('work_dirs/test', f'{Path(path).parent.name}_{name}'))
    if args.genotype is not None:
        settings.set_genotype(cfg, args.genotype)
    _find_data(cfg, args)
    return cfg


def _refuse_others(stored: dict[str, Any]) -> None:
    """Refuse, with a ValueError, a stored config that only a run of its own can evaluate."""
    if stored.get('default_scope') == 'mmdet':
        raise ValueError('is of a detector, which is not built by what a checkpoint says')
    if isinstance(imports := stored.get('custom_imports'), dict) and imports.get('imports'):
        what = 'its config imports modules of its own (custom_imports)'
        raise ValueError(f'{what}, which a checkpoint may not do')
    if not isinstance(stored.get('model'), dict):
        raise ValueError('its config has no model')
    if not any(isinstance(stored.get(name), dict) for name in ('probe', 'test_dataloader')):
        raise ValueError('its config has neither a probe nor a test loop to measure it by')


def _precision(stored: dict[str, Any]) -> dict[str, Any]:
    """Return what of a stored config says in which precision it trained."""
    wrapper = stored.get('optim_wrapper')
    if not isinstance(wrapper, dict):
        return {}
    names = [name for name in ('type', 'dtype') if name in wrapper]
    return {'optim_wrapper': {name: wrapper[name] for name in names}}


def _find_data(cfg: Config, args: Namespace) -> None:
    """Let ``--data`` say where the images are; a FileNotFoundError if nothing does."""
    section = cfg.get('data')
    if not isinstance(section, dict) or not isinstance(section.get('root'), str):
        if args.data is not None:
            raise ValueError(f"--data: the config of '{args.checkpoint}' has no section data")
        return
    root = args.data or section['root']
    beside = Path(args.checkpoint).absolute().parent.parent / 'data'
    if args.data is None and not Path(root).is_dir() and Path(root).name == 'data':
        root = str(beside) if (beside / 'source.json').is_file() else root  # moved as a whole
    if args.data is None and not Path(root).is_dir():
        told = f"'{root}', on whose images '{args.checkpoint}' was trained, is not there"
        raise FileNotFoundError(f'{told}; say where they are now: --data DIR')
    section['root'] = root


def _trained_genotype(path: str, given: str | None, is_stored: bool) -> str | None:
    """Return the genotype file that a checkpoint was trained with, None if it does not say.

    Raises:
        ValueError: If that file is gone, or decides otherwise than the checkpoint was trained with.
    """
    if given and not is_stored:
        return given
    from nasiam_mm.architecture.reading import load_genotype
    from nasiam_mm.files.checkpoint import read_checkpoint
    from nasiam_mm.files.config_text import config_within

    checkpoint = read_checkpoint(path, 'cpu', mmap=True)
    identity = checkpoint.get('identity') if isinstance(checkpoint, dict) else None
    try:
        model = config_within(checkpoint).get('model')
    except ValueError:
        return None
    file = model.get('genotype') if isinstance(model, dict) else None
    if not isinstance(file, str):
        return None
    what = f"checkpoint '{path}' was trained with genotype '{file}'"
    moved = Path(path).absolute().parent.parent.joinpath(*Path(file).parts[-2:])
    if not Path(file).is_file() and moved.is_file():
        file = str(moved)  # with the checkpoint, as a whole folder
    if not Path(file).is_file():
        raise ValueError(f'{what}, which is not there any more; give it by --genotype')
    ours = {f'{_DECIDED}{name}': one.told for name, one in load_genotype(file).decisions.items()}
    fields = identity if isinstance(identity, dict) else {}
    theirs = {key: told for key, told in fields.items() if str(key).startswith(_DECIDED)} or ours
    for key in {**theirs, **ours}:
        if (now := ours.get(key)) != (then := theirs.get(key)):
            told = f'which now holds {now} for {str(key).removeprefix(_DECIDED)}, not {then}'
            raise ValueError(f'{what}, {told}; give the one it was by --genotype')
    return file
